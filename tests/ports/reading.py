"""A meter and a client that reads it: what every kind of line is tried with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from iondlms.client import blocking
from iondlms.codec.axdr import Data
from iondlms.meter.config import load
from iondlms.meter.meter import Meter
from iondlms.ports import Endpoint, Transport
from iondlms.ports.memory import NullModem

START: Final = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
URL: Final = "hdlc://line?unit={unit}&timeout={timeout}&retries=3"
ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Read:
    """What a client got."""

    name: Data
    objects: int
    rows: list[dict[str, object]]


def make_meter(history: int = 20) -> Meter:
    meter = Meter(load(None, [("history", history)]))
    meter.start(int(START.timestamp() * 1000), 0.0)
    return meter


def endpoint(meter: Meter) -> Callable[[float], Endpoint]:
    """Return what makes an endpoint of the meter's first port."""
    return lambda now: meter.endpoint(now=now)


def read(connect: Callable[[], Transport], *, unit: int = 100, timeout: str = "5s") -> Read:
    """Read the name, the object list and some rows, over a line that `connect` gives."""
    url = URL.format(unit=unit, timeout=timeout)
    with blocking.Client(url, connector=connect) as client:
        rows = client.profile("load", entries=(1, ROWS))
        return Read(client.get("0-0:42.0.0*255"), len(client.objects()), [dict(row) for row in rows.dicts()])


@cache
def expected() -> Read:
    """Return what a line without any fault gives."""
    return read(lambda: NullModem(make_meter().endpoint()))
