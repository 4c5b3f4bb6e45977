"""Captures in and out: hex as people paste it, logs with `TX:` and `RX:`, our own trace files, raw octets.

A trace line is `TX: 14:56:02.123 7E A0 …`, upper-case and spaced: other programs' translators take it too.
The same as JSON, one object a line: `{"time": …, "direction": "TX", "octets": "7E A0 …"}`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TextIO

from iondlms.errors import LocalError
from iondlms.trace.blank import Blanker

__all__ = ["Piece", "TraceWriter", "read_text", "trace_line"]

_DIRECTIONS: Final = {
    "TX": "TX", "SEND": "TX", "SENT": "TX", "OUT": "TX", "->": "TX", "-->": "TX", ">>": "TX", ">": "TX",
    "RX": "RX", "RECV": "RX", "RECEIVED": "RX", "RECEIVE": "RX", "IN": "RX", "<-": "RX", "<--": "RX",
    "<<": "RX", "<": "RX",
}  # fmt: skip
_TIME: Final = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?"
_STAMP: Final = re.compile(
    rf"[\[(]?(?:\d{{4}}-\d{{2}}-\d{{2}}[T ]+|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}} +)?{_TIME}[\])]?"
)
_DATE: Final = re.compile(r"[\[(]?(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4})[T ]")
# A word that talk may begin with counts with a colon or brackets only.
_MARK: Final = re.compile(
    r"[\[(]?(?:(TX|RX|-->|<--|->|<-|>>|<<|>|<)(?![A-Za-z0-9])[\])]?:?"
    r"|(SENT|SEND|RECEIVED|RECEIVE|RECV|OUT|IN)(?:[\])]:?|:))",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"(?:0[xX]|\\x)?([^\s,;:\-\\]+)[,;:\-]*")
_SEPARATORS: Final = re.compile(r"[\s,;:\-]*")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
# What no text has: control characters but tab, line ends and form feed.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some octets of a capture: `TX`, `RX` or no direction, and the time as it was written."""

    octets: bytes
    direction: str = ""
    time: str = ""


