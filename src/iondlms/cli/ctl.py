"""`iondlms ctl`: look into a running meter, and let it suffer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from iondlms.cli.options import output_option
from iondlms.cli.output import Column, Form, Table, in_json, write
from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES
from iondlms.ports.control import ask

__all__ = ["SOCKET", "ctl", "socket_of"]

_C = TypeVar("_C", bound=Callable[..., Any])

SOCKET: Final = "control.sock"  # in the data folder
_MIB: Final = 1 << 20
# What VALUE is, for the actions that have one.
_VALUES: Final = {
    "delay": "duration",
    "silence": "duration",
    "busy": "duration",
    "power_cut": "duration",
    "freeze": "duration",
    "ethernet_off": "duration",
    "truncate": "octets",
    "refuse": "result",
    "clock_step": "step",
}
# What befalls the meter and not a frame -> the command that has it happen at once.
_AT_ONCE: Final = {
    "power_cut": "power cut",
    "clock_step": "clock step",
    "master_reset": "master-reset",
    "freeze": "source freeze",
    "ethernet_off": "ethernet off",
}
_SAY_WHEN: Final = frozenset(
    ("at", "every", "client", "service", "obis", "attribute", "after", "nth", "probability", "seed", "count")
)
_BACK: Final = re.compile(r"-\d[\d.]*[a-z]*")
_SOON: Final = timedelta(seconds=1)  # until "now": it must not have passed when the meter hears of it
_TIMED: Final = frozenset(("silence", "busy", "power_cut", "freeze", "ethernet_off"))


def socket_of(place: Path) -> Path:
    """Return the socket of a data folder, or the one that is named; LocalError for no folder."""
    if place.is_dir():
        return place / SOCKET
    if place.is_socket() or place.suffix == ".sock":
        return place
    raise LocalError(f"{place} is no data folder of a meter, and no socket of `serve --control`")


def _which(command: _C) -> _C:
    """Add what all commands have: of several meters, which; and the form of the result."""
    for option in (
        click.option("--line", metavar="NAME", help="Its line, where meters of several have that Unit ID."),
        click.option("-s", "-u", "--unit", type=int, help="Unit ID of the meter, where there are several."),
    ):
        command = option(command)
    return output_option(command)


def _ask(place: Path, command: str, which: dict[str, Any], **arguments: Any) -> Any:
    given = {key: value for key, value in {**which, **arguments}.items() if value is not None}
    return ask(socket_of(place), {"command": command, **given})


class _Backwards(click.Command):
    """A command whose last argument may go backwards: `-90s` is no letters, though there are -s and -h."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
            valued = {text for each in options if not each.is_flag for text in each.opts}
            rest: list[str] = []
            back: list[str] = []
            for before, each in zip(["", *args], args, strict=False):
                # Behind an option stands its value, `--octet -3`; `-u7` and `--unit=7` have theirs.
                goes_back = _BACK.fullmatch(each) and before not in valued
                (back if goes_back else rest).append(each)
            args = [*rest, "--", *back] if back else args
        return super().parse_args(ctx, args)


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # A shell that completes asks about lines that are not whole, and wants no word about them.
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            raise LocalError(f"there is no command {args[0]!r}; {self._hint(args[0])}")
        return super().resolve_command(ctx, args)

    def _hint(self, word: str) -> str:
        if word.startswith("-"):
            return "options stand behind the command, as in: iondlms ctl DATA_DIR status --unit 5"
        close = get_close_matches(word, self.commands, 1)
        return f"did you mean {close[0]}?" if close else f"there are {', '.join(self.commands)}"


@click.group(cls=_Commands)
@click.argument("place", metavar="DATA_DIR", type=click.Path(path_type=Path))
@click.pass_context
def ctl(context: click.Context, place: Path) -> None:
    """Command the meter that runs on DATA_DIR, or on the socket of `serve --control`.

    \b
    iondlms ctl meter-data status
    iondlms ctl meter-data fault drop --count 3 --service get
    iondlms ctl meter-data power cut 10s
    """
    context.obj = place


