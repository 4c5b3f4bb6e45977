"""The loop of every peer program: a question a line on stdin, an answer a line on stdout, both JSON.

{} asks for the name; {"work": ..., "file": ...} for the seconds of CPU of one run of a work on an encoded
buffer; the work "check" for what the program makes of the buffer, so that the asker sees it did the same.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHORTEST = 0.02  # s; shorter work is repeated
Plain = Callable[[bytes], list[Any]]
Encode = Callable[[list[Any]], bytes]


def answer(peer: str, decode_plain: Plain, decode_typed: Plain, encode: Encode) -> None:
    """Answer until stdin ends."""
    prepared: dict[str, tuple[bytes, list[Any]]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                if not question:
                    told: dict[str, Any] = {"peer": f"{peer} {importlib.metadata.version(peer)}"}
                else:
                    file = question["file"]
                    if file not in prepared:
                        octets = Path(file).read_bytes()
                        prepared[file] = octets, decode_plain(octets)
                    octets, rows = prepared[file]
                    works: dict[str, Callable[[], Any]] = {
                        "plain": lambda octets=octets: decode_plain(octets),
                        "typed": lambda octets=octets: decode_typed(octets),
                        "encode": lambda rows=rows: encode(rows),
                    }
                    if question["work"] == "check":
                        told = {
                            "rows": len(rows),
                            # Programs that agree on it have read the same.
                            "checksum": sum(int(value) for row in rows for value in row[1:]),
                            "instants": sum(int(row[0].timestamp()) for row in decode_typed(octets)),
                            "round_trip": encode(rows) == octets,
                        }
                    else:
                        work = works[question["work"]]
                        gc.collect()
                        begin, took, runs = time.process_time(), 0.0, 0
                        while took < SHORTEST:
                            work()
                            runs += 1
                            took = time.process_time() - begin
                        told = {"seconds": took / runs}
        except Exception as error:  # a peer that cannot do it says so, and the others go on
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)
