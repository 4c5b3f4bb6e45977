"""What must hold whatever an attacker sends; `Foul` where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.fuzz.attacker import PROFILES, Attacker
from tests.meter.bench import (
    PASSWORD,
    RESPONSE_LLC,
    SERVER,
    START_MS,
    UNIT_ID,
    Bench,
    Failure,
    date_time,
    decoded,
    require,
)

from iondlms.acse import decode_acse_apdu
from iondlms.codec.datetimes import EPOCH, instant_of
from iondlms.codec.reader import Reader
from iondlms.hdlc import Deframer, Kind
from iondlms.meter import Meter, MeterEndpoint, load
from iondlms.wrapper import Wpdu, WrapperDeframer
from iondlms.xdlms.apdu import OtherApdu, decode_apdu

__all__ = ["Match"]

_SETTINGS: Final[tuple[tuple[str, Any], ...]] = (
    ("history", 20),
    ("load_profile.depth", 30),  # the ring wraps within a match
    ("load_profile.period", 60),
    ("billing.period", 120),
    ("password", PASSWORD),
    ("port.ETHERNET.unit_id", UNIT_ID),
)
_LARGEST_WPDU: Final = 65_535


class Match:
    """One attacker against one meter, and an honest client that reads on a line of its own meanwhile."""

    def __init__(self, seed: int, *, hdlc: bool, password: bool) -> None:
        self._attacker = Attacker(seed, hdlc=hdlc, password=password)
        self._hdlc, self._password = hdlc, password
        self._now = 1000.0
        self._meter = Meter(load(None, _SETTINGS))
        self._meter.start(START_MS, self._now)
        self._line = self._meter.endpoint(now=self._now)
        self._honest = self._reader()
        self._reading = self._honest_reading()
        self._rows: dict[str, dict[int, bytes]] = {name: {} for name in self._meter.ion.recorders}
        self._last_segments: dict[int, bytes] = {}
        self._in_segments: set[int] = set()  # clients whose answer goes on in the next frame
        self.reads = 0  # whole profiles that the honest client has read
        self.answers = 0
        self.steps = 0  # of the clock

    def play(self, steps: int) -> None:
        """Let the attacker do his worst."""
        for wait, octets in self._attacker.chunks(steps):
            self._pass(wait)
            if self._line.closed:
                self._line = self._meter.endpoint(now=self._now)
            answer = self._line.receive_data(octets, self._now)
            self._attacker.hear(answer)
            self._look_at(answer)
            self._look_at_time()
            self._look_at_rows()
            next(self._reading)
        self.steps = self._meter.ion.clock.steps
        require(self._password or not self.steps, "the clock was set without the password")
        self._pass(2.0)
        self._line_still_works()

    # --- what is looked at ----------------------------------------------------------------------------

    def _look_at(self, answer: bytes) -> None:
        """Every octet of the meter belongs to a good frame, and every APDU in it is whole."""
        if self._hdlc:
            deframer = Deframer()
            for frame in deframer.feed(answer):
                require(frame.source == SERVER and len(frame.destination) == 1, "addresses of an answer")
                require(frame.poll and len(frame.information) <= 128, "F, or the length of the information")
                if frame.kind is not Kind.I:
                    if frame.kind is Kind.UA:
                        self._in_segments.discard(frame.destination[0])
                    require(
                        frame.kind in (Kind.UA, Kind.DM, Kind.FRMR, Kind.RR), f"{frame.kind} from a meter"
                    )
                    continue
                self._look_at_segment(frame.destination[0], frame.information, more=frame.segmented)
            require(not deframer.noise + deframer.fcs_errors + deframer.damaged_frames, "no good frame")
            require(not deframer.pending or answer.endswith(b"~"), "a half frame")
            return
        wrapper = WrapperDeframer(_LARGEST_WPDU)
        for wpdu in wrapper.feed(answer):
            require(isinstance(wpdu, Wpdu) and wpdu.source == 1, "ports of an answer")
            if isinstance(wpdu, Wpdu):
                self._look_at_apdu(wpdu.apdu)
        require(not wrapper.pending and not wrapper.broken and not wrapper.empty, "no good WPDU")

    def _look_at_segment(self, client: int, information: bytes, *, more: bool) -> None:
        """Look at answers that one frame carries; pieces of longer ones are the honest client's matter."""
        if more:
            self._in_segments.add(client)
        elif information.startswith(RESPONSE_LLC):
            self._in_segments.discard(client)
            self._look_at_apdu(information[len(RESPONSE_LLC) :])
        elif client in self._in_segments:
            self._in_segments.discard(client)
            self._last_segments[client] = information
        else:
            require(
                information == self._last_segments.get(client), "neither an answer nor a frame said again"
            )

    def _look_at_apdu(self, apdu: bytes) -> None:
        self.answers += 1
        if apdu[0] in (0x61, 0x63):
            decode_acse_apdu(apdu)
            return
        reader = Reader(apdu)
        found = decode_apdu(reader)
        reader.end()
        require(
            not isinstance(found, OtherApdu) and apdu[0] in (0xC4, 0xC5, 0xD8), f"{apdu.hex()} from a meter"
        )

    def _look_at_time(self) -> None:
        """Nothing is due that was done, and whatever the clock was set to, it goes on from there."""
        deadline = self._meter.next_deadline()
        require(
            deadline is not None and self._now - 0.001 < deadline <= self._now + 60.001, f"due at {deadline}"
        )
        for line in (self._line, self._honest.endpoint):
            deadline = line.next_deadline()
            require(deadline is None or deadline > self._now, f"the line's deadline {deadline} is over")
        shown = self._meter.ion.at_ms
        require(0 <= shown < (instant_of(0).replace(year=2201) - EPOCH).total_seconds() * 1000, "the year")

    def _look_at_rows(self) -> None:
        """A row that was there is there, as it was, until the ring pushes it out."""
        for name, recorder in self._meter.ion.recorders.items():
            log, kept, stride = recorder.log, self._rows[name], recorder.row_format.stride
            packed = log.packed(log.first, log.end)
            now = {log.first + at: packed[at * stride : (at + 1) * stride] for at in range(log.count)}
            require(log.count == min(log.end, recorder.depth), f"{log.count} rows of {log.end}")
            require(all(now[number] == row for number, row in kept.items() if number in now), "a row changed")
            self._rows[name] = now

    # --- time, and the honest client ------------------------------------------------------------------

    def _pass(self, seconds: float) -> None:
        """Let time pass; whatever has a deadline is woken no more often than it has things to do."""
        until = self._now + seconds
        lines: tuple[MeterEndpoint, ...] = (self._line, self._honest.endpoint)
        for _ in range(1000):
            dues = [self._meter.next_deadline(), *(line.next_deadline() for line in lines)]
            wakes = [at for at in dues if at is not None]
            due = min(wakes, default=until)
            if due > until:
                break
            self._now = max(self._now, due)
            for line in lines:
                deadline = line.next_deadline()
                if deadline is not None and deadline <= self._now:
                    require(line.handle_timeout(self._now) == b"", "the meter spoke first")
            self._meter.advance(self._now)
        else:
            raise Failure("a deadline that never goes away")
        self._now = self._honest.now = until
        self._meter.advance(until)

    def _reader(self) -> Bench:
        made = object.__new__(Bench)
        made.transport, made.client, made.meter, made.now = "hdlc", 16, self._meter, self._now
        made.information, made.send_number, made.receive_number, made.answers = 128, 0, 0, []
        made.connect()
        return made

    def _honest_reading(self) -> Iterator[None]:
        """Read both profiles again and again, a block a turn: each is what it was at its first block."""
        bench = self._honest
        while True:
            for profile, name in zip(PROFILES, self._meter.ion.recorders, strict=True):
                bench.snrm()
                bench.associate()
                log = self._meter.ion.recorders[name].log
                answer = bench.apdu(f"C001C10007{_hex(profile)}0200") or b""
                expected = list(log.instants(log.first, log.end))
                raw, number = b"", 1
                while True:
                    reader = Reader(answer)
                    require(reader.take(3).hex() == "c402c1", f"block {number}: {answer.hex()}")
                    last, found, _ = reader.u8(), reader.u32(), reader.u8()
                    require(found == number, f"block {found} instead of {number}")
                    raw += reader.take(reader.length())
                    if last:
                        break
                    yield
                    if bench.endpoint.idle or bench.endpoint.next_deadline() is None:
                        break
                    answer = bench.apdu(f"C002C1{number:08X}") or b""
                    number += 1
                if last:
                    shown = [row.items()[0].octets()[:8] for row in decoded(raw).items()]
                    wanted = [
                        date_time(instant_of(at), day_of_week=instant_of(at).isoweekday())[:8]
                        for at in expected
                    ]
                    require(shown == wanted, f"{name}: other rows than there were at the first block")
                    self.reads += 1
                yield

    def _line_still_works(self) -> None:
        """After all that a new client on the same line gets what it asks."""
        if self._line.closed:
            self._line = self._meter.endpoint(now=self._now)
        bench = self._reader()
        bench.endpoint, bench.transport = self._line, "hdlc" if self._hdlc else "wrapper"
        if not self._hdlc:
            bench.endpoint = self._meter.endpoint(now=self._now)
        bench.enter("A" if self._hdlc else "TA")
        require(bench.read(1, "0-0:42.0.0*255"), "the name")


def _hex(name: str) -> str:
    head, _, tail = name.partition(":")
    numbers = [*head.split("-"), *tail.replace("*", ".").split(".")]
    return "".join(f"{int(number):02X}" for number in numbers)
