"""Suite ROBUSTNESS: damage, lies, storms, lines left half used. RB-11 (power cycle), RB-15 (foreign
clients) and what needs a look into the meter's memory are not for a black box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from iondlms.conformance.apdus import (
    DEVICE_NAME,
    GET_LIST,
    GET_NAME,
    GET_OWN_NAME,
    aarq,
    get_request,
    set_request,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.application_scripts import SET_SAME_TIME
from iondlms.conformance.suites.link_frames import SNRM, own_aarq_frame, rr_of
from iondlms.conformance.suites.selection import WHOLE, by_entry
from iondlms.conformance.verdict import Failure, Inapplicable, Inconclusive, require

_GET_NEXT: Final = "C002C100000001"
_FORMAT_END: Final = 24  # the bit behind a frame's flag, format type and length
# Instead of the 255 other values of an octet: those that are a length, a tag, a bound or one bit away.
_VALUES: Final = (0x00, 0x01, 0x02, 0x05, 0x09, 0x0F, 0x12, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFE, 0xFF)


def _requests(bench: Bench) -> list[str]:
    found = [
        GET_NAME,
        GET_OWN_NAME,
        GET_LIST,
        _GET_NEXT,
        SET_SAME_TIME,
        "C301C1000F0000280000FF0100",
        "C003C10200080000010000FF0200000100002A0000FF0200",
        "6203800100",
        bench.own_aarq(),
        aarq(),
    ]
    if bench.cti.objects.load_profile:
        found.append(get_request(7, bench.profile, 2, WHOLE))
        found.append(get_request(7, bench.profile, 2, by_entry(1, 2, 2, 3)))
    return found


def _alive(bench: Bench, why: str) -> None:
    """The line still carries an association and a GET; a closed connection is opened again, with a remark."""
    if bench.closed:
        bench.remark(f"{why}: the connection was closed")
        bench.connect()
        bench.renew()
    bench.works()


def _try(bench: Bench, request: bytes, why: str) -> bytes:
    answer = bench.apdu(request) or b""
    if bench.closed:
        bench.remark(f"{why}: the connection was closed")
        bench.connect()
        bench.renew()
    return answer


def _unharmed(bench: Bench, requests: Iterable[bytes], why: str) -> None:
    """Send requests that must set nothing; the clock and the profile are as before, and all works."""
    clock, at = (bench.clock(), bench.now()) if bench.cti.clock.present else (None, 0.0)
    before = bench.read(1, DEVICE_NAME)
    for request in requests:
        _try(bench, request, why)
    _alive(bench, why)
    require(bench.read(1, DEVICE_NAME) == before, f"{why}: the name has changed")
    if clock is not None:
        passed = bench.now() - at
        require(abs((bench.clock() - clock).total_seconds() - passed) < 3, f"{why}: the clock was set")


def _prefixes(bench: Bench) -> None:
    """Every prefix of every request: an error or nothing; the association can be used afterwards."""
    step = 1 if bench.access.virtual or not bench.fast else 3
    cut = [
        bytes.fromhex(request)[:length]
        for request in _requests(bench)
        for length in range(1, len(request) // 2, step)
    ]
    _unharmed(bench, cut, "a request cut short")


def _changes(bench: Bench, request: str) -> Iterator[bytes]:
    octets = bytes.fromhex(request)
    for place, octet in enumerate(octets):
        others = (*_VALUES, octet ^ 1, octet ^ 0x80, octet + 1 & 0xFF, octet - 1 & 0xFF)
        values: Iterable[int] = range(256) if bench.access.virtual else others
        for value in values:
            if value != octet:
                yield octets[:place] + bytes((value,)) + octets[place + 1 :]


def _octets_changed(request: str | None) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        text = bench.own_aarq() if request is None else request
        if bench.fast and not bench.access.virtual:
            changed = list(_changes(bench, text))[::7]
        else:
            changed = list(_changes(bench, text))
        for one in changed:
            _try(bench, one, "an octet changed")
            if one[0] in (0x60, 0x62):
                bench.associate()  # such an APDU may well have ended the association
        _alive(bench, "an octet changed")

    script.__doc__ = (
        "Each octet of the request changed: no crash, and the association can be used afterwards."
    )
    return script


def _set_changed(bench: Bench) -> None:
    """Each octet of a SET changed: what is done is what decodes from the octets; all else is refused."""
    request = bytes.fromhex(set_request(bench.date_at(bench.clock())))
    bench.set_clock(bench.date_at(bench.clock()))
    changes = list(_changes(bench, request.hex()))
    for changed in changes if bench.access.virtual else changes[:: 11 if bench.fast else 3]:
        answer = _try(bench, changed, "an octet of a SET changed")
        done = answer[:2].hex() == "c501" and answer[3:] == b"\0"
        same_object = changed[:2] == request[:2] and changed[3:15] == request[3:15]
        require(not done or same_object or changed[13] == 0x19, f"{changed.hex()} was set")
        if changed[0] in (0x60, 0x62):
            bench.associate()
    _alive(bench, "an octet of a SET changed")


def _bits_flipped(bench: Bench) -> None:
    """Each bit of a frame flipped: it is dropped, the state is unchanged, the next good frame is answered."""
    bench.snrm()
    frames = (SNRM.octets(bench), own_aarq_frame(bench).octets(bench))
    for frame in frames:
        step = 1 if bench.access.virtual else (29 if bench.fast else 5)
        for bit in range(8, 8 * (len(frame) - 1), step):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 1 << bit % 8
            answer = bench.send(bytes(flipped), 0)
            rr = bench.receive_ready()
            require(answer in (b"", rr_of(bench)), f"bit {bit} of {frame.hex()}: {answer.hex()}")
            # Damage before the address may have moved the frame's end, and only time tells where it is.
            moved = bit < _FORMAT_END
            if moved or not bench.hurried:
                bench.wait_inter_frame()
            got = bench.send(rr)
            if not got and bench.hurried and not moved:
                bench.wait_inter_frame()
                got = bench.send(rr)
            require(got == rr_of(bench), f"state after bit {bit} of {frame.hex()}: {got.hex()}")


_LIES: Final = (
    "6084FFFFFFFF",
    "608000000000",
    "60820400A109060760857405080101",
    "601DA184FFFFFFFF60857405080101BE10040E01000000065F1F0400007E1F04B0",
    "601DA109060760857405080101BE1004840FFFFFFF00065F1F0400007E1F04B0",
    "601DA109060760857405080101BE80040E01000000065F1F0400007E1F04B0",
    "C101C100080000010000FF02000184FFFFFFFF",
    "C101C100080000010000FF02000284FFFFFFFF0F",
    "C101C100080000010000FF02000984FFFFFFFF00",
    "C101C100080000010000FF0200098000",
    "C101C100080000010000FF02000484FFFFFFFF00",
    "C101C100080000010000FF020013840FFFFFFF",
    "C001C100070100630100FF0201010184FFFFFFFF",
    "C001C100070100630100FF020101020484FFFFFFFF",
    "C104C184FFFFFFFF",
    "C003C184FFFFFFFF",
)


def _lying_lengths(bench: Bench) -> None:
    """Lengths and counts far beyond the APDU: an error or nothing, at once, and all works afterwards."""
    at = bench.now()
    _unharmed(bench, (bytes.fromhex(lie) for lie in _LIES), "a length that lies")
    require(bench.now() - at < 60, "it takes too long")


def _deep(bench: Bench) -> None:
    """Structures in structures, as deep as fits the largest request: an error or nothing."""
    room = (bench.server_pdu or 2000) - 20
    nested = "0201" * (min(room, 20000) // 2)
    for head in ("C101C100080000010000FF0200", "C001C100070100630100FF020101"):
        answer = _try(bench, bytes.fromhex(head + nested + "00"), "deep nesting")
        text = answer.hex().upper()
        bench.match(text, "D80102", "", "D80???", "C?01C1*", why="deep nesting")
        require(text[6:8] != "00", f"accepted: {text}")
    deep = bytes.fromhex("C101C100080000010000FF0200" + "0201" * 10000 + "00")
    if bench.framing == "wrapper":
        bench.match(
            _try(bench, deep, "10000 levels").hex(), "D80104", "", "D80???", "C?01C1*", why="10000 levels"
        )
    _alive(bench, "deep nesting")


def _foreign_llc(bench: Bench) -> None:
    """An LLC header other than E6 E6 00: no answer but RR; the link goes on."""
    for head in ("E6E700", "E6E6", "FFFFFF", "E6E601", "E7E600", "E6E7"):
        answer = bench.send(bench.i_segment(bytes.fromhex(head + GET_NAME)))
        text = answer.hex()
        if answer != rr_of(bench):
            bench.remark(f"LLC {head} is served")
            require(bench.lsdu(answer) is not None, text)
    bench.expect("", "", why="an empty LSDU")
    require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "the link goes on")


def _storm(bench: Bench) -> None:
    """Connect, associate, close, again and again: all of them succeed."""
    rounds = 1000 if bench.access.virtual else (50 if bench.fast else 300)
    for _ in range(rounds):
        if bench.framing == "wrapper":
            bench.connect()
        else:
            bench.snrm()
        bench.associate()
        if bench.framing == "hdlc":
            bench.disc()
        bench.answers.clear()


def _many_saps(bench: Bench) -> None:
    """Clients that do not exist are refused, or get no link; those that do exist still work."""
    own, known = bench.sap, {it.sap for it in (bench.cti.public, bench.cti.setting) if it is not None}
    some = bench.fast and not bench.access.virtual
    for sap in range(2, 126, 13 if some else 1):
        if sap in known:
            continue
        bench.sap, bench.send_number, bench.receive_number = sap, 0, 0
        if bench.framing == "hdlc":
            frames = bench.frames(bench.send(bench.frame(0x93)))
            if [frame.control for frame in frames] != [0x73]:
                continue
        answer = bench.apdu(aarq()) or b""
        if b"\xa2\x03\x02\x01\x00" in answer:
            bench.remark(f"client {sap} is let in, and the CTI does not name it")
    bench.sap, bench.send_number, bench.receive_number = own, 0, 0
    bench.renew()
    bench.works()


def _other_line(bench: Bench) -> None:
    """Two lines to one meter: each has an association of its own, and the end of one is not the other's."""
    try:
        other = Bench(bench.access, bench.cti, bench.framing, bench.role, password=bench.password)
    except Inconclusive as reason:
        raise Inapplicable("the meter takes one connection at a time") from reason
    try:
        try:
            other.enter("A" if bench.framing == "hdlc" else "TA")
        except Failure as reason:
            if not other.closed:
                raise
            raise Inapplicable("the meter takes one connection at a time") from reason
        require(other.ask(GET_NAME)[:4].hex() == "c401c100", "the second line")
    finally:
        other.hang()
    require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "the first line")


