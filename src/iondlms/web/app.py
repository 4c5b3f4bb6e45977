"""The pages and the interface: what is asked for where. Everything is a look; nothing here acts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.sse import EventSourceResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import BaseModel

from iondlms import __version__
from iondlms.errors import LocalError, PortError

from .answers import Events, Meters, Panel, Rows, Shown, events_of, panel_of, rows_of
from .asking import Asker
from .guard import Guard
from .watch import Full, Watch, Which

__all__ = ["everybody", "make_app"]

_PAGES: Final = Environment(loader=PackageLoader("iondlms.web"), autoescape=select_autoescape(default=True))
_STATIC: Final = Path(__file__).parent / "static"
_MOST_METERS: Final = 1000  # in the page's list; an address with any other is as good
_EVER_MS: Final = 1 << 53
_LONGEST: Final = 200  # characters of a recorder's name
_routes = APIRouter()


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "No such meter, or recorder"},
    503: {"model": Problem, "description": "The meter does not answer, or too many look"},
}


async def everybody(ask: Asker) -> Meters:
    """Return the meters of the process; DlmsError if it does not say."""
    found = await ask("meters", Meters.model_validate, first=0)
    while len(found.meters) < min(found.count, _MOST_METERS):
        more = await ask("meters", Meters.model_validate, first=len(found.meters))
        if not more.meters:
            break
        found = Meters(count=found.count, meters=[*found.meters, *more.meters])
    return found


@dataclass(frozen=True, slots=True)
class _Served:
    """What the answers are made from."""

    ask: Asker
    watch: Watch
    first: Which


def make_app(ask: Asker, watch: Watch, first: Which, names: list[str]) -> Guard:
    """Return the application; `first` is the meter that is shown if none is named.

    `names` are the hosts that it may be asked for as.
    """
    app = FastAPI(
        title="iondlms front panel",
        summary="What a running virtual meter shows. It only looks: `iondlms ctl` acts.",
        version=__version__,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.served = _Served(ask, watch, first)
    app.add_exception_handler(PortError, _gone)
    app.add_exception_handler(LocalError, _refused)
    app.include_router(_routes)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return Guard(app, names)


async def _gone(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 404)


async def _served(request: Request) -> _Served:
    served: _Served = request.app.state.served
    return served


Served = Annotated[_Served, Depends(_served)]


async def _chosen(
    served: Served,
    unit: Annotated[int | None, Query(ge=1, le=9999, description="Unit ID; default: the first")] = None,
    line: Annotated[str, Query(max_length=_LONGEST, description="of a meter on a shared line")] = "",
) -> Which:
    if unit is None and line:
        raise HTTPException(422, "a line is named with a unit")
    return served.first if unit is None else Which(unit, line)


async def _seated(served: Served) -> AsyncIterator[None]:
    try:
        with served.watch.seat():
            yield
    except Full:
        raise HTTPException(503, "as many look as may; close another page") from None


Chosen = Annotated[Which, Depends(_chosen)]


@_routes.get("/", include_in_schema=False)
async def page(served: Served, which: Chosen) -> HTMLResponse:
    """Return the page; what it shows comes by the stream."""
    try:
        meters = await everybody(served.ask)
    except PortError:
        meters = Meters(count=0, meters=[])  # the page says so itself, and waits
    html = _PAGES.get_template("panel.html").render(which=which, meters=meters, version=__version__)
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


@_routes.get("/api/meters", responses=_PROBLEMS)
async def api_meters(served: Served) -> Meters:
    """Return the meters of the process, the first 1,000 of them."""
    return await everybody(served.ask)


@_routes.get("/api/meter", responses=_PROBLEMS)
async def api_meter(served: Served, which: Chosen) -> Panel:
    """Return what a meter shows now; not older than the panel's period."""
    return await served.ask("panel", panel_of, **_named(which))


@_routes.get("/api/rows", responses=_PROBLEMS)
async def api_rows(
    served: Served,
    which: Chosen,
    recorder: Annotated[str, Query(max_length=_LONGEST)] = "Load Profile",
    start: Annotated[datetime | None, Query(alias="from", description="first instant")] = None,
    end: Annotated[datetime | None, Query(alias="to", description="last instant")] = None,
    after: Annotated[int, Query(ge=-1, le=_EVER_MS, description="number of the last row one has")] = -1,
    most: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Rows:
    """Return rows of a recorder, 1,000 at most: `more` says to ask again, with `after`.

    Times without an offset are UTC.
    """
    return await served.ask(
        "rows",
        rows_of,
        **_named(which),
        recorder=recorder,
        start_ms=_utc_ms(start),
        end_ms=_utc_ms(end),
        after=after,
        most=most,
    )


@_routes.get("/api/events", responses=_PROBLEMS)
async def api_events(served: Served, which: Chosen, most: Annotated[int, Query(ge=1, le=100)] = 50) -> Events:
    """Return the latest entries of the event log."""
    return await served.ask("events", events_of, **_named(which), most=most)


@_routes.get(
    "/api/stream",
    response_class=EventSourceResponse,
    dependencies=[Depends(_seated)],
    responses={503: _PROBLEMS[503]},
)
async def api_stream(served: Served, which: Chosen) -> AsyncIterable[Shown]:
    """Tell what a meter shows, at once and then each period, as server-sent events."""
    async for shown in served.watch.look(which):
        yield shown


def _named(which: Which) -> dict[str, Any]:
    return {"unit": which.unit, "line": which.line or None}


def _utc_ms(instant: datetime | None) -> int | None:
    if instant is None:
        return None
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
