"""`iondlms completion`: the shell completes verbs, options and names; and what it is then offered.

The scripts and the answers are click's; they run `iondlms` itself, with `COMPLETE` in the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

import click
from click.shell_completion import BashComplete, ShellComplete, get_completion_class

from iondlms.errors import LocalError

__all__ = ["COMPLETE", "answer", "completion", "offer_columns", "offer_profiles", "offer_values"]

COMPLETE: Final = "_IONDLMS_COMPLETE"
_PROGRAM: Final = "iondlms"
_SHELLS: Final = ("bash", "zsh", "fish")
# bash makes a word of its own of each run of these, so a URL or an OBIS code comes in pieces.
_BREAKS: Final = re.compile(r"[:=]+")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes verbs, options and the names of values.

    \b
    bash: eval "$(iondlms completion bash)" in ~/.bashrc
    zsh:  eval "$(iondlms completion zsh)" in ~/.zshrc, below compinit
    fish: iondlms completion fish > ~/.config/fish/completions/iondlms.fish
    """
    maker = _maker(shell)
    if maker is None:  # the choice above names only what click has
        raise LocalError(f"click has no completion for {shell}; there are {', '.join(_SHELLS)}")
    root = click.get_current_context().find_root().command
    click.echo(maker(root, {}, _PROGRAM, COMPLETE).source(), nl=False)


def answer(root: click.Command) -> int:
    """Tell the shell, as its script asked in the environment, what may come next; return the exit status."""
    shell, _, wanted = os.environ.get(COMPLETE, "").partition("_")
    maker = _maker(shell) if wanted == "complete" else None
    if maker is None or not _asks(shell):
        raise LocalError(f"{COMPLETE} is for the scripts of `iondlms completion`; unset it")
    click.echo(maker(root, {}, _PROGRAM, COMPLETE).complete())
    return 0


class _WholeWords(BashComplete):
    """bash, with the words joined again that it broke at colons and equals signs."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        whole: list[str] = []
        glued = False
        for word in (*args, incomplete):
            broken = _BREAKS.fullmatch(word) is not None
            if whole and (glued or broken):
                whole[-1] += word
            else:
                whole.append(word)
            glued = broken
        return whole[:-1], whole[-1]


def _asks(shell: str) -> bool:
    """Whether there are the line and the word it ends in: fish says that word, the others its number."""
    last = os.environ.get("COMP_CWORD")
    return "COMP_WORDS" in os.environ and last is not None and (shell == "fish" or last.isdecimal())


def _maker(shell: str) -> type[ShellComplete] | None:
    return _WholeWords if shell == "bash" else get_completion_class(shell) if shell in _SHELLS else None


def offer_values(_context: click.Context, _parameter: click.Parameter, text: str) -> list[str]:
    """Offer the names of what `iondlms read` reads."""
    return [name for name, profile in _names(text) if not profile]


def offer_profiles(_context: click.Context, _parameter: click.Parameter, text: str) -> list[str]:
    """Offer the names of profiles."""
    return [name for name, profile in _names(text) if profile]


def offer_columns(_context: click.Context, _parameter: click.Parameter, text: str) -> list[str]:
    """Offer the names of a profile's columns, behind each comma anew."""
    before, comma, last = text.rpartition(",")
    return [f"{before}{comma}{name}" for name, profile in _names(last) if not profile]


def _names(beginning: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that begin so, and whether each is of a profile."""
    # Imported here: who completes a verb or an option does not wait for them.
    from iondlms.client.names import NAMES, PROFILE_CLASS

    for name, item in NAMES.items():
        if name.lower().startswith(beginning.lower()):
            yield name, item.class_id == PROFILE_CLASS
