"""More broken meters: receivers, selectors, bounds, open fields and power cuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.conformance.mutants import OWN, Change, Mutant, frames, on_frame, on_request

from iondlms.codec.datetimes import DateTime
from iondlms.cosem import Interface
from iondlms.cosem.clock import date_time_of
from iondlms.cosem.selection import RangeDescriptor
from iondlms.errors import OtherReason
from iondlms.hdlc.frame import build, fcs16
from iondlms.meter import Meter
from iondlms.meter.objects import ClockView, _LogBuffer
from iondlms.meter.service import Association

# --- frames and lines -------------------------------------------------------------------------------


def _good_fcs(octets: bytes) -> bytes:
    """A receiver that does not look at the FCS."""

    def one(frame: bytes) -> bytes:
        if len(frame) < 12 or frame[:1] != b"\x7e" or frame[-1:] != b"\x7e":
            return frame
        return frame[:-3] + fcs16(frame[1:-3]) + b"\x7e"

    return b"".join(one(piece) for piece in frames(octets))


def _good_hcs(octets: bytes) -> bytes:
    """A receiver that looks at the FCS alone, which is good where this one is called."""
    if len(octets) < 15 or octets[:1] != b"\x7e":
        return octets
    found = frames(octets)
    if not found or len(found[0]) < 15:
        return octets
    first = found[0][:9] + fcs16(found[0][1:9]) + found[0][11:]
    return first[:-3] + fcs16(first[1:-3]) + b"\x7e" + octets[len(first) :]


def _whole_only(octets: bytes) -> bytes:
    """A receiver that takes what one read gives it for a whole request."""
    if octets[:1] == b"\x7e":
        return octets if octets[-1:] == b"\x7e" and len(octets) > 2 else b""
    return octets if len(octets) > 8 and int.from_bytes(octets[6:8], "big") <= len(octets) - 8 else b""


def _as_rr(octets: bytes) -> bytes:
    if len(octets) == 12 and octets[3:7] == OWN and octets[8] & 0x1F == 0x15:
        return build(OWN, octets[7:8], octets[8] & 0xF0 | 1)
    return octets


def _frmr_once() -> Change:
    """FRMR is sent once; what comes then is answered as if nothing had been."""
    sent: list[bool] = []

    def one(control: int, information: bytes) -> tuple[int, bytes]:
        if control == 0x97 and sent:
            return 0x11, b""
        sent.extend([True] if control == 0x97 else [])
        return control, information

    return on_frame(one)


def _one_client(octets: bytes) -> bytes:
    """A meter that does not look who asks: all clients of a line have one association."""
    if octets[:2] == b"\0\1" and len(octets) > 8:
        return octets[:2] + b"\0\x10" + octets[4:]
    if len(octets) > 14 and octets[3:7] == OWN and octets[-1:] == b"\x7e":
        return build(OWN, b"\x21", octets[8], octets[11:-3])
    return octets


# --- requests ---------------------------------------------------------------------------------------


def _selector_ignored(apdu: bytes) -> bytes:
    """GET with a selector on anything but a buffer is taken for one without."""
    if apdu[:2].hex() == "c001" and apdu[12:13] == b"\1" and (apdu[3:5], apdu[11]) != (b"\0\7", 2):
        return apdu[:12] + b"\0" + apdu[13:]
    return apdu


def _last_left_out(self: Interface, view: Any) -> Any:
    """Attribute 0 without the last attribute."""
    numbers = sorted(self.attributes)[:-1]
    pieces = [bytes((2, len(numbers)))]
    for number in numbers:
        pieces += list(self.read(number, None, view)) if self.access(number, view).readable else [b"\0"]
    return pieces


def _transfer_stays(self: Association, apdu: bytes, limits: Any) -> bytes | None:
    """A long GET goes on whatever request came between two of its blocks."""
    before = self._cutter
    answer = _HANDLE(self, apdu, limits)
    if self._cutter is None and self.associated and apdu[:2].hex() == "c001":
        self._cutter = before
    return answer


_HANDLE: Final = Association.handle


def _bounds(change: Callable[[bytes], bytes]) -> Any:
    def between(self: _LogBuffer, start: DateTime, end: DateTime) -> Any:
        return _BETWEEN(self, DateTime(change(start.octets)), DateTime(change(end.octets)))

    return between


_BETWEEN: Final = _LogBuffer.between


def _bound_in_utc(octets: bytes) -> bytes:
    return octets[:9] + b"\0\0" + octets[11:]


def _bound_in_summer(octets: bytes) -> bytes:
    if octets[11] == 0xFF or not octets[11] & 0x80:
        return octets
    return octets[:5] + bytes(((octets[5] - 1) % 24,)) + octets[6:]


def _whole_bounds(self: RangeDescriptor) -> tuple[DateTime, DateTime]:
    if any(b"\xff" in date_time_of(bound).octets[8:9] for bound in (self.start, self.end)):
        raise OtherReason("no hundredths")
    return _INSTANTS(self)


_INSTANTS: Final = RangeDescriptor.instants


def _open_as(place: int, value: int) -> Any:
    def set_time(self: ClockView, time: DateTime) -> None:
        octets = time.octets
        if octets[place] == 0xFF:
            octets = octets[:place] + bytes((value,)) + octets[place + 1 :]
        _SET_TIME(self, DateTime(octets))

    return set_time


_SET_TIME: Final = ClockView.set_time


# --- power ------------------------------------------------------------------------------------------


def _lost_with_power(self: Meter, now: float) -> None:
    _POWER_UP(self, now)
    self.master_reset(now)


_POWER_UP: Final = Meter.power_up


def _nothing(self: Meter, now: float) -> None:
    """Nobody notices that the power was away."""


MORE_MUTANTS: Final = (
    Mutant("the FCS is not looked at", ("DL-19", "DL-20"), hear=_good_fcs),
    Mutant("the HCS is not looked at", ("DL-21",), hear=_good_hcs),
    Mutant("a request in two pieces is lost", ("RB-100", "RB-114", "WR-04"), hear=_whole_only),
    Mutant("RNR is taken for RR", ("DL-59",), hear=_as_rr),
    Mutant("FRMR is forgotten with the next command", ("DL-104", "DL-14"), say=_frmr_once),
    Mutant("all clients of a line have one association", ("WR-19", "BT-11h"), hear=_one_client),
    Mutant(
        "selectors of attributes that have none are ignored",
        ("CO-107", "SA-35"),
        hear=on_request(_selector_ignored),
    ),
    Mutant(
        "attribute 0 lacks the last attribute",
        ("CO-111", "AP-51"),
        patches=((Interface, "_get_all", _last_left_out),),
    ),
    Mutant(
        "a long get goes on after another request",
        ("BT-11", "BT-11f", "BT-11i"),
        patches=((Association, "handle", _transfer_stays),),
    ),
    Mutant(
        "the deviation of a bound is not looked at",
        ("SA-12", "SA-12b", "SA-106"),
        patches=((_LogBuffer, "between", _bounds(_bound_in_utc)),),
    ),
    Mutant(
        "the clock status of a bound moves it by an hour",
        ("SA-104", "SA-106"),
        patches=((_LogBuffer, "between", _bounds(_bound_in_summer)),),
    ),
    Mutant(
        "bounds without hundredths are refused",
        ("SA-10b", "SA-106", "SA-107"),
        patches=((RangeDescriptor, "instants", _whole_bounds),),
    ),
    Mutant(
        "an open minute counts as 0", ("TS-05e", "TS-05h"), patches=((ClockView, "set_time", _open_as(6, 0)),)
    ),
    Mutant(
        "an open day counts as the first",
        ("TS-05c", "TS-05h"),
        patches=((ClockView, "set_time", _open_as(3, 1)),),
    ),
    Mutant(
        "rows are lost with the power", ("RB-11", "RB-11b"), patches=((Meter, "power_up", _lost_with_power),)
    ),
    Mutant(
        "an outage is not recorded",
        ("RB-11c",),
        patches=((Meter, "power_down", _nothing), (Meter, "power_up", _nothing)),
    ),
)
