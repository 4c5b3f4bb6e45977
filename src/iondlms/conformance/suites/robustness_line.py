"""Suite ROBUSTNESS, the line: noise, splits, other stations, half-open sessions, long ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from iondlms.conformance.apdus import (
    GET_LIST,
    GET_NAME,
    GET_OWN_NAME,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, F
from iondlms.conformance.suites.link_frames import (
    RR_0,
    SNRM,
    accepts,
    is_ua,
    link_is,
    own_aarq_frame,
    rr_of,
    ua,
)
from iondlms.conformance.verdict import require


def _slow_frame(bench: Bench) -> None:
    """An octet at a time, each after more than the inter-frame time-out: no frame; then a whole one is."""
    frame = SNRM.octets(bench)
    rounds = 360 if bench.access.virtual else (4 if bench.fast else 12)
    for index in range(rounds):
        bench.put(frame[index % len(frame) :][:1])
        bench.wait_inter_frame()
    is_ua(bench, bench.send(frame), ua(bench), "a whole frame")


def _slow_stream(bench: Bench) -> None:
    """An octet at a time over TCP, slowly: it loses nothing, so the AARE comes."""
    request = bench.wpdu(bench.own_aarq())
    pause = (
        10.0 if bench.access.virtual else min(0.1 if bench.fast else 0.25, bench.cti.line.inactivity_s / 20)
    )
    for octet in request[:-1]:
        bench.put(bytes((octet,)))
        bench.wait(pause)
    answer = bench.send(request[-1:])
    require(bench.opened(answer)[:1] == b"\x61", f"AARE due: {answer.hex()}")


def _endless_flags(bench: Bench) -> None:
    """A MiB of flags is no frame; then a frame is."""
    for _ in range(16):
        bench.put(b"\x7e" * 65536)
        require(bench.take(0) == b"", "flags are no frames")
    is_ua(bench, bench.send(SNRM.octets(bench)), ua(bench), "a frame behind them")


def _endless_length(bench: Bench) -> None:
    """Headers that announce the longest frame and no end: nothing; then a frame is answered."""
    for _ in range(8):
        bench.put(bytes.fromhex("7EA7FF") + b"\x55" * 3000)
        head = b"\x7e\xa7\xff" + bench.server_address + bench.client_address + b"\x10"
        bench.put(head * 300)
        require(bench.take(0) == b"", "no frame")
    bench.wait_inter_frame()
    is_ua(bench, bench.send(SNRM.octets(bench)), ua(bench), "a frame behind it")


def _any_split(bench: Bench) -> None:
    """A request cut in two at every octet: one answer each time, the same."""
    due = bench.ask(GET_NAME)
    length = len(bench.i_frame(GET_NAME) if bench.framing == "hdlc" else bench.wpdu(GET_NAME))
    if bench.framing == "hdlc":
        bench.send_number = (bench.send_number - 1) & 7  # that one was only measured
    for cut in range(1, length):
        octets = bench.i_frame(GET_NAME) if bench.framing == "hdlc" else bench.wpdu(GET_NAME)
        bench.put(octets[:cut])
        bench.put(octets[cut:])
        answer = bench.take()
        apdu = bench.lsdu(answer) if bench.framing == "hdlc" else bench.opened(answer)
        require(apdu == due, f"cut at {cut}: {answer.hex()}")


def _associate_split(bench: Bench) -> None:
    """SNRM and AARQ cut in two at every octet: the association opens each time."""
    length = len(bench.own_aarq()) // 2 + (20 if bench.framing == "hdlc" else 8)
    for cut in range(1, length, 1 if bench.access.virtual else 5):
        if bench.framing == "hdlc":
            snrm, request = SNRM.octets(bench), own_aarq_frame(bench).octets(bench)
            bench.put(snrm[: min(cut, len(snrm) - 1)])
            is_ua(bench, bench.send(snrm[min(cut, len(snrm) - 1) :]), ua(bench), f"cut at {cut}")
            bench.put(request[: min(cut, len(request) - 1)])
            accepts(bench, bench.send(request[min(cut, len(request) - 1) :]), 0x30, f"cut at {cut}")
        else:
            request = bench.wpdu(bench.own_aarq())
            bench.put(request[: min(cut, len(request) - 1)])
            answer = bench.send(request[min(cut, len(request) - 1) :])
            require(bench.opened(answer)[:1] == b"\x61", f"cut at {cut}: {answer.hex()}")


def _noise(*noise: str) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        for text in noise[::2] if bench.hurried else noise:
            octets = bytes.fromhex(
                text.replace("ADDR", bench.server_address.hex() + bench.client_address.hex())
            )
            answer = bench.send(octets, 0)
            require(answer == b"", f"noise {octets.hex()} is answered: {answer.hex()}")
            bench.wait_inter_frame()
            link_is(bench, "NRM", f"after noise {octets.hex()}")

    script.__doc__ = "Noise gets nothing; once the inter-frame time-out has passed, RR gets RR as before."
    return script


def _noise_before(bench: Bench) -> None:
    """Noise right before a frame that is no header: the frame is answered."""
    for text in ("00", "FF", "55AA", "A0", "A07E", "7E", "7E7E7E", "0D0A", "7E00", "A00A"):
        answer = bench.send(bytes.fromhex(text) + RR_0.octets(bench))
        if not answer:
            # What looks like the start of a frame may swallow the frame behind it, until the time-out.
            bench.remark(f"{text} swallows the frame behind it")
            bench.wait_inter_frame()
            answer = bench.send(RR_0.octets(bench))
        require(answer == rr_of(bench), f"RR behind {text}: {answer.hex()}")


def _header_before(bench: Bench) -> None:
    """What looks like a header, then a good frame: answered at once or after the time-out, never lost for
    good, never twice."""
    lengths = (10, 11, 30, 46, 0x7FF)
    for length in lengths[::2] if bench.hurried else lengths:
        fake = bytes((0x7E, 0xA0 | length >> 8, length & 0xFF))
        answer = bench.send(fake + bench.server_address + RR_0.octets(bench), 0)
        require(answer in (b"", rr_of(bench)), f"behind a header of {length}: {answer.hex()}")
        bench.wait_inter_frame()
        link_is(bench, "NRM", f"behind a header of {length}")


def _good_behind_bad(bench: Bench) -> None:
    """A frame with a wrong FCS, then a good one with its own flags: the good one is answered."""
    bad = F(0x11, spoil_fcs=1).octets(bench)
    for between in (b"", b"\x7e", b"\x7e\x7e\x7e"):
        answer = bench.send(bad + between + RR_0.octets(bench))
        require(answer == rr_of(bench), f"behind a bad frame: {answer.hex()}")


def _foreign_traffic(bench: Bench) -> None:
    """Frames to and from other stations on the same line change nothing and get nothing."""
    other = F(0x10, "E6E600" + GET_NAME, destination="00020007", source="41").octets(bench)
    answer_of_other = F(0x30, "E6E700C401C10000", destination="41", source="00020007").octets(bench)
    for octets in (other, answer_of_other, other + answer_of_other):
        answer = bench.send(octets, 0)
        require(answer == b"", f"another's frame is answered: {answer.hex()}")
        link_is(bench, "NRM", "after another's frames")


def _own_answer_echoed(bench: Bench) -> None:
    """The meter's own frame coming back (an echo) is nothing to it."""
    answer = bench.send(RR_0.octets(bench))
    echoed = bench.send(answer, 0)
    require(echoed == b"", f"its own frame is answered: {echoed.hex()}")
    link_is(bench, "NRM", "after an echo")


