"""Deliberately broken meters: each is ours with one thing wrong, and names the cases that should see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

from tests.conformance.memory import PASSWORD, Settings

from iondlms.acse import MechanismName, Policy
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import Access, AssociationLn, Interface
from iondlms.errors import OtherReason
from iondlms.hdlc.frame import build, fcs16
from iondlms.hdlc.parameters import LinkParameters
from iondlms.later import Later
from iondlms.meter import Meter, opening
from iondlms.meter.objects import ClockView, _LogBuffer
from iondlms.meter.opening import ClientAccess
from iondlms.meter.service import Association
from iondlms.ports import Endpoint
from iondlms.xdlms.initiate import Conformance

OWN: Final = bytes.fromhex("00020023")
Change = Callable[[bytes], bytes]


class Broken:
    """Our endpoint, with what it hears and what it says changed on the way."""

    def __init__(self, meter: Meter, now: float, hear: Change | None, say: Change | None) -> None:
        self._inner = meter.endpoint(now=now)
        self._hear = hear
        self._say = say

    def receive_data(self, data: bytes, now: float) -> bytes:
        heard = data if self._hear is None else self._hear(data)
        answer = self._inner.receive_data(heard, now)
        return answer if self._say is None else self._say(answer)

    def next_deadline(self) -> float | None:
        return self._inner.next_deadline()

    def handle_timeout(self, now: float) -> bytes:
        return self._inner.handle_timeout(now)

    @property
    def idle(self) -> bool:
        return self._inner.idle

    @property
    def closed(self) -> bool:
        return self._inner.closed

    @property
    def later(self) -> Later | None:
        return self._inner.later


def frames(octets: bytes) -> list[bytes]:
    """Cut whole frames at their length fields; the rest is the last piece."""
    found = []
    while len(octets) > 3 and octets[0] == 0x7E and octets[1] >> 4 == 0xA:
        end = ((octets[1] & 7) << 8 | octets[2]) + 2
        if len(octets) < end:
            break
        found.append(octets[:end])
        octets = octets[end:]
    return [*found, octets] if octets else found


def each_frame(change: Callable[[bytes], bytes]) -> Change:
    """Change each frame of the meter; anything else goes as it is."""

    def changed(octets: bytes) -> bytes:
        return b"".join(change(piece) if piece[:1] == b"\x7e" else piece for piece in frames(octets))

    return changed


def _parts(frame: bytes) -> tuple[int, bytes, bytes, int, bytes]:
    """Return format octet, destination, source, control and information of a frame of the meter."""
    information = frame[11:-3] if len(frame) > 12 else b""
    return frame[1], frame[3:4], frame[4:8], frame[8], information


def framed(first: int, destination: bytes, source: bytes, control: int, information: bytes) -> bytes:
    return build(destination, source, control, information, bool(first & 8))


def on_frame(change: Callable[[int, bytes], tuple[int, bytes] | None]) -> Change:
    """Change control and information of each frame of the meter; None leaves it out."""

    def one(frame: bytes) -> bytes:
        first, destination, source, control, information = _parts(frame)
        changed = change(control, information)
        return b"" if changed is None else framed(first, destination, source, *changed)

    return each_frame(one)


def on_apdu(change: Callable[[bytes], bytes]) -> Change:
    """Change each APDU of the meter that comes in one frame or WPDU."""

    def one(control: int, information: bytes) -> tuple[int, bytes]:
        if information[:3].hex() != "e6e700":
            return control, information
        return control, information[:3] + change(information[3:])

    over_hdlc = on_frame(one)

    def changed(octets: bytes) -> bytes:
        if octets[:1] == b"\x7e":
            return over_hdlc(octets)
        answer = b""
        while len(octets) >= 8:
            end = 8 + int.from_bytes(octets[6:8], "big")
            apdu = change(octets[8:end])
            answer += octets[:6] + len(apdu).to_bytes(2, "big") + apdu
            octets = octets[end:]
        return answer

    return changed


def on_request(change: Callable[[bytes], bytes]) -> Change:
    """Change each APDU that the meter hears in one frame or WPDU, its length kept."""

    def changed(octets: bytes) -> bytes:
        if octets[:2] == b"\0\1" and len(octets) > 8:
            return octets[:8] + change(octets[8:])
        if octets[:2].hex() == "7ea0" and octets[3:7] == OWN and len(octets) > 14 and octets[-1] == 0x7E:
            information = octets[11:-3]
            if information[:3].hex() == "e6e600":
                return build(OWN, octets[7:8], octets[8], information[:3] + change(information[3:]))
        return octets

    return changed


def _set(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + bytes((value & 0xFF,)) + octets[place + 1 :]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken meter."""

    name: str
    by: tuple[str, ...]  # cases that are to see it
    hear: Change | None = None
    say: Callable[[], Change] | None = None  # made anew for each line: it may remember
    settings: Settings = ()
    patches: tuple[tuple[Any, str, Any], ...] = ()
    mutate: Callable[[Meter], None] | None = None
    one_endpoint: bool = False  # the same for every connection

    @contextmanager
    def broken(self) -> Iterator[None]:
        with ExitStack() as stack:
            for target, attribute, value in self.patches:
                stack.enter_context(patch.object(target, attribute, value))
            # What an AARQ comes to is remembered by a good meter, and not from one to the other.
            opening._usual_opening.cache_clear()
            stack.callback(opening._usual_opening.cache_clear)
            yield

    def maker(self) -> Callable[[Meter, float], Endpoint] | None:
        if self.one_endpoint:
            kept: list[Endpoint] = []

            def same(meter: Meter, now: float) -> Endpoint:
                if not kept:
                    kept.append(meter.endpoint(now=now))
                return kept[0]

            return same
        if self.hear is None and self.say is None:
            return None
        return lambda meter, now: Broken(meter, now, self.hear, None if self.say is None else self.say())


