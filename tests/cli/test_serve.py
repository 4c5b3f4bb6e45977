"""`iondlms serve` as a process: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.interop.running import started

from iondlms.cli.serve import serve
from iondlms.hdlc.frame import POLL, Control, build

SNRM = build(bytes.fromhex("000200C9"), b"\x21", Control.SNRM | POLL)


def run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iondlms", "serve", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", *words]
    with started(command, r"ready") as (process, lines):
        yield process, lines


def port_of(lines: list[str]) -> int:
    match = re.fullmatch(r"listening ETHERNET tcp://127\.0\.0\.1:(\d+)", lines[0].strip())
    assert match is not None, lines
    return int(match[1])


def exchange(port: int, octets: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        line.sendall(octets)
        return line.recv(4096)


def test_it_tells_where_it_listens_and_then_that_it_is_ready() -> None:
    with serving() as (process, lines):
        port = port_of(lines)
        assert [line.strip() for line in lines[1:]] == ["ready"]
        assert exchange(port, SNRM).startswith(bytes.fromhex("7EA021 21 000200C9 73"))
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--model", "ION9999"],
            "meter.model: 'ION9999' is no model; there are ION9000, ION8650, ION7400, ION8800",
        ),
        (["--unit-id", "0"], "unit_id"),
        (["--unit-id", "10000"], "unit_id"),
        (["--listen", "nowhere"], "'nowhere' is no listening address"),
        (["--set", "long_answers"], "write it as KEY=VALUE"),
        (
            ["--set", "long_answers=both"],
            "meter.long_answers: 'both' is not possible; write 'block' or 'segment'",
        ),
        (["--set", "colour=red"], "meter.colour: there is no such key"),
        (["--set", "clock.zone=Europe/Atlantis"], "no time zone is called 'Europe/Atlantis'"),
        (["--set", "revision=100"], "firmware 100 has no DLMS"),
        (["--rx-timeout", "soon"], "rx_timeout"),
        (
            ["--password-file", "/nonexistent/password"],
            "meter.password_file: /nonexistent/password cannot be read",
        ),
        (["--password", "x" * 33], "a password has 1 to 32 octets"),
        (["/nonexistent/meter.toml"], "/nonexistent/meter.toml: there is no such file"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(words: list[str], told: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_all_that_is_wrong_in_a_file_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "meter.toml"
    config.write_text('[meter]\nmodel = "ION1"\nlong = 1\n[[port]]\nunit_id = 0\n', encoding="utf-8")
    done = run(str(config))
    assert done.returncode == 2
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == [
        "meter.model",
        "meter.long",
        "port.ETHERNET.unit_id",
    ]


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"iondlms: ETHERNET: cannot listen on 127.0.0.1:{port}: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = run("--listen", "127.0.0.1:0", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 2
    assert "the data folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)):
        done = run("--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_history_is_made_once_and_found_again(tmp_path: Path) -> None:
    def rows() -> list[tuple[str, int, int, int]]:
        with sqlite3.connect(tmp_path / "meter.sqlite") as database:
            return database.execute(
                "select name, count(*), min(sequence), max(sequence) from record"
                " join recorder on recorder.id = record.recorder group by name order by name"
            ).fetchall()

    for _ in range(2):
        with serving("--data", str(tmp_path), "--history", "5000") as (process, _lines):
            process.terminate()
            assert process.wait(20) == 0
        # 5000 is above the default depth of 3360, which is raised to it.
        assert [(name, count) for name, count, _, _ in rows()] == [("Billing", 5000), ("Load Profile", 5000)]


def test_the_password_may_come_from_the_environment(tmp_path: Path) -> None:
    done = run(env={"IONDLMS_PASSWORD": "x" * 33, "PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "meter.password: a password has 1 to 32 octets" in done.stderr


def test_a_folder_of_another_model_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), "--history", "10", "--model", "ION9000"):
        pass
    kept = (tmp_path / "meter.sqlite").read_bytes()
    done = run("--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "what is stored is of an ION9000, this is an ION8650" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "meter.sqlite").read_bytes() == kept


def test_what_lives_as_long_as_it_serves_is_settled_once_ready_and_again_after_a_reload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this process, and by its own signals: the garbage collector is asked what it looks at no more."""
    frozen: list[tuple[str, int]] = []

    def told(text: str, number: signal.Signals) -> None:
        frozen.append((text, gc.get_freeze_count()))
        gc.unfreeze()
        os.kill(os.getpid(), number)

    def echo(text: str) -> None:
        if text == "ready":
            told(text, signal.SIGHUP)

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told(record.getMessage(), signal.SIGTERM)

    monkeypatch.setattr("click.echo", echo)
    log = logging.getLogger("iondlms.serve")
    handler = Log(logging.WARNING)
    log.addHandler(handler)
    gc.unfreeze()
    try:
        serve.main(["--listen", "127.0.0.1:0"], standalone_mode=False)
    finally:
        log.removeHandler(handler)
        gc.unfreeze()
    assert [text for text, _ in frozen] == ["ready", "the configuration was read again"]
    assert min(count for _, count in frozen) > 1000
