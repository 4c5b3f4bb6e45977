from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.meter.slow_disk import CONFIG, SUCCESS, Line, SlowDisk
from tests.ports.reading import START, make_meter, read
from tests.ports.telephone import CallingLine, HayesModem, Network, Subscriber

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Frame, Kind, ServerAddress
from iondlms.later import Later
from iondlms.meter.config import load
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.meter.meter import Meter
from iondlms.ports import Endpoint
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.dial import DialSetup, ModemTransport
from iondlms.ports.line import Pace
from iondlms.ports.memory import NullModem
from iondlms.ports.modem import ModemEndpoint, ModemSetup

DM, UA = 0x1F, 0x73


def frame(unit: int, control: int, client: int = 16, octets: int = 4) -> bytes:
    destination = ServerAddress(1, unit, octets).encode()
    return Frame(destination, bytes((client << 1 | 1,)), control).encode()


def snrm(unit: int) -> bytes:
    return frame(unit, 0x93)


def answers(octets: bytes) -> tuple[int, int]:
    """Return who answered, and with what control field."""
    answer = Frame.decode(octets)
    lower = ServerAddress.decode(answer.source).lower
    assert lower is not None
    return lower, answer.control


SHARED = make_meter(history=0)


def at_unit(unit: int) -> Callable[[float], MeterEndpoint]:
    """Return what makes an endpoint with a Unit ID; all of them speak for one ION meter, to be cheap."""
    port = SHARED.config.port[0].model_copy(update={"unit_id": unit, "framing": "hdlc"})
    return lambda now: SHARED.endpoint(port, now)


def at_meter(meter: Meter) -> Callable[[float], MeterEndpoint]:
    return lambda now: meter.endpoint(now=now)


def make_bus(units: range | list[int]) -> BusEndpoint:
    return BusEndpoint({unit: at_unit(unit) for unit in units}, 0.0)


def whole_meter(unit: int, seed: int) -> Meter:
    meter = Meter(load(None, [("history", 10), ("seed", seed), ("port.ETHERNET.unit_id", unit)]))
    meter.start(int(START.timestamp() * 1000), 0.0)
    return meter


def test_three_meters_are_read_on_one_line_each_with_its_own_values() -> None:
    meters = {unit: whole_meter(unit, seed=unit) for unit in (1, 100, 9999)}

    def endpoint(unit: int) -> Callable[[float], MeterEndpoint]:
        return lambda now: meters[unit].endpoint(now=now)

    bus = BusEndpoint({unit: endpoint(unit) for unit in meters}, 0.0)
    now = 0.0
    got = {}
    for unit in meters:
        line = NullModem(bus, now=now, pace=Pace(115200))
        got[unit] = read(lambda line=line: line, unit=unit)  # type: ignore[misc]
        now = line.now()
        alone = whole_meter(unit, seed=unit)
        assert got[unit] == read(lambda alone=alone: NullModem(alone.endpoint()), unit=unit)  # type: ignore[misc]
    assert len({str(one.rows) for one in got.values()}) == 3


@pytest.mark.parametrize("count", [31, 247, 2000])
def test_each_of_many_meters_answers_alone(count: int) -> None:
    bus = make_bus(range(1, count + 1))
    now = 0.0
    for unit in range(1, count + 1):
        now += 0.01
        assert answers(bus.receive_data(snrm(unit), now)) == (unit, UA)
    assert bus.receive_data(snrm(count + 1), now) == b""
    assert bus.collisions == 0


def test_a_thousand_meters_cost_no_more_than_one() -> None:
    def seconds(bus: BusEndpoint) -> float:
        bus.receive_data(snrm(1), 0.0)
        start = time.process_time()
        for step in range(300):
            assert bus.receive_data(frame(1, 0x11), 0.001 * step)
        return time.process_time() - start

    one, many = make_bus([1]), make_bus(range(1, 1001))
    for bus in (one, many):
        seconds(bus)  # the first frames fill caches
    # Asking each of a thousand would be a thousand times as long.
    assert min(seconds(many) for _ in range(3)) < 5 * min(seconds(one) for _ in range(3)) + 0.005


