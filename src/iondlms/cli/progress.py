"""Progress on stderr: a bar for a person, a line a minute for a log, nothing when asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

__all__ = ["progress"]

_LINE_S: Final = 60.0
_BAR_S: Final = 0.1  # ten pictures a second are enough for an eye


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what to call with the octets and rows received so far, None for silence."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    # Imported here: only a person at a terminal waits for it.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = 0.0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def report(octets: int, rows: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _BAR_S:
                shown = now
                bar.update(task, description=f"{rows} rows, {octets / 1024:.0f} KiB")

        yield report


def _lines() -> Callable[[int, int], None]:
    shown = time.monotonic()

    def report(octets: int, rows: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _LINE_S:
            shown = now
            click.echo(f"{rows} rows, {octets} octets", err=True)

    return report
