"""What associations and clients write into the event log: who came, who was refused, who set the time."""

from __future__ import annotations

import pytest
from tests.ion.builders import SteadyLoad
from tests.meter.bench import AARQ, AARQ_LLS, SET_TIME, Bench, Transport

from iondlms.ion import Priority

WARNING, INFORMATION = int(Priority.WARNING), int(Priority.INFORMATION)
OPENED = (INFORMATION, "Association over ETHERNET", "opened by client 1")
HEAD = "C101C100080000010000FF0200"  # SET-request-normal of the clock's time


def told(bench: Bench) -> list[tuple[int, str, str]]:
    bench.wake()
    events = bench.meter.ion.event_log.events
    return [(event.priority, event.cause, event.effect) for event in events if event.cause != "Power up"]


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_an_association_is_an_event_with_its_port(transport: Transport) -> None:
    bench = Bench(transport, 1)
    bench.enter("A" if transport == "hdlc" else "TA")
    assert told(bench) == [OPENED]
    bench.read(1, "0-0:42.0.0*255")
    assert told(bench) == [OPENED], "reading is none"


def test_what_the_source_did_before_an_association_is_told_before_it() -> None:
    source = SteadyLoad()
    bench = Bench("hdlc", 1, source=source)
    bench.snrm()
    source.silent = True
    bench.now += 20.0  # nobody has looked at a register, and nothing was due
    bench.apdu(AARQ_LLS)
    bench.wake()
    events = bench.meter.ion.event_log.events[1:]
    assert [event.cause for event in events][1:] == ["Association over ETHERNET"]
    assert [event.utc_ms for event in events] == sorted(event.utc_ms for event in events)


def test_a_refused_password_is_a_warning() -> None:
    bench = Bench("wrapper", 1)
    bench.apdu(AARQ_LLS.replace("3132333435363738", "3132333435363739"))
    assert told(bench) == [
        (WARNING, "Association over ETHERNET", "client 1 refused: authentication-failure"),
    ]
    bench.apdu(AARQ)
    assert told(bench)[1:] == [
        (WARNING, "Association over ETHERNET", "client 1 refused: authentication-required"),
    ]


def test_clients_that_do_not_exist_cannot_fill_the_event_log() -> None:
    bench = Bench("wrapper", 77)
    bench.apdu(AARQ)
    assert told(bench) == []


# (what is wrong, the value that is set, words of the reason)
REFUSED = [
    ("month 13", "090C07EA0D16FF0C223800000000", "is no date and time"),
    ("month 0xFD", "090C07EAFD16FF0C223800000000", ""),
    ("hour 24", "090C07EA0B16FF18223800000000", ""),
    ("year 2200", "090C08980B16FF0C223800000000", "1970 to 2199"),
    ("a deviation of 841 minutes", "090C07EA0B16FF0C223800034900", "841"),
    ("11 octets", "090B07EA0B16FF0C2238000000", ""),
    ("a number", "0600000001", ""),
    ("null-data", "00", ""),
]


@pytest.mark.parametrize(("what", "value", "why"), REFUSED, ids=[what for what, *_ in REFUSED])
def test_each_refused_attempt_to_set_the_time_is_an_event(what: str, value: str, why: str) -> None:
    bench = Bench("wrapper", 1)
    bench.associate()
    before = bench.clock()
    answer = bench.apdu(HEAD + value)
    assert answer is not None
    assert answer[3] != 0, what
    assert bench.clock() == before
    (event,) = told(bench)[1:]
    assert event[:2] == (WARNING, "Time set over ETHERNET")
    assert event[2].startswith("client 1 refused: ")
    assert why in event[2]


def test_an_accepted_one_is_an_event_with_its_step() -> None:
    bench = Bench("wrapper", 1)
    bench.associate()
    assert bench.apdu(SET_TIME) == bytes.fromhex("C501C100")
    (event,) = told(bench)[1:]
    assert event == (INFORMATION, "Time set over ETHERNET", "step of 2066000 ms")


def test_on_another_port_than_the_time_sync_source() -> None:
    bench = Bench("wrapper", 1, [("model", "ION8650"), ("clock.time_sync_source", "COM1")])
    bench.associate()
    assert bench.apdu(SET_TIME) == bytes.fromhex("C501C103")
    assert told(bench)[1:] == [
        (WARNING, "Time set over ETHERNET", "client 1 refused: the port is not the Time Sync Source")
    ]


def test_without_the_right_and_without_an_association() -> None:
    bench = Bench("wrapper", 16)
    bench.apdu(SET_TIME)
    bench.associate()
    bench.apdu(SET_TIME)
    assert told(bench) == [
        (WARNING, "Time set over ETHERNET", "client 16 refused: there is no association"),
        (INFORMATION, "Association over ETHERNET", "opened by client 16"),
        (WARNING, "Time set over ETHERNET", "client 16 refused: SET was not negotiated"),
    ]


def test_a_set_of_anything_else_is_no_attempt_to_set_the_time() -> None:
    bench = Bench("wrapper", 1)
    bench.associate()
    assert bench.apdu("C101C1000100002A0000FF0200090100") == bytes.fromhex("C501C103")
    assert told(bench) == [OPENED]


@pytest.mark.parametrize(
    ("source", "hertz", "base"),
    [("INTERNAL", 50, 1), ("LINE FREQ", 50, 2), ("LINE FREQ", 60, 3), ("COMM", 50, 0)],
)
def test_the_clock_base_is_what_the_clock_source_says(source: str, hertz: int, base: int) -> None:
    from iondlms.sources import SimulatedLoad

    bench = Bench("wrapper", 16, [("clock.clock_source", source)], source=SimulatedLoad(nominal_hz=hertz))
    bench.associate()
    assert bench.value(8, "0-0:1.0.0*255", 9).integer() == base
