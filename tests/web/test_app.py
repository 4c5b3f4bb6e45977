"""The page and the interface: what they answer, to whom, and what stays text."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.extras import needs
from tests.web.panels import NAME, ONE, SITE, Clock, Meters, panelled, told

from iondlms.cli.web import web
from iondlms.errors import LocalError, PortError
from iondlms.ion import QUANTITIES
from iondlms.meter.config import Config
from iondlms.meter.site import Site
from iondlms.web import Asker, Watch, make_app
from iondlms.web import app as app_module
from iondlms.web.answers import status_words
from iondlms.web.server import Listening, _Server
from iondlms.web.watch import Which

httpx: Any = needs("httpx")
uvicorn: Any = needs("uvicorn")

PATHS = ["/api/meters", "/api/meter", "/api/rows", "/api/events", "/api/stream"]
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\""


def one() -> Config:
    return Config.model_validate(ONE)


def client_of(meters: Meters, first: Which | None = None, **settings: Any) -> Any:
    clock = Clock()
    asker = Asker(meters, clock, apart_s=0.0)
    app = make_app(asker, Watch(asker, clock), first or Which(100), ["127.0.0.1"])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, **settings), base_url=f"http://{NAME}")


async def test_a_meter_as_json() -> None:
    async with panelled(one()) as panel:
        meter = await panel.json("/api/meter")
        assert (meter["unit"], meter["model"], meter["owner"], meter["tag_2"]) == (
            100, "ION8650", "Söhne & <b>Co</b>", "x",
        )  # fmt: skip
        assert meter["time"].startswith("2026-11-22T13:00:3")
        assert (meter["time"][-6:], meter["deviation"], meter["dst"]) == ("+01:00", -60, False)
        assert (meter["power"], meter["source"], meter["faults"], meter["safe"]) == (
            True,
            "simulated",
            0,
            True,
        )
        values = {each["quantity"]: each for each in meter["values"]}
        assert {"Vln a", "I avg", "kW tot", "kVAR tot", "PF sign tot", "Freq", "kWh del"} <= set(values)
        for name, each in values.items():
            assert (each["unit"], each["kind"]) == (QUANTITIES[name].ion_unit, QUANTITIES[name].kind.value)
        assert values["kW tot"]["unit"] == "kW"
        assert 200 < values["Vln a"]["value"] < 260
        recorder = meter["recorders"][0]
        assert (recorder["recorder"], recorder["rows"], recorder["depth"], recorder["next"]) == (
            "Load Profile", 200, 3360, 200,
        )  # fmt: skip
        assert recorder["last"] == "2026-11-22T13:00:00+01:00"
        assert [port["port"] for port in meter["ports"]] == ["ETHERNET"]


async def test_rows_as_json() -> None:
    async with panelled(one()) as panel:
        rows = await panel.json(
            "/api/rows", **{"from": "2026-11-22T12:00:00+01:00", "to": "2026-11-22T12:00"}
        )
        assert rows["columns"][0] == {"quantity": "kWh del int", "unit": "kWh"}
        assert (rows["recorder"], rows["period_s"], rows["more"]) == ("Load Profile", 900, False)
        assert [row["time"][11:16] for row in rows["rows"]] == ["12:00", "12:15", "12:30", "12:45", "13:00"]
        assert [row["number"] for row in rows["rows"]] == [195, 196, 197, 198, 199]
        assert any(value for row in rows["rows"] for value in row["values"])
        assert all(len(row["values"]) == 4 for row in rows["rows"])
        whole = await panel.json("/api/rows", recorder="Billing")
        assert len(whole["rows"]) == 200
        begin = await panel.json("/api/rows", recorder="Billing", most=150)
        assert (len(begin["rows"]), begin["more"]) == (150, True)
        rest = await panel.json("/api/rows", recorder="Billing", after=begin["rows"][-1]["number"])
        assert begin["rows"] + rest["rows"] == whole["rows"]


def test_status_words() -> None:
    assert [status_words(word) for word in (None, 0, 192, 0xFFFF)] == [
        "", "", "power down, power up", "invalid: not driven by a Periodic Timer",
    ]  # fmt: skip
    assert status_words(1 << 5 | 1 << 9 | 1 << 3) == "dst ended, time changed, master reset"


async def test_events_as_json() -> None:
    async with panelled(one()) as panel:
        (event,) = (await panel.json("/api/events"))["events"]
        assert (event["priority"], event["priority_words"]) == (30, "warning")
        assert (event["cause"], event["effect"]) == ("Power up", "ION8650 started")
        assert datetime.fromisoformat(event["time"]).utcoffset() is not None


async def test_several_meters_and_which_is_meant() -> None:
    async with panelled(Site.model_validate(SITE), Which(3, "attic")) as panel:
        meters = await panel.json("/api/meters")
        assert (meters["count"], [(each["unit"], each["line"]) for each in meters["meters"]]) == (
            4, [(1, "hall"), (2, "hall"), (3, "hall"), (3, "attic")],
        )  # fmt: skip
        assert (await panel.json("/api/meter"))["line"] == "attic"
        assert (await panel.json("/api/meter", unit=3, line="hall"))["line"] == "hall"
        refusal = await panel.client.get("/api/meter", params={"unit": 77})
        assert (refusal.status_code, refusal.json()) == (404, {"detail": "no meter here has Unit ID 77"})
        page = (await panel.client.get("/", params={"unit": 2, "line": "hall"})).text
        assert 'data-unit="2" data-line="hall"' in page
        chosen = re.findall(r'<option value="(\d+)" data-line="(\w*)"( selected)?>', page)
        assert [(unit, line) for unit, line, selected in chosen if selected] == [("2", "hall")]
        assert len(chosen) == 4
    async with panelled(one()) as panel:
        assert '<select id="choice"' not in (await panel.client.get("/")).text


async def test_very_many_meters_are_listed_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "_MOST_METERS", 6)

    class Many(Meters):
        async def __call__(self, request: dict[str, Any]) -> Any:
            self.asked.append(request)
            units = range(1 + request["first"], min(5000, 1 + request["first"] + 4))
            return {
                "count": 4999,
                "meters": [{"unit": unit, "line": "x", "device": "d", "model": "m"} for unit in units],
            }

    many = Many()
    async with client_of(many, Which(1, "x")) as client:
        found = (await client.get("/api/meters")).json()
        assert (found["count"], [each["unit"] for each in found["meters"]]) == (4999, list(range(1, 9)))
        assert "of 4999" in (await client.get("/")).text


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/rows", {"most": 1001}),
        ("/api/rows", {"most": 0}),
        ("/api/rows", {"after": -2}),
        ("/api/rows", {"from": "yesterday"}),
        ("/api/rows", {"recorder": "x" * 201}),
        ("/api/events", {"most": 101}),
        ("/api/meter", {"unit": 10_000}),
        ("/api/meter", {"unit": "x"}),
        ("/api/meter", {"line": "hall"}),
        ("/api/meter", {"line": "x" * 201, "unit": 1}),
    ],
)
async def test_what_is_out_of_bounds_asks_nobody(path: str, query: dict[str, Any]) -> None:
    meters = Meters()
    async with client_of(meters) as client:
        assert (await client.get(path, params=query)).status_code == 422
    assert meters.asked == []


async def test_unknown_recorder_and_a_meter_that_is_gone() -> None:
    async with panelled(one()) as panel:
        refusal = await panel.client.get("/api/rows", params={"recorder": "X"})
        assert refusal.status_code == 404
        assert refusal.json()["detail"].startswith("no Data Recorder is called 'X'; there are Load Profile")
    gone = PortError("no meter takes commands on m; is it running?")
    async with client_of(Meters(dict.fromkeys(("panel", "rows", "events", "meters"), gone))) as client:
        for path in ("/api/meters", "/api/meter", "/api/rows", "/api/events"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (503, {"detail": str(gone)})
        page = await client.get("/")  # tells it itself, and waits
        assert (page.status_code, 'data-unit="100"' in page.text) == (200, True)


async def test_it_only_looks() -> None:
    async with panelled(one()) as panel:
        for path in ["/", *PATHS]:
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert (await panel.client.request(method, path)).status_code == 405
        assert panel.asked == []
        for path in ["/", *PATHS[:4]]:
            await panel.client.get(path)
        assert set(panel.asked) == {"meters", "panel", "rows", "events"}
        openapi = await panel.json("/openapi.json")
    assert {method for path in openapi["paths"].values() for method in path} == {"get"}


async def test_the_interface_describes_itself() -> None:
    async with panelled(one()) as panel:
        openapi = await panel.json("/openapi.json")
        assert set(openapi["paths"]) == set(PATHS)
        schemas = openapi["components"]["schemas"]
        assert {"Panel", "Rows", "Events", "Meters", "Shown", "Problem"} <= set(schemas)
        for path, model in zip(PATHS[:4], ("Meters", "Panel", "Rows", "Events"), strict=True):
            answer = openapi["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
            assert answer["schema"]["$ref"].endswith(f"/{model}")
            shown = await panel.json(path)
            assert set(shown) == set(schemas[model]["properties"])
        assert "text/event-stream" in openapi["paths"]["/api/stream"]["get"]["responses"]["200"]["content"]
        for gone in ("/docs", "/redoc"):
            assert (await panel.client.get(gone)).status_code == 404


async def test_a_stream_tells_what_the_meter_shows() -> None:
    async with panelled(one()) as panel:
        asking = asyncio.create_task(panel.client.get("/api/stream"))
        async with asyncio.timeout(10):
            while not any(each.lookers for each in panel.watch._known.values()):
                await asyncio.sleep(0)
            for _ in range(2):
                panel.clock.now += 1.0
                told_before = len(panel.asked)
                await panel.watch.ask_all()
                assert len(panel.asked) == told_before + 1
                for _ in range(20):  # through the tasks between the watch and the answer
                    await asyncio.sleep(0)
            panel.watch.close()
            answer = await asking
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: ")]
        assert [event["at"] for event in events] == [1001.0, 1002.0]
        first, second = events
        assert (first["gone"], second["gone"], second["trail"]) == (None, None, None)
        assert [at for at, _ in first["trail"]] == [1001.0]
        total = next(each for each in first["panel"]["values"] if each["quantity"] == "kW tot")["value"]
        assert first["trail"][0][1] == total
        assert set(first["panel"]) == set(await panel.json("/api/meter"))


async def test_who_asks_for_what_was_just_asked_gets_that() -> None:
    async with panelled(one()) as panel:
        for passed, asked in ((0.0, 1), (0.9, 1), (0.2, 2)):
            panel.clock.now += passed
            await asyncio.gather(*(panel.json("/api/meter") for _ in range(10)))
            assert panel.asked.count("panel") == asked


async def test_who_leaves_gives_his_place_back() -> None:
    """Over a real connection: a browser that is closed says nothing more."""
    async with panelled(one()) as panel, asyncio.timeout(20):
        app = panel.client._transport.app
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None)
            server = _Server(config, lambda: None)
            serving = asyncio.create_task(server.serve([listening]))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while panel.watch._lookers == 0:
                await asyncio.sleep(0.01)
            await panel.watch.ask_all()
            assert b'"trail":[[' in await reader.readuntil(b"}\n\n")
            writer.close()
            while panel.watch._lookers or any(each.lookers for each in panel.watch._known.values()):
                await asyncio.sleep(0.01)
            panel.asked.clear()
            await panel.watch.ask_all()
            assert panel.asked == []
            server.should_exit = True
            await serving


async def test_as_many_look_as_may() -> None:
    async with panelled(one()) as panel:
        with ExitStack() as seats:
            for _ in range(32):
                seats.enter_context(panel.watch.seat())
            answer = await panel.client.get("/api/stream")
            assert (answer.status_code, answer.json()["detail"]) == (
                503, "as many look as may; close another page",
            )  # fmt: skip
        assert panel.watch._lookers == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200), ("127.0.0.1", 200), ("localhost:1234", 200), ("LOCALHOST", 200),
        ("[::1]:80", 200), ("panel.example:8080", 200), ("evil.example", 400), ("10.0.0.9", 400),
        ("127.0.0.1.evil.example", 400), ("localhost@evil.example", 400), ("evil.example:80:80", 400),
        ("", 400), ("[::2]", 400),
    ],
)  # fmt: skip
async def test_it_answers_to_its_own_names_alone(host: str, status: int) -> None:
    names = ("127.0.0.1", "localhost", "::1", "Panel.example")
    async with panelled(one(), names=names) as panel:
        for path in ("/api/meters", "/static/panel.js", "/"):
            answer = await panel.client.get(path, headers={"Host": host})
            assert answer.status_code == status, path
            if status == 400:
                assert "--host-name" in answer.text


async def test_the_address_that_was_reached_is_a_name_too() -> None:
    async with panelled(one(), names=("0.0.0.0", "localhost")) as panel:
        here = httpx.AsyncClient(transport=panel.client._transport, base_url="http://192.0.2.7:8080")
        assert (await here.get("/api/meters")).status_code == 200
        assert (await here.get("/api/meters", headers={"Host": "192.0.2.8"})).status_code == 400
        mapped = httpx.AsyncClient(
            transport=panel.client._transport, base_url="http://[::ffff:192.0.2.7]:8080"
        )
        assert (await mapped.get("/api/meters", headers={"Host": "192.0.2.7"})).status_code == 200
        named = httpx.AsyncClient(transport=panel.client._transport, base_url="http://evil.example")
        assert (await named.get("/api/meters")).status_code == 400


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403), ("cross-site", "cors", 403), ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200), ("none", "navigate", 200),
    ],
)  # fmt: skip
async def test_pages_of_others_get_nothing(site: str, mode: str, status: int) -> None:
    async with panelled(one()) as panel:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert (await panel.client.get("/api/meters", headers=headers)).status_code == status


async def test_every_answer_binds_the_browser() -> None:
    async with panelled(one()) as panel:
        for path, host in (
            ("/", NAME),
            ("/api/meter", NAME),
            ("/static/panel.js", NAME),
            ("/x", NAME),
            ("/", "evil"),
        ):
            headers = (await panel.client.get(path, headers={"Host": host})).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; ")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers


async def test_what_a_meter_says_stays_text_in_the_page() -> None:
    names = [
        {"unit": 7, "line": HOSTILE, "device": HOSTILE, "model": HOSTILE},
        {"unit": 8, "line": "", "device": "d", "model": "m"},
    ]
    async with client_of(Meters({"meters": {"count": 2, "meters": names}}), Which(7, HOSTILE)) as client:
        page = (await client.get("/")).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert re.findall(r"<script([^>]*)>([^<]*)</script>", page) == [
        (' src="/static/uplot/uPlot.iife.min.js" defer', ""),
        (' src="/static/panel.js" type="module"', ""),
    ]
    assert not re.search(
        r"\son\w+=", re.sub(r"<(option|body|title)\b.*?>", "", page).replace("onerror=alert", "")
    )
    scripts = [Path(app_module._STATIC, name).read_text("utf-8") for name in ("panel.js", "plots.js")]
    for script in scripts:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


async def test_the_page_is_made_of_what_lies_here() -> None:
    async with panelled(one()) as panel:
        page = (await panel.client.get("/")).text
        parts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert parts
        for part in parts:
            assert part.startswith("/")
            assert (await panel.client.get(part)).status_code == 200
        for name in ("panel.css", "panel.js", "plots.js", "uplot/uPlot.min.css"):
            text = (await panel.client.get(f"/static/{name}")).text
            assert not re.search(r"https?://|//cdn|@import", text), name
        licence = (await panel.client.get("/static/uplot/LICENSE")).text
        assert "The MIT License" in licence
        assert (await panel.client.get("/static/../app.py")).status_code == 404
        assert (await panel.client.get("/static/%2e%2e/app.py")).status_code == 404


async def test_the_meter_of_another_version_is_a_problem_and_no_crash() -> None:
    changed = told(values={"kW of tomorrow": 1})
    async with client_of(Meters({"panel": changed}), raise_app_exceptions=True) as client:
        answer = await client.get("/api/meter")
    assert (answer.status_code, "another version" in answer.json()["detail"]) == (503, True)
    async with client_of(Meters({"panel": LocalError("there is no command 'panel'")})) as client:
        assert (await client.get("/api/meter")).status_code == 404


HALF = "\ud83d"  # of a surrogate pair: JSON can bring it, and nothing can send it on


@pytest.mark.parametrize(
    ("command", "answer", "paths"),
    [
        ("panel", told(owner=HALF), ["/api/meter"]),
        ("panel", told(ports=[{"port": HALF, "url": ""}]), ["/api/meter"]),
        ("events", {"offsets": [[0, 0]], "events": [[1, 0, 30, "cause", HALF]]}, ["/api/events"]),
        (
            "meters",
            {"count": 1, "meters": [{"unit": 1, "line": HALF, "device": "", "model": ""}]},
            ["/api/meters", "/"],
        ),
        (
            "rows",
            {"recorder": HALF, "period_s": 0, "sources": [], "offsets": [[0, 0]], "runs": [], "rows": "",
             "more": False},
            ["/api/rows"],
        ),
        ("panel", LocalError(HALF), ["/api/meter"]),
        ("rows", LocalError(HALF), ["/api/rows"]),
        ("events", PortError(f"the meter is busy: {HALF}"), ["/api/events"]),
    ],
)  # fmt: skip
async def test_half_a_character_is_a_problem_and_no_crash(
    command: str, answer: Any, paths: list[str]
) -> None:
    async with client_of(Meters({command: answer})) as client:
        for path in paths:
            got = await client.get(path)
            assert got.status_code in ((200,) if path == "/" else (404, 503)), path
            assert HALF not in got.text
            assert path == "/" or len(got.json()["detail"].splitlines()) == 1


@pytest.mark.parametrize("answer", [told(owner=HALF), PortError(HALF), LocalError(HALF)])
async def test_half_a_character_ends_no_stream(answer: Any) -> None:
    meters, clock = Meters({"panel": answer}), Clock()
    asker = Asker(meters, clock, apart_s=0.0)
    watch = Watch(asker, clock)
    transport = httpx.ASGITransport(app=make_app(asker, watch, Which(100), ["127.0.0.1"]))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{NAME}") as client:
        asking = asyncio.create_task(client.get("/api/stream"))
        async with asyncio.timeout(10):
            while not any(each.lookers for each in watch._known.values()):
                await asyncio.sleep(0)
            for each in (answer, told()):
                meters.answers["panel"] = each
                await watch.ask_all()
                for _ in range(20):
                    await asyncio.sleep(0)
            watch.close()
            text = (await asking).text
    first, second = (json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: "))
    assert (first["panel"], bool(first["gone"]["error"])) == (None, True)
    assert (second["gone"], second["panel"]["device"]) == (None, "SCH1")


async def test_the_docs_tell_of_each_path_and_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "panel.md").read_text("utf-8")
    async with panelled(one()) as panel:
        openapi = await panel.json("/openapi.json")
    rows = {
        path: (what, arguments)
        for path, what, arguments in re.findall(r"^\| `(/\S+)` \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)
    }
    assert set(rows) == {*openapi["paths"], "/openapi.json"}
    for path, methods in openapi["paths"].items():
        told = set(re.findall(r"`(\w+)`", rows[path][1]))
        assert told == {each["name"] for each in methods["get"].get("parameters", [])}, path
    ours = {option for each in web.params for option in each.opts if option.startswith("--")}
    section = page.partition("## What it takes")[2].partition("## Safety")[0]
    assert set(re.findall(r"`(--[a-z-]+)", section)) == ours - {"--verbose"}


@pytest.mark.parametrize("host", ["a..b", "a" * 70, f"panel.{'x' * 64}.example"])
def test_a_host_that_can_be_no_name_is_one_line(host: str) -> None:
    # Python refuses these before it asks anybody, with an error that is not the system's.
    with pytest.raises(LocalError, match=r"cannot listen on .*: that is no name of a host") as raised:
        Listening.parse(f"{host}:0").open().close()
    assert len(str(raised.value).splitlines()) == 1