def _no_early_answer(bench: Bench) -> None:
    """Never an octet before the closing flag, or the last octet of the WPDU."""
    octets = bench.i_frame(GET_NAME) if bench.framing == "hdlc" else bench.wpdu(GET_NAME)
    for octet in octets[:-1]:
        bench.put(bytes((octet,)))
        if bench.access.virtual:
            require(bench.take(0) == b"", "too early")
    require(bench.take(0) == b"", "too early")
    require(bench.send(octets[-1:]) != b"", "and then at once")


_ISO: Final = "ISO 13239 5.6.3; 62056-46 6.4.4.9"
_SET: Final = ("set", "clock", "clock-set")

CASES: Final = (
    Case("RB-01", "every truncation", "AT", _prefixes, "62056-53"),
    Case("RB-01-lls", "every truncation", "AT", _prefixes, "62056-53", client="setting"),
    Case("RB-02", "every octet of GET changed", "AT", _octets_changed(GET_NAME), "62056-53"),
    Case("RB-02b", "every octet of GET-next changed", "AT", _octets_changed(_GET_NEXT), "62056-53"),
    Case("RB-02c", "every octet of AARQ changed", "AT", _octets_changed(None), "62056-53"),
    Case(
        "RB-02d",
        "every octet of SET changed",
        "AT",
        _set_changed,
        "62056-53",
        client="setting",
        needs=_SET,
    ),
    Case("RB-03", "single-bit damage of frames", "N", _bits_flipped, _ISO),
    Case("RB-04", "lying lengths", "AT", _lying_lengths, "A-XDR; BER"),
    Case("RB-04-lls", "lying lengths", "AT", _lying_lengths, "A-XDR; BER", client="setting"),
    Case("RB-05", "deep nesting", "AT", _deep, "A-XDR", client="setting"),
    Case("RB-06", "another LLC header", "A", _foreign_llc, "62056-46 5"),
    Case("RB-09", "connection storm", "RT", _storm, "62056-46; 62056-47"),
    Case("RB-10", "clients that do not exist", "RT", _many_saps, "62056-46 6.4.2"),
    Case("RB-12", "two lines at once", "AT", _other_line, "62056-47", needs=("sockets",)),
    Case("RB-13", "no answer before the end of the request", "AT", _no_early_answer, "62056-46 6.4.4.1"),
)
