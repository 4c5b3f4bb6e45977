"""The section on faults: its keys, its file and its commands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.test_docs_run import METER, SHOWN, as_run, blocks, ended, served, settings, verb

from iondlms.meter.config import load
from iondlms.meter.fault_rules import ACTIONS
from iondlms.meter.fault_sections import FaultRuleSection

SECTION = METER.read_text("utf-8").partition("## Faults on demand")[2].partition("\n## ")[0]


def test_every_key_is_in_the_table() -> None:
    shown = re.findall(r"^(\| `[a-z_]+` \|[^|]*\|[^|]*\|) ([^|]+) \|$", SECTION, re.MULTILINE)
    expected = [row.replace("`fault.", "`") for row in settings("fault")]
    assert [begin for begin, _ in shown] == expected
    assert len(expected) == len(FaultRuleSection.model_fields)


def test_every_action_is_told() -> None:
    table = SECTION.partition("| action |")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
    assert told == list(ACTIONS)


def test_the_file_shown_is_one(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(METER, "toml") if "[[fault]]" in block]
    file = tmp_path / "faults.toml"
    file.write_text(block, "utf-8")
    assert [each.action for each in load(file).fault] == ["drop", "refuse", "power_cut"]


def test_the_commands_shown_do_what_they_say(tmp_path: Path) -> None:
    commands = [line for line in SECTION.splitlines() if line.startswith("iondlms ")]
    assert {verb(line) for line in commands} == {"ctl"}
    process, _ = served("iondlms serve --data meter --history 5 --listen 127.0.0.1:0", tmp_path)
    try:
        for line in commands:
            run = subprocess.run(
                ["bash", "-c", as_run(line, SHOWN)],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (run.returncode, run.stderr) == (0, ""), line
            assert run.stdout, line
    finally:
        ended(process)
