"""The front panel without a process: its app on meters that run in this one, or on answers made up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.extras import needs
from tests.meter.test_control import SITE, controlled

from iondlms.errors import DlmsError
from iondlms.meter.config import Config
from iondlms.meter.site import Site

httpx: Any = needs("httpx")
needs("fastapi")

from iondlms.web import Asker, Watch, make_app  # noqa: E402  # only where the extra is
from iondlms.web.watch import Which  # noqa: E402

__all__ = ["NAME", "ONE", "SITE", "Clock", "Meters", "Panelled", "panelled", "told"]

NAME = "127.0.0.1:8080"
ONE: dict[str, Any] = {
    "meter": {"history": 200, "owner": "Söhne & <b>Co</b>", "tag_2": "x"},
    "clock": {"zone": "Europe/Berlin"},
    "port": [{"name": "ETHERNET", "listen": "127.0.0.1:0"}],
}


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Meters:
    """Who answers in place of the control socket; an answer that is an error is raised."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: dict[str, Any]) -> Any:
        self.asked.append(request)
        answer = self.answers[request["command"]]
        if isinstance(answer, DlmsError):
            raise answer
        return answer


@dataclass
class Panelled:
    """An app, what it is made of, and a browser without a screen."""

    client: Any  # httpx.AsyncClient
    watch: Watch
    clock: Clock
    asked: list[str]

    async def json(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def panelled(
    config: Config | Site, first: Which | None = None, names: tuple[str, ...] = ("127.0.0.1", "localhost")
) -> AsyncIterator[Panelled]:
    """Run meters and the app over their control commands; time does not pass for it."""
    clock, asked = Clock(), []

    async with controlled(config) as control:

        async def ask(request: dict[str, Any]) -> Any:
            asked.append(request["command"])
            return await control.answer(request)

        asker = Asker(ask, clock, apart_s=0.0)
        watch = Watch(asker, clock, wall=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))
        app = make_app(asker, watch, first or Which(100), list(names))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{NAME}") as client:
            yield Panelled(client, watch, clock, asked)


def told(**changes: Any) -> dict[str, Any]:
    """What the command `panel` answers, as of a meter with little to tell."""
    return {
        "unit": 100, "line": "", "device": "SCH1", "model": "ION8650", "utc": "", "power": True,
        "source": "simulated", "safe": True, "faults": 0, "serial": "S", "revision": "413", "owner": "",
        "tag_1": "", "tag_2": "", "utc_ms": 1_795_348_830_000, "offset_min": 60, "dst": False, "valid": True,
        "trouble": "", "events": 1, "recorders": [], "ports": [], "values": {"kW tot": 12_345}, **changes,
    }  # fmt: skip
