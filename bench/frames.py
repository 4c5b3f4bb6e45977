"""Frames a second, one core, all checks on: build and parse of a short RR and of a full I frame.

python bench/frames.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from iondlms.hdlc import Deframer, Frame
from iondlms.hdlc.frame import build

SERVER = bytes.fromhex("00 02 00 23")
CLIENT = bytes.fromhex("21")
FRAMES = 100_000
INFORMATION = [number.to_bytes(4, "big") * 32 for number in range(256)]  # 128 octets, each frame another


def rate(work: Callable[[], int]) -> float:
    """Return frames a second, the best of five runs: the others were disturbed."""
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        frames = work()
        best = max(best, frames / (time.process_time() - start))
    return best


def build_frames(information: list[bytes]) -> int:
    count = len(information)
    for number in range(FRAMES):
        build(CLIENT, SERVER, (number & 7) << 5 | 0x10 | (number & 7) << 1, information[number % count])
    return FRAMES


def parse_apart(chunks: list[bytes]) -> int:
    deframer = Deframer()
    for number in range(FRAMES):
        deframer.feed(chunks[number % len(chunks)])
    return deframer.frames


def parse_joined(stream: bytes) -> int:
    return len(Deframer().feed(stream))


def main() -> None:
    full = [
        Frame(CLIENT, SERVER, (number & 7) << 5 | 0x10 | (number & 7) << 1, octets).encode()
        for number, octets in enumerate(INFORMATION)
    ]
    short = [Frame(CLIENT, SERVER, (number & 7) << 5 | 0x11).encode() for number in range(8)]
    for name, work in (
        ("build, no information", lambda: build_frames([b""])),
        ("build, 128 octets", lambda: build_frames(INFORMATION)),
        ("parse RR, a chunk each", lambda: parse_apart(short)),
        ("parse 128 octets, a chunk each", lambda: parse_apart(full)),
        ("parse 128 octets, one stream", lambda: parse_joined(b"".join(full) * 400)),
    ):
        print(f"{name:32} {rate(work):12,.0f} frames/s")


if __name__ == "__main__":
    main()
