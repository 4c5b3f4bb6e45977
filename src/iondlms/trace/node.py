"""One line of an explanation and what hangs below it: octets, what they are, what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Node", "render"]

# Eight octets show every fixed field whole, and leave room for words in 110 columns.
_SHOWN_OCTETS: Final = 8
_HEX_COLUMN: Final = _SHOWN_OCTETS * 3 + 8


@dataclass(slots=True)
class Node:
    """What some octets mean; `offset` counts in the stream, or in the joined octets the node hangs under."""

    offset: int
    label: str
    value: str = ""
    octets: bytes = b""
    error: str | None = None
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def errors(self) -> list[Node]:
        """The nodes at which an error is pointed."""
        return [node for node in self.walk() if node.error is not None]

    def render(self, depth: int = 0) -> list[str]:
        """Return lines: offset, octets (long ones cut, with their count), the meaning, indented.

        An error is a line of its own below what it is about, marked with `!` in the first column.
        """
        text = f"{self.label}: {self.value}" if self.label and self.value else self.label or self.value
        left = f"  {self.offset:5d}  {_hex(self.octets):{_HEX_COLUMN}}"
        indent = "  " * depth
        lines = [f"{left}{indent}{text}".rstrip()]
        if self.error is not None:
            lines.append(f"! {self.offset:5d}  {'':{_HEX_COLUMN}}{indent}^ {self.error}")
        for child in self.children:
            lines += child.render(depth + 1)
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the tree as plain values for JSON; `octets` as hex, `error` only where there is one."""
        tree: dict[str, Any] = {
            "offset": self.offset,
            "octets": self.octets.hex().upper(),
            "label": self.label,
            "value": self.value,
        }
        if self.error is not None:
            tree["error"] = self.error
        if self.children:
            tree["children"] = [child.as_dict() for child in self.children]
        return tree


def render(nodes: list[Node]) -> str:
    """Return the text of several trees, each ended by a newline."""
    return "".join(f"{line}\n" for node in nodes for line in node.render())


def _hex(octets: bytes) -> str:
    if len(octets) <= _SHOWN_OCTETS:
        return octets.hex(" ").upper()
    return f"{octets[:_SHOWN_OCTETS].hex(' ').upper()} … {len(octets)}"
