"""`--trace` of every verb: the octets on stderr, explained, or kept in a file."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from iondlms.errors import LocalError

if TYPE_CHECKING:
    from iondlms.trace import Explainer, Node, TraceWriter

__all__ = ["Trace"]

_SUFFIXES: Final = frozenset((".txt", ".jsonl"))


@dataclass(slots=True)
class Trace:
    """What is to be shown of the line, and where."""

    shown: bool = False
    explained: bool = False
    path: Path | None = None
    secrets: bool = False
    _writers: list[TraceWriter] = field(default_factory=list)
    _explainer: Explainer | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _open: bool = False

    @property
    def active(self) -> bool:
        """Whether anything is wanted at all."""
        return self.shown or self.explained or self.path is not None

    def octets(self, direction: Literal["TX", "RX"], octets: bytes, _now: float) -> None:
        """Take a piece as it travels: the hook of the client."""
        if not self._open:
            self._begin()
        when = datetime.now(UTC).astimezone()
        for writer in self._writers:
            writer.write(direction, octets, when)
        if self._explainer is not None:
            self._tell(self._explainer.feed(octets, direction))

    def _begin(self) -> None:
        # Imported here: it is a third of what a verb imports, and most runs show no trace.
        from iondlms.trace import Explainer, TraceWriter

        self._open = True
        if self.shown or self.explained:
            self._writers.append(TraceWriter(sys.stderr, secrets=self.secrets))
        if self.explained:
            self._explainer = Explainer(secrets=self.secrets)
        if self.path is not None:
            if self.path.suffix.lower() not in _SUFFIXES:
                raise LocalError(f"--trace-file {self.path}: name it .txt or .jsonl, which decides the form")
            try:
                writer = TraceWriter(self.path, secrets=self.secrets)
            except OSError as error:
                raise LocalError(f"--trace-file {self.path}: cannot be written: {error.strerror}") from error
            self._writers.append(self._stack.enter_context(writer))

    def _tell(self, nodes: list[Node]) -> None:
        if nodes:
            from iondlms.trace import render

            click.echo(render(nodes), err=True)

    def close(self) -> None:
        """Explain what is left, and close the file."""
        if self._explainer is not None:
            self._tell(self._explainer.finish())
            self._explainer = None
        self._stack.close()
