"""Suite BLOCK TRANSFER: what may come between two blocks and change nothing, and long values of profiles."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.apdus import GET_LIST, GET_NAME, get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, F, sized
from iondlms.conformance.suites.block_transfer import gone, next_block
from iondlms.conformance.suites.selection import WHOLE, by_entry
from iondlms.conformance.verdict import Inapplicable, require

_GB: Final = "Green Book 9.4.6.3, 9.3.6"
_NEEDS: Final = ("blocks",)
_SMALL: Final = tuple(range(12, 141))


def _first(bench: Bench) -> None:
    answer = bench.ask(GET_LIST)
    if answer[:4].hex() == "c401c100":
        raise Inapplicable("object_list comes in one answer")
    require(answer[:9].hex() == "c402c1000000000100", f"the first block is due: {answer[:12].hex()}")


def _goes_on(bench: Bench, number: int, why: str) -> None:
    text = next_block(bench, number)
    require(text.startswith(f"C402C100{number + 1:08X}00"), f"block {number + 1} is due {why}: {text[:20]}")


def _other_sap(bench: Bench) -> int:
    return next(sap for sap in (1, 16, 2) if sap != bench.sap)


def _link_between(bench: Bench) -> None:
    """RR, RNR, UI without P, frames to and of other stations, damaged frames and noise between two blocks:
    the next block comes."""
    _first(bench)
    own = bench.receive_number << 5
    between = (
        ("RR", F(own | 0x11), True),
        ("RNR", F(own | 0x15), True),
        ("UI", F(0x03, "E6E600" + GET_NAME), False),
        ("RR of another station", F(0x11, destination="00020007"), False),
        ("DISC of another client", F(0x53, source=f"{_other_sap(bench) << 1 | 1:02X}"), True),
        ("a damaged frame", F(0x53, spoil_fcs=1), False),
    )
    for number, (what, frame, answered) in enumerate(between, 1):
        if what in ("RR", "RNR"):
            frame = F(bench.receive_number << 5 | (0x11 if what == "RR" else 0x15))
        answer = bench.send(frame.octets(bench), int(answered))
        if what != "DISC of another client":
            require(bool(answer) == answered, f"{what} gets {answer.hex() or 'nothing'}")
        _goes_on(bench, number, f"after {what}")


def _client_between(bench: Bench) -> None:
    """Another client on the same line, without an association, between two blocks: it gets no data, and the
    next block comes to the one that asked."""
    own = bench.sap
    if bench.framing == "hdlc":
        bench.sap = _other_sap(bench)
        bench.disc()  # what a case before may have left of it on a serial line
        bench.sap = own
    _first(bench)
    numbers = bench.send_number, bench.receive_number
    for number in (1, 2):
        bench.sap = _other_sap(bench)
        if bench.framing == "wrapper":
            request = f"C002C1{number:08X}" if number == 1 else GET_NAME
            answer = bench.send(bench.wpdu(request))
            text = answer[8:].hex().upper()
            bench.match(text, "D80102", "", "D8010?", why="the other client")
        else:
            octets = F(0x10, f"E6E600C002C1{number:08X}").octets(bench)
            frames = bench.frames(bench.send(octets))
            require([it.control for it in frames] in ([0x1F], []), f"the other client gets {frames}")
        bench.sap = own
        bench.send_number, bench.receive_number = numbers
        _goes_on(bench, number, "after the other client's request")
        numbers = bench.send_number, bench.receive_number


def _by_selection(bench: Bench) -> None:
    """A GET with selective access, and one of attribute 0, are answered; the transfer before is over."""
    requests = [get_request(7, bench.profile, 2, by_entry(1, 1)), get_request(7, bench.profile, 2, WHOLE)]
    for request in requests:
        _first(bench)
        require(bench.ask(request)[:2].hex() in ("c401", "c402"), "a GET with selective access")
        if bench.answers[-1][1] == 1:
            gone(bench, 1, "after a GET with selective access")
            continue
        # Its own transfer is running now: block 2 is of that one.
        require(bench.joined(bench.answers[-1]) == bench.read(7, bench.profile, 2, WHOLE), "its own blocks")


def _rows_at_every_size(bench: Bench) -> None:
    """The same three rows at each client PDU size from 12 to 140, no APDU over it."""
    if len(bench.rows()) < 3:
        raise Inapplicable("the profile has fewer than three rows")
    selection, whole = by_entry(1, 3), b""
    for size in _SMALL if bench.access.virtual else _SMALL[:: 8 if bench.fast else 1]:
        bench.associate(bench.own_aarq(size=size))
        bench.answers.clear()
        value = bench.read(7, bench.profile, 2, selection)
        require(max(map(len, bench.answers)) <= size, f"an APDU over {size}")
        whole = whole or value
        require(value == whole, f"other rows at a size of {size}")


CASES: Final = (
    Case("BT-11g", "frames between two blocks", "A", _link_between, _GB, aarq=sized(128), needs=_NEEDS),
    Case(
        "BT-11h",
        "another client between two blocks",
        "AT",
        _client_between,
        _GB,
        aarq=sized(128),
        needs=_NEEDS,
    ),
    Case(
        "BT-11i",
        "selective access during a long get",
        "AT",
        _by_selection,
        _GB,
        aarq=sized(128),
        needs=(*_NEEDS, "selective-access", "profile"),
    ),
    Case(
        "BT-109",
        "sizes 12 to 140: rows by entry",
        "AT",
        _rows_at_every_size,
        _GB,
        aarq=sized(128),
        needs=(*_NEEDS, "selective-access", "profile"),
    ),
)
