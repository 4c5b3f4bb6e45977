"""A year of load profile over HDLC/TCP on loopback: our client from our server, and the peers from the same.

Prints CPU seconds of both ends and the ratio to each peer. Peers run under their own interpreter
(`make peers`); each reads with its own client what our server holds.

    python bench/year.py [--rows 35040] [--no-peers]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = {"gurux-dlms": "gurux_peer.py", "dlms-cosem": "dlms_cosem_peer.py", "pydlms-client": "pydlms_peer.py"}
LOAD_PROFILE = "1-0:99.1.0*255"


def cpu_of(pid: int) -> float:
    """Return user and system seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(port: int) -> int:
    """Read everything with the blocking client; return the rows."""
    from iondlms.client.blocking import connect

    with connect(f"hdlc://127.0.0.1:{port}?unit=100") as meter:
        return len(meter.profile("load").rows)


def peer(python: Path, program: str, port: int) -> int:
    command = [str(python), str(ROOT / "tests" / "interop" / "peers" / program)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--framing", "hdlc", "--client", "16"]
    command += ["--server-logical", "1", "--server-physical", "100", "profile", LOAD_PROFILE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return len(json.loads(done.stdout)["result"]["rows"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=35040)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", "--framing", "hdlc"]
    server = subprocess.Popen([*command, "--history", str(options.rows)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline().rpartition(":")[2])
    server.stdout.readline()
    try:
        ours(port)  # once unmeasured: imports and first allocations are not what is compared
        before, served, begin = own_cpu(), cpu_of(server.pid), time.perf_counter()
        rows = ours(port)
        wall, client, served = time.perf_counter() - begin, own_cpu() - before, cpu_of(server.pid) - served
        total = client + served
        print(f"{rows} rows over HDLC/TCP loopback, 128-octet frames")
        print(f"{'client':14}{'wall s':>9}{'client CPU':>12}{'server CPU':>12}{'both':>9}{'ratio':>9}")
        print(f"{'iondlms':14}{wall:9.2f}{client:12.2f}{served:12.2f}{total:9.2f}{1.0:9.1f}")
        python = ROOT / ".venv-peers" / "bin" / "python"
        if options.no_peers or not python.is_file():
            return
        for name, program in PEERS.items():
            before, served, begin = children_cpu(), cpu_of(server.pid), time.perf_counter()
            found = peer(python, program, port)
            wall, client = time.perf_counter() - begin, children_cpu() - before
            served = cpu_of(server.pid) - served
            if found < rows:
                raise SystemExit(f"{name} read {found} rows of {rows}")
            both = client + served
            print(f"{name:14}{wall:9.2f}{client:12.2f}{served:12.2f}{both:9.2f}{both / total:9.1f}")
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
