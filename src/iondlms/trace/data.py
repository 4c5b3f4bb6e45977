"""Data, explained value by value: types, date-times, logical names, rows of a profile (IEC 62056-62)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from iondlms.codec.axdr import MAX_DEPTH, BitString, CompactArray, Data, Tag, decode_data
from iondlms.codec.datetimes import MAX_DEVIATION, UNSPECIFIED, ClockStatus, DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import ProfileGeneric
from iondlms.cosem.units import unit_name
from iondlms.errors import DecodeError
from iondlms.trace.names import (
    attribute_name,
    class_name,
    column_names,
    obis_text,
    printable,
    status_text,
)
from iondlms.trace.node import Node
from iondlms.trace.scribe import Scribe, message_of

__all__ = ["SHOWN_ROWS", "Subject", "date_time_text", "write_data"]

SHOWN_ROWS: Final = 20  # of a buffer: a screen of them; the count tells how many there are
_DAYS: Final = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TAGS: Final = frozenset(Tag)


@dataclass(frozen=True, slots=True)
class Subject:
    """The attribute that a value belongs to, where the request that asked for it was seen."""

    class_id: int
    instance_id: ObisCode
    attribute_id: int

    def __str__(self) -> str:
        return (
            f"{class_name(self.class_id)} {obis_text(self.instance_id.octets)},"
            f" attribute {attribute_name(self.class_id, self.attribute_id)}"
        )

    @property
    def is_buffer(self) -> bool:
        """Whether the value is the rows of a profile."""
        return self.class_id == ProfileGeneric.class_id and self.attribute_id == 2

    def member(self, index: int) -> str:
        """Return what the member of that index is, in the answer to a GET of attribute 0."""
        return attribute_name(self.class_id, index + 1) if self.attribute_id == 0 else ""


def write_data(
    scribe: Scribe,
    label: str = "",
    subject: Subject | None = None,
    members: Sequence[str] = (),
    depth: int = MAX_DEPTH,
) -> Data:
    """Write one Data; `members` are the labels of the elements of a structure."""
    start = scribe.position
    if not scribe.remaining:
        raise scribe.refuse(label or "data", "a value expected, nothing left")
    tag = scribe.reader.peek()
    if tag not in _TAGS:
        raise scribe.refuse(label or "data", f"data tag {tag} is not defined")
    if tag in (Tag.ARRAY, Tag.STRUCTURE):
        return _write_elements(scribe, label, subject, members, depth)
    try:
        data = decode_data(scribe.reader, depth)
    except DecodeError as error:
        scribe.reader.rest()
        raise scribe.refuse(label or Tag(tag).name.lower(), message_of(error), start) from error
    node = Node(scribe.base + start, label, f"{_tag_name(data.tag)} {_leaf(data)}".rstrip())
    node.octets = scribe.since(start)
    if isinstance(data.value, CompactArray):
        _write_compact(node, data.value)
    scribe.add(node)
    return data


def _tag_name(tag: Tag) -> str:
    return tag.name.lower().replace("_", "-")


def _write_elements(
    scribe: Scribe, label: str, subject: Subject | None, members: Sequence[str], depth: int
) -> Data:
    start = scribe.position
    tag = Tag(scribe.reader.u8())
    items: list[Data] = []
    with scribe.group(label, start=start) as node:
        if depth <= 0:
            raise scribe.refuse("", f"arrays and structures nested deeper than {MAX_DEPTH}", start)
        try:
            count = scribe.reader.length()
        except DecodeError as error:
            raise scribe.refuse("count", message_of(error), start + 1) from error
        node.value = f"{_tag_name(tag)} of {count}"
        columns = column_names(subject.instance_id) if subject is not None and subject.is_buffer else ()
        for index in range(count):
            name = members[index] if index < len(members) else subject.member(index) if subject else ""
            item = write_data(scribe, name, None, (), depth - 1)
            items.append(item)
            if tag is Tag.ARRAY and _is_row(item, subject):
                _make_row(scribe, index, item, columns)
        left_out = count - SHOWN_ROWS
        if tag is Tag.ARRAY and items and left_out > 0 and _is_row(items[-1], subject):
            scribe.note("…", f"{left_out} more rows")
    data = Data(tag, tuple(items))
    meaning = _structure_meaning(data)
    if meaning:
        node.value = meaning
    return data


# --- rows of a profile -----------------------------------------------------------------------------


def _is_row(item: Data, subject: Subject | None) -> bool:
    """Say whether an element of an array is a row: flat, and of a buffer or with a date-time in front."""
    if item.tag is not Tag.STRUCTURE or not item.items():
        return False
    cells = item.items()
    if any(cell.tag in (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY) for cell in cells):
        return False
    return (subject is not None and subject.is_buffer) or _date_time(cells[0]) is not None


def _make_row(scribe: Scribe, index: int, item: Data, columns: tuple[str, ...]) -> None:
    """Fold the tree of a row, which was written last, into one line; drop it beyond the shown ones."""
    if index >= SHOWN_ROWS:
        scribe.drop()
        return
    cells = item.items()
    if index == 0 and len(columns) == len(cells):
        row = scribe.drop()
        scribe.note("columns", " | ".join(columns)).offset = row.offset
        scribe.add(row)
    row = scribe.drop()
    named = columns if len(columns) == len(cells) else ()
    texts = [_cell(cell, named[place] if named else "") for place, cell in enumerate(cells)]
    scribe.add(Node(row.offset, f"row {index + 1}", " | ".join(texts), row.octets))


def _cell(cell: Data, column: str) -> str:
    if column == "status" and cell.tag is Tag.LONG_UNSIGNED:
        return status_text(cell.integer())
    if cell.tag in (Tag.NULL_DATA, Tag.DONT_CARE):
        return _tag_name(cell.tag)
    return _leaf(cell)


# --- single values ---------------------------------------------------------------------------------


def _leaf(data: Data) -> str:
    value = data.value
    if isinstance(value, bytes):
        return _octets_text(data.tag, value)
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, BitString):
        return "".join(f"{octet:08b}" for octet in value.octets)[: value.length]
    if isinstance(value, CompactArray):
        return f"of {len(value.contents)} octets"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _octets_text(tag: Tag, octets: bytes) -> str:
    if tag is Tag.DATE:
        return _date_text(octets)
    if tag is Tag.TIME:
        return _time_text(octets)
    if len(octets) == 12 and (tag is Tag.DATE_TIME or _plausible(octets)):
        return date_time_text(octets)
    text = printable(octets)
    if text is not None:
        return text
    # Most octet-strings of six are logical names, and F is 255 in each that is no historical value.
    if len(octets) == 6 and octets[5] == 0xFF:
        return obis_text(octets)
    return f"of {len(octets)} octets" if len(octets) > 8 else octets.hex(" ").upper()


def _date_time(data: Data) -> bytes | None:
    if isinstance(data.value, bytes) and len(data.value) == 12 and _plausible(data.value):
        return data.value
    return None


def _plausible(octets: bytes) -> bool:
    """Say whether 12 octets can be a date-time: each field in its range or one of its special values."""
    year = int.from_bytes(octets[:2], "big")
    deviation = int.from_bytes(octets[9:11], "big", signed=True)
    return (
        (1970 <= year < 2200 or year == 0xFFFF)
        and (1 <= octets[2] <= 12 or octets[2] >= 0xFD)
        and (1 <= octets[3] <= 31 or octets[3] >= 0xFD)
        and (octets[4] <= 7 or octets[4] == 0xFF)
        and (octets[5] < 24 or octets[5] == 0xFF)
        and (octets[6] < 60 or octets[6] == 0xFF)
        and (octets[7] < 60 or octets[7] == 0xFF)
        and (octets[8] < 100 or octets[8] == 0xFF)
        and (abs(deviation) <= MAX_DEVIATION or deviation == -0x8000)
    )


def date_time_text(octets: bytes) -> str:
    """Return 12 octets as date, time, offset from UTC, and what the clock status says."""
    if octets == UNSPECIFIED.octets:
        return "not specified"
    time = DateTime(octets)
    notes = []
    if time.deviation is None:
        notes.append("no deviation")
    status = time.status
    if status is None:
        notes.append("status not specified")
    elif status:
        notes += [bit.name.lower().replace("_", " ") for bit in ClockStatus if status & bit and bit.name]
    day = _DAYS[octets[4]] + " " if 1 <= octets[4] <= 7 else ""
    return day + str(time) + (f" ({', '.join(notes)})" if notes else "")


def _date_text(octets: bytes) -> str:
    return str(DateTime(octets + bytes.fromhex("FFFFFFFF 8000 FF"))).split(" ")[0]


def _time_text(octets: bytes) -> str:
    return str(DateTime(bytes.fromhex("FFFFFFFFFF") + octets + bytes.fromhex("8000 FF"))).split(" ")[1]


# --- structures that mean something ----------------------------------------------------------------

_CAPTURE_OBJECT: Final = (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)
_OBJECT: Final = (Tag.LONG_UNSIGNED, Tag.UNSIGNED, Tag.OCTET_STRING, Tag.STRUCTURE)
_SCALER_UNIT: Final = (Tag.INTEGER, Tag.ENUM)


def _structure_meaning(data: Data) -> str:
    """Return what a structure of a well-known shape says, empty for any other."""
    if data.tag is not Tag.STRUCTURE:
        return ""
    items = data.items()
    tags = tuple(item.tag for item in items)
    if tags == _SCALER_UNIT:
        return f"scaler 10^{items[0].integer()}, {unit_name(items[1].integer()) or 'no unit'}"
    if tags == _CAPTURE_OBJECT and len(items[1].octets()) == 6:
        class_id, index = items[0].integer(), items[3].integer()
        if class_id == 0:
            return "no object"
        subject = Subject(class_id, ObisCode(items[1].octets()), items[2].integer())
        return f"{subject}" + (f", index {index}" if index else "")
    if tags == _OBJECT and len(items[2].octets()) == 6:
        return (
            f"{class_name(items[0].integer())} version {items[1].integer()}, {obis_text(items[2].octets())}"
        )
    return ""


def _write_compact(node: Node, array: CompactArray) -> None:
    items = array.items()
    for index, item in enumerate(items[:SHOWN_ROWS]):
        node.children.append(Node(node.offset, f"element {index + 1}", str(item)))
    if len(items) > SHOWN_ROWS:
        node.children.append(Node(node.offset, "…", f"{len(items) - SHOWN_ROWS} more elements"))
