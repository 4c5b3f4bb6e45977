"""Suite BLOCK TRANSFER, sizes: one value at every size of the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.conformance.apdus import (
    ASSOCIATION,
    DEVICE_NAME,
    GET_LIST,
    GET_NAME,
    get_request,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, sized
from iondlms.conformance.suites.selection import WHOLE
from iondlms.conformance.verdict import Inapplicable, require

_RAW_OVERHEAD: Final = 10  # of a datablock of up to 127 raw octets


def _next(bench: Bench, number: int, invoke: str = "C1") -> str:
    answer = bench.apdu(f"C002{invoke}{number:08X}")
    return "" if answer is None else answer.hex().upper()


def _read_at(bench: Bench, name: str, size: int) -> bytes:
    """Read a long value in an association of that PDU size; no APDU may be longer."""
    bench.associate(bench.own_aarq(size=size))
    bench.answers.clear()
    class_id, code, attribute = _LONG[name](bench)
    value = bench.read(class_id, code, attribute)
    longest = max(map(len, bench.answers))
    require(not size or longest <= size, f"an APDU of {longest} for a size of {size}")
    return value


def _sizes(name: str, sizes: tuple[int, ...], step: int = 1) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        whole = None
        # On a real line a long value is read at each `step`th size only: all of them take minutes there.
        chosen = sizes if bench.access.virtual else sizes[::step]
        if bench.hurried and step > 1:
            # The smallest takes as long as all others together, and is tried on shorter values.
            chosen = chosen[1::3]
        for size in chosen:
            value = _read_at(bench, name, size)
            if whole is None:
                whole = value
            elif value != whole:
                # A meter that runs may have recorded a row in between: both are read anew.
                whole, value = _read_at(bench, name, sizes[0]), _read_at(bench, name, size)
            require(value == whole, f"another value at a size of {size}")

    script.__doc__ = (
        f"No APDU over the client's size, and the same value of {name} at each of {len(sizes)} sizes."
    )
    return script


_LONG: Final[dict[str, Callable[[Bench], tuple[int, str, int]]]] = {
    "object_list": lambda _: (15, ASSOCIATION, 2),
    "capture_objects": lambda bench: (7, bench.profile, 3),
    "the logical device name": lambda _: (1, DEVICE_NAME, 2),
    "the profile's attributes 1 to 8": lambda bench: (7, bench.profile, 0),
}


_SMALL: Final = tuple(range(12, 141))


_SPARSE: Final = (12, 13, 21, 22, 23, 63, 64, 65, 125, 126, 127, 128, 137, 138, 139, 140)


_LARGE: Final = (141, 200, 255, 256, 257, 266, 267, 268, 512, 1023, 1024, 1025, 0xFFFE, 0xFFFF, 0)


def _fits_exactly(bench: Bench) -> None:
    """An answer of as many octets as the size comes whole; of one octet more in blocks."""
    name = bench.read(1, DEVICE_NAME)
    octets = len(name) + 4
    for size, form in ((octets, "c401"), (octets + 1, "c401"), (octets - 1, "c402")):
        bench.associate(bench.own_aarq(size=size))
        answer = bench.ask(GET_NAME)
        require(answer[:2].hex() == form and len(answer) <= size, f"size {size}: {answer.hex()}")


def _smallest(bench: Bench) -> None:
    """Blocks of two raw octets; or a refusal; never an APDU over 12."""
    name = bench.read(1, DEVICE_NAME)
    bench.associate(bench.own_aarq(size=12))
    bench.answers.clear()
    answer = bench.ask(GET_NAME)
    require(len(answer) <= 12, f"an APDU of {len(answer)} octets")
    if answer[:2].hex() != "c402":
        bench.match(answer.hex(), "D80104", "D80???", "C401C101??", why="a size of 12")
        bench.remark(f"nothing can be read at a size of 12: {answer.hex()}")
        return
    require(bench.joined(answer) == name, "the name")
    sizes = [len(block) for block in bench.answers]
    due = -(-len(name) // 2)
    require(sizes == [12] * (due - 1) + [_RAW_OVERHEAD + (len(name) - 1) % 2 + 1], f"blocks of {sizes}")


def _two_blocks(bench: Bench) -> None:
    """30 raw octets a block, as in the Green Book's example."""
    bench.associate(bench.own_aarq(size=40))
    answer = bench.ask(GET_LIST)
    require(answer[:9].hex() == "c402c1000000000100" and len(answer) <= 40, answer.hex())
    if answer[9] != 30:
        bench.remark(f"blocks of {answer[9]} raw octets where 30 fit")
        return
    second = _next(bench, 1)
    require(second.startswith("C402C10000000002001E") and len(second) == 80, second)


def _selective(bench: Bench) -> None:
    """The rows of the plain read; GET-next carries no selector."""
    due = bench.read(7, bench.profile)
    if not bench.rows():
        raise Inapplicable("the profile is empty")
    bench.associate(bench.own_aarq(size=64))
    bench.answers.clear()
    answer = bench.ask(get_request(7, bench.profile, 2, WHOLE))
    value = bench.value_of(answer)
    require(value == due, "rows differ from the plain read")
    require(max(map(len, bench.answers)) <= 64, "an APDU over 64")


def _selective_sizes(bench: Bench) -> None:
    """The same rows at any size: the selection is of the request, not of the block."""
    due = None
    for size in (40, 64, 99, 125, 126, 200, 0xFFFF):
        bench.associate(bench.own_aarq(size=size))
        value = bench.read(7, bench.profile, 2, WHOLE)
        due = value if due is None else due
        require(value == due, f"other rows at a size of {size}")


_GB: Final = "Green Book 9.4.6.3, 9.3.6"


_AT_128: Final = sized(128)


_NEEDS: Final = ("blocks",)


def _case(id_: str, purpose: str, script: Callable[[Bench], None], *needs: str, client: bool = False) -> Case:
    role = "setting" if client else "public"
    return Case(id_, purpose, "AT", script, _GB, role, _AT_128, (*_NEEDS, *needs))  # type: ignore[arg-type]


CASES: Final = (
    _case("BT-02", "block equals single", _sizes("object_list", (*_SPARSE, *_LARGE))),
    _case("BT-03", "fits exactly", _fits_exactly),
    _case("BT-04", "smallest size", _smallest),
    _case("BT-05", "Green Book example form", _two_blocks),
    _case("BT-17", "blocks with selective access", _selective, "selective-access", "profile"),
    _case("BT-17b", "selective access at every size", _selective_sizes, "selective-access", "profile"),
    _case("BT-100", "sizes 12 to 140: capture_objects", _sizes("capture_objects", _SMALL), "profile"),
    _case("BT-101", "sizes 12 to 140: logical device name", _sizes("the logical device name", _SMALL)),
    _case(
        "BT-102",
        "sizes 12 to 140: attribute 0 of a profile",
        _sizes("the profile's attributes 1 to 8", _SMALL, 7),
        "profile",
        "attribute-0",
    ),
    _case("BT-103", "sizes 12 to 140: object_list", _sizes("object_list", _SMALL, 4)),
    _case("BT-104", "large sizes: capture_objects", _sizes("capture_objects", _LARGE), "profile"),
)
