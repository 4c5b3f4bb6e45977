"""Suite ROBUSTNESS: what can be done in memory. RB-09 over sockets is in `tests/ports/test_tcp.py`, RB-11 in
`tests/meter/test_meter.py`, RB-15 in `tests/interop`."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterable
from typing import Final

from tests.conformance.bench import (
    AARQ,
    AARQ_LLS,
    ASSOCIATION,
    COMMAND_LLC,
    GET_NAME,
    LOAD_PROFILE,
    SET_TIME,
    Bench,
    get_request,
    require,
)
from tests.conformance.cases import application, block_transfer, selective_access, time_setting
from tests.conformance.cases.case import Ask, Case
from tests.conformance.cases.data_link_scripts import I_AARQ, METER_RR_0, RR_0, SNRM, UA

_GET_NEXT: Final = "C002C100000001"
_GET_LIST: Final = get_request(15, ASSOCIATION, 2)


def _requests() -> list[bytes]:
    """Every request that the scripts of the suites send, and the longest of those in functions."""
    found = {
        step.stimulus
        for suite in (application.CASES, block_transfer.CASES, time_setting.CASES, selective_access.CASES)
        for case in suite
        if isinstance(case.script, tuple)
        for step in case.script
        if isinstance(step, Ask)
    }
    found |= {SET_TIME, GET_NAME, _GET_NEXT, _GET_LIST, AARQ, AARQ_LLS, selective_access.WHOLE_RANGE}
    found.add(get_request(7, LOAD_PROFILE, 2, selective_access.by_entry(1, 2, 2, 3)))
    return [bytes.fromhex(request) for request in sorted(found)]


def _works(bench: Bench) -> None:
    """The bench's association can be opened and asked."""
    bench.associate()
    answer = bench.apdu(GET_NAME)
    require(answer is not None and answer[:4] == bytes.fromhex("C401C100"), f"GET after it: {answer!r}")


def _state(bench: Bench) -> tuple[object, ...]:
    ion = bench.meter.ion
    logs = [recorder.log.packed(0, 1 << 40) for recorder in ion.recorders.values()]
    return (ion.clock.steps, ion.at_ms, *logs)


def _all_are_errors(bench: Bench, requests: Iterable[bytes]) -> None:
    before = _state(bench)
    for request in requests:
        bench.apdu(request)
    require(_state(bench) == before, "something that is stored has changed")
    _works(bench)


def _prefixes(bench: Bench) -> None:
    requests = [request[:length] for request in _requests() for length in range(1, len(request))]
    # A whole request may be the prefix of another: none of those sets the clock.
    _all_are_errors(bench, [request for request in requests if request != bytes.fromhex(SET_TIME)])


def _every_octet_changed(bench: Bench) -> None:
    set_time = bytes.fromhex(SET_TIME)
    for name in (AARQ, GET_NAME, _GET_NEXT, _GET_LIST):
        request = bytes.fromhex(name)
        for place in range(len(request)):
            for value in range(256):
                bench.apdu(request[:place] + bytes((value,)) + request[place + 1 :])
        _works(bench)
    steps = bench.meter.ion.clock.steps
    require(steps == 0, "the clock was set by something that is no SET")
    for place in range(len(set_time)):
        for value in range(256):
            changed = set_time[:place] + bytes((value,)) + set_time[place + 1 :]
            answer = bench.apdu(changed) or b""
            done = answer[:2] == b"\xc5\x01" and answer[3:] == b"\0"
            require(bench.meter.ion.clock.steps == steps + done, f"{changed.hex()}: {answer.hex()}")
            steps += done
            # Invoke-id, tag 09 -> 19 is no date-time of 13 octets, time fields: all else must be refused.
            require(not done or place == 2 or place >= 15 or changed == set_time, f"{changed.hex()} set it")
            if place < 3 and not answer.startswith(b"\xc5"):
                _works(bench)
    _works(bench)


