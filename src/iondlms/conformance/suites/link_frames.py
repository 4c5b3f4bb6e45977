"""Frames that the suite DATA-LINK speaks of again and again, and the answers that are due to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.acse import Aare
from iondlms.conformance.apdus import GET_NAME
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Accepted, F, M, Raw, Wait
from iondlms.conformance.verdict import Failure, Inapplicable, require
from iondlms.errors import DlmsError, LocalError
from iondlms.hdlc import LinkParameters, ServerAddress

__all__ = [
    "DISC",
    "DM",
    "FRMR_FF",
    "GET_FRAME",
    "INTER_FRAME",
    "METER_RR_0",
    "RR_0",
    "SNRM",
    "UA_PLAIN",
    "accepts",
    "at",
    "connected",
    "disconnected",
    "dropped",
    "frmr",
    "is_ua",
    "link_is",
    "own_aarq_frame",
    "reset",
    "rr_of",
    "ua",
]

SNRM: Final = F(0x93)
DISC: Final = F(0x53)
RR_0: Final = F(0x11)
DM: Final = M(0x1F)
UA_PLAIN: Final = M(0x73)
METER_RR_0: Final = M(0x11)
GET_FRAME: Final = F(0x32, "E6E600" + GET_NAME)  # the first request in state A
INTER_FRAME: Final = Wait("inter-frame")


def frmr(control: int, reason: int, numbers: int = 0) -> M:
    """Return FRMR: W 1, X 2, Y 4, Z 8, the first transmitted first."""
    return M(0x97, f"{control:02X}{numbers:02X}{reason:02X}")


FRMR_FF: Final = frmr(0xFF, 1)


def at(
    upper: int | None = None, lower: int | None = None, octets: int = 4, *, other: bool = False
) -> Callable[[Bench], str]:
    """Return an address field: the meter's own but for what is named; `other` makes the named one differ."""

    def field(bench: Bench) -> str:
        hdlc = bench.cti.hdlc
        logical = hdlc.logical if upper is None else upper + (other and upper == hdlc.logical)
        unit = hdlc.unit if lower is None else lower + (other and lower == hdlc.unit)
        try:
            return ServerAddress(logical, None if octets == 1 else unit, octets).encode().hex()
        except LocalError as error:
            raise Inapplicable(f"no address of {octets} octets: {error}") from error

    return field


def ua(bench: Bench, information: int = 0, window: int = 1, *, sent: int = 0) -> str:
    """Return the UA that this meter owes, its parameters written as short as they can be."""
    most = bench.cti.hdlc.max_information
    try:
        parameters = LinkParameters(
            min(most, information or 128),
            min(most, sent or 128),
            min(bench.cti.hdlc.window, window),
            min(bench.cti.hdlc.window, window),
        )
    except LocalError:
        parameters = LinkParameters()
    return M(0x73, parameters.encode().hex()).octets(bench).hex()


def is_ua(bench: Bench, answer: bytes, expected: str, why: str) -> None:
    """Require UA with these parameters, in any of their codings; only the shortest passes without remark."""
    if answer.hex() == expected:
        return
    frames = bench.frames(answer)
    require([frame.control for frame in frames] == [0x73], f"{why}: UA due, {answer.hex() or 'nothing'} came")
    (due,) = bench.frames(bytes.fromhex(expected))
    try:
        given = LinkParameters.decode(frames[0].information, strict=False)
        same = given == LinkParameters.decode(due.information)
    except DlmsError as error:
        raise Failure(f"{why}: {error}") from error
    require(same, f"{why}: {given} in UA, {LinkParameters.decode(due.information)} due")
    bench.remark(f"{why}: UA coded as {frames[0].information.hex().upper() or 'no information'}")


def connected(*stimuli: F, why: str = "", **parameters: int) -> Callable[[Bench], None]:
    """Return a script: each stimulus sets the link up, with these parameters in UA."""

    def script(bench: Bench) -> None:
        for stimulus in stimuli:
            is_ua(bench, bench.send(stimulus.octets(bench)), ua(bench, **parameters), why or "SNRM")

    return script


def dropped(*stimuli: F | str) -> tuple[Raw | Wait, ...]:
    """Return a script: none of these is a frame, so none is answered and none executed; DISC gets DM."""
    steps: list[Raw | Wait] = []
    for stimulus in stimuli:
        steps += [Raw((stimulus,)), INTER_FRAME]
    return (*steps, Raw((DISC,), (DM,)))


def disconnected(*stimuli: F | str) -> tuple[Raw, ...]:
    """Return a script: none of these frames is for this meter or this link; the link stays down."""
    return (*(Raw((stimulus,)) for stimulus in stimuli), Raw((DISC,), (DM,)))


def link_is(bench: Bench, state: str, why: str) -> None:
    """Require the link to be in NRM, with the numbers of the bench, or in NDM."""
    if state == "NDM":
        bench.match(bench.send(DISC.octets(bench)).hex(), DM.octets(bench).hex(), why=f"{why}: DM due")
    else:
        due = M(bench.send_number << 5 | 0x11).octets(bench).hex()
        bench.match(bench.send(bench.receive_ready()).hex(), due, why=f"{why}: RR due")


def reset(bench: Bench) -> None:
    """Have a fresh link."""
    bench.snrm()


def own_aarq_frame(bench: Bench) -> F:
    """Return the I frame with this client's AARQ, N(S) and N(R) 0."""
    return F(0x10, "E6E600" + bench.own_aarq())


def accepts(bench: Bench, answer: bytes, control: int, why: str) -> None:
    """Require one I frame with this control octet and an AARE that accepts; the bench then counts on."""
    frames = bench.frames(answer)
    require([frame.control for frame in frames] == [control], f"{why}: {answer.hex() or 'nothing'} came")
    bench.send_number, bench.receive_number = control >> 5, ((control >> 1) + 1) & 7
    lsdu = frames[0].information
    require(lsdu[:3].hex() == "e6e700", f"{why}: LLC of {lsdu.hex()}")
    try:
        accepted = Accepted().same(Aare.decode(lsdu[3:]))
    except DlmsError as error:
        raise Failure(f"{why}: no AARE: {error}: {lsdu.hex()}") from error
    require(accepted, f"{why}: refused: {lsdu[3:].hex()}")
    if lsdu[3:].hex().upper() != Accepted().octets(bench):
        bench.remark(f"{why}: AARE coded as {lsdu[3:].hex().upper()}")


def rr_of(bench: Bench) -> bytes:
    """Return the RR that the meter owes now."""
    return F(
        bench.send_number << 5 | 0x11, "", False, bench.client_address.hex(), bench.server_address.hex()
    ).octets(bench)
