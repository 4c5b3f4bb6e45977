"""Drafts the CTI by asking the meter: what it answers to, what it grants, what it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from iondlms.codec.axdr import Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.conformance.apdus import ASSOCIATION, CLOCK, DEVICE_NAME, get_request
from iondlms.conformance.bench import Bench, Role
from iondlms.conformance.cti import (
    ApplicationSection,
    ClientSection,
    ClockSection,
    Cti,
    Framing,
    HdlcSection,
    LineSection,
    ObjectsSection,
)
from iondlms.conformance.line import Access
from iondlms.conformance.suites.objects_ion import BILLING, INTERVAL, LOAD_PROFILE
from iondlms.conformance.verdict import CaseEnd
from iondlms.errors import DlmsError, PortError
from iondlms.hdlc import LinkParameters
from iondlms.xdlms import Conformance

__all__ = ["draft", "first_cti"]

_EVERYTHING: Final = "FFFFFF"
_NEAR: Final = timedelta(
    minutes=10
)  # half of the smallest step of a zone, 15 minutes, is more than the error


def draft(access: Access, start: Cti, password: bytes | None = None, setting_sap: int = 1) -> Cti:
    """Return a CTI that the meter's own answers fill in; PortError if it answers to no framing.

    `start` gives the address, the client and the waits; its framings are those that are tried.
    """
    cti = start
    found: list[Framing] = []
    for framing in start.line.framings:
        asked = _one_framing(access, cti, framing, password, setting_sap)
        if asked is not None:
            found.append(framing)
            cti = asked
    if not found:
        tried = ", ".join(start.line.framings)
        raise PortError(f"no answer as {tried}: check unit, client and framing, or write the CTI by hand")
    return cti.model_copy(update={"line": cti.line.model_copy(update={"framings": tuple(found)})})


def _one_framing(
    access: Access, cti: Cti, framing: Framing, password: bytes | None, setting_sap: int
) -> Cti | None:
    try:
        if framing == "hdlc":
            cti = cti.model_copy(update={"hdlc": _link(access, cti)})
        public = _grant(access, cti, framing, "public", None)
        if public is None and cti.public is not None and framing == "wrapper":
            return None
        cti = cti.model_copy(update={"public": public[0] if public else None})
        if password is not None:
            asked = cti.model_copy(update={"setting": ClientSection(sap=setting_sap)})
            setting = _grant(access, asked, framing, "setting", password)
            cti = cti.model_copy(update={"setting": setting[0] if setting else None})
        size = public[1] if public else 0
        field = "max_pdu_hdlc" if framing == "hdlc" else "max_pdu_wrapper"
        application = cti.application.model_copy(update={field: size})
        cti = cti.model_copy(update={"application": application})
    except (CaseEnd, DlmsError):
        return None
    return _contents(access, cti, framing, password)


def _link(access: Access, cti: Cti) -> HdlcSection:
    """Ask for as much as there is, and see what UA says; and whether RR before SNRM gets DM."""
    wide = cti.hdlc.model_copy(update={"max_information": 2030, "window": 7})
    bench = Bench(access, cti.model_copy(update={"hdlc": wide}), "hdlc")
    try:
        early = bench.send(bench.frame(0x11))
        information = bench.snrm("818014050207EE060207EE070400000007080400000007")
        parameters = LinkParameters.decode(information, strict=False)
        before: Literal["dm", "silence"] = "dm" if early else "silence"
        return cti.hdlc.model_copy(
            update={
                "max_information": parameters.receive_information,
                "window": parameters.receive_window,
                "before_snrm": before,
            }
        )
    finally:
        bench.hang()


def _grant(
    access: Access, cti: Cti, framing: Framing, role: Role, password: bytes | None
) -> tuple[ClientSection, int] | None:
    """Propose everything; return what is granted and the server's PDU size, None if it is refused."""
    bench = Bench(access, cti, framing, role, password=password)
    try:
        bench.enter("R" if framing == "hdlc" else "T")
        answer = bench.apdu(bench.own_aarq(_EVERYTHING))
        place = -1 if answer is None else answer.find(bytes.fromhex("5F1F0400"))
        if answer is None or place < 0 or b"\xa2\x03\x02\x01\x00" not in answer:
            return None
        bits, size = answer[place + 4 : place + 7], int.from_bytes(answer[place + 7 : place + 9], "big")
        return ClientSection(sap=bench.sap, conformance=bits.hex()), size
    finally:
        bench.hang()


