"""The ION set-up that a configuration describes, and what only making it can find wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion.clock import setup_from_zone
from iondlms.ion.factory import Factory
from iondlms.ion.framework import Framework, default_framework
from iondlms.ion.source import Source
from iondlms.meter.config import Config, ConfigError
from iondlms.meter.modules import modules_of
from iondlms.meter.source_sections import ReplaySection, SourceSection
from iondlms.sources import make_source

__all__ = ["device_name", "faults_of", "framework_of", "source_of"]

_LDN_OCTETS: Final = 16
# Two switches a year: twenty pairs from some years back still reach well ahead.
_DST_YEARS_BACK: Final = 5


def framework_of(config: Config, start_year: int) -> Framework:
    """Return the ION set-up that a configuration describes; LocalError if it contradicts itself."""
    settings, clock = config.meter, config.clock
    with _named("clock.zone"):
        made = clock.made(lambda zone: _zone(zone, start_year - _DST_YEARS_BACK, needed_year=start_year))
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
    modules = modules_of(dict(config))
    return Framework(
        factory=factory,
        triggers=modules.trigger_setups(),
        interval_timer=modules.interval_timer,
        data_recorders=modules.recorder_setups(),
        dlms_log_exports=modules.export_setups(),
        clock=made,
        power_meter=config.power_meter.made(),
        event_log=config.event_log.made(),
    )


def source_of(config: Config, framework: Framework) -> Source:
    """Return the source that a configuration names; ConfigError for its file, or for a missing extra."""
    # What the section alone can tell was told when it was read.
    section = config.source
    with _named("source.path" if isinstance(section, ReplaySection) else "source.kind"):
        return make_source(section.settings(config.meter.seed, framework.clock.tz_offset_min))


def faults_of(configs: Iterable[Config], year: int) -> list[str]:
    """Return what is wrong with configurations that could be read, a line each, in a year.

    Files are looked at: passwords, recordings. A zone may be usable in one year and not in another.
    """
    faults: dict[str, None] = {}  # ordered, and each once: meters of a site share most
    sources: list[SourceSection] = []
    for config in configs:
        faults |= dict.fromkeys(_faults_of(config, year, config.source not in sources))
        if config.source not in sources:
            sources.append(config.source)
    return list(faults)


def _faults_of(config: Config, year: int, source: bool) -> list[str]:
    faults: list[str] = []
    framework = default_framework(config.meter.model)
    for part in (
        lambda: framework_of(config, year),
        lambda: device_name(config.meter.manufacturer, framework_of(config, year).factory),
        (lambda: source_of(config, framework)) if source else lambda: None,
        config.password,
    ):
        try:
            part()
        except LocalError as error:
            faults += str(error).splitlines()
    return faults


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


def device_name(manufacturer: str, factory: Factory) -> str:
    """Return manufacturer, model and the end of the serial number, 16 characters at most."""
    serial = re.sub(r"[^0-9A-Za-z]", "", re.sub(r"-\d\d$", "", factory.serial_number))
    name = manufacturer + factory.device_type.removeprefix("ION")
    room = _LDN_OCTETS - len(name)
    if not serial:
        raise ConfigError(
            f"meter.serial: {factory.serial_number!r} has no letter or figure to name the device by"
        )
    return name + serial[-room:]
