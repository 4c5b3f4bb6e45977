"""The DLMS Log Export module: which Data Recorder is shown as which Profile Generic."""

from __future__ import annotations

from dataclasses import dataclass

from iondlms.errors import LocalError

__all__ = ["MAX_EXPORTED_SOURCES", "DlmsLogExport"]

MAX_EXPORTED_SOURCES = 16


@dataclass(frozen=True, slots=True)
class DlmsLogExport:
    """The settings; logical names are text here, since ION modules know nothing of DLMS.

    `obis_codes` go with the recorder's sources by place: None keeps a source out, and so does the end
    of the tuple.
    """

    data_recorder: str
    profile_obis: str
    obis_codes: tuple[str | None, ...]
    status_register: bool = True

    def __post_init__(self) -> None:
        if len(self.obis_codes) > MAX_EXPORTED_SOURCES:
            raise LocalError(
                f"{len(self.obis_codes)} OBIS codes in the export of {self.data_recorder!r};"
                f" the module has {MAX_EXPORTED_SOURCES}"
            )
        if not self.profile_obis.strip():
            raise LocalError(f"the export of {self.data_recorder!r} has no Profile Generic OBIS code")

    def columns(self) -> tuple[tuple[int, str], ...]:
        """Return (index of the recorder's source, OBIS code) of each exported source, in order."""
        return tuple((index, code) for index, code in enumerate(self.obis_codes) if code is not None)