def test_meters_are_made_when_they_are_spoken_to() -> None:
    made = []

    def maker(unit: int) -> Callable[[float], MeterEndpoint]:
        def make(now: float) -> MeterEndpoint:
            made.append(unit)
            return at_unit(unit)(now)

        return make

    bus = BusEndpoint({unit: maker(unit) for unit in range(1, 1001)}, 0.0)
    bus.receive_data(snrm(7), 0.0)
    bus.receive_data(snrm(7) + snrm(8), 1.0)
    assert made == [7, 8]
    bus.receive_data(frame(8, 0x53), 2.0)  # DISC: it remembers nothing any more, and is let go
    bus.receive_data(snrm(7), 3.0)
    assert made == [7, 8]
    bus.receive_data(snrm(8), 4.0)
    assert made == [7, 8, 8]


@pytest.mark.parametrize(
    "destination",
    [
        ServerAddress(0x3FFF, 0x3FFF, 4),  # all stations
        ServerAddress(1, 0x3FFF, 4),
        ServerAddress(1, 0, 4),  # no station
        ServerAddress(1, 0x3FFE, 4),  # the calling station
        ServerAddress(1, None, 1),
        ServerAddress(2, 1, 4),  # another logical device
        ServerAddress(1, 5000, 4),  # nobody
    ],
    ids=str,
)
def test_special_addresses_are_answered_as_each_meter_would(destination: ServerAddress) -> None:
    octets = Frame(destination.encode(), b"\x21", 0x93).encode()
    assert make_bus([1, 2, 3]).receive_data(octets, 0.0) == b""
    for unit in (1, 2, 3):
        assert at_unit(unit)(0.0).receive_data(octets, 0.0) == b""


SPECIAL = [
    ServerAddress(0x3FFF, 0x3FFF, 4),  # all stations
    ServerAddress(1, 0x3FFF, 4),
    ServerAddress(1, 0, 4),  # no station
    ServerAddress(1, 0x3FFE, 4),  # the calling station
    ServerAddress(0x7F, 0x7F, 2),
    ServerAddress(1, None, 1),
]


@given(st.sampled_from(SPECIAL), st.integers(0, 255), st.binary(max_size=20))
@settings(max_examples=100)
def test_a_meter_without_a_link_has_nothing_to_do_with_a_special_address(
    address: ServerAddress, control: int, information: bytes
) -> None:
    # Why the bus wakes none for it.
    meter = at_unit(1)(0.0)
    assert meter.receive_data(Frame(address.encode(), b"\x21", control, information).encode(), 0.0) == b""
    assert answers(meter.receive_data(frame(1, 0x11), 1.0)) == (1, DM)


def test_a_broadcast_on_a_line_of_thousands_wakes_nobody() -> None:
    made: list[int] = []
    units = range(1, 10_000)

    def maker(unit: int) -> Callable[[float], MeterEndpoint]:
        def make(now: float) -> MeterEndpoint:
            made.append(unit)
            return at_unit(unit)(now)

        return make

    bus = BusEndpoint({unit: maker(unit) for unit in units}, 0.0)
    bus.receive_data(snrm(7), 0.0)
    for at, address in enumerate(SPECIAL):
        octets = Frame(address.encode(), b"\x21", 0x93).encode()
        assert bus.receive_data(octets, 0.1 * at) == b""
    assert made == [7]
    assert answers(bus.receive_data(frame(7, 0x11), 1.0))[1] != DM  # and ends no link


def test_two_octet_addresses_are_converted() -> None:
    assert answers(make_bus([5, 100]).receive_data(frame(100, 0x93, octets=2), 0.0)) == (100, UA)