@ctl.command()
@_which
@click.pass_obj
def status(place: Path, /, form: Form, **which: Any) -> None:
    """Show ports and their links, the meter, its recorders, the disk.

    \b
    iondlms ctl meter-data status -o json
    """
    found = _ask(place, "status", which)
    if form in ("json", "jsonl"):
        click.echo(_json(found))
        return
    write(_rows(found["ports"], "ports"), form)
    write(_rows([_flat_meter(each) for each in found["meters"]], "meters"), form)
    for meter in found["meters"][:1]:
        if "recorders" in meter:
            write(_rows([_flat_recorder(each, place) for each in meter["recorders"]], "recorders"), form)
            write(_rows([_flat_disk(meter["disk"])], "disk"), form)


@ctl.command(cls=_Backwards)
@click.argument("action")
@click.argument("value", required=False)
@click.option("--port", metavar="NAME", help="Default: all.")
@click.option("-c", "--client", type=int, help="SAP.")
@click.option("--service", metavar="NAME", help="snrm disc rr aarq rlrq get get-next set action other.")
@click.option("--obis", metavar="A-B:C.D.E*F", help="The object asked for.")
@click.option("--attribute", type=int, help="And its attribute.")
@click.option("--after", type=int, metavar="N", help="Such frames that pass first.")
@click.option("--nth", type=int, metavar="N", help="Of those behind, each nth.")
@click.option("--probability", type=float, metavar="P", help="Of each, with --seed.")
@click.option("--seed", type=int, help="Of probability and damage.")
@click.option("--count", type=int, metavar="N", help="How often; default once, with --for without end.")
@click.option("--for", "period", metavar="T", help="How long it is armed; of silence and the like, how long.")
@click.option("--at", metavar="TIME", help="ISO 8601, without an offset UTC; now: in a second.")
@click.option("--every", metavar="T", help="And again, after --at.")
@click.option("--octet", type=int, metavar="N", help="damage: which, from the end if negative.")
@click.option("--mask", type=int, metavar="BITS", help="damage: what is turned over, 1 to 255.")
@click.option("--state-error", type=int, help="exception: 1 not allowed, 2 unknown.")
@click.option("--service-error", type=int, help="exception: 1 to 6.")
@click.option("--values", metavar="HOW", help="freeze: held or missing.")
@_which
@click.pass_obj
def fault(
    place: Path, /, form: Form, action: str, value: str | None, period: str | None, **options: Any
) -> None:
    """Let ACTION befall frames to come: by default the next one. The meter's own want --at, or which frames.

    \b
    drop delay damage double truncate            the answer
    ignore dm frmr exception refuse disconnect   what comes in its place
    silence busy                                 the port, for VALUE from then on
    power-cut clock-step master-reset freeze ethernet-off    the meter

    VALUE is the duration of delay, silence, busy, power-cut, freeze and ethernet-off, the octets that
    truncate leaves, the Data-Access-Result of refuse, the seconds of clock-step.

    \b
    iondlms ctl meter-data fault drop --count 3
    iondlms ctl meter-data fault delay 2s --for 1m
    iondlms ctl meter-data fault refuse 2 --service get --obis 1-0:99.1.0*255
    """
    which = {key: options.pop(key) for key in ("unit", "line")}
    action = action.replace("-", "_")
    rule = {key: given for key, given in options.items() if given is not None} | {"action": action}
    if value is not None:
        if action not in _VALUES:
            having = ", ".join(each.replace("_", "-") for each in _VALUES)
            raise LocalError(f"{action.replace('_', '-')} takes no VALUE; {having} do")
        rule[_VALUES[action]] = value
    if period is not None and action in _TIMED:
        rule.setdefault("duration", period)
    elif period is not None:
        rule["lasts"] = period
        rule.setdefault("count", 0)
    if action in _AT_ONCE and not _SAY_WHEN.intersection(rule):
        words = [*_AT_ONCE[action].split(), *([value] if value and action != "ethernet_off" else [])]
        raise LocalError(
            f"{action.replace('_', '-')}: say when: --at now, --at TIME, or at which frames (--service,"
            f" --after); at once it is `{shlex.join(['iondlms', 'ctl', str(place), *words])}`"
        )
    if rule.get("at") == "now":
        rule["at"] = _soon(place, which)
    armed = _ask(place, "fault", which, rule=rule)["armed"]
    _show(form, armed, "armed")


