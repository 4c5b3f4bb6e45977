"""What an attacker sends: sessions that could be good, and each of their parts bent by its own rules.

One seed is one session. An APDU is built from its fields, so that most of them get past the decoder; a frame
gets its check sequences after it was bent, so that most of them get past the deframer.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from random import Random
from typing import Final

from tests.meter.bench import AARQ, AARQ_LLS, COMMAND_LLC, SERVER, get_request
from tests.meter.octets import WHOLE_RANGE

from iondlms.hdlc import Deframer, Kind
from iondlms.hdlc.frame import MAX_LENGTH, Control, fcs16

PROFILES: Final = ("1-0:99.1.0*255", "1-0:98.1.0*255")
OBJECTS: Final = (
    (7, PROFILES[0], range(10)),
    (7, PROFILES[1], range(10)),
    (8, "0-0:1.0.0*255", range(11)),
    (15, "0-0:40.0.0*255", range(13)),
    (17, "0-0:41.0.0*255", range(4)),
    (1, "0-0:42.0.0*255", range(4)),
    (1, "0-0:97.97.0*255", range(4)),
    (3, "1-1:1.29.0*255", range(5)),
    (3, "1-1:13.0.0*255", range(5)),
)
_LIES: Final = (0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFD, 0xFE, 0xFF)
_PDU_SIZES: Final = (0, 1, 11, 12, 13, 29, 64, 125, 128, 0x4B0, 0xFFFF)
_NO_REQUESTS: Final = ("61", "63", "C401C10000", "C501C100", "D80102", "0E010600", "0F00", "DB00", "C2", "21")
_REFUSED: Final = re.compile(b"\xd8\x01\x02|\xa2\x03\x02\x01\x01")


class Attacker:
    """Chunks of octets, and how long to wait before each; the same for the same seed."""

    def __init__(self, seed: int, *, hdlc: bool, password: bool) -> None:
        self._random = Random(seed)
        self._hdlc = hdlc
        self._password = password
        self._numbers: dict[int, list[int]] = {}  # by client, the N(S) and N(R) that are due if all goes well
        self._block = 0
        self._shut_out = False  # the meter takes nothing more before the next opening

    def hear(self, answer: bytes) -> None:
        """Learn from the meter's answer what comes next: one who goes on blindly is soon shut out."""
        self._shut_out = _REFUSED.search(answer) is not None
        if not self._hdlc:
            return
        for frame in Deframer().feed(answer):
            numbers = self._numbers.setdefault(frame.destination[0] >> 1, [0, 0])
            if frame.kind in (Kind.I, Kind.RR):
                numbers[0] = Control.receive_number(frame.control)
            if frame.kind is Kind.I:
                numbers[1] = (Control.send_number(frame.control) + 1) & 7
            self._shut_out |= frame.kind in (Kind.DM, Kind.FRMR)

    def chunks(self, steps: int) -> Iterator[tuple[float, bytes]]:
        """Yield (seconds to wait, octets)."""
        random = self._random
        client = 1 if self._password else 16
        yield from ((0.0, octets) for octets in self._opening(client))
        for _ in range(steps):
            changed = random.random() < 0.05
            if changed:
                client = random.choice((1, 1, 1, 16, 16, 16, 2, 0, 0x7F, random.randrange(128)))
            if random.random() < (0.8 if self._shut_out or changed else 0.02):
                yield from ((0.0, octets) for octets in self._opening(client))
            octets = self._hdlc_step(client) if self._hdlc else self._wpdu(client, self.apdu())
            if random.random() < 0.06:
                octets = self.bent(octets)
            if random.random() < 0.03:
                octets = random.randbytes(random.randrange(60)) + octets
            wait = random.choice((0.0,) * 40 + (0.001, 0.3, 1.0, 2.0, 20.0, 20.0, 60.0, 130.0))
            yield wait, octets * random.choice((1,) * 30 + (2, 9))

    def _opening(self, client: int) -> list[bytes]:
        aarq = bytes.fromhex(AARQ_LLS if client == 1 and self._password else AARQ)
        if self._random.random() < 0.3:
            # The client's PDU size, which bounds every answer.
            aarq = aarq[:-2] + self._random.choice(_PDU_SIZES).to_bytes(2, "big")
        if not self._hdlc:
            return [self._wpdu(client, aarq)]
        self._numbers[client] = [0, 0]
        snrm = self._frame(client, Control.SNRM | 0x10, self._link_parameters())
        # The numbers begin anew on both sides; what the UA says of sizes is not looked at.
        return [snrm, self._i(client, aarq)]

    # --- the line -----------------------------------------------------------------------------------

    def _wpdu(self, client: int, apdu: bytes) -> bytes:
        random = self._random
        version, destination, length = 1, 1, len(apdu)
        match random.randrange(60):
            case 0:
                version = random.choice((0, 2, 0x100))
            case 1:
                destination = random.choice((0, 2, 0x7F, 0xFFFF))
            case 2:
                length = random.choice((0, length + 1, max(0, length - 1), 1025, 0xFFFF))
        return struct.pack(">HHHH", version, client, destination, length) + apdu

    def _hdlc_step(self, client: int) -> bytes:
        random = self._random
        numbers = self._numbers.setdefault(client, [0, 0])
        match random.randrange(30):
            case 0:
                control = random.choice((Control.RR, Control.RNR)) | 0x10 | random.randrange(8) << 5
                return self._frame(client, control, random.choice((b"", b"", b"", b"\0")))
            case 1:
                return self._frame(client, random.randrange(256), random.randbytes(random.randrange(3)))
            case 2:
                return self._frame(client, Control.UI | 0x10, COMMAND_LLC + self.apdu())
            case 3:
                return self._frame(client, Control.DISC | 0x10)
            case 4:  # segments: of any size, with or without an end
                apdu, pieces = COMMAND_LLC + self.apdu() * random.choice((1, 1, 40)), []
                size = random.choice((1, 30, 128))
                for begin in range(0, len(apdu), size):
                    last = begin + size >= len(apdu) and random.random() < 0.7
                    pieces.append(self._segment(client, apdu[begin : begin + size], more=not last))
                return b"".join(pieces[:60])
            case 5:
                numbers[random.randrange(2)] = random.randrange(8)
            case 6 | 7:  # what is left of an answer in segments
                return self._frame(client, Control.RR | 0x10 | numbers[1] << 5)
        return self._i(client, self.apdu())

    def _i(self, client: int, apdu: bytes) -> bytes:
        return self._segment(client, COMMAND_LLC + apdu, more=False)

    def _segment(self, client: int, information: bytes, *, more: bool) -> bytes:
        numbers = self._numbers.setdefault(client, [0, 0])
        poll = 0x10 if self._random.random() < 0.93 else 0
        octets = self._frame(client, numbers[1] << 5 | poll | numbers[0] << 1, information, more=more)
        numbers[0] = (numbers[0] + 1) & 7
        return octets

    def _frame(self, client: int, control: int, information: bytes = b"", *, more: bool = False) -> bytes:
        """Return a frame whose check sequences are good, whatever else is not."""
        random = self._random
        information = information[: MAX_LENGTH - 20]
        destination, source = SERVER, bytes((client << 1 & 0xFE | 1,))
        match random.randrange(80):
            case 0:
                destination = random.choice(
                    (b"\x03", b"\x02\x23", b"\xfe\xff", b"\xfe\xfe\xfe\xff", b"\0\2\1")
                )
            case 1:
                source = random.choice((b"\x01", b"\xff", b"\x02\x21", b"\0\2\0\x21"))
            case 2:
                more = not more
        body = 2 + len(destination) + len(source) + 1 + 2 + (len(information) + 2 if information else 0)
        if random.randrange(80) == 0:
            body = random.choice((0, 7, body - 1, body + 1, MAX_LENGTH))
        head = (0xA000 | more << 11 | body & MAX_LENGTH).to_bytes(2, "big") + destination + source
        head += bytes((control,))
        octets = head + fcs16(head)
        if information:
            octets += information
            octets += fcs16(octets)
        return b"~" + octets + b"~"

    def _link_parameters(self) -> bytes:
        random = self._random
        if random.random() < 0.5:
            return b""
        group = b""
        for identifier in random.sample((5, 6, 7, 8), random.randrange(1, 5)):
            width = random.choice((1, 2, 4))
            value = random.choice((32, 33, 64, 128)) if identifier < 7 else 1
            if random.random() < 0.1:
                value = random.choice((0, 7, 8, 31, 255))
            group += bytes((identifier, width)) + value.to_bytes(width, "big")
        return b"\x81\x80" + bytes((len(group),)) + group

    # --- APDUs --------------------------------------------------------------------------------------

    def apdu(self) -> bytes:
        """Return a request, good or bent."""
        random = self._random
        made = self._request()
        return self.bent(made) if random.random() < 0.15 else made

    def _request(self) -> bytes:
        random = self._random
        match random.randrange(24):
            case 0 | 1 | 2 | 3 | 4:
                class_id, name, attributes = random.choice(OBJECTS)
                return bytes.fromhex(get_request(class_id, name, random.choice(attributes)))
            case 5 | 6 | 7:
                return bytes.fromhex(get_request(7, random.choice(PROFILES), 2)[:-2]) + self._selection()
            case 8 | 9 | 10 | 11:
                self._block = random.choice((self._block + 1,) * 8 + (self._block, 0, 1, 0xFFFFFFFF))
                return bytes.fromhex("C002C1") + (self._block & 0xFFFFFFFF).to_bytes(4, "big")
            case 12 | 13 | 14:
                return bytes.fromhex("C101C100080000010000FF0200") + self._time()
            case 15:
                return bytes.fromhex("C101C100080000010000FF0200") + self._data(0)
            case 16 if random.random() < 0.3:
                return bytes.fromhex(random.choice((AARQ, AARQ_LLS if self._password else AARQ)))
            case 17 if random.random() < 0.3:
                return bytes.fromhex(random.choice(("6200", "6203800100", "62")))
            case 18:
                return bytes.fromhex(random.choice(_NO_REQUESTS))
            case _:
                self._block = 0
                return bytes.fromhex(get_request(7, random.choice(PROFILES), 2))

    def _selection(self) -> bytes:
        random = self._random
        if random.random() < 0.5:
            numbers = [random.choice((0, 1, 2, 19, 20, 21, 0xFFFF, random.randrange(50))) for _ in range(4)]
            numbers[random.randrange(2)] = random.choice((1, 5, 0xFFFFFFFF))
            return b"\x01\x02\x02\x04" + struct.pack(
                ">BIBIBHBH", 6, numbers[0], 6, numbers[1], 18, numbers[2], 18, numbers[3]
            )
        columns = bytes.fromhex(WHOLE_RANGE[26:])  # selector 1 and its parameters, all columns
        bounds = self._time() + self._time()
        found = columns.find(b"\x09\x0c")
        return b"\x01" + columns[:found] + bounds + columns[found + 28 :]

    def _time(self) -> bytes:
        """Return a date-time as octet-string or as its own type, each field within, on or over its range."""
        random = self._random

        def field(low: int, high: int) -> int:
            inside = random.randint(low, high)
            if random.random() < 0.95:
                return random.choice((0xFF, low, high, inside, inside))
            return random.choice(((low - 1) & 0xFF, high + 1, 0xFD, 0xFE))

        year = random.choice((2026,) * 8 + (0xFFFF, 0xFFFF, 1970, 2199, 0, 1, 1969, 2200, 9999, 65534))
        deviation = random.choice((0, 0, 0x8000, 0x8000, 60, -60, 840, -840, 841, 0x7FFF)) & 0xFFFF
        octets = year.to_bytes(2, "big") + bytes(
            (field(1, 12), field(1, 31), random.randrange(256), field(0, 23), field(0, 59), field(0, 59))
        )
        octets += bytes((field(0, 99),)) + deviation.to_bytes(2, "big") + bytes((random.randrange(256),))
        return (b"\x09\x0c" if random.random() < 0.8 else b"\x19") + octets

    def _data(self, depth: int) -> bytes:
        """Return a Data of any type, nested up to and beyond what is taken."""
        random = self._random
        if depth < 20 and random.random() < 0.8:
            count = random.choice((1, 1, 1, 1, 2))
            return bytes((random.choice((1, 2)), count)) + b"".join(
                self._data(depth + 1) for _ in range(count)
            )
        if random.random() < 0.3:  # a compact-array: values out of nothing
            element = random.choice(
                (b"\x01\xff\xff\x00", b"\x02\x00", b"\x11", b"\x02\x02\x01\xff\xff\x02\x00\x11")
            )
            return b"\x13" + element + b"\x20" + bytes(32)
        return bytes((random.randrange(36),)) + random.randbytes(random.randrange(14))

    def bent(self, octets: bytes) -> bytes:
        """Return octets with one to three faults."""
        random, made = self._random, bytearray(octets)
        for _ in range(random.randrange(1, 4)):
            place = random.randrange(len(made) + 1)
            match random.randrange(7):
                case 0 if place < len(made):
                    made[place] ^= 1 << random.randrange(8)
                case 1 | 2 if place < len(made):
                    made[place] = random.choice(_LIES)
                case 3:
                    del made[place:]
                case 4:
                    del made[place : place + random.randrange(1, 9)]
                case 5:
                    made[place:place] = made[place : place + random.randrange(1, 30)]
                case _:
                    made[place:place] = random.randbytes(random.randrange(1, 6))
        return bytes(made)
