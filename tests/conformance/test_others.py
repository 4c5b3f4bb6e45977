"""A server by others under the cases; what it does is written into docs/conformance.md, not judged here."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from tests.conformance.page import part
from tests.interop.pydlms_simulator import PASSWORD, simulator
from tests.interop.running import PYDLMS, peer_version, peers_python

from iondlms.conformance import SUITES, Meter, Result, TcpAccess, Verdict, draft, first_cti, planned, run
from iondlms.conformance.cti import Framing, HdlcSection, LineSection
from iondlms.conformance.forms import counts

WRITING = bool(os.environ.get("IONDLMS_WRITE_DOCS"))
LINE = LineSection(answer_s=0.6, quiet_s=0.05)


def results(framing: Framing) -> list[Result]:
    """Run all cases on the simulator."""
    with simulator(peers_python(), framing) as server:
        access = TcpAccess("127.0.0.1", server.port)
        start = first_cti((framing,), HdlcSection(unit=100), 16, LINE)
        cti = draft(access, start, PASSWORD.encode())
        suites = [suite for suite in SUITES if suite != "TIME SETTING"]
        meter = Meter(cti, access, PASSWORD.encode(), fast=True)
        return list(run(meter, planned((framing,), suites)))


@pytest.mark.interop
@pytest.mark.skipif(not WRITING, reason="five minutes; IONDLMS_WRITE_DOCS=1 runs it and writes the page")
@pytest.mark.timeout(900)
def test_what_pydlms_does() -> None:
    lines = [
        f"{PYDLMS.name} {peer_version(peers_python(), PYDLMS)}, its simulator, `--fast`, clock not set:",
        "",
        "| framing | suite | passed | failed | inapplicable | inconclusive |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for framing in ("hdlc", "wrapper"):
        found = results("hdlc" if framing == "hdlc" else "wrapper")
        assert Counter(it.verdict for it in found)[Verdict.PASSED] > 30, "it is reached at all"
        for suite in SUITES:
            group = [it for it in found if it.suite == suite]
            if group:
                numbers = " | ".join(map(str, counts(group).values()))
                lines.append(f"| {framing} | {suite} | {numbers} |")
    part("others", "\n".join(lines))


@pytest.mark.interop
def test_the_tester_copes_with_a_server_by_others() -> None:
    """A draft, and a few cases: whatever it does there is a verdict, and no trouble of ours."""
    with simulator(peers_python(), "hdlc") as server:
        access = TcpAccess("127.0.0.1", server.port)
        cti = draft(access, first_cti(("hdlc",), HdlcSection(unit=100), 16, LINE), PASSWORD.encode())
        assert not cti.objects.ion
        assert cti.objects.load_profile == "1-0:99.1.0*255"
        ids = ("DL-35", "DL-13", "AP-43", "AP-47", "CO-01", "SA-01", "SA-04", "SA-23")
        found = {it.id: it.verdict for it in run(Meter(cti, access), planned(("hdlc",), only=ids))}
    assert found.pop("DL-13") is Verdict.FAILED, "it has no FRMR"
    assert set(found.values()) <= {Verdict.PASSED, Verdict.INAPPLICABLE}, found
