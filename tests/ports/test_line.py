from __future__ import annotations

import contextlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports.reading import Read, expected, make_meter, read

from iondlms.errors import DlmsError, LocalError, PortError
from iondlms.ports.endpoint import LineState
from iondlms.ports.line import Pace
from iondlms.ports.memory import Fault, FaultKind, Faults, NullModem


class Repeater:
    """Answers every octet with itself, and says when it heard it."""

    idle = closed = False
    later = None

    def __init__(self, baud: int = 0) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.baud = baud

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.heard.append((now, data))
        return data

    def next_deadline(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> bytes:
        return b""


class Steered(Repeater):
    @property
    def wanted(self) -> LineState:
        return LineState(self.baud)


@pytest.mark.parametrize(
    ("pace", "octets", "seconds"),
    [
        (Pace(300), 30, 1.0),  # 7E1: ten bits an octet
        (Pace(9600), 960, 1.0),
        (Pace(115200), 11520, 1.0),
        (Pace(9600, 11), 9600, 11.0),  # 8E1
    ],
)
def test_octets_take_their_bits(pace: Pace, octets: int, seconds: float) -> None:
    assert pace.octets_s(octets) == pytest.approx(seconds)
    meter = Repeater()
    line = NullModem(meter, Faults(chunk=octets), pace=pace)
    line.send(bytes(octets))
    assert line.receive(None) == bytes(octets)
    ((at, heard),) = meter.heard
    assert at == pytest.approx(seconds)
    assert heard == bytes(octets)
    assert line.now() == pytest.approx(2 * seconds)


def test_a_paced_line_delivers_octet_by_octet() -> None:
    meter = Repeater()
    line = NullModem(meter, pace=Pace(300, latency_s=0.5, turnaround_s=0.02))
    line.send(b"abc")
    received = [(line.receive(None), line.now()) for _ in range(3)]
    assert [at for at, _ in meter.heard] == pytest.approx([0.5 + n / 30 for n in (1, 2, 3)])
    assert [octet for octet, _ in received] == [b"a", b"b", b"c"]
    assert [at for _, at in received] == pytest.approx([1.02 + (n + 1) / 30 for n in (1, 2, 3)])


def test_faults_and_pace_go_together() -> None:
    meter = Repeater()
    faults = Faults({1: Fault(FaultKind.PAUSE, seconds=2.0), 2: Fault(FaultKind.DROP)})
    line = NullModem(meter, faults, pace=Pace(1000))
    line.send(b"abc")
    line.wait(10)
    assert [octets for _, octets in meter.heard] == [b"a", b"b"]
    assert [at for at, _ in meter.heard] == pytest.approx([0.01, 2.02])


def test_two_sides_at_once_destroy_each_other() -> None:
    meter = Repeater()
    line = NullModem(meter, pace=Pace(1000, half_duplex=True))
    line.send(b"12")
    got = line.wait(0.5)
    # "1" is answered while "2" is still being sent.
    assert line.collisions
    assert got != b"12"
    assert len(got) == 2
    line.send(b"x")  # alone, it comes through
    assert line.wait(0.5) == b"x"


def test_a_destroyed_octet_stays_destroyed_whatever_comes_on_top() -> None:
    meter = Repeater()
    line = NullModem(meter, pace=Pace(1000, half_duplex=True))
    for _ in range(4):
        line.send(b"1234")
        line.receive(line.now() + 0.025)
    assert b"1234" not in line.wait(5)


def test_a_full_duplex_line_has_no_collisions() -> None:
    line = NullModem(Repeater(), pace=Pace(1000))
    line.send(b"12345")
    assert line.wait(1) == b"12345"
    assert line.collisions == 0


def test_another_baud_is_another_octet() -> None:
    meter = Steered(300)
    line = NullModem(meter, pace=Pace(300))
    line.send(b"a")
    assert line.wait(1) == b"a"
    line.configure(LineState(9600))
    line.send(b"a")
    assert b"a" not in line.wait(1)
    meter.baud = 9600
    line.send(b"~")  # the change is seen with the next octet it hears
    line.wait(1)
    line.send(b"a")
    assert line.wait(1) == b"a"
    assert line.carrier() is None


def test_what_was_sent_before_a_change_goes_out_as_it_was() -> None:
    meter = Steered(300)
    line = NullModem(meter, pace=Pace(300))
    line.send(b"abc")
    line.configure(LineState(9600))
    line.wait(1)
    assert b"".join(octets for _, octets in meter.heard) == b"abc"


@pytest.mark.parametrize("baud", [300, 9600, 115200])
def test_a_meter_is_read_at_any_speed(baud: int) -> None:
    pace = Pace(baud, turnaround_s=0.01, half_duplex=True)
    lines: list[NullModem] = []

    def connect() -> NullModem:
        lines.append(NullModem(make_meter().endpoint(), pace=pace))
        return lines[-1]

    assert read(connect, timeout="15s") == expected()
    assert lines[-1].collisions == 0


@pytest.mark.parametrize("kind", list(FaultKind), ids=lambda kind: kind.name)
@pytest.mark.parametrize("to_meter", [True, False])
def test_one_fault_on_a_paced_two_wire_line_gives_right_values_or_an_error(
    kind: FaultKind, to_meter: bool
) -> None:
    for at in range(0, 600, 37):
        fault = {at: Fault(kind, b"\x7e", seconds=2.0)}
        faults = Faults(fault, {}, chunk=4) if to_meter else Faults({}, fault, chunk=4)
        lines: list[NullModem] = []

        def connect(faults: Faults = faults, lines: list[NullModem] = lines) -> NullModem:
            now = lines[-1].now() if lines else 0.0
            pace = Pace(9600, half_duplex=True, turnaround_s=0.01)
            lines.append(NullModem(make_meter(history=6).endpoint(now=now), faults, now, pace))
            return lines[-1]

        with contextlib.suppress(DlmsError):
            assert read(connect).rows == short().rows, at
        assert lines[-1].now() < 120


@cache
def short() -> Read:
    return read(lambda: NullModem(make_meter(history=6).endpoint()))


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.floats(0, 2)), max_size=8),
    st.sampled_from((300, 9600)),
    st.sampled_from((None, 1, 7)),
)
def test_nothing_is_lost_or_swapped(sent: list[tuple[bytes, float]], baud: int, chunk: int | None) -> None:
    meter = Repeater()
    line = NullModem(meter, Faults(chunk=chunk), pace=Pace(baud, latency_s=0.1))
    got = b""
    for octets, pause in sent:
        line.send(octets)
        got += line.wait(pause) if pause else b""
    got += line.wait(60)
    assert got == b"".join(octets for octets, _ in sent)
    times = [at for at, _ in meter.heard]
    assert times == sorted(times)


def test_the_least_time_of_an_exchange() -> None:
    pace = Pace(9600, latency_s=0.1, turnaround_s=0.05)
    assert pace.exchange_s([(10, 86), (96, 0)]) == pytest.approx(0.1 + 0.1 + 2 * 0.25)


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"bits": 0}, {"latency_s": -1.0}, {"turnaround_s": -0.1}])
def test_lines_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(LocalError):
        Pace(**wrong)  # type: ignore[arg-type]


def test_closed() -> None:
    line = NullModem(Repeater())
    line.close()
    with pytest.raises(PortError):
        line.send(b"x")