@ctl.command()
@_which
@click.pass_obj
def faults(place: Path, /, form: Form, **which: Any) -> None:
    """Show what is armed, from the file and by hand, and what it has done.

    \b
    iondlms ctl meter-data faults
    """
    _show(form, _ask(place, "faults", which), "faults")


@ctl.command()
@click.argument("number", type=int, required=False)
@_which
@click.pass_obj
def clear(place: Path, /, form: Form, number: int | None, **which: Any) -> None:
    """Disarm fault NUMBER, or all, and end silence and busy.

    \b
    iondlms ctl meter-data clear
    """
    _show(form, _ask(place, "clear", which, number=number), "cleared")


@ctl.command()
@click.argument("do", metavar="cut|on")
@click.argument("duration", required=False)
@_which
@click.pass_obj
def power(place: Path, /, form: Form, do: str, duration: str | None, **which: Any) -> None:
    """Cut the power for DURATION, or until it is switched on.

    \b
    iondlms ctl meter-data power cut 10s
    iondlms ctl meter-data power on
    """
    if do not in ("cut", "on"):
        raise LocalError(f"power {do}: write cut or on")
    _show(form, _ask(place, "power", which, do=do, duration=duration), "meter")


@ctl.command(cls=_Backwards)
@click.argument("verb", metavar="step")
@click.argument("step", metavar="SECONDS")
@_which
@click.pass_obj
def clock(place: Path, /, form: Form, verb: str, step: str, **which: Any) -> None:
    """Set the clock forward or, with a minus, back.

    \b
    iondlms ctl meter-data clock step -90s
    """
    if verb != "step":
        raise LocalError(f"clock {verb}: there is `clock step SECONDS` alone")
    _show(form, _ask(place, "clock", which, step=step), "meter")


@ctl.command("master-reset")
@_which
@click.pass_obj
def master_reset(place: Path, /, form: Form, **which: Any) -> None:
    """Set all registers to 0 and clear all Data Recorders.

    \b
    iondlms ctl meter-data master-reset
    """
    _show(form, _ask(place, "master_reset", which), "meter")


@ctl.command()
@click.argument("recorder")
@_which
@click.pass_obj
def rearm(place: Path, /, form: Form, recorder: str, **which: Any) -> None:
    """Pulse the Rearm input of a Data Recorder that stops when it is full: its log is cleared.

    \b
    iondlms ctl meter-data rearm "Test Log"
    """
    _show(form, _ask(place, "rearm", which, recorder=recorder), "meter")


@ctl.command()
@click.argument("recorder")
@_which
@click.pass_obj
def pulse(place: Path, /, form: Form, recorder: str, **which: Any) -> None:
    """Pulse the Record input of a Data Recorder: it makes a row now, with status 65535.

    \b
    iondlms ctl meter-data pulse "Load Profile"
    """
    _show(form, _ask(place, "pulse", which, recorder=recorder), "meter")


@ctl.command()
@click.argument("do", metavar="freeze|resume")
@click.argument("duration", required=False)
@click.option("--values", metavar="HOW", help="held (default) or missing.")
@_which
@click.pass_obj
def source(
    place: Path, /, form: Form, do: str, duration: str | None, values: str | None, **which: Any
) -> None:
    """Stop the source for DURATION, or until it is to go on.

    \b
    iondlms ctl meter-data source freeze 10m --values missing
    iondlms ctl meter-data source resume
    """
    if do not in ("freeze", "resume"):
        raise LocalError(f"source {do}: write freeze or resume")
    _show(form, _ask(place, "source", which, do=do, duration=duration, values=values), "meter")


