"""Programs by others read `iondlms serve` over serial devices: direct, after a sign-on, many on one line.

A wire of two ptys joins them; both sides open a device of the kernel, as they would /dev/ttyUSB0.
"""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.interop.running import DLMS_COSEM, GURUX, PYDLMS, Peer, Target, run_peer, started
from tests.ports.ptys import Wire

from iondlms.ports.parity import add_parity

pytestmark = pytest.mark.interop

LOAD: Final = "1-0:99.1.0*255"
NAME: Final = "0-0:42.0.0*255"
HISTORY: Final = 40
SERIAL_PEERS: Final = (GURUX, PYDLMS)
each_peer = pytest.mark.parametrize("peer", SERIAL_PEERS, ids=lambda peer: peer.name)


@contextmanager
def serving(folder: Path, text: str) -> Iterator[list[str]]:
    file = folder / "meter.toml"
    file.write_text(text, encoding="utf-8")
    with started([sys.executable, "-m", "iondlms", "serve", str(file)], "^ready$") as (_, lines):
        yield lines


def meter(port: str, device: str, more: str = "") -> str:
    return (
        f"[meter]\nhistory = {HISTORY}\npassword = 'interop'\n[clock]\ntime_sync_source = '{port}'\n"
        f"[[port]]\nlisten = '127.0.0.1:0'\n[[port]]\nname = '{port}'\ndevice = '{device}'\n{more}"
    )


@each_peer
@pytest.mark.parametrize("baud", [9600, 115200])
def test_a_serial_port_is_read_as_ethernet_is(
    peers_python: Path, tmp_path: Path, peer: Peer, baud: int
) -> None:
    with Wire() as wire, serving(tmp_path, meter("COM4", wire.meter.path, f"baud = {baud}\n")) as lines:
        tcp = int(lines[0].rpartition(":")[2])
        tasks = ["objects"], ["capture-objects", LOAD], ["profile-entries", LOAD, "1", "30"]
        over_tcp = run_peer(peers_python, peer, Target(tcp, "hdlc"), *tasks)
        serial = Target(0, "hdlc", device=wire.client.path, baud=baud, server_physical=103)
        over_serial = run_peer(peers_python, peer, serial, *tasks)
        assert [answer.error for answer in over_tcp + over_serial] == [None] * 6
        assert [answer.result for answer in over_serial] == [answer.result for answer in over_tcp]
        assert len(over_serial[2].result["rows"]) == 30


@each_peer
def test_the_clock_is_set_over_the_time_sync_source(peers_python: Path, tmp_path: Path, peer: Peer) -> None:
    with Wire() as wire, serving(tmp_path, meter("COM1", wire.meter.path)):
        target = Target(0, "hdlc", 1, "interop", device=wire.client.path)
        (answer,) = run_peer(peers_python, peer, target, ["set-clock", "2031-05-06T07:08:09+00:00"])
        assert answer.error is None
        assert answer.result["read_back"]["iso"].startswith("2031-05-06T07:08:")


def until_at(wire: Wire, speed: int) -> None:
    end = time.monotonic() + 20
    while wire.meter.speed != speed:
        assert time.monotonic() < end, "the meter does not change its baud"
        time.sleep(0.05)


def test_a_sign_on_by_others(peers_python: Path, tmp_path: Path) -> None:
    def uart(octets: bytes) -> bytes:
        # pydlms-client leaves 7E1 to the UART, and a pty carries no parity: what a UART would add is added.
        return add_parity(octets) if wire.client.speed == termios.B300 else octets

    wire = Wire(change=uart)
    with wire, serving(tmp_path, meter("COM3", wire.meter.path, "sign_on = true\nbaud = 19200\n")):
        target = Target(0, "hdlc", device=wire.client.path, baud=9600, server_physical=102, sign_on=True)
        for _ in range(2):
            until_at(wire, termios.B300)  # the meter goes back for the next one, 5 s after DISC
            answers = run_peer(peers_python, PYDLMS, target, ["objects"], ["profile-entries", LOAD, "1", "5"])
            assert [answer.error for answer in answers] == [None, None]
            assert len(answers[1].result["rows"]) == 5
            assert wire.client.speed == termios.B9600
        up = b"".join(octets for _, way, octets in wire.log if way == "TX")
        assert up.count(b"/?!") == 2


@each_peer
def test_many_meters_on_one_line(peers_python: Path, tmp_path: Path, peer: Peer) -> None:
    with Wire() as wire:
        text = (
            f"[[line]]\nname = 'bus'\nkind = 'rs485'\ndevice = '{wire.meter.path}'\nbaud = 19200\n"
            "[[meter]]\nline = 'bus'\nunit_id = 1\ncount = 247\nmodel = 'ION9000'\n"
        )
        with serving(tmp_path, text):
            names = []
            for unit in (1, 100, 247):
                target = Target(0, "hdlc", device=wire.client.path, baud=19200, server_physical=unit)
                (answer,) = run_peer(peers_python, peer, target, ["read", "1", NAME, "2"])
                assert answer.error is None
                names.append(str(answer.result))
            assert len(set(names)) == 3


def test_who_cannot_says_so(peers_python: Path) -> None:
    (answer,) = run_peer(peers_python, DLMS_COSEM, Target(0, "hdlc", device="/dev/null"), ["objects"])
    assert answer.unsupported
    (answer,) = run_peer(
        peers_python, GURUX, Target(0, "hdlc", device="/dev/null", sign_on=True), ["objects"]
    )
    assert answer.unsupported
