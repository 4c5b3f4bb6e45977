"""docs/interop.md: the table of what each peer could do, made from a run of the tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.interop.running import ROOT

PAGE: Final = ROOT / "docs" / "interop.md"
REMEDY: Final = (
    "write it from a run: IONDLMS_WRITE_DOCS=1 python -m pytest tests/interop/test_peers_read_us.py"
)
INTRODUCTION: Final = """\
# Programs by others

Written by `tests/interop/test_peers_read_us.py` from its own run; it fails when this page says anything else.
Each program is another process that reads `iondlms serve` (an ION8650, Unit ID 100) over loopback TCP, over
HDLC with a server address of four octets and over the wrapper. "Yes" means that it read the same values as
all the others.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one peer fared with one task."""

    task: str
    peer: str
    framing: str
    error: str | None
    notes: tuple[str, ...]


def page_of(outcomes: list[Outcome], versions: dict[str, str]) -> str:
    """Return the page; columns and rows in the order in which they first appear."""
    ways = list(dict.fromkeys((it.peer, it.framing) for it in outcomes))
    tasks = list(dict.fromkeys(it.task for it in outcomes))
    by_place = {(it.task, it.peer, it.framing): it for it in outcomes}
    footnotes: dict[str, int] = {}

    def cell(task: str, peer: str, framing: str) -> str:
        outcome = by_place.get((task, peer, framing))
        if outcome is None:
            return "not tried"
        remarks = outcome.notes if outcome.error is None else (*outcome.notes, outcome.error)
        numbers = [footnotes.setdefault(f"{peer}: {it}", len(footnotes) + 1) for it in remarks]
        word = "yes" if outcome.error is None else "no"
        return f"{word} ({', '.join(map(str, sorted(numbers)))})" if numbers else word

    head = ["", *(f"{peer}, {'HDLC' if framing == 'hdlc' else framing}" for peer, framing in ways)]
    lines = [head, ["---"] * len(head)]
    lines += [[task, *(cell(task, *way) for way in ways)] for task in tasks]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    remarks = "\n".join(f"{number}. {_one_line(text)}" for text, number in footnotes.items())
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join(
        filter(None, (INTRODUCTION, f"Versions: {named}.\n", table, remarks and f"\n{remarks}", ""))
    )


def without_versions(page: str) -> str:
    """Return the page without the one line that may differ from run to run."""
    return re.sub(r"^Versions: .*\n", "", page, flags=re.MULTILINE)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
