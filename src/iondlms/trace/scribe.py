"""A cursor that writes down what it reads: the tree of nodes grows as the octets are taken.

A shortage or an undefined value leaves a node with the error where it happened, and `Unreadable` goes up to
the nearest group of known size; what stands behind that group is explained all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError
from iondlms.trace.node import Node

__all__ = ["Scribe", "Unreadable", "message_of"]

_OFFSET = re.compile(r" at offset \d+")


class Unreadable(DecodeError):
    """What follows cannot be explained; the error stands in the tree already."""


def message_of(error: DecodeError) -> str:
    """Return the text of an error without its offset: the node that carries it has the right one."""
    return _OFFSET.sub("", str(error))


class Scribe:
    """Reads `data[start:end]`; `base` is added to the offsets that are written down."""

    __slots__ = ("_data", "_into", "base", "nodes", "reader")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None, base: int = 0) -> None:
        self._data = data
        self.reader = Reader(data, start, end)
        self.base = base
        self.nodes: list[Node] = []
        self._into = self.nodes

    @property
    def position(self) -> int:
        """Offset of the next octet in the data, without `base`."""
        return self.reader.position

    @property
    def remaining(self) -> int:
        """Octets left in the group of known size that is being read."""
        return self.reader.remaining

    def since(self, start: int) -> bytes:
        """Return the octets read since `position` was `start`."""
        return self._data[start : self.position]

    @property
    def written(self) -> list[Node]:
        """The nodes of the group that is being read."""
        return self._into

    def ahead(self, count: int) -> bytes:
        """Return the next octets without taking them, fewer if fewer are left."""
        return self._data[self.position : self.position + min(count, self.remaining)]

    def note(self, label: str, value: str = "", error: str | None = None) -> Node:
        """Write a node without octets."""
        node = Node(self.base + self.position, label, value, error=error)
        self._into.append(node)
        return node

    def take(self, count: int, label: str, say: Callable[[bytes], str] | str = "") -> bytes:
        """Take octets and write them down with what `say` makes of them."""
        start = self.position
        if count > self.remaining:
            octets = self.reader.rest()
            error = f"{count} octet{'s' * (count != 1)} expected, {len(octets) or 'none'} left"
            self._into.append(Node(self.base + start, label, "", octets, error))
            raise Unreadable(error)
        octets = self.reader.take(count)
        self._into.append(
            Node(self.base + start, label, say if isinstance(say, str) else say(octets), octets)
        )
        return octets

    def unsigned(self, count: int, label: str, say: Callable[[int], str] = str) -> int:
        """Take an unsigned integer of `count` octets."""
        octets = self.take(count, label, lambda octets: say(int.from_bytes(octets, "big")))
        return int.from_bytes(octets, "big")

    def code(self, label: str, names: Callable[[int], str | None]) -> int:
        """Take one octet that stands for something; one without a name is an error, and is read on behind."""
        number = self.unsigned(1, label)
        name = names(number)
        if name is None:
            self._into[-1].error = f"{number} is not defined"
        else:
            self._into[-1].value = f"{name} ({number})"
        return number

    def length(self, label: str) -> int:
        """Take a length or count."""
        start = self.position
        try:
            count = self.reader.length()
        except DecodeError as error:
            raise self.refuse(label, message_of(error), start) from error
        self._into.append(Node(self.base + start, label, str(count), self.since(start)))
        return count

    def refuse(self, label: str, error: str, start: int | None = None) -> Unreadable:
        """Write down an error at `start` or here, and return the exception to raise."""
        begin = self.position if start is None else start
        octets = self.since(begin) or self._data[begin : begin + min(1, self.remaining)]
        self._into.append(Node(self.base + begin, label, "", octets, error))
        return Unreadable(error)

    @contextmanager
    def group(self, label: str, size: int | None = None, start: int | None = None) -> Iterator[Node]:
        """Write what is read inside as children of one node.

        With `size` the group is bounded: shortage, surplus and what cannot be read are its own matter, and
        reading goes on behind it. `start` takes octets read before into the octets of the node.
        """
        begin = self.position if start is None else start
        node = Node(self.base + begin, label)
        self._into.append(node)
        outer, into = self.reader, self._into
        self._into = node.children
        if size is not None:
            if size > outer.remaining:
                node.error = f"the length says {size}, {outer.remaining} octets are there"
            self.reader = outer.sub(min(size, outer.remaining))
        try:
            yield node
            if size is not None and self.remaining:
                count = self.remaining
                error = f"{count} surplus octet{'s' * (count != 1)}"
                node.children.append(
                    Node(self.base + self.position, "surplus", "", self.reader.rest(), error)
                )
        except Unreadable:
            if size is None:
                raise
            if self.remaining:
                offset = self.base + self.position
                node.children.append(Node(offset, "not explained", "", self.reader.rest()))
        finally:
            if size is not None:
                self.reader = outer
            self._into = into
            node.octets = self.since(begin)

    def add(self, node: Node) -> None:
        """Write a node that was made elsewhere."""
        self._into.append(node)

    def drop(self) -> Node:
        """Take back the node written last on this level."""
        return self._into.pop()