# --- what is wrong with them ------------------------------------------------------------------------


def _always_hcs(frame: bytes) -> bytes:
    """HCS behind the header even where there is no information."""
    if len(frame) > 12:
        return frame
    body = _set(frame[1:-3], 1, frame[2] + 2)
    body += fcs16(body)
    return b"\x7e" + body + fcs16(body) + b"\x7e"


def _length_plus_1(frame: bytes) -> bytes:
    body = _set(frame[1:-3], 1, frame[2] + 1)
    if len(frame) > 12:
        body = body[:8] + fcs16(body[:8]) + body[10:]
    return b"\x7e" + body + fcs16(body) + b"\x7e"


def _format_type(frame: bytes) -> bytes:
    return _set(frame, 1, 0x80 | frame[1] & 0xF)


def _swapped_fcs(frame: bytes) -> bytes:
    return frame[:-3] + frame[-2:-1] + frame[-3:-2] + b"\x7e"


def _other_source(frame: bytes) -> bytes:
    first, destination, _, control, information = _parts(frame)
    return framed(first, destination, bytes.fromhex("00020025"), control, information)


class _NoOutages:
    """The power of a meter that forgets nothing in an outage."""

    outages = 0

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    @property
    def powered(self) -> bool:
        return self._meter.powered


def _any_unit(octets: bytes) -> bytes:
    """A meter that does not look at the physical address."""

    def one(frame: bytes) -> bytes:
        if frame[:1] != b"\x7e" or len(frame) < 12 or frame[3:5] != b"\0\2" or not frame[6] & 1:
            return frame
        good = fcs16(frame[1:-3]) == frame[-3:-1]
        information = frame[11:-3] if len(frame) > 12 else b""
        return build(OWN, frame[7:8], frame[8], information, bool(frame[1] & 8)) if good else frame

    return b"".join(one(piece) for piece in frames(octets))


def _any_logical(octets: bytes) -> bytes:
    if octets[:1] == b"\x7e" and len(octets) == 12 and octets[5:7] == OWN[2:]:
        return build(OWN, octets[7:8], octets[8])
    return octets


