"""A year of load profile over HDLC/TCP on loopback: our client from our server, the peers, and the floor.

Both ends share one core, and CPU seconds of both are counted: by asyncio (and uvloop, where it is installed),
by the blocking client, in blocks and in segments. The floor is a bare pair that exchanges the same octets on
the same loop, or on a plain socket. Peers run under their own interpreter (`make peers`); each reads with its
own client what our server holds, in a process of its own, whose start is part of what it takes.

    python -m bench.year [--only blocks] [--runs 5] [--json FILE] [--no-peers]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable
from functools import partial

from bench.buffer import YEAR_ROWS
from bench.harness import PEERS_PYTHON, ROOT, Bench, Work
from bench.serving import LOOPS, Server, bare, bare_blocking, own_cpu_s, record, run, target

from iondlms.client import Client, blocking

PEERS = {"gurux-dlms": "gurux_peer.py", "dlms-cosem": "dlms_cosem_peer.py", "pydlms-client": "pydlms_peer.py"}
LOAD_PROFILE = "1-0:99.1.0*255"
DUE_S = 1.2  # by asyncio
DUE_BLOCKING_S = 0.8
MOST = 2.5  # times the floor, by asyncio's own loop


def check(rows: int) -> None:
    if rows < YEAR_ROWS:
        raise SystemExit(f"{rows} rows of {YEAR_ROWS} were read")


def with_blocking(port: int) -> None:
    with blocking.Client(target(port)) as client:
        check(sum(1 for _ in client.profile("load")))


async def with_asyncio(port: int) -> None:
    async with Client(target(port)) as client:
        check(sum(1 for _ in await client.profile("load")))


def peer(program: str, port: int) -> None:
    command = [str(PEERS_PYTHON), str(ROOT / "tests" / "interop" / "peers" / program)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--framing", "hdlc", "--client", "16"]
    command += ["--server-logical", "1", "--server-physical", "100", "profile", LOAD_PROFILE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    check(len(json.loads(done.stdout)["result"]["rows"]))


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def both(server: Server, work: Callable[[], object], client_s: Callable[[], float] = own_cpu_s) -> Work:
    """Return a contender: CPU seconds of the server, and of this process or of its children."""

    def seconds() -> float:
        before = client_s() + server.cpu_s()
        work()
        return client_s() + server.cpu_s() - before

    return seconds


def compare(bench: Bench, answers: str, loop: str) -> None:
    settings = "port.ETHERNET.framing=hdlc", f"long_answers={answers}"
    served = Server("meters", 1, loop, str(YEAR_ROWS), *settings)
    (port,) = served.ports
    conversation = record(port, lambda client: client.profile("load"))
    floor = Server.bare(1, loop, conversation)
    (bare_port,) = floor.ports
    floor_name = f"bare pair, {len(conversation)} exchanges"
    own = loop == "asyncio"
    try:
        bench.compare(
            f"a year in {answers}s, {loop}",
            amount=YEAR_ROWS,
            unit="rows",
            ours=both(served, lambda: run(with_asyncio(port), loop)),
            floor=both(floor, lambda: run(bare(bare_port, conversation), loop)),
            floor_name=floor_name,
            most=MOST if own else None,
            least_rate=YEAR_ROWS / DUE_S,
        )
        peers = {
            name: both(served, partial(peer, program, port), children_cpu_s)
            for name, program in (PEERS if bench.peers and own and answers == "block" else {}).items()
        }
        bench.compare(
            f"a year in {answers}s, blocking client, meter on {loop}",
            amount=YEAR_ROWS,
            unit="rows",
            ours=both(served, lambda: with_blocking(port)),
            peers=peers,
            floor=both(floor, lambda: bare_blocking(bare_port, conversation)),
            floor_name=floor_name,
            least_rate=YEAR_ROWS / DUE_BLOCKING_S,
            runs=3 if peers else None,
        )
    finally:
        served.close()
        floor.close()


def main() -> None:
    bench = Bench("year", __doc__, runs=5)
    # On one core nobody waits for the other to wake up, which costs more than the work and differs each time.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for answers in ("block", "segment"):
        for loop in LOOPS:
            names = f"a year in {answers}s, {loop}", f"a year in {answers}s, blocking client, meter on {loop}"
            if any(bench.wants(name) for name in names):
                compare(bench, answers, loop)
    bench.finish()


if __name__ == "__main__":
    main()
