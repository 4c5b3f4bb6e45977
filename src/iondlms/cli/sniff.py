"""`iondlms sniff`: what others say on a line, explained, and the rows that went by."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from iondlms.cli.options import output_option
from iondlms.cli.output import Form, Table, write
from iondlms.cli.profile import profile_table
from iondlms.cli.stopping import stopped_politely
from iondlms.client import Target
from iondlms.client.overheard import Overheard, Reading
from iondlms.client.url import seconds_of
from iondlms.errors import LocalError
from iondlms.ports.serial import SerialTransport
from iondlms.trace import Explainer, Listener, Node, is_capture, read_capture, read_text, render

__all__ = ["sniff"]

_LIVE: Final = ("serial:", "optical:", "socket://", "rfc2217://")
_PAUSE_S: Final = 1.5  # the meters' usual inter-frame time-out
_LARGEST_FILE: Final = 1 << 30


class _Piece(NamedTuple):
    """Some octets; none: a pause."""

    octets: bytes
    direction: str = ""
    connection: str = ""
    gap: bool = False  # some before them are missing


@click.command()
@click.argument("source", metavar="serial:DEVICE|FILE|-")
@click.option("--profile", "rows", is_flag=True, help="The rows of profiles that went by, and nothing else.")
@click.option("--for", "period", metavar="T", help="Listen so long, as 30s or 10m; otherwise until Ctrl-C.")
@click.option("--secrets", is_flag=True, help="Show passwords, which are blanked otherwise.")
@click.option("--raw", is_flag=True, help="Integers as sent, not scaled.")
@click.option("--utc", is_flag=True, help="Times in UTC; otherwise as the meter shows them.")
@output_option
def sniff(
    source: str, rows: bool, period: str | None, secrets: bool, raw: bool, utc: bool, form: Form
) -> None:
    """Follow a conversation without sending anything: explain each frame, or print the rows that went by.

    Listens on a serial line that hears both sides (RS-485, or a tap), or reads a capture: pcap and pcapng
    with TCP, a --trace-file, a log with TX: and RX: lines, raw octets. Blocks and segments are joined. An
    answer whose end is missing gives the rows that came.

    \b
    iondlms sniff "serial:/dev/ttyUSB0?baud=9600"
    iondlms sniff capture.pcapng
    iondlms sniff session.txt --profile -o csv
    """
    if form == "csv" and not rows:
        raise LocalError("-o csv is for rows: add --profile, or take -o jsonl for the trees")
    live = source.startswith(_LIVE)
    if live and form == "json" and period is None:
        raise LocalError("a list in JSON has an end: take -o jsonl, or say how long, --for 10m")
    teller: _Trees | _Rows = _Rows(form, raw, utc) if rows else _Trees(form, secrets)
    seconds = None if period is None else seconds_of("--for", period)
    pieces = _live(source, seconds) if live else _of_file(source)
    try:
        with stopped_politely():
            for piece in pieces:
                teller.take(piece)
    except KeyboardInterrupt:
        if not live:
            raise
    finally:
        teller.finish()


# --- where it comes from ---------------------------------------------------------------------------------


def _live(source: str, seconds: float | None) -> Iterator[_Piece]:
    target = Target.parse(source)
    if target.line is None or target.line.sign_on is not None:
        raise LocalError(f"{source!r}: listening is done on a plain line, serial:DEVICE?baud=9600")
    # RTS stays off: it would switch an adapter's driver on, and the line would be disturbed.
    settings = replace(target.line.settings, handshake="rts_delay", echo="off")
    transport = SerialTransport.connect(settings)
    click.echo(f"listening on {settings.device}, {settings.baud} {settings.framing}; Ctrl-C ends", err=True)
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            pause = time.monotonic() + _PAUSE_S
            yield _Piece(transport.receive(pause if end is None else min(pause, end)))
    finally:
        transport.close()


def _of_file(source: str) -> Iterator[_Piece]:
    raw = _contents(source)
    if is_capture(raw):
        found = False
        for each in read_capture(raw):
            found = True
            yield _Piece(each.octets, each.direction, f"{each.client} to {each.server}", each.gap)
        if not found:
            raise LocalError(f"{source}: there is no DLMS over TCP in this capture, neither HDLC nor wrapper")
        return
    for piece in read_text(raw):
        yield _Piece(piece.octets, piece.direction)


def _contents(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read(_LARGEST_FILE)
    path = Path(source)
    try:
        if path.is_char_device():
            raise LocalError(f"{source} is a device: write serial:{source}?baud=9600")
        if path.stat().st_size > _LARGEST_FILE:
            raise LocalError(f"{source}: more than a gigabyte; cut it with editcap or tcpdump -C")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LocalError(f"{source}: {reason}; give a file, or a line such as serial:/dev/ttyUSB0") from error


# --- what is told of it ----------------------------------------------------------------------------------


class _Trees:
    """Each frame as a tree, as soon as it has ended."""

    def __init__(self, form: Form, secrets: bool) -> None:
        self._form = form
        self._secrets = secrets
        self._explainers: dict[str, Explainer] = {}
        self._told: list[dict[str, Any]] = []
        self._newest = ""

    def take(self, piece: _Piece) -> None:
        explainer = self._explainers.get(piece.connection)
        if explainer is None:
            explainer = self._explainers[piece.connection] = Explainer(secrets=self._secrets)
        nodes = explainer.finish() if piece.gap else []
        if piece.octets:
            nodes += explainer.feed(piece.octets, piece.direction)
        self._tell(piece.connection, nodes)

    def _tell(self, connection: str, nodes: list[Node]) -> None:
        if self._form == "table":
            if nodes and connection != self._newest:
                self._newest = connection
                click.echo(f"-- {connection}")
            if nodes:
                click.echo(render(nodes), nl=False)
            return
        trees = [({"connection": connection} if connection else {}) | node.as_dict() for node in nodes]
        if self._form == "jsonl":
            for tree in trees:
                click.echo(json.dumps(tree, ensure_ascii=False))
        else:
            self._told += trees

    def finish(self) -> None:
        for connection, explainer in self._explainers.items():
            self._tell(connection, explainer.finish())
        if self._form == "json":
            click.echo(json.dumps(self._told, indent=2, ensure_ascii=False))


class _Rows:
    """The rows of profiles, each when its transfer has ended."""

    def __init__(self, form: Form, raw: bool, utc: bool) -> None:
        self._form = form
        self._raw = raw
        self._utc = utc
        self._listeners: dict[str, Listener] = {}
        self._overheard = Overheard()
        self._documents: list[str] = []  # rows in JSON
        self._header = ""
        self._readings = 0

    def take(self, piece: _Piece) -> None:
        listener = self._listeners.get(piece.connection)
        if listener is None:
            listener = self._listeners[piece.connection] = Listener()
        heard = listener.resume() if piece.gap else []
        if piece.octets:
            heard += listener.feed(piece.octets, piece.direction)
        else:
            listener.pause()
        for answer in heard:
            reading = self._overheard.take(answer, piece.connection)
            if reading is not None:
                self._tell(reading, piece.connection)

    def finish(self) -> None:
        for connection, listener in self._listeners.items():
            for answer in listener.finish():
                reading = self._overheard.take(answer, connection)
                if reading is not None:
                    self._tell(reading, connection)
        if self._form == "json":
            body = ",\n ".join(self._documents)
            click.echo(f"[{body}]")
        self._tell_counts()

    def _tell(self, reading: Reading, connection: str) -> None:
        self._readings += 1
        name = reading.name or "a profile"
        text = f"{name} of {reading.server}, read by client {reading.client}"
        text += f" ({connection})" if connection else ""
        text += f": {len(reading.profile)} rows" + ("" if reading.complete else ", broken off")
        for note in (text, *(f"note: {note}" for note in reading.profile.notes)):
            click.echo(note, err=True)
        table = profile_table(reading.profile, raw=self._raw, utc=self._utc)
        if self._form in ("table", "jsonl"):
            write(table, self._form)
        elif self._form == "csv":
            self._write_csv(table)
        else:
            lines = io.StringIO()
            write(table, "jsonl", lines)
            self._documents += lines.getvalue().splitlines()
        sys.stdout.flush()

    def _write_csv(self, table: Table) -> None:
        """Write rows below the header they have; another one where the columns are others."""
        lines = io.StringIO()
        write(table, "csv", lines)
        header, _, rows = lines.getvalue().partition("\n")
        click.echo(rows if header == self._header else f"{header}\n{rows}", nl=False)
        self._header = header

    def _tell_counts(self) -> None:
        listeners = self._listeners.values()
        frames, damaged = (sum(each.frames for each in listeners), sum(each.damaged for each in listeners))
        missed = sum(each.unheard_starts for each in listeners)
        text = f"{frames} frames, {damaged} damaged; {self._readings} profiles"
        click.echo(
            text + (f"; {missed} blocks of answers whose start was not heard" * bool(missed)), err=True
        )