def _every_bit_flipped(bench: Bench) -> None:
    require(bench.send(SNRM).hex().upper() == UA, "UA")
    for text in (SNRM, I_AARQ):
        frame = bytes.fromhex(text)
        for bit in range(8 * len(frame)):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 1 << bit % 8
            answer = bench.send(bytes(flipped))
            if 8 <= bit < 8 * (len(frame) - 1):
                require(answer == b"", f"bit {bit} of {text}: {answer.hex()}")
            bench.wait(1.65)
            # Whatever it was, the link is as before, or, where only a flag was hit, as after that frame.
            answer = bench.send(RR_0)
            require(answer.hex().upper() == METER_RR_0, f"state after bit {bit} of {text}: {answer.hex()}")


_LIES: Final = (
    "6084FFFFFFFF",
    "608000000000",
    "60820400A109060760857405080101",
    "601DA184FFFFFFFF60857405080101BE10040E01000000065F1F0400007E1F04B0",
    "601DA109060760857405080101BE1004840FFFFFFF00065F1F0400007E1F04B0",
    "601DA109060760857405080101BE80040E01000000065F1F0400007E1F04B0",
    "C101C100080000010000FF02000184FFFFFFFF",
    "C101C100080000010000FF02000284FFFFFFFF0F",
    "C101C100080000010000FF02000984FFFFFFFF00",
    "C101C100080000010000FF0200098000",
    "C101C100080000010000FF02000484FFFFFFFF00",
    "C101C100080000010000FF020013840FFFFFFF",
    "C001C100070100630100FF0201010184FFFFFFFF",
    "C001C100070100630100FF020101020484FFFFFFFF",
    "C104C184FFFFFFFF",
    "C003C184FFFFFFFF",
)


def _lying_lengths(bench: Bench) -> None:
    bench.apdu(_LIES[0])
    tracemalloc.start()
    begin = time.perf_counter()
    _all_are_errors(bench, [bytes.fromhex(lie) for lie in _LIES])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    require(time.perf_counter() - begin < 1, "an answer within a second")
    require(peak < 1 << 20, f"{peak} octets of memory")


