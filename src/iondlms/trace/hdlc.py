"""HDLC frames, explained, damaged ones as far as they go; and where in a stream a frame lies."""

from __future__ import annotations

from typing import Final

from iondlms.errors import DecodeError
from iondlms.hdlc import Control, FrameReject, Kind, ServerAddress, fcs16
from iondlms.hdlc.address import CLIENT_ALL_STATION, client_sap
from iondlms.hdlc.frame import FLAG, read_header
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC
from iondlms.trace.acse import ACSE_NAMES, write_acse
from iondlms.trace.conversation import Conversation
from iondlms.trace.names import sap_text
from iondlms.trace.node import Node
from iondlms.trace.scribe import Scribe, message_of
from iondlms.trace.xdlms import write_apdu
from iondlms.xdlms import APDU_NAMES

__all__ = [
    "HORIZON",
    "frame_end",
    "is_bare_frame",
    "write_any_apdu",
    "write_frame",
    "write_link_parameters",
    "write_lsdu",
]

# A frame has 2049 octets at most; a damaged one is not sought further than to the next frame behind it.
HORIZON: Final = 4096

_FORMAT_TYPE: Final = 0xA0
_SMALLEST: Final = 7
_PARAMETERS: Final = {
    5: "max information field, transmit",
    6: "max information field, receive",
    7: "window, transmit",
    8: "window, receive",
}
_COMMANDS: Final = frozenset((Kind.SNRM, Kind.DISC))
_RESPONSES: Final = frozenset((Kind.UA, Kind.DM, Kind.FRMR))


def is_bare_frame(octets: bytes) -> bool:
    """Say whether octets are a frame without its flags."""
    if len(octets) < _SMALLEST or octets[0] & 0xF0 != _FORMAT_TYPE:
        return False
    return (octets[0] & 7) << 8 | octets[1] == len(octets)


def frame_end(data: bytes, flag: int, final: bool) -> int | None:
    """Return where the frame that the flag at `flag` opens ends, closing flag included.

    0 if it opens none; None while more octets are needed to tell, which never is with `final`. A damaged
    frame ends where its length says if a flag is there, else before the next flag that opens a good one.
    """
    end = len(data)
    if end >= flag + HORIZON:
        end, final = flag + HORIZON, True
    if end - flag < 3:
        return 0 if final else None
    length = (data[flag + 1] & 7) << 8 | data[flag + 2]
    if data[flag + 1] & 0xF0 != _FORMAT_TYPE or length < _SMALLEST:
        return 0
    closing = flag + 1 + length
    header = read_header(data, flag, end)
    if header is None and not final:
        return None
    good = header is not None and header.length > 0 and header.good
    if closing < end and not good:
        believed = data[closing] == FLAG and _good_flag(data, flag + 1, closing) < 0
        if believed:
            return closing + 1
        # Pasted by hand, it is a frame with a wrong length; in a stream, noise that looked like one.
        alone = flag == 0 and final and end == len(data) and data[-1] == FLAG
        return end if alone and _good_flag(data, 1, end) < 0 else 0
    if closing < end and data[closing] == FLAG:
        return closing + 1
    if not final and (closing >= end or _good_flag(data, flag + 1, end) < 0):
        return None
    found = _good_flag(data, flag + 1, end)
    return found if found >= 0 else end


def _good_flag(data: bytes, start: int, end: int) -> int:
    """Return the first flag from `start` on that opens a good header before `end`, else -1."""
    flag = data.find(FLAG, start, end)
    while flag >= 0:
        header = read_header(data, flag, end)
        if header is not None and header.length and header.good:
            return flag
        flag = data.find(FLAG, flag + 1, end)
    return -1


# --- one frame -------------------------------------------------------------------------------------


def write_frame(scribe: Scribe, conversation: Conversation) -> None:
    """Write one frame, with its flags or without, that takes all the octets left."""
    whole = scribe.reader.rest()
    start = scribe.position - len(whole)
    inner = Scribe(whole, base=scribe.base + start)
    with inner.group("HDLC frame", len(whole)) as node:
        opened = whole[:1] == bytes((FLAG,))
        if opened:
            inner.take(1, "flag")
        closed = opened and len(whole) > 1 and whole[-1] == FLAG
        body = len(whole) - opened - closed
        with inner.group("between the flags", body) as between:
            node.value = _write_body(inner, conversation, whole[opened : opened + body], closed or not opened)
        if closed:
            inner.take(1, "flag")
        elif opened:
            inner.note("flag", "", "the closing flag is not there")
    if between in node.children:
        at = node.children.index(between)
        node.children[at : at + 1] = between.children
    scribe.add(node)


