"""The loop of every peer program: a question a line on stdin, an answer a line on stdout, both JSON.

{} asks for the name; {"work": ..., "file": ...} for the seconds of CPU of one run of a work on what a file
holds, and how many runs they are the mean of; the work "check" for what the program makes of the file, so
that the asker sees it did the same. Works are those on a profile buffer, on frames, and sessions with meters.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, TypeAlias

SHORTEST = 0.02  # s; shorter work is repeated
Works: TypeAlias = Mapping[str, Callable[[], Any]]  # by name; what "check" returns is told
Prepare: TypeAlias = Callable[[Path], Works]
Plain: TypeAlias = Callable[[bytes], list[Any]]
Encode: TypeAlias = Callable[[list[Any]], bytes]


def answer(peer: str, prepare: Prepare) -> None:
    """Answer until stdin ends."""
    prepared: dict[str, Works] = {}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                if not question:
                    told: dict[str, Any] = {"peer": f"{peer} {importlib.metadata.version(peer)}"}
                else:
                    file = question["file"]
                    if file not in prepared:
                        prepared[file] = prepare(Path(file))
                    work = prepared[file][question["work"]]
                    told = work() if question["work"] == "check" else _timed(work)
        except Exception as error:  # a peer that cannot do it says so, and the others go on
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    gc.collect()
    begin, took, runs = time.process_time(), 0.0, 0
    while took < SHORTEST:
        work()
        runs += 1
        took = time.process_time() - begin
    return {"seconds": took / runs, "runs": runs}


def buffer_works(decode_plain: Plain, decode_typed: Plain, encode: Encode) -> Prepare:
    """Works on an encoded profile buffer: "plain", "typed" and "encode"."""

    def prepare(file: Path) -> Works:
        octets = file.read_bytes()
        rows = decode_plain(octets)

        def check() -> dict[str, Any]:
            return {
                "rows": len(rows),
                # Programs that agree on it have read the same.
                "checksum": sum(int(value) for row in rows for value in row[1:]),
                "instants": sum(int(row[0].timestamp()) for row in decode_typed(octets)),
                "round_trip": encode(rows) == octets,
            }

        return {
            "plain": lambda: decode_plain(octets),
            "typed": lambda: decode_typed(octets),
            "encode": lambda: encode(rows),
            "check": check,
        }

    return prepare


def frame_works(build: Callable[[int, bytes], bytes], parse: Callable[[bytes], tuple[int, bytes]]) -> Prepare:
    """Works on all frames of a JSON file of [control, information, whole frame]: "build" and "parse".

    Frames are from server 1/17, four octets of address, to client 16; `parse` is given one whole frame.
    """

    def prepare(file: Path) -> Works:
        held = json.loads(file.read_text("ascii"))
        fields = [(control, bytes.fromhex(information)) for control, information, _ in held]
        frames = [bytes.fromhex(frame) for _, _, frame in held]

        def build_all() -> None:
            for control, information in fields:
                build(control, information)

        def parse_all() -> None:
            for frame in frames:
                parse(frame)

        def check() -> dict[str, Any]:
            parsed = [parse(frame) for frame in frames]
            return {
                "built": [bytes(build(control, information)).hex() for control, information in fields],
                "parsed": [[control, bytes(information).hex()] for control, information in parsed],
            }

        return {"build": build_all, "parse": parse_all, "check": check}

    return prepare


def session_works(
    connected: Callable[[argparse.Namespace], AbstractContextManager[Any]],
    read_clock: Callable[[Any], datetime],
    read_rows: Callable[[Any, datetime, datetime], list[Any]],
) -> Prepare:
    """Sessions one after the other, each with a client of its own: "sessions", as many as the file says.

    The file is JSON: the ports of meters on this machine, how many times, and, where rows are to be read and
    not the clock, their first and last instant and their count. `connected` takes what the programs of
    tests/interop/peers read from their command line. Rows start with their instant.
    """

    def prepare(file: Path) -> Works:
        asked = json.loads(file.read_text("ascii"))
        ports = cycle(asked["ports"])
        bounds = [datetime.fromisoformat(text) for text in asked.get("range", [])]

        def read() -> list[datetime]:
            options = argparse.Namespace(
                host="127.0.0.1", port=next(ports), device=None, sign_on=False, framing="hdlc", client=16,
                server_logical=1, server_physical=100, password=None, timeout=10.0,
            )  # fmt: skip
            with connected(options) as session:
                if not bounds:
                    return [read_clock(session)]
                rows = read_rows(session, *bounds)
            if len(rows) != asked["rows"]:
                raise ValueError(f"{len(rows)} rows of {asked['rows']} were read")
            return [row[0] for row in rows]

        def sessions() -> None:
            for _ in range(asked["times"]):
                read()

        def check() -> dict[str, Any]:
            # dlms-cosem takes a deviation of 0 for "not specified".
            at = [(it if it.tzinfo else it.replace(tzinfo=UTC)).timestamp() for it in read()]
            if not bounds:
                return {"minutes off": round((at[0] - time.time()) / 60)}
            return {"rows": len(at), "first": at[0], "last": at[-1]}

        return {"sessions": sessions, "check": check}

    return prepare
