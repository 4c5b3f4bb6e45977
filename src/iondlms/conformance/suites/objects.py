"""Suite COSEM OBJECTS, the generic part: any meter's object_list, walked against `classes.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iondlms.codec.axdr import decode
from iondlms.codec.obis import ObisCode
from iondlms.conformance.apdus import (
    ASSOCIATION,
    DEVICE_NAME,
    GET_LIST,
    SAP_ASSIGNMENT,
    get_request,
    set_request,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.classes import class_of
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.object_list import Listed, object_list
from iondlms.conformance.suites.objects_values import context_info, mechanism, partners
from iondlms.conformance.verdict import Failure, Inapplicable, require
from iondlms.errors import DecodeError

_UNREADABLE: Final = "C401C10103"


def _attributes(bench: Bench) -> Iterator[tuple[Listed, int, int]]:
    for item in object_list(bench):
        for number, mode, _ in item.attributes:
            yield item, number, mode


def _well_formed(bench: Bench) -> None:
    """An array of {class, version, name, rights} as the class is declared; no object twice; every attribute
    of a known class listed once, in order; no method that could be called where ACTION is not offered."""
    known = class_of(15, 1)
    if known is not None:
        fault = dict(known.attributes)["object_list"](bench.value(15, ASSOCIATION))
        require(not fault, f"object_list: {fault}")
    seen: set[tuple[int, str]] = set()
    for item in object_list(bench):
        require((item.class_id, item.name) not in seen, f"{item} is listed twice")
        seen.add((item.class_id, item.name))
        numbers = [number for number, _, _ in item.attributes]
        described = class_of(item.class_id, item.version)
        if described is None:
            bench.remarks.append(f"class {item.class_id} version {item.version} is not known to this tester")
        elif [number for number in numbers if number > 0] != [*range(1, len(described.attributes) + 1)]:
            require(set(numbers) and len(set(numbers)) == len(numbers), f"{item}: attributes {numbers}")
            bench.remark(f"{item}: attributes {numbers} of {len(described.attributes)} are listed")


def _types(bench: Bench) -> None:
    """Every readable attribute of every object of a known class has the type that the class declares."""
    for item, number, mode in _attributes(bench):
        described = class_of(item.class_id, item.version)
        if described is None or not mode & 1 or not 1 <= number <= len(described.attributes):
            continue
        name, type_ = described.attributes[number - 1]
        if (item.class_id, number) == (7, 2):
            continue  # CO-23 and the suites on selective access and blocks read buffers
        answer = bench.ask(get_request(item.class_id, item.name, number))
        if answer[:2].hex() == "c401" and answer[3] == 1:
            raise Failure(f"{item} attribute {number} is listed as readable and refused: {answer.hex()}")
        try:
            fault = type_(decode(bench.value_of(answer)))
        except DecodeError as error:
            fault = str(error)
        require(not fault, f"{item} attribute {number} ({name}): {fault}")


def _against_reality(bench: Bench) -> None:
    """What is listed as readable is read, anything else refused with read-write-denied; attribute 1 is the
    listed name; the attribute beyond the last is an error."""
    for item in object_list(bench):
        for number, mode, _ in item.attributes:
            answer = bench.ask(get_request(item.class_id, item.name, number))
            refused = answer[1:2] == b"\1" and answer[3:4] == b"\1"
            require(refused == (not mode & 1), f"{item} {number}: mode {mode}, answer {answer[:8].hex()}")
            if refused:
                bench.match(answer.hex(), _UNREADABLE, "C401C101??", why=f"{item} {number}")
        name = bench.value(item.class_id, item.name, 1).octets()
        require(name == ObisCode.parse(item.name).octets, f"attribute 1 of {item} is {name.hex()}")
        beyond = max((number for number, _, _ in item.attributes), default=0) + 1
        answer = bench.ask(get_request(item.class_id, item.name, beyond))
        due = f"C401C101{bench.cti.application.unknown_object:02X}"
        bench.match(answer.hex(), due, "C401C101??", "D80???", why=f"attribute {beyond} of {item}")


def _every_write(bench: Bench) -> None:
    """SET of each attribute that is not listed as writable: read-write-denied, with null-data and with the
    value that it has; the value is unchanged."""
    if not bench.cti.objects.ion:
        raise Inapplicable("another maker's meter may change what it does not list as writable")
    for item, number, mode in _attributes(bench):
        if mode & 2 or (item.class_id, number) in ((7, 2), (15, 2)):
            continue
        for value in ("00", "1100", "090100"):
            answer = bench.ask(set_request(value, item.class_id, item.name, number))
            require(answer.hex().upper() == "C501C103", f"SET of {item} {number}: {answer.hex()}")
        if mode & 1 and (item.class_id, number) in ((1, 2), (7, 4), (8, 3), (8, 9)):
            own = bench.read(item.class_id, item.name, number).hex()
            answer = bench.ask(set_request(own, item.class_id, item.name, number))
            require(answer.hex().upper() == "C501C103", f"SET of {item} {number}: {answer.hex()}")
            same = bench.read(item.class_id, item.name, number).hex()
            require(
                (item.class_id, item.name) == (1, "0-0:97.97.0*255") or own == same,
                f"{item} {number} changed",
            )


def _every_write_refused(bench: Bench) -> None:
    """SET by a client that has not negotiated it: an exception, for every attribute of every object."""
    for item, number, _ in _attributes(bench):
        bench.expect(set_request("00", item.class_id, item.name, number), "D80102", "", "D80???", "C501C1??")


def _every_method(bench: Bench) -> None:
    """ACTION on every method that any class declares: an exception, or an error; none is executed."""
    before = bench.read(15, ASSOCIATION)
    for item in object_list(bench):
        described = class_of(item.class_id, item.version)
        highest = max((described.methods if described else 0), *(n for n, _ in item.methods), 0)
        for method in range(1, highest + 1):
            octets = item.class_id.to_bytes(2, "big") + ObisCode.parse(item.name).octets
            request = f"C301C1{octets.hex()}{method:02X}010F00".upper()
            bench.expect(request, "D80102", "", "D80???", "C701C1??*", why=f"method {method} of {item}")
    require(bench.read(15, ASSOCIATION) == before, "object_list has changed")


def _outside(bench: Bench) -> None:
    """Attributes below 0 and beyond the last, of every object: an error, and never a value."""
    for item in object_list(bench):
        last = max((number for number, _, _ in item.attributes), default=0)
        for number in (last + 1, last + 2, 0x7F, 0x80, 0xFF):
            if number in {n & 0xFF for n, _, _ in item.attributes}:
                continue
            answer = bench.ask(get_request(item.class_id, item.name, number))
            refused = answer[0] == 0xD8 or (answer[:2].hex() == "c401" and answer[3] == 1)
            require(refused, f"attribute {number} of {item}: {answer[:12].hex()}")


def _other_class(bench: Bench) -> None:
    """Every object asked for under another class: an error."""
    due = "C401C10109"
    items = object_list(bench)
    listed = {(item.class_id, item.name) for item in items}
    for item in items:
        for class_id in (1, 3, 7, 8, 9, 15):
            if (class_id, item.name) not in listed:
                answer = bench.ask(get_request(class_id, item.name, 1))
                bench.match(answer.hex(), due, "C401C101??", "D80???", why=f"{item.name} as class {class_id}")


def _nothing_hidden(bench: Bench) -> None:
    """What is captured is listed and readable, or refused and not listed; never one without the other."""
    items = object_list(bench)
    listed = {(item.class_id, item.name) for item in items}
    profiles = [item for item in items if item.class_id == 7]
    if not profiles:
        raise Inapplicable("there is no profile")
    for profile in profiles:
        for captured in bench.value(7, profile.name, 3).items():
            class_id, name, *_ = captured.items()
            key = class_id.integer(), str(ObisCode(name.octets()))
            answer = bench.ask(get_request(*key, 1))
            readable = answer[:4].hex() == "c401c100"
            require(readable == (key in listed), f"{key}: listed {key in listed}, readable {readable}")


def _mandatory(bench: Bench) -> None:
    """Association, SAP assignment and logical device name are listed."""
    listed = {(item.class_id, item.name) for item in object_list(bench)}
    missing = {(15, ASSOCIATION), (1, DEVICE_NAME)} - listed
    require(not missing, f"missing: {missing}")
    if (17, SAP_ASSIGNMENT) not in listed:
        bench.remark("there is no SAP assignment: it is a must of a management logical device only")


def _secret(bench: Bench) -> None:
    """read-write-denied, and the secret is nowhere in what the meter sends."""
    answer = bench.ask(get_request(15, ASSOCIATION, 7))
    bench.match(answer.hex(), _UNREADABLE, "C401C101??", why="secret")
    if bench.password is not None:
        bench.value(15, ASSOCIATION)
        require(bench.password not in b"".join(bench.answers), "the secret is in an answer")


def _later_versions(bench: Bench) -> None:
    """Attribute 9 from version 1 on, 10 and 11 from version 2 on; an error below."""
    version = next((it.version for it in object_list(bench) if it.name == ASSOCIATION), 0)
    for attribute, since in ((9, 1), (10, 2), (11, 2)):
        answer = bench.ask(get_request(15, ASSOCIATION, attribute)).hex()
        readable = answer.startswith("c401c100")
        require(readable == (version >= since), f"attribute {attribute} of version {version}: {answer[:16]}")


def _rights(bench: Bench) -> None:
    """Nothing is listed as writable to a client that negotiated no SET."""
    writable = [(str(item), number) for item, number, mode in _attributes(bench) if mode & 2]
    if bench.conformance & 0x08:
        require(not bench.cti.objects.ion or len(writable) <= 1, f"writable: {writable}")
    elif writable:
        bench.remark(f"listed as writable without SET in the conformance: {writable}")


def _repeatable(bench: Bench) -> None:
    """Two walks agree in all that does not move: names, scalers, capture objects, periods, rights."""

    def walk() -> dict[tuple[str, int], bytes]:
        return {
            (item.name, number): bench.read(item.class_id, item.name, number)
            for item, number, mode in _attributes(bench)
            if mode & 1 and (number == 1 or (item.class_id, number) in _STILL)
        }

    require(walk() == walk(), "two walks differ")


_STILL: Final = {
    (1, 1),
    (3, 3),
    (4, 3),
    (7, 3),
    (7, 4),
    (7, 5),
    (7, 6),
    (7, 8),
    (8, 3),
    (15, 2),
    (15, 3),
    (17, 2),
}


def _each_alone(bench: Bench) -> None:
    """Every readable attribute read in an association of its own has the value it has in a row of many."""
    wanted = [(item, n) for item, n, mode in _attributes(bench) if mode & 1 and (item.class_id, n) in _STILL]
    together = [bench.read(item.class_id, item.name, number) for item, number in wanted]
    for (item, number), value in list(zip(wanted, together, strict=True))[:40]:
        bench.renew()
        require(bench.read(item.class_id, item.name, number) == value, f"{item} {number} alone")


def _list_again(bench: Bench) -> None:
    """object_list is the same octets however often and by whatever PDU size it is read."""
    first = bench.read(15, ASSOCIATION)
    for size in (0x04B0, 100, 0xFFFF):
        bench.associate(bench.own_aarq(size=size))
        require(bench.value_of(bench.ask(GET_LIST)) == first, f"another list at a PDU size of {size}")


_BOTH: Final = (
    ("CO-02", "object_list against reality", _against_reality, ()),
    ("CO-02b", "every attribute has its declared type", _types, ()),
    ("CO-05", "associated partners", partners, ()),
    ("CO-07", "xDLMS context info", context_info, ()),
    ("CO-08", "authentication mechanism name", mechanism, ()),
    ("CO-09", "LLS secret hidden", _secret, ()),
    ("CO-14", "write access as the client has it", _rights, ()),
)
_BB: Final = "62056-62 (Blue Book 4.3)"

CASES: Final = (
    Case("CO-01", "object_list well formed", "AT", _well_formed, _BB),
    *(Case(id_, text, "AT", script, _BB, needs=needs) for id_, text, script, needs in _BOTH),
    *(
        Case(f"{id_}-lls", text, "AT", script, _BB, client="setting", needs=needs)
        for id_, text, script, needs in _BOTH
    ),
    Case("CO-03", "nothing hidden", "AT", _nothing_hidden, _BB),
    Case("CO-04", "mandatory objects present", "AT", _mandatory, _BB),
    Case("CO-11", "version-dependent attributes", "AT", _later_versions, _BB),
    Case("CO-29", "reading is repeatable", "AT", _repeatable, _BB),
    Case(
        "CO-100",
        "SET of every attribute without the right",
        "AT",
        _every_write,
        _BB,
        client="setting",
        needs=("set",),
    ),
    Case(
        "CO-101", "SET of every attribute, not negotiated", "AT", _every_write_refused, _BB, needs=("no-set",)
    ),
    Case(
        "CO-102", "ACTION on every method", "AT", _every_method, _BB, client="setting", needs=("no-action",)
    ),
    Case("CO-103", "attributes beyond the class", "AT", _outside, _BB),
    Case("CO-104", "every object under another class", "AT", _other_class, _BB),
    Case("CO-105", "each attribute in an association of its own", "AT", _each_alone, _BB),
    Case("CO-106", "object_list is the same each time", "AT", _list_again, _BB, needs=("blocks",)),
)