def _write_body(scribe: Scribe, conversation: Conversation, body: bytes, ended: bool) -> str:
    start = scribe.position
    claimed = _format(scribe, len(body))
    destination = _address(scribe, "destination")
    source = _address(scribe, "source")
    control = scribe.unsigned(1, "control", Control.name)
    kind = Control.kind(control)
    head = scribe.position - start
    link = (destination, source)
    # A frame that lost octets may have lost its FCS; then all that is left is taken for information.
    whole = ended or len(body) >= claimed
    if claimed == head + 2 or (ended and len(body) == head + 2):
        good = _check(scribe, "FCS", body[:head])
        text = _roles(scribe, link, kind, b"")
        information = 0
    else:
        good = _check(scribe, "HCS", body[:head])
        information = max(0, scribe.remaining - (2 if whole else 0))
        octets = body[head + 2 : head + 2 + information]
        good = good and whole and len(body) == claimed
        good = good and fcs16(body[:-2]) == body[-2:]
        text = _roles(scribe, link, kind, octets)
    if kind is Kind.SNRM and good:
        conversation.connect()
    if information:
        # What a damaged frame says is shown and not remembered.
        memory = conversation if good else Conversation()
        _information(scribe, memory, information, link, control, bool(body[0] & 0x08))
    if claimed != head + 2 and not (ended and len(body) == head + 2):
        _check(scribe, "FCS", body[:-2] if whole else body)
    return f"{Control.name(control)}, {text}"


def _format(scribe: Scribe, there: int) -> int:
    octets = scribe.take(2, "format")
    node = scribe.drop()
    length = (octets[0] & 7) << 8 | octets[1]
    segmented = ", segmented" if octets[0] & 8 else ""
    node.value = f"type 3, length {length}{segmented}"
    if octets[0] & 0xF0 != _FORMAT_TYPE:
        node.error = f"format type {octets[0] >> 4:X}, A expected"
    elif length != there:
        node.error = f"the length says {length}, {there} octets are there"
    scribe.add(node)
    return length


def _address(scribe: Scribe, label: str) -> bytes:
    """Take an address up to the octet with the lowest bit set."""
    start = scribe.position
    octets = b""
    while not octets or not octets[-1] & 1:
        if len(octets) == 4 or not scribe.remaining:
            raise scribe.refuse(label, "no octet of the address has the lowest bit set, which ends it", start)
        octets += scribe.reader.take(1)
    error = "an address has 1, 2 or 4 octets, not 3" if len(octets) == 3 else None
    scribe.add(Node(scribe.base + start, label, "", octets, error))
    return octets


def _check(scribe: Scribe, label: str, octets: bytes) -> bool:
    """Take a check sequence and compare it with that of `octets`."""
    right = fcs16(octets)
    found = scribe.take(2, label, lambda two: "good" if two == right else "wrong")
    if found != right:
        node = scribe.drop()
        node.error = f"{label} is {found.hex(' ').upper()}, these octets have {right.hex(' ').upper()}"
        scribe.add(node)
    return found == right


def _roles(scribe: Scribe, link: tuple[bytes, bytes], kind: Kind, information: bytes) -> str:
    """Say which address is the meter's, write it to both address nodes, return `client 1 to meter 1/17`."""
    destination, source = link
    to_server: bool | None = None
    if len(destination) != len(source) and 1 in (len(destination), len(source)):
        to_server = len(destination) > len(source)
    elif information.startswith((COMMAND_LLC, RESPONSE_LLC)):
        to_server = information.startswith(COMMAND_LLC)
    elif kind in _COMMANDS or kind in _RESPONSES:
        to_server = kind in _COMMANDS
    texts = [_station(destination, to_server, True), _station(source, to_server, False)]
    for node, text in zip((node for node in scribe.written if node.label in _ENDS), texts, strict=False):
        node.value = text
    return f"{texts[1]} to {texts[0]}"


_ENDS: Final = ("destination", "source")


def _station(octets: bytes, to_server: bool | None, is_destination: bool) -> str:
    if to_server is None and len(octets) == 1:
        return f"address {octets[0] >> 1}"
    if to_server is None or to_server == is_destination:
        try:
            address = ServerAddress.decode(octets)
        except DecodeError:
            return f"address {octets.hex(' ').upper()}"
        physical = "" if address.lower is None else f", physical {address.lower}"
        note = " (all stations)" if address.lower in (0x7F, 0x3FFF) and address.special else ""
        return f"meter: logical {address.upper}{physical}{note}"
    sap = client_sap(octets)
    if sap is not None:
        return sap_text(sap)
    special = {0: "no station", CLIENT_ALL_STATION: "all stations"}
    return (
        special.get(octets[0] >> 1, "address") if len(octets) == 1 else f"address {octets.hex(' ').upper()}"
    )


