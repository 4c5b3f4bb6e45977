"""What running meters show to `iondlms ctl` and the front panel: right, bounded, and made in short pieces."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Generator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, cast

import pytest
from tests.meter.bench import START_MS
from tests.meter.test_control import ONE, SITE, controlled, refused

from iondlms.client import connect
from iondlms.ion import QUANTITIES, Kind, RowFormat
from iondlms.meter import control_views as views
from iondlms.meter.config import Config
from iondlms.meter.control import Control
from iondlms.meter.site import Site
from iondlms.ports.tcp import TcpPort

MINUTE = 60_000
MEASURED = [
    "Vln a",
    "Vll bc",
    "I avg",
    "kW tot",
    "kVAR b",
    "kVA tot",
    "PF sign tot",
    "Freq",
    "I unbal",
    "kW tot mx",
]
SHOWN = {
    "meter": {"history": 5, "owner": "<b>ours</b>", "tag_1": "hall"},
    "clock": {"zone": "Europe/Berlin"},
    "port": [{"name": "ETHERNET", "listen": "127.0.0.1:0"}],
    "data_recorder": [{"name": "Measured", "record": "Load Profile Timer", "sources": MEASURED}],
}


async def told(control: Control, command: str, **more: Any) -> Any:
    return await control.answer({"command": command, **more})


def unpacked(answer: dict[str, Any]) -> list[tuple[int, int, int, tuple[int | None, ...]]]:
    """Return number, instant, status and values of each row of an answer."""
    rows = RowFormat(len(answer["sources"])).unpack(b64decode(answer["rows"]))
    numbers = [number for first, end in answer["runs"] for number in range(first, end)]
    return [(number, *row) for number, row in zip(numbers, rows, strict=True)]


async def test_values_are_what_a_get_says() -> None:
    raw = {**SHOWN, "data_recorder": [{"name": "Measured", "record": "", "sources": MEASURED}]}
    codes = [f"1-1:{number}.7.0*255" for number in range(101, 101 + len(MEASURED))]
    raw["dlms_log_export"] = [
        {"data_recorder": "Measured", "profile_obis": "1-0:99.2.0*255", "obis_codes": codes}
    ]
    async with controlled(Config.model_validate(raw)) as control:
        host = control._host.meters[0]
        # Time stands still, so that both look at the same moment; but not at the very start of it.
        host.meter.run_at(0.0, asyncio.get_running_loop().time() + 100.0)
        answer = await told(control, "values")
        assert (answer["unit"], answer["power"]) == (100, True)
        values = answer["values"]
        (port,) = control._host.ports
        assert isinstance(port, TcpPort)
        async with connect("tcp://{}:{}?unit=100".format(*port.address)) as client:
            read = {name: (await client.get(code)).value for name, code in zip(MEASURED, codes, strict=True)}
            own = ["kWh del", "kWh rec", "kVARh del", "kVAh del+rec", "kWh del int", "kW sd del-rec"]
            read |= {name: (await client.get(str(QUANTITIES[name].obis))).value for name in own}
    assert {name: values.get(name) for name in read} == read
    assert values["kWh del"] > 0
    assert values["kW tot"] != 0
    assert values["Vln a"] > 200_000
    # All that every meter has; what must be recorded to be known only where it is.
    every = {name for name, each in QUANTITIES.items() if each.kind not in (Kind.MAXIMUM, Kind.MINIMUM)}
    assert every - set(values) == {name for name in every if " Q" in name}
    assert [name for name in values if QUANTITIES[name].kind is Kind.MAXIMUM] in ([], ["kW tot mx"])


async def test_the_source_is_asked_once_for_all_present_values() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        host = control._host.meters[0]
        source, asked = host.meter.source, []

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(source, name)

            def flow(self, start_ms: int, end_ms: int) -> Any:
                return source.flow(start_ms, end_ms)

            def readings(self, utc_ms: int) -> Any:
                asked.append(utc_ms)
                return source.readings(utc_ms)

        host.meter.source = cast("Any", Counting())
        answer = await told(control, "values")
        assert len(answer["values"]) > 50
        # One more for the state of the source.
        assert 1 <= len(asked) <= 2


async def test_a_meter_without_power_shows_no_values() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        await told(control, "power", do="cut")
        assert (await told(control, "values"))["values"] == {}
        panel = await told(control, "panel")
        assert (panel["power"], panel["values"], panel["ports"][0]["state"]) == (False, {}, "no power")


async def test_a_panel_has_all_that_a_front_shows() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        panel = await told(control, "panel")
        assert (panel["model"], panel["unit"], panel["line"]) == ("ION8650", 100, "")
        assert (panel["owner"], panel["tag_1"], panel["tag_2"]) == ("<b>ours</b>", "hall", "")
        assert (panel["offset_min"], panel["dst"], panel["valid"]) == (60, False, True)
        assert 0 <= panel["utc_ms"] - START_MS < 10_000
        assert (panel["source"], panel["faults"], panel["safe"], panel["trouble"]) == (
            "simulated",
            0,
            True,
            "",
        )
        recorders = {each["recorder"]: each for each in panel["recorders"]}
        assert set(recorders) == {"Load Profile", "Billing", "Measured"}
        load = recorders["Load Profile"]
        assert (load["rows"], load["end"], load["period_s"], load["status"]) == (5, 5, 900, 0)
        assert load["last_ms"] == START_MS - START_MS % (15 * MINUTE)
        assert [port["port"] for port in panel["ports"]] == ["ETHERNET"]
        assert panel["events"] == len(control._host.meters[0].meter.ion.event_log.events)
        assert panel["values"]["kWh del"] > 0
        await told(control, "fault", rule={"action": "drop"})
        assert (await told(control, "panel"))["faults"] == 1


async def test_the_loop_is_free_between_the_parts_of_a_panel() -> None:
    recorders = [{"name": f"R{number}", "record": "", "sources": ["kWh del"]} for number in range(40)]
    async with controlled(Config.model_validate({**SHOWN, "data_recorder": recorders})) as control:
        steps = cast("Generator[None, None, Any]", control.answer({"command": "panel"}).__await__())
        pauses = sum(1 for _ in steps)
        # After the values, before each 8 of 42 recorders, and before the port.
        assert pauses == 1 + 6 + 1


async def test_rows_come_packed_as_they_were_recorded() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        recorder = control._host.meters[0].meter.ion.recorders["Load Profile"]
        answer = await told(control, "rows", recorder="Load Profile")
        assert answer["sources"] == list(recorder.setup.sources)
        assert (answer["period_s"], answer["more"]) == (900, False)
        kept = [(number, *row) for number, row in enumerate(recorder.rows(0, 5))]
        assert unpacked(answer) == kept
        assert len(kept) == 5
        span = {"start_ms": kept[1][1], "end_ms": kept[3][1]}
        assert unpacked(await told(control, "rows", recorder="Load Profile", **span)) == kept[1:4]
        assert unpacked(await told(control, "rows", recorder="Load Profile", **span, after=1)) == kept[2:4]
        assert unpacked(await told(control, "rows", recorder="Load Profile", start_ms=kept[4][1] + 1)) == []
        await told(control, "master_reset")
        empty = await told(control, "rows", recorder="Load Profile")
        assert (empty["runs"], empty["rows"], empty["offsets"], empty["more"]) == ([], "", [], False)


async def test_many_rows_come_in_pages() -> None:
    raw = {**SHOWN, "meter": {"history": 3200}}
    async with controlled(Config.model_validate(raw)) as control:
        pages: list[dict[str, Any]] = []
        after = -1
        while not pages or pages[-1]["more"]:
            pages.append(await told(control, "rows", recorder="Load Profile", after=after))
            after = unpacked(pages[-1])[-1][0]
        assert [len(unpacked(page)) for page in pages] == [1000, 1000, 1000, 200]
        assert [row[0] for page in pages for row in unpacked(page)] == list(range(3200))
        assert len(unpacked(await told(control, "rows", recorder="Load Profile", most=7))) == 7
        # The hour changed on 25 October, within them.
        (_, summer), (switch, winter) = next(page["offsets"] for page in pages if len(page["offsets"]) > 1)
        assert (summer, winter) == (120, 60)
        assert datetime.fromtimestamp(switch / 1000, UTC) == datetime(2026, 10, 25, 1, tzinfo=UTC)


async def test_an_answer_has_no_more_octets_than_a_moment_can_send() -> None:
    sources = ["kWh del"] * 16
    recorders = [{"name": "Wide", "record": "Load Profile Timer", "sources": sources}]
    raw = {**SHOWN, "meter": {"history": 1000}, "data_recorder": recorders}
    async with controlled(Config.model_validate(raw)) as control:
        answer = await told(control, "rows", recorder="Wide")
        assert answer["more"]
        assert (1 << 15) < len(b64decode(answer["rows"])) <= 1 << 16


async def test_rows_of_a_clock_that_was_set_back_are_all_there() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        await told(control, "clock", step="-30m")
        for _ in range(3):
            await told(control, "pulse", recorder="Load Profile")
            await told(control, "clock", step="20m")
        kept = unpacked(await told(control, "rows", recorder="Load Profile"))
        assert len(kept) == 8
        assert any(later[1] < earlier[1] for earlier, later in pairwise(kept))
        # Around the newest of the old ones there are two runs of numbers.
        at = kept[4][1]
        answer = await told(control, "rows", recorder="Load Profile", start_ms=at - 20 * MINUTE, end_ms=at)
        assert len(answer["runs"]) == 2
        found = unpacked(answer)
        assert found == [row for row in kept if at - 20 * MINUTE <= row[1] <= at]
        first = await told(
            control,
            "rows",
            recorder="Load Profile",
            start_ms=at - 20 * MINUTE,
            end_ms=at,
            most=len(found) - 1,
        )
        assert (unpacked(first), first["more"]) == (found[:-1], True)


async def test_the_latest_events_come_with_their_offsets() -> None:
    async with controlled(Config.model_validate(SHOWN)) as control:
        for _ in range(5):
            await told(control, "clock", step="10s")
        log = control._host.meters[0].meter.ion.event_log.events
        answer = await told(control, "events")
        assert answer["events"] == [list(event) for event in log]
        assert answer["events"][-1][3:] == ["Time set over ctl", "step of 10000 ms"]
        assert [offset for _, offset in answer["offsets"]] == [60]
        two = await told(control, "events", most=2)
        assert two["events"] == [list(event) for event in log[-2:]]


async def test_of_several_meters_one_is_named() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        found = await told(control, "meters")
        assert found["count"] == 4
        assert [(each["unit"], each["line"]) for each in found["meters"]] == [
            (1, "hall"), (2, "hall"), (3, "hall"), (3, "attic"),
        ]  # fmt: skip
        assert len({each["device"] for each in found["meters"]}) >= 3
        assert (await told(control, "meters", first=3))["meters"] == found["meters"][3:]
        assert (
            await refused(control, command="panel")
            == "there are 4 meters; say which: --unit N, and --line NAME"
        )
        assert (await refused(control, command="values", unit=3)).startswith("there are 2 meters")
        assert await refused(control, command="panel", unit=9) == "no meter here has Unit ID 9"
        assert (
            await refused(control, command="panel", unit=1, line="attic")
            == "no meter here has Unit ID 1 on attic"
        )
        panel = await told(control, "panel", unit=3, line="attic")
        assert (panel["unit"], panel["line"]) == (3, "attic")
        assert [port["port"] for port in panel["ports"]] == ["attic"]
        assert (await told(control, "panel", unit=2))["line"] == "hall"


async def test_a_meter_that_is_named_is_not_looked_for_among_a_thousand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        monkeypatch.setattr(control, "_chosen", None)
        assert (await told(control, "panel", unit=3, line="attic"))["line"] == "attic"
        assert (await told(control, "values", unit=2, line="hall"))["unit"] == 2


async def test_the_meters_of_a_large_site_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_METERS", 3)
    async with controlled(Site.model_validate(SITE)) as control:
        found = await told(control, "meters")
        assert (found["count"], len(found["meters"])) == (4, 3)
        assert len((await told(control, "meters", first=3))["meters"]) == 1
        assert (await told(control, "meters", first=4))["meters"] == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": "rows"}, "recorder: must be given"),
        (
            {"command": "rows", "recorder": "X"},
            "no Data Recorder is called 'X'; there are Load Profile, Billing",
        ),
        ({"command": "rows", "recorder": "Billing", "most": 1001}, "most: "),
        ({"command": "rows", "recorder": "Billing", "after": -2}, "after: "),
        ({"command": "rows", "recorder": "Billing", "start_ms": 1 << 60}, "start_ms: "),
        ({"command": "events", "most": 0}, "most: "),
        ({"command": "events", "most": 101}, "most: "),
        ({"command": "meters", "first": -1}, "first: "),
        ({"command": "values", "colour": "red"}, "colour: there is no such argument"),
    ],
)
async def test_what_is_not_to_be_had(request_: dict[str, Any], message: str) -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        assert (await refused(control, **request_)).startswith(message)