def _deep_nesting(bench: Bench) -> None:
    """As deep as fits the largest request; deeper ones are too long before they are opened."""
    room = 1000 if bench.transport == "wrapper" else 100
    nested = "0201" * (room // 2)
    for head in ("C101C100080000010000FF0200", "C001C100070100630100FF020101"):
        answer = bench.apdu(head + nested + "00")
        require(answer == bytes.fromhex("D80102"), f"{answer!r}")
    deep = bytes.fromhex("C101C100080000010000FF0200" + "0201" * 10000 + "00")
    if bench.transport == "wrapper":
        require(bench.apdu(deep) == bytes.fromhex("D80104"), "pdu-too-long")
    _works(bench)


def _slow_sender(bench: Bench) -> None:
    if bench.transport == "hdlc":
        frame = bytes.fromhex(SNRM)
        for index in range(360):
            require(bench.send(frame[index % len(frame) :][:1]) == b"", "torn frames are no frames")
            bench.wait(1.65)
        require(bench.send(SNRM).hex().upper() == UA, "a whole one is")
    else:
        answer = b""
        for octet in bench.wpdu(bytes.fromhex(AARQ)):
            answer += bench.send(bytes((octet,)))
            bench.wait(10)
        require(answer[8:10].hex() == "6129", "TCP loses nothing, and may take its time")


def _endless(bench: Bench) -> None:
    bench.send("7E")
    tracemalloc.start()
    for _ in range(16):
        require(bench.send(b"\x7e" * 65536) == b"", "flags are no frames")
    for _ in range(8):
        bench.send(bytes.fromhex("7EA7FF") + b"\x55" * 3000)
        bench.send(b"\x7e\xa7\xff\x00\x02\x00\x23\x21\x10" * 300)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    require(held < 20_000, f"{held} octets held")
    bench.wait(1.65)
    require(bench.send(SNRM).hex().upper() == UA, "and then a frame")


def _storm(bench: Bench) -> None:
    before = 0
    for number in range(300):
        if number == 100:
            tracemalloc.start()
            gc.collect()  # the interpreter keeps freed tuples; a collection gives them back
            before = tracemalloc.get_traced_memory()[0]
        if bench.transport == "hdlc":
            bench.snrm()
        else:
            bench.connect()
        bench.associate()
        if bench.transport == "hdlc":
            bench.disc()
        bench.answers.clear()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    require(grown < 20_000, f"{grown} octets after 200 associations")


def _many_saps(bench: Bench) -> None:
    """The peer chooses its address. HDLC has 126 links at most, a useless wPort leaves nothing."""
    clients = [*range(2, 16), *range(17, 127)] if bench.transport == "hdlc" else [*range(17, 1000)]
    _refused(bench, clients)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _refused(bench, clients if bench.transport == "hdlc" else range(1000, 3000))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    require(grown < (300_000 if bench.transport == "hdlc" else 20_000), f"{grown} octets")


def _refused(bench: Bench, clients: Iterable[int]) -> None:
    for client in clients:
        bench.client = client
        if bench.transport == "hdlc":
            bench.snrm()
        answer = bench.apdu(AARQ) or b""
        require(answer[:2].hex() == "611f", f"client {client}: {answer.hex()}")
        bench.answers.clear()


def _both_at_once(bench: Bench) -> None:
    """Two lines to one meter: each association is its own, and what one sets the other sees."""
    other = Bench("wrapper" if bench.transport == "hdlc" else "hdlc", client=16)
    other.meter, other.now = bench.meter, bench.now
    other.connect()
    other.enter("A" if other.transport == "hdlc" else "TA")
    first = bench.apdu(_GET_LIST) or b""
    elsewhere = other.apdu(get_request(7, LOAD_PROFILE, 2)) or b""
    if first[1] == 2:
        require(bench.joined(first)[:2] == b"\x01\x16", "the list")
    if elsewhere[1] == 2:
        require(other.joined(elsewhere)[:2] == b"\x01\x14", "the rows")
    require(bench.apdu(SET_TIME) == bytes.fromhex("C501C100"), "SET on the one")
    require(other.clock() == bench.clock() == time_setting.T0, "is seen on the other")
    require(bench.apdu("6203800100") is not None and other.apdu(GET_NAME) is not None, "its own association")


def _no_early_answer(bench: Bench) -> None:
    """Never an octet before the request's closing flag or last WPDU octet."""
    request = bytes.fromhex(GET_NAME)
    octets = bench.i_frame(request) if bench.transport == "hdlc" else bench.wpdu(request)
    for octet in octets[:-1]:
        require(bench.send(bytes((octet,))) == b"", "too early")
    require(bench.send(octets[-1:]) != b"", "and then at once")


def _foreign_llc(bench: Bench) -> None:
    for head in ("E6E700", "E6E6", "FFFFFF", "E6E601"):
        control = bench.receive_number << 5 | 0x10 | bench.send_number << 1
        bench.send_number = (bench.send_number + 1) & 7
        answer = bench.frames(bench.send(bench.frame(control, bytes.fromhex(head + GET_NAME))))
        require([c for c, _, _ in answer] == [bench.send_number << 5 | 0x11], f"LLC {head}: {answer}")
    control = bench.receive_number << 5 | 0x10 | bench.send_number << 1
    bench.send_number = (bench.send_number + 1) & 7
    require(len(bench.frames(bench.send(bench.frame(control, COMMAND_LLC)))) == 1, "an empty LSDU gets RR")
    require(bench.apdu(GET_NAME) is not None, "and the link goes on")


CASES: Final = (
    Case("RB-01", "every truncation", "AT", _prefixes, client=1),
    Case("RB-02", "every single-octet change", "AT", _every_octet_changed, client=1),
    Case("RB-03", "single-bit damage of frames", "N", _every_bit_flipped),
    Case("RB-04", "lying lengths", "AT", _lying_lengths, client=1),
    Case("RB-05", "deep nesting", "AT", _deep_nesting, client=1),
    Case("RB-06", "another LLC header", "A", _foreign_llc),
    Case("RB-07", "slow sender", "N", _slow_sender),
    Case("RB-07", "slow sender", "T", _slow_sender, client=1),
    Case("RB-08", "endless flags, endless length", "N", _endless),
    Case("RB-09", "connection storm", "RT", _storm),
    Case("RB-10", "clients that do not exist", "RT", _many_saps),
    Case("RB-12", "both lines at once", "AT", _both_at_once, client=1),
    Case("RB-13", "no answer before the end of the request", "AT", _no_early_answer),
)
