"""`iondlms serve` with ports of all kinds, as a process: what it prints, refuses, and does on SIGHUP."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.interop.running import started
from tests.ports.ptys import Pty, Wire

from iondlms.client import Target, blocking
from iondlms.hdlc import Frame, ServerAddress
from iondlms.ports.optical import OpticalTransport
from iondlms.ports.serial import LineSettings, SerialTransport

LONG_S = 15.0
UA = 0x73

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meter.toml"


@contextmanager
def serving(file: Path, text: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run it on a configuration; yield it and all that it says, its log among it."""
    file.write_text(text, encoding="utf-8")
    together = ["bash", "-c", 'exec "$0" "$@" 2>&1', sys.executable, "-m", "iondlms", "serve", str(file)]
    with started(together, r"^ready$") as (process, lines):
        yield process, lines


def refused(file: Path, text: str) -> list[str]:
    """What it says before it ends with 2, having opened nothing."""
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "iondlms", "serve", str(file)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    place = re.compile(rf"^(iondlms: )?({re.escape(str(file))}:(\d+:)? )?")
    return [place.sub("", line) for line in done.stderr.splitlines()]


def port(name: str, device: str, **more: object) -> str:
    keys = {"name": name, "device": device} | more
    return "[[port]]\n" + "".join(
        f"{key} = {str(value).lower() if value is True else repr(value)}\n" for key, value in keys.items()
    )


ETHERNET = "[[port]]\nlisten = '127.0.0.1:0'\n"


def snrm(unit: int) -> bytes:
    return Frame(ServerAddress(1, unit, 4).encode(), b"\x21", 0x93).encode()


def name_over(wire: Wire, unit: int, **settings: object) -> bytes:
    """The logical device name, read over a line."""
    connect: Callable[[], SerialTransport] = lambda: SerialTransport.connect(  # noqa: E731
        LineSettings(wire.client.path, **settings)  # type: ignore[arg-type]
    )
    with blocking.Client(f"hdlc://line?unit={unit}&timeout=3s", connector=connect) as client:
        return client.get("0-0:42.0.0*255").octets()


def test_two_serial_ports_and_ethernet_at_once(file: Path) -> None:
    with Wire() as one, Wire() as four:
        text = (
            ETHERNET
            + port("COM1", one.meter.path, baud=115200)
            + port("COM4", four.meter.path, framing="8E2")
        )
        with serving(file, text) as (process, lines):
            told = [line.split() for line in lines]
            tcp = told[0][2]
            assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", tcp)
            assert told == [
                ["listening", "ETHERNET", tcp],
                ["listening", "COM1", f"serial:{one.meter.path}?baud=115200&framing=8N1&unit=100"],
                ["listening", "COM4", f"serial:{four.meter.path}?baud=9600&framing=8E2&unit=103"],
                ["ready"],
            ]
            assert Target.parse(told[2][2]).unit == 103
            with blocking.Client(tcp) as client:
                name = client.get("0-0:42.0.0*255").octets()
            assert name_over(one, 100, baud=115200) == name
            assert name_over(four, 103, framing="8E2") == name
            process.terminate()
            assert process.wait(10) == 0


def test_the_texts_of_the_owner_and_what_is_left_to_the_adapter(file: Path) -> None:
    with Pty() as pty:
        text = (
            "[meter]\nserial = 'PK-1234A567-01'\nowner = \"ACME\\n Energy\"\ntag_2 = 'Hall B'\n"
            f"[[port]]\nname = 'COM4'\nbias = true\ndevice = '{pty.path}'\n"
        )
        note = "port.COM4.bias: the line's bias resistors are the adapter's: fit or set them there"
        with serving(file, text) as (_, lines):
            assert lines[0].endswith(f"WARNING iondlms.meter.host: {note}")
            assert lines[1] == "meter ION8650 PK-1234A567-01: owner ACME Energy, tag 2 Hall B"
        done = subprocess.run(
            [sys.executable, "-m", "iondlms", "config", "check", str(file)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, f"note: {note}\n")
        with serving(
            file,
            f"[[line]]\nname = 'bus'\nkind = 'rs485'\nbias = true\ndevice = '{pty.path}'\n"
            "[[meter]]\nline = 'bus'\nunit_id = 1\ncount = 3\ntag_1 = 'cellar'\n"
            "[[meter]]\nline = 'bus'\nunit_id = 9\nowner = 'ACME'\n"
            "[[meter]]\nline = 'bus'\nunit_id = 10\n",
        ) as (_, lines):
            assert lines[0].endswith(note.replace("port.COM4", "line.bus"))
            assert lines[1:3] == ["meter bus 1 to 3: tag 1 cellar", "meter bus 9: owner ACME"]


def test_the_sign_on_of_the_optical_port(file: Path) -> None:
    with Wire() as wire, serving(file, port("COM3", wire.meter.path, sign_on=True)) as (_, lines):
        assert lines == [f"listening COM3 optical:{wire.meter.path}?mode_e=1&baud=9600&unit=102", "ready"]

        def connect() -> OpticalTransport:
            return OpticalTransport.connect(SerialTransport.connect(LineSettings(wire.client.path, baud=300)))

        with blocking.Client("hdlc://line?unit=102", connector=connect) as client:
            assert client.get("0-0:42.0.0*255").octets().startswith(b"SCH8650")


def test_what_a_model_does_not_have_opens_nothing(file: Path) -> None:
    with Pty() as pty:
        good = ETHERNET + port("COM1", pty.path)
        lacking = port("COM3", "/dev/b") + port("COM4", pty.path, baud=1200)
        told = refused(file, "[meter]\nmodel = 'ION9000'\n" + good + lacking)
        assert [line.partition(":")[0] for line in told] == [
            "port.COM3",
            "port.COM4.device",
            "port.COM4.baud",
        ]
        (line,) = refused(file, good + port("COM4", "/nowhere/tty"))
        assert line == "COM4: /nowhere/tty: cannot be opened: No such file or directory"
        with serving(file, good) as (_, lines):
            assert len(lines) == 3
            (line,) = refused(file.with_name("other.toml"), port("COM4", pty.path))
            assert line.startswith(f"COM4: {pty.path}: cannot be opened: ")


def answers(tcp: str) -> bool:
    host, _, number = tcp.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host, int(number)), 5) as line:
            line.sendall(snrm(100))
            return bool(line.recv(100))
    except OSError:
        return False


