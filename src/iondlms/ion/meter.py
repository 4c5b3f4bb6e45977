"""The modules at work: one ION meter, moved by `now`.

Octets and threads are no matter here. The host calls `advance` whenever `next_deadline` is reached or a
reader asks for something, makes the returned batch durable, and then publishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from sys import intern
from typing import Final

from iondlms.errors import LocalError, OtherReason, ReadWriteDenied

from .clock import Clock
from .event_log import EventLog, Priority
from .framework import Framework
from .journal import Journal
from .log import Log
from .periodic_timer import PeriodicTimer
from .power_meter import PowerMeter
from .pulses import Alarm, Boundaries, Pulses, Recording, by_name, timer_of
from .recorder import DataRecorder, DataRecorderSetup, Status, memory_log
from .setup_change import ChangedRecorders, what_changes
from .source import Source, SupplySource
from .state import MeterState, Pending, RecorderState, Saved

__all__ = ["IonMeter"]

_NEVER_MS: Final = 1 << 60
_MAX_UTC_MS: Final = 7_258_118_400_000  # the year 2200: date-times of every zone still fit


class IonMeter:
    """A meter of one framework and one source.

    `heartbeat_s` is how often the state is kept when nothing else happens, so that after a crash the time of
    the power cut is known that well; None for never. Where nobody `keeps_state`, events come without it.
    """

    def __init__(
        self,
        framework: Framework,
        source: Source,
        *,
        heartbeat_s: int | None = 60,
        make_log: Callable[[DataRecorderSetup], Log] = memory_log,
        keeps_state: bool = True,
    ) -> None:
        self.framework = framework
        self.clock = Clock(framework.clock)
        self.event_log = EventLog(framework.event_log)
        self._journal = Journal(self.event_log)
        self.power_meter = PowerMeter(source, framework.power_meter, self._journal.log)
        self._supply = source if isinstance(source, SupplySource) else None
        triggers = by_name(framework.triggers)
        self.recorders: dict[str, DataRecorder] = {
            setup.name: DataRecorder(setup, self.power_meter, triggers.get(setup.record_input), make_log)
            for setup in framework.data_recorders
        }
        self._make_log = make_log
        self.powered = False
        self.outages = 0  # that are over; who remembers another number has slept through one
        self._back_ms: int | None = None  # when a cut of the source's own making will be over
        self._heartbeat_ms = _NEVER_MS if heartbeat_s is None else heartbeat_s * 1000
        self._keeps_state = keeps_state
        self._now = 0.0
        self._at_ms = 0  # everything up to this instant of the meter's UTC is done
        self._metered_ms = 0  # ... and what has flowed until then is counted; the rest when it is asked for
        self._offset_ms = 0
        self._dst = False
        self._kept_ms = 0  # when the state was handed out last
        self._touched = False  # whether the state must be handed out at the next `advance`
        self._strangers: dict[str, RecorderState] = {}  # recorders kept, but not in this framework
        self._pulses = Pulses(triggers, self.clock)
        self._alarms = self._make_alarms()
        self._due_ms = 0
        self._next_ms = 0  # when `advance` has something to do, if nothing else happens

    # Time: all that moves the meter

    def start(self, utc_ms: int, now: float, saved: Saved | None = None, *, history_rows: int = 0) -> None:
        """Power the meter up at the host's UTC; LocalError if it is up.

        With `saved` it goes on from there, and the time since is an outage. Without, it is new, or, with
        `history_rows`, has been running for that many load-profile intervals: the same code runs over
        them at once. A meter that has records already gets no history, only the depth for it.
        """
        if self.powered:
            raise LocalError("the meter is running already")
        own, kept = self.framework.factory.device_type, "" if saved is None else saved.state.device_type
        if kept not in ("", own):
            raise LocalError(f"what is stored is of an {kept}, this is an {own}; give each its own folder")
        self._offset_ms = 0 if saved is None else saved.state.offset_ms
        self.clock.start(utc_ms + self._offset_ms, now, valid=self.framework.clock.trusted)
        self._now = now
        for recorder in self.recorders.values():
            recorder.deepen(history_rows)
        at_ms = self.clock.utc_ms(now)
        if saved is not None:
            self._restore(saved)
        started = intern(f"{own} started")  # thousands of meters may be in one process
        # Not for rows that were cleared: a second past would count their energy a second time.
        new = saved is None or not any(kept.next_sequence for kept in saved.state.recorders.values())
        if saved is not None and not (history_rows and new):
            self._dst = self.clock.dst_active(saved.state.alive_ms)
            self._resume(saved.state.alive_ms, at_ms, started, logged=not saved.state.powered)
            return
        begin_ms, timer = at_ms, self.framework.interval
        if history_rows:
            begin_ms = timer.next_boundary(at_ms, self.clock) - (history_rows + 1) * timer.period_s * 1000
        for recorder in self.recorders.values():
            # With history the meter has been running all along, and nothing happened before its first row.
            recorder.bits = Status(0) if history_rows else Status.POWER_UP
        self._journal.log(begin_ms, Priority.WARNING, "Power up", started)
        self.powered = True
        self._dst = self.clock.dst_active(begin_ms)
        self._arm(begin_ms)
        self._run(at_ms)
        self._touched = True

    def advance(self, now: float) -> Pending:
        """Let everything happen that is due until `now`, in order; return what must become durable."""
        self._now = now
        if self.powered or self._back_ms is not None:
            self._run(self.clock.utc_ms(now))
        if not (self._journal.recorded or self._touched or (self.powered and self._at_ms >= self._next_ms)):
            return self._journal.take(None)
        # Beside events too: the state tells until when the meter was alive, whatever happens now.
        state = self.state if self._touched or self._keeps_state else None
        self._touched, self._kept_ms = False, self._at_ms
        self._next_ms = min(self._due_ms, self._kept_ms + self._heartbeat_ms)
        return self._journal.take(state)

    def pass_time(self, now: float) -> bool:
        """Let nothing but time pass until `now`; False, and nothing is done, if something else is due.

        What flows meanwhile is counted when somebody looks: most requests look at neither register.
        """
        at_ms = self.clock.utc_ms(now)
        if at_ms >= self._next_ms or self._touched or self._journal.recorded or not self.powered:
            return False
        self._now = now
        if at_ms > self._at_ms:
            self._at_ms = at_ms
        return True

    def publish(self, batch: Pending) -> None:
        """Let readers see a batch that is durable now; batches come in the order of `advance`."""
        for name, rows in batch.rows.items():
            if name in self.recorders:  # else it is no more since
                self.recorders[name].publish(rows)
        self.event_log.publish(batch.events)

    def next_deadline(self) -> float | None:
        """Return the `now` at which `advance` has something to do; None while it is switched off."""
        if self._journal.recorded or self._touched:
            return self._now
        if not self.powered:
            return None if self._back_ms is None else self.clock.now_at(self._back_ms)
        return self.clock.now_at(self._next_ms)

    # What a reader asks; `advance` to now comes first

    @property
    def at_ms(self) -> int:
        """The meter's UTC up to which everything is done."""
        return self._at_ms

    @property
    def now(self) -> float:
        """The `now` of the last call."""
        return self._now

    def value(self, name: str) -> int | None:
        """Return a quantity's present value times 1000, None without one; LocalError for no such name."""
        self.count()
        return self.power_meter.value(name, self._at_ms)

    @property
    def state(self) -> MeterState:
        """All that must outlive a power cut, but for rows and events."""
        self.count()
        own = {
            name: RecorderState(
                each.setup.fingerprint, each.depth, each.next_sequence, each.rearm_sequence, int(each.bits)
            )
            for name, each in self.recorders.items()
        }
        return MeterState(
            self._at_ms,
            self._offset_ms,
            self.powered,
            self.event_log.next_sequence,
            self.power_meter.state,
            {**self._strangers, **own},
            self.framework.factory.device_type,
        )

    # What can be done to a meter; the next `advance` returns what must become durable

    def set_time(self, utc_ms: int, now: float, port: str, by: str = "") -> int:
        """Set the clock; return the step in milliseconds. It is an event, over `port` or what `by` names.

        A refusal is one too, but told by whoever asks, who knows of more reasons than the two here:
        ReadWriteDenied if the port is not the Time Sync Source, OtherReason for a year that no
        date-time holds: then the clock stays as it was.
        """
        self._catch_up(now)
        if not self.clock.accepts(port):
            raise ReadWriteDenied(f"{port} is not the Time Sync Source")
        if not 0 <= utc_ms < _MAX_UTC_MS:
            raise OtherReason(f"{utc_ms} ms is not within the years 1970 to 2199")
        before_ms = self._at_ms
        step_ms = self.clock.step(utc_ms, now)
        self._offset_ms += step_ms
        if self.clock.noticed(step_ms):
            self._gather(Status.TIME_CHANGED)
        self._journal.log(
            before_ms, Priority.INFORMATION, f"Time set over {by or port}", f"step of {step_ms} ms"
        )
        self._notice_dst(utc_ms)
        self._arm(utc_ms)
        self._touched = True
        return step_ms

    def power_down(self, now: float, why: str = "") -> None:
        """Cut the power, or stop gracefully, as `why` tells: nothing is recorded, only the clock runs on."""
        if self._back_ms is not None:  # dark already, unless it came back meanwhile
            self._now = now
            self._run(self.clock.utc_ms(now))
        if self._back_ms is None:
            self._catch_up(now)
            self._journal.log(self._at_ms, Priority.WARNING, "Power down", why)
        self.powered, self._back_ms = False, None
        self._touched = True

    def power_up(self, now: float) -> None:
        """Bring the power back; LocalError if it is there."""
        if self.powered or self._back_ms is not None:
            raise LocalError("the meter has power, or will when its source has")
        self._now = now
        self._resume(self._at_ms, self.clock.utc_ms(now))

    def master_reset(self, now: float) -> None:
        """Set all registers to 0 and clear all Data Recorders, as the meters' Master Reset does."""
        self._catch_up(now)
        self.power_meter.master_reset()
        for recorder in self.recorders.values():
            self._journal.clear(recorder)
        self._gather(Status.MASTER_RESET)
        self._journal.log(self._at_ms, Priority.RESET, "Master reset", "")

    def pulse(self, recorder: str, now: float) -> bool:
        """Pulse a recorder's Record input by hand; return whether it made a row.

        Such a row is not driven by a Periodic Timer, so its status is 0xFFFF.
        """
        self._catch_up(now)
        found = self._recorder(recorder)
        return self._journal.add_row(found, found.record(self._at_ms, timed=False), self._at_ms)

    def rearm(self, recorder: str, now: float) -> None:
        """Pulse a recorder's Rearm input: clears one that stops when full; a circular one ignores it."""
        self._catch_up(now)
        found = self._recorder(recorder)
        if not found.setup.circular:
            self._journal.clear(found)
            self._journal.log(self._at_ms, Priority.RESET, f"{recorder} rearmed", "log cleared")

    def synchronize(self, timer: str, now: float) -> None:
        """Pulse a Periodic Timer's Sync input; LocalError if no such timer is there."""
        self._catch_up(now)
        self._synchronize(self._pulses.timer(timer), self._at_ms)
        self._fire(self._at_ms)

    def change(self, framework: Framework, now: float) -> None:
        """Take other settings while running; a Data Recorder whose own inputs or settings differ is cleared.

        Each change is an event. LocalError without power, or if the Factory module is another.
        """
        self._catch_up(now)
        if framework.factory != self.framework.factory:
            raise LocalError("what the Factory module says takes a restart")
        for what, how in what_changes(self.framework, framework):
            self._journal.log(self._at_ms, Priority.SETUP_CHANGE, what, how)
        self.framework = framework
        self.clock.change(framework.clock)
        self.power_meter.change(framework.power_meter)
        self.event_log.change(framework.event_log)
        changed = ChangedRecorders.of(
            self.recorders, self.state.recorders, framework, self.power_meter, self._make_log
        )
        self.recorders, self._strangers = changed.recorders, dict(changed.left)
        for recorder in changed.cleared:
            self._journal.clear_changed(recorder, self._at_ms)
        self._dst = self.clock.dst_active(self._at_ms)
        self._pulses = Pulses(by_name(framework.triggers), self.clock)
        self._alarms = self._make_alarms()
        self._arm(self._at_ms)
        self._touched = True

    def log_event(self, priority: int, cause: str, effect: str, now: float) -> None:
        """Log an event of the host: an association, a refused password, a lost source."""
        self._now = now
        self._journal.log(self.clock.utc_ms(now), priority, cause, effect)

    def _make_alarms(self) -> list[Alarm]:
        """Return the alarms in the order in which they fire at one instant: a row sees all the rest."""
        clock, meter, pulses = self.clock, self.power_meter, self._pulses
        window = timer_of("demand sub-interval", meter.setup.sub_interval_s)
        sample = timer_of("sample", meter.setup.sample_s)
        return [
            # First: what a synchronized timer drives may be due by that alone.
            *(
                pulses.alarm(partial(self._synchronize, each), each.sync_input)
                for each in pulses.synchronized
            ),
            Alarm(meter.end_sub_interval, Boundaries(window, clock)),
            *([Alarm(meter.sample, Boundaries(sample, clock))] if meter.samples else []),  # as recorders ask
            pulses.alarm(meter.end_interval, self.framework.interval_timer),
            Alarm(self._notice_dst, clock.next_dst_switch),
            *(
                pulses.alarm(Recording(self._record, each), each.setup.record_input)
                for each in self.recorders.values()
            ),
            # Last: the interval that ends where the supply does is whole, and is recorded.
            *([] if self._supply is None else [Alarm(self._lose_supply, self._next_outage)]),
        ]

    def _synchronize(self, timer: PeriodicTimer, at_ms: int) -> None:
        self._pulses.synchronize(timer, at_ms, self._alarms)

    def _arm(self, at_ms: int) -> None:
        """Begin anew at an instant: whatever lies before or on it does not happen (again)."""
        self._at_ms = self._metered_ms = self._kept_ms = at_ms
        for alarm in self._alarms:
            alarm.arm(at_ms)
        self._due_ms = min(alarm.due_ms for alarm in self._alarms)
        self._next_ms = min(self._due_ms, self._kept_ms + self._heartbeat_ms)

    def _run(self, until_ms: int) -> None:
        while self._has_supply(until_ms) and self._due_ms <= until_ms:
            self._at_ms = self._due_ms
            self.count()
            self._fire(self._due_ms)
        if self.powered:
            self._at_ms = max(self._at_ms, until_ms)
            self.count()

    def count(self) -> None:
        """Count what has flowed until the present, as it must be before the source is another."""
        if self._metered_ms < self._at_ms:
            self.power_meter.integrate(self._metered_ms, self._at_ms)
            self._metered_ms = self._at_ms

    def _fire(self, at_ms: int) -> None:
        self._at_ms = at_ms
        for alarm in self._alarms:
            if alarm.due_ms == at_ms:
                alarm.fire(at_ms)
                alarm.arm(at_ms)
        self._due_ms = min([alarm.due_ms for alarm in self._alarms])
        self._next_ms = min(self._due_ms, self._kept_ms + self._heartbeat_ms)

    def _next_outage(self, at_ms: int) -> int | None:
        """Return when the source's supply fails next; 1 ms ahead if it is out already."""
        outage = None if self._supply is None else self._supply.outage(at_ms)
        return None if outage is None else max(outage[0], at_ms + 1)

    def _lose_supply(self, at_ms: int) -> None:
        outage = None if self._supply is None else self._supply.outage(at_ms)
        if outage is not None:
            self._journal.log(at_ms, Priority.WARNING, "Power down", "the source has an outage")
            self.powered, self._back_ms = False, outage[1]
            self._touched = True

    def _has_supply(self, until_ms: int) -> bool:
        """Return whether the meter has power, once what comes back until then is back."""
        if self._back_ms is not None and self._back_ms <= until_ms:
            self._resume(self._at_ms, self._back_ms)
        return self.powered

    def _catch_up(self, now: float) -> None:
        if not self.powered:
            raise LocalError("the meter has no power")
        self._now = now
        self._run(self.clock.utc_ms(now))

    def _record(self, recorder: DataRecorder, at_ms: int) -> None:
        self._journal.add_row(recorder, recorder.record(at_ms), self._at_ms)

    def _recorder(self, name: str) -> DataRecorder:
        found = self.recorders.get(name)
        if found is None:
            raise LocalError(f"no Data Recorder is called {name!r}; there are {', '.join(self.recorders)}")
        return found

    def _gather(self, bits: Status) -> None:
        for recorder in self.recorders.values():
            recorder.bits |= bits

    def _notice_dst(self, at_ms: int) -> None:
        """Gather bit 8 or 9 if DST began or ended.

        The row stamped with the very instant of the switch carries the bit: it is the first that shows
        the new deviation.
        """
        active = self.clock.dst_active(at_ms)
        if active == self._dst:
            return
        self._dst = active
        self._gather(Status.DST_STARTED if active else Status.DST_ENDED)
        self._journal.log(at_ms, Priority.INFORMATION, "DST", "started" if active else "ended")

    def _resume(self, down_ms: int, up_ms: int, why: str = "", *, logged: bool = True) -> None:
        """Come back from an outage."""
        if not logged:
            self._journal.log(down_ms, Priority.WARNING, "Power down", "found at power up")
        self._journal.log(up_ms, Priority.WARNING, "Power up", why)
        self._pulses.forget()
        self._at_ms = up_ms
        for recorder in self.recorders.values():
            for row in recorder.outage_rows(self._pulses.following, down_ms, up_ms):
                self._journal.add_row(recorder, row, up_ms)
        self._gather(Status.POWER_DOWN | Status.POWER_UP)
        self._notice_dst(up_ms)
        self.power_meter.restart_window()
        self.powered, self._back_ms, self.outages = True, None, self.outages + 1
        self._arm(up_ms)
        self._touched = True

    def _restore(self, saved: Saved) -> None:
        self.power_meter.restore(saved.state.power_meter)
        self.event_log.publish(list(saved.events))
        self.event_log.next_sequence = max(self.event_log.next_sequence, saved.state.next_event)
        for name, kept in saved.state.recorders.items():
            recorder = self.recorders.get(name)
            if recorder is None:
                self._strangers[name] = kept
                continue
            if kept.fingerprint != recorder.setup.fingerprint:
                recorder.log.clear(kept.next_sequence)  # one that keeps its rows itself has the old ones
                recorder.restore(kept.next_sequence, kept.next_sequence, 0, kept.next_sequence, b"")
                self._journal.clear_changed(recorder, self.clock.utc_ms(self._now))
                continue
            recorder.deepen(kept.depth)
            first, rows = saved.rows.get(name, (kept.next_sequence, b""))
            recorder.restore(kept.next_sequence, kept.rearm_sequence, kept.bits, first, rows)
