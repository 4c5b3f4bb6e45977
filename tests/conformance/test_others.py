"""Servers by others under the cases; what they do is written into docs/conformance.md, not judged here."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.conformance.page import PAGE, part
from tests.interop import pydlms_simulator
from tests.interop.running import GURUX, PROGRAMS, PYDLMS, Peer, peer_version, peers_python, started

from iondlms.conformance import SUITES, Cti, Meter, Result, TcpAccess, Verdict, draft, first_cti, planned, run
from iondlms.conformance.bench import Bench
from iondlms.conformance.classes import CLASSES
from iondlms.conformance.cti import Framing, HdlcSection, LineSection
from iondlms.conformance.forms import counts
from iondlms.conformance.suites.object_list import object_list

pytestmark = pytest.mark.interop
WRITING = bool(os.environ.get("IONDLMS_WRITE_DOCS"))
LINE = LineSection(answer_s=0.6, quiet_s=0.05)
FRAMINGS: Final[tuple[Framing, ...]] = ("hdlc", "wrapper")
GURUX_PASSWORD: Final = "secret-1"
GURUX_CLASSES: Final = {1, 3, 4, 5, 6, 7, 8, 9, 11, 15, 17, 20, 22, 23, 64, 70, 71}


@contextmanager
def pydlms(framing: Framing) -> Iterator[int]:
    with pydlms_simulator.simulator(peers_python(), framing) as server:
        yield server.port


@contextmanager
def gurux(framing: Framing) -> Iterator[int]:
    """Run the meter made of gurux-dlms' server classes."""
    command = [str(peers_python()), str(PROGRAMS / "gurux_server.py"), "--framing", framing]
    with started([*command, "--password", GURUX_PASSWORD], "^listening on ") as (_, lines):
        yield int(lines[-1].rpartition(":")[2])


class Server(NamedTuple):
    """A server by others."""

    peer: Peer
    what: str
    run: Callable[[Framing], AbstractContextManager[int]]
    password: str


SERVERS: Final = (
    Server(PYDLMS, "its simulator", pydlms, pydlms_simulator.PASSWORD),
    Server(GURUX, "a meter made of its server classes", gurux, GURUX_PASSWORD),
)


def drafted(port: int, framing: Framing, password: str) -> Cti:
    start = first_cti((framing,), HdlcSection(unit=100), 16, LINE)
    return draft(TcpAccess("127.0.0.1", port), start, password.encode())


def results(server: Server, framing: Framing) -> list[Result]:
    """Run all cases on it that set no clock."""
    with server.run(framing) as port:
        cti = drafted(port, framing, server.password)
        suites = [suite for suite in SUITES if suite != "TIME SETTING"]
        meter = Meter(cti, TcpAccess("127.0.0.1", port), server.password.encode(), fast=True)
        return list(run(meter, planned((framing,), suites)))


@pytest.mark.skipif(not WRITING, reason="some minutes; IONDLMS_WRITE_DOCS=1 runs it and writes the page")
@pytest.mark.timeout(1200)
def test_what_others_do() -> None:
    runs = [(server, framing) for server in SERVERS for framing in FRAMINGS]
    with ThreadPoolExecutor(len(runs)) as pool:
        found = dict(zip(runs, pool.map(lambda it: results(*it), runs), strict=True))
    lines = []
    for server in SERVERS:
        version = peer_version(peers_python(), server.peer)
        lines += [f"{server.peer.name} {version}, {server.what}, `--fast`, clock not set:", ""]
        lines += ["| framing | suite | passed | failed | inapplicable | inconclusive |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for framing in FRAMINGS:
            all_of_it = found[server, framing]
            assert Counter(it.verdict for it in all_of_it)[Verdict.PASSED] > 30, "it is reached at all"
            for suite in SUITES:
                group = [it for it in all_of_it if it.suite == suite]
                if group:
                    numbers = " | ".join(map(str, counts(group).values()))
                    lines.append(f"| {framing} | {suite} | {numbers} |")
        lines.append("")
    part("others", "\n".join(lines).strip())
    told = Path(os.environ.get("IONDLMS_TELL", os.devnull))
    told.write_text(
        "\n".join(
            f"{server.peer.name} {it.framing} {it.verdict} {it.id} {it.reason}"
            for (server, _), all_of_it in found.items()
            for it in all_of_it
        )
    )


def test_the_page_is_of_the_versions_that_are_pinned() -> None:
    pinned = (PAGE.parents[1] / "constraints" / "interop.txt").read_text("utf-8")
    for server in SERVERS:
        told = re.search(rf"^{server.peer.name} ([0-9.]+), {server.what}", PAGE.read_text("utf-8"), re.M)
        assert told is not None
        assert f"{server.peer.name}=={told[1]}" in pinned, "IONDLMS_WRITE_DOCS=1 writes the page anew"


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.peer.name)
def test_the_tester_copes_with_a_server_by_others(server: Server) -> None:
    """A draft, and a few cases: whatever it does there is a verdict, and no trouble of ours."""
    with server.run("hdlc") as port:
        cti = drafted(port, "hdlc", server.password)
        assert not cti.objects.ion
        assert cti.objects.load_profile == "1-0:99.1.0*255"
        ids = ("DL-35", "DL-13", "AP-43", "AP-47", "CO-01", "SA-23")
        meter = Meter(cti, TcpAccess("127.0.0.1", port))
        found = {it.id: it.verdict for it in run(meter, planned(("hdlc",), only=ids))}
    assert found.pop("DL-13") is Verdict.FAILED, "it has no FRMR for an unknown control octet"
    if server.peer is GURUX:
        assert found.pop("SA-23") is Verdict.FAILED, "its rows by entry are empty"
    assert set(found.values()) <= {Verdict.PASSED, Verdict.INAPPLICABLE}, found


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_class_table_fits_a_meter_of_others(framing: Framing) -> None:
    """Each attribute of an object of each class that we know, as somebody else writes it."""
    with gurux(framing) as port:
        cti = drafted(port, framing, GURUX_PASSWORD)
        access = TcpAccess("127.0.0.1", port)
        bench = Bench(access, cti, framing)
        bench.enter("A" if framing == "hdlc" else "TA")
        listed = {(item.class_id, item.version) for item in object_list(bench)}
        bench.hang()
        assert {class_id for class_id, _ in listed} == GURUX_CLASSES == {class_id for class_id, _ in CLASSES}
        assert listed <= set(CLASSES), "all of them are held against a table"
        meter = Meter(cti, access, GURUX_PASSWORD.encode())
        for result in run(meter, planned((framing,), only=("CO-01", "CO-02", "CO-02b", "CO-02b-lls"))):
            assert result.verdict is Verdict.PASSED, f"{result.id}: {result.reason}"
