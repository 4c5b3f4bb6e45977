"""Suite COSEM OBJECTS, access: every attribute of every object with a selector that it does not have."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.apdus import get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.object_list import object_list
from iondlms.conformance.suites.selection import WHOLE, by_entry
from iondlms.conformance.verdict import require

_BB: Final = "62056-62 (Blue Book 4.3)"
_SCOPE: Final = "C401C1010D"
_REFUSED: Final = ("C401C101??", "D80???")


def _selectors(bench: Bench) -> None:
    """Each attribute but a buffer, with a range and with an entry descriptor: an error, or with a remark the
    plain value; never part of one, and no right is gained by it."""
    for item in object_list(bench):
        for number, mode, _ in item.attributes:
            if (item.class_id, number) == (7, 2):
                continue
            for selection in (WHOLE, by_entry(1, 1)):
                answer = bench.ask(get_request(item.class_id, item.name, number, selection))
                where = f"{item} attribute {number} with selector {selection[:2]}"
                if answer[:4].hex() != "c401c100" and answer[:2].hex() != "c402":
                    bench.match(answer.hex(), _SCOPE if mode & 1 else "C401C10103", *_REFUSED, why=where)
                    continue
                require(mode & 1, f"{where} is read, alone it is not")
                bench.remark(f"{where}: the selector is ignored")
                if (item.class_id, number) in ((1, 1), (7, 3), (15, 2)):
                    value = bench.value_of(answer)
                    require(value == bench.read(item.class_id, item.name, number), f"{where}: another value")


def _every_object_whole(bench: Bench) -> None:
    """Attribute 0 of every object but a profile: as many members as attributes; those that stand still are
    what they are alone; what may not be read is null-data."""
    for item in object_list(bench):
        if item.class_id == 7:
            continue  # CO-110
        whole = bench.value(item.class_id, item.name, 0).items()
        numbers = [number for number, _, _ in item.attributes]
        require(len(whole) == len(numbers), f"{item}: {len(whole)} of {len(numbers)} attributes")
        for member, (number, mode, _) in zip(whole, item.attributes, strict=True):
            if not mode & 1:
                require(member.value is None, f"{item} {number} may not be read: null-data is due")
            elif number == 1 or (item.class_id, number) not in _MOVING:
                alone = bench.value(item.class_id, item.name, number)
                require(member == alone, f"{item} {number}: {alone} alone, {member} in attribute 0")


_MOVING: Final = {
    (1, 2),
    (3, 2),
    (4, 2),
    (4, 4),
    (4, 5),
    (5, 2),
    (5, 3),
    (5, 5),
    (5, 6),
    (5, 7),
    (8, 2),
    (8, 4),
}

CASES: Final = (
    Case("CO-107", "every attribute with a selector", "AT", _selectors, _BB, needs=("selective-access",)),
    Case(
        "CO-111",
        "attribute 0 of every object",
        "AT",
        _every_object_whole,
        _BB,
        needs=("attribute-0", "blocks"),
    ),
)