def read_text(raw: bytes) -> list[Piece]:
    """Return the pieces of a capture in any of the forms above, raw octets included.

    LocalError names line and column of what is no hex. In a log, lines that are neither marked nor hex are
    talk and passed over, as are lines that start with `#`.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", "replace")
    elif _BINARY.search(raw):
        return [Piece(raw)]
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            return [Piece(raw)]
    lines = text.splitlines()
    marked = any(_marked(line)[0] for line in lines)
    pieces: list[Piece] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.lstrip().startswith("{"):
            pieces.append(_json_piece(line, number))
            continue
        direction, time, start = _marked(line)
        try:
            octets = _octets(line, start, number)
        except LocalError:
            if marked and not direction:
                continue
            raise
        if octets and marked and not direction and pieces:
            # A long frame, wrapped.
            pieces[-1] = Piece(pieces[-1].octets + octets, pieces[-1].direction, pieces[-1].time)
        elif octets:
            pieces.append(Piece(octets, direction, time))
    if not pieces:
        raise LocalError("there are no octets; give hex such as 7E A0 07 03 03 93 8C 11 7E")
    return pieces


def _marked(line: str) -> tuple[str, str, int]:
    """Return direction, time and where the hex begins."""
    start = len(line) - len(line.lstrip())
    time = ""
    stamp = _STAMP.match(line, start)
    mark = None
    if stamp is not None:
        after = _skip(line, stamp.end())
        mark = _MARK.match(line, after)
        # Three hex octets with colons look like a time; a fraction, a date or a frame behind it tells.
        rest = line[after : after + 5].replace(" ", "").upper()
        sure = (
            mark or _DATE.match(line, start) or re.search(r"[.,]", stamp[0]) or rest[:4] in ("7EA0", "0001")
        )
        if not sure:
            return "", "", start
        time, start = stamp[0].strip("[]()"), after
    else:
        mark = _MARK.match(line, start)
    if mark is None:
        return "", time, start
    start = _skip(line, mark.end())
    stamp = _STAMP.match(line, start)
    if not time and stamp is not None and line[stamp.end() : stamp.end() + 1].isspace():
        time, start = stamp[0].strip("[]()"), _skip(line, stamp.end())
    return _DIRECTIONS[(mark[1] or mark[2]).upper()], time, start


def _skip(line: str, start: int) -> int:
    while start < len(line) and line[start].isspace():
        start += 1
    return start


def _octets(line: str, start: int, number: int) -> bytes:
    octets = bytearray()
    position = _SEPARATORS.match(line, start).end()  # type: ignore[union-attr]  # it matches nothing at all too
    while position < len(line):
        token = _TOKEN.match(line, position)
        digits = "" if token is None else token[1]
        first = position if token is None else token.start(1)
        for offset, digit in enumerate(digits):
            if digit not in _HEX:
                raise LocalError(f"line {number}, column {first + offset + 1}: {digit!r} is not a hex digit")
        if token is None:
            raise LocalError(f"line {number}, column {first + 1}: {line[position]!r} is not a hex digit")
        if len(digits) % 2:
            column = first + len(digits)
            raise LocalError(f"line {number}, column {column}: half an octet; hex digits come in pairs")
        octets += bytes.fromhex(digits)
        position = _SEPARATORS.match(line, token.end()).end()  # type: ignore[union-attr]  # likewise
    return bytes(octets)


def _json_piece(line: str, number: int) -> Piece:
    try:
        entry = json.loads(line)
        direction, time, octets = entry.get("direction", ""), entry.get("time", ""), entry["octets"]
    except (ValueError, KeyError, AttributeError) as error:
        raise LocalError(f"line {number}: not a line of a JSON trace") from error
    if not isinstance(octets, str):
        raise LocalError(f"line {number}: octets are not hex")
    return Piece(_octets(octets, 0, number), _DIRECTIONS.get(str(direction).upper(), ""), str(time))


# --- out -------------------------------------------------------------------------------------------


def trace_line(direction: str, octets: bytes, when: datetime) -> str:
    """Return `TX: 14:56:02.123 7E A0 …` without a line end."""
    time = when.isoformat(timespec="milliseconds").partition("T")[2][:12]
    return f"{direction}: {time} {octets.hex(' ').upper()}".rstrip()


class TraceWriter:
    """Writes what goes over a line, each piece as it comes, to a `.txt` or `.jsonl` file or a text stream.

    Passwords are blanked unless `secrets`: each octet becomes 2A and the FCS is made right again, so the
    frames can still be read by any program. The last component of a name decides the form; a stream gets
    text unless `form` says otherwise. OSError if the file cannot be written.
    """

    def __init__(
        self,
        target: Path | str | TextIO,
        *,
        secrets: bool = False,
        form: Literal["txt", "jsonl"] | None = None,
    ) -> None:
        self._blanker = None if secrets else Blanker()
        self._owned = isinstance(target, (Path, str))
        self._form = form
        if isinstance(target, (Path, str)):
            path = Path(target)
            self._form = form or ("jsonl" if path.suffix.lower() == ".jsonl" else "txt")
            self._stream: TextIO = path.open("w", encoding="utf-8", newline="\n")
        else:
            self._stream = target

    def write(self, direction: str, octets: bytes, when: datetime) -> None:
        """Write one line and let it out at once: a trace is wanted most when a program dies."""
        shown = octets if self._blanker is None else self._blanker.feed(direction, octets)
        if self._form == "jsonl":
            entry = {
                "time": when.isoformat(timespec="milliseconds"),
                "direction": direction,
                "octets": shown.hex(" ").upper(),
            }
            line = json.dumps(entry)
        else:
            line = trace_line(direction, shown, when)
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file; a stream that was given stays open."""
        if self._owned:
            self._stream.close()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
