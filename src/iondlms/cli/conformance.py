"""`iondlms conformance`: does a meter do what the standards order?"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import click

from iondlms.cli.options import Asker, meter_options
from iondlms.cli.output import Column, Table, write
from iondlms.cli.stopping import stopped_politely
from iondlms.client.blocking import open_port
from iondlms.conformance import (
    Access,
    Cti,
    LineAccess,
    Meter,
    Result,
    TcpAccess,
    Verdict,
    draft,
    first_cti,
    planned,
    run,
)
from iondlms.conformance.cti import Framing, HdlcSection
from iondlms.conformance.forms import as_json, as_junit, counts
from iondlms.conformance.report import as_html
from iondlms.errors import LocalError, PortError

__all__ = ["conformance"]

_BOTH: Final[tuple[Framing, ...]] = ("hdlc", "wrapper")
SETTING_CLIENT: Final = 1
_LINE_S: Final = 60.0
_MOST_TEXT: Final = 200  # characters of a reason in the table; the report has it whole


@click.command()
@meter_options
@click.option("--cti", "path", type=click.Path(path_type=Path), help="What the meter is said to be, as TOML.")
@click.option("--write-cti", is_flag=True, help="Ask the meter, print a CTI, and run nothing.")
@click.option(
    "--suite", "suites", multiple=True, metavar="NAME", help="Only this suite, by its first letters."
)
@click.option("--only", multiple=True, metavar="ID", help="Only this case, such as SA-05.")
@click.option(
    "--fast",
    is_flag=True,
    help="Wait for nothing that takes over 5 s: such cases are INCONCLUSIVE. Of many values take some.",
)
@click.option(
    "--allow-clock-set", is_flag=True, help="Run the cases that set the meter's clock, and set it back."
)
@click.option(
    "--power-cycle",
    "power",
    metavar="COMMAND",
    help="Run by the shell where a case cuts the meter's power; it is to end once the power is back.",
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "junit"]), default="table")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Folder for report.html, results.json, cti.toml."
)
@click.option(
    "--all", "everything", is_flag=True, help="Show every case in the table, not only what did not pass."
)
@click.option("-q", "--quiet", "--no-progress", is_flag=True, help="No progress on stderr.")
def conformance(
    asker: Asker,
    path: Path | None,
    write_cti: bool,
    suites: tuple[str, ...],
    only: tuple[str, ...],
    fast: bool,
    allow_clock_set: bool,
    power: str | None,
    form: Literal["table", "json", "junit"],
    report: Path | None,
    everything: bool,
    quiet: bool,
) -> int:
    """Test a meter: PASSED, FAILED, INAPPLICABLE or INCONCLUSIVE for each case; 0 unless one has FAILED.

    Without --cti the meter is asked what it is. Without a framing in the URL both are tried and tested.

    \b
    iondlms conformance "tcp://127.0.0.1:4059?unit=100" --fast --report out
    iondlms conformance "tcp://127.0.0.1:4059?unit=100" --write-cti > meter.toml
    iondlms conformance "hdlc://10.0.0.7?unit=1" --cti meter.toml --suite data-link --only DL-28
    """
    access = _access(asker)
    password = None if asker.password is None else asker.password.encode()
    cti = Cti.load(path) if path is not None else _asked(asker, access, password)
    if write_cti:
        click.echo(cti.to_toml(), nl=False)
        return 0
    framings: tuple[Framing, ...] = (
        cti.line.framings if asker.target.framing == "auto" else (asker.target.framing,)
    )
    runs = planned(framings, suites, only)
    if not runs:
        raise LocalError(f"none of these cases is met on {', '.join(framings)}")
    watch = asker.trace.octets if asker.trace.active else None
    meter = Meter(cti, access, password, fast, allow_clock_set, _power_cycle(power), watch)
    when = datetime.now(UTC)
    results: list[Result] = []
    try:
        with stopped_politely(), _progress(len(runs), quiet) as tell:
            for result in run(meter, runs):
                results.append(result)
                tell(result)
    except (KeyboardInterrupt, SystemExit):
        # Hours may have gone into what is there already.
        _write(results, cti, asker, when, form, report, everything)
        told = _counted(results)
        click.echo(
            f"stopped after {len(results)} of {len(runs)} cases{f': {told}' if told else ''}", err=True
        )
        raise
    finally:
        asker.trace.close()
    _write(results, cti, asker, when, form, report, everything)
    click.echo(_counted(results), err=True)
    return int(counts(results)["FAILED"] > 0)


def _counted(results: list[Result]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in counts(results).items())


def _access(asker: Asker) -> Access:
    target = asker.target
    if target.line is not None:
        return LineAccess(lambda: open_port(target))
    return TcpAccess(target.host, target.port, target.timeout_s)


def _power_cycle(command: str | None) -> Callable[[], None] | None:
    if command is None:
        return None

    def cut() -> None:
        done = subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise PortError(f"--power-cycle {command}: ended with {done.returncode}")

    return cut


def _asked(asker: Asker, access: Access, password: bytes | None) -> Cti:
    target = asker.target
    start = first_cti(
        _BOTH if target.framing == "auto" else (target.framing,),
        HdlcSection.model_validate(
            {"unit": target.unit, "logical": target.logical, "address": target.address}
        ),
        target.client if target.client != SETTING_CLIENT else 16,
    )
    return draft(access, start, password, SETTING_CLIENT)


def _versions() -> dict[str, str]:
    return {"iondlms": version("iondlms"), "Python": platform.python_version()}


def _write(
    results: list[Result],
    cti: Cti,
    asker: Asker,
    when: datetime,
    form: str,
    report: Path | None,
    everything: bool,
) -> None:
    target, versions = str(asker.target), _versions()
    if report is not None:
        pages = {
            "report.html": as_html(results, cti, target, versions, when),
            "results.json": as_json(results, cti, target, versions, when) + "\n",
            "cti.toml": cti.to_toml(),
        }
        try:
            report.mkdir(parents=True, exist_ok=True)
            for name, text in pages.items():
                (report / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise LocalError(f"--report {report}: cannot be written: {error.strerror}") from error
        click.echo(f"report: {report / 'report.html'}", err=True)
    if form == "json":
        click.echo(as_json(results, cti, target, versions, when))
    elif form == "junit":
        click.echo(as_junit(results), nl=False)
    else:
        shown = [it for it in results if everything or it.verdict is not Verdict.PASSED or it.remarks]
        write(_table(shown), "table")


def _table(results: list[Result]) -> Table:
    rows: list[list[Any]] = [
        [
            result.verdict.value,
            result.id,
            result.framing,
            result.purpose,
            _short("; ".join(filter(None, (result.reason, *result.remarks)))),
        ]
        for result in results
    ]
    names = ("verdict", "id", "framing", "purpose", "why")
    return Table([Column(name) for name in names], rows)


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Result], None]]:
    """A bar on stderr for a person; for a log a line a minute, and one for each case that has failed."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield _lines(total, time.monotonic)
    else:
        # Imported here: only a person at a terminal waits for it.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total)

            def tell(result: Result) -> None:
                bar.update(task, advance=1, description=f"{result.suite} {result.id}")
                if result.verdict is Verdict.FAILED:
                    bar.console.print(f"FAILED {result.id} ({result.framing})", highlight=False)

            yield tell


def _lines(total: int, clock: Callable[[], float]) -> Callable[[Result], None]:
    done, shown = 0, clock()

    def tell(result: Result) -> None:
        nonlocal done, shown
        done += 1
        if result.verdict is Verdict.FAILED:
            click.echo(f"FAILED {result.id} ({result.framing}): {result.reason}", err=True)
        if clock() - shown >= _LINE_S:
            shown = clock()
            click.echo(f"{done} of {total} cases, the last {result.suite} {result.id}", err=True)

    return tell
