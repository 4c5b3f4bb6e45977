"""HDLC frames a second, one core, all checks on: build and parse of a short RR and of a full I frame.

Peers build and parse the very same frames, each with its own library's frame code and all its checks; what
each builds and reads is compared with ours. They are handed what is known to be one frame, where we look for
frames in any chunks: their readers of streams take longer. Headers, of which a conversation has few, we build
and read once and keep; they do not. The floor is the check sequence alone, run over the same octets in C:
header, then all.

    python -m bench.frames [--runs 7] [--only TEXT] [--json FILE] [--no-peers]
"""

from __future__ import annotations

import binascii
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from bench.harness import Bench, PeerProgram, Work, timed

from iondlms.hdlc import Deframer, Frame
from iondlms.hdlc.frame import build

Fields: TypeAlias = tuple[int, bytes]  # control, information

PEERS: Final = ("frames_dlms_cosem.py", "frames_pydlms.py", "frames_gurux.py")
SERVER = bytes.fromhex("00 02 00 23")
CLIENT = bytes.fromhex("21")
FRAMES = 20_000
LEAST = 300_000  # a second
FIELDS: dict[str, list[Fields]] = {
    "RR": [(number << 5 | 0x11, b"") for number in range(8)],
    "I": [  # with 128 octets, each frame another
        ((number & 7) << 5 | 0x10 | (number & 7) << 1, number.to_bytes(4, "big") * 32)
        for number in range(256)
    ],
}
REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def build_frames(fields: Sequence[Fields]) -> None:
    count = len(fields)
    for number in range(FRAMES):
        control, information = fields[number % count]
        build(CLIENT, SERVER, control, information)


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


def able(peers: Sequence[PeerProgram], file: Path, fields: Sequence[Fields]) -> list[PeerProgram]:
    """Write the frames to the file; return the peers that build and read them as we do."""
    parsed = [[control, information.hex()] for control, information in fields]
    built = [Frame(CLIENT, SERVER, *each).encode().hex() for each in fields]
    held = [[*each, octets] for each, octets in zip(parsed, built, strict=True)]
    file.write_text(json.dumps(held), "ascii")
    return [peer for peer in peers if peer.does(file, {"built": built, "parsed": parsed})]


def scaled(run: Work, count: int) -> Work:
    """Return a peer's contender, which does `count` frames, for as many as we do."""
    return lambda: run() / count * FRAMES


def main() -> None:
    bench = Bench("frames", __doc__)
    octets = {
        kind: [Frame(CLIENT, SERVER, *each).encode() for each in fields] for kind, fields in FIELDS.items()
    }
    short, full = octets["RR"], octets["I"]
    stream = b"".join(full[number % len(full)] for number in range(FRAMES))
    peers = [PeerProgram(program) for program in PEERS] if bench.peers else []
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder, kind) for kind in FIELDS}
        others = {kind: able(peers, files[kind], fields) for kind, fields in FIELDS.items()}
        for name, work, kind, theirs in (
            ("build, no information", lambda: build_frames(FIELDS["RR"]), "RR", "build"),
            ("build, 128 octets", lambda: build_frames(FIELDS["I"]), "I", "build"),
            ("parse RR, a chunk each", lambda: parse_apart(short), "RR", "parse"),
            ("parse 128 octets, a chunk each", lambda: parse_apart(full), "I", "parse"),
            ("parse 128 octets, one stream", lambda: parse_joined(stream), "I", ""),
        ):
            bench.compare(
                name, amount=FRAMES, unit="frames", ours=timed(work), floor=timed(checks(octets[kind])),
                floor_name="its check sequences", least_rate=LEAST,
                peers={
                    peer.name: scaled(peer.work(theirs, files[kind]), len(FIELDS[kind]))
                    for peer in (others[kind] if theirs else [])
                },
            )  # fmt: skip
    for peer in peers:
        peer.close()
    bench.finish()


if __name__ == "__main__":
    main()
