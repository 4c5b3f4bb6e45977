"""The technician's doctor on lines in memory, in virtual time: each setting is found, no line left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.client.joined import PASSWORD, START, Lines, Scripted, make_meter

from iondlms.client import Target
from iondlms.client.scan import BAUDS, UNITS, Found, Scan, Scanner
from iondlms.errors import LocalError, PortError
from iondlms.hdlc import Control, Deframer, Frame, Kind
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.ports import Endpoint, Transport
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.endpoint import LineState
from iondlms.ports.line import Pace
from iondlms.ports.memory import Faults, NullModem
from iondlms.ports.optical import OpticalTransport, SignOnEndpoint, SignOnSetup
from iondlms.ports.sign_on import Identification, acknowledge, request

METER = make_meter(0)
DEVICE = Target.parse("serial:/dev/ttyUSB0")


def at_unit(unit: int, **settings: Any) -> Callable[[float], MeterEndpoint]:
    port = METER.config.port[0].model_copy(update={"unit_id": unit, **settings})
    return lambda now: METER.endpoint(port, now)


class Deaf(Scripted):
    def __init__(self) -> None:
        super().__init__(lambda data: b"")


class Bench:
    """A device, and the meter on it; who opens it at another baud or parity hears nothing of use."""

    def __init__(
        self,
        make: Callable[[float], Endpoint],
        baud: int = 9600,
        characters: str = "8N1",
        faults: Faults | None = None,
    ) -> None:
        self._make = make
        self._pace = Pace(baud)
        self._characters = characters
        self._faults = faults
        self.lines: list[NullModem] = []
        self.tried: list[str] = []
        self.reports: list[str] = []

    @property
    def now(self) -> float:
        return self.lines[-1].now() if self.lines else 0.0

    @property
    def open_lines(self) -> int:
        return sum(not line._closed for line in self.lines)

    def open_port(self, target: Target) -> Transport:
        assert self.open_lines == 0, "a device is opened once"
        self.tried.append(str(target))
        line = target.line
        heard = line is None or line.settings.framing == self._characters
        made = self._make(self.now) if heard else Deaf()
        modem = NullModem(made, self._faults, self.now, None if line is None else self._pace)
        self.lines.append(modem)
        if line is None:
            return modem
        modem.configure(LineState(line.settings.baud))
        return modem if line.sign_on is None else OpticalTransport.connect(modem, line.sign_on)

    def scan(self, target: Target = DEVICE, password: str | None = None, **more: Any) -> list[Found]:
        scanner = Scanner(Scan(target, **more), self.open_port, self.reports.append, password=password)
        found = list(scanner.run())
        assert self.open_lines == 0
        return found


@pytest.mark.parametrize("baud", BAUDS)
def test_every_baud_is_found(baud: int) -> None:
    bench = Bench(at_unit(101), baud)
    (found,) = bench.scan()
    assert found.target.line is not None
    assert found.target.line.settings.baud == baud
    assert (found.target.unit, found.target.client, found.target.address) == (101, 16, 4)
    assert found.name == "SCH8650W0100A001"
    assert found.clock is not None
    assert 0 <= bench.now - (found.clock - START).total_seconds() < 15
    assert [(each.client, each.says) for each in found.clients] == [(16, "reads"), (1, "wants a password")]
    # What is printed is what the next program can be given.
    with Lines(at_unit(101)).client(str(found.target)) as client:
        assert client.get("name").octets() == found.name.encode()
    assert bench.now < 60


@pytest.mark.parametrize("characters", ["8E1", "8O1"])
def test_parity_is_found(characters: str) -> None:
    bench = Bench(at_unit(1), 19200, characters)
    (found,) = bench.scan()
    assert found.target.line is not None
    assert found.target.line.settings.framing == characters


def test_fast_is_fast_and_stops_at_the_first() -> None:
    bench = Bench(at_unit(100), 115200)
    assert len(bench.scan(fast=True)) == 1
    assert bench.now < 5
    assert len(bench.tried) == 3
    slow = Bench(at_unit(100), 300)
    assert slow.scan(fast=True) == []
    assert slow.now < 60


def test_units_of_a_range_on_a_line_with_many() -> None:
    bus = {unit: at_unit(unit, framing="hdlc") for unit in (3, 17, 101, 247)}
    many = Bench(lambda now: BusEndpoint(bus, now))
    found = many.scan(units=tuple(range(1, 248)), everything=True, bauds=(9600,), characters=("8N1",))
    assert [each.target.unit for each in found] == [101, 3, 17, 247]
    first = Bench(lambda now: BusEndpoint(bus, now)).scan(units=(17, 3), bauds=(9600,))
    assert [each.target.unit for each in first] == [17]


def test_echo_and_late_answers() -> None:
    assert len(Bench(at_unit(100), faults=Faults(echo=True)).scan()) == 1

    class Slow(Scripted):
        """Answers each SNRM half a second late: while the next unit is asked already."""

        def __init__(self, now: float) -> None:
            self.meter = at_unit(100)(now)
            self.due: list[tuple[float, bytes]] = []
            super().__init__(lambda data: b"")

        def receive_data(self, data: bytes, now: float) -> bytes:
            answer = self.meter.receive_data(data, now)
            if answer:
                self.due.append((now + 0.6, answer))
            return b""

        def next_deadline(self) -> float | None:
            return self.due[0][0] if self.due else None

        def handle_timeout(self, now: float) -> bytes:
            return self.due.pop(0)[1] if self.due and self.due[0][0] <= now else b""

    (found,) = Bench(Slow).scan()
    assert (found.target.unit, found.name) == (100, "SCH8650W0100A001")


@pytest.mark.parametrize(("address", "unit"), [(2, 100), (1, 100)])
def test_shorter_addresses(address: int, unit: int) -> None:
    """A station that understands one length of address only; not an ION, which has four."""

    def make(now: float) -> Endpoint:
        deframer = Deframer()
        meter = at_unit(unit)(now)

        def answer(data: bytes) -> bytes:
            octets = b""
            for frame in deframer.feed(data):
                if len(frame.destination) == address:
                    four = bytes.fromhex("000200C9")
                    for back in Deframer().feed(
                        meter.receive_data(frame._replace(destination=four).encode(), 0)
                    ):
                        octets += back._replace(source=frame.destination).encode()
            return octets

        return Scripted(answer)

    (found,) = Bench(make).scan(bauds=(9600,), characters=("8N1",))
    assert found.target.address == address
    assert found.clients[0].says == "reads"


def test_another_client_knocks_where_the_first_is_not_heard() -> None:
    def make(now: float) -> Endpoint:
        deframer = Deframer()
        meter = at_unit(100)(now)

        def answer(data: bytes) -> bytes:
            frames = [frame for frame in deframer.feed(data) if frame.source == b"\x03"]
            return b"".join(meter.receive_data(frame.encode(), 0) for frame in frames)

        return Scripted(answer)

    (found,) = Bench(make).scan(bauds=(9600,), characters=("8N1",), password=PASSWORD)
    says = {each.client: each.says for each in found.clients}
    assert found.target.client == 1
    assert says[1] == "reads"
    assert says[16].startswith("no answer")


def test_a_wrong_password_is_told() -> None:
    (found,) = Bench(at_unit(100)).scan(password="not it")
    assert "authentication-failure" in found.clients[1].says
    (right,) = Bench(at_unit(100)).scan(password=PASSWORD)
    assert [each.says for each in right.clients] == ["reads", "reads"]


def test_the_sign_on_is_found() -> None:
    def make(now: float) -> Endpoint:
        return SignOnEndpoint(at_unit(102), SignOnSetup(Identification("SCH", 9600, "ION8650")))

    bench = Bench(make, 300)
    (found,) = bench.scan(Target.parse("optical:/dev/ttyUSB0"))
    assert str(found.target) == "optical:/dev/ttyUSB0?mode_e=1&unit=102&client=16"
    assert found.identification is not None
    assert "ION8650" in found.identification
    assert found.clients[0].says == "reads"


def test_an_optical_port_without_sign_on_is_found() -> None:
    bench = Bench(at_unit(102), 9600)
    (found,) = bench.scan(Target.parse("optical:/dev/ttyUSB0"), fast=True)
    assert str(found.target) == "optical:/dev/ttyUSB0?baud=9600&framing=8N1&unit=102&client=16"
    assert "no sign-on" in bench.reports[0]


def test_a_sign_on_is_found_right_behind_a_reading() -> None:
    signed = SignOnEndpoint(at_unit(102), SignOnSetup(Identification("SCH", 9600, "ION8650")))
    signed.receive_data(request(""), -2.0)
    signed.receive_data(acknowledge(9600), -1.0)
    signed.receive_data(Frame(bytes.fromhex("000200CD"), b"\x21", Control.DISC | 0x10).encode(), -0.1)
    bench = Bench(lambda now: signed, 300)
    (found,) = bench.scan(Target.parse("optical:/dev/ttyUSB0"), fast=True)
    assert found.identification is not None


@pytest.mark.parametrize(
    ("framing", "found_as"), [("auto", "hdlc"), ("hdlc", "hdlc"), ("wrapper", "wrapper")]
)
def test_tcp(framing: str, found_as: str) -> None:
    bench = Bench(at_unit(100, framing=framing))
    (found,) = bench.scan(Target.parse("tcp://meter"))
    assert found.target.framing == found_as
    assert found.name == "SCH8650W0100A001"
    assert [each.client for each in found.clients] == [16, 1]


def test_nothing_there() -> None:
    bench = Bench(lambda now: Deaf())
    assert bench.scan() == []
    assert bench.now < 1200
    assert len(bench.reports) > 30
    assert Bench(lambda now: Deaf()).scan(Target.parse("tcp://meter")) == []


def test_noise_is_told() -> None:
    bench = Bench(lambda now: Scripted(lambda data: b"\x55\x00\xff" * 5))
    assert bench.scan(bauds=(9600,), characters=("8N1",)) == []
    assert any("make no frame" in report for report in bench.reports)


def test_a_device_that_is_not_there_is_an_error() -> None:
    def nothing(target: Target) -> Transport:
        raise PortError("/dev/ttyUSB0: cannot be opened: No such file or directory")

    with pytest.raises(PortError, match="No such file"):
        list(Scanner(Scan(DEVICE), nothing, lambda text: None).run())


def test_a_baud_that_the_device_has_not_is_passed_over() -> None:
    bench = Bench(at_unit(100), 115200)

    def picky(target: Target) -> Transport:
        if target.line is not None and target.line.settings.baud == 19200:
            raise PortError("no such baud")
        return bench.open_port(target)

    found = list(Scanner(Scan(DEVICE), picky, bench.reports.append).run())
    assert len(found) == 1
    assert any("no such baud" in report for report in bench.reports)


def test_nothing_but_snrm_is_sent_before_somebody_answers() -> None:
    seen: list[Frame] = []

    def make(now: float) -> Endpoint:
        deframer = Deframer()

        def answer(data: bytes) -> bytes:
            seen.extend(deframer.feed(data))
            return b""

        return Scripted(answer)

    Bench(make).scan(bauds=(9600,), characters=("8N1",), units=UNITS)
    assert {frame.kind for frame in seen} == {Kind.SNRM}
    assert {frame.control for frame in seen} == {Control.SNRM | 0x10}
    assert not any(frame.information for frame in seen)


def test_who_was_found_is_released() -> None:
    said: list[Frame] = []

    def make(now: float) -> Endpoint:
        deframer, meter = Deframer(), at_unit(100)(now)

        def answer(data: bytes) -> bytes:
            said.extend(deframer.feed(data))
            return meter.receive_data(data, 0.0)

        return Scripted(answer)

    assert len(Bench(make).scan(bauds=(9600,))) == 1
    by_client = {
        source: [frame.kind for frame in said if frame.source == source] for source in (b"\x21", b"\x03")
    }
    for kinds in by_client.values():
        assert kinds[0] is Kind.SNRM
        assert kinds[-1] is Kind.DISC


@pytest.mark.parametrize(
    "wrong", [{"units": (0,)}, {"units": (0x3FFE,)}, {"units": ()}, {"clients": (0,)}, {"patience_s": 0.0}]
)
def test_a_scan_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        Scan(replace(DEVICE), **wrong)
