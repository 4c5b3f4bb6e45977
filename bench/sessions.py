"""Sessions and day-readings a second: many meters in one serving process, one client process, HDLC over TCP.

A session is: connect, SNRM, association, the clock, release, DISC, close; from 20 connections at once. A
day-reading is a session that reads 96 rows of the load profile by range, in blocks of 125 octets, with its
capture objects and period; from 100 meters at once. Its rows come typed, each made and looked at, or by
column, as whoever stores them takes them. Each meter has a `Client` that is kept from one reading to the
next, as by whoever reads a fleet each night, and knows the scalers from the first; a meter that is read for
the first time is asked for these as well, and has a line of its own. The floor is the same octets over the
same connections by a bare pair of protocols on the same loop.

Peers read the same meters, asyncio's: each with its own client in a process of its own, one connection after
the other, a new client for each. Their rows have instants and integers as sent; they ask for the capture
objects each time, and not for the period. A meter made of gurux-dlms' server classes, read by our client, is
beside them for the session.

Both processes have settled, as `iondlms serve` does once it is ready: the garbage collector looks no more at
what lives as long as they do.

Both have a core of their own where there are two. Time is that of the busier of the two on its core. With
nothing else to do there the wall shows a little more: now and then one waits for the other.

    python -m bench.sessions [--only session] [--runs 7] [--json FILE] [--no-peers]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.harness import PEERS_PYTHON, ROOT, Bench, PeerProgram, Work
from bench.serving import LOOPS, Conversation, Server, apart, bare, own_cpu_s, record, run, target

from iondlms.client import Client, connect
from iondlms.ports.loop import settle

PEERS: Final = ("sessions_dlms_cosem.py", "sessions_pydlms.py", "sessions_gurux.py")
ROWS = 96
UNKNOWN = "day-reading of an unknown meter"
# What, meters, sessions with each, and how many a second are due: with asyncio, with uvloop.
WORKS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("session", 20, 20, {"asyncio": 1500, "uvloop": 3500}),
    ("day-reading", 100, 2, {"asyncio": 400, "uvloop": 1200}),
    ("day-reading by column", 100, 2, {"asyncio": 400, "uvloop": 1200}),
    (UNKNOWN, 100, 2, {"asyncio": 400}),
)
WITH_PEERS: Final = ("session", "day-reading")
PEERS_TIMES: Final = 20  # sessions in a peer's turn
# Yesterday by the clock of whoever runs this: the meters' history ends now.
END = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = END - timedelta(days=1) + timedelta(minutes=15)


async def session(client: Client) -> None:
    await client.clock()


async def day(client: Client) -> None:
    profile = await client.profile("load", START, END)
    instants = [row.instant for row in profile]  # each row is made, and looked at
    assert len(instants) == ROWS, f"{len(instants)} rows of {ROWS}"
    assert None not in instants


async def columns(client: Client) -> None:
    profile = await client.profile_columns("load", START, END)
    # Each column is made when it is asked for.
    cells = sum(map(len, (profile.instants, profile.status or (), *profile.values)))
    assert cells == ROWS * (2 + len(profile.columns)), f"{cells} cells in {ROWS} rows"


READS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "session": session,
    "day-reading": day,
    "day-reading by column": columns,
    UNKNOWN: day,
}


def timed(
    server: Server, loop: str, times: int, one: Callable[[int], Awaitable[None]]
) -> Callable[[], float]:
    """Return a contender: all meters at once, each so many sessions one after the other."""

    async def each(port: int) -> None:
        for _ in range(times):
            await one(port)

    async def all_of_them() -> float:
        own, other = own_cpu_s(), server.cpu_s()
        await asyncio.gather(*[each(port) for port in server.ports])
        return max(own_cpu_s() - own, server.cpu_s() - other)

    return lambda: run(all_of_them(), loop)


class GuruxMeter(Server):
    """A meter made of gurux-dlms' server classes; it serves one connection after the other."""

    def __init__(self) -> None:
        program = ROOT / "tests" / "interop" / "peers" / "gurux_server.py"
        command = [str(PEERS_PYTHON), str(program), "--framing", "hdlc"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.ports = [int(self._process.stdout.readline().rpartition(":")[2])]

    def contender(self, amount: int) -> Work:
        """Return what reads its clock in sessions one after the other, and takes its seconds for so many."""
        client = connect(target(*self.ports))

        async def one(_port: int) -> None:
            async with client:
                reading = await client.clock()
            assert reading.instant is not None
            assert abs(reading.instant - datetime.now(UTC)) < timedelta(minutes=1)

        work = timed(self, "asyncio", PEERS_TIMES, one)
        return lambda: work() / PEERS_TIMES * amount


def others(
    peers: Sequence[PeerProgram], server: Server, amount: int, file: Path, *, rows: bool
) -> dict[str, Work]:
    """Return the peers that read clock or rows as we do; each takes its seconds for so many sessions."""
    asked: dict[str, object] = {"ports": server.ports, "times": PEERS_TIMES}
    own: dict[str, object] = {"minutes off": 0}
    if rows:
        asked |= {"range": [START.isoformat(), END.isoformat()], "rows": ROWS}
        own = {"rows": ROWS, "first": START.timestamp(), "last": END.timestamp()}
    file.write_text(json.dumps(asked), "ascii")

    def contender(peer: PeerProgram) -> Work:
        def run() -> float:
            before = server.cpu_s()
            seconds, runs = peer.turn("sessions", file)
            return max(seconds, (server.cpu_s() - before) / runs) / PEERS_TIMES * amount

        return run

    return {peer.name: contender(peer) for peer in peers if peer.does(file, own)}


def compare(
    bench: Bench,
    name: str,
    loop: str,
    meters: int,
    times: int,
    due: int | None,
    peers: Sequence[PeerProgram],
    file: Path,
) -> None:
    read = READS[name]
    served = Server("meters", meters, loop, "300", "port.ETHERNET.framing=hdlc")
    known = name != UNKNOWN
    conversation: Conversation = record(
        served.ports[0],
        lambda client: client.clock() if read is session else client.profile("load", START, END),
        known=known,
    )
    floor = Server.bare(meters, loop, conversation)
    targets = {port: target(port) for port in served.ports}
    clients = {port: connect(each) for port, each in targets.items()}

    async def ours(port: int) -> None:
        async with clients[port] if known else connect(targets[port]) as client:
            await read(client)

    servers = [served, floor]
    served.apart()
    floor.apart()
    try:
        contender = timed(served, loop, times, ours)
        contender()  # once unmeasured: first allocations, and what a client knows of its meter from then on
        settle()
        contenders = others(peers, served, meters * times, file, rows=read is day)
        for peer in peers:
            if read is session and peer.name.startswith("gurux-dlms"):
                theirs = GuruxMeter()
                theirs.apart()
                servers.append(theirs)
                contenders[f"{peer.name} as the meter"] = theirs.contender(meters * times)
        bench.compare(
            f"{name}, {loop}",
            amount=meters * times,
            unit="sessions",
            ours=contender,
            peers=contenders,
            floor=timed(floor, loop, times, lambda port: bare(port, conversation)),
            floor_name=f"bare pair, {len(conversation)} exchanges",
            least_rate=due,
        )
    finally:
        for server in servers:
            server.close()


def main() -> None:
    bench = Bench("sessions", __doc__)
    apart()
    peers = [PeerProgram(program) for program in PEERS] if bench.peers else []
    with tempfile.TemporaryDirectory() as folder:
        for name, meters, times, due in WORKS:
            for loop in LOOPS:
                if bench.wants(f"{name}, {loop}"):
                    able = peers if loop == "asyncio" and name in WITH_PEERS else []
                    compare(bench, name, loop, meters, times, due.get(loop), able, Path(folder, name))
    for peer in peers:
        peer.close()
    bench.finish()


if __name__ == "__main__":
    main()