def _cut_at_flags(octets: bytes) -> bytes:
    """A receiver that looks for flags and not at the length."""
    return b"".join(piece for piece in frames(octets) if b"\x7e" not in piece[1:-1])


def _first_only(octets: bytes) -> bytes:
    if octets[:2] == b"\0\1" and len(octets) > 8:
        return octets[: 8 + int.from_bytes(octets[6:8], "big")]
    return (frames(octets) or [octets])[0]


def _no_noise(octets: bytes) -> bytes:
    return octets if octets[:1] == b"\x7e" else b""


def _flag_gap(octets: bytes) -> bytes:
    return octets.replace(b"\x7e\x7e", b"") if len(octets) > 12 else octets


def _from_one_less(apdu: bytes) -> bytes:
    """Entries counted from 0."""
    place = apdu.find(bytes.fromhex("0102020406"))
    if apdu[:2].hex() != "c001" or place < 0:
        return apdu
    start = place + 5
    number = int.from_bytes(apdu[start : start + 4], "big")
    return apdu[:start] + max(number - 1, 0).to_bytes(4, "big") + apdu[start + 4 :]


def _moved(start_s: int, end_s: int) -> Any:
    original = _LogBuffer.between

    def between(self: _LogBuffer, start: DateTime, end: DateTime) -> Any:
        return original(self, _shift(start, start_s), _shift(end, end_s))

    return between


def _shift(time: DateTime, seconds: int) -> DateTime:
    if not seconds or time.year is None or not 2 < time.year < 9000:
        return time
    return DateTime.of_utc(time.utc(0) + timedelta(seconds=seconds))


def _no_null(self: Interface, view: Any) -> Any:
    readable = [n for n in sorted(self.attributes) if self.access(n, view).readable]
    pieces = [bytes((2, len(readable)))]
    for number in readable:
        pieces += list(self.read(number, None, view))
    return pieces


def _early_last(apdu: bytes) -> bytes:
    """The last-block flag in block 2, whatever follows."""
    if apdu[:2].hex() == "c402" and apdu[4:9].hex() == "0000000200":
        return _set(apdu, 3, 1)
    return apdu


def _blocks_from_0(apdu: bytes) -> bytes:
    if apdu[:2].hex() == "c402" and apdu[8] == 0:
        return apdu[:4] + (int.from_bytes(apdu[4:8], "big") - 1).to_bytes(4, "big") + apdu[8:]
    return apdu


def _cut_block(apdu: bytes) -> bytes:
    if apdu[:2].hex() == "c402" and apdu[3] == 0 and apdu[8] == 0 and 20 < apdu[9] < 0x80:
        return _set(apdu[:-1], 9, apdu[9] - 1)
    return apdu


def _same_invoke(apdu: bytes) -> bytes:
    return _set(apdu, 2, 0xC1) if apdu[:1] in (b"\xc4", b"\xc5") else apdu


def _error_for_exception(apdu: bytes) -> bytes:
    return bytes.fromhex("C401C10102") if apdu == bytes.fromhex("D80102") else apdu


def _size_0(apdu: bytes) -> bytes:
    return apdu[:-4] + b"\0\0" + apdu[-2:] if apdu[:1] == b"\x61" and apdu[-2:] == b"\0\7" else apdu


def _conformance_bit(apdu: bytes) -> bytes:
    return apdu.replace(bytes.fromhex("5F1F0400003014"), bytes.fromhex("5F1F0400003015"))


def _version_5(apdu: bytes) -> bytes:
    return apdu.replace(bytes.fromhex("0800065F"), bytes.fromhex("0800055F"))


def _no_frmr(control: int, information: bytes) -> tuple[int, bytes] | None:
    return None if control == 0x97 else (control, information)


def _frmr_high(control: int, information: bytes) -> tuple[int, bytes] | None:
    if control == 0x97:
        return control, information[:2] + bytes((information[2] << 4,))
    return control, information


def _without_final(control: int, information: bytes) -> tuple[int, bytes]:
    return control & 0xEF, information


