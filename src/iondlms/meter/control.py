"""What `iondlms ctl` may ask of running meters, each command a checked section and a method.

Everything happens in the event loop, between two octets of a client; only the disk is asked in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, ValidationError

from iondlms.errors import LocalError
from iondlms.meter import control_views as views
from iondlms.meter.fault_rules import ACTIONS, Service, Values
from iondlms.meter.fault_sections import FaultRuleSection, Step, astray
from iondlms.meter.framework_sections import nearest
from iondlms.meter.host import MeterHost
from iondlms.meter.lines import MeterPort
from iondlms.meter.section import Seconds, Section, message_of
from iondlms.meter.site_host import SiteHost
from iondlms.ports.tcp import TcpPort

__all__ = ["COMMANDS", "Control", "Reload"]

Reload = Callable[[bool], Awaitable[list[str]]]  # read the file again, and apply all: what came of it
# Keys of a fault's rule, as they are written on a command line; all others are options of their own name.
_TYPED: Final = {
    "action": "ACTION",
    "duration": "VALUE or --for",
    "octets": "VALUE",
    "result": "VALUE",
    "step": "VALUE",
    "lasts": "--for",
    "unit_id": "--unit",
    "state_error": "--state-error",
    "service_error": "--service-error",
}
_EVER_MS: Final = 1 << 53  # beyond each instant there is


class _Command(Section):
    """What all have in common: of several meters, which."""

    command: str
    unit: int | None = Field(default=None, ge=1, le=9999)
    line: str = ""


class _Fault(_Command):
    rule: FaultRuleSection


class _Clear(_Command):
    number: int | None = Field(default=None, ge=1)


class _Power(_Command):
    do: Literal["cut", "on"]
    duration: Seconds = Field(default=0.0, ge=0)  # 0: until it is switched on


class _Clock(_Command):
    step: Annotated[Step, Field(ge=-3e9, le=3e9)]


class _Recorder(_Command):
    recorder: str


class _Meters(_Command):
    first: int = Field(default=0, ge=0)


class _Rows(_Recorder):
    start_ms: int = Field(default=-_EVER_MS, ge=-_EVER_MS, le=_EVER_MS)
    end_ms: int = Field(default=_EVER_MS, ge=-_EVER_MS, le=_EVER_MS)
    after: int = Field(default=-1, ge=-1)  # the number of the last row that one has
    most: int = Field(default=views.MOST_ROWS, ge=1, le=views.MOST_ROWS)


class _Events(_Command):
    most: int = Field(default=views.MOST_EVENTS, ge=1, le=views.MOST_EVENTS)


class _Source(_Command):
    do: Literal["freeze", "resume"]
    values: Values = "held"
    duration: Seconds = Field(default=0.0, ge=0)


class _Ethernet(_Command):
    on: bool


class _Reload(_Command):
    apply: bool = False


class Control:
    """The commands of one process."""

    def __init__(self, host: SiteHost, reload: Reload) -> None:
        self._host = host
        self._reload = reload
        # A front names the same meter each second, of perhaps a thousand.
        self._places = [
            (each, views.line_of(each), frozenset(port.unit_id for port in each.meter.config.port))
            for each in host.meters
        ]
        self._known = {(line, unit): each for each, line, units in self._places for unit in units}

    async def answer(self, request: Mapping[str, Any]) -> Any:
        """Return the result of a request as plain values; DlmsError in one line if it cannot be."""
        name = request.get("command")
        if not isinstance(name, str) or name not in COMMANDS:
            raise LocalError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
        kind, method = COMMANDS[name]
        try:
            command = kind.model_validate(request)
        except ValidationError as error:
            raise LocalError(_one_line(error)) from error
        return await method(self, command)

    # --- which ------------------------------------------------------------------------------------

    def _chosen(self, command: _Command) -> list[MeterHost]:
        found = [
            host
            for host, line, units in self._places
            if (command.unit is None or command.unit in units) and command.line in ("", line)
        ]
        if not found:
            which = f"Unit ID {command.unit}" if command.unit else "that"
            raise LocalError(f"no meter here has {which}" + (f" on {command.line}" if command.line else ""))
        return found

    def _one(self, command: _Command) -> MeterHost:
        known = None if command.unit is None else self._known.get((command.line, command.unit))
        if known is not None:
            return known
        found = self._chosen(command)
        if len(found) > 1:
            raise LocalError(f"there are {len(found)} meters; say which: --unit N, and --line NAME")
        return found[0]

    # --- status -----------------------------------------------------------------------------------

    async def _status(self, command: _Command) -> dict[str, Any]:
        now, chosen = _now(), self._chosen(command)
        briefly = len(chosen) > 1
        meters = [views.meter(host, now, briefly=briefly) for host in chosen]
        if not briefly:
            meters[0]["disk"] = await views.disk(chosen[0])
        return {"ports": [views.port(port, its) for port, its in self._ports(chosen)], "meters": meters}

    def _ports(self, chosen: list[MeterHost]) -> list[tuple[MeterPort, MeterHost]]:
        """Return the ports of the first meter, and the lines of all, each with one of its meters."""
        lines = {views.line_of(host) for host in chosen}
        ports: list[tuple[MeterPort, MeterHost]] = [(port, chosen[0]) for port in chosen[0].ports]
        for line in self._host.lines:
            if line.name in lines:
                ports.append((line, next(host for host in chosen if views.line_of(host) == line.name)))
        return ports

    # --- what a front shows -----------------------------------------------------------------------

    async def _meters(self, command: _Meters) -> dict[str, Any]:
        return views.meters(self._chosen(command), command.first)

    async def _values(self, command: _Command) -> dict[str, Any]:
        host = self._one(command)
        told = views.values(host, _now())
        return {**views.meter(host, _now(), briefly=True), "values": told}

    async def _panel(self, command: _Command) -> dict[str, Any]:
        host = self._one(command)
        return await views.panel(host, self._ports([host]))

    async def _rows(self, command: _Rows) -> dict[str, Any]:
        host = self._one(command)
        span = command.start_ms, command.end_ms
        return views.rows(host, command.recorder, *span, after=command.after, most=command.most)

    async def _events(self, command: _Events) -> dict[str, Any]:
        return views.events(self._one(command), command.most)

    # --- faults -----------------------------------------------------------------------------------

    async def _fault(self, command: _Fault) -> dict[str, Any]:
        unit = command.unit or command.rule.unit_id
        hosts = self._chosen(command.model_copy(update={"unit": unit}))
        names = [port.name for host in hosts for port in host.meter.config.port]
        names += [line.name for line in self._host.lines]
        for _, message in astray((command.rule,), names, () if unit is None else (unit,)):
            raise LocalError(message)
        rule = command.rule.rule()
        for host in hosts:
            present_ms = host.meter.present_ms(_now())
            if rule.at_ms is not None and not rule.every_s and rule.at_ms < present_ms:
                raise LocalError(
                    f"--at {views.instant(rule.at_ms)} is past:"
                    f" the meter's time is {views.instant(present_ms)}; give a later time, or --every with it"
                )
        armed = []
        for host in hosts:
            armed.append({**views.which(host), "number": host.meter.faults.arm(rule, _now())})
            host.look_again()
        return {"armed": armed}

    async def _faults(self, command: _Command) -> list[dict[str, Any]]:
        return [
            {**views.which(host), **fault}
            for host in self._chosen(command)
            for fault in host.meter.faults.told(_now())
        ]

    async def _clear(self, command: _Clear) -> dict[str, int]:
        hosts = self._chosen(command) if command.number is None else [self._one(command)]
        cleared = 0
        for host in hosts:
            cleared += host.meter.faults.clear(command.number)
            host.look_again()
        return {"cleared": cleared}

    # --- what befalls a meter ---------------------------------------------------------------------

    async def _power(self, command: _Power) -> dict[str, Any]:
        host = self._one(command)
        faults = host.meter.faults
        if command.do == "cut":
            faults.cut_power(command.duration, _now())
        else:
            faults.power_on(_now())
        return self._done(host)

    async def _clock(self, command: _Clock) -> dict[str, Any]:
        host = self._one(command)
        host.meter.step_clock(command.step, _now())
        try:
            await host.safe()
        except LocalError as error:
            raise LocalError(f"the clock is set, and that is not safe: {error}") from error
        return self._done(host)

    async def _master_reset(self, command: _Command) -> dict[str, Any]:
        host = self._one(command)
        host.meter.master_reset(_now())
        return self._done(host)

    async def _pulse(self, command: _Recorder) -> dict[str, Any]:
        host = self._one(command)
        if not host.meter.pulse(command.recorder, _now()):
            raise LocalError(f"Data Recorder {command.recorder!r} is full; rearm it")
        await host.settled()
        return self._done(host)

    async def _rearm(self, command: _Recorder) -> dict[str, Any]:
        host = self._one(command)
        recorder = host.meter.ion.recorders.get(command.recorder)
        if recorder is not None and recorder.setup.circular:
            raise LocalError(f"Data Recorder {command.recorder!r} is circular: it has nothing to rearm")
        host.meter.rearm(command.recorder, _now())
        await host.settled()
        return self._done(host)

    async def _source(self, command: _Source) -> dict[str, Any]:
        host = self._one(command)
        if command.do == "freeze":
            host.meter.faults.freeze(command.values, command.duration, _now())
        else:
            host.meter.faults.resume(_now())
        return self._done(host)

    async def _ethernet(self, command: _Ethernet) -> dict[str, Any]:
        hosts = self._chosen(command)
        lines = {views.line_of(host) for host in hosts}
        ports = [port for host in hosts for port in host.ports]
        ports += [line for line in self._host.lines if line.name in lines]
        ports = [port for port in ports if isinstance(port, TcpPort)]
        if not ports:
            raise LocalError("no port here is Ethernet")
        for port in ports:
            port.enabled = command.on
        for host in hosts:
            if command.on and not host.meter.faults.ethernet:
                host.meter.faults.ethernet_on(_now())
                host.look_again()
        return {"ports": [{"port": port.name, "on": port.enabled} for port in ports]}

    async def _reload_file(self, command: _Reload) -> dict[str, Any]:
        return {"lines": await self._reload(command.apply)}

    def _done(self, host: MeterHost) -> dict[str, Any]:
        host.look_again()
        return views.meter(host, _now(), briefly=True)


_Method = Callable[[Control, Any], Awaitable[Any]]
COMMANDS: Final[dict[str, tuple[type[_Command], _Method]]] = {
    "status": (_Command, Control._status),
    "fault": (_Fault, Control._fault),
    "faults": (_Command, Control._faults),
    "clear": (_Clear, Control._clear),
    "power": (_Power, Control._power),
    "clock": (_Clock, Control._clock),
    "master_reset": (_Command, Control._master_reset),
    "pulse": (_Recorder, Control._pulse),
    "rearm": (_Recorder, Control._rearm),
    "source": (_Source, Control._source),
    "ethernet": (_Ethernet, Control._ethernet),
    "reload": (_Reload, Control._reload_file),
    "meters": (_Meters, Control._meters),
    "values": (_Command, Control._values),
    "panel": (_Command, Control._panel),
    "rows": (_Rows, Control._rows),
    "events": (_Events, Control._events),
}


def _one_line(error: ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    message, place = message_of(item), item["loc"]
    if item["type"] == "extra_forbidden":
        message = "there is no such argument"
    if place[:1] == ("rule",) and place[1:]:
        place = tuple(_TYPED.get(str(key), f"--{key}") for key in place[1:])
        if item["type"] == "literal_error" and isinstance(item["input"], str):
            message = _no_word(item["input"], str(item["loc"][-1]))
        else:
            for each in ACTIONS:
                message = message.replace(each, each.replace("_", "-"))
    return f"{' '.join(map(str, place))}: {message}" if place else message


def _no_word(word: str, key: str) -> str:
    """Return what is said of a word of a fault that there is not, all spelled as on a command line."""
    words: dict[str, tuple[str, ...]] = {
        "action": tuple(ACTIONS),
        "service": get_args(Service),
        "values": get_args(Values),
    }
    there = tuple(each.replace("_", "-") for each in words[key])
    word = word.replace("_", "-")
    return f"{word!r} is none; {nearest(word, there, most=len(there))}"


def _now() -> float:
    return asyncio.get_running_loop().time()
