"""Rows of the same types with strings of any length among them: read by what stands between the strings.

What `shapes` is for rows that are all of one length, texts and structures allowed. Between two
strings all tags stand at fixed offsets: each such segment is unpacked at once, its tags with its values, and
the tags are compared. The results are those of `axdr`; a row that is not of the pattern is left to it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import islice, repeat
from operator import itemgetter, methodcaller
from typing import Final, NamedTuple

from iondlms.codec.axdr import Data, Value
from iondlms.codec.plan import Row
from iondlms.codec.tags import FIXED, Tag

__all__ = ["Pattern"]

_CODES: Final = {**FIXED, Tag.BOOLEAN: "?"}
_STRINGS: Final = frozenset((Tag.OCTET_STRING, Tag.VISIBLE_STRING))
_DATE_TIME: Final = 12  # octets of the one octet-string whose length is not expected to vary
_SHORT: Final = 0x80  # lengths below it have one octet
_LATIN: Final = methodcaller("decode", "latin-1")


class _Segment(NamedTuple):
    """What stands up to the next string, its length included, or to the end of the row."""

    unpack: Callable[[bytes, int], tuple[Value, ...]]  # what must be the same, a value, what must be, ...
    size: int
    same: tuple[bytes, ...]
    string: Tag | None  # the type of the string behind it
    values: struct.Struct  # the values alone
    constants: tuple[tuple[int, bytes], ...]  # offset, and the octet that must stand there

    def columns(self, parts: list[bytes], strings: list[bytes]) -> list[Iterable[Value]] | None:
        """Return the values of this segment in many rows; None if one of them is none."""
        octets = b"".join(parts)
        for offset, octet in self.constants:
            if octets[offset :: self.size] != octet * len(parts):
                return None
        columns: list[Iterable[Value]] = list(zip(*self.values.iter_unpack(octets), strict=True))
        if self.string is None:
            return columns
        if max(octets[self.size - 1 :: self.size]) >= _SHORT:
            return None
        columns.append(strings if self.string is Tag.OCTET_STRING else map(_LATIN, strings))
        return columns


class _Nested(NamedTuple):
    """A structure in a row: its elements' tags, and their places among the values."""

    tags: tuple[Tag, ...]
    places: tuple[int, ...]


class Pattern:
    """The types of a row, as `of` reads them off one."""

    __slots__ = ("_heads", "_nested", "_pick", "_places", "_segments")

    def __init__(
        self, segments: tuple[_Segment, ...], nested: tuple[_Nested, ...], places: tuple[int, ...]
    ) -> None:
        self._segments = segments
        self._heads = tuple([segment[:4] for segment in segments])
        self._nested = nested  # each is one more value, in this order
        self._places = places
        self._pick: Callable[[list[Value]], Row] = (
            itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)
        )

    @classmethod
    def of(cls, row: Data, most: int) -> Pattern | None:
        """Return that of a structure; None for types in it that this cannot, or more than `most` elements."""
        if row.tag is not Tag.STRUCTURE or not row.items():
            return None
        maker = _Maker(most)
        places = maker.elements(row)
        if maker.failed:
            return None
        maker.end(None)
        nested = [_Nested(tags, maker.resolved(inner)) for tags, inner in maker.nested]
        return cls(tuple(maker.segments), tuple(nested), maker.resolved(places))

    def row(self, octets: bytes, at: int) -> tuple[Row, int] | None:
        """Return the row that begins there, and where it ends; None if it is not of this pattern."""
        values: list[Value] = [None]  # for null-data
        end = len(octets)
        for unpack, size, same, string in self._heads:
            stop = at + size
            if stop > end:
                return None
            found = unpack(octets, at)
            if found[::2] != same:
                return None
            values += found[1::2]
            at = stop
            if string is None:
                continue
            length = octets[at - 1]
            stop = at + length
            if length >= _SHORT or stop > end:
                return None
            text = octets[at:stop]
            values[-1] = text if string is Tag.OCTET_STRING else str(text, "latin-1")
            at = stop
        make = tuple.__new__
        for tags, places in self._nested:
            values.append(
                tuple([make(Data, (tag, values[place])) for tag, place in zip(tags, places, strict=True)])
            )
        return self._pick(values), at

    def rows(self, octets: bytes, at: int, count: int) -> tuple[list[Row], int] | None:
        """Return so many rows that begin there, and where they end; None if one is not of this pattern.

        First the segments are cut out by what the lengths say, right or wrong. Then each of them is looked at
        in all rows at once, since it is equally long in all.
        """
        parts: list[list[bytes]] = [[] for _ in self._segments]
        strings: list[list[bytes]] = [[] for _ in self._segments]
        cuts = [
            (segment.size, segment.string is not None, part.append, string.append)
            for segment, part, string in zip(self._segments, parts, strings, strict=True)
        ]
        end = len(octets)
        for _ in range(count):
            for size, has_string, part, string in cuts:
                stop = at + size
                if stop > end:
                    return None
                part(octets[at:stop])
                at = stop
                if has_string:
                    at = stop + octets[stop - 1]
                    string(octets[stop:at])
        if at > end:
            return None
        columns: list[Iterable[Value]] = [repeat(None)]  # for null-data
        for segment, found, texts in zip(self._segments, parts, strings, strict=True):
            some = segment.columns(found, texts)
            if some is None:
                return None
            columns += some
        for tags, places in self._nested:
            elements = [
                map(tuple.__new__, repeat(Data), zip(repeat(tag), columns[place], strict=False))
                for tag, place in zip(tags, places, strict=True)
            ]
            columns.append(zip(*elements, strict=False) if elements else repeat(()))
        return list(islice(zip(*[columns[place] for place in self._places], strict=False), count)), at


