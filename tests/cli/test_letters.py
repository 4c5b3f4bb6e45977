"""A letter means the same with every verb."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from iondlms.cli import ctl
from iondlms.cli.main import _iondlms
from iondlms.errors import LocalError


def options(command: click.Command, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each option of a command and of those below it: where it is, and how it may be written."""
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield name, parameter.opts
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None, each
            yield from options(below, f"{name} {each}")


def test_an_option_has_the_same_letters_wherever_it_is() -> None:
    letters: dict[str, dict[frozenset[str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, written in options(_iondlms, "iondlms"):
        short = frozenset(each for each in written if not each.startswith("--"))
        for each in written:
            if each.startswith("--"):
                letters[each][short].append(name)
    assert {option: dict(found) for option, found in letters.items() if len(found) > 1} == {}
    assert set(letters["--unit"]) == {frozenset(("-s", "-u"))}  # Gurux's letter, and its own


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("clock", "step", "-90s"), {"command": "clock", "step": "-90s"}),
        (("clock", "step", "-1.5h", "-s", "7"), {"command": "clock", "step": "-1.5h", "unit": 7}),
        (("clock", "-u", "7", "step", "-90"), {"command": "clock", "step": "-90", "unit": 7}),
        (("clock", "step", "-u7", "-90s"), {"command": "clock", "step": "-90s", "unit": 7}),
        (("clock", "step", "--unit=7", "-90s"), {"command": "clock", "step": "-90s", "unit": 7}),
        (("clock", "step", "--", "-5m"), {"command": "clock", "step": "-5m"}),
        (("fault", "clock-step", "-90s", "--after", "2"),
         {"command": "fault", "rule": {"action": "clock_step", "step": "-90s", "after": 2}}),
        (("fault", "clock-step", "--after", "2", "--seed", "-3", "-90s"),
         {"command": "fault", "rule": {"action": "clock_step", "step": "-90s", "after": 2, "seed": -3}}),
        (("fault", "damage", "--octet", "-3"),
         {"command": "fault", "rule": {"action": "damage", "octet": -3}}),
    ],
)  # fmt: skip
def test_what_goes_back_is_no_letters(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: dict[str, object]
) -> None:
    heard: list[dict[str, object]] = []

    def ask(_socket: Path, request: dict[str, object]) -> dict[str, object]:
        heard.append({key: value for key, value in request.items() if value != ""})
        raise LocalError("heard")

    monkeypatch.setattr(ctl, "ask", ask)
    done = CliRunner().invoke(ctl.ctl, ["meter.sock", *words])
    assert isinstance(done.exception, LocalError), done.output
    assert heard == [asked]


def test_a_letter_is_not_of_two_options() -> None:
    meanings: dict[str, set[str]] = defaultdict(set)
    for _, written in options(_iondlms, "iondlms"):
        longest = next(each for each in written if each.startswith("--"))
        for each in written:
            if not each.startswith("--"):
                meanings[each].add(longest)
    meanings["-o"].discard("--form")  # of `import-history`: the form too, but of what it reads
    assert {letter: meant for letter, meant in meanings.items() if len(meant) > 1} == {}