def _receive_number_0(control: int, information: bytes) -> tuple[int, bytes]:
    return (control & 0x1F, information) if control & 3 != 3 else (control, information)


def _send_number_0(control: int, information: bytes) -> tuple[int, bytes]:
    return (control & 0xF1, information) if not control & 1 else (control, information)


def _ua_of_256(control: int, information: bytes) -> tuple[int, bytes]:
    if control == 0x73 and information:
        return control, LinkParameters(256, 256).encode()
    return control, information


def _llc_command(control: int, information: bytes) -> tuple[int, bytes]:
    return control, information.replace(bytes.fromhex("E6E700"), bytes.fromhex("E6E600"), 1)


def _twice(octets: bytes) -> bytes:
    return octets * 2


def _never_again() -> Change:
    """A lost answer is not sent again: RR comes in its place."""
    sent: list[bytes] = []

    def changed(octets: bytes) -> bytes:
        if len(octets) > 12 and octets[:1] == b"\x7e" and octets[8] & 1 == 0:
            if sent == [octets]:
                return build(octets[3:4], OWN, octets[8] & 0xF0 | 1)
            sent[:] = [octets]
        return octets

    return changed


class _SetsTwice(Broken):
    """A SET that the link repeats is executed again."""

    def __init__(self, meter: Meter, now: float) -> None:
        super().__init__(meter, now, None, None)
        self._meter = meter
        self._before = b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        answer = super().receive_data(data, now)
        if data == self._before and data[11:16].hex() == "e6e600c101":
            other = self._meter.endpoint(now=now)
            secret = PASSWORD.encode().hex()
            low = f"6036A1090607608574050801018A0207808B0760857405080201AC0A8008{secret}"
            for apdu in (bytes.fromhex(low + "BE10040E01000000065F1F0400007E1F04B0"), data[14:-3]):
                other.receive_data(bytes.fromhex("000100010001") + len(apdu).to_bytes(2, "big") + apdu, now)
        self._before = data
        return answer


@dataclass(frozen=True, slots=True)
class _SetTwice(Mutant):
    def maker(self) -> Callable[[Meter, float], Endpoint] | None:
        return _SetsTwice


def _swallowed(self: ClockView, time: DateTime) -> None:
    with suppress(OtherReason):
        _SET_TIME(self, time)


_SET_TIME: Final = ClockView.set_time


def _no_open_year(self: ClockView, time: DateTime) -> None:
    if time.year is None:
        raise OtherReason("no year")
    _SET_TIME(self, time)


def _open_is_zero(self: ClockView, time: DateTime) -> None:
    octets = time.octets
    if octets[7] == 0xFF:
        octets = octets[:7] + b"\0" + octets[8:]
    _SET_TIME(self, DateTime(octets))


def _deviation_ignored(self: ClockView, time: DateTime) -> None:
    _SET_TIME(self, DateTime(time.octets[:9] + b"\0\0" + time.octets[11:]))


def _day_late(apdu: bytes) -> bytes:
    if apdu[:6].hex() in ("c401c100090c", "c401c181090c"):
        return _set(apdu, 10, apdu[10] % 7 + 1)
    return apdu


def _limit_plus_1(self: Association, view: Any) -> Any:
    limit, blocks = _LIMIT(self, view)
    return limit + 1, blocks


_LIMIT: Final = Association._answer_limit


def _release_stays(self: Association) -> bytes:
    return bytes.fromhex("6303800100")


def _all_writable(self: Interface, attribute_id: int, view: Any) -> Access:
    access = _ACCESS(self, attribute_id, view)
    return Access(access | Access.WRITE_ONLY) if access.readable else access


_ACCESS: Final = Interface.access


def _with_secret() -> dict[int, Any]:
    attributes = dict(AssociationLn.attributes)
    attributes[7] = attributes[9]
    return attributes


def _public_sets(meter: Meter) -> None:
    public = ClientAccess(
        Policy(MechanismName.LOWEST),
        Conformance(0x00301C),
        frozenset(((ObisCode.parse("0-0:1.0.0*255"), 2),)),
    )
    elsewhere, on_source = meter._clients  # shared by all meters: never changed in place
    meter._clients = ({**elsewhere, 16: public}, {**on_source, 16: public})


