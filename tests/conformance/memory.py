"""Our meter in memory for the conformance cases: a fresh one for each, waiting takes no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from iondlms.conformance import Cti, Meter
from iondlms.conformance.cti import (
    ApplicationSection,
    ClientSection,
    ClockSection,
    Framing,
    HdlcSection,
    LineSection,
    ObjectsSection,
)
from iondlms.meter import Meter as OurMeter
from iondlms.meter import load
from iondlms.ports import Endpoint
from iondlms.ports.memory import NullModem

UNIT_ID: Final = 17
PASSWORD: Final = "12345678"
START: Final = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
Settings = Sequence[tuple[str, Any]]

SETTINGS: Final[Settings] = (
    ("history", 20),
    ("password", PASSWORD),
    ("port.ETHERNET.unit_id", UNIT_ID),
    ("billing.period", "2h"),
)
CTI: Final = Cti(
    name="iondlms in memory",
    strict=True,
    line=LineSection(framings=("hdlc", "wrapper"), answer_s=0, quiet_s=0),
    hdlc=HdlcSection(unit=UNIT_ID),
    public=ClientSection(sap=16, conformance="003014"),
    setting=ClientSection(sap=1, conformance="00301C"),
    application=ApplicationSection(),
    clock=ClockSection(),
    objects=ObjectsSection(ion=True, load_profile="1-0:99.1.0*255", billing="1-0:98.1.0*255"),
)


Make = Callable[[OurMeter, float], Endpoint]


class MemoryAccess:
    """Lines to one meter in memory, one after the other, on one clock."""

    sockets = False
    virtual = True

    def __init__(self, meter: OurMeter, make: Make | None = None) -> None:
        self.meter = meter
        self.now = 1000.0
        self._make = make
        self._last: NullModem | None = None

    def cut_power(self, seconds: float = 30.0) -> None:
        """Take the meter's power away for a while; the line hangs up."""
        if self._last is not None:
            self.now, self._last = self._last.now(), None
        self.meter.power_down(self.now)
        self.now += seconds
        self.meter.power_up(self.now)

    def connect(self) -> NullModem:
        if self._last is not None:
            self.now = self._last.now()
        endpoint = (
            self.meter.endpoint(now=self.now) if self._make is None else self._make(self.meter, self.now)
        )
        self._last = NullModem(endpoint, now=self.now)
        return self._last


def our_meter(settings: Settings = ()) -> OurMeter:
    """Return our meter, started."""
    meter = OurMeter(load(None, (*SETTINGS, *settings)))
    meter.start(int(START.timestamp()) * 1000, 1000.0)
    return meter


def under_test(
    settings: Settings = (),
    cti: Cti = CTI,
    *,
    mutate: Callable[[OurMeter], None] | None = None,
    make: Make | None = None,
    password: str | None = PASSWORD,
) -> Meter:
    """Return a fresh meter to run one case on."""
    meter = our_meter(settings)
    if mutate is not None:
        mutate(meter)
    secret = None if password is None else password.encode()
    access = MemoryAccess(meter, make)
    return Meter(cti, access, secret, clock_set_allowed=True, cut_power=access.cut_power)


FRAMINGS: Final[tuple[Framing, ...]] = ("hdlc", "wrapper")