class Answers:
    """A station that answers whatever it hears."""

    idle = False
    later = None
    linked = True
    counters: ClassVar[Mapping[str, int]] = {}

    def receive_frame(self, frame: Frame, now: float) -> bytes:
        return frame.encode()

    def heard(self, now: float) -> None:
        pass

    def next_deadline(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> bytes:
        return b""


def test_two_that_answer_at_once_are_not_understood() -> None:
    bus = BusEndpoint({unit: lambda now: Answers() for unit in (1, 2, 3)}, 0.0)
    for unit in (1, 2):
        assert bus.receive_data(snrm(unit), 0.0)
    octets = Frame(ServerAddress(1, 0x3FFF, 4).encode(), b"\x21", 0x93).encode()
    assert bus.receive_data(octets, 0.0) == b""
    assert bus.collisions == 1


def test_each_meter_has_its_own_links() -> None:
    bus = make_bus([1, 2])
    bus.receive_data(snrm(1), 0.0)
    assert answers(bus.receive_data(frame(2, 0x11), 1.0)) == (2, DM)
    assert answers(bus.receive_data(frame(1, 0x11), 2.0))[1] != DM
    bus.receive_data(snrm(2), 3.0)
    assert answers(bus.receive_data(frame(1, 0x53), 4.0)) == (1, UA)
    assert answers(bus.receive_data(frame(2, 0x11), 5.0))[1] != DM


@pytest.mark.parametrize("octets", [b"\x00", snrm(2), frame(9999, 0x93)], ids=["noise", "other", "nobody"])
@pytest.mark.parametrize("timers", [True, False])
def test_any_octet_on_the_line_keeps_a_link(octets: bytes, timers: bool) -> None:
    # Conformance DL-05: "timer restarts at any octet"; addressed to us or not (6.4.4.10.3).
    bus = make_bus([1, 2])
    bus.receive_data(snrm(1), 0.0)
    for at in (0.5, 100.0, 219.5):
        if timers:
            run_timers(bus, at)
        bus.receive_data(octets, at)
    if timers:
        run_timers(bus, 339.0)
    assert answers(bus.receive_data(frame(1, 0x11), 339.0))[1] != DM


@pytest.mark.parametrize("timers", [True, False])
@pytest.mark.parametrize("other", [True, False])
def test_silence_ends_every_link(timers: bool, other: bool) -> None:
    bus = make_bus([1, 2])
    bus.receive_data(snrm(1), 0.0)
    if other:
        bus.receive_data(snrm(2), 10.0)
    if timers:
        run_timers(bus, 131.0)
        assert bus.idle
        assert bus.next_deadline() is None
    assert answers(bus.receive_data(frame(1, 0x11), 131.0)) == (1, DM)
    assert not bus.idle
    assert not bus.closed


def run_timers(bus: Endpoint, until: float) -> None:
    for _ in range(1000):
        deadline = bus.next_deadline()
        if deadline is None or deadline > until:
            return
        bus.handle_timeout(deadline)
    raise AssertionError("its deadlines do not end")


def test_half_a_frame_is_flushed_by_the_lines_time_out() -> None:
    for timers in (True, False):
        bus = make_bus([1])
        bus.receive_data(snrm(1)[:6], 0.0)
        assert bus.next_deadline() == 1.5
        if timers:
            run_timers(bus, 1.5)
        assert answers(bus.receive_data(snrm(1), 1.6)) == (1, UA)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from((0x93, 0x11, 0x53))), max_size=8),
    st.lists(st.integers(0, 300), max_size=10),
)
@settings(max_examples=60)
def test_any_cut_gives_what_the_meters_alone_would(asked: list[tuple[int, int]], cuts: list[int]) -> None:
    said = b"".join(frame(unit, control) for unit, control in asked)
    alone = {unit: at_unit(unit)(0.0) for unit in (1, 2, 3, 4)}
    wanted = b"".join(
        alone[unit].receive_data(frame(unit, control), 0.0) for unit, control in asked if unit in alone
    )
    bus = make_bus([1, 2, 3, 4])
    places = sorted({cut % (len(said) + 1) for cut in cuts} | {0, len(said)})
    got = b"".join(bus.receive_data(said[start:end], 0.0) for start, end in itertools.pairwise(places))
    assert got == wanted


