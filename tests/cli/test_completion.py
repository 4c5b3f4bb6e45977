"""`iondlms completion`: its scripts in the shells themselves, and what they are told."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iondlms.cli.main import VERBS
from iondlms.client.names import NAMES, PROFILE_CLASS

BIN = Path(sys.executable).parent
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PREPARED = {
    "bash": 'eval "$(iondlms completion bash)"',
    "zsh": 'bindkey -e; autoload -U compinit; compinit -u -D; eval "$(iondlms completion zsh)"',
    "fish": "iondlms completion fish | source",
}
LIMIT_S = 20.0


def plain(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IONDLMS_", "_IONDLMS"))}
    return kept | {"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "} | more


def script(shell: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "iondlms"), "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain(), timeout=30)


def offered(*words: str, shell: str = "fish") -> list[str]:
    """Return what is offered for the last word, without what shells differ in."""
    asked = plain(_IONDLMS_COMPLETE=f"{shell}_complete", COMP_WORDS=" ".join(("iondlms", *words)))
    asked["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words))
    done = subprocess.run(
        [str(BIN / "iondlms")], capture_output=True, text=True, check=False, env=asked, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2].partition("\t")[0] for line in done.stdout.splitlines() if line]


class Terminal:
    """A shell on a terminal, as a person has it."""

    def __init__(self, master: int) -> None:
        self.master = master

    def until(self, mark: str) -> str:
        """Return what it shows until the mark is there."""
        shown, end = "", time.monotonic() + LIMIT_S
        while mark not in shown:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {mark!r} in {shown!r}"
            shown += os.read(self.master, 65536).decode("utf-8", "replace")
        return shown

    def completed(self, text: str) -> str:
        """Type text and Tab, and return the line as the shell then has it."""
        os.write(self.master, text.encode() + b"\t")
        # Ctrl-A: to the beginning of the line, which is not run but shown.
        os.write(self.master, b"\x01printf 'line[%s]\\n' '\x05'\n")
        return self.until("]\r\n").rpartition("line[")[2].partition("]")[0]


@contextmanager
def terminal(shell: str, home: Path) -> Iterator[Terminal]:
    home_of = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    # A fork, for fish wants a terminal that is its own.
    child, master = pty.fork()
    if child == 0:  # pragma: no cover
        os.execvpe(shell, SHELLS[shell], plain(**home_of))
    try:
        found = Terminal(master)
        os.write(master, f"{PREPARED[shell]}; echo rea''dy\n".encode())
        found.until("ready\r\n")
        yield found
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(master)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_completes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{shell} is not installed; .ci/run installs it")
        pytest.skip(f"{shell} is not installed")
    with terminal(shell, tmp_path) as typed:
        assert typed.completed("iondlms expla").rstrip() == "iondlms explain"
        assert (
            typed.completed("iondlms read tcp://127.0.0.1:4059 kWh-del-i").rstrip().endswith(" kWh-del-int")
        )
        assert typed.completed("iondlms profile tcp://127.0.0.1:4059 bil").rstrip().endswith(":4059 billing")
        assert typed.completed("iondlms read tcp://h:1 name --trace-se").rstrip().endswith(" --trace-secrets")
        assert (
            typed.completed("iondlms profile tcp://h:1 load --output=jsonl --col")
            .rstrip()
            .endswith("--columns")
        )


def test_the_names_of_the_ion_map_are_offered() -> None:
    profiles = {name for name, item in NAMES.items() if item.class_id == PROFILE_CLASS}
    assert set(offered("profile", "tcp://h", "")) == profiles == {"load", "billing"}
    assert set(offered("read", "tcp://h", "clock", "")) == set(NAMES) - profiles
    assert offered("read", "tcp://h", "KWH-DEL-I") == ["kWh-del-int"]
    assert offered("profile", "tcp://h", "load", "--columns", "kWh-rec-int,kVARh-rec-i") == [
        "kWh-rec-int,kVARh-rec-int"
    ]


def test_verbs_commands_and_options_are_offered() -> None:
    assert offered("") == list(VERBS)
    assert offered("--v") == ["--version"]
    assert offered("config", "s") == ["schema", "show"]
    assert "rearm" in offered("ctl", "meter", "")
    assert "rearm" in offered("ctl", "meter", "nothing", "")  # and not a word on stderr
    assert offered("completion", "") == ["bash", "zsh", "fish"]
    assert {"--columns", "--password-file", "--unit"} <= set(offered("profile", "tcp://h", "--"))
    assert offered("objects", "tcp://h", "-o", "js") == ["json", "jsonl"]


def test_the_pieces_that_bash_makes_of_a_url_are_one_word_again() -> None:
    url = ("tcp", ":", "//127.0.0.1", ":", "4059?unit", "=", "100")
    assert offered("profile", *url, "b", shell="bash") == ["billing"]
    assert offered("profile", *url, "load", "--output", "=", "js", shell="bash") == ["json", "jsonl"]
    assert offered("profile", *url, "load", "--output", "=", shell="bash")[0] == "table"
    assert offered("read", *url, "1-1", ":", shell="bash") == []


def test_the_scripts_are_those_of_the_shells() -> None:
    for shell, word in (
        ("bash", "complete -o"),
        ("zsh", "#compdef iondlms"),
        ("fish", "complete --no-files"),
    ):
        done = script(shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert word in done.stdout
        assert f"{shell}_complete" in done.stdout
    refused = script("tcsh")
    assert refused.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in refused.stderr


@pytest.mark.parametrize(
    "asked",
    [
        {"_IONDLMS_COMPLETE": "1"},
        {"_IONDLMS_COMPLETE": "bash_complete"},
        {"_IONDLMS_COMPLETE": "bash_complete", "COMP_WORDS": "iondlms", "COMP_CWORD": "x"},
    ],
    ids=["no shell", "no words", "no number"],
)
def test_what_is_no_question_of_a_shell_is_refused(asked: dict[str, str]) -> None:
    done = subprocess.run(
        [str(BIN / "iondlms"), "explain", "7E"],
        capture_output=True,
        text=True,
        check=False,
        env=plain(**asked),
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("iondlms: _IONDLMS_COMPLETE is for the scripts of `iondlms completion`")


@pytest.mark.parametrize("words", [("",), ("se",), ("completion", "b")])
def test_a_verb_is_completed_without_what_verbs_need(words: tuple[str, ...]) -> None:
    code = "import sys; from iondlms.cli.main import main; sys.argv[:] = ['iondlms']\ntry: main()\n"
    code += "except SystemExit: print(*{'asyncio', 'pydantic', 'iondlms.client'}.intersection(sys.modules))"
    asked = plain(
        _IONDLMS_COMPLETE="fish_complete", COMP_WORDS=" ".join(("iondlms", *words)), COMP_CWORD=words[-1]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=asked)
    assert done.stdout.splitlines()[-1] == ""
