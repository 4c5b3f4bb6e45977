"""A whole meter without I/O: ION modules, COSEM objects, and an endpoint for each line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Final
from weakref import ReferenceType, ref

from iondlms.acse import MechanismName, Policy
from iondlms.codec.axdr import Tag
from iondlms.cosem import LogicalDevice
from iondlms.errors import DataAccessResult, TemporaryFailure
from iondlms.ion.framework import Framework
from iondlms.ion.log import Log
from iondlms.ion.meter import IonMeter
from iondlms.ion.recorder import DataRecorderSetup, memory_log
from iondlms.ion.source import Source
from iondlms.ion.state import Pending, Saved
from iondlms.later import Later, NotYet
from iondlms.meter.config import Config, PortSection
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.meter.fault_rules import FaultRule
from iondlms.meter.fault_sections import rules_for
from iondlms.meter.faults import MeterFaults
from iondlms.meter.framework import device_name, framework_of, source_of
from iondlms.meter.objects import CLOCK, Presentation, logical_device
from iondlms.meter.reload import Change, When, at_once, changes_between, coming_back, without
from iondlms.meter.served import PortSetup
from iondlms.meter.service import Application, ClientAccess
from iondlms.xdlms.initiate import Conformance

__all__ = ["Meter"]

PUBLIC_CLIENT: Final = 16
READING_AND_SETTING_CLIENT: Final = 1
_READING: Final = (
    Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.GET
    | Conformance.SELECTIVE_ACCESS
)
_TIME: Final = frozenset(((CLOCK, 2),))


class Meter:
    """One virtual ION meter. `now` is seconds, monotonic; it never reads a clock.

    `commit` gets each batch of rows and state that must outlive a power cut, and whoever takes it calls
    `publish` once it is safe; without it a batch is published at once. It returns what is over once a batch
    is safe that came of a SET, None where it is safe at once; `unsafe` tells beforehand that nothing can be
    made safe now.

    `speed` is how many of the meter's seconds pass in one of `now`. LocalError for a configuration that
    contradicts itself.

    Meters alike share one configuration: what is each one's own are its `framework`, in place of the one that
    the configuration describes, and its source. `heartbeat_s` and `keeps_state` are those of `IonMeter`.
    With `devices`, the COSEM objects are made when a client connects, and go when they are no longer in that
    queue and no client is connected.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        start_year: int = 2020,
        source: Source | None = None,
        commit: Callable[[Pending], Later | None] | None = None,
        speed: float = 1.0,
        framework: Framework | None = None,
        make_log: Callable[[DataRecorderSetup], Log] = memory_log,
        devices: deque[LogicalDevice] | None = None,
        heartbeat_s: int | None = 60,
        keeps_state: bool = True,
    ) -> None:
        self._speed = speed
        self._base = 0.0  # the `now`, ours and the meter's, at which the speed was set
        self._ion_base = 0.0
        self.config = Config() if config is None else config
        self.unsafe = ""  # why nothing can be made durable now; set by whoever takes the batches
        self._commit = self.publish if commit is None else commit
        if framework is None:
            framework = framework_of(self.config, start_year)
        if source is None:
            source = source_of(self.config, framework)
        self.ion = IonMeter(
            framework, source, heartbeat_s=heartbeat_s, make_log=make_log, keeps_state=keeps_state
        )
        self._fault = self.config.fault
        self.faults = MeterFaults(self, self._rules())
        settings = self.config.meter
        self.logical_device_name = settings.logical_device_name or device_name(
            settings.manufacturer, framework.factory
        )
        self._unknown_object = DataAccessResult(settings.unknown_object)
        self._start_year = start_year
        self._event_profile = self.config.event_log.profile_obis
        self._devices = devices
        self._device: LogicalDevice | ReferenceType[LogicalDevice] | None = None
        if devices is None:
            self._device = self._make_device()
        self._clients = _clients(self.config.password())

    @property
    def device(self) -> LogicalDevice:
        """The COSEM objects of the meter."""
        device = self._device
        if isinstance(device, ReferenceType):
            device = device()
        if device is None:
            device = self._make_device()
            self._device = ref(device)
        if self._devices is not None and (not self._devices or self._devices[-1] is not device):
            self._devices.append(device)
        return device

    def _make_device(self) -> LogicalDevice:
        settings = self.config.meter
        presentation = Presentation(
            settings.deviation,
            Tag.DATE_TIME if settings.date_time == "date-time" else Tag.OCTET_STRING,
            settings.scaler,
        )
        name = self.logical_device_name.encode("ascii")
        return logical_device(self.ion, name, presentation, self._event_profile)

    def changes(self, config: Config) -> list[Change]:
        """Return what a newer configuration changes in the modules; LocalError if it contradicts itself."""
        wanted = framework_of(config, self._start_year)
        profile = config.event_log.profile_obis
        on_disk = self.config.meter.data is not None
        return list(changes_between(self.ion, wanted, self._event_profile, profile, on_disk=on_disk))

    def apply(self, config: Config, now: float, *, clearing: bool = False) -> list[Change]:
        """Make the changes that lose nothing; with `clearing` also those that clear logs or move the clock.

        Return all changes: those that were made are `When.NOW`. LocalError while the meter has no power, or
        for a configuration that contradicts itself; then nothing has changed.
        """
        changes = self.changes(config)
        wanted = framework_of(config, self._start_year)
        if self.config.meter.data is not None:
            wanted = without(wanted, coming_back(self.ion, wanted))
        running = self.ion.framework
        profile = config.event_log.profile_obis
        if clearing:
            made = replace(
                wanted,
                factory=running.factory,
                clock=replace(wanted.clock, time_sync_source=running.clock.time_sync_source),
            )
            changes = [replace(each, when=When.NOW) if each.when is When.APPLY else each for each in changes]
        else:
            made, profile = at_once(running, wanted, self._event_profile, profile)
        if any(each.when is When.NOW for each in changes):
            self.ion.change(made, self._ion_now(now))
            self._event_profile = profile
            self.device.replace(self._make_device().objects[1:])
            self.advance(now)
        if config.fault != self._fault:
            self._fault = config.fault
            self.faults.give(self._rules(), now)
            changes.append(Change("Faults", "those of the file are armed anew", When.NOW))
        return changes

    def _rules(self) -> list[FaultRule]:
        return rules_for(self._fault, {port.unit_id for port in self.config.port})

    def start(self, utc_ms: int, now: float, saved: Saved | None = None) -> None:
        """Power up at an instant, UTC milliseconds; the first start makes `history` rows."""
        self._base = self._ion_base = now
        self.ion.start(utc_ms, now, saved, history_rows=self.config.meter.history)
        self.faults.start(now)
        self.advance(now)

    def run_at(self, speed: float, now: float) -> None:
        """Let the meter's time run at another speed from now on; 0 stops it."""
        self._base, self._ion_base, self._speed = now, self._ion_now(now), speed

    def _ion_now(self, now: float) -> float:
        return self._ion_base + (now - self._base) * self._speed

    def advance(self, now: float) -> None:
        """Let everything happen that is due: timers, rows, switches of daylight saving, faults."""
        if self.faults.timed:
            self.faults.advance(now)
        batch = self.ion.advance(self._ion_now(now))
        if batch:
            self._commit(batch)

    def pass_time(self, now: float) -> None:
        """Do as `advance`, in less time where nothing is due."""
        # As `_ion_now`, which is not called: this is done for each request.
        ion_now = self._ion_base + (now - self._base) * self._speed
        if self.faults.timed or not self.ion.pass_time(ion_now):
            self.advance(now)

    def next_deadline(self) -> float | None:
        """Return when `advance` has something to do."""
        deadline = self.ion.next_deadline()
        ion = None if deadline is None or self._speed <= 0 else self._now_of(deadline)
        if not self.faults.timed:
            return ion
        fault = self.faults.next_deadline()
        return fault if ion is None else ion if fault is None else min(ion, fault)

    def _now_of(self, ion_now: float) -> float:
        return self._base + (ion_now - self._ion_base) / self._speed

    def now_at(self, utc_ms: int) -> float:
        """Return the `now` at which the meter's UTC will be this."""
        return self._now_of(self.ion.clock.now_at(utc_ms)) if self._speed > 0 else inf

    def log_event(self, priority: int, cause: str, effect: str, now: float) -> None:
        """Log an event of the host, such as a lost source; the next `advance` hands it to `commit`."""
        self.ion.log_event(priority, cause, effect, self._ion_now(now))

    @property
    def supply(self) -> IonMeter:
        """Who knows whether there is power, for those who look at it with each frame."""
        return self.ion

    @property
    def powered(self) -> bool:
        """Whether the meter has power: from `start` to `power_down`, and again from `power_up`."""
        return self.ion.powered

    @property
    def outages(self) -> int:
        """How many losses of power are over since it was made."""
        return self.ion.outages

    @property
    def speed(self) -> float:
        """How many of the meter's seconds pass in one of `now`."""
        return self._speed

    def present_ms(self, now: float) -> int:
        """Return the meter's UTC in milliseconds."""
        return self.ion.clock.utc_ms(self._ion_now(now))

    def power_down(self, now: float, why: str = "") -> None:
        """Cut the power, or stop in good order: nothing is recorded after it, all is handed to `commit`."""
        if not self.powered:
            return  # stopped in the middle of an outage: it is down already
        self.ion.power_down(self._ion_now(now), why)
        self.advance(now)

    def power_up(self, now: float) -> None:
        """Bring the power back: the next records tell of the outage."""
        self.ion.power_up(self._ion_now(now))
        self.advance(now)

    def step_clock(self, step_s: float, now: float, by: str = "ctl") -> None:
        """Set the clock forward, or back; LocalError without power, AccessError beyond its years.

        `by` is what the event says it was set over.
        """
        ion_now = self._ion_now(now)
        utc_ms = self.ion.clock.utc_ms(ion_now) + round(step_s * 1000)
        self.ion.set_time(utc_ms, ion_now, self.ion.framework.clock.time_sync_source, by)
        self.advance(now)

    def master_reset(self, now: float) -> None:
        """Set all registers to 0 and clear all Data Recorders; LocalError without power."""
        self.ion.master_reset(self._ion_now(now))
        self.advance(now)

    def pulse(self, recorder: str, now: float) -> bool:
        """Pulse a recorder's Record input; return whether that made a row. LocalError for no such one."""
        made = self.ion.pulse(recorder, self._ion_now(now))
        self.advance(now)
        return made

    def rearm(self, recorder: str, now: float) -> None:
        """Pulse a Data Recorder's Rearm input; LocalError for no such one."""
        self.ion.rearm(recorder, self._ion_now(now))
        self.advance(now)

    @property
    def source(self) -> Source:
        """What feeds the Power Meter."""
        return self.ion.power_meter.source

    @source.setter
    def source(self, source: Source) -> None:
        self.ion.count()
        self.ion.power_meter.source = source

    def publish(self, batch: Pending) -> None:
        """Let clients see a batch that is safe now; batches come in order."""
        self.ion.publish(batch)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Within it a SET is done; at its end NotYet where what that has changed is not safe.

        TemporaryFailure, and nothing is done, where nothing can be made safe now.
        """
        if self.unsafe:
            raise TemporaryFailure(self.unsafe)
        yield
        batch = self.ion.advance(self.ion.now)
        later = self._commit(batch) if batch else None
        if later is None:
            return
        if not later.done:
            raise NotYet(later)
        if later.error is not None:
            raise TemporaryFailure(str(later.error)) from later.error

    def _report(self, priority: int, cause: str, effect: str) -> None:
        self.ion.count()  # what the source has done until now comes before it
        self.ion.log_event(priority, cause, effect, self.ion.now)

    def application(self, port: str) -> Application:
        """Return what associations on the port share."""
        settings = self.config.meter
        return Application(
            self.device,
            # The right to set the time exists on the Time Sync Source alone; object_list says so too.
            self._clients[self.ion.clock.accepts(port)],
            settings.long_answers == "segment",
            self._unknown_object,
            self._kept,
            port,
            self._report,
            self.faults.instead,
        )

    def endpoint(
        self, port: PortSection | None = None, now: float = 0.0, after: Later | None = None
    ) -> MeterEndpoint:
        """Return an endpoint for a line of this port, the first one configured if none is named.

        It answers nothing before `after` is over.
        """
        port = self.config.port[0] if port is None else port
        settings = self.config.meter
        setup = PortSetup(
            port.name,
            port.unit_id,
            port.link,
            port.rx_timeout,
            port.inactivity,
            settings.max_pdu,
            settings.before_snrm == "silence",
        )
        return MeterEndpoint(self, setup, now, after)


@lru_cache(maxsize=16)
def _clients(password: bytes | None) -> tuple[Mapping[int, ClientAccess], Mapping[int, ClientAccess]]:
    """Return who may do what: on any port, and on the Time Sync Source."""
    public = ClientAccess(Policy(MechanismName.LOWEST), _READING)
    setting = ClientAccess(Policy(MechanismName.LOW, password), _READING | Conformance.SET)
    return (
        {PUBLIC_CLIENT: public, READING_AND_SETTING_CLIENT: setting},
        {PUBLIC_CLIENT: public, READING_AND_SETTING_CLIENT: replace(setting, writable=_TIME)},
    )
