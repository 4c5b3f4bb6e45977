"""The lines of keys: every place that tomllib finds has one, and it is the right one."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.meter.places import Place, key_of, lines_of_places, printable


def places(value: Any, place: Place = ()) -> dict[Place, Any]:
    """Each place in a document, with the value there."""
    found = {place: value} if place else {}
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, below in entries:
        found |= places(below, (*place, key))
    return found


WRITTEN = """\
# a comment = 1
top = 1
"quo ted".'x y' = [1, # one
  2, ]
[meter] # [not.this]
model = "a # b [c] = d"
long = \"\"\"
a = 1
\\\"\"\" \"\"\"\"\"
after = '''
it's'''''
[[port]]
name = 'x'
[[port]]
[port.more]
deep = { a = 1, b.c = [ { d = 2 }, {} ] }
[[port.sub]]
k = 1
[[port.sub]]
k = 2979-05-27T07:32:00Z
[a.b]
x.y = 1e3
"""
LINES = [
    (("top",), 2),
    (("quo ted",), 3),
    (("quo ted", "x y", 0), 3),
    (("quo ted", "x y", 1), 4),
    (("meter",), 5),
    (("meter", "model"), 6),
    (("meter", "long"), 7),
    (("meter", "after"), 10),
    (("port", 0), 12),
    (("port", 0, "name"), 13),
    (("port", 1), 14),
    (("port", 1, "more"), 15),
    (("port", 1, "more", "deep", "a"), 16),
    (("port", 1, "more", "deep", "b", "c", 0, "d"), 16),
    (("port", 1, "sub", 0, "k"), 18),
    (("port", 1, "sub", 1, "k"), 20),
    (("a",), 21),
    (("a", "b", "x", "y"), 22),
]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_of_a_file(ends: str) -> None:
    lines = lines_of_places(WRITTEN.replace("\n", ends))
    assert set(lines) == set(places(tomllib.loads(WRITTEN)))
    assert {place: lines[place] for place, _ in LINES} == dict(LINES)


KEYS = st.sampled_from(["a", "b-1", "c d", "e.f", "", "'", '"', "#", "[x]", "=", "\u00e4"])
MARKS = st.sampled_from(["x", "#", "]", "}", ",", "[", "{", "\\", '"', "'", "=", "\n", " ", '"""', "'''"])


@st.composite
def scalars(draw: st.DrawFn) -> str:
    text = "".join(draw(st.lists(MARKS, max_size=6)))
    forms = [json.dumps(text), "1", "-1.5e3", "true", "1979-05-27 07:32:00", "nan", "0x1F"]
    if "'" not in text and "\n" not in text:
        forms.append(f"'{text}'")
    if not text.endswith('"'):
        forms.append('"""' + text.replace("\\", "\\\\").replace('"""', '""\\"') + '"""')
    if "'''" not in text and not text.endswith("'"):
        forms.append(f"'''{text}'''")
    return draw(st.sampled_from(forms))


@st.composite
def written_values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth else ["scalar"]))
    if kind == "scalar":
        return draw(scalars())
    if kind == "table":
        keys = draw(st.lists(KEYS, max_size=3, unique=True))
        pairs = [f"{json.dumps(key)} = {draw(written_values(depth=depth - 1))}" for key in keys]
        return "{ " + ", ".join(pairs) + " }"
    gap = draw(st.sampled_from(["", " ", "\n", " # ] , }\n", "\n\n  "]))
    elements = draw(st.lists(written_values(depth=depth - 1), max_size=3))
    return "[" + gap + f"{gap},{gap}".join(elements) + gap + "]"


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[tuple[Place, int]]]:
    """A document, and the lines where its own keys were written."""
    text, told = "", []

    def pairs(table: Place) -> None:
        nonlocal text
        for key in draw(st.lists(KEYS, max_size=3, unique=True)):
            text += draw(st.sampled_from(["", "\n", "# [[x]]\n", "  "]))
            told.append(((*table, key), text.count("\n") + 1))
            text += f"{json.dumps(key)} = {draw(written_values())}"
            text += draw(st.sampled_from(["\n", " # = 1\n", "\n\n"]))

    pairs(())
    for number in range(draw(st.integers(0, 3))):
        place: Place = (f"section {number}",)
        if draw(st.booleans()):
            text += f"[{json.dumps(place[0])}]\n"
            pairs(place)
            continue
        for index in range(draw(st.integers(1, 3))):
            told.append(((*place, index), text.count("\n") + 1))
            text += f"[[ {json.dumps(place[0])} ]]\n"
            pairs((*place, index))
    return text, told


@given(documents())
def test_every_place_has_its_line(document: tuple[str, list[tuple[Place, int]]]) -> None:
    text, told = document
    lines = lines_of_places(text)
    assert set(lines) == set(places(tomllib.loads(text)))
    assert {place: lines[place] for place, _ in told} == dict(told)


def test_a_place_as_people_write_it() -> None:
    assert key_of(("data_recorder", 1, "sources", 3)) == "data_recorder[1].sources[3]"
    assert key_of(("source", "columns", "kW tot")) == "source.columns.'kW tot'"
    assert key_of(()) == ""


def test_a_key_of_too_many_parts_has_the_line_of_what_it_is_in() -> None:
    keys = [f"k{number}" for number in range(3000)]
    deep = ".".join(keys)
    nested = "[" * 100 + "]" * 100
    lines = lines_of_places(f"a = 1\n{deep} = 1\n[x]\n[[{deep}]]\nb = {nested}\n[y]\n")
    assert max(map(len, lines)) == 64
    assert (lines["a",], lines[tuple(keys[:64])], lines["x",], lines["y",]) == (1, 2, 3, 6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kW tot", "kW tot"),
        ("\u00e4 \u0416 '", "\u00e4 \u0416 '"),
        ("a\x1b[31m\nb\r", r"a\x1b[31m\nb\r"),
        ("\u2028\x9b\u202e", r"\u2028\x9b\u202e"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, told: str) -> None:
    assert printable(text) == told
    assert key_of(("x", text)) == f"x.'{told}'"