def _long_session(bench: Bench) -> None:
    """Hundreds of requests: sequence numbers turn over many times, every answer is right."""
    due = {request: bench.ask(request) for request in (GET_NAME, GET_OWN_NAME)}
    rounds = 400 if bench.access.virtual else 60
    for request in itertools.islice(itertools.cycle((GET_NAME, GET_OWN_NAME)), rounds):
        require(bench.ask(request) == due[request], "another answer")
        bench.answers.clear()


def _polls_between(bench: Bench) -> None:
    """RR between requests, once, twice, with repeats: the numbers stay in step over a long session."""
    due = bench.ask(GET_NAME)
    for number in range(40):
        request = bench.i_frame(GET_NAME)
        first = bench.send(request)
        if number % 3 == 0:
            require(bench.send(request) == first, "a repeated request gets the same frame")
        if number % 4 == 0:
            require(bench.send(bench.receive_ready()) == first, "RR fetches the lost answer")
        require(bench.lsdu(first) == due, f"answer {number}")
        if number % 2:
            link_is(bench, "NRM", f"after answer {number}")


def _half_open(bench: Bench) -> None:
    """Links set up and never associated, associations never released: the next one works."""
    for _ in range(20):
        if bench.framing == "hdlc":
            bench.snrm()
            if bench.access.sockets or bench.access.virtual:
                bench.connect()
        else:
            bench.associate()
            bench.connect()
    if bench.framing == "hdlc":
        bench.snrm()
    bench.works()


