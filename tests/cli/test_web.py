"""`iondlms web` as a process, on meters that are processes too."""

from __future__ import annotations

import builtins
import importlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.extras import needs
from tests.interop.running import started, stop

from iondlms.cli.web import web
from iondlms.errors import LocalError, PortError

httpx = needs("httpx")
needs("uvicorn")

COMMAND = [sys.executable, "-m", "iondlms"]


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--history", "96", "--data", str(folder), *words]
    with started(command, "^ready$") as (process, _):
        yield process


@contextmanager
def showing(place: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "web", str(place), "--listen", "127.0.0.1:0", *words]
    with started(command, "^ready$") as (process, lines):
        assert lines[0].startswith("listening http://127.0.0.1:")
        assert len(lines) == 2
        yield process, lines[0].split()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("meter")
    with serving(place):
        yield place


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "web", *words], capture_output=True, text=True, timeout=30, check=False)


def refused(status: int, *words: str) -> str:
    done = run(*words)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("iondlms: ")


def shown(stream: Any) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_it_shows_a_meter_live_while_it_goes_and_comes_back(tmp_path: Path) -> None:
    place = tmp_path / "m"
    with serving(place) as meter, showing(place, "--every", "200ms") as (process, url):
        assert httpx.get(f"{url}/").status_code == 200
        assert httpx.get(f"{url}/", headers={"Host": "evil.example"}).status_code == 400
        with httpx.stream("GET", f"{url}/api/stream", timeout=20) as stream:
            told = shown(stream)
            first, second = next(told), next(told)
            assert first["panel"]["device"] == second["panel"]["device"]
            assert 0.05 < second["at"] - first["at"] < 5
            assert (first["panel"]["power"], first["gone"], len(first["panel"]["recorders"])) == (
                True,
                None,
                2,
            )
            assert stop(meter) == 0
            gone = next(each for each in told if each["gone"])
            assert gone["gone"]["error"].startswith("no meter takes commands on ")
            assert gone["panel"]["device"] == first["panel"]["device"]
            assert httpx.get(f"{url}/api/meter").status_code == 503
            assert httpx.get(f"{url}/").status_code == 200
            with serving(place):
                back = next(each for each in told if not each["gone"])
                assert back["panel"]["events"] > first["panel"]["events"]
                # With a stream open still, it ends when it is told to.
                process.send_signal(signal.SIGTERM)
                assert list(told) is not None
                assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_as_serve_does(folder: Path, number: signal.Signals) -> None:
    with showing(folder) as (process, _):
        process.send_signal(number)
        assert process.wait(10) == 0


def test_a_socket_of_several_meters(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(
        '[[line]]\nname = "hall"\nkind = "tcp"\nlisten = "127.0.0.1:0"\n'
        '[[meter]]\nline = "hall"\nunit_id = 1\ncount = 3\n',
        encoding="utf-8",
    )
    place = tmp_path / "c.sock"
    with started([*COMMAND, "serve", str(config), "--control", str(place)], "^ready$"):
        with showing(place, "--unit", "2", "--line", "hall") as (_, url):
            assert httpx.get(f"{url}/api/meter").json()["unit"] == 2
            assert httpx.get(f"{url}/api/meters").json()["count"] == 3
        assert refused(2, str(place), "--unit", "9") == "no meter here has Unit ID 9"
        assert refused(2, str(place), "--line", "attic") == "no meter here stands on attic"


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = refused(2, str(folder), "--listen", address)
    assert told.startswith(f"cannot listen on {address}: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--listen", "nowhere"], "--listen 'nowhere' is no listening address; write it as 127.0.0.1:8080"),
        (["--listen", "::1:80"], "--listen '::1:80' is no listening address"),
        (["--listen", "127.0.0.1:70000"], "--listen '127.0.0.1:70000' is no listening address"),
        (["--listen", f"127.0.0.1:{'9' * 5000}"], "--listen '127.0.0.1:999"),
        (["--listen", "127.0.0.1:\u0663"], "--listen '127.0.0.1:\u0663' is no listening address"),
        (["--every", "soon"], "--every=soon is no time"),
        (["--host-name", "http://panel.example"], "--host-name http://panel.example: write the name alone"),
        (["--every", "1ms"], "--every 1ms: write 100ms to 1h"),
    ],
)
def test_a_wrong_setting_is_one_line(folder: Path, words: list[str], told: str) -> None:
    ended = CliRunner().invoke(web, [str(folder), *words])
    assert isinstance(ended.exception, LocalError)
    assert str(ended.exception).startswith(told)


def test_no_meter_at_the_start_is_told_as_ctl_does(tmp_path: Path) -> None:
    assert (
        refused(3, str(tmp_path)) == f"no meter takes commands on {tmp_path / 'control.sock'}; is it running?"
    )
    ended = CliRunner().invoke(web, [str(tmp_path / "nothing")])
    assert isinstance(ended.exception, LocalError)
    assert "is no data folder of a meter" in str(ended.exception)


def test_anyone_may_look_where_anyone_can_reach_and_that_is_said(tmp_path: Path) -> None:
    for listen, warned in (("0.0.0.0:0", True), ("[::]:0", True), ("127.0.0.1:0", False), ("[::1]:0", False)):
        ended = CliRunner().invoke(web, [str(tmp_path), "--listen", listen])
        assert isinstance(ended.exception, PortError)
        assert ("W! anyone who reaches" in ended.stderr) is warned, listen


def test_the_extra_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "iondlms.web":
            raise ImportError("No module named 'fastapi'", name="fastapi")
        return there(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    ended = CliRunner().invoke(web, [str(folder)])
    assert isinstance(ended.exception, LocalError)
    assert str(ended.exception).startswith(
        "the front panel needs the extra 'web'; install it with: pip install 'iondlms[web]'"
    )


def test_its_help_needs_no_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'jinja2'):\n"
        "    sys.modules[name] = None\n"
        "from click.testing import CliRunner\n"
        "from iondlms.cli.web import web\n"
        "done = CliRunner().invoke(web, ['--help'])\n"
        "assert done.exit_code == 0 and '--every' in done.output, done\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert importlib.import_module("iondlms.web").__all__