def _contents(access: Access, cti: Cti, framing: Framing, password: bytes | None) -> Cti:
    """Read what the objects say; what cannot be read is left as it was."""
    role: Role = "public" if cti.public is not None else "setting"
    bench = Bench(access, cti, framing, role, password=password)
    try:
        bench.enter("A" if framing == "hdlc" else "TA")
        listed = {
            (item.items()[0].integer(), str(ObisCode(item.items()[2].octets())))
            for item in bench.value(15, ASSOCIATION).items()
        }
        objects = _objects(bench, listed)
        name = bench.value(1, DEVICE_NAME).value
        shown = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        unknown = bench.ask("C001C1000FFFFFFFFFFFFF0100")
        code = unknown[4] if unknown[:4].hex() == "c401c101" and len(unknown) == 5 else 4
        long_answers = cti.application.long_answers
        if framing == "hdlc":
            before = len(bench.answers)
            bench.associate(bench.own_aarq(size=0xFFFF))
            bench.read(15, ASSOCIATION)
            if max(map(len, bench.answers[before:])) > bench.information - 3:
                long_answers = "segment"
        return cti.model_copy(
            update={
                "name": cti.name or shown,
                "objects": objects,
                "clock": _clock(bench, (8, CLOCK) in listed),
                "application": cti.application.model_copy(
                    update={"unknown_object": code, "long_answers": long_answers}
                ),
            }
        )
    except (CaseEnd, DlmsError, ValueError, IndexError):
        return cti
    finally:
        bench.hang()


def _objects(bench: Bench, listed: set[tuple[int, str]]) -> ObjectsSection:
    ion = {(7, LOAD_PROFILE), (7, BILLING), (3, INTERVAL[0][0])} <= listed
    profiles = [LOAD_PROFILE] if (7, LOAD_PROFILE) in listed else []
    profiles += sorted(name for class_id, name in listed if class_id == 7 and name != LOAD_PROFILE)
    timed = []
    for profile in profiles:
        columns = bench.value(7, profile, 3).items()
        if columns and columns[0].items()[0].integer() == 8:
            timed.append(profile)
    billing = BILLING if BILLING in timed else timed[1] if len(timed) > 1 else ""
    scaler: Literal[0, -3] = 0
    if ion and bench.read(3, INTERVAL[0][0], 3).hex().startswith("02020ffd"):
        scaler = -3
    return ObjectsSection(ion=ion, load_profile=timed[0] if timed else "", billing=billing, scaler=scaler)


def _clock(bench: Bench, present: bool) -> ClockSection:
    if not present:
        answer = bench.ask(get_request(8, CLOCK, 2))
        if answer[:4].hex() != "c401c100":
            return ClockSection(present=False)
    value = bench.value(8, CLOCK)
    octets = value.octets()
    written = int.from_bytes(octets[9:11], "big", signed=True)
    daylight = 60 if octets[11] != 0xFF and octets[11] & 0x80 else 0
    zone = bench.ask(get_request(8, CLOCK, 3))
    offset = int.from_bytes(zone[5:7], "big", signed=True) if zone[:5].hex() == "c401c10010" else written
    deviation: Literal["normal", "reversed", "unspecified", "utc"] = "normal"
    if written == -0x8000:
        deviation = "unspecified"
    elif written == 0 and offset != 0:
        deviation = "utc"
    elif (daylight and written == offset + daylight) or _nearer_reversed(bench, octets):
        deviation = "reversed"
    tag: Literal["octet-string", "date-time"] = "date-time" if value.tag is Tag.DATE_TIME else "octet-string"
    return ClockSection(tag=tag, deviation=deviation)


def _nearer_reversed(bench: Bench, octets: bytes) -> bool:
    """Whether the meter's time is this computer's with the sign of the deviation turned, and not without."""
    if bench.access.virtual or octets[9:11] == b"\0\0":
        return False
    time, now = DateTime(octets), datetime.now(UTC)
    return abs(time.utc(0, reversed_sign=True) - now) < _NEAR < abs(time.utc(0) - now)


def first_cti(
    framings: tuple[Framing, ...], hdlc: HdlcSection, sap: int, line: LineSection | None = None
) -> Cti:
    """Return what is known before the meter has been asked anything."""
    return Cti(
        line=(line or LineSection()).model_copy(update={"framings": framings}),
        hdlc=hdlc,
        public=ClientSection(sap=sap, conformance=f"{int(Conformance.GET):06X}"),
        application=ApplicationSection(),
    )
