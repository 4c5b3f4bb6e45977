"""The docs tell of this tree: paths, rooms, commands, links, fragments, and the habits every file keeps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from iondlms.cli.main import ExitStatus
from iondlms.client.url import Target
from iondlms.errors import LocalError
from iondlms.meter.refusals import REFUSALS

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "src" / "iondlms"
DESIGN = ROOT / "docs" / "design.md"
STANDARD = ROOT / "docs" / "standard.md"
METER = ROOT / "docs" / "meter.md"
READ = ROOT / "docs" / "read.md"
README = ROOT / "README.md"

# What tools leave behind; nobody wrote it.
NOT_OURS = {
    ".git",
    ".venv",
    ".venv-peers",
    ".hypothesis",
    ".benchmarks",
    ".coverage",
    "__pycache__",
    "build",
    "dist",
    "site",
    "htmlcov",
    "node_modules",
}
NAMED_FILE = re.compile(r"(?<![\w./-])((?:[\w.-]+/)+[\w.-]+\.\w+|[\w-]+\.(?:py|md|toml|yml|svg))(?![\w/])")
THE_READERS = {"meter.toml"}  # files of whoever reads the page
NAMED_FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Written so that this file does not name what it forbids.
MACHINE_PATH = re.compile(r"(?<![\w.:/~$}-])/" + r"(?:work|root|home/\w+|Users/\w+)/")
DEMO = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/iondlms demo"
TESTS = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' -c constraints/dev.txt"
    " && .venv/bin/python -m pytest -q"
)
FULL_HOUSE = 450  # lines a source file may have


def our_files(*suffixes: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            n for n in folders if n not in NOT_OURS and not n.endswith(("_cache", ".egg-info"))
        )
        for name in sorted(set(names) - NOT_OURS):
            if not suffixes or Path(name).suffix in suffixes:
                yield Path(folder, name)


def modules() -> list[str]:
    """Every package (`hdlc/`) and module (`hdlc/frame.py`) of the house, as design.md names it."""
    names = []
    for path in sorted(HOUSE.rglob("*.py")):
        relative = path.relative_to(HOUSE)
        if path.name != "__init__.py":
            names.append(relative.as_posix())
        elif path.parent != HOUSE:
            names.append(f"{relative.parent.as_posix()}/")
    return names


@pytest.mark.parametrize("page", [DESIGN, STANDARD, METER, README], ids=lambda page: page.name)
def test_every_path_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = (set(NAMED_FILE.findall(text)) | set(NAMED_FOLDER.findall(text))) - THE_READERS
    assert named, "the patterns find no paths at all"
    gone = [n for n in sorted(named) if not any((base / n).exists() for base in (ROOT, HOUSE, ROOT / "docs"))]
    assert gone == []


def test_design_names_every_room() -> None:
    text = DESIGN.read_text("utf-8")
    assert len(modules()) > 10, "the house is not where it was"
    missing = [name for name in modules() if not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", text)]
    assert missing == []


def test_design_shows_the_floors_that_are_kept() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    kept = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = re.search(r"^```layers\n(.*?)^```", DESIGN.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1].splitlines() == [floor.replace("iondlms.", "") for floor in kept]


def test_the_path_of_a_request_goes_through_functions_that_exist() -> None:
    section = DESIGN.read_text("utf-8").partition("## The path of a request")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| \d+ \| `([^`]+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert len(steps) > 10, "no steps found"
    for file, names in steps:
        source = (HOUSE / file).read_text("utf-8")
        for name in re.findall(r"`([\w.]+)`", names):
            owner, _, function = name.rpartition(".")
            assert re.search(rf"^ *(?:async )?def {function}\(", source, re.MULTILINE), f"{file}: {name}"
            assert not owner or re.search(rf"^class {owner}\b", source, re.MULTILINE), f"{file}: {name}"


def test_standard_has_only_whole_rows() -> None:
    tables: dict[str, int] = {}
    section = ""
    for line in STANDARD.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line
        elif line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == 6, line
            assert all(cells), f"an empty cell: {line}"
            tables[section] = tables.get(section, 0) + 1
    for book in ("62056-46", "62056-47", "62056-53", "62056-61", "62056-62", "13239"):
        assert any(book in name and rows > 2 for name, rows in tables.items()), f"no table for {book}"


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text("utf-8"), re.MULTILINE)
    assert commands == [DEMO, TESTS]
    run = subprocess.run(
        [ROOT / ".ci" / "run", "--print-commands"], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == commands


def test_every_command_of_the_readme_is_understood() -> None:
    """Each verb has a help, and it tells of each option that the README uses with it."""
    blocks = "".join(FENCE.findall(README.read_text("utf-8")))
    lines = re.findall(r"^iondlms ([a-z]+)(.*)$", blocks, re.MULTILINE)
    used: dict[tuple[str, ...], set[str]] = {}
    for verb, rest in lines:
        # Groups have their options below: `config init`, `ctl DATA_DIR fault`.
        words = rest.split()
        command = {"config": words[:1], "fleet": words[:1], "ctl": words[:2]}.get(verb, [])
        used.setdefault((verb, *command), set()).update(re.findall(r"(?<=\s)--?[a-z][\w-]*", rest))
    assert used, "no command found"
    for command_words, options in used.items():
        command = [sys.executable, "-m", "iondlms", *command_words, "--help"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        told = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", run.stdout))
        assert options - told == set(), command_words


def test_every_refusal_without_an_object_is_told() -> None:
    text = METER.read_text("utf-8")
    answers = {answer.encode().hex(" ").upper() for answer in REFUSALS.values() if answer is not None}
    assert answers
    assert [answer for answer in sorted(answers) if f"`{answer}`" not in text] == []


def test_every_exit_status_is_told() -> None:
    told = re.findall(r"^\| (\d+) \| [^|]+ \|$", READ.read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number in told] == [int(status) for status in ExitStatus]


def test_every_key_of_a_url_is_told() -> None:
    keys: set[str] = set()
    for place in ("tcp://localhost", "serial:/dev/null", "optical:/dev/null", "modem:/dev/null"):
        with pytest.raises(LocalError, match="there are") as caught:
            Target.parse(f"{place}?no_such_key=1")
        keys |= set(str(caught.value).partition("there are ")[2].split(", "))
    table = READ.read_text("utf-8").partition("## The URL")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == keys


@pytest.mark.parametrize("page", list(our_files(".md")), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"
        if page.is_relative_to(ROOT / "docs"):
            assert file.is_relative_to(ROOT / "docs"), f"{target} is no page of the built docs"


def anchors(page: Path) -> set[str]:
    """The ids that Markdown renderers give to the headings of a page."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h.lower())).strip("-") for h in headings}


