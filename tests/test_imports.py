"""What an import may cost: the light paths nothing heavy, the core the standard library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import iondlms

ROOT = Path(__file__).parent.parent
HEAVY = {"rich", "pydantic", "serialx", "numpy"}
# Rooms that live on the standard library alone, and every module in them.
CORE = ["errors", "codec", "hdlc", "wrapper", "acse", "xdlms", "cosem", "ion", "trace", "client"]
# But for this one: imported when a program asks for NumPy arrays, which test_client_is_light holds it to.
OF_AN_EXTRA = "iondlms.codec.numpy_columns"

REPORT = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter; return the top-level modules it has loaded at its end."""
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\n{REPORT}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_report_sees_what_is_loaded() -> None:
    assert loaded_by("import pydantic") >= {"pydantic", "json"}


@pytest.mark.parametrize("module", ["iondlms", "iondlms.client"])
def test_client_is_light(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert "iondlms" in loaded
    assert loaded & HEAVY == set()


def test_version_is_light() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['iondlms', '--version']\n"
        "try:\n"
        "    runpy.run_module('iondlms', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
    )
    loaded = loaded_by(program)
    assert "iondlms" in loaded, "this is not the command line"
    # What `importlib.metadata` brings along, which is as much as all the rest; and click takes as long again.
    assert loaded & (HEAVY | {"asyncio", "email", "zipfile", "click"}) == set()


def test_the_version_is_named_once() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    source = pyproject["tool"]["hatch"]["version"]["path"]
    assert "version" not in pyproject["project"]
    assert pyproject["project"]["dynamic"] == ["version"]
    # As the build finds it.
    named = re.findall(r'^__version__ = "([^"]+)"', (ROOT / source).read_text("utf-8"), re.MULTILINE)
    assert named == [iondlms.__version__] == [version("iondlms")], "install again: pip install -e ."


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "iondlms"], ["iondlms"]], ids=["module", "script"]
)
def test_version_is_told(command: list[str]) -> None:
    if command == ["iondlms"]:
        command = [sys.executable.rsplit("/", 1)[0] + "/iondlms"]
    run = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert version("iondlms") in run.stdout
    # In any other company click tells it, in the same words.
    other = subprocess.run(
        [*command, "--version", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (other.returncode, other.stdout) == (0, run.stdout)


def test_ctrl_c_while_the_command_is_imported_is_one_too() -> None:
    # It takes a tenth of a second, in which a shell that completes may be told to leave it.
    program = (
        "import signal, sys\n"
        "from iondlms.cli.entry import main\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'iondlms.cli.main':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "sys.argv = ['iondlms', '--help']\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


@pytest.mark.parametrize("room", CORE)
def test_core_needs_the_standard_library_alone(room: str) -> None:
    program = (
        "import importlib, pkgutil, sys\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"  # what the environment itself loads
        f"import iondlms.{room} as room\n"
        "for found in pkgutil.walk_packages(getattr(room, '__path__', ()), room.__name__ + '.'):\n"
        f"    if found.name != {OF_AN_EXTRA!r}:\n"
        "        importlib.import_module(found.name)\n"
        "others = {\n"
        "    name for name, module in sys.modules.items()\n"
        "    if name.partition('.')[0] not in before | {'iondlms'}\n"
        "    and 'site-packages' in (getattr(module, '__file__', None) or '')\n"
        "}\n"
        "assert not others, others\n"
    )
    loaded_by(program)
