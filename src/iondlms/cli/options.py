"""What all verbs that talk to a meter have in common: the URL, who asks, the password, the trace."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from iondlms.cli.output import FORMS
from iondlms.cli.stopping import stopped_politely
from iondlms.cli.tracing import Trace
from iondlms.client import Hooks, Target
from iondlms.client.blocking import Client, connect
from iondlms.client.url import seconds_of
from iondlms.errors import LocalError

__all__ = ["Asker", "instant_of", "meter_options", "meter_or_folder_options", "output_option", "password_of"]

_C = TypeVar("_C", bound=Callable[..., Any])

SETTING_CLIENT: Final = 1
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def output_option(command: _C) -> _C:
    """Add -o."""
    option = click.option(
        "-o", "--output", "form", type=click.Choice(FORMS), default="table", help="Form of the result."
    )
    return option(command)


_OPTIONS: Final = (
    click.argument("url"),
    click.option("-c", "--client", type=int, help="Client SAP: 16 reads (default), 1 reads and sets."),
    click.option(
        "-s", "-u", "--unit", type=int, help="Unit ID, the physical address of the meter; default 100."
    ),
    click.option("-a", "--auth", type=click.Choice(["none", "low"]), help="Default: low with a password."),
    click.option("-w", "--wrapper", is_flag=True, help="Use the TCP wrapper; otherwise found by trying."),
    click.option("-P", "--password", metavar="TEXT", help="Seen in the process list: better one of these:"),
    click.option(
        "--password-file", type=click.Path(path_type=Path), help="Its first line; or IONDLMS_PASSWORD."
    ),
    click.option("--timeout", metavar="T", help="Silence before asking again: 500ms, 5s (default), 1m."),
    click.option("--retries", type=int, help="How often to ask again; default 3."),
    click.option("-t", "--trace", is_flag=True, help="Show the octets on stderr."),
    click.option("--trace-explain", is_flag=True, help="Show them explained."),
    click.option("--trace-file", type=click.Path(path_type=Path), help="Keep them, as .txt or .jsonl."),
    click.option("--trace-secrets", is_flag=True, help="Do not blank passwords in the trace."),
)


@dataclass(frozen=True, slots=True)
class Asker:
    """The meter that a verb was pointed at, and how it is to be asked."""

    target: Target
    password: str | None
    trace: Trace
    client_chosen: bool  # on the command line or in the URL

    @contextmanager
    def meter(self, *, setting: bool = False) -> Iterator[Client]:
        """Open an association; with `setting` as the client that may set, unless another was chosen."""
        target, password = self.target, self.password
        if setting and not self.client_chosen:
            target = replace(target, client=SETTING_CLIENT)
        if password is None and target.authentication != "none" and target.client == SETTING_CLIENT:
            password = _asked_for()
        hooks = Hooks(on_octets=self.trace.octets) if self.trace.active else Hooks()
        try:
            with stopped_politely(), connect(target, password=password, hooks=hooks) as client:
                if client.session.doubt is not None:
                    click.echo(f"W! {client.session.doubt}", err=True)
                yield client
        finally:
            self.trace.close()


def meter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of all verbs; it gets them as one `Asker`, its first argument."""

    @functools.wraps(command)
    def called(url: str, **options: Any) -> Any:
        common = {option: options.pop(option) for option in _NAMES}
        return command(_asker(url, **common), **options)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


def meter_or_folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a verb that also looks into data folders: its first argument is an `Asker` or a `Path`.

    It gets the Unit ID too: in the folder of several meters, of the one that is meant.
    """

    @functools.wraps(command)
    def called(where: str, **options: Any) -> Any:
        common = {option: options.pop(option) for option in _NAMES}
        if ":" not in where or Path(where).exists():
            return command(Path(where), unit=common["unit"], **options)
        return command(_asker(where, **common), unit=None, **options)

    for option in (*reversed(_OPTIONS[1:]), click.argument("where", metavar="URL|DATA_DIR")):
        called = option(called)
    return called


_NAMES: Final = (
    "client", "unit", "auth", "wrapper", "password", "password_file", "timeout", "retries",
    "trace", "trace_explain", "trace_file", "trace_secrets",
)  # fmt: skip


def _asker(url: str, **options: Any) -> Asker:
    target = Target.parse(url)
    changes: dict[str, Any] = {
        "client": options["client"],
        "unit": options["unit"],
        "unit_named": None if options["unit"] is None else True,
        "authentication": options["auth"],
        "retries": options["retries"],
        "framing": "wrapper" if options["wrapper"] else None,
    }
    if options["timeout"] is not None:
        changes["timeout_s"] = seconds_of("--timeout", options["timeout"])
    target = replace(target, **{name: value for name, value in changes.items() if value is not None})
    trace = Trace(
        shown=options["trace"],
        explained=options["trace_explain"],
        path=options["trace_file"],
        secrets=options["trace_secrets"],
    )
    if options["trace_secrets"] and not trace.active:
        raise LocalError("--trace-secrets goes with --trace, --trace-explain or --trace-file")
    chosen = options["client"] is not None or "client=" in url
    return Asker(target, password_of(options["password"], options["password_file"]), trace, chosen)


def password_of(typed: str | None, path: Path | None) -> str | None:
    """Return the password: of a file, of the command line, of the environment; None where there is none."""
    if path is not None:
        try:
            password = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise LocalError(f"--password-file {path}: cannot be read: {error}") from error
        if not password:
            raise LocalError(f"--password-file {path}: its first line is empty")
        return password
    if typed is not None:
        click.echo("W! the password is in the process list; --password-file keeps it out", err=True)
        return typed
    return os.environ.get("IONDLMS_PASSWORD")


def _asked_for() -> str:
    if not sys.stdin.isatty():
        raise LocalError("client 1 needs a password: give --password-file FILE, or set IONDLMS_PASSWORD")
    return str(click.prompt("Password of client 1", hide_input=True, err=True))


def instant_of(text: str, option: str) -> datetime:
    """Read a time: ISO 8601 (without offset it is the meter's local time), `now`, or `-24h` before it.

    LocalError naming the option otherwise.
    """
    word = text.strip()
    if word == "now":
        return datetime.now(UTC)
    if word[:1] == "-" and word[-1:] in _UNITS and word[1:-1].isdigit():
        return datetime.now(UTC) - timedelta(seconds=int(word[1:-1]) * _UNITS[word[-1]])
    try:
        return datetime.fromisoformat(word)
    except ValueError as error:
        raise LocalError(
            f"{option} {text!r} is no time; write 2026-11-22, 2026-11-22T14:00+01:00, now or -24h"
        ) from error