class _Maker:
    """Goes through a row and collects segments, and where its values will be.

    A structure's place is given as -1 for the first that ends, and so on: all of them stand behind the plain
    values, whose number is not known before.
    """

    def __init__(self, most: int) -> None:
        self.segments: list[_Segment] = []
        self.nested: list[_Nested] = []
        self.failed = False
        self._left = most  # elements
        self._count = 1  # of plain values, the one for null-data among them
        self._head = b""
        self._same: list[bytes] = []
        self._form: list[str] = []  # codes: what is the same, a value, what is the same, ...

    def elements(self, structure: Data) -> tuple[int, ...]:
        """Return the places of a structure's elements."""
        count = len(structure.items())
        self.failed = self.failed or count >= _SHORT
        self._head += bytes((Tag.STRUCTURE, count & 0x7F))
        return tuple([self._place(element) for element in structure.items()])

    def resolved(self, places: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same once all values are counted."""
        return tuple([place if place >= 0 else self._count - 1 - place for place in places])

    def end(self, string: Tag | None) -> None:
        """End a segment: a string follows, or nothing."""
        if self._head:
            self._form.append(f"{len(self._head)}s")
            self._same.append(self._head)
        if not self._form:
            return
        form = struct.Struct(">" + "".join(self._form))
        # The length of a string is no value: it is the last octet of its segment.
        plain = self._form[:-1] if string is not None else self._form
        values = "".join([code if at % 2 else f"{code[:-1]}x" for at, code in enumerate(plain)])
        constants: list[tuple[int, bytes]] = []
        offset = 0
        for at, code in enumerate(self._form):
            if at % 2 == 0:
                same = self._same[at // 2]
                constants += [(offset + place, same[place : place + 1]) for place in range(len(same))]
            offset += struct.calcsize(f">{code}")
        self.segments.append(
            _Segment(
                form.unpack_from,
                form.size,
                tuple(self._same),
                string,
                struct.Struct(f">{values}x" if string is not None else f">{values}"),
                tuple(constants),
            )
        )
        self._head, self._same, self._form = b"", [], []

    def _place(self, data: Data) -> int:
        tag, value = data
        self._left -= 1
        self.failed = self.failed or self._left < 0
        if self.failed:
            return 0
        if tag is Tag.STRUCTURE:
            places = self.elements(data)
            self.nested.append(_Nested(tuple([element.tag for element in data.items()]), places))
            return -len(self.nested)
        self._head += bytes((tag,))
        if tag is Tag.NULL_DATA:
            return 0
        code = _CODES.get(tag)
        string = None
        if tag is Tag.OCTET_STRING and isinstance(value, bytes) and len(value) == _DATE_TIME:
            self._head += bytes((_DATE_TIME,))
            code = f"{_DATE_TIME}s"
        elif tag in _STRINGS:
            code, string = "B", tag
        self._count += 1
        if code is None:
            self.failed = True
            return 0
        self._form += [f"{len(self._head)}s", code]
        self._same.append(self._head)
        self._head = b""
        if string is not None:
            self.end(string)
        return self._count - 1
