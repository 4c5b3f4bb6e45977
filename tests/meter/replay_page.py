"""docs/replay.md and its pictures: what two real recordings were read as over DLMS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "replay.md"
REMEDY: Final = "write it from a run: IONDLMS_WRITE_DOCS=1 python -m pytest tests/meter/test_real_years.py"
QUARTER: Final = timedelta(minutes=15)
SWITCHES: Final = (date(2018, 3, 11), date(2018, 11, 4))
TITLES: Final = {
    "building-load-15min.csv": ("building", "A building, 2018 and 2019"),
    "microgrid-net-15min.csv": ("microgrid", "A site with sun and a battery, 2017 and 2018"),
}
INTRODUCTION: Final = """\
# Real years, replayed

Written by `tests/meter/test_real_years.py` from its own run; it fails when this page says anything else. Two
recordings of the UC San Diego microgrid database (Silwal et al., 2021), average kW in each quarter of an hour
in the local time of Los Angeles, are given to the meter as they are: newest first, the hour at the end of
daylight saving twice, gaps left out.

```toml
[clock]
zone = "America/Los_Angeles"

[source]
kind = "replay"
path = "building-load-15min.csv"
zone = "America/Los_Angeles"   # of the file's stamps
```

All of the load profile is then read over DLMS, and summed by local day. The same sums are made from the file
by DuckDB. No day differs by a whole Wh, and neither do all days together: interval energies carry their
remainder. The recordings themselves are no part of this project.
"""


@dataclass(slots=True)
class Day:
    """Energy in Wh and rows of a local day, and its mean kW by the local time of the interval's begin."""

    delivered: Decimal = Decimal(0)
    received: Decimal = Decimal(0)
    rows: int = 0
    net_kw: list[tuple[datetime, float]] = field(default_factory=list)

    def add(self, delivered: Decimal, received: Decimal, begin: datetime) -> None:
        self.delivered += delivered
        self.received += received
        self.rows += 1
        self.net_kw.append((begin, float(delivered - received) * 4 / 1000))


@dataclass(frozen=True, slots=True)
class Recording:
    """What was read: days, stamps and status words."""

    days: Mapping[date, Day]
    stamps: Sequence[datetime]
    statuses: Sequence[int]

    @property
    def gaps(self) -> list[tuple[datetime, datetime]]:
        """End of the last row before each gap, and begin of the first row after it."""
        pairs = zip(self.stamps, self.stamps[1:], strict=False)
        return [(before, after - QUARTER) for before, after in pairs if after - before > QUARTER]


def page_of(recordings: Mapping[str, Recording]) -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for name, made in recordings.items():
        stem, title = TITLES[name]
        parts.append(f"## {title}\n\n![Energy by day]({stem}-days.svg)\n\n{_table(made)}\n")
        parts.append(f"![The days of the switches]({stem}-switches.svg)\n")
        parts.append(_gaps(made))
    return "\n".join(parts)


def write(recordings: Mapping[str, Recording]) -> None:
    """Write the page and its pictures (the extra docs brings matplotlib)."""
    PAGE.write_text(page_of(recordings), "utf-8")
    for name, made in recordings.items():
        stem, title = TITLES[name]
        _plot_days(made, title, DOCS / f"{stem}-days.svg")
        _plot_switches(made, DOCS / f"{stem}-switches.svg")


def _table(made: Recording) -> str:
    years = sorted({day.year for day in made.days})
    lines = ["| year | rows | delivered, Wh | received, Wh |", "| --- | ---: | ---: | ---: |"]
    for year in years:
        days = [day for at, day in made.days.items() if at.year == year]
        sums = [sum(int(getattr(day, it)) for day in days) for it in ("rows", "delivered", "received")]
        lines.append(f"| {year} | " + " | ".join(f"{it:,}" for it in sums) + " |")
    switches = ", ".join(f"{at} has {made.days[at].rows} rows" for at in SWITCHES)
    return "\n".join(lines) + f"\n\n{switches}: an hour less, and an hour more."


def _gaps(made: Recording) -> str:
    """Return a sentence and a table of the gaps, the longest ten."""
    gaps = sorted(made.gaps, key=lambda gap: gap[0] - gap[1])
    dark = sum((end - begin for begin, end in gaps), timedelta())
    head = (
        f"Gaps of the file, {len(gaps)} with {_hours(dark)} in all, are outages: no rows within, and power"
        " down and power up in the status of the first row after."
    )
    more = " The longest ten:" if len(gaps) > 10 else ""
    rows = [
        f"| {begin:%Y-%m-%d %H:%M} | {end:%Y-%m-%d %H:%M} | {_hours(end - begin)} |" for begin, end in gaps
    ]
    table = ["| from, UTC | to, UTC | length |", "| --- | --- | ---: |", *rows[:10]]
    return f"{head}{more}\n\n" + "\n".join(table) + "\n"


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):,.2f} h"


def _plot_days(made: Recording, title: str, path: Path) -> None:
    plot, axes = _figure((10, 3.4))
    first = min(made.days)
    days = [first + timedelta(days=number) for number in range((max(made.days) - first).days + 1)]
    nothing = Day(Decimal("NaN"), Decimal("NaN"))  # a day without rows breaks the line
    for of, sign, label in (("delivered", 1, "delivered"), ("received", -1, "received (downwards)")):
        values = [sign * float(getattr(made.days.get(day, nothing), of)) / 1000 for day in days]
        if any(value > 0 or value < 0 for value in values):
            axes.step(days, values, where="post", lw=0.8, label=label)
    # Shorter ones are thinner than a line here.
    wide = [(begin, end) for begin, end in made.gaps if end - begin > timedelta(hours=6)]
    for number, (begin, end) in enumerate(wide):
        axes.axvspan(begin, end, color="0.8", lw=0, label=None if number else "no rows: an outage")
    for number, day in enumerate(SWITCHES):
        axes.axvline(day, color="tab:red", lw=0.6, ls=":", label="the clock is put" if number == 0 else None)
    axes.set_ylabel("kWh by local day")
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1), frameon=False)
    _save(plot, path)


def _plot_switches(made: Recording, path: Path) -> None:
    plot, axes = _figure((10, 2.8), len(SWITCHES))
    for one, day in zip(axes, SWITCHES, strict=True):
        values = made.days[day].net_kw
        # By elapsed hours: an hour that comes twice lies beside itself, and one that is left out leaves none.
        hours = [number / 4 for number in range(len(values))]
        one.step(hours, [kw for _, kw in values], where="post", lw=1)
        marks = range(0, len(values), 12)
        one.set_xticks(
            [number / 4 for number in marks], [f"{values[it][0]:%H:%M}" for it in marks], fontsize=7
        )
        one.set_title(f"{day}: {len(values)} rows, {len(values) / 4:g} hours", loc="left", fontsize=9)
        one.set_ylabel("kW, mean")
    _save(plot, path)


def _figure(size: tuple[float, float], count: int = 1) -> tuple[Any, Any]:
    mpl = import_module("matplotlib")  # not in the extra dev: only who writes the page needs it
    mpl.use("svg")
    # The same picture from the same rows: no random ids, no date of the run.
    mpl.rcParams.update({"svg.hashsalt": "iondlms", "svg.fonttype": "none"})
    pyplot = import_module("matplotlib.pyplot")
    plot, axes = pyplot.subplots(1, count, figsize=size, layout="constrained")
    return plot, axes


def _save(plot: Any, path: Path) -> None:
    plot.savefig(path, metadata={"Date": None})
