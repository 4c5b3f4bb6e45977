"""A meter on a disk that takes its time: what it waits for is settled by the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from tests.meter.bench import (
    AARQ,
    AARQ_LLS,
    GET_NAME,
    LOAD_PROFILE,
    SET_TIME,
    START,
    START_MS,
    Bench,
    Failure,
    Transport,
    date_time,
    get_request,
    require,
)

from iondlms.errors import LocalError
from iondlms.ion.log import MemoryLog
from iondlms.ion.recorder import DataRecorderSetup, memory_log
from iondlms.ion.state import Pending
from iondlms.later import Later, NotYet
from iondlms.meter import Meter, MeterEndpoint
from iondlms.meter.config import Config

SUCCESS: Final = bytes.fromhex("C501C100")
TEMPORARY_FAILURE: Final = bytes.fromhex("C501C102")
RLRQ: Final = "6203800100"
FRAMES: Final[dict[Transport, Bench]] = {  # make those of all clients
    "hdlc": Bench("hdlc", 1),
    "wrapper": Bench("wrapper", 1),
}
CONFIG: Final = FRAMES["hdlc"].meter.config


class SlowDisk:
    """Takes the batches of a meter, and is asked for its rows."""

    def __init__(self, times: int = 1) -> None:
        self.times = times  # that a question for rows has to wait
        self.slow = False
        self.steps: deque[Later] = deque()  # of the clock, that are being written
        self.reads: deque[tuple[Later, tuple[object, ...]]] = deque()
        self.waited = 0
        self._asked: dict[tuple[object, ...], int] = {}
        self._held: list[Pending] = []
        self._offset_ms = 0
        self.meter: Meter

    def make(self, config: Config) -> Meter:
        """Return a meter of a configuration, running since 1000.0."""
        self.meter = Meter(config, commit=self.commit, make_log=self.log)
        self.meter.start(START_MS, 1000.0)
        self.slow = True
        return self.meter

    def commit(self, batch: Pending) -> Later | None:
        offset_ms = self._offset_ms if batch.state is None else batch.state.offset_ms
        stepped, self._offset_ms = offset_ms != self._offset_ms, offset_ms
        self._held.append(batch)
        if stepped and self.slow:
            self.steps.append(Later())
            return self.steps[-1]
        if not self.steps:
            self._publish()
        return None

    def log(self, setup: DataRecorderSetup) -> SlowLog:
        return SlowLog(self, setup)

    def ask(self, question: tuple[object, ...]) -> None:
        """Raise NotYet where the answer to a question has not been read."""
        if not self.slow:
            return
        if self._asked.get(question, 0) >= self.times:
            del self._asked[question]
            return
        self.reads.append((Later(), question))
        raise NotYet(self.reads[-1][0])

    def settle(self, error: LocalError | None = None) -> None:
        """Be done with what is under way the longest."""
        self.waited += 1
        if self.steps:
            if error is None:
                self._publish()
            self.steps.popleft().settle(error)
        elif self.reads:
            later, question = self.reads.popleft()
            if error is None:
                self._asked[question] = self._asked.get(question, 0) + 1
            later.settle(error)
        else:
            raise Failure("nothing is under way")

    @property
    def busy(self) -> bool:
        return bool(self.steps or self.reads)

    def _publish(self) -> None:
        for batch in self._held:
            self.meter.publish(batch)
        self._held.clear()


class SlowLog:
    """A `Log` that has to read what it is asked for."""

    def __init__(self, disk: SlowDisk, setup: DataRecorderSetup) -> None:
        self._disk = disk
        self._name = setup.name
        log = memory_log(setup)
        assert isinstance(log, MemoryLog)
        self._log = log
        self.extend, self.clear, self.resize = log.extend, log.clear, log.resize

    @property
    def first(self) -> int:
        return self._log.first

    @property
    def end(self) -> int:
        return self._log.end

    @property
    def count(self) -> int:
        return self._log.count

    def packed(self, first: int, end: int) -> bytes:
        return b"".join(self.pieces(first, end))

    def pieces(self, first: int, end: int) -> list[bytes]:
        self._disk.ask((self._name, "rows", first, end))
        return self._log.pieces(first, end)

    def instants(self, first: int, end: int) -> Sequence[int]:
        self._disk.ask((self._name, "instants", first, end))
        return self._log.instants(first, end)

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        self._disk.ask((self._name, "range", start_ms, end_ms))
        return self._log.find(start_ms, end_ms)


class SlowBench(Bench):
    """A bench whose meter has a slow disk; who asks is patient."""

    def __init__(
        self, transport: Transport, client: int = 1, settings: Sequence[tuple[str, Any]] = (), times: int = 1
    ) -> None:
        self.disk = SlowDisk(times)
        self.error: LocalError | None = None  # what becomes of all that is under way
        super().__init__(transport, client, settings)
        self.meter = self.disk.make(self.meter.config)
        self.connect()

    def send(self, octets: bytes | str) -> bytes:
        data = bytes.fromhex(octets) if isinstance(octets, str) else octets
        answer = self.endpoint.receive_data(data, self.now)
        before = self.disk.waited
        while self.endpoint.later is not None:
            require(answer == b"", "an answer before it was due")
            require(self.disk.waited < before + 20, "it waits and waits")
            self.disk.settle(self.error)
            answer = self.endpoint.handle_timeout(self.now)
        if self.transport == "hdlc":
            self.frames(answer)
        return answer


def set_time(minutes: int) -> str:
    """SET of the clock to so many minutes after the start."""
    return SET_TIME[:30] + date_time(START + timedelta(minutes=minutes)).hex()


class Line:
    """A client of either framing who sends on whatever is, or is not, answered."""

    def __init__(self, transport: Transport) -> None:
        self.transport: Transport = transport
        self.bench = FRAMES[transport]
        self.clients: dict[int, tuple[int, int]] = {}  # N(S) and N(R) of each
        self.last = b""  # I frame, or WPDU
        self.block = 0
        self.minutes = 0

    def frame(self, sap: int, control: int, information: bytes = b"") -> bytes:
        self.bench.client = sap
        return self.bench.frame(control, information)

    def request(self, sap: int, apdu: str) -> bytes:
        self.bench.client = sap
        if self.transport == "wrapper":
            self.last = self.bench.wpdu(bytes.fromhex(apdu))
            return self.last
        send, receive = self.clients.get(sap, (0, 0))
        control = receive << 5 | 0x10 | send << 1
        self.clients[sap] = send + 1 & 7, receive + 1 & 7  # each is answered by an I frame, we believe
        self.last = self.frame(sap, control, bytes.fromhex("E6E600" + apdu))
        return self.last

    def __call__(self, what: str, sap: int = 1) -> bytes:
        """Return the octets of what is asked."""
        match what:
            case "snrm":
                self.clients[sap] = 0, 0
                return self.frame(sap, 0x93) if self.transport == "hdlc" else b""
            case "disc":
                return self.frame(sap, 0x53) if self.transport == "hdlc" else b""
            case "rr":
                receive = self.clients.get(sap, (0, 0))[1]
                return self.frame(sap, receive << 5 | 0x11) if self.transport == "hdlc" else b""
            case "repeat":
                return self.last
            case "aarq":
                return self.request(sap, AARQ_LLS if sap == 1 else AARQ)
            case "rlrq":
                return self.request(sap, RLRQ)
            case "set":
                self.minutes += 7
                return self.request(sap, set_time(self.minutes))
            case "get":
                return self.request(sap, GET_NAME)
            case "clock":
                return self.request(sap, get_request(8, "0-0:1.0.0*255", 2))
            case "rows":
                self.block = 0
                return self.request(sap, get_request(7, LOAD_PROFILE, 2))
            case "next":
                self.block += 1
                return self.request(sap, f"C002C1{self.block:08X}")
            case "noise":
                return b"\x7e\xa0\x07~~" if self.transport == "hdlc" else b""
        raise AssertionError(what)

    def open(self) -> bytes:
        return self("snrm") + self("aarq") + self("snrm", 16) + self("aarq", 16)


def meter_on(disk: SlowDisk) -> MeterEndpoint:
    """A line of a meter whose disk is slow."""
    return disk.make(CONFIG).endpoint(now=1000.0)
