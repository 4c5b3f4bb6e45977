"""A whole meter without I/O: ION modules, COSEM objects, and an endpoint for each line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Final

from iondlms.acse import MechanismName, Policy
from iondlms.codec.axdr import Tag
from iondlms.cosem import LogicalDevice
from iondlms.errors import DataAccessResult, LocalError
from iondlms.ion.clock import ClockSetup, setup_from_zone
from iondlms.ion.factory import Factory
from iondlms.ion.framework import Framework, default_framework
from iondlms.ion.meter import IonMeter
from iondlms.ion.periodic_timer import PeriodicTimer
from iondlms.ion.source import Source
from iondlms.ion.state import Pending, Saved
from iondlms.meter.config import Config, ConfigError, PortSection
from iondlms.meter.endpoint import MeterEndpoint, PortSetup
from iondlms.meter.objects import CLOCK, Presentation, logical_device
from iondlms.meter.service import Application, ClientAccess
from iondlms.meter.source_sections import ReplaySection
from iondlms.sources import make_source
from iondlms.xdlms.initiate import Conformance

__all__ = ["Meter", "faults_of", "framework_of", "source_of"]

PUBLIC_CLIENT: Final = 16
READING_AND_SETTING_CLIENT: Final = 1
_READING: Final = (
    Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.GET
    | Conformance.SELECTIVE_ACCESS
)
_TIME: Final = frozenset(((CLOCK, 2),))
_LDN_OCTETS: Final = 16
# Two switches a year: twenty pairs from some years back still reach well ahead.
_DST_YEARS_BACK: Final = 5


class Meter:
    """One virtual ION meter. `now` is seconds, monotonic; it never reads a clock.

    `commit` gets each batch of rows and state that must outlive a power cut, and whoever takes it calls
    `publish` once it is safe; without it a batch is published at once. `speed` is how many of the meter's
    seconds pass in one of `now`. LocalError for a configuration that contradicts itself.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        start_year: int = 2020,
        source: Source | None = None,
        commit: Callable[[Pending], None] | None = None,
        speed: float = 1.0,
    ) -> None:
        self._speed = speed
        self._base = 0.0  # the `now`, ours and the meter's, at which the speed was set
        self._ion_base = 0.0
        self.config = Config() if config is None else config
        self._commit = self.publish if commit is None else commit
        framework = framework_of(self.config, start_year)
        if source is None:
            source = source_of(self.config, framework)
        self.ion = IonMeter(framework, source)
        settings = self.config.meter
        self.logical_device_name = settings.logical_device_name or _device_name(
            settings.manufacturer, framework.factory
        )
        presentation = Presentation(
            settings.deviation,
            Tag.DATE_TIME if settings.date_time == "date-time" else Tag.OCTET_STRING,
            settings.scaler,
        )
        self.device: LogicalDevice = logical_device(
            self.ion, self.logical_device_name.encode("ascii"), presentation
        )
        password = self.config.password()
        public = ClientAccess(Policy(MechanismName.LOWEST), _READING)
        setting = ClientAccess(Policy(MechanismName.LOW, password), _READING | Conformance.SET)
        base = Application(
            self.device,
            {PUBLIC_CLIENT: public, READING_AND_SETTING_CLIENT: setting},
            settings.long_answers == "segment",
            DataAccessResult(settings.unknown_object),
        )
        # The right to set the time exists on the Time Sync Source alone; object_list says so too.
        with_time = {
            PUBLIC_CLIENT: public,
            READING_AND_SETTING_CLIENT: replace(setting, writable=_TIME),
        }
        self._applications = (base, replace(base, clients=with_time))

    def start(self, utc_ms: int, now: float, saved: Saved | None = None) -> None:
        """Power up at an instant, UTC milliseconds; the first start makes `history` rows."""
        self._base = self._ion_base = now
        self.ion.start(utc_ms, now, saved, history_rows=self.config.meter.history)
        self.advance(now)

    def run_at(self, speed: float, now: float) -> None:
        """Let the meter's time run at another speed from now on; 0 stops it."""
        self._base, self._ion_base, self._speed = now, self._ion_now(now), speed

    def _ion_now(self, now: float) -> float:
        return self._ion_base + (now - self._base) * self._speed

    def advance(self, now: float) -> None:
        """Let everything happen that is due: timers, rows, switches of daylight saving."""
        batch = self.ion.advance(self._ion_now(now))
        if batch:
            self._commit(batch)

    def next_deadline(self) -> float | None:
        """Return when `advance` has something to do."""
        deadline = self.ion.next_deadline()
        if deadline is None or self._speed <= 0:
            return None
        return self._base + (deadline - self._ion_base) / self._speed

    def log_event(self, priority: int, cause: str, effect: str, now: float) -> None:
        """Log an event of the host, such as a lost source; the next `advance` hands it to `commit`."""
        self.ion.log_event(priority, cause, effect, self._ion_now(now))

    @property
    def powered(self) -> bool:
        """Whether the meter has power: from `start` to `power_down`, and again from `power_up`."""
        return self.ion.powered

    @property
    def speed(self) -> float:
        """How many of the meter's seconds pass in one of `now`."""
        return self._speed

    def present_ms(self, now: float) -> int:
        """Return the meter's UTC in milliseconds."""
        return self.ion.clock.utc_ms(self._ion_now(now))

    def power_down(self, now: float) -> None:
        """Cut the power, or stop in good order: nothing is recorded after it, all is handed to `commit`."""
        if not self.powered:
            return  # stopped in the middle of an outage: it is down already
        self.ion.power_down(self._ion_now(now))
        self.advance(now)

    def power_up(self, now: float) -> None:
        """Bring the power back: the next records tell of the outage."""
        self.ion.power_up(self._ion_now(now))
        self.advance(now)

    def publish(self, batch: Pending) -> None:
        """Let clients see a batch that is safe now; batches come in order."""
        self.ion.publish(batch)

    def application(self, port: str) -> Application:
        """Return what associations on the port share."""
        return self._applications[self.ion.clock.accepts(port)]

    def endpoint(self, port: PortSection | None = None, now: float = 0.0) -> MeterEndpoint:
        """Return an endpoint for a line of this port, the first one configured if none is named."""
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
        return MeterEndpoint(self, setup, now)


