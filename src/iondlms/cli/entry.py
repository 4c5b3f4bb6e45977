"""The way in: `--version` alone is answered without click, whose import takes longer than all the rest."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

from iondlms import __version__

__all__ = ["main"]

_INTERRUPTED: Final = 130  # as `ExitStatus` has it, which is not there before all is imported


def main() -> NoReturn:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        try:
            # As click's option says it, which is there for `--help` and in any other company.
            sys.stdout.write(f"iondlms, version {__version__}\n")
            sys.stdout.flush()
        except OSError:
            pass  # what is to be said of that is said in one place
        else:
            sys.exit(0)
    try:
        from iondlms.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()