def _abandoned_request(bench: Bench) -> None:
    """A request of which the answer is never fetched, then a new line or link: nothing of the old is left."""
    for _ in range(5):
        bench.put(bench.i_frame(GET_LIST) if bench.framing == "hdlc" else bench.wpdu(GET_LIST))
        if bench.access.sockets or bench.access.virtual:
            bench.connect()
        else:
            bench.take()
        bench.renew()
        require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "the new association")


def _snrm_storm(bench: Bench) -> None:
    """SNRM a hundred times in a row, and DISC a hundred times: each is answered as the first."""
    for _ in range(100):
        bench.snrm()
    bench.disc()
    for _ in range(100):
        bench.disc()
    bench.snrm()
    bench.works()


_ISO: Final = "ISO 13239 5.6.3; 62056-46 6.4.4.9"


CASES: Final = (
    Case("RB-07", "slow sender", "N", _slow_frame, "62056-46 6.4.4.10.4"),
    Case("RB-07b", "slow sender over TCP", "T", _slow_stream, "62056-47"),
    Case("RB-08", "endless flags", "N", _endless_flags, _ISO),
    Case("RB-08b", "endless length", "N", _endless_length, _ISO),
    Case("RB-100", "a request cut in two anywhere", "AT", _any_split, "62056-46; 62056-47"),
    Case("RB-101", "SNRM and AARQ cut in two anywhere", "NT", _associate_split, "62056-46; 62056-47"),
    Case(
        "RB-102",
        "noise that looks like a header",
        "R",
        _noise(
            "7EA0", "7EA00A", "7EA00AADDR", "7EA7FFADDR10", "A00AADDR11", "7EA0FF", "7EAFFF", "7EA004ADDR"
        ),
        _ISO,
    ),
    Case(
        "RB-103",
        "noise that looks like nothing",
        "R",
        _noise("00", "FF", "55" * 50, "00" * 200, "FF" * 200, "A0" * 50, "E6E600", "0001001000010000"),
        _ISO,
    ),
    Case("RB-104", "noise right before a frame", "R", _noise_before, _ISO),
    Case("RB-105", "a header right before a frame", "R", _header_before, _ISO),
    Case("RB-106", "a good frame behind a bad one", "R", _good_behind_bad, _ISO),
    Case("RB-107", "other stations on the line", "R", _foreign_traffic, "62056-46 6.4.2.2"),
    Case("RB-108", "the meter's own frames come back", "R", _own_answer_echoed, "62056-46 6.4.2.2"),
    Case("RB-109", "sequence numbers over a long session", "AT", _long_session, "62056-46 6.4.3.2"),
    Case("RB-110", "polls and repeats over a long session", "A", _polls_between, "ISO 13239 5.6.2"),
    Case("RB-111", "half-open associations", "RT", _half_open, "62056-46; 62056-47"),
    Case("RB-112", "abandoned requests", "AT", _abandoned_request, "62056-46; 62056-47"),
    Case("RB-113", "SNRM and DISC again and again", "R", _snrm_storm, "62056-46 6.4.3.6"),
)
