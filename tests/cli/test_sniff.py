"""`iondlms sniff` on files and on a line: trees, rows in every form, and never an octet sent."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.client.joined import Lines, make_meter, watched
from tests.ports.ptys import Wire
from tests.trace.packets import Talk, pcap, pcapng

from iondlms.cli.sniff import sniff
from iondlms.client import ProfileRow
from iondlms.errors import LocalError

Session = list[tuple[str, bytes]]


def recorded(url: str, rows: int = 6, **more: str) -> tuple[Session, list[ProfileRow]]:
    hooks, octets, _ = watched()
    with Lines(make_meter(rows, *more.items())).client(url, hooks=hooks) as client:
        return octets, list(client.profile("load"))


HDLC, ROWS = recorded("hdlc://meter")
WRAPPER, _ = recorded("wrapper://meter")


def talk(
    pieces: Session, client: tuple[str, int] = ("10.0.0.5", 40000), server: str = "10.0.0.7"
) -> list[bytes]:
    conversation = Talk(client, (server, 4059)).open()
    for way, octets in pieces:
        conversation.say(way == "TX", octets)
    return conversation.packets


def run(*words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(sniff, words, input=stdin, catch_exceptions=False, standalone_mode=False)


def values(text: str) -> list[int]:
    return [row["kWh-del-int"] for row in json.loads(text)]


KWH = [int(str(row.values[0])) for row in ROWS]


@pytest.mark.parametrize("pieces", [HDLC, WRAPPER], ids=["hdlc", "wrapper"])
@pytest.mark.parametrize("form", [pcap, pcapng])
def test_rows_of_a_capture(tmp_path: Path, form: object, pieces: Session) -> None:
    assert callable(form)
    path = tmp_path / "capture"
    path.write_bytes(form(talk(pieces)))
    done = run(str(path), "--profile", "-o", "json")
    assert values(done.stdout) == KWH
    assert "load of 1" in done.stderr
    assert "6 rows" in done.stderr
    assert "0 damaged; 1 profiles" in done.stderr


def test_rows_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    path.write_text("".join(f"{way}: 14:56:02.123 {octets.hex(' ').upper()}\n" for way, octets in HDLC * 2))
    header, *lines = csv.reader(io.StringIO(run(str(path), "--profile", "-o", "csv").stdout))
    assert header[3] == "kWh-del-int (Wh)"
    assert [int(line[3]) for line in lines] == KWH * 2  # one header for both
    jsonl = run(str(path), "--profile", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["kWh-del-int"] for line in jsonl] == KWH * 2
    table = run(str(path), "--profile").stdout
    assert table.count("kWh-del-int (Wh)") == 2
    in_utc = json.loads(run(str(path), "--profile", "-o", "json", "--utc").stdout)
    assert in_utc[0]["time"].endswith("+00:00")
    raw = run("-", "--profile", "-o", "json", "--raw", stdin=path.read_bytes()).stdout
    assert values(raw) == KWH * 2


def test_trees(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(
        "".join(json.dumps({"direction": way, "octets": octets.hex()}) + "\n" for way, octets in HDLC)
    )
    text = run(str(path)).stdout
    assert "TX HDLC frame: SNRM" in text
    assert "joined from" in text
    trees = [json.loads(line) for line in run(str(path), "-o", "jsonl").stdout.splitlines()]
    assert json.loads(run(str(path), "-o", "json").stdout) == trees
    assert sum("HDLC frame" in tree["label"] for tree in trees) == len(HDLC)


def test_connections_are_told_apart(tmp_path: Path) -> None:
    one, other = talk(HDLC), talk(WRAPPER, ("10.0.0.6", 41000), "10.0.0.8")
    mixed = [packet for pair in zip(one, other, strict=False) for packet in pair]
    mixed += one[len(other) :] + other[len(one) :]
    path = tmp_path / "two.pcapng"
    path.write_bytes(pcapng(mixed))
    assert values(run(str(path), "--profile", "-o", "json").stdout) == KWH * 2
    text = run(str(path)).stdout
    assert "-- 10.0.0.5:40000 to 10.0.0.7:4059" in text
    assert "-- 10.0.0.6:41000 to 10.0.0.8:4059" in text


def test_a_hole_in_a_capture_breaks_the_rows_off(tmp_path: Path) -> None:
    path = tmp_path / "hole.pcap"
    packets = talk(HDLC)
    path.write_bytes(pcap(packets[:-8] + packets[-7:]))
    done = run(str(path), "--profile", "-o", "json")
    assert values(done.stdout) == KWH[: len(values(done.stdout))]
    assert "broken off" in done.stderr
    assert run(str(path)).exit_code == 0


def test_passwords_are_blanked(tmp_path: Path) -> None:
    hooks, octets, _ = watched()
    with Lines(make_meter(1)).client("hdlc://meter?client=1", "12345678", hooks=hooks):
        pass
    path = tmp_path / "secret.pcap"
    path.write_bytes(pcap(talk(octets)))
    assert "12345678" not in run(str(path)).stdout
    assert b"12345678".hex(" ").upper() not in run(str(path)).stdout
    assert "12345678" in run(str(path), "--secrets").stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nothing.pcap"], "nothing.pcap: No such file"),
        (["/dev/null"], "write serial:/dev/null"),
        (["optical:/dev/ttyUSB0?mode_e=1"], "plain line"),
        (["serial:"], "names no device"),
        (["session.txt", "-o", "csv"], "add --profile"),
        (["serial:/dev/x", "-o", "json"], "take -o jsonl"),
        (["session.txt", "--for", "soon"], "is no time"),
    ],
)
def test_errors_are_one_line(words: list[str], part: str) -> None:
    with pytest.raises(LocalError, match=part) as caught:
        run(*words)
    assert "\n" not in str(caught.value)


def test_a_capture_without_dlms_says_so(tmp_path: Path) -> None:
    path = tmp_path / "other.pcap"
    path.write_bytes(pcap(Talk(server=("10.0.0.9", 80)).open().say(True, b"GET /").packets))
    with pytest.raises(LocalError, match="no DLMS over TCP"):
        run(str(path))


@pytest.mark.parametrize("words", [["--profile", "-o", "jsonl"], []], ids=["rows", "trees"])
def test_a_line_is_followed_without_a_word(words: list[str]) -> None:
    """The tap is one end of a wire; what is said there comes from the other, both directions mixed."""
    with Wire() as wire:
        command = [sys.executable, "-m", "iondlms", "sniff", f"serial:{wire.meter.path}?baud=19200", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert "19200 8N1" in process.stderr.readline()
            wire.meter.write(b"".join(octets for _, octets in HDLC))
            lines = [process.stdout.readline() for _ in range(len(KWH))]
            if words:
                assert [json.loads(line)["kWh-del-int"] for line in lines] == KWH
            else:
                assert "SNRM" in lines[0]
            process.send_signal(signal.SIGINT)
            _, talk_of_it = process.communicate(timeout=20)
            assert process.returncode == 0, talk_of_it
        time.sleep(0.05)
        assert [octets for _, way, octets in wire.log if way == "RX"] == []


def test_a_line_is_followed_for_a_while() -> None:
    with Wire() as wire:
        start = time.monotonic()
        done = run(f"serial:{wire.meter.path}", "--for", "300ms", "--profile")
        assert 0.2 < time.monotonic() - start < 5
        assert "0 frames" in done.stderr
