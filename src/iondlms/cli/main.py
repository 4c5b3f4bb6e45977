"""The command `iondlms`: finds the verb, and turns errors into one line and an exit status.

A verb's module is imported when the verb is used, so that `--version` and completion stay fast.
"""

from __future__ import annotations

import importlib
import os
import sys
from enum import IntEnum
from io import TextIOWrapper
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem

from iondlms import __version__
from iondlms.cli.completion import COMPLETE, answer
from iondlms.errors import DlmsError, LocalError, PortError

__all__ = ["ExitStatus", "main"]

# Verb -> module, of the same name but for those in `_MODULES`; the command is the function of that name.
VERBS: Final = (
    "demo", "serve", "ping", "objects", "read", "profile", "clock", "scan", "sniff", "explain", "conformance",
    "config", "export", "import-history", "backup", "events", "ctl", "web", "fleet", "completion",
)  # fmt: skip
_MODULES: Final = {"import-history": "history"}


class ExitStatus(IntEnum):
    """What the shell gets."""

    OK = 0
    REFUSED = 1  # the meter or the protocol said no
    USAGE = 2  # usage or configuration
    NO_CONNECTION = 3  # or time-out
    NO_ASSOCIATION = 4  # refused at association or password
    FLEET = 5  # part of the fleet failed
    INTERRUPTED = 130


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"iondlms.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command = getattr(module, cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        # Not click's own, which imports every verb for the first line of its help.
        found = [CompletionItem(verb) for verb in VERBS if verb.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="iondlms")
def _iondlms() -> None:
    """Be an ION meter, read ION meters: DLMS/COSEM over HDLC and the TCP wrapper.

    \b
    iondlms demo                                 a meter, read by a client, in ten seconds
    iondlms serve --listen 127.0.0.1:4059        the meter on your desk
    """


def status_of(error: DlmsError) -> ExitStatus:
    """Return the exit status of an error that ended a verb."""
    from iondlms.client.errors import (
        AssociationRefused,
        TransferBroken,
    )  # here: `--version` and `serve` need no client

    if isinstance(error, AssociationRefused):
        return ExitStatus.NO_ASSOCIATION
    if isinstance(error, TransferBroken) and isinstance(error.__cause__, PortError):
        return ExitStatus.NO_CONNECTION
    if isinstance(error, PortError):
        return ExitStatus.NO_CONNECTION
    return ExitStatus.USAGE if isinstance(error, LocalError) else ExitStatus.REFUSED


def main() -> NoReturn:
    """Run the command line and exit."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started us
        if sys.stderr is not None:
            sys.stderr.write("iondlms: stdout is closed\n")
        sys.exit(ExitStatus.USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal lacks is no reason to fail
    try:
        if COMPLETE in os.environ:
            sys.exit(answer(_iondlms))
        # Not click's own main, which takes a broken pipe for a failure.
        with _iondlms.make_context("iondlms", sys.argv[1:]) as context:
            result = _iondlms.invoke(context)
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else ExitStatus.OK)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.exceptions.Abort:
        sys.exit(ExitStatus.INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DlmsError as error:
        for line in str(error).splitlines():
            click.echo(f"iondlms: {line}", err=True)
        sys.exit(status_of(error))
    except BrokenPipeError:
        # `iondlms ... | head`: whoever read us has had enough, and what is still buffered has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitStatus.OK)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"iondlms: the output cannot be written: {error.strerror}", err=True)
        sys.exit(ExitStatus.USAGE)
