"""HDLC frames a second, one core, all checks on: build and parse of a short RR and of a full I frame.

The floor is the check sequence alone, run over the same octets in C: header, then all.

    python -m bench.frames [--runs 7] [--json FILE]
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

from bench.harness import Bench, timed

from iondlms.hdlc import Deframer, Frame
from iondlms.hdlc.frame import build

SERVER = bytes.fromhex("00 02 00 23")
CLIENT = bytes.fromhex("21")
FRAMES = 20_000
LEAST = 300_000  # a second
INFORMATION = [number.to_bytes(4, "big") * 32 for number in range(256)]  # 128 octets, each frame another
REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def build_frames(information: list[bytes]) -> None:
    count = len(information)
    for number in range(FRAMES):
        build(CLIENT, SERVER, (number & 7) << 5 | 0x10 | (number & 7) << 1, information[number % count])


def parse_apart(chunks: list[bytes]) -> None:
    deframer = Deframer()
    for number in range(FRAMES):
        deframer.feed(chunks[number % len(chunks)])
    assert deframer.frames == FRAMES


def parse_joined(stream: bytes) -> None:
    assert len(Deframer().feed(stream)) == FRAMES


def checks(frames: list[bytes]) -> Callable[[], None]:
    """Return what runs the check over header and whole of each frame: what no program can leave out."""
    header = len(CLIENT) + len(SERVER) + 3

    def work() -> None:
        for number in range(FRAMES):
            octets = frames[number % len(frames)].translate(REVERSED)
            binascii.crc_hqx(octets[1 : 1 + header], 0xFFFF)
            binascii.crc_hqx(octets[1:-1], 0xFFFF)

    return work


def main() -> None:
    bench = Bench("frames", __doc__)
    full = [
        Frame(CLIENT, SERVER, (number & 7) << 5 | 0x10 | (number & 7) << 1, octets).encode()
        for number, octets in enumerate(INFORMATION)
    ]
    short = [Frame(CLIENT, SERVER, (number & 7) << 5 | 0x11).encode() for number in range(8)]
    stream = b"".join(full[number % len(full)] for number in range(FRAMES))
    for name, work, frames in (
        ("build, no information", lambda: build_frames([b""]), short),
        ("build, 128 octets", lambda: build_frames(INFORMATION), full),
        ("parse RR, a chunk each", lambda: parse_apart(short), short),
        ("parse 128 octets, a chunk each", lambda: parse_apart(full), full),
        ("parse 128 octets, one stream", lambda: parse_joined(stream), full),
    ):
        bench.compare(
            name, amount=FRAMES, unit="frames", ours=timed(work), floor=timed(checks(frames)),
            floor_name="its check sequences", least_rate=LEAST,
        )  # fmt: skip
    bench.finish()


if __name__ == "__main__":
    main()
