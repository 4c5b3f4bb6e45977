"""The results for programs: JSON and JUnit's XML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from iondlms.conformance.cti import Cti
from iondlms.conformance.verdict import Result, Verdict
from iondlms.trace import Blanker

__all__ = ["as_json", "as_junit", "counts"]


def counts(results: Sequence[Result]) -> dict[str, int]:
    """Return how many there are of each verdict, all four named."""
    found = Counter(result.verdict for result in results)
    return {verdict.value: found[verdict] for verdict in Verdict}


def as_json(
    results: Sequence[Result], cti: Cti, target: str, versions: dict[str, str], when: datetime
) -> str:
    """Return one document: versions, CTI, counts, and each case with its octets (passwords blanked)."""
    document = {
        "versions": versions,
        "when": when.isoformat(timespec="seconds"),
        "target": target,
        "cti": cti.model_dump(mode="json"),
        "counts": counts(results),
        "cases": [_case(result) for result in results],
    }
    return json.dumps(document, indent=1)


def _case(result: Result) -> dict[str, Any]:
    blanker = Blanker()
    return {
        "suite": result.suite,
        "id": result.id,
        "purpose": result.purpose,
        "clause": result.clause,
        "framing": result.framing,
        "client": result.client,
        "expected": result.expectation,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "remarks": list(result.remarks),
        "seconds": round(result.seconds, 3),
        "trace": [
            {
                "at": round(piece.at, 3),
                "direction": piece.direction,
                "octets": blanker.feed(piece.direction, piece.octets).hex(" ").upper(),
            }
            for piece in result.trace
        ],
        "left_out": result.left_out,
    }


def as_junit(results: Sequence[Result]) -> str:
    """Return JUnit's XML: a suite for each suite and framing; INAPPLICABLE and INCONCLUSIVE are skipped."""
    root = ET.Element("testsuites", name="iondlms conformance")
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(f"{result.suite} ({result.framing})", []).append(result)
    for name, group in groups.items():
        number = counts(group)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(group)),
            failures=str(number["FAILED"]),
            skipped=str(number["INAPPLICABLE"] + number["INCONCLUSIVE"]),
            time=f"{sum(result.seconds for result in group):.3f}",
        )
        for result in group:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=name,
                name=f"{result.id} {result.purpose}",
                time=f"{result.seconds:.3f}",
            )
            if result.verdict is Verdict.FAILED:
                ET.SubElement(case, "failure", message=result.reason).text = result.expectation
            elif result.verdict is not Verdict.PASSED:
                ET.SubElement(case, "skipped", message=f"{result.verdict}: {result.reason}")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
