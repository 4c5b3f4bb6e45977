"""A year of load profile over HDLC/TCP on loopback: our client from our server, and the peers from the same.

CPU seconds of both ends. Peers run under their own interpreter (`make peers`); each reads with its own client
what our server holds, in processes of its own, whose start is part of what it takes.

    python -m bench.year [--runs 3] [--json FILE] [--no-peers]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import PEERS_PYTHON, ROOT, Bench, Work

from iondlms.client.blocking import connect

ROWS = 35_040
PEERS = {"gurux-dlms": "gurux_peer.py", "dlms-cosem": "dlms_cosem_peer.py", "pydlms-client": "pydlms_peer.py"}
LOAD_PROFILE = "1-0:99.1.0*255"


def cpu_of(pid: int) -> float:
    """Return user and system seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def ours(port: int) -> int:
    """Read everything with the blocking client; return the rows."""
    with connect(f"hdlc://127.0.0.1:{port}?unit=100") as meter:
        return len(meter.profile("load").rows)


def peer(program: str, port: int) -> int:
    command = [str(PEERS_PYTHON), str(ROOT / "tests" / "interop" / "peers" / program)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--framing", "hdlc", "--client", "16"]
    command += ["--server-logical", "1", "--server-physical", "100", "profile", LOAD_PROFILE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return len(json.loads(done.stdout)["result"]["rows"])


def both_ends(server: int, who: int, read: Callable[[], int]) -> Work:
    """Return a contender: CPU seconds of the server and of this process or its children."""

    def run() -> float:
        before = cpu_of(server) + cpu(who)
        found = read()
        if found < ROWS:
            raise SystemExit(f"{found} rows were read of {ROWS}")
        return cpu_of(server) + cpu(who) - before

    return run


def main() -> None:
    bench = Bench("year", __doc__, runs=3)
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", "--framing", "hdlc"]
    server = subprocess.Popen([*command, "--history", str(ROWS)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline().rpartition(":")[2])
    server.stdout.readline()
    try:
        ours(port)  # once unmeasured: imports and first allocations are not what is compared
        peers = {
            name: both_ends(server.pid, resource.RUSAGE_CHILDREN, partial(peer, program, port))
            for name, program in (PEERS if bench.peers else {}).items()
        }
        bench.compare(
            "a year over HDLC/TCP, 125-octet blocks", amount=ROWS, unit="rows", peers=peers,
            ours=both_ends(server.pid, resource.RUSAGE_SELF, lambda: ours(port)),
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(20)
    bench.finish()


if __name__ == "__main__":
    main()
