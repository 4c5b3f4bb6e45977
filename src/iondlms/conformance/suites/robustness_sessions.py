"""Suite ROBUSTNESS: requests in pieces of every length, sessions left at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.conformance.apdus import GET_LIST, GET_NAME, get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.verdict import require


def _in_pieces(bench: Bench) -> None:
    """A range request in pieces of 1, 2, 3... octets: one answer each time, the same."""
    request = get_request(7, bench.profile, 7)
    due = bench.ask(request)
    longest = len(request) // 2 + 16
    sizes = range(1, longest) if bench.access.virtual or not bench.fast else range(1, longest, 6)
    for size in sizes:
        octets = bench.i_frame(request) if bench.framing == "hdlc" else bench.wpdu(request)
        for at in range(0, len(octets), size):
            bench.put(octets[at : at + size])
        answer = bench.take()
        apdu = bench.lsdu(answer) if bench.framing == "hdlc" else bench.opened(answer)
        require(apdu == due, f"in pieces of {size}: {answer.hex()}")


def _pairs_in_pieces(bench: Bench) -> None:
    """A damaged or foreign unit and a good one in one segment, cut anywhere: the good one is answered."""
    due = bench.ask(GET_NAME)
    for cut in range(1, 60, 1 if bench.access.virtual else 9):
        if bench.framing == "hdlc":
            good = bench.i_frame(GET_NAME)
            bad = good[:-3] + bytes((good[-3] ^ 1,)) + good[-2:]
        else:
            good = bench.wpdu(GET_NAME)
            bad = bench.wpdu(GET_NAME, destination=0x7E)
        octets = bad + good
        bench.put(octets[:cut])
        bench.put(octets[cut:])
        answer = bench.take()
        if bench.framing == "wrapper" and bench.closed:
            bench.remark("a WPDU to another port ends the connection")
            bench.connect()
            bench.renew()
            continue
        apdu = bench.lsdu(answer) if bench.framing == "hdlc" else bench.opened(answer)
        require(apdu == due, f"cut at {cut}: {answer.hex()}")


def _left_at_every_step(bench: Bench) -> None:
    """A client that goes away after each step of a session, even in the middle of a frame: the next one
    gets in, and finds nothing of it."""
    for step in range(len(_STEPS)):
        for do in _STEPS[: step + 1]:
            do(bench)
        if bench.access.sockets or bench.access.virtual:
            bench.connect()
        else:
            bench.wait_inter_frame()
        bench.send_number = bench.receive_number = 0
        bench.information = bench.cti.hdlc.max_information
        bench.enter("R" if bench.framing == "hdlc" else "T")
        bench.expect("C002C100000001", "D80102", "", "D8010?", why=f"left after step {step + 1}")
        if bench.closed:
            bench.connect()
            bench.enter("R" if bench.framing == "hdlc" else "T")
        bench.works()


def _open(bench: Bench) -> None:
    bench.enter("R" if bench.framing == "hdlc" else "T")


def _associate(bench: Bench) -> None:
    bench.associate(bench.own_aarq(size=64))


def _first_block(bench: Bench) -> None:
    bench.ask(GET_LIST)


def _second_block(bench: Bench) -> None:
    bench.apdu("C002C100000001")


def _half_a_frame(bench: Bench) -> None:
    octets = bench.i_frame("C002C100000002") if bench.framing == "hdlc" else bench.wpdu("C002C100000002")
    bench.put(octets[:-4])


_STEPS: Final[tuple[Callable[[Bench], None], ...]] = (
    _open,
    _associate,
    _first_block,
    _second_block,
    _half_a_frame,
)
_CLAUSE: Final = "62056-46; 62056-47"

CASES: Final = (
    Case("RB-114", "a request in pieces of every length", "AT", _in_pieces, _CLAUSE, needs=("profile",)),
    Case("RB-115", "a bad unit and a good one, cut anywhere", "AT", _pairs_in_pieces, _CLAUSE),
    Case("RB-116", "sessions left at every step", "NT", _left_at_every_step, _CLAUSE, needs=("blocks",)),
)
