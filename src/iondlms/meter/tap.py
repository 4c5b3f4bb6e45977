"""What stands between a port and its endpoints: it counts, and lets faults happen to frames.

While no fault wants to see frames, octets go straight through. Otherwise they are cut into frames, each is
shown to the faults of the meter that it is for, and what they do to the answer is done here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from iondlms.errors import DecodeError
from iondlms.hdlc import Deframer, Frame, Kind, ServerAddress
from iondlms.hdlc.frame import POLL, Control, build
from iondlms.hdlc.transfer import COMMAND_LLC
from iondlms.later import Later
from iondlms.meter.endpoint import framing_of
from iondlms.meter.fault_answers import GET_NEXT, not_ready, refusal_by
from iondlms.meter.fault_rules import ArmedRule, Heard
from iondlms.meter.faults import MeterFaults
from iondlms.meter.gone import GONE, Inner
from iondlms.meter.served import Framing
from iondlms.wrapper import Oversized, Wpdu, WrapperDeframer

__all__ = ["Tap", "TappedEndpoint"]

_MOST_LATE: Final = 64  # answers, or requests, that wait: a client that asks on must not fill the memory
_LARGEST_WPDU: Final = 0xFFFF
_BROKEN: Final = b"\x00\x02\x00\x00\x00"  # what no endpoint can delimit, whatever came before
# More than any link takes (128): what is that long gets FRMR from a station that has a link.
_TOO_LONG: Final = bytes(129)
_TAGS: Final = {0x60: "aarq", 0x62: "rlrq", 0xC0: "get", 0xC1: "set", 0xC3: "action"}
_NORMAL: Final = frozenset((b"\xc0\x01", b"\xc1\x01"))  # have a descriptor where it is looked for
_SERVICES: Final = {Kind.SNRM: "snrm", Kind.DISC: "disc", Kind.RR: "rr"}


class _Late(NamedTuple):
    """An answer that is late, or a request that nobody has had time for."""

    at: float
    octets: bytes
    request: bool = False


class Tap:
    """Of one port of a meter, or of one line that meters share.

    Rules may call it by its name, or `also` by others; `meters` are the faults of the meters there, by
    Unit ID.
    """

    def __init__(
        self,
        name: str,
        meters: Mapping[int, MeterFaults],
        make: Callable[[float], Inner],
        *,
        also: Iterable[str] = (),
        framing: Framing = "hdlc",
        rx_timeout_s: float = 1.5,
        shared: bool = False,
    ) -> None:
        self.name = name
        self.names = frozenset(each.lower() for each in (name, *also))
        self.meters = meters
        self.framing = framing
        self.rx_timeout_s = rx_timeout_s
        self.shared = shared
        self.armed = 0  # meters that want to see their frames
        self.timed = 0  # meters that time alone may bring a fault, and with it the end of a connection
        self.opened = 0  # endpoints made: connections, or calls
        self._make = make
        self._counted: dict[str, int] = {}  # by endpoints that are gone
        self._current: TappedEndpoint | None = None
        for faults in meters.values():
            faults.shown_by(self)

    def make(self, now: float) -> TappedEndpoint:
        """Return an endpoint for the line, or for a call or connection that is accepted."""
        if self._current is not None:
            self._current.end()
        self.opened += 1
        self._current = TappedEndpoint(self, self._make(now), now)
        return self._current

    def admit(self, now: float) -> TappedEndpoint | None:
        """Return an endpoint for a TCP connection, None if no meter takes one now."""
        # On a line that meters share it is the line's listener, and not theirs, that takes it.
        if not self.shared:
            for each in self.meters.values():
                if not each.reachable:
                    return None
        return self.make(now)

    @property
    def counters(self) -> dict[str, int]:
        """What the links here have counted since the start."""
        counted = self._counted.copy()
        if self._current is not None:
            for each, count in self._current.counters.items():
                counted[each] = counted.get(each, 0) + count
        return counted

    # As the faults of the meters see it

    def watch(self, more: int) -> None:
        """Take that one meter more, or one fewer, wants to see its frames."""
        self.armed += more
        if self._current is not None:
            self._current.look()

    def expect(self, more: int) -> None:
        """Take that of one meter more, or one fewer, time alone may bring a fault."""
        self.timed += more
        if self._current is not None:
            self._current.look()

    def cut(self) -> None:
        """Take that the meter lost its power: it knows nothing of connections from before."""
        if not self.shared and self._current is not None:
            self._current.end()

    def took_leave(self, counted: Mapping[str, int]) -> None:
        """Keep what an endpoint had counted that is gone."""
        for each, count in counted.items():
            if count:
                self._counted[each] = self._counted.get(each, 0) + count


class TappedEndpoint:
    """An endpoint, and what befalls it."""

    __slots__ = (
        "_asked",
        "_befalls",
        "_behind",
        "_framing",
        "_heard",
        "_inner",
        "_late",
        "_prefix",
        "_tap",
        "_watch",
        "_watching",
        "follow",
    )

    def __init__(self, tap: Tap, inner: Inner, now: float) -> None:
        self._tap = tap
        self._inner: Inner = inner
        self._heard = now  # while it is watched
        self._watching = False  # a half frame is held here, and the inner endpoint has not seen it
        self._watch: Deframer | WrapperDeframer | None = None
        self._prefix = b""  # octets that do not tell yet which framing they are of
        self._framing: Literal["hdlc", "wrapper", "unknown"] | None = (
            None if tap.framing == "auto" else tap.framing
        )
        self._late: deque[_Late] = deque(maxlen=_MOST_LATE)
        self._asked: dict[int, tuple[bytes, int]] = {}  # by client: what its last GET asked for
        # While an answer waits for a disk: what is to befall it, and what came behind its request.
        self._befalls: Callable[[bytes, float], bytes] | None = None
        self._behind: list[Heard | bytes] = []  # octets: to be served without any fault
        # Answers a request that was foreseen; None for anything else, and while a fault may befall it. It is
        # the inner endpoint's own while none may, so that nothing is looked at for each block of a year.
        self.follow: Callable[[bytes, float], bytes | None]
        self.look()

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take octets and return the answer to them, if it is not late."""
        # What comes behind one that waits keeps its place, even where no rule is left to see it.
        if self._tap.armed or self._watching or self._befalls is not None or self._behind:
            return self._receive(data, now)
        return self._inner.receive_data(data, now)

    def look(self) -> None:
        """See whether a fault may befall what comes next; to be called where that may have changed."""
        tap = self._tap
        stirred = tap.armed or tap.timed or self._watching or self._late
        self.follow = _nothing_foreseen if stirred else self._inner.follow

    def next_deadline(self) -> float | None:
        """Return the first of what the endpoint waits for and what is late."""
        deadline = self._inner.next_deadline()
        if not self._late:
            return deadline
        late = min(late.at for late in self._late)
        return late if deadline is None else min(late, deadline)

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due, and return what is to be sent."""
        waited = self._inner.later is not None
        answer = self._inner.handle_timeout(now)
        if waited and self._inner.later is None:
            befalls, self._befalls = self._befalls, None
            behind, self._behind = [] if self._inner.idle else self._behind, []
            if befalls is not None:
                answer = befalls(answer, now)
            answer += self._answer_all(behind, now)
        if self._late:
            due = [late for late in self._late if late.at <= now]
            self._late = deque((late for late in self._late if late.at > now), _MOST_LATE)
            for late in due:
                # What had to wait has suffered enough: it is served without any further fault.
                answer += self._answer_all([late.octets], now) if late.request else late.octets
        self.look()
        return answer

    @property
    def idle(self) -> bool:
        """True once the inactivity time-out has passed."""
        return self._inner.idle and not self._late

    @property
    def closed(self) -> bool:
        """True once the connection is to be closed."""
        return self._inner.closed

    @property
    def later(self) -> Later | None:
        """What the endpoint's answer waits for."""
        return self._inner.later

    @property
    def counters(self) -> Mapping[str, int]:
        """What was counted here and behind."""
        counted = self._inner.counters
        if isinstance(self._watch, Deframer):
            counted = dict(counted)
            # Damaged ones never come to the inner endpoint, and good ones are counted there.
            for name, count in self._watch.counters.items():
                counted[name] = counted.get(name, 0) + (0 if name == "frames" else count)
        return counted

    def end(self) -> None:
        """Be closed: meter or port knows nothing of this connection any more."""
        self._tap.took_leave(self.counters)
        self._inner, self._watch, self._watching = GONE, None, False
        self._late.clear()
        self._befalls, self._behind = None, []
        self.look()

    # --- while it is watched ----------------------------------------------------------------------

    def _receive(self, data: bytes, now: float) -> bytes:
        if not self._watching and self._inner.in_frame:
            return self._inner.receive_data(data, now)  # a frame that began before anybody watched
        if not self._tap.shared and all(
            each.until("silence", self._tap.names, now) for each in self._tap.meters.values()
        ):
            self._forget_half()
            return b""
        if self._watching and now - self._heard >= self._tap.rx_timeout_s and self._framing != "wrapper":
            self._forget_half()
        self._heard = now
        answer = self._answer_all(self._cut(data), now)
        if self._framing == "unknown":
            answer += self._answer_all([self._prefix], now)
            self._prefix = b""
        for faults in self._tap.meters.values() if not self._tap.shared else ():
            faults.settle(now)
        self.look()
        return answer

    def _cut(self, data: bytes) -> list[Heard]:
        if self._framing is None or self._framing == "unknown":
            data = self._prefix + data
            self._framing = self._framing or framing_of(data)
            self._prefix = b"" if self._framing in ("hdlc", "wrapper") else data
            self._watching = self._framing is None
        if self._framing == "hdlc":
            if not isinstance(self._watch, Deframer):
                self._watch = Deframer()
            frames = self._watch.feed(data)
            self._watching = self._watch.in_frame
            return [self._frame(frame) for frame in frames]
        if self._framing == "wrapper":
            if not isinstance(self._watch, WrapperDeframer):
                self._watch = WrapperDeframer(_LARGEST_WPDU)
            wpdus = self._watch.feed(data)
            if self._watch.broken:
                self._framing, self._prefix = "unknown", _BROKEN  # the endpoint says what becomes of it
            self._watching = self._watch.pending
            return [self._wpdu(wpdu) for wpdu in wpdus if not isinstance(wpdu, Oversized)]
        return []

    def _forget_half(self) -> None:
        if isinstance(self._watch, Deframer):
            self._watch.flush()
        self._watching = False

    def _frame(self, frame: Frame) -> Heard:
        octets = build(frame.destination, frame.source, frame.control, frame.information, frame.segmented)
        client = frame.source[0] >> 1
        unit_id: int | None
        try:
            address = ServerAddress.decode(frame.destination)
        except DecodeError:
            unit_id = 0
        else:
            unit_id = 0 if address.special else address.lower or 0
        if frame.kind is not Kind.I:
            return Heard(client, _SERVICES.get(frame.kind, "other"), octets, unit_id, frame=frame)
        begins = frame.information.startswith(COMMAND_LLC)
        apdu = frame.information[len(COMMAND_LLC) :] if begins else b""
        service, instance, attribute = self._service(client, apdu)
        whole = b"" if frame.segmented else apdu
        return Heard(client, service, octets, unit_id, instance, attribute, whole, frame)

    def _wpdu(self, wpdu: Wpdu) -> Heard:
        service, instance, attribute = self._service(wpdu.source, wpdu.apdu)
        return Heard(wpdu.source, service, wpdu.encode(), None, instance, attribute, wpdu.apdu)

    def _service(self, client: int, apdu: bytes) -> tuple[str, bytes, int]:
        """Return what is asked for, of which object and attribute."""
        if apdu.startswith(GET_NEXT):
            return ("get_next", *self._asked.get(client, (b"", 0)))
        service = _TAGS.get(apdu[0], "other") if apdu else "other"
        if apdu[:2] not in _NORMAL or len(apdu) < 12:
            return service, b"", 0
        instance, attribute = apdu[5:11], apdu[11]
        if service == "get" and len(self._asked) < 128:  # client addresses that there are
            self._asked[client] = instance, attribute
        return service, instance, attribute

    def _answer_all(self, heard: Iterable[Heard | bytes], now: float) -> bytes:
        answers = []
        for each in heard:
            if self._inner.later is None:
                answers.append(self._answer(each, now))
            elif len(self._behind) < _MOST_LATE:
                self._behind.append(each)
        return b"".join(answers)

    def _answer(self, heard: Heard | bytes, now: float) -> bytes:
        """Return the answer to one frame, after all that befalls it."""
        if isinstance(heard, bytes):
            return self._inner.receive_data(heard, now)
        faults = self._meant(heard)
        if faults is None:
            return self._inner.receive_data(heard.octets, now)
        names = self._tap.names
        if faults.until("silence", names, now):
            return b""
        striking = faults.strike(heard, names, now)
        busy = faults.until("busy", names, now)
        silent = faults.until("silence", names, now) is not None
        waits = busy is not None and heard.frame is None
        answer = b""
        if silent or waits:
            for armed in striking:
                armed.take_back()
        if busy is not None and waits and not silent:
            # The wrapper has no word for it: the request waits until somebody has time.
            self._late.append(_Late(busy, heard.octets, request=True))
        elif not silent:

            def befalls(answer: bytes, now: float) -> bytes:
                left = self._befallen(answer if busy is None else not_ready(answer), striking, now)
                faults.settle(now)
                return left

            answer = self._served(heard, faults, striking, now)
            if self._inner.later is None:
                answer = befalls(answer, now)
            else:
                self._befalls = befalls
        if self._tap.shared:
            faults.settle(now)
        return answer

    def _meant(self, heard: Heard) -> MeterFaults | None:
        """Return the faults of the one meter that a frame is for."""
        if heard.frame is not None:
            return self._tap.meters.get(heard.unit_id or 0)
        return next(iter(self._tap.meters.values()), None)

    def _served(self, heard: Heard, faults: MeterFaults, striking: list[ArmedRule], now: float) -> bytes:
        """Have a frame answered by the meter, or by the first rule that does so in its place."""
        armed = next((each for each in striking if each.rule.scope == "request"), None)
        if armed is None:
            return self._inner.receive_data(heard.octets, now)
        rule = armed.rule
        match rule.action:
            case "ignore":
                return b""
            case "disconnect":
                self.end()
                return b""
            case "dm":
                return self._disconnected(heard.frame, armed, now)
            case "frmr":
                return self._rejected(heard.frame, armed, now)
        faults.instead.answer = lambda apdu: refusal_by(apdu, rule)
        try:
            return self._inner.receive_data(heard.octets, now)
        finally:
            if faults.instead.answer is not None:  # a frame that came twice: no APDU to be answered
                faults.instead.answer = None
                armed.take_back()

    def _disconnected(self, frame: Frame | None, armed: ArmedRule, now: float) -> bytes:
        """Have the link ended, as if by DISC, and return DM."""
        if frame is None:
            return b""
        octets = build(frame.destination, frame.source, Control.DISC | POLL)
        answers = Deframer().feed(self._inner.receive_data(octets, now))
        if not answers:
            armed.take_back()
        return b"".join(build(each.destination, each.source, Control.DM | POLL) for each in answers)

    def _rejected(self, frame: Frame | None, armed: ArmedRule, now: float) -> bytes:
        """Have the frame rejected as one with more information than a link takes, and return FRMR."""
        if frame is None:
            return b""
        octets = build(frame.destination, frame.source, frame.control | POLL, _TOO_LONG, frame.segmented)
        answer = self._inner.receive_data(octets, now)
        if not any(each.kind is Kind.FRMR for each in Deframer().feed(answer)):
            armed.take_back()  # without a link there is nothing to reject
        return answer

    def _befallen(self, answer: bytes, striking: list[ArmedRule], now: float) -> bytes:
        """Return what is left of an answer to be sent now."""
        for armed in striking:
            rule = armed.rule
            if rule.scope != "answer":
                continue
            if not answer:
                armed.take_back()  # nothing was said that could be befallen
                continue
            match rule.action:
                case "drop":
                    answer = b""
                case "damage":
                    answer = armed.damaged(answer)
                case "double":
                    answer *= 2
                case "truncate":
                    answer = answer[: len(answer) // 2 if rule.octets is None else rule.octets]
                case "delay":
                    self._late.append(_Late(now + rule.duration_s, answer))
                    answer = b""
        return answer


def _nothing_foreseen(data: bytes, now: float) -> None:
    """Leave the octets to `receive_data`."""
