"""Our client dials through a modem that others wrote: tcpatmodem, whose calls are TCP connections.

It only calls. A modem by others that also answers would be tcpser, which no package has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.interop.running import PROGRAMS, started
from tests.ports.ptys import Wire

from iondlms.client import blocking
from iondlms.errors import PortError

pytestmark = pytest.mark.interop


@contextmanager
def modem(python: Path, device: str) -> Iterator[None]:
    program = [str(python), str(PROGRAMS / "tcpatmodem_peer.py"), device]
    with started(["bash", "-c", 'exec "$0" "$@" 2>&1 1>/dev/null', *program], "^ready$"):
        yield


@contextmanager
def serving(*words: str) -> Iterator[tuple[object, str]]:
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", "--history", "40", *words]
    with started(command, "^ready$") as (process, lines):
        yield process, lines[0].split()[2].removeprefix("tcp://")


def test_a_meter_is_read_by_a_call_and_the_line_is_free_again(peers_python: Path) -> None:
    with Wire() as wire, modem(peers_python, wire.meter.path), serving() as (_, place):
        with blocking.connect(f"hdlc://{place}") as direct:
            expected = direct.profile("load").rows
        # It knows no commands that begin with &, and says so.
        url = f"modem:{wire.client.path}?dial={place}&init=ATE0V1X4&timeout=5s"
        for _ in range(2):  # the meter takes one connection: the second call shows that the first is over
            with blocking.connect(url) as called:
                assert called.profile("load").rows == expected
        said = b"".join(octets for _, direction, octets in wire.log if direction == "TX")
        assert said.count(b"ATD" + place.encode() + b"\r") == 2
        assert said.count(b"+++") == said.count(b"ATH\r") == 2
        heard = b"".join(octets for _, direction, octets in wire.log if direction == "RX")
        assert heard.count(b"CONNECT\r\n") == heard.count(b"NO CARRIER\r\n") == 2


def test_an_init_string_that_it_refuses_is_named(peers_python: Path) -> None:
    with Wire() as wire, modem(peers_python, wire.meter.path):
        url = f"modem:{wire.client.path}?dial=127.0.0.1:1&redials=0"
        with pytest.raises(PortError, match="the modem does not take AT&F0E0V1X4&C1&D2"):
            blocking.connect(url).open()


def test_the_other_end_hangs_up(peers_python: Path) -> None:
    with Wire() as wire, modem(peers_python, wire.meter.path):
        with serving() as (_, place):
            client = blocking.connect(f"modem:{wire.client.path}?dial={place}&init=ATE0V1X4&retries=0")
            client.open()
        with serving("--listen", place):  # it was away for a moment, and the call is over
            before = time.monotonic()
            assert client.clock().instant is not None
            # Known at once and not by a time-out of 5 s, and then of 5 s again: it is called anew.
            assert time.monotonic() - before < 5
            said = b"".join(octets for _, direction, octets in wire.log if direction == "TX")
            assert said.count(b"ATD" + place.encode() + b"\r") == 2
            assert b"+++" not in said  # there was no call to escape from
            client.close()
        heard = b"".join(octets for _, direction, octets in wire.log if direction == "RX")
        assert b"~NO CARRIER\r\n" in heard  # without a line end before it, and understood all the same
