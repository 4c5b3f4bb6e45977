"""What one meter is to suffer: its armed rules, and what they do to the meter itself.

A rule waits for frames, which `tap.py` shows to it, or for an instant, which `Meter.advance` reaches. What
is done to answers happens in `tap.py`; what is done to the meter is done here, and `iondlms ctl` does the
same by hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Protocol

from iondlms.errors import AccessError, LocalError
from iondlms.ion.source import Source
from iondlms.meter.fault_rules import ALL_PORTS, MOST_RULES, ArmedRule, FaultRule, Heard, Values
from iondlms.meter.fault_source import frozen
from iondlms.meter.service import Instead

__all__ = ["MeterFaults"]

_LOG: Final = logging.getLogger("iondlms.meter.faults")
_FILE: Final = "file"  # where a rule comes from
_HAND: Final = "ctl"


class Sufferer(Protocol):
    """The meter, as its faults know it."""

    source: Source

    @property
    def powered(self) -> bool:
        """Whether it has power."""

    @property
    def outages(self) -> int:
        """How many losses of power are over."""

    def advance(self, now: float) -> None:
        """Let everything happen that is due."""

    def present_ms(self, now: float) -> int:
        """Return its UTC in milliseconds."""

    def now_at(self, utc_ms: int) -> float:
        """Return the `now` at which its UTC will be this."""

    def power_down(self, now: float) -> None:
        """Cut the power."""

    def power_up(self, now: float) -> None:
        """Bring it back."""

    def step_clock(self, step_s: float, now: float, by: str = "ctl") -> None:
        """Set the clock forward, or back; the event says over what."""

    def master_reset(self, now: float) -> None:
        """Master Reset."""


class Watcher(Protocol):
    """A tap: who shows frames to the faults, while there are any that want to see them."""

    def watch(self, more: int) -> None:
        """Take that one meter more, or one fewer, wants to see its frames."""

    def expect(self, more: int) -> None:
        """Take that of one meter more, or one fewer, time alone may bring a fault."""

    def cut(self) -> None:
        """Forget connections: the meter has lost its power."""


class MeterFaults:
    """The faults of one meter."""

    def __init__(self, meter: Sufferer, rules: Sequence[FaultRule] = ()) -> None:
        self._meter = meter
        self._given = tuple(rules)
        self._numbers = count(1)
        self._armed: list[ArmedRule] = []
        self.taps: list[Watcher] = []
        self._watched = False
        self._until: dict[tuple[str, str], float] = {}  # (silence or busy, port): when it is over
        # When what was taken for some time comes back; None: it is there, or nobody knows when.
        self._power_at: float | None = None
        self._outages = 0  # of the meter, when its power was cut
        self._source_at: float | None = None
        self._ethernet_at: float | None = None
        self._true_source: Source | None = None  # while another stands in for it
        self.frozen: Values | None = None
        self.ethernet = True  # new TCP connections are taken
        self.timed = False  # `advance` may have something to do
        self.instead = Instead()  # answers the next APDU

    # --- rules ------------------------------------------------------------------------------------

    @property
    def reachable(self) -> bool:
        """Whether a TCP connection is taken: one to a meter without power is not."""
        return self.ethernet and self._meter.powered

    def start(self, now: float) -> None:
        """Arm the rules of the configuration: the meter has started."""
        self._armed, self._power_at = [], None
        self.give(self._given, now)

    def give(self, rules: Sequence[FaultRule], now: float) -> None:
        """Arm the rules of a configuration in place of those of the one before."""
        self._given = tuple(rules)
        self._armed = [armed for armed in self._armed if armed.origin != _FILE]
        for rule in rules:
            self._arm(rule, _FILE, now)
        self._renew()

    def arm(self, rule: FaultRule, now: float) -> int:
        """Arm a rule by hand; return its number. LocalError where too many are armed."""
        if sum(not armed.done for armed in self._armed) >= MOST_RULES:
            raise LocalError(f"{MOST_RULES} faults are armed; clear some first")
        if len(self._armed) >= MOST_RULES:
            self._armed = [armed for armed in self._armed if not armed.done]
        number = self._arm(rule, _HAND, now)
        self._renew()
        return number

    def clear(self, number: int | None = None) -> int:
        """Disarm one rule, or all, and end silence and busy; return how many. LocalError for no such one."""
        found = [armed for armed in self._armed if number in (None, armed.number)]
        if number is not None and not found:
            raise LocalError(f"no fault has number {number}")
        self._armed = [armed for armed in self._armed if number not in (None, armed.number)]
        if number is None:
            self._until.clear()
        self._renew()
        return len(found)

    def told(self, now: float) -> list[dict[str, Any]]:
        """Return all rules, and what is silent or busy, as plain values."""
        self.settle(now)
        told = [armed.told() for armed in self._armed]
        for (action, port), until in self._until.items():
            left = round(until - now, 1)
            told.append({"action": action, "port": port, "state": "going on", "seconds_left": left})
        return told

    def _arm(self, rule: FaultRule, origin: str, now: float) -> int:
        """Arm a rule; `_renew` is the caller's, once for all that it arms."""
        armed = ArmedRule(next(self._numbers), rule, origin, now)
        utc_ms = self._meter.present_ms(now)
        # What was to happen while the meter was not there does not happen afterwards.
        lasts_ms = rule.lasts_s * 1000 if rule.waits else 0
        ends = not rule.waits or lasts_ms
        if rule.at_ms is not None and ends and utc_ms > rule.at_ms + lasts_ms:
            armed.end_turn(utc_ms)
        self._armed.append(armed)
        return armed.number

    def _renew(self) -> None:
        """Find out who wants to be called."""
        watched = bool(self._until) or any(armed.listens for armed in self._armed)
        if watched != self._watched:
            self._watched = watched
            for tap in self.taps:
                tap.watch(1 if watched else -1)
        ends = (self._power_at, self._source_at, self._ethernet_at)
        timed = any(end is not None for end in ends) or any(
            armed.begin_ms is not None for armed in self._armed
        )
        if timed is not self.timed:
            self.timed = timed
            for tap in self.taps:
                tap.expect(1 if timed else -1)

    # --- frames -----------------------------------------------------------------------------------

    def shown_by(self, tap: Watcher) -> None:
        """Have frames shown by a tap from now on."""
        self.taps.append(tap)
        if self._watched:
            tap.watch(1)
        if self.timed:
            tap.expect(1)

    def strike(self, heard: Heard, names: frozenset[str], now: float) -> list[ArmedRule]:
        """Return the rules that befall this frame's answer; what befalls the meter has happened then."""
        striking = []
        for armed in self._armed:
            if not armed.strikes(heard, names, now):
                continue
            rule = armed.rule
            _LOG.info(
                "fault %d: %s, by %s of client %d", armed.number, rule.action, heard.service, heard.client
            )
            if rule.scope in ("answer", "request"):
                striking.append(armed)
            else:
                self._happen(rule, now)
        return striking

    def settle(self, now: float) -> None:
        """End the turns that are over, and what went on for some time."""
        for armed in self._armed:
            if not armed.done and armed.over(now):
                armed.end_turn(self._meter.present_ms(now))
        self._until = {key: until for key, until in self._until.items() if until > now}
        self._renew()

    def until(self, action: str, names: frozenset[str], now: float) -> float | None:
        """Return when the silence, or the being busy, of a port is over; None if it is neither."""
        if not self._until:
            return None
        ends = [self._until.get((action, name), now) for name in (ALL_PORTS, *names)]
        return max(ends) if max(ends) > now else None

    # --- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `advance` has something to do."""
        return min((at for at, _ in self._due()), default=None)

    def advance(self, now: float) -> None:
        """Let happen what is due, in order and each at its time."""
        while True:
            at, happen = min(self._due(), key=lambda due: due[0], default=(now + 1, _nothing))
            if at > now:
                return
            happen(at)
            self._renew()

    def _due(self) -> list[tuple[float, Callable[[float], None]]]:
        due: list[tuple[float, Callable[[float], None]]] = [
            (at, happen)
            for at, happen in (
                # Each forgets its time first, for what it does may lead here again.
                (self._power_at, self._power_back),
                (self._source_at, self.resume),
                (self._ethernet_at, self.ethernet_on),
            )
            if at is not None
        ]
        for armed in self._armed:
            if armed.begin_ms is not None:
                due.append((self._meter.now_at(armed.begin_ms), _Turn(self, armed)))
        return due

    def begin(self, armed: ArmedRule, now: float) -> None:
        """Begin the turn of a rule; one that waits for no frame does now what it does."""
        armed.begin(now)
        if not armed.rule.waits:
            armed.fired += 1
            _LOG.info("fault %d: %s", armed.number, armed.rule.action)
            self._happen(armed.rule, now)
            armed.end_turn(self._meter.present_ms(now))

    # --- what befalls the meter -------------------------------------------------------------------

    def _happen(self, rule: FaultRule, now: float) -> None:
        try:
            match rule.action:
                case "silence" | "busy":
                    self._until[rule.action, rule.port.lower()] = now + rule.duration_s
                case "power_cut":
                    self.cut_power(rule.duration_s, now)
                case "clock_step":
                    self._meter.step_clock(rule.step_s, now, "a fault")
                case "master_reset":
                    self._meter.master_reset(now)
                case "freeze":
                    self.freeze(rule.values, rule.duration_s, now)
                case "ethernet_off":
                    self.ethernet_off(rule.duration_s, now)
                case _:
                    raise LocalError(f"{rule.action} is nothing that befalls a meter")
        except (AccessError, LocalError) as error:
            # A clock step in an outage, for one, or one beyond the years of the clock.
            _LOG.warning("fault %s: %s", rule.action, error)

    def cut_power(self, seconds: float, now: float) -> None:
        """Cut the power for some time, 0: until `power_on`; LocalError if it is cut."""
        if not self._meter.powered:
            raise LocalError("the meter has no power")
        self._power_at = now + seconds if seconds else None
        self._meter.power_down(now)
        self._outages = self._meter.outages
        for tap in self.taps:
            tap.cut()
        self._renew()

    def power_on(self, now: float) -> None:
        """Bring the power back; LocalError if it is there."""
        self._power_at = None
        self._meter.power_up(now)
        self._renew()

    def _power_back(self, now: float) -> None:
        """End a power cut; whoever has the meter may have done that before, and cut the power himself."""
        if self._meter.powered or self._meter.outages != self._outages:
            self._power_at = None
            self._renew()
        else:
            self.power_on(now)

    def freeze(self, values: Values, seconds: float, now: float) -> None:
        """Stop the source for some time, 0: until `resume`: its values stay, or are missing."""
        self._meter.advance(now)  # on the values that were true until now
        if self._true_source is None:
            self._true_source = self._meter.source
        self._meter.source = frozen(self._true_source, self._meter.present_ms(now), values)
        self.frozen = values
        self._source_at = now + seconds if seconds else None
        self._renew()

    def resume(self, now: float) -> None:
        """Let the source go on; LocalError if it does."""
        self._source_at = None
        self._meter.advance(now)
        if self._true_source is None:
            raise LocalError("the source is not frozen")
        self._meter.source, self._true_source, self.frozen = self._true_source, None, None
        self._source_at = None  # of another freeze, which that time has brought
        self._renew()

    def ethernet_off(self, seconds: float, now: float) -> None:
        """Take no new TCP connection for some time, 0: until `ethernet_on`."""
        self.ethernet = False
        self._ethernet_at = now + seconds if seconds else None
        self._renew()

    def ethernet_on(self, now: float) -> None:  # noqa: ARG002
        """Take connections again."""
        self.ethernet, self._ethernet_at = True, None
        self._renew()


class _Turn:
    """The beginning of a rule's turn."""

    def __init__(self, faults: MeterFaults, armed: ArmedRule) -> None:
        self._faults = faults
        self._armed = armed

    def __call__(self, now: float) -> None:
        self._faults.begin(self._armed, now)


def _nothing(now: float) -> None:
    pass
