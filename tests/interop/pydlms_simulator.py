"""pydlms-client's meter simulator, run as `python -m pydlms.simulator` in the peers' interpreter.

What it serves (read in its source, version 0.1.0, and checked by test_peer_programs.py):

* Addresses: it answers logical device (upper address) 1, with any physical address, in the address length it
  was called with; over the wrapper any destination wPort. HDLC: information 128, window 1, answers cut into
  segments (its GET blocks follow the client's PDU size alone, so a client that proposes more than the
  answer's length gets segmented I frames and no block transfer). It serves before SNRM too, and any number of
  connections at once, each with its own session over the same objects. It never times out.
* Clients: SAP 16 with no security; SAP 1 with low level security, password `PASSWORD`. Both may write.
  A wrong password: AARE rejected-permanent, authentication-failure. Server maximum PDU 1024.
* Objects: no association object in the list (it can be read all the same); `OBJECTS` in that order.
* Clock 0-0:1.0.0*255: stands still at 2024-05-01 12:00:00 UTC+2 (deviation -120), status 0xFF, hundredths 0,
  until a SET, which stores what it is sent. Attribute 3 is -60; no others.
* Registers: see `REGISTERS`; Logical device name `PYD1000000000001`; serial number visible-string
  `PYD0000000001` at 0-0:96.1.0*255.
* Load profile 1-0:99.1.0*255, version 1: 96 rows of {clock, Register 1-0:1.8.0*255 attribute 2}, from
  2024-05-01 00:00 UTC (deviation 0, status 0xFF) every 900 s; the value of row n (from 0) is 1000 + 7 n, as
  double-long-unsigned. Attributes 2, 3, 4 (900), 5 (fifo), 7 (96); not 6 and 8: object-unavailable.
  Selective access: range (both ends inclusive, restricting object ignored, columns in the order asked, an
  unknown column other-reason) and entry (1-based, 0 is the last, column range).
* Attribute 0 is object-unavailable; so is every attribute that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.interop.running import Target, started

PASSWORD: Final = "secret-1"
LOAD_PROFILE: Final = "1-0:99.1.0*255"
CLOCK_OCTETS: Final = "07e80501030c000000ff88ff"
LOGICAL_DEVICE_NAME: Final = b"PYD1000000000001"
OBJECTS: Final = [  # class, version, logical name
    [8, 0, "0-0:1.0.0*255"],
    [40, 0, "0-0:25.9.0*255"],
    [1, 0, "0-0:42.0.0*255"],
    [62, 1, "0-0:66.0.1*255"],
    [1, 0, "0-0:96.1.0*255"],
    [70, 0, "0-0:96.3.10*255"],
    [3, 0, "1-0:1.7.0*255"],
    [3, 0, "1-0:1.8.0*255"],
    [3, 0, "1-0:2.8.0*255"],
    [3, 0, "1-0:31.7.0*255"],
    [3, 0, "1-0:32.7.0*255"],
    [7, 1, "1-0:99.1.0*255"],
]
REGISTERS: Final = {  # value, scaler, unit
    "1-0:1.8.0*255": (12345678, 0, 30),
    "1-0:2.8.0*255": (4321, 0, 30),
    "1-0:1.7.0*255": (1520, 0, 27),
    "1-0:32.7.0*255": (2301, -1, 35),
    "1-0:31.7.0*255": (523, -2, 33),
}


def profile_row(n: int) -> list[str | int]:
    """Return row `n` (from 0) of the load profile: the 12 octets as hex, and the value."""
    hour, quarter = divmod(n, 4)
    return [f"07e8050103{hour:02x}{quarter * 15:02x}00000000ff", 1000 + 7 * n]


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator on 127.0.0.1."""

    port: int
    framing: str

    @property
    def public(self) -> Target:
        return Target(self.port, self.framing)

    @property
    def writing(self) -> Target:
        return Target(self.port, self.framing, client=1, password=PASSWORD)


@contextmanager
def simulator(python: Path, framing: str) -> Iterator[Simulator]:
    """Run it on a free port, `framing` hdlc or wrapper, until the block is left."""
    command = [str(python), "-m", "pydlms.simulator", "--port", "0", "--client", f"1:1:{PASSWORD}"]
    if framing == "hdlc":
        command.append("--hdlc")
    # It logs to stderr, and has no signal handler: SIGTERM ends it with its default action.
    with started(command, r"simulator listening on 127\.0\.0\.1:\d+", stream="stderr") as (_, lines):
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", lines[-1])
        assert found is not None
        yield Simulator(int(found[1]), framing)
