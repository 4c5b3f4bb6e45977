"""What a changed configuration does to the rows that a data folder holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from iondlms.errors import LocalError
from iondlms.ion.framework import Framework
from iondlms.ion.state import MeterState
from iondlms.meter.config import Config
from iondlms.meter.framework import framework_of
from iondlms.store import Archive

__all__ = ["cleared", "cleared_on_disk"]


def cleared(framework: Framework, state: MeterState, rows: Callable[[str], int]) -> Iterator[str]:
    """Yield what is lost at a start with this framework, a line each recorder; `rows` counts those kept."""
    for setup in framework.data_recorders:
        kept = state.recorders.get(setup.name)
        if kept is not None and kept.fingerprint != setup.fingerprint:
            count = rows(setup.name)
            rows_are = "1 row is" if count == 1 else f"{count} rows are"
            yield f"Data Recorder {setup.name!r}: inputs or settings changed; its {rows_are} cleared"


def cleared_on_disk(config: Config, year: int = 2020) -> Iterator[str]:
    """Yield what the next start with this configuration clears in its data folder, which is only read.

    A folder that cannot be read is told in one line: it is the start that must have it.
    """
    folder = config.meter.data
    if folder is None or not folder.exists():
        return
    try:
        with Archive.open(folder) as archive:
            state = archive.state()
            if state is None:
                return
            kept = state.recorders

            def count(name: str) -> int:
                found = archive.packed(name)
                return 0 if found is None else kept[name].next_sequence - found[0]

            for line in cleared(framework_of(config, year), state, count):
                yield f"{line} at the next start"
    except LocalError as error:
        yield str(error)