def test_every_page_is_in_the_navigation() -> None:
    # Read line by line: a YAML reader would be one more dependency for one list.
    navigation = re.findall(
        r"^ +- .*?([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
    docs = ROOT / "docs"
    assert sorted(navigation) == sorted(p.relative_to(docs).as_posix() for p in docs.rglob("*.md"))


def test_no_file_names_a_machine_path() -> None:
    found = []
    for path in our_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # pictures and captures
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


def test_constraints_name_no_host() -> None:
    files = sorted((ROOT / "constraints").glob("*.txt"))
    assert [f.name for f in files] == ["dev.txt", "interop.txt"]
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            if not line.lstrip().startswith("#"):
                assert re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+( ; [^:/@]+)?", line), f"{file.name}: {line}"
        assert "://" not in file.read_text("utf-8")


def test_change_fragments_have_a_legal_type() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
    types = {entry["directory"] for entry in config["type"]}
    beside = {"README.md", Path(config["template"]).name}
    fragments = [
        p for p in (ROOT / config["directory"]).iterdir() if p.name not in beside and p.name != ".gitkeep"
    ]
    for fragment in fragments:
        match = re.fullmatch(r"[a-z0-9][a-z0-9-]*\.([a-z]+)\.md", fragment.name)
        assert match is not None, fragment.name
        assert match[1] in types, fragment.name
        assert fragment.read_text("utf-8").strip(), f"{fragment.name} says nothing"


def test_no_source_file_is_over_full() -> None:
    lengths = {
        p.relative_to(ROOT).as_posix(): len(p.read_text("utf-8").splitlines()) for p in HOUSE.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > FULL_HOUSE} == {}