def framework_of(config: Config, start_year: int) -> Framework:
    """Return the ION set-up that a configuration describes; LocalError if it contradicts itself."""
    settings, clock = config.meter, config.clock
    made = ClockSetup()
    if clock.zone != "UTC":
        with _named("clock.zone"):
            made = _zone(clock.zone, start_year - _DST_YEARS_BACK)
    made = replace(
        made,
        time_sync_source=clock.time_sync_source,
        time_sync_type=clock.time_sync_type,
        event_threshold_ms=round(clock.event_threshold * 1000),
    )
    defaults = default_framework(settings.model)
    with _named("meter.revision"):
        factory = Factory(
            settings.model,
            settings.serial.strip() or _serial_number(defaults.factory.serial_number, config),
            settings.revision,
            settings.owner,
            settings.tag_1,
            settings.tag_2,
        )
    framework = default_framework(settings.model, factory=factory, clock=made)
    load_timer, billing_timer = (
        PeriodicTimer(trigger.name, int(section.period))
        for trigger, section in zip(framework.triggers, (config.load_profile, config.billing), strict=True)
    )
    load_recorder, billing_recorder = framework.data_recorders
    return replace(
        framework,
        triggers=(load_timer, billing_timer),
        data_recorders=(
            replace(load_recorder, depth=config.load_profile.depth),
            replace(billing_recorder, depth=config.billing.depth),
        ),
    )


def source_of(config: Config, framework: Framework) -> Source:
    """Return the source that a configuration names; ConfigError for its file, or for a missing extra."""
    # What the section alone can tell was told when it was read.
    section = config.source
    with _named("source.path" if isinstance(section, ReplaySection) else "source.kind"):
        return make_source(section.settings(config.meter.seed, framework.clock.tz_offset_min))


def faults_of(config: Config) -> list[str]:
    """Return what is wrong with a configuration whose sections are right each by itself, a line each."""
    faults: list[str] = []
    framework = default_framework(config.meter.model)
    year = 2020  # any does: zones are there or not
    for part in (
        lambda: framework_of(config, year),
        lambda: _device_name(config.meter.manufacturer, framework_of(config, year).factory),
        lambda: source_of(config, framework),
        config.password,
    ):
        try:
            part()
        except LocalError as error:
            faults += str(error).splitlines()
    return list(dict.fromkeys(faults))


# A site of a thousand meters has few zones, and each is some 10 ms of looking.
_zone = lru_cache(maxsize=16)(setup_from_zone)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Let an error of the ION modules begin with the key that it comes from."""
    try:
        yield
    except LocalError as error:
        lines = str(error).splitlines()
        raise ConfigError("\n".join(f"{key}: {line}" for line in lines)) from error


def _serial_number(example: str, config: Config) -> str:
    """Return a serial number that differs from meter to meter, in the form of the model's own."""
    return f"{example[:2]}-{config.port[0].unit_id:04d}A{config.meter.seed % 1000:03d}-01"


def _device_name(manufacturer: str, factory: Factory) -> str:
    """Return manufacturer, model and the end of the serial number, 16 characters at most."""
    serial = re.sub(r"[^0-9A-Za-z]", "", re.sub(r"-\d\d$", "", factory.serial_number))
    name = manufacturer + factory.device_type.removeprefix("ION")
    room = _LDN_OCTETS - len(name)
    if not serial:
        raise ConfigError(
            f"meter.serial: {factory.serial_number!r} has no letter or figure to name the device by"
        )
    return name + serial[-room:]