def until(happens: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LONG_S
    while not happens():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_sighup_reads_the_file_again(file: Path) -> None:
    on = ETHERNET + "protocol = '{}'\n[clock]\nzone = 'UTC'\n"
    with serving(file, on.format("DLMS")) as (process, lines):

        def hang_up(text: str, said: str) -> None:
            already = len(lines)
            file.write_text(text, encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            until(lambda: any(said in line for line in lines[already:]), f"{said}: {lines}")

        tcp = lines[0].split()[2]
        with blocking.Client(tcp) as client:
            hang_up(on.format("NONE"), "was read again")
            assert any("ETHERNET is silent" in line for line in lines)
            assert client.get("0-0:42.0.0*255")  # the open connection is left
        until(lambda: not answers(tcp), "it still answers")
        hang_up(on.format("DLMS"), "ETHERNET answers DLMS again")
        until(lambda: answers(tcp), "it does not answer again")
        hang_up(
            on.format("DLMS").replace("UTC", "Asia/Tokyo"), "Clock: changed; waits for --apply or a restart"
        )
        hang_up(on.format("DLSM"), "the configuration stays as it was: ")
        hang_up("[meter", "the configuration stays as it was: ")
        hang_up("[meter]\nseed = " + "9" * 5000, "a number has too many digits")
        assert answers(tcp)
        assert process.poll() is None


def test_several_meters_on_one_listener_and_on_one_device(file: Path) -> None:
    with Pty() as pty:
        text = (
            "[[line]]\nname = 'tcp'\nkind = 'tcp'\nlisten = '127.0.0.1:0'\n"
            f"[[line]]\nname = 'bus'\nkind = 'rs485'\ndevice = '{pty.path}'\n"
            "[[meter]]\nline = 'tcp'\nunit_id = 1\ncount = 40\n[[meter]]\nline = 'bus'\nunit_id = 7\n"
        )
        with serving(file, text) as (process, lines):
            tcp = lines[0].split()[2]
            assert lines[1:] == [f"listening bus serial:{pty.path}?baud=9600&framing=8N1", "ready"]
            names = set()
            for unit in (1, 20, 40):
                with blocking.Client(f"{tcp.replace('tcp:', 'hdlc:')}?unit={unit}") as client:
                    names.add(client.get("0-0:42.0.0*255").octets())
            assert len(names) == 3
            pty.write(snrm(8))
            assert pty.read(0.1) == b""
            pty.write(snrm(7))
            assert Frame.decode(pty.read(LONG_S)).control == UA
            process.terminate()
            assert process.wait(10) == 0
        assert refused(
            file, text.replace("count = 40", "count = 9").replace("'bus'\nunit_id", "'buss'\nunit_id")
        ) == [
            "line.bus: no meter is on it",
            "meter[1].line: there is no line 'buss'; there are tcp, bus",
        ]


def test_ports_without_a_file(tmp_path: Path) -> None:
    with Pty() as pty:
        words = [
            "--listen",
            "127.0.0.1:0",
            "--set",
            f"port.COM4.device={pty.path}",
            "--set",
            "port.COM4.baud=300",
        ]
        with started([sys.executable, "-m", "iondlms", "serve", *words], "^ready$") as (_, lines):
            assert lines[1] == f"listening COM4 serial:{pty.path}?baud=300&framing=8N1&unit=103"


def test_more_meters_than_files_may_be_open_at_first(file: Path, tmp_path: Path) -> None:
    file.write_text(
        "[[line]]\nname = 'tcp'\nkind = 'tcp'\nlisten = '127.0.0.1:0'\n"
        f"[[meter]]\nline = 'tcp'\nunit_id = 1\ncount = 40\ndata = '{tmp_path / 'kept'}'\n",
        encoding="utf-8",
    )
    few = ["bash", "-c", 'ulimit -Sn 60; exec "$0" "$@"', sys.executable, "-m", "iondlms", "serve", str(file)]
    with started(few, "^ready$") as (process, _):
        process.terminate()
        assert process.wait(LONG_S) == 0
    assert len(list((tmp_path / "kept" / "tcp").iterdir())) == 40
