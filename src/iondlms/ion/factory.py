"""The Factory module: what the meter is, and who owns it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from iondlms.errors import LocalError

__all__ = ["MODELS", "Factory", "Model", "model"]


@dataclass(frozen=True, slots=True)
class Model:
    """One of the four meters that speak DLMS."""

    name: str
    minimum_revision: str  # the first firmware with DLMS
    default_revision: str

    def many_sources(self, revision: str) -> bool:
        """Return whether a Data Recorder takes 50 sources instead of 16: ION9000/ION7400 from 4.6."""
        return self.name in ("ION9000", "ION7400") and _numbers(revision) >= (4, 6)


# ION8650 and ION8800 count their firmware in whole numbers, the other two in dotted ones.
MODELS: Final[dict[str, Model]] = {
    each.name: each
    for each in (
        Model("ION9000", "2.1.0", "4.1.0"),
        Model("ION8650", "406", "413"),
        Model("ION7400", "2.1.0", "4.1.0"),
        Model("ION8800", "350", "362"),
    )
}


def model(name: str) -> Model:
    """Return the model of that name, in any case; LocalError naming those there are."""
    found = MODELS.get(name.upper())
    if found is None:
        raise LocalError(f"no model {name!r}; there are {', '.join(MODELS)}")
    return found


@dataclass(frozen=True, slots=True)
class Factory:
    """Device type, serial number, revision and texts; LocalError below the model's first DLMS firmware."""

    device_type: str = "ION8650"
    serial_number: str = "MI-0000A000-01"
    revision: str = ""  # empty: the model's default
    owner: str = ""
    tag_1: str = ""
    tag_2: str = ""

    def __post_init__(self) -> None:
        found = model(self.device_type)
        object.__setattr__(self, "device_type", found.name)
        object.__setattr__(self, "revision", self.revision or found.default_revision)
        if _numbers(self.revision) < _numbers(found.minimum_revision):
            raise LocalError(
                f"{found.name} firmware {self.revision} has no DLMS; it came with {found.minimum_revision}"
            )
        if not self.serial_number.strip():
            raise LocalError("the serial number is empty")

    @property
    def model(self) -> Model:
        """The model this device is one of."""
        return MODELS[self.device_type]

    @property
    def most_sources(self) -> int:
        """Source inputs of a Data Recorder, 16 or 50."""
        return 50 if self.model.many_sources(self.revision) else 16


def _numbers(revision: str) -> tuple[int, ...]:
    """Return a revision as numbers, so that 4.10 is above 4.6; a trailing ".0" is nothing."""
    # "8650V413" is how the meters themselves write it.
    match = re.fullmatch(r"(?:\d{4})?[Vv]?(\d{1,6}(?:\.\d{1,6}){0,3})", revision.strip())
    if match is None:
        raise LocalError(f"{revision!r} is no firmware revision; write it as 2.1.0 or 406")
    numbers = [int(part) for part in match[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
