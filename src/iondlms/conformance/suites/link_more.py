"""Suite DATA-LINK, cases of our own: every size, every number, every order."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.apdus import ASSOCIATION, GET_NAME
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, F, M
from iondlms.conformance.suites.link_frames import accepts, frmr, is_ua, link_is, own_aarq_frame, ua
from iondlms.conformance.verdict import Inapplicable, require


def _every_size(bench: Bench) -> None:
    """At each information size from 32 up the AARE and object_list come in frames that fit it, whole."""
    most = min(bench.cti.hdlc.max_information, 128)
    whole = None
    for size in (*range(32, most, 1 if bench.access.virtual else 12), most):
        bench.information = bench.cti.hdlc.max_information
        bench.snrm(f"8180120501{size:02X}0601{size:02X}070400000001080400000001")
        bench.information = size
        bench.associate()
        value = bench.read(15, ASSOCIATION)
        whole = value if whole is None else whole
        require(value == whole, f"another object_list at {size} octets of information")


def _parameter_forms(bench: Bench) -> None:
    """Parameters in any order and in one, two or four octets each: the same UA."""
    if bench.cti.hdlc.max_information < 64:
        raise Inapplicable("the meter's own size is smaller than 64")
    due = ua(bench, 64, sent=64)
    for fields in (
        "050140060140",
        "060140050140",
        "050200400602" + "0040",
        "0504000000400604" + "00000040",
        "070400000001050140080400000001060140",
        "0701010801010501400601" + "40",
    ):
        information = f"8180{len(fields) // 2:02X}{fields}"
        is_ua(bench, bench.send(F(0x93, information).octets(bench)), due, information)


def _parameter_bounds(bench: Bench) -> None:
    """Sizes and windows that no link can have (0, a window of 8): DM, or UA with values that can be had."""
    for fields in ("050100060100", "070400000000080400000000", "070400000008080400000008", "05013F06011F"):
        answer = bench.frames(bench.send(F(0x93, f"8180{len(fields) // 2:02X}{fields}").octets(bench)))
        controls = [frame.control for frame in answer]
        require(controls in ([0x1F], [0x73], []), f"{fields}: {answer}")
        if controls == [0x73]:
            bench.remark(f"parameters {fields} are taken")
            bench.disc()


def _not_ready(bench: Bench) -> None:
    """RNR gets RR, as often as it comes."""
    for _ in range(3):
        frames = bench.frames(bench.send(F(bench.receive_number << 5 | 0x15).octets(bench)))
        require([frame.control for frame in frames] == [bench.send_number << 5 | 0x11], f"RNR gets {frames}")


def _reject_stays(bench: Bench) -> None:
    """After FRMR nothing but the same FRMR, whatever comes with P, until SNRM or DISC."""
    due = frmr(0xFF, 1).octets(bench).hex()
    for control, information in (
        (0xFF, ""),
        (0x11, ""),
        (0x15, ""),
        (0x10, "E6E600" + GET_NAME),
        (0xEF | 0x10, ""),
    ):
        answer = bench.send(F(control, information).octets(bench)).hex()
        bench.match(answer, due, why=f"control {control:02X} after FRMR")
    bench.snrm()
    link_is(bench, "NRM", "after SNRM")


def _every_send_number(bench: Bench) -> None:
    """Each wrong N(S) gets RR with the number that is due; the right one is then taken."""
    for number in range(8):
        if number != bench.send_number:
            control = bench.receive_number << 5 | 0x10 | number << 1
            answer = bench.send(F(control, "E6E600" + GET_NAME).octets(bench))
            due = M(bench.send_number << 5 | 0x11).octets(bench)
            if number == (bench.send_number - 1) & 7:
                # The number of the frame before: a repetition, which may get its answer again.
                require(answer != b"", "the frame before, repeated, gets nothing")
                continue
            require(answer == due, f"N(S)={number}: {answer.hex()}")
    require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "the right number")


def _every_receive_number(bench: Bench) -> None:
    """RR with the N(R) of a frame that was never sent: FRMR with Z."""
    good = {bench.receive_number, (bench.receive_number - 1) & 7}
    for number in set(range(8)) - good:
        bench.renew()
        bad = (bench.receive_number + 1 + number) & 7
        if bad in (bench.receive_number, (bench.receive_number - 1) & 7):
            continue
        control = bad << 5 | 0x11
        numbers = bench.send_number << 5 | bench.receive_number << 1
        answer = bench.send(F(control).octets(bench)).hex()
        bench.match(answer, frmr(control, 8, numbers).octets(bench).hex(), why=f"N(R)={bad}")
        bench.snrm()


def _octet_segments(bench: Bench) -> None:
    """A request in segments of one octet: RR for each, and the answer to the last."""
    lsdu = bytes.fromhex("E6E600" + GET_NAME)
    for octet in lsdu[:-1]:
        answer = bench.frames(bench.send(bench.i_segment(bytes((octet,)), segmented=True)))
        require([frame.control for frame in answer] == [bench.send_number << 5 | 0x11], f"RR due: {answer}")
    apdu = bench.lsdu(bench.send(bench.i_segment(lsdu[-1:])))
    require(apdu is not None and apdu[:4].hex() == "c401c100", f"the answer is due: {apdu!r}")


def _torn_segments(bench: Bench) -> None:
    """Segments of a request, then SNRM: what came is forgotten, and the next request is whole by itself."""
    lsdu = bytes.fromhex("E6E600" + GET_NAME)
    bench.send(bench.i_segment(lsdu[:8], segmented=True))
    bench.snrm()
    accepts(bench, bench.send(own_aarq_frame(bench).octets(bench)), 0x30, "AARQ after SNRM")
    require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "a whole request")


def _repeated_segment(bench: Bench) -> None:
    """A segment that is repeated is not taken twice."""
    lsdu = bytes.fromhex("E6E600" + GET_NAME)
    first = bench.i_segment(lsdu[:8], segmented=True)
    ready = bench.send(first)
    require(bench.send(first) == ready, "RR again")
    apdu = bench.lsdu(bench.send(bench.i_segment(lsdu[8:])))
    require(apdu is not None and apdu[:4].hex() == "c401c100", f"the answer is due: {apdu!r}")


def _endless_segments(bench: Bench) -> None:
    """Segments without end, far beyond any APDU: RR, FRMR or an exception, bounded; then the link works."""
    control = 0x11
    for _ in range(200):
        answer = bench.frames(bench.send(bench.i_segment(b"\xc0" * bench.information, segmented=True)))
        require(len(answer) == 1, f"one frame due: {answer}")
        control = answer[0].control
        if control & 0xEF in (0x87, 0x0F) or not control & 1:
            break
    bench.renew()
    bench.works()


def _shared_flags(bench: Bench) -> None:
    """Three RR with one flag between each: each is answered once."""
    rr = bench.receive_ready()
    for octets, count in ((rr + rr[1:] + rr[1:], 3), (rr * 3, 3), (rr + b"\x7e\x7e" + rr, 2)):
        answer = bench.send(octets, count)
        require(len(bench.frames(answer)) == count, f"{count} answers due: {answer.hex()}")


def _disconnect_is_final(bench: Bench) -> None:
    """After DISC nothing of the link is left: RR, I and UI get DM (or nothing), never RR or data."""
    bench.disc()
    for control, information in ((0x11, ""), (0x10, "E6E600" + GET_NAME), (0x13, "E6E600" + GET_NAME)):
        frames = bench.frames(bench.send(F(control, information).octets(bench)))
        require([it.control for it in frames] in ([0x1F], []), f"control {control:02X} after DISC: {frames}")
        if bool(frames) != (bench.cti.hdlc.before_snrm == "dm"):
            bench.remark(f"control {control:02X} in NDM gets {'DM' if frames else 'nothing'}")


def _long_answer_after_repeat(bench: Bench) -> None:
    """A repeated GET of a long answer gets the same first piece; the answer is whole afterwards."""
    request = bench.i_frame("C001C1000F0000280000FF0200")
    first = bench.send(request)
    require(bench.send(request) == first, "the same frame again is due")
    apdu = bench.lsdu(first)
    require(apdu is not None, "an answer")
    require(bench.value_of(apdu or b"") == bench.read(15, ASSOCIATION), "another object_list")


_62056: Final = "62056-46 6.4.4.4.3"

CASES: Final = (
    Case("DL-100", "every information size", "N", _every_size, f"{_62056}.2, .6", needs=("blocks",)),
    Case("DL-101", "parameters in every order and width", "N", _parameter_forms, f"{_62056}.2"),
    Case("DL-102", "parameters that no link can have", "N", _parameter_bounds, f"{_62056}.2"),
    Case("DL-103", "RNR without anything to hold", "A", _not_ready, "ISO 13239 5.6.1"),
    Case("DL-104", "FRMR stays", "R", _reject_stays, "ISO 13239 5.6.4"),
    Case("DL-105", "every wrong N(S)", "A", _every_send_number, "ISO 13239 5.6.2"),
    Case("DL-106", "every wrong N(R)", "A", _every_receive_number, "62056-46 6.4.3.10"),
    Case("DL-107", "a request in segments of one octet", "A", _octet_segments, f"{_62056}.6"),
    Case("DL-108", "SNRM among the segments of a request", "A", _torn_segments, "62056-46 6.4.3.6"),
    Case("DL-109", "a segment repeated", "A", _repeated_segment, "ISO 13239 5.6.2"),
    Case("DL-110", "segments without end", "A", _endless_segments, "62056-46 6.4.3.10"),
    Case("DL-111", "three frames at once", "R", _shared_flags, "62056-46 6.4.1.2"),
    Case("DL-112", "nothing is left after DISC", "A", _disconnect_is_final, "ISO 13239 5.2.2.1"),
    Case("DL-113", "a long GET repeated by the link", "A", _long_answer_after_repeat, "ISO 13239 5.6.2"),
)
