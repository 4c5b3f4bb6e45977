"""Commands of `iondlms ctl` on a site of several meters: which of them is meant, and what is told of all."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.meter.test_control import ONE, SITE, controlled, refused
from tests.ports.ptys import Pty

from iondlms.errors import DlmsError
from iondlms.ion import Pending
from iondlms.meter import control_views
from iondlms.meter.config import Config
from iondlms.meter.control import Control
from iondlms.meter.host import MeterHost
from iondlms.meter.site import Site
from iondlms.ports.tcp import TcpPort
from iondlms.store import Archive, Store


async def armed(control: Control, rule: dict[str, Any], **which: Any) -> list[tuple[int, str]]:
    found = await control.answer({"command": "fault", "rule": rule, **which})
    return [(each["unit"], each["line"]) for each in found["armed"]]


async def test_of_two_meters_the_status_is_brief() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        status = await control.answer({"command": "status", "unit": 3})
        assert [(each["unit"], each["line"]) for each in status["meters"]] == [(3, "hall"), (3, "attic")]
        assert [each["port"] for each in status["ports"]] == ["hall", "attic"]
        assert all(not {"recorders", "disk"} & set(each) for each in status["meters"])
        (alone,) = (await control.answer({"command": "status", "unit": 1}))["meters"]
        assert {"recorders", "disk"} <= set(alone)


async def test_a_rule_may_name_the_meter_itself() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        assert await armed(control, {"action": "drop", "unit_id": 2}) == [(2, "hall")]
        assert await armed(control, {"action": "drop", "unit_id": 3}, line="attic") == [(3, "attic")]
        assert await armed(control, {"action": "drop", "port": "hall"}, unit=1) == [(1, "hall")]
        assert "no meter has Unit ID 2" in await refused(
            control, command="fault", rule={"action": "drop", "unit_id": 2}, unit=1
        )
        assert await refused(control, command="fault", rule={"action": "drop", "unit_id": 9}) == (
            "no meter here has Unit ID 9"
        )


async def test_the_number_of_a_fault_is_one_meters() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        assert await armed(control, {"action": "drop"}, line="hall") == [
            (1, "hall"),
            (2, "hall"),
            (3, "hall"),
        ]
        told = await refused(control, command="clear", number=1)
        assert told == "there are 4 meters; say which: --unit N, and --line NAME"
        assert await control.answer({"command": "clear", "number": 1, "unit": 2}) == {"cleared": 1}
        assert await control.answer({"command": "clear"}) == {"cleared": 2}


async def test_the_switch_of_a_line_is_no_other_lines() -> None:
    async with controlled(Site.model_validate(SITE)) as control:
        found = await control.answer({"command": "ethernet", "on": False, "line": "attic"})
        assert found == {"ports": [{"port": "attic", "on": False}]}
        lines = [line for line in control._host.lines if isinstance(line, TcpPort)]
        assert [(line.name, line.enabled) for line in lines] == [("hall", True), ("attic", False)]


async def test_on_by_hand_ends_what_a_fault_has_switched_off_and_off_does_not() -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        meter = control._host.meters[0].meter
        meter.faults.ethernet_off(0.0, asyncio.get_running_loop().time())
        await control.answer({"command": "ethernet", "on": False})
        assert not meter.faults.ethernet
        await control.answer({"command": "ethernet", "on": True})
        assert meter.faults.ethernet


async def test_a_line_of_wires_has_no_ethernet() -> None:
    with Pty() as pty:
        line = {"name": "bus", "kind": "rs485", "device": pty.path}
        site = {"line": [line], "meter": [{"line": "bus", "unit_id": 1}]}
        async with controlled(Site.model_validate(site)) as control:
            told = await refused(control, command="ethernet", on=False)
            assert told == "no port here is Ethernet"


async def test_what_was_done_to_a_log_is_on_the_disk_when_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        with Archive.open(tmp_path) as archive:
            return len(list(archive.rows("Test Log")))

    write = Store.write

    def slow(store: Store, batch: Pending) -> None:
        time.sleep(0.1)  # who does not wait for it is far ahead
        write(store, batch)

    config = Config.model_validate({**ONE, "meter": {"data": tmp_path}})
    async with controlled(config) as control:
        await control._host.meters[0].settled()
        monkeypatch.setattr(Store, "write", slow)
        for count in (1, 2):
            await control.answer({"command": "pulse", "recorder": "Test Log"})
            assert kept() == count
        assert "is full; rearm it" in await refused(control, command="pulse", recorder="Test Log")
        await control.answer({"command": "rearm", "recorder": "Test Log"})
        assert kept() == 0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": "status", "unit": 10_000}, "unit: 10000 is out of range; write 1 to 9999"),
        ({"command": "clock", "step": 4e9}, "step: "),
        ({"command": "power", "do": "cut", "duration": -1}, "duration: -1 is out of range; write 0"),
        ({"command": "source", "do": "freeze", "duration": "-1"}, "duration: '-1' is no duration"),
        ({"command": "clear", "number": 0}, "number: 0 is out of range; write 1 or more"),
        ({"command": "status", "unit": True}, "unit: true is no whole number"),
    ],
)
async def test_bounds(request_: dict[str, Any], message: str) -> None:
    async with controlled(Config.model_validate(ONE)) as control:
        assert (await refused(control, **request_)).startswith(message)


async def test_who_is_meant_is_not_looked_up_in_each_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a thousand meters that would hold up all clients for milliseconds.
    site = {
        "line": [{"name": "hall", "kind": "tcp", "listen": "127.0.0.1:0"}],
        "meter": [{"line": "hall", "unit_id": 1, "count": 40}],
    }
    async with controlled(Site.model_validate(site)) as control:
        asked: list[MeterHost] = []
        line_of = control_views.line_of

        def counted(host: MeterHost) -> str:
            asked.append(host)
            return line_of(host)

        monkeypatch.setattr(control_views, "line_of", counted)
        await control.answer({"command": "events", "unit": 30})
        await control.answer({"command": "events", "unit": 30, "line": "hall"})
        await control.answer({"command": "meters", "first": 38})
        with pytest.raises(DlmsError):
            await control.answer({"command": "events", "unit": 41})
        assert len(asked) == 2  # those that `meters` tells of
