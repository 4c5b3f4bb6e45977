"""The rows of the oracle of years, read over DLMS: order, status, values, local time and deviation."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ion.builders import utc
from tests.ion.oracle import ExpectedRow, Zone
from tests.ion.years import DAY, ZONES, Life, World, stories
from tests.meter.bench import BILLING, LOAD_PROFILE, Bench

from iondlms.acse import MechanismName, Policy
from iondlms.codec.axdr import NULL, Data, Tag
from iondlms.ion import IonMeter
from iondlms.meter import MeterEndpoint
from iondlms.meter.objects import Presentation, logical_device
from iondlms.meter.served import PortSetup
from iondlms.meter.service import Application, ClientAccess
from iondlms.xdlms.initiate import Conformance


class Served:
    """A meter of any framework, as an endpoint asks for it."""

    def __init__(self, ion: IonMeter) -> None:
        self._ion = self.supply = ion
        access = ClientAccess(Policy(MechanismName.LOWEST), Conformance(0x003014))
        self._application = Application(logical_device(ion, b"SCHYEARS", Presentation()), {16: access})

    def pass_time(self, now: float) -> None:
        self._ion.publish(self._ion.advance(now))

    def application(self, port: str) -> Application:
        return self._application


class Visit(Bench):
    """The public client at a meter that has lived for a while."""

    def __init__(self, life: Life) -> None:
        self.transport, self.client, self.settings = "wrapper", 16, ()
        self.now = life.host.now
        self.information = 128
        self.send_number = self.receive_number = 0
        self.answers: list[bytes] = []
        self.endpoint = MeterEndpoint(Served(life.host.meter), PortSetup(), self.now)
        self.associate()


def rows_shown(rows: list[tuple[Data, ...]], zone: str | None) -> list[ExpectedRow]:
    """Return rows as UTC, status and values; each date-time must be what a wall clock there shows."""
    found: list[ExpectedRow] = []
    for stamp, status, *values in rows:
        octets = stamp.octets()
        shown = datetime(int.from_bytes(octets[:2], "big"), octets[2], octets[3], *octets[5:8])
        deviation = int.from_bytes(octets[9:11], "big", signed=True)
        utc_s = int(shown.replace(tzinfo=UTC).timestamp()) + deviation * 60
        wall = datetime.fromtimestamp(utc_s, UTC).astimezone(UTC if zone is None else ZoneInfo(zone))
        assert (wall.replace(tzinfo=None), wall.isoweekday()) == (shown, octets[4])
        summer = utc_s * 1000 + deviation * -60_000 != utc_s * 1000 + _ZONES[zone].standard_ms
        assert octets[11] == (0x80 if summer else 0)
        numbers = tuple(None if value == NULL else value.integer() for value in values)
        found.append((utc_s * 1000 + octets[8] * 10, status.integer(), numbers))
    return found


_ZONES = {zone: Zone(zone, 2026, 2026) for zone in ZONES}


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=stories(12, 25 * DAY, 3),
    seed=st.integers(1, 1000),
    circular=st.booleans(),
    fill=st.booleans(),
    depth=st.sampled_from([30, 300]),
)
def test_what_is_read_is_what_must_have_been_recorded(
    zone: str | None, story: list[tuple[int, str, int]], seed: int, circular: bool, fill: bool, depth: int
) -> None:
    world = World(
        zone=zone,
        period_s=3600,
        depth=depth,
        circular=circular,
        fill=fill,
        sub_interval_s=1800,
        seed=seed,
        begin_ms=utc(2026, 2, 20, 7, 11),
    )
    life = Life(world)
    for wait_s, deed, number in story:
        life.wait(wait_s)
        if deed != "read":
            life.happen(deed, number)
            continue
        life.visit()
        look(life)
    life.wait(40 * DAY)
    life.visit()
    look(life)


def look(life: Life) -> None:
    """Read both profiles, and hold them against the oracle."""
    visit = Visit(life)
    for recorder, name, period in zip(
        life.oracle.recorders, (LOAD_PROFILE, BILLING), (life.world.period_s, 0), strict=False
    ):
        # To the hundredth of a second, as a date-time has it; only rows made by hand are off the second.
        expected = [(utc_ms // 10 * 10, status, values) for utc_ms, status, values in recorder.rows]
        assert rows_shown(visit.rows(name), life.world.zone) == expected
        assert visit.value(7, name, 4) == Data(Tag.DOUBLE_LONG_UNSIGNED, period)
        assert visit.value(7, name, 7) == Data(Tag.DOUBLE_LONG_UNSIGNED, len(expected))
        assert visit.value(7, name, 8) == Data(Tag.DOUBLE_LONG_UNSIGNED, recorder.depth)
