"""One self-contained HTML file: the summary, and each case with its trace explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Final

from iondlms.conformance.cti import Cti
from iondlms.conformance.forms import counts
from iondlms.conformance.verdict import Result, TracePiece, Verdict
from iondlms.trace import Blanker, Explainer, Node, render

__all__ = ["as_html"]

_MOST_PIECES: Final = 16  # of a case that passed; one that failed shows all that was kept
_MOST_OCTETS: Final = 160  # of one piece
_MOST_TEXT: Final = 7_000  # characters of one case's trace: the report is to open at once

_STYLE: Final = """
:root { color-scheme: light dark; --line: #d0d4da; --soft: #f4f5f7; --text: #1b1f24; --dim: #5b6470;
  --page: #fff; --passed: #1a7f45; --failed: #c0232c; --inapplicable: #6a7280;
  --inconclusive: #a86400; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4048; --soft: #22262c; --text: #e4e7eb;
  --dim: #9aa3ae;
  --page: #16191d; --passed: #4cc27e; --failed: #ff6b72; --inapplicable: #98a1ac; --inconclusive: #e0a040; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 auto;
  max-width: 70rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; } .verdict { font-size: 1.1rem; margin: .75rem 0 0; }
p { margin: .25rem 0; } .dim { color: var(--dim); }
.counts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.count { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; min-width: 9rem; }
.count b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
table.why { table-layout: fixed; } .why col.id { width: 7rem; } .why col.by { width: 5.5rem; }
.why col.what { width: 15rem; }
td.w { white-space: nowrap; overflow-wrap: normal; } a { color: inherit; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; }
.PASSED { color: var(--passed); } .FAILED { color: var(--failed); font-weight: 600; }
.INAPPLICABLE { color: var(--inapplicable); } .INCONCLUSIVE { color: var(--inconclusive); }
details { border-bottom: 1px solid var(--line); } summary { cursor: pointer; padding: .3rem 0; display: grid;
  grid-template-columns: 8.5rem 6.5rem 1fr 5rem; gap: .5rem; }
summary::marker, summary::-webkit-details-marker { content: ""; display: none; }
details > div { padding: .25rem 0 1rem 1rem; }
dl { display: grid; grid-template-columns: 7rem 1fr; margin: 0 0 .5rem; } dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; font: 12px/1.45 ui-monospace, monospace;
  border-radius: .35rem; margin: .25rem 0; } .bad { color: var(--failed); }