def _wrapper(change: Change) -> Change:
    return lambda octets: change(octets) if octets[:2] == b"\0\1" else octets


def _length_1_more(octets: bytes) -> bytes:
    return _set(octets, 7, octets[7] + 1)


def _ports_not_swapped(octets: bytes) -> bytes:
    return octets[:2] + octets[4:6] + octets[2:4] + octets[6:]


def _say(change: Change) -> Callable[[], Change]:
    return lambda: change


MUTANTS: Final = (
    Mutant("HCS in frames without information", ("DL-01", "DL-06"), say=_say(each_frame(_always_hcs))),
    Mutant("length field one too large", ("DL-01", "DL-35"), say=_say(each_frame(_length_plus_1))),
    Mutant("format type 8", ("DL-01",), say=_say(each_frame(_format_type))),
    Mutant("octets of the FCS swapped", ("DL-01",), say=_say(each_frame(_swapped_fcs))),
    Mutant("answers from another Unit ID", ("DL-01",), say=_say(each_frame(_other_source))),
    Mutant("answers for every Unit ID", ("DL-25", "DL-26", "DL-33"), hear=_any_unit),
    Mutant("answers for every logical device", ("DL-24",), hear=_any_logical),
    Mutant("F is never set", ("DL-01",), say=_say(on_frame(_without_final))),
    Mutant("N(R) stays 0", ("DL-51", "DL-60"), say=_say(on_frame(_receive_number_0))),
    Mutant("N(S) stays 0", ("DL-51", "RB-109"), say=_say(on_frame(_send_number_0))),
    Mutant("frames are cut at flags, not by length", ("DL-71",), hear=_cut_at_flags),
    Mutant(
        "only the first frame or WPDU of a segment is heard", ("DL-71", "DL-111", "WR-05"), hear=_first_only
    ),
    Mutant("noise before a flag hides the frame", ("DL-71", "RB-104"), hear=_no_noise),
    Mutant("two flags in a row are lost", ("DL-111",), hear=_flag_gap),
    Mutant("no FRMR", ("DL-13", "DL-53"), say=_say(on_frame(_no_frmr))),
    Mutant("reasons of FRMR in the high half", ("DL-13", "DL-65"), say=_say(on_frame(_frmr_high))),
    Mutant("UA promises 256 octets", ("DL-35", "DL-36"), say=_say(on_frame(_ua_of_256))),
    Mutant(
        "sizes of SNRM are taken over, not negotiated",
        ("DL-36", "DL-37"),
        patches=((LinkParameters, "negotiate", lambda self, peer: peer),),
    ),
    Mutant("LLC of a command in answers", ("AP-04",), say=_say(on_frame(_llc_command))),
    Mutant("every answer comes twice", ("DL-01", "AP-04"), say=_say(_twice)),
    Mutant("a lost answer is not sent again", ("DL-57", "RB-110"), say=_never_again),
    _SetTwice("a repeated SET is executed twice", ("DL-56",)),
    Mutant("inactivity timer off", ("DL-03", "WR-34"), settings=(("port.ETHERNET.inactivity", 86400),)),
    Mutant("inactivity timer early", ("DL-04", "DL-06"), settings=(("port.ETHERNET.inactivity", 60),)),
    Mutant(
        "inter-frame timer off", ("DL-02", "DL-08", "DL-72"), settings=(("port.ETHERNET.rx_timeout", 15),)
    ),
    Mutant("inter-frame timer early", ("DL-72",), settings=(("port.ETHERNET.rx_timeout", 0.3),)),
    Mutant("length of a WPDU one too large", ("WR-01", "WR-02"), say=_say(_wrapper(_length_1_more))),
    Mutant("ports of a WPDU not swapped", ("WR-01", "WR-02"), say=_say(_wrapper(_ports_not_swapped))),
    Mutant("the association outlives its connection", ("WR-15", "BT-12"), one_endpoint=True),
    Mutant(
        "the association outlives an outage",
        ("RB-11",),
        one_endpoint=True,
        patches=((Meter, "supply", property(_NoOutages)),),
    ),
    Mutant(
        "RLRQ ends nothing",
        ("AP-68", "AP-69"),
        patches=((Association, "_release", _release_stays),),
    ),
    Mutant(
        "any secret is right",
        ("AP-15-lls", "AP-14e"),
        patches=((opening, "check", lambda aarq, policy: None),),
    ),
    Mutant(
        "a data-access-result in place of an exception",
        ("AP-01", "AP-53"),
        say=_say(on_apdu(_error_for_exception)),
    ),
    Mutant("invoke-id not echoed", ("AP-44",), say=_say(on_apdu(_same_invoke))),
    Mutant("server PDU size 0", ("AP-04", "AP-28"), say=_say(on_apdu(_size_0))),
    Mutant("grants ACTION that nobody offered", ("AP-04", "AP-26"), say=_say(on_apdu(_conformance_bit))),
    Mutant("negotiates DLMS version 5", ("AP-25",), say=_say(on_apdu(_version_5))),
    Mutant("unknown object by another code", ("AP-47",), settings=(("unknown_object", 3),)),
    Mutant("no null-data in attribute 0", ("AP-51",), patches=((Interface, "_get_all", _no_null),)),
    Mutant(
        "everything is listed as writable", ("CO-14-lls",), patches=((Interface, "access", _all_writable),)
    ),
    Mutant(
        "the secret may be read",
        ("CO-09", "AP-50"),
        patches=((AssociationLn, "attributes", _with_secret()),),
    ),
    Mutant("the public client may set the clock", ("TS-14", "CO-101"), mutate=_public_sets),
    Mutant("scaler of -3 and integers of 0", ("CO-27",), settings=(("scaler", -3),)),
    Mutant("the clock stands", ("CO-16",), mutate=lambda meter: meter.run_at(0.0, 1000.0)),
    Mutant("day of the week one late", ("CO-15",), say=_say(on_apdu(_day_late))),
    Mutant(
        "sign of the deviation reversed",
        ("TS-02", "TS-10"),
        settings=(("deviation", "reversed"), ("clock.zone", "Europe/Madrid")),
    ),
    Mutant(
        "the deviation of a SET is not looked at",
        ("TS-02", "TS-10"),
        patches=((ClockView, "set_time", _deviation_ignored),),
    ),
    Mutant(
        "a field out of range is passed over",
        ("TS-06", "TS-06c"),
        patches=((ClockView, "set_time", _swallowed),),
    ),
    Mutant("an open year is refused", ("TS-05",), patches=((ClockView, "set_time", _no_open_year),)),
    Mutant(
        "an open second counts as 0", ("TS-05f", "TS-05g"), patches=((ClockView, "set_time", _open_is_zero),)
    ),
    Mutant("entries are counted from 0", ("SA-24", "SA-101"), hear=on_request(_from_one_less)),
    Mutant(
        "end of a range is exclusive", ("SA-04", "SA-09"), patches=((_LogBuffer, "between", _moved(0, -1)),)
    ),
    Mutant(
        "start of a range is exclusive", ("SA-04", "SA-100"), patches=((_LogBuffer, "between", _moved(1, 0)),)
    ),
    Mutant(
        "a range is a second too wide", ("SA-07", "SA-08"), patches=((_LogBuffer, "between", _moved(-1, 1)),)
    ),
    Mutant("last-block flag in block 2", ("BT-01", "BT-02"), say=_say(on_apdu(_early_last))),
    Mutant("block numbers from 0", ("BT-01",), say=_say(on_apdu(_blocks_from_0))),
    Mutant("an octet is missing at the end of each block", ("BT-01", "BT-02"), say=_say(on_apdu(_cut_block))),
    Mutant(
        "APDUs one octet over the client's size",
        ("BT-04", "AP-33"),
        patches=((Association, "_answer_limit", _limit_plus_1),),
    ),
)
