"""Every method, with both drivers and both framings, against a meter in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.client.joined import PASSWORD, START, Lines, make_meter, run_both, watched

from iondlms.client import (
    AssociationRefused,
    Client,
    MeterObject,
    OutcomeUnknown,
    Profile,
    blocking,
)
from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.errors import LocalError, ObjectClassInconsistent, ObjectUndefined, ReadWriteDenied
from iondlms.meter.meter import Meter
from iondlms.ports.memory import AsyncNullModem, Fault, FaultKind, Faults
from iondlms.xdlms import Conformance

URLS = ["hdlc://meter", "wrapper://meter", "tcp://meter"]
SETTING = "client=1&auth=low"
QUARTER = timedelta(minutes=15)
NEWEST = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)

pytestmark = pytest.mark.parametrize("url", URLS)


def run(url: str, method: str, *args: Any, **kwargs: Any) -> Any:
    return run_both(make_meter, url, None, method, *args, **kwargs)


def test_get(url: str) -> None:
    name = make_meter().logical_device_name.encode()
    assert run(url, "get", "name") == make.octet_string(name)
    assert run(url, "get", "0-0:42.0.0*255", 1) == make.octet_string(bytes.fromhex("00002A0000FF"))
    assert run(url, "get", "0-0:42.0.0*255:1") == run(url, "get", "name", 1)
    assert run(url, "get", ObisCode.parse("0-0:42.0.0*255"), 2, 1) == make.octet_string(name)
    assert run(url, "get_raw", "name") == bytes((9, len(name))) + name
    assert run(url, "get", "PF-sign-mean", 3) == make.structure(make.integer(-3), make.enum(255))
    assert run(url, "get", "load", 8) == make.double_long_unsigned(3360)


def test_class_of_a_code_without_a_name_comes_from_the_object_list(url: str) -> None:
    meter = make_meter()
    register = next(item for item in meter.device.objects if item.class_id == 17)
    with Lines(meter).client(url) as client:
        assert client.get(str(register.logical_name)).tag is Tag.ARRAY
        with pytest.raises(ObjectUndefined, match=r"1-0:32\.7\.0"):
            client.get("1-0:32.7.0*255")


def test_refusals_are_access_errors(url: str) -> None:
    with Lines(make_meter()).client(url) as client:
        with pytest.raises(ObjectClassInconsistent, match="object-class-inconsistent"):
            client.get("clock", 2, class_id=3)
        with pytest.raises(ObjectUndefined):
            client.get("clock", 10)
        with pytest.raises(ReadWriteDenied, match=r"read-write-denied \(3\)"):
            client.get("association", 7)
        with pytest.raises(LocalError, match="attribute 300"):
            client.get("clock", 300)
        with pytest.raises(LocalError, match="did you mean kWh-del"):
            client.get("kWh-dle")
        assert client.get("clock", 9) == make.enum(1), "the association is still good"


def test_get_all_by_attribute_0(url: str) -> None:
    values = run(url, "get_all", "clock")
    assert list(values) == list(range(1, 10))
    assert values[9] == make.enum(1)
    association = run(url, "get_all", "association")
    assert association[7] == Data(Tag.NULL_DATA, None)
    hooks, _, apdus = watched()
    with Lines(make_meter()).client(url, hooks=hooks) as client:
        client.get_all("clock")
    assert len([apdu for direction, apdu in apdus if apdu.startswith(b"\xc0\x01")]) == 1


def test_get_all_one_by_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    monkeypatch.setattr("iondlms.client.association._READING", reading)
    values = run(url, "get_all", "association")
    assert list(values) == list(range(1, 10))
    assert values[7] is None, "the one that is refused"
    assert values[8] == make.enum(2)
    with pytest.raises(ObjectUndefined):
        run(url, "get_all", "1-1:99.99.0*255", 3)


def test_objects(url: str) -> None:
    objects = run(url, "objects")
    meter = make_meter()
    assert [(item.class_id, item.version, item.logical_name) for item in objects] == [
        (item.class_id, item.version, item.logical_name) for item in meter.device.objects
    ]
    clock: MeterObject = next(item for item in objects if item.name == "clock")
    assert clock.attributes == dict.fromkeys(range(1, 10), 1)
    assert (clock.readable(2), clock.writable(2), clock.readable(99)) == (True, False, False)
    assert clock.methods == dict.fromkeys(range(1, 7), 0)
    load = next(item for item in objects if item.name == "load")
    assert load.selectors == {2: (1, 2)}


def test_clock(url: str) -> None:
    reading = run(url, "clock")
    assert reading.instant == START
    assert (reading.deviation, reading.status) == (0, 0)


@pytest.mark.parametrize("deviation", ["normal", "reversed", "utc", "unspecified"])
@pytest.mark.parametrize("date_time", ["octet-string", "date-time"])
def test_clock_in_a_zone(url: str, deviation: str, date_time: str) -> None:
    settings = [("clock.zone", "Europe/Prague"), ("deviation", deviation), ("date_time", date_time)]
    meter = make_meter(20, *settings)
    more = f"?{SETTING}" + ("&inverted=1" if deviation == "reversed" else "")
    zone = ZoneInfo("Europe/Prague") if deviation == "unspecified" else None
    with Lines(meter).client(url + more, PASSWORD, zone=zone) as client:
        assert client.clock().instant == START
        assert [row.instant for row in client.profile("load", last=2)] == [NEWEST - QUARTER, NEWEST]
        wanted = START + timedelta(days=200, microseconds=120_000)
        assert client.set_clock(wanted).after is not None
        assert client.clock().instant == wanted, "summer time, set in winter"


def test_unknown_zone_makes_no_instant(url: str) -> None:
    meter = make_meter(20, ("clock.zone", "Europe/Prague"), ("deviation", "unspecified"))
    with Lines(meter).client(url) as client:
        assert client.clock().instant is None
        assert client.clock().local.local() == START.replace(tzinfo=None) + timedelta(hours=1)
        profile = client.profile("load", last=3)
        assert [row.instant for row in profile] == [None] * 3
        assert "zone=" in profile.notes[0]
        rows = client.profile("load", last=3, zone=ZoneInfo("Europe/Prague")).rows
        assert rows[-1].instant == NEWEST


def test_set_clock(url: str) -> None:
    lines = Lines(make_meter())
    wanted = START + timedelta(hours=3)
    with lines.client(f"{url}?{SETTING}", PASSWORD) as client:
        dry = client.set_clock(wanted, dry_run=True)
        assert (dry.before.instant, dry.after) == (START, None)
        assert dry.sent.utc() == wanted
        assert client.clock().instant == START, "nothing was sent"
        done = client.set_clock(wanted)
        assert done.sent == dry.sent
        assert done.after is not None
        assert done.after.instant == wanted
        with pytest.raises(LocalError, match="no zone"):
            client.set_clock(datetime(2026, 1, 1))


def test_set_clock_as_the_public_client(url: str) -> None:
    lines = Lines(make_meter())
    with lines.client(url) as client:
        assert client.set_clock(START, dry_run=True).sent.utc() == START
        with pytest.raises(LocalError, match="client=1&auth=low"):
            client.set_clock(START + timedelta(hours=1))
        assert client.clock().instant == START


def test_set_clock_async(url: str) -> None:
    async def session() -> None:
        async with Lines(make_meter()).async_client(f"{url}?{SETTING}", PASSWORD) as client:
            done = await client.set_clock(START + QUARTER)
            assert done.after is not None
            assert done.after.instant == START + QUARTER

    asyncio.run(session())


# --- profiles -----------------------------------------------------------------------------------------


def test_whole_load_profile(url: str) -> None:
    profile: Profile = run(url, "profile", "load")
    assert [row.instant for row in profile] == [NEWEST - n * QUARTER for n in range(19, -1, -1)]
    assert [column.title for column in profile.columns] == [
        "kWh-del-int", "kVARh-del-int", "kWh-rec-int", "kVARh-rec-int",
    ]  # fmt: skip
    assert {(column.unit, column.scaler) for column in profile.columns} == {("Wh", 0), ("varh", 0)}
    assert all(isinstance(value, Decimal) for row in profile for value in row.values)
    assert profile.capture_period == 900
    meter = make_meter()
    log = meter.ion.recorders["Load Profile"].log
    packed = log.packed(log.first, log.first + log.count)
    stored = list(meter.ion.recorders["Load Profile"].row_format.struct.iter_unpack(packed))
    assert [tuple(map(int, row.values)) for row in profile] == [row[2:] for row in stored]  # type: ignore[arg-type]


def test_billing_data(url: str) -> None:
    profile = run(url, "profile", "billing", entries=(20, 0))
    assert len(profile) == 1
    assert len(profile.columns) == 11
    by_name = {column.title: (column.unit, column.scaler) for column in profile.columns}
    assert by_name["kWh-del"] == ("Wh", 0)
    assert by_name["kVA-sd-del+rec"] == ("VA", 0)
    assert by_name["PF-sign-mean"] == ("", -3)
    values = dict(zip(by_name, profile.rows[0].values, strict=True))
    assert values["kWh-del"] - values["kWh-rec"] == values["kWh-del-rec"]
    assert -1 <= values["PF-sign-mean"] <= 1
    assert values["PF-sign-mean"].as_tuple().exponent == -3


PARTS: list[tuple[dict[str, Any], slice]] = [
    ({"entries": (1, 3)}, slice(0, 3)),
    ({"entries": (18, 0)}, slice(17, 20)),
    ({"entries": (19, 99)}, slice(18, 20)),
    ({"entries": (21, 0)}, slice(0, 0)),
    ({"last": 1}, slice(19, 20)),
    ({"last": 20}, slice(0, 20)),
    ({"last": 999}, slice(0, 20)),
    ({"start": NEWEST}, slice(19, 20)),
    ({"start": NEWEST - 3 * QUARTER, "end": NEWEST - QUARTER}, slice(16, 19)),
    ({"end": NEWEST - 18 * QUARTER}, slice(0, 2)),
    ({"start": NEWEST + QUARTER}, slice(0, 0)),
    ({"start": datetime(2026, 11, 22, 12, 15), "end": datetime(2026, 11, 22, 12, 20)}, slice(18, 19)),
    ({"start": DateTime.of_utc(NEWEST, -60), "end": DateTime.of_utc(NEWEST, 60)}, slice(19, 20)),
    ({"start": NEWEST - 4 * QUARTER, "end": NEWEST, "piece": 2 * QUARTER}, slice(15, 20)),
    ({"start": NEWEST - 4 * QUARTER, "end": NEWEST, "piece": timedelta(minutes=20)}, slice(15, 20)),
]


@pytest.mark.parametrize(("part", "rows"), PARTS)
def test_part_of_a_profile(url: str, part: dict[str, Any], rows: slice) -> None:
    with Lines(make_meter()).client(url) as client:
        whole = client.profile("load")
        assert client.profile("load", **part).rows == whole.rows[rows]


@pytest.mark.parametrize(("part", "rows"), [case for case in PARTS if "piece" not in case[0]])
@pytest.mark.parametrize(
    "columns", [["kVARh-del-int"], ["status", "kWh-rec-int", "kVARh-rec-int", "kWh-del-int"]]
)
def test_columns(url: str, columns: list[str], part: dict[str, Any], rows: slice) -> None:
    with Lines(make_meter()).client(url) as client:
        whole = client.profile("load")
        chosen = client.profile("load", columns=columns, **part)
        places = [at for at, column in enumerate(whole.columns) if column.title in columns]
        assert [column.title for column in chosen.columns] == [whole.columns[at].title for at in places]
        expected = [
            (row.instant, row.status if "status" in columns else None, tuple(row.values[at] for at in places))
            for row in whole.rows[rows]
        ]
        assert [(row.instant, row.status, row.values) for row in chosen] == expected


def test_a_range_with_four_columns_does_not_fit_a_frame(url: str) -> None:
    hooks, _, apdus = watched()
    with Lines(make_meter()).client(url, hooks=hooks) as client:
        fits = client.profile("load", NEWEST, columns=["status", "kWh-del-int"])
        four = client.profile("load", NEWEST, columns=["status", "kWh-del-int", "kVARh-del-int"])
        hdlc = client.session.framing == "hdlc"
    assert fits.notes == ()
    assert [len(row.values) for row in (*fits, *four)] == [1, 2]
    assert bool(four.notes) is hdlc
    longest = max(len(apdu) for direction, apdu in apdus if direction == "TX")
    assert longest == (118 if hdlc else 136)
    if hdlc:
        assert "takes a request of 136 octets" in four.notes[0]


def test_without_selective_access_the_choice_is_made_here(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    monkeypatch.setattr("iondlms.client.association._READING", reading)
    with Lines(make_meter()).client(url) as client:
        whole = client.profile("load")
        for part, rows in PARTS:
            if isinstance(part.get("start"), (DateTime, datetime)) and "piece" not in part:
                start = part["start"]
                if isinstance(start, DateTime) or start.tzinfo is None:
                    with pytest.raises(LocalError, match="zone"):
                        client.profile("load", **part)
                    continue
            profile = client.profile("load", **part)
            assert profile.rows == whole.rows[rows], part
            assert "no selective access" in profile.notes[0]


def test_scalers_override_and_unreadable_ones_are_noted(url: str) -> None:
    with Lines(make_meter()).client(url) as client:
        profile = client.profile("load", last=1, scalers={"kWh-del-int": (-3, "kWh"), "1-1:3.29.0*255": -3})
        plain = client.profile("load", last=1)
        assert (profile.columns[0].unit, profile.columns[0].scaler) == ("kWh", -3)
        assert profile.rows[0].values[0] == plain.rows[0].values[0] / 1000  # type: ignore[operator]
        assert profile.rows[0].values[1] == plain.rows[0].values[1] / 1000  # type: ignore[operator]


def test_scalers_are_read_once(url: str) -> None:
    hooks, _, apdus = watched()
    with Lines(make_meter()).client(url, hooks=hooks) as client:
        client.profile("load", last=1)
        first = len(apdus)
        client.profile("load", last=1)
        assert len(apdus) - first == 2 * 4, "capture objects, period, entries in use and buffer: no scalers"


def test_progress(url: str) -> None:
    told: list[tuple[int, int]] = []
    with Lines(make_meter(60)).client(url) as client:
        profile = client.profile("load", progress=lambda octets, rows: told.append((octets, rows)))
    assert told == sorted(told)
    assert told[-1] == (len(profile.raw), 60)


LOCAL = NEWEST.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"entries": (0, 5)}, "count from 1"),
        ({"entries": (5, 4)}, "count from 1"),
        ({"last": 0}, "none"),
        ({"last": 1, "entries": (1, 1)}, "one of them"),
        ({"start": NEWEST, "last": 1}, "one of them"),
        ({"start": NEWEST, "end": NEWEST - QUARTER}, "before it starts"),
        ({"start": LOCAL, "end": LOCAL - QUARTER}, "before it starts"),
        ({"start": LOCAL, "end": LOCAL - QUARTER, "piece": QUARTER}, "before it starts"),
        ({"start": LOCAL, "end": NEWEST, "piece": QUARTER}, "both with a zone, or both without"),
        (
            {"start": LOCAL, "end": NEWEST, "piece": QUARTER, "zone": ZoneInfo("Europe/Madrid")},
            "both with a zone, or both without",
        ),
        ({"piece": QUARTER}, "needs start and end"),
        ({"start": NEWEST, "end": NEWEST, "piece": timedelta(0)}, "a minute"),
        ({"columns": ["kWh-del"]}, "no column of this profile; there are clock, status, kWh-del-int"),
        ({"columns": ["?"]}, "nothing is called"),
        ({"columns": "kWh-del"}, "no column of this profile; there are clock, status, kWh-del-int"),
        ({"start": "2026-11-22"}, r"start='2026-11-22' is no datetime; .*fromisoformat\('2026-11-22'\)"),
        ({"end": 5}, r"end=5 is no datetime; write datetime.fromisoformat\('2026-"),
        ({"start": NEWEST.date()}, "is no datetime"),
    ],
)
def test_meaningless_requests(url: str, arguments: dict[str, Any], text: str) -> None:
    with Lines(make_meter()).client(url) as client, pytest.raises(LocalError, match=text):
        client.profile("load", **arguments)


def test_a_profile_that_is_none(url: str) -> None:
    with Lines(make_meter()).client(url) as client:
        with pytest.raises(ObjectUndefined):
            client.profile("1-0:77.1.0*255")
        with pytest.raises(ObjectClassInconsistent):
            client.profile("clock")


def test_segmented_answers(url: str) -> None:
    with Lines(make_meter(60, ("long_answers", "segment"))).client(url) as client:
        segmented = client.profile("load").rows
    assert segmented == run_both(lambda: make_meter(60), url, None, "profile", "load").rows


@pytest.mark.parametrize("pdu", [0, 64, 200, 65535])
def test_any_size_of_our_own(url: str, pdu: int) -> None:
    with Lines(make_meter()).client(f"{url}?pdu={pdu}") as client:
        assert len(client.profile("load")) == 20


# --- opening, closing, coming back ------------------------------------------------------------------------


def test_password(url: str) -> None:
    for client_cls in (blocking.Client, Client):
        with pytest.raises(LocalError, match="auth=low needs a password"):
            client_cls(f"{url}?auth=low")
    lines = Lines(make_meter())
    with pytest.raises(AssociationRefused, match=r"authentication-failure \(13\); the password is wrong"):
        lines.client(f"{url}?{SETTING}", "wrong").open()
    assert all(line._closed for line in lines.lines)
    with pytest.raises(AssociationRefused, match="authentication-required"):
        Lines(make_meter()).client(f"{url}?client=1").open()
    with pytest.raises(AssociationRefused):
        Lines(make_meter()).client(f"{url}?client=5").open()
    with Lines(make_meter()).client(f"{url}?client=1", PASSWORD.encode()) as client:
        assert Conformance.SET in client.session.conformance


def test_refused_async(url: str) -> None:
    async def session() -> None:
        async with Lines(make_meter()).async_client(f"{url}?{SETTING}", "wrong"):
            pytest.fail("opened")

    with pytest.raises(AssociationRefused):
        asyncio.run(session())


def test_close_releases_and_is_idempotent(url: str) -> None:
    hooks, octets, apdus = watched()
    lines = Lines(make_meter())
    client = lines.client(url, hooks=hooks)
    client.open()
    client.open()
    client.close()
    assert ("TX", bytes.fromhex("6203800100")) in apdus
    assert ("RX", bytes.fromhex("6303800100")) in apdus
    assert len(lines.lines) == (2 if (url, client.session.framing) == ("tcp://meter", "wrapper") else 1)
    sent = len(octets)
    client.close()
    assert len(octets) == sent
    assert client.get("clock", 9) == make.enum(1), "a closed client opens again when it is asked"


def test_a_client_that_is_kept_knows_the_scalers_of_its_meter(url: str) -> None:
    hooks, _, apdus = watched()
    client = Lines(make_meter(20)).client(url, hooks=hooks)
    readings = []
    for _ in range(2):
        with client:
            readings.append(client.profile("load", last=2))
    asked = [apdu[3:13] for direction, apdu in apdus if direction == "TX" and apdu.startswith(b"\xc0\x01")]
    registers = [request for request in asked if request[:2] == b"\0\3"]
    assert len(registers) == len(set(registers)) == 4
    assert [request[-2] for request in asked if request[:2] == b"\0\7"] == 2 * [3, 4, 7, 2]
    assert readings[0] == readings[1]
    assert {column.unit for column in readings[1].columns} == {"Wh", "varh"}


def test_octets_and_apdus_are_shown(url: str) -> None:
    hooks, octets, apdus = watched()
    with Lines(make_meter()).client(url, hooks=hooks) as client:
        client.get("name")
    assert {direction for direction, _ in octets} == {"TX", "RX"}
    request = bytes.fromhex("C001C1 0001 00002A0000FF 02 00")
    assert ("TX", request) in apdus
    assert any(request in data for direction, data in octets if direction == "TX")
    answer = next(apdu for direction, apdu in apdus if apdu.startswith(b"\xc4"))
    assert any(answer in data for direction, data in octets if direction == "RX")


@pytest.mark.parametrize("idle_s", [60.0, 121.0, 3600.0])
def test_a_read_after_a_long_silence_comes_back(url: str, idle_s: float) -> None:
    lines = Lines(make_meter())
    with lines.client(url) as client:
        client.clock()
        lines.wait(idle_s)
        instant = client.clock().instant
    assert instant is not None
    assert timedelta(0) <= instant - START - timedelta(seconds=idle_s) < timedelta(seconds=30)


def test_a_set_after_a_long_silence_is_done_once(url: str) -> None:
    lines = Lines(make_meter())
    with lines.client(f"{url}?{SETTING}", PASSWORD) as client:
        client.clock()
        lines.wait(500)
        done = client.set_clock(START + timedelta(days=1))
        assert done.after is not None


def test_a_set_without_answer_is_not_repeated(url: str) -> None:
    """The line dies towards the client before the SET is answered: it was executed, and we cannot know."""
    hooks, octets, _ = watched()
    with Lines(make_meter()).client(f"{url}?{SETTING}", PASSWORD, hooks=hooks) as client:
        client.clock()
        replies = [len(data) for direction, data in octets if direction == "RX"]
    # `set_clock` reads the clock once more; then comes the answer to the SET.
    faults = Faults(to_client={sum(replies) + replies[-1]: Fault(FaultKind.CUT)})
    meter = make_meter()
    hooks, _, apdus = watched()
    client = Lines(meter, [faults]).client(f"{url}?{SETTING}&timeout=1s", PASSWORD, hooks=hooks)
    client.open()
    client.clock()
    with pytest.raises(OutcomeUnknown, match="read the value to find out"):
        client.set_clock(START + timedelta(days=1))
    client.close()
    assert len([apdu for direction, apdu in apdus if direction == "TX" and apdu.startswith(b"\xc1")]) == 1
    assert meter.ion.at_ms > (START + timedelta(hours=23)).timestamp() * 1000


def test_cancelled_reading_leaves_a_client_that_works(url: str) -> None:
    async def session() -> None:
        lines = Lines(make_meter(60))
        async with lines.async_client(f"{url}?pdu=300") as client:

            def cancel(_octets: int, _rows: int) -> None:
                task.cancel()

            task = asyncio.ensure_future(client.profile("load", progress=cancel))
            original = client._call

            async def slowly(*arguments: Any) -> Any:
                await asyncio.sleep(0)  # so that a cancellation finds a place to strike
                return await original(*arguments)

            client._call = slowly  # type: ignore[method-assign, assignment]
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(await client.profile("load")) == 60

    asyncio.run(session())


def test_a_call_cancelled_before_its_answer_costs_the_wrapper_its_connection(url: str) -> None:
    # Its late answer could be taken for one to the next question; HDLC begins a new link instead.
    stuck = False
    asked = asyncio.Event()

    class Slow(AsyncNullModem):
        async def receive(self, deadline: float | None) -> bytes:
            if stuck:
                asked.set()
                await asyncio.Event().wait()
            return await super().receive(deadline)

    async def session() -> None:
        nonlocal stuck
        lines = Lines(make_meter())

        async def connect() -> AsyncNullModem:
            return Slow(lines.connect())

        async with Client(url, connector=connect) as client:
            assert (await client.clock()).instant is not None
            stuck = True
            task = asyncio.create_task(client.clock())
            await asyncio.wait_for(asked.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stuck = False
            assert (await client.get("name")).octets().startswith(b"SCH8650")
            assert len(lines.lines) == (2 if client.session.framing == "wrapper" else 1)

    asyncio.run(session())


def test_concurrent_calls_wait_for_each_other(url: str) -> None:
    async def session() -> None:
        async with Lines(make_meter()).async_client(url) as client:
            clock, name, profile = await asyncio.gather(
                client.clock(), client.get("name"), client.profile("load")
            )
            assert clock.instant == START
            assert name.tag is Tag.OCTET_STRING
            assert len(profile) == 20

    asyncio.run(session())


def test_meter_is_left_as_it_was(url: str) -> None:
    meter: Meter = make_meter()
    rows = meter.ion.recorders["Load Profile"].log.count
    with Lines(meter).client(url) as client:
        client.profile("load")
        client.get_all("load")
    assert meter.ion.recorders["Load Profile"].log.count == rows


def test_one_column_need_not_be_a_list(url: str) -> None:
    listed = run(url, "profile", "load", last=2, columns=["kWh-del-int"])
    assert [column.title for column in listed.columns] == ["kWh-del-int"]
    assert run(url, "profile", "load", last=2, columns="kWh-del-int") == listed
    code = listed.columns[0].captured.logical_name
    assert run(url, "profile_columns", "load", last=2, columns=code).profile() == listed


def test_a_quantity_is_scaled_and_has_its_unit(url: str) -> None:
    integer = run(url, "get", "PF-sign-mean").integer()
    with localcontext(prec=1):  # the caller's, which rounds
        quantity = run(url, "quantity", "PF-sign-mean")
    assert quantity == (Decimal(integer).scaleb(-3), "")
    assert integer % 10
    energy = run(url, "quantity", "kWh-del")
    assert energy == (Decimal(run(url, "get", "kWh-del").integer()), "Wh")
    assert str(energy) == f"{energy.value} Wh"
    assert run(url, "quantity", ObisCode.parse("1-1:1.8.0*255"), 2, 3) == energy
    meter = make_meter()
    for name, told in (
        ("clock", "attribute 2 of class 8 is not scaled"),
        ("kWh-del:3", "attribute 3 of class"),
    ):
        with Lines(meter).client(url) as client, pytest.raises(LocalError, match=told):
            client.quantity(name)


def test_the_scaler_of_a_quantity_is_read_once(url: str) -> None:
    hooks, _, apdus = watched()
    with Lines(make_meter()).client(url, hooks=hooks) as client:
        asked = []
        for _ in range(3):
            before = len(apdus)
            client.quantity("PF-sign-mean")
            asked.append((len(apdus) - before) // 2)
    assert asked == [2, 1, 1]


def test_the_clock_is_set_to_a_datetime_and_nothing_else(url: str) -> None:
    with Lines(make_meter()).client(f"{url}?{SETTING}", PASSWORD) as client:
        for method in (client.set_clock, client.clock_step):
            with pytest.raises(LocalError, match="'now' is no datetime"):
                method("now")  # type: ignore[arg-type]