# --- the information field -------------------------------------------------------------------------


def _information(
    scribe: Scribe,
    conversation: Conversation,
    size: int,
    link: tuple[bytes, bytes],
    control: int,
    more: bool,
) -> None:
    kind = Control.kind(control)
    with scribe.group("information", size) as node:
        node.value = f"{size} octets"
        if kind in (Kind.SNRM, Kind.UA):
            write_link_parameters(scribe)
        elif kind is Kind.FRMR:
            _frame_reject(scribe)
        elif kind in (Kind.I, Kind.UI):
            octets = scribe.reader.rest()
            remark = ""
            if kind is Kind.I:
                remark = conversation.segment(link, Control.send_number(control), octets, more)
            inner = Scribe(octets, base=scribe.base + scribe.position - len(octets))
            if remark:
                node.value += f", {remark}"
                begun = _llc(inner)
                tag = inner.reader.peek() if begun and inner.remaining else -1
                name = ACSE_NAMES.get(tag) or APDU_NAMES.get(tag)
                text = "explained where all of them are joined"
                inner.take(inner.remaining, "segment", f"{name} begins, {text}" if name else text)
            else:
                write_lsdu(inner, conversation)
            node.children += inner.nodes
        else:
            scribe.take(scribe.remaining, "contents", "this frame should have none")


def write_lsdu(scribe: Scribe, conversation: Conversation) -> None:
    """Write LLC and APDU, or octets without LLC, which only a later segment has."""
    if _llc(scribe):
        write_any_apdu(scribe, conversation)
    else:
        scribe.take(scribe.remaining, "no LLC", "a later segment whose beginning was not seen, or not DLMS")


def write_any_apdu(scribe: Scribe, conversation: Conversation) -> None:
    """Write one APDU, ACSE or xDLMS, that takes all the octets left."""
    if scribe.remaining and scribe.reader.peek() in ACSE_NAMES:
        write_acse(scribe, conversation)
    else:
        write_apdu(scribe, conversation)


def _llc(scribe: Scribe) -> bool:
    if scribe.remaining < 3:
        return False
    ahead = bytes(scribe.ahead(3))
    names = {COMMAND_LLC: "command", RESPONSE_LLC: "response"}
    if ahead not in names:
        return False
    scribe.take(3, "LLC", names[ahead])
    return True


def write_link_parameters(scribe: Scribe) -> None:
    """Write the information field of SNRM and UA: 81, 80, length, then the parameters (6.4.4.4.3.2)."""
    if scribe.reader.peek() != 0x81:
        raise scribe.refuse("format identifier", f"{scribe.reader.peek():02X}, 81 expected")
    scribe.take(1, "format identifier")
    while scribe.remaining:
        group = scribe.unsigned(1, "group", lambda one: {0x80: "parameters"}.get(one, f"{one:02X}"))
        if group == 0xF0:
            scribe.take(scribe.remaining, "user data")
            return
        size = scribe.unsigned(1, "group length")
        with scribe.group("parameters" if group == 0x80 else "unknown group", size):
            while group == 0x80 and scribe.remaining:
                _link_parameter(scribe)
            if scribe.remaining:
                scribe.take(scribe.remaining, "contents")


def _link_parameter(scribe: Scribe) -> None:
    start = scribe.position
    identifier = scribe.unsigned(1, "identifier", lambda one: _PARAMETERS.get(one, "unknown"))
    label = scribe.drop().value
    if not scribe.remaining:
        raise scribe.refuse(label, "its length is not there", start)
    size = scribe.reader.u8()
    with scribe.group(label, size, start=start) as node:
        octets = scribe.reader.rest()
        value = int.from_bytes(octets, "big")
        node.value = f"{value}" if octets else "default"
        if identifier in (7, 8) and octets and not 1 <= value <= 7:
            node.error = f"a window of {value} frames is not in 1..7"
        elif identifier in (5, 6) and octets and not 32 <= value <= 2030:
            node.error = f"an information field of {value} octets is not in 32..2030"


def _frame_reject(scribe: Scribe) -> None:
    octets = scribe.take(3, "rejected")
    node = scribe.drop()
    try:
        reject = FrameReject.decode(octets)
    except DecodeError as error:
        node.error = message_of(error)
    else:
        numbers = f"V(S)={reject.send_number} V(R)={reject.receive_number}"
        node.value = f"{reject}; {numbers}, a {'response' if reject.response else 'command'}"
    scribe.add(node)
