"""Where in a TOML file each key stands: `tomllib` gives the values and keeps the lines to itself.

Only for text that `tomllib` has read: what it would refuse is not looked for here.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

__all__ = ["Place", "key_of", "lines_of_places", "printable"]

Place = tuple[str | int, ...]  # ("data_recorder", 1, "sources", 3); sections and elements count from 0

_BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_ONE_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_EACH_KEY: Final = re.compile(_ONE_KEY)
_KEY: Final = re.compile(_ONE_KEY + r"(?:[ \t]*\.[ \t]*" + _ONE_KEY + ")*")
# Three quotes end a long string, but two more may stand before them.
_SCALAR: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]\}\n#]+",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_DEEPEST: Final = (
    64  # parts of a place that has a line; no section is deeper than 6, and each costs all above
)


def lines_of_places(text: str) -> dict[Place, int]:
    """Return the line, from 1, of each section, key and element of an array."""
    return _Scanner(text.replace("\r\n", "\n")).lines


def key_of(place: Place) -> str:
    """Return a place as people write it: `data_recorder[1].sources[3]`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN.fullmatch(part) else f"'{printable(part)}'")
    return text


def printable(text: str) -> str:
    """Return a text with what a terminal would not show, or would obey, written as Python does."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._counted = 0  # where the line was counted last
        self._line = 1
        self._sections: dict[Place, int] = {}  # of each [[name]], how many so far
        table: Place = ()
        self._skip()
        while self._at < len(text):
            table = self._header() if text[self._at] == "[" else self._pair(table)
            self._skip()

    def _skip(self) -> None:
        """Pass over blanks, line ends and comments."""
        match = _BLANK.match(self._text, self._at)
        self._at = self._at if match is None else match.end()

    def _note(self, place: Place) -> None:
        """Take the present line for a place that is new."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self.lines.setdefault(place, self._line)

    def _keys(self) -> list[str]:
        """Read a key, of several with dots between them."""
        match = _KEY.match(self._text, self._at)
        written = "" if match is None else match[0]
        self._at += len(written)
        # One by one: tomllib takes the square of the time for all of them.
        return [next(iter(tomllib.loads(f"{key[0]} = 0"))) for key in _EACH_KEY.finditer(written)]

    def _header(self) -> Place:
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        self._skip()
        keys = self._keys()
        self._skip()
        self._at += 2 if many else 1
        place: Place = ()
        for number, key in enumerate(keys, 1):
            place = _below(place, key)
            self._note(place)
            if many and number == len(keys):
                self._sections[place] = self._sections.get(place, 0) + 1
            if place in self._sections:
                place = _below(place, self._sections[place] - 1)
                self._note(place)
        return place

    def _pair(self, table: Place) -> Place:
        place = table
        for key in self._keys():
            place = _below(place, key)
            self._note(place)
        self._skip()
        self._at += 1  # the equals sign
        self._skip()
        self._value(place)
        return table

    def _value(self, place: Place) -> None:
        opening = self._text[self._at]
        if opening in "[{":
            self._at += 1
            self._skip()
            number = 0
            while self._text[self._at] not in "]}":
                if opening == "{":
                    self._pair(place)
                else:
                    element = _below(place, number)
                    self._note(element)
                    self._value(element)
                    number += 1
                self._skip()
                if self._text[self._at] == ",":
                    self._at += 1
                    self._skip()
            self._at += 1
            return
        match = _SCALAR.match(self._text, self._at)
        self._at = len(self._text) if match is None else match.end()


def _below(place: Place, part: str | int) -> Place:
    """Return a place in another; that other, where it is too deep."""
    return (*place, part) if len(place) < _DEEPEST else place