@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 200)), max_size=15))
@settings(max_examples=60)
def test_noise_never_raises(noise: list[tuple[bytes, float]]) -> None:
    bus = make_bus([1, 2])
    now = 0.0
    for octets, pause in noise:
        now += pause
        run_timers(bus, now)
        bus.receive_data(octets, now)
    now += 2
    assert answers(bus.receive_data(snrm(1), now)) == (1, UA)


def test_thirty_one_meters_behind_one_modem() -> None:
    network = Network()
    modem, called = HayesModem(network, "1"), HayesModem(network, "2")
    bus = make_bus(range(1, 32))
    Subscriber(called, ModemEndpoint(lambda now: bus, ModemSetup(), 0.0))
    network.run(1.0)
    with ModemTransport.connect(CallingLine(modem), DialSetup("2")) as line:
        for unit in range(1, 32):
            line.send(snrm(unit))
            assert answers(line.receive(line.now() + 5)) == (unit, UA)


@pytest.mark.parametrize("unit", [0, -1, 10_000])
def test_unit_ids_that_no_meter_has(unit: int) -> None:
    with pytest.raises(LocalError, match=r"not in 1\.\.9999"):
        BusEndpoint({unit: at_unit(1)}, 0.0)


def test_it_is_an_endpoint_of_endpoints() -> None:
    assert isinstance(at_unit(1)(0.0), MeterEndpoint)


def test_an_outage_in_which_nobody_spoke_ends_the_links_of_its_meter_alone() -> None:
    meters = {unit: whole_meter(unit, unit) for unit in (1, 2)}
    bus = BusEndpoint({unit: at_meter(each) for unit, each in meters.items()}, 0.0)
    for unit in meters:
        assert bus.receive_data(snrm(unit), 1.0)
    meters[1].power_down(2.0)
    meters[1].power_up(3.0)
    told = [Frame.decode(bus.receive_data(frame(unit, 0x11), 4.0)).kind for unit in meters]
    assert told == [Kind.DM, Kind.RR]


def test_a_flag_alone_wakes_nobody() -> None:
    bus = make_bus([1])
    bus.receive_data(b"~~", 1.0)
    assert bus.next_deadline() == 121.0
    bus.receive_data(snrm(1)[:5], 2.0)
    assert bus.next_deadline() == 3.5


class Writes:
    """A station that says what it hears, once that is written, and has no link."""

    idle = linked = False
    counters: ClassVar[Mapping[str, int]] = {}

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.later: Later | None = None
        self._due = b""

    def receive_frame(self, frame: Frame, now: float) -> bytes:
        self._due, self.later = frame.encode(), Later()
        return b""

    def heard(self, now: float) -> None:
        self.heard_at = now

    def next_deadline(self) -> float | None:
        return self.heard_at if self.later is not None and self.later.done else self.heard_at + 60.0

    def handle_timeout(self, now: float) -> bytes:
        if self.later is None or not self.later.done:
            return b""
        self.later = None
        return self._due


def writing_bus(count: int = 3) -> tuple[BusEndpoint, dict[int, list[Writes]]]:
    made: dict[int, list[Writes]] = {unit: [] for unit in range(1, count + 1)}

    def maker(unit: int) -> Callable[[float], Writes]:
        def make(now: float) -> Writes:
            made[unit].append(Writes(now))
            return made[unit][-1]

        return make

    return BusEndpoint({unit: maker(unit) for unit in made}, 0.0), made


def test_a_station_that_waits_is_not_forgotten_and_its_answer_goes_out() -> None:
    bus, made = writing_bus()
    assert bus.later is None
    assert bus.receive_data(snrm(1), 0.0) == b""
    (station,) = made[1]
    assert bus.later is station.later
    assert station.later is not None
    assert bus.handle_timeout(60.0) == b""  # its time comes, and its answer waits still
    station.later.settle()
    deadline = bus.next_deadline()
    assert deadline is not None
    assert deadline <= 60.0
    assert bus.handle_timeout(60.0) == snrm(1)
    assert bus.later is None
    bus.receive_data(snrm(1), 61.0)
    assert len(made[1]) == 2, "once it has answered, it has nothing more to remember"