"""


# A link to a case opens it.
_SCRIPT: Final = """
function opened() { const it = document.getElementById(location.hash.slice(1)); if (it) it.open = true; }
addEventListener("hashchange", opened); opened();
"""
_DISCLAIMER: Final = (
    "These cases re-create the published case list of the conformance test of the DLMS User Association and "
    "add what the standards order. They were not run against the official tool: no verdict is a certificate."
)


def as_html(
    results: Sequence[Result], cti: Cti, target: str, versions: dict[str, str], when: datetime
) -> str:
    """Return the page; passwords are blanked in all traces, and nothing is loaded from anywhere."""
    name = escape(cti.name or "a meter")
    told = escape(", ".join(f"{program} {number}" for program, number in versions.items()))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>DLMS/COSEM conformance of {name}</title><style>{_STYLE}</style></head><body>",
        f"<h1>DLMS/COSEM conformance of {name}</h1><p>{escape(target)}</p>",
        f'<p class="dim">{when.isoformat(sep=" ", timespec="seconds")}; {told}</p>',
        _counts(results),
        _suites(results),
        _why(results),
        _cases(results),
        f"<h2>CTI</h2><pre>{escape(cti.to_toml())}</pre>",
        f'<p class="dim">{_DISCLAIMER}</p><script>{_SCRIPT}</script></body></html>',
    ]
    return "\n".join(parts) + "\n"


def _counts(results: Sequence[Result]) -> str:
    boxes = "".join(
        f'<div class="count"><b class="{verdict if number else "dim"}">{number}</b>{verdict.lower()}</div>'
        for verdict, number in counts(results).items()
    )
    failed = counts(results)["FAILED"]
    if failed:
        told = f'<p class="verdict FAILED">{failed} of {len(results)} cases failed.</p>'
    else:
        told = f'<p class="verdict">None of {len(results)} cases failed.</p>'
    return f'{told}<div class="counts">{boxes}</div>'


def _suites(results: Sequence[Result]) -> str:
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.suite, result.framing), []).append(result)
    head = "".join(f'<th class="n">{verdict.value.lower()}</th>' for verdict in Verdict)
    rows = []
    for (suite, framing), group in groups.items():
        cells = "".join(
            f'<td class="n {verdict if number else ""}">{number}</td>'
            for verdict, number in counts(group).items()
        )
        rows.append(f"<tr><td>{escape(suite)}</td><td>{framing}</td>{cells}</tr>")
    heading = f"<tr><th>suite</th><th>framing</th>{head}</tr>"
    return f"<table><thead>{heading}</thead><tbody>{''.join(rows)}</tbody></table>"


# What a reader looks for first comes first.
_PARTS: Final = (
    (Verdict.FAILED, "Failed", "The meter did not answer as the case expects."),
    (Verdict.INCONCLUSIVE, "Inconclusive", "Could not be run to the end; it says nothing of the meter."),
    (Verdict.INAPPLICABLE, "Inapplicable", "What the case is about is not there, or was not allowed."),
    (Verdict.PASSED, "Passed with a remark", "The answer is tolerated; it is not the expected one."),
)


_COLUMNS: Final = '<colgroup><col class="id"><col class="by"><col class="what"><col></colgroup>'
_MOST_SAID: Final = 3  # remarks of one case in the summary


def _why(results: Sequence[Result]) -> str:
    """Everything that is not PASSED, and everything that passed with a remark, the failures first."""
    found = []
    for verdict, heading, meaning in _PARTS:
        rows = [
            f'<tr><td class="w"><a href="#{_anchor(it)}"><b class="{verdict}">{it.id}</b></a></td>'
            f'<td class="w dim">{it.framing}</td><td>{escape(it.purpose)}</td>'
            f"<td>{escape(_told_of(it))}</td></tr>"
            for it in results
            if it.verdict is verdict and (verdict is not Verdict.PASSED or it.remarks)
        ]
        if rows:
            found.append(
                f'<h2>{heading} ({len(rows)})</h2><p class="dim">{meaning}</p>'
                f'<table class="why">{_COLUMNS}<tbody>{"".join(rows)}</tbody></table>'
            )
    return "\n".join(found)


def _told_of(result: Result) -> str:
    said = [*filter(None, (result.reason, *result.remarks))]
    more = f"; and {len(said) - _MOST_SAID} more, see the case" if len(said) > _MOST_SAID else ""
    return "; ".join(said[:_MOST_SAID]) + more


def _cases(results: Sequence[Result]) -> str:
    """Every case under its suite; a click opens it."""
    parts, before = ["<h2>Cases</h2>"], ("", "")
    for result in results:
        if (result.suite, result.framing) != before:
            before = result.suite, result.framing
            parts.append(f"<h3>{escape(result.suite)}, {result.framing}</h3>")
        parts.append(_case(result))
    return "\n".join(parts)


def _anchor(result: Result) -> str:
    return f"{result.id}-{result.framing}"


def _case(result: Result) -> str:
    failed = result.verdict is Verdict.FAILED
    lines = [
        ("expected", result.expectation),
        ("clause", result.clause),
        ("by", f"{result.client}, {result.framing}, {result.seconds:.2f} s"),
        ("reason", result.reason),
        *(("remark", remark) for remark in result.remarks),
    ]
    told = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in lines if text)
    return (
        f'<details id="{_anchor(result)}"{" open" if failed else ""}><summary>'
        f'<span class="{result.verdict}">{result.verdict}</span><b>{result.id}</b>'
        f'<span>{escape(result.purpose)}</span><span class="dim">{result.framing}</span></summary>'
        f"<div><dl>{told}</dl>{_trace(result, failed)}</div></details>"
    )


def _trace(result: Result, failed: bool) -> str:
    pieces = list(result.trace)
    left_out = result.left_out
    if not failed and len(pieces) > _MOST_PIECES:
        half = _MOST_PIECES // 2
        left_out += len(pieces) - _MOST_PIECES
        pieces = pieces[:half] + pieces[-half:]
    if not pieces:
        return ""
    text = _explained(pieces)
    if len(text) > _MOST_TEXT:
        text = f"{text[: _MOST_TEXT // 2]}\n…\n{text[-_MOST_TEXT // 2 :]}"
    note = f'<p class="dim">{left_out} pieces in the middle are left out.</p>' if left_out else ""
    marked = "\n".join(
        f'<span class="bad">{escape(line)}</span>' if line.startswith("!") else escape(line)
        for line in text.splitlines()
    )
    return f"{note}<pre>{marked}</pre>"


def _explained(pieces: list[TracePiece]) -> str:
    explainer, blanker = Explainer(), Blanker()
    lines = []
    for at, direction, octets in pieces:
        shown = blanker.feed(direction, octets)
        text = shown[:_MOST_OCTETS].hex(" ").upper()
        rest = f" … {len(shown)} octets" if len(shown) > _MOST_OCTETS else ""
        lines.append(f"{direction} {at:9.3f} s  {text}{rest}\n")
        if len(octets) <= _MOST_OCTETS * 4:
            lines.append(_told(explainer.feed(octets, direction)))
    lines.append(_told(explainer.finish()))
    return "".join(lines)


def _told(nodes: list[Node]) -> str:
    return render(nodes) if nodes else ""
