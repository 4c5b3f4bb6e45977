"""The commands of `iondlms ctl`, given to running meters in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.meter.bench import START_MS
from tests.meter.octets import W_AARE, W_AARQ

from iondlms.errors import DlmsError
from iondlms.meter import SiteHost
from iondlms.meter.config import Config
from iondlms.meter.control import COMMANDS, Control
from iondlms.meter.site import Site
from iondlms.ports.tcp import TcpPort

ONE = {
    "meter": {"history": 5},
    "port": [{"name": "ETHERNET", "listen": "127.0.0.1:0"}],
    "data_recorder": [
        {"name": "Test Log", "record": "", "sources": ["kWh del"], "mode": "stop-when-full", "depth": 2}
    ],
}
SITE = {
    "line": [{"name": name, "kind": "tcp", "listen": "127.0.0.1:0"} for name in ("hall", "attic")],
    "meter": [{"line": "hall", "unit_id": 1, "count": 3}, {"line": "attic", "unit_id": 3}],
}


@asynccontextmanager
async def controlled(config: Config | Site, told: list[bool] | None = None) -> AsyncIterator[Control]:
    async def reload(apply: bool) -> list[str]:
        (told if told is not None else []).append(apply)
        return ["read"]

    async with asyncio.timeout(20), SiteHost(config, utc_ms=START_MS) as host:
        yield Control(host, reload)


async def refused(control: Control, **request: Any) -> str:
    with pytest.raises(DlmsError) as raised:
        await control.answer(request)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


async def test_status_tells_of_ports_meter_recorders_and_disk(tmp_path: Path) -> None:
    config = Config.model_validate({**ONE, "meter": {"history": 5, "data": tmp_path}})
    async with controlled(config) as control:
        (port,) = control._host.ports
        assert isinstance(port, TcpPort)
        reader, writer = await asyncio.open_connection(*port.address)
        writer.write(bytes.fromhex(W_AARQ))
        assert await reader.readexactly(len(W_AARE) // 2) == bytes.fromhex(W_AARE)
        status = await control.answer({"command": "status"})
        (told,) = status["ports"]
        assert told["connected"] == "{}:{}".format(*writer.get_extra_info("sockname"))
        assert (told["port"], told["state"], told["opened"], told["frames"]) == ("ETHERNET", "on", 1, 1)
        (meter,) = status["meters"]
        assert (meter["unit"], meter["power"], meter["source"], meter["safe"]) == (
            100,
            True,
            "simulated",
            True,
        )
        assert meter["utc"].startswith("2026-11-22T12:00:3")
        rows = {each["recorder"]: each for each in meter["recorders"]}
        assert rows["Load Profile"]["rows"] == 5
        assert rows["Load Profile"]["last"]["utc"] == "2026-11-22T12:00:00.000+00:00"
        assert rows["Test Log"]["last"] is None
        assert meter["disk"]["folder"] == str(tmp_path)
        assert (meter["disk"]["state"], meter["disk"]["unwritten"]) == ("written", 0)
        assert meter["disk"]["free"] > 0
        writer.close()


async def test_a_fault_is_armed_shown_and_cleared() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        rule = {"action": "delay", "duration": "2s", "port": "ethernet", "service": "get"}
        armed = await control.answer({"command": "fault", "rule": rule})
        assert armed == {"armed": [{"unit": 100, "line": "", "number": 1}]}
        (shown,) = await control.answer({"command": "faults"})
        assert (shown["from"], shown["action"], shown["when"], shown["left"]) == ("ctl", "delay", "get", 1)
        assert await control.answer({"command": "clear", "number": 1}) == {"cleared": 1}
        assert await control.answer({"command": "faults"}) == []
        assert await refused(control, command="clear", number=1) == "no fault has number 1"


async def test_a_fault_at_an_instant_needs_no_client() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        rule = {"action": "power_cut", "at": "2026-11-22T12:00:30.300", "duration": 60}
        await control.answer({"command": "fault", "rule": rule})
        meter = control._host.meters[0].meter
        while meter.powered:
            await asyncio.sleep(0.01)
        status = await control.answer({"command": "status"})
        assert status["ports"][0]["state"] == "no power"


async def test_power_cut_and_back_by_itself_and_by_hand() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        assert not (await control.answer({"command": "power", "do": "cut", "duration": "200ms"}))["power"]
        assert await refused(control, command="power", do="cut") == "the meter has no power"
        meter = control._host.meters[0].meter
        while not meter.powered:
            await asyncio.sleep(0.01)
        await control.answer({"command": "power", "do": "cut"})
        assert (await control.answer({"command": "power", "do": "on"}))["power"]
        await refused(control, command="power", do="on")


async def test_a_dark_meter_refuses_and_forgets_connections() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        (port,) = control._host.ports
        assert isinstance(port, TcpPort)
        reader, writer = await asyncio.open_connection(*port.address)
        writer.write(bytes.fromhex(W_AARQ))
        await reader.readexactly(len(W_AARE) // 2)
        await control.answer({"command": "power", "do": "cut"})
        newcomer, other = await asyncio.open_connection(*port.address)
        assert await _end(newcomer) == b""
        await control.answer({"command": "power", "do": "on"})
        writer.write(bytes.fromhex(W_AARQ))
        assert await _end(reader) == b""
        newcomer, again = await asyncio.open_connection(*port.address)
        again.write(bytes.fromhex(W_AARQ))
        assert await newcomer.readexactly(len(W_AARE) // 2) == bytes.fromhex(W_AARE)
        for each in (writer, other, again):
            each.close()


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_clock_step_and_master_reset() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        stepped = await control.answer({"command": "clock", "step": "-1h"})
        assert stepped["utc"].startswith("2026-11-22T11:00:3")
        await control.answer({"command": "master_reset"})
        status = await control.answer({"command": "status"})
        assert {each["rows"] for each in status["meters"][0]["recorders"]} == {0}
        assert "is not within the years" in await refused(control, command="clock", step=-2.9e9)


async def test_pulse_and_rearm() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        for _ in range(5):  # as deep as the history
            await control.answer({"command": "pulse", "recorder": "Test Log"})
        full = "Data Recorder 'Test Log' is full; rearm it"
        assert await refused(control, command="pulse", recorder="Test Log") == full
        await control.answer({"command": "rearm", "recorder": "Test Log"})
        await control.answer({"command": "pulse", "recorder": "Test Log"})
        recorder = control._host.meters[0].meter.ion.recorders["Test Log"]
        assert [row.status for row in recorder.rows(0, recorder.log.end)] == [0xFFFF]
        assert "no Data Recorder is called 'X'" in await refused(control, command="pulse", recorder="X")
        assert "no Data Recorder is called 'X'" in await refused(control, command="rearm", recorder="X")
        assert "is circular" in await refused(control, command="rearm", recorder="Billing")


async def test_a_source_is_frozen_and_goes_on() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        frozen = await control.answer({"command": "source", "do": "freeze", "values": "missing"})
        assert frozen["source"] == "simulated, frozen, values missing"
        assert control._host.meters[0].meter.ion.value("kW tot") is None
        assert (await control.answer({"command": "source", "do": "resume"}))["source"] == "simulated"
        assert await refused(control, command="source", do="resume") == "the source is not frozen"
        await control.answer({"command": "source", "do": "freeze", "duration": 0.2})
        faults = control._host.meters[0].meter.faults
        while faults.frozen is not None:
            await asyncio.sleep(0.01)


async def test_the_ethernet_switch_leaves_what_is_connected() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        (port,) = control._host.ports
        assert isinstance(port, TcpPort)
        reader, writer = await asyncio.open_connection(*port.address)
        writer.write(bytes.fromhex(W_AARQ))
        await reader.readexactly(len(W_AARE) // 2)
        off = await control.answer({"command": "ethernet", "on": False})
        assert off == {"ports": [{"port": "ETHERNET", "on": False}]}
        newcomer, other = await asyncio.open_connection(*port.address)
        assert await _end(newcomer) == b""
        writer.write(bytes.fromhex(W_AARQ))
        assert await reader.readexactly(len(W_AARE) // 2) == bytes.fromhex(W_AARE)
        assert (await control.answer({"command": "status"}))["ports"][0]["state"] == "off"
        assert (await control.answer({"command": "ethernet", "on": True}))["ports"][0]["on"]
        for each in (writer, other):
            each.close()


async def test_reload_is_handed_on() -> None:
    told: list[bool] = []
    async with controlled(Config.model_validate(ONE), told) as control:
        assert await control.answer({"command": "reload", "apply": True}) == {"lines": ["read"]}
        assert await control.answer({"command": "reload"}) == {"lines": ["read"]}
    assert told == [True, False]


async def test_one_of_many_meters() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        assert await refused(control, command="master_reset") == (
            "there are 4 meters; say which: --unit N, and --line NAME"
        )
        assert "there are 2 meters" in await refused(control, command="master_reset", unit=3)
        done = await control.answer({"command": "power", "do": "cut", "unit": 3, "line": "attic"})
        assert (done["unit"], done["line"]) == (3, "attic")
        assert await refused(control, command="status", unit=9) == "no meter here has Unit ID 9"
        assert "on cellar" in await refused(control, command="status", line="cellar")
        status = await control.answer({"command": "status", "line": "hall"})
        assert [port["port"] for port in status["ports"]] == ["hall"]
        assert [(meter["unit"], meter["power"]) for meter in status["meters"]] == [
            (1, True),
            (2, True),
            (3, True),
        ]
        armed = await control.answer({"command": "fault", "rule": {"action": "drop"}})
        assert len(armed["armed"]) == 4
        assert len(await control.answer({"command": "faults", "unit": 2})) == 1
        assert await control.answer({"command": "clear"}) == {"cleared": 4}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "there is no command None; there are status, fault"),
        ({"command": "sleep"}, "there is no command 'sleep'"),
        ({"command": ["status"]}, "there is no command ['status']"),
        ({"command": "status", "colour": "red"}, "colour: there is no such argument"),
        ({"command": "status", "unit": "x"}, "unit: 'x' is no whole number"),
        ({"command": "power", "do": "off"}, "do: 'off' is not possible; write 'cut' or 'on'"),
        ({"command": "clock"}, "step: must be given"),
        ({"command": "clock", "step": "soon"}, "step: 'soon' is no step"),
        ({"command": "fault", "rule": {"action": "drop", "port": "COM1"}}, "there is no port 'COM1'"),
        ({"command": "fault", "rule": {"action": "x"}}, "ACTION: 'x' is none; there are 'drop'"),
        (
            {"command": "fault", "rule": {"action": "power_cutt"}},
            "ACTION: 'power-cutt' is none; did you mean 'power-cut'?",
        ),
        (
            {"command": "fault", "rule": {"action": "drop", "service": "gett"}},
            "--service: 'gett' is none; did you mean 'get'",
        ),
        (
            {"command": "fault", "rule": {"action": "drop", "lasts": "soon"}},
            "--for: 'soon' is no duration",
        ),
        (
            {"command": "fault", "rule": {"action": "drop", "duration": 1}},
            "VALUE or --for: drop has no duration; it is for delay, silence, busy, power-cut",
        ),
        (
            {"command": "fault", "rule": {"action": "drop", "at": "2026-11-22T11:59:00"}},
            "--at 2026-11-22T11:59:00.000+00:00 is past: the meter's time is 2026-11-22T12:00:30",
        ),
        ({"command": "fault"}, "rule: must be given"),
        ({"command": "ethernet", "on": "perhaps"}, "on: 'perhaps' is neither true nor false"),
    ],
)
async def test_what_is_no_command(request_: dict[str, Any], message: str) -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        assert (await refused(control, **request_)).startswith(message)


async def test_a_clock_step_by_hand_is_an_event_that_blames_no_port() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        await control.answer({"command": "clock", "step": "90s"})
        meter = control._host.meters[0].meter
        while not (events := [each for each in meter.ion.event_log.events if "Time set" in each.cause]):
            await asyncio.sleep(0.01)
        assert [(each.cause, each.effect) for each in events] == [("Time set over ctl", "step of 90000 ms")]


async def test_a_fault_that_comes_again_may_have_begun() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        rule = {"action": "power_cut", "at": "2026-11-22T11:59:00", "every": "1h", "duration": 1}
        await control.answer({"command": "fault", "rule": rule})
        (shown,) = await control.answer({"command": "faults"})
        assert shown["state"] == "waiting"


def test_every_command_has_a_test() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_control_views.py"))
    source = "".join(file.read_text("utf-8") for file in files)
    assert [name for name in COMMANDS if f'"{name}"' not in source] == []