def test_of_several_that_wait_the_first_that_has_written_answers_first() -> None:
    bus, made = writing_bus()
    told: list[int] = []
    for unit in (1, 2, 3):
        assert bus.receive_data(snrm(unit), 0.0) == b""
    first, second, third = (made[unit][0].later for unit in (1, 2, 3))
    assert first is not None
    assert second is not None
    assert third is not None
    later = bus.later
    assert later is not None
    assert bus.later is later, "as long as nothing changes it is the same"
    later.then(lambda: told.append(1))
    second.settle()
    assert told == [1]
    assert bus.handle_timeout(0.0) == snrm(2)
    again = bus.later
    assert again is not None
    assert not again.done
    again.then(lambda: told.append(2))
    third.settle()
    assert told == [1, 2]
    assert bus.handle_timeout(0.0) == snrm(3)
    assert bus.later is first
    first.settle()
    assert bus.handle_timeout(0.0) == snrm(1)
    assert told == [1, 2]
    assert bus.later is None


def test_others_are_served_while_a_meter_on_their_line_writes() -> None:
    disk, line = SlowDisk(), Line("hdlc")
    disk.make(CONFIG)
    meters = {17: at_meter(disk.meter), 2: at_unit(2)}
    bus = BusEndpoint(meters, 1000.0)
    assert bus.receive_data(line.open(), 1000.0)
    assert bus.receive_data(line("set"), 1000.0) == b""
    assert bus.later is disk.steps[0]
    assert answers(bus.receive_data(snrm(2), 1001.0)) == (2, UA)
    assert answers(bus.receive_data(frame(2, 0x53), 1002.0)) == (2, UA)
    assert bus.handle_timeout(1002.0) == b""
    assert bus.receive_data(line("get"), 1003.0) == b""
    disk.settle()
    said = bus.handle_timeout(1003.0)
    assert SUCCESS in said
    assert [Frame.decode(each).kind for each in cut(said)] == [Kind.I, Kind.I]
    assert bus.later is None


def cut(octets: bytes) -> list[bytes]:
    return [each.encode() for each in Deframer().feed(octets)]


@pytest.mark.parametrize("power", [True, False])
def test_an_answer_that_is_gone_is_not_waited_for(power: bool) -> None:
    disk, line = SlowDisk(), Line("hdlc")
    disk.make(CONFIG)
    bus = BusEndpoint({17: at_meter(disk.meter)}, 1000.0)
    assert bus.receive_data(line.open(), 1000.0)
    assert bus.receive_data(line("set"), 1000.0) == b""
    if power:
        disk.meter.power_down(1001.0)
        disk.meter.power_up(1002.0)
        disk.settle()
        assert bus.handle_timeout(1003.0) == b""
    else:
        run_timers(bus, 1120.0)
        disk.settle()
    assert bus.later is None
    assert answers(bus.receive_data(line("rr"), 1130.0)) == (17, DM)


def test_an_answer_that_waits_longer_than_the_line_is_silent_goes_out() -> None:
    bus, made = writing_bus()
    assert bus.receive_data(frame(1, 0x93), 0.0) == b""
    (station,) = made[1]
    assert station.later is not None
    station.heard_at = 1000.0  # its own inactivity is longer than the line's
    assert bus.next_deadline() == 120.0
    assert bus.handle_timeout(120.0) == b""
    assert bus.idle
    deadline = bus.next_deadline()
    assert deadline is not None
    assert deadline > 120.0  # it does not wake for ever for what has passed
    station.later.settle()
    deadline = bus.next_deadline()
    assert deadline is not None
    assert deadline <= 1000.0
    assert bus.handle_timeout(1000.0) == frame(1, 0x93)
    assert bus.next_deadline() is None or bus.next_deadline() == 1120.0


def test_an_answer_that_has_waited_keeps_the_line() -> None:
    bus, made = writing_bus()
    bus.receive_data(frame(1, 0x93), 0.0)
    (station,) = made[1]
    assert station.later is not None
    station.heard_at = 100.0
    station.later.settle()
    assert bus.handle_timeout(100.0) == frame(1, 0x93)
    assert not bus.idle
    assert bus.next_deadline() == 220.0
