"""The objects that a meter lists, as values."""

from __future__ import annotations

from typing import NamedTuple

from iondlms.codec.axdr import Data
from iondlms.codec.obis import ObisCode
from iondlms.conformance.apdus import ASSOCIATION
from iondlms.conformance.bench import Bench
from iondlms.conformance.verdict import Failure
from iondlms.errors import DecodeError

__all__ = ["Listed", "object_list"]


class Listed(NamedTuple):
    """One object of the list."""

    class_id: int
    version: int
    name: str
    attributes: tuple[tuple[int, int, Data], ...]  # number, mode, selectors
    methods: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.name} (class {self.class_id})"


def object_list(bench: Bench) -> list[Listed]:
    """Return the objects; Failure where the list is malformed."""
    value = bench.value(15, ASSOCIATION)
    try:
        return [_listed(item) for item in value.items()]
    except (DecodeError, ValueError, IndexError) as error:
        raise Failure(f"object_list: {error}") from error


def _listed(item: Data) -> Listed:
    class_id, version, name, rights = item.items()
    attributes, methods = rights.items()
    return Listed(
        class_id.integer(),
        version.integer(),
        str(ObisCode(name.octets())),
        tuple(
            (number.integer(), mode.integer(), selectors)
            for number, mode, selectors in (entry.items() for entry in attributes.items())
        ),
        tuple(
            (number.integer(), int(mode.value) if isinstance(mode.value, bool) else mode.integer())
            for number, mode in (entry.items() for entry in methods.items())
        ),
    )
