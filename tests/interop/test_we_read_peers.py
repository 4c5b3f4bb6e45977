"""Our client against a server by others: pydlms-client's simulator, over HDLC and over the wrapper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.interop.pydlms_simulator import (
    CLOCK_OCTETS,
    LOAD_PROFILE,
    LOGICAL_DEVICE_NAME,
    OBJECTS,
    PASSWORD,
    REGISTERS,
    Simulator,
    profile_row,
)

from iondlms.client import AssociationRefused, Profile, blocking, connect
from iondlms.codec.obis import ObisCode
from iondlms.errors import AccessError

pytestmark = pytest.mark.interop

BEGIN = datetime(2024, 5, 1, tzinfo=UTC)


def url_of(simulator: Simulator, more: str = "") -> str:
    return f"tcp://127.0.0.1:{simulator.port}?framing={simulator.framing}&unit=100{more}"


def rows_of(profile: Profile) -> list[list[str | int]]:
    return [[(row.clock or b"").hex(), int(row.values[0])] for row in profile.rows]  # type: ignore[arg-type]


def test_identity_objects_and_registers(simulator: Simulator) -> None:
    with blocking.connect(url_of(simulator)) as meter:
        assert meter.get("name").octets() == LOGICAL_DEVICE_NAME
        found = [[item.class_id, item.version, str(item.logical_name)] for item in meter.objects()]
        assert found == OBJECTS
        for code, (value, scaler, unit) in REGISTERS.items():
            assert meter.get(code).integer() == value
            assert [item.integer() for item in meter.get(f"{code}:3").items()] == [scaler, unit]


def test_the_clock_is_read_set_and_read_back(simulator: Simulator) -> None:
    with blocking.connect(url_of(simulator, "&client=1"), password=PASSWORD) as meter:
        before = meter.clock()
        assert before.local.octets.hex() == CLOCK_OCTETS
        wanted = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
        meter.set_clock(wanted)
        assert meter.clock().instant == wanted


def test_the_load_profile_whole_by_range_and_by_entry(simulator: Simulator) -> None:
    everything = [profile_row(n) for n in range(96)]
    with blocking.connect(url_of(simulator)) as meter:
        profile = meter.profile(LOAD_PROFILE)
        assert rows_of(profile) == everything
        assert [row.instant for row in profile.rows] == [BEGIN + n * timedelta(minutes=15) for n in range(96)]
        assert profile.columns[0].unit == "Wh"
        assert profile.rows[5].values == (Decimal(1035),)
        start, end = BEGIN + timedelta(hours=2), BEGIN + timedelta(hours=3)
        assert rows_of(meter.profile(LOAD_PROFILE, start, end)) == everything[8:13]
        assert rows_of(meter.profile(LOAD_PROFILE, entries=(3, 7))) == everything[2:7]
        assert rows_of(meter.profile(LOAD_PROFILE, last=4)) == everything[-4:]


async def test_the_async_client_reads_the_same(simulator: Simulator) -> None:
    async with connect(url_of(simulator)) as meter:
        assert rows_of(await meter.profile(LOAD_PROFILE)) == [profile_row(n) for n in range(96)]


def test_refusals_are_typed(simulator: Simulator) -> None:
    with (
        pytest.raises(AssociationRefused, match="authentication-failure"),
        blocking.connect(url_of(simulator, "&client=1"), password="wrong"),
    ):
        pass
    with blocking.connect(url_of(simulator)) as meter, pytest.raises(AccessError):
        meter.get(ObisCode.parse("1-0:99.99.99*255"), 2, 3)
    with blocking.connect(url_of(simulator)) as meter:
        # Attribute 0 is refused there, so the attributes are asked for one by one.
        assert meter.get_all(LOAD_PROFILE)[7] is not None