@ctl.command()
@click.argument("switch", metavar="on|off")
@_which
@click.pass_obj
def ethernet(place: Path, /, form: Form, switch: str, **which: Any) -> None:
    """Switch DLMS over Ethernet: off refuses new connections and leaves the open one.

    \b
    iondlms ctl meter-data ethernet off
    """
    if switch not in ("on", "off"):
        raise LocalError(f"ethernet {switch}: write on or off")
    _show(form, _ask(place, "ethernet", which, on=switch == "on")["ports"], "ports")


@ctl.command()
@click.option("--apply", is_flag=True, help="Also what clears recorders.")
@_which
@click.pass_obj
def reload(place: Path, /, form: Form, apply: bool, **which: Any) -> None:
    """Read the configuration file again, as SIGHUP does.

    \b
    iondlms ctl meter-data reload
    """
    found = _ask(place, "reload", which, apply=apply)
    if form in ("json", "jsonl"):
        click.echo(_json(found))
    else:
        for line in found["lines"]:
            click.echo(line)


@ctl.command()
@_which
@click.pass_obj
def values(place: Path, /, form: Form, **which: Any) -> None:
    """Show what the Power Meter measures now, and its registers, in ION's own units.

    \b
    iondlms ctl meter-data values -o csv
    """
    told = _ask(place, "values", which)["values"]
    rows = [
        [name, None if value is None else Decimal(value).scaleb(-3), QUANTITIES[name].ion_unit]
        for name, value in told.items()
    ]
    write(Table([Column("quantity"), Column("value"), Column("unit")], rows, "values"), form)
    if not rows:
        click.echo("note: the meter has no power", err=True)


def _soon(place: Path, which: dict[str, Any]) -> str:
    """Return a time that is about to come, by the clocks of the meters that are meant."""
    meters = _ask(place, "status", which)["meters"]
    return (max(datetime.fromisoformat(each["utc"]) for each in meters) + _SOON).isoformat()


def _json(value: Any) -> str:
    import json

    return json.dumps(in_json(value))


def _show(form: Form, found: Any, title: str) -> None:
    if form == "json" and not isinstance(found, list):
        click.echo(_json(found))
    elif title == "meter":
        write(_rows([_flat_meter(found)], title), form)
    else:
        write(_rows(found if isinstance(found, list) else [found], title), form)


def _rows(found: list[dict[str, Any]], title: str) -> Table:
    """Return objects as a table of all the keys that there are, less those that nowhere have a value."""
    keys = list(dict.fromkeys(key for each in found for key in each))
    keys = [key for key in keys if key != "line" or any(each.get(key) for each in found)]
    return Table([Column(key) for key in keys], [[each.get(key) for key in keys] for each in found], title)


def _flat_meter(meter: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in meter.items() if key not in ("recorders", "disk")}
    return flat | {"power": "on" if meter["power"] else "cut", "safe": "yes" if meter["safe"] else "no"}


def _flat_recorder(recorder: dict[str, Any], place: Path) -> dict[str, Any]:
    last = recorder["last"] or {"utc": None, "status": None}
    flat = {key: recorder[key] for key in ("recorder", "rows", "depth")}
    rearm = shlex.join(["iondlms", "ctl", str(place), "rearm", recorder["recorder"]])
    state = f"full: stopped; `{rearm}`" if recorder["full"] else "recording"
    return flat | {"last": last["utc"], "status": last["status"], "state": state}


def _flat_disk(disk: dict[str, Any]) -> dict[str, Any]:
    flat = dict(disk)
    if flat.get("free") is not None:
        flat["free"] = f"{flat['free'] // _MIB} MiB"
    return flat
