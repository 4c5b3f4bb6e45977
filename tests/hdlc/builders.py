"""What the tests of the data link share: published vectors, a slow check sequence, a meter to talk to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from iondlms.hdlc import Deframer, Event, Frame, LinkParameters, Secondary

VECTORS = Path(__file__).parent.parent / "vectors"
SERVER = bytes.fromhex("00 02 00 23")  # upper 1, lower 17
CLIENT = bytes.fromhex("21")  # SAP 16

AARQ = bytes.fromhex("601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0")
# As the conformance list prints it: a server PDU size of 0400, conformance 00301C.
AARE = bytes.fromhex("6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000301C04000007")
GET_NAME = bytes.fromhex("C001C1000100002A0000FF0200")
NAME = bytes.fromhex("C401C1000910494F4E30303030303030303030303137")
GET_LIST = bytes.fromhex("C001C1000F0000280000FF0200")
LIST = bytes.fromhex("C401C100") + bytes(range(256)) + bytes(100)
SET_CLOCK = bytes.fromhex("C101C100080000010000FF0200090C07E20206FF091D0200000000")
SET_DONE = bytes.fromhex("C501C100")
TOO_LONG = bytes.fromhex("D80104")


@dataclass(frozen=True)
class Published:
    """A row of `vectors/hdlc.txt`."""

    octets: bytes
    destination: bytes
    source: bytes
    control: str
    information: int  # octets
    segmented: bool
    meaning: str


def published() -> list[Published]:
    rows = []
    for line in (VECTORS / "hdlc.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            octets, destination, source, control, information, segmented, meaning, where = line.split(" | ")
            rows.append(
                Published(
                    bytes.fromhex(octets),
                    bytes.fromhex(destination),
                    bytes.fromhex(source),
                    control,
                    int(information),
                    segmented == "S",
                    f"{meaning} ({where})",
                )
            )
    return rows


def slow_fcs(octets: bytes) -> bytes:
    """ISO/IEC 13239's check sequence bit by bit, as the book draws it: nothing shared with ours."""
    register = 0xFFFF
    for octet in octets:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return (register ^ 0xFFFF).to_bytes(2, "little")


def slow_frame(frame: Frame, format_field: int | None = None) -> bytes:
    """A frame put together from its definition; with another format field, one that lies."""
    body = frame.destination + frame.source + bytes((frame.control,))
    length = 2 + len(body) + 2 + (len(frame.information) + 2 if frame.information else 0)
    if format_field is None:
        format_field = 0xA000 | frame.segmented << 11 | length
    octets = format_field.to_bytes(2, "big") + body
    octets += slow_fcs(octets)
    if frame.information:
        octets += frame.information
        octets += slow_fcs(octets)
    return b"~" + octets + b"~"


def addresses(lengths: tuple[int, ...] = (1, 2, 4)) -> st.SearchStrategy[bytes]:
    return st.sampled_from(lengths).flatmap(
        lambda length: st.binary(min_size=length, max_size=length).map(
            lambda octets: bytes(octet & 0xFE for octet in octets[:-1]) + bytes((octets[-1] | 1,))
        )
    )


def frames(largest: int = 60) -> st.SearchStrategy[Frame]:
    return st.builds(
        Frame,
        addresses(),
        addresses(),
        st.integers(0, 255),
        st.one_of(st.just(b""), st.binary(max_size=largest), st.binary(max_size=12).map(lambda o: o + b"~")),
        st.booleans(),
    )


class Station:
    """A meter of Unit ID 17 down to the link: it deframes, and answers a few APDUs."""

    def __init__(self, parameters: LinkParameters | None = None, max_lsdu: int = 1024) -> None:
        self.deframer = Deframer()
        self.secondary = Secondary(17, parameters=parameters, max_lsdu=max_lsdu)
        self.executed: list[bytes] = []
        self.events: list[tuple[Event, int]] = []

    def talk(self, octets: bytes | str) -> bytes:
        """Return what the meter answers to these octets."""
        data = bytes.fromhex(octets) if isinstance(octets, str) else octets
        answer = b""
        for frame in self.deframer.feed(data):
            reaction = self.secondary.receive(frame)
            answer += reaction.octets
            if reaction.event is not None:
                self.events.append((reaction.event, reaction.client))
            if reaction.event is Event.LSDU:
                answer += self.secondary.answer(reaction.client, self.apply(reaction.lsdu))
            elif reaction.event is Event.TOO_LONG:
                answer += self.secondary.answer(reaction.client, TOO_LONG)
        return answer

    def wait(self) -> None:
        """Let the inter-frame time-out pass."""
        self.deframer.flush()

    def apply(self, apdu: bytes) -> bytes | None:
        self.executed.append(apdu)
        known = {GET_NAME: NAME, GET_LIST: LIST, SET_CLOCK: SET_DONE}
        return AARE if apdu.startswith(b"\x60") else known.get(apdu)
