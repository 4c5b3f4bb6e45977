"""Cases of the suite DATA-LINK that need more than a table of octets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from iondlms.conformance.apdus import ASSOCIATION, GET_LIST, GET_NAME
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import F, M
from iondlms.conformance.suites.link_frames import (
    DISC,
    DM,
    METER_RR_0,
    RR_0,
    SNRM,
    UA_PLAIN,
    accepts,
    at,
    frmr,
    is_ua,
    link_is,
    own_aarq_frame,
    ua,
)
from iondlms.conformance.verdict import Inapplicable, require


def _answers(bench: Bench, stimulus: F | bytes, expected: M, why: str, *also: str) -> None:
    octets = stimulus if isinstance(stimulus, bytes) else stimulus.octets(bench)
    bench.match(bench.send(octets).hex(), expected.octets(bench).hex(), *also, why=why)


def _silent(bench: Bench, stimulus: F | bytes, why: str) -> None:
    octets = stimulus if isinstance(stimulus, bytes) else stimulus.octets(bench)
    answer = bench.send(octets, 0)
    require(answer == b"", f"{why}: {answer.hex()}, nothing due")


def connect_and_check(bench: Bench) -> None:
    """DISC gets DM; SNRM gets UA; RR gets RR; DISC gets UA; DISC gets DM."""
    _answers(bench, DISC, DM, "DISC in NDM")
    is_ua(bench, bench.send(SNRM.octets(bench)), ua(bench), "SNRM")
    _answers(bench, RR_0, METER_RR_0, "RR")
    answer = bench.send(DISC.octets(bench))
    if answer.hex() != ua(bench):
        bench.match(answer.hex(), UA_PLAIN.octets(bench).hex(), why="DISC in NRM")
    else:
        bench.remark("UA to DISC carries the link's parameters")
    _answers(bench, DISC, DM, "DISC again")


def not_early(bench: Bench) -> None:
    """Just before the inactivity time-out the link is still there: RR gets RR."""
    timeout = bench.cti.line.inactivity_s
    bench.wait(timeout - min(1.0, timeout / 10))
    _answers(bench, RR_0, METER_RR_0, "RR before the time-out")


def timer_restarts(bench: Bench) -> None:
    """A single octet restarts the timer: the link outlives the time-out counted from before it."""
    timeout = bench.cti.line.inactivity_s
    bench.wait(timeout * 0.8)
    bench.put("00")
    bench.wait(timeout * 0.9)
    _answers(bench, RR_0, METER_RR_0, "RR")
    bench.wait_inactive()
    _answers(bench, DISC, DM, "DISC after the time-out")


def polls_keep_the_link(bench: Bench) -> None:
    """RR every now and then keeps the link for ever."""
    for _ in range(3):
        bench.wait(bench.cti.line.inactivity_s * 0.8)
        _answers(bench, RR_0, METER_RR_0, "RR")


def unknown_controls(bench: Bench) -> None:
    """FRMR with W, and the same FRMR again until SNRM or DISC."""
    known = {0x93, 0x53, 0x13} | {n << 5 | kind for n in range(8) for kind in (0x11, 0x15)}
    for control in range(0x11, 0x100, 2):
        if control not in known and control & 0x10:
            bench.snrm()
            _answers(bench, F(control), frmr(control, 1), f"control {control:02X}")
            _answers(bench, RR_0, frmr(control, 1), f"RR after FRMR for {control:02X}")


def frmr_recovery(bench: Bench) -> None:
    """After FRMR, SNRM gets UA and the link works; DISC gets UA and the link is down."""
    _answers(bench, F(0xFF), frmr(0xFF, 1), "unknown control")
    bench.snrm()
    link_is(bench, "NRM", "after SNRM")
    _answers(bench, F(0xFF), frmr(0xFF, 1), "unknown control")
    _answers(bench, DISC, UA_PLAIN, "DISC after FRMR")
    link_is(bench, "NDM", "after DISC")


def outside_the_repertoire(bench: Bench) -> None:
    """XID, TEST, SABM, REJ, SREJ, RSET and UP each get FRMR with W."""
    for control in (0xBF, 0xF3, 0x3F, 0x19, 0x1D, 0x9F, 0x33):
        _answers(bench, F(control), frmr(control, 1), f"control {control:02X}")
        bench.snrm()


def reject_without_poll(bench: Bench) -> None:
    """An unknown command with P=0 gets nothing; FRMR comes with the next P."""
    _silent(bench, F(0xEF), "P=0")
    _answers(bench, RR_0, frmr(0xEF, 1), "RR")


def _damaged(bench: Bench, *, fcs: int = 0, hcs: int = 0, closing: bool = True) -> bytes:
    good = own_aarq_frame(bench)
    return F(good.control, good.information, spoil_fcs=fcs, spoil_hcs=hcs, closing=closing).octets(bench)


def damaged_information(bench: Bench) -> None:
    """Silence, or RR since the header was good; the AARQ is not executed."""
    rr = METER_RR_0.octets(bench).hex()
    bench.match(bench.send(_damaged(bench, fcs=1), 0).hex(), "", rr, why="FCS wrong")
    _answers(bench, RR_0, METER_RR_0, "RR")
    answer = bench.ask(GET_NAME).hex()
    require(not answer.startswith("c401c100"), f"the damaged AARQ was executed: {answer}")


def chained(bench: Bench) -> None:
    """A frame with a wrong HCS, chained by a shared flag to RR: both are lost."""
    octets = _damaged(bench, hcs=1) + RR_0.octets(bench)[1:]
    _silent(bench, octets, "chained behind an HCS error")
    bench.wait_inter_frame()
    _answers(bench, RR_0, METER_RR_0, "RR alone")


def damaged_and_repeated(bench: Bench) -> None:
    """An I frame with a wrong FCS is not counted: the same frame, whole, gets the AARE."""
    bench.send(_damaged(bench, fcs=1), 0)
    accepts(bench, bench.send(own_aarq_frame(bench).octets(bench)), 0x30, "the frame again")


def other_lengths_converted(bench: Bench) -> None:
    """UA, from the four-octet address."""
    short = F(0x93, destination=at(octets=2)).octets(bench)
    answer = bench.send(short)
    require(answer != b"", "nothing came")
    frame = answer[1:-1]
    if frame[3:5].hex() == at(octets=2)(bench):
        bench.remark("answered from the two-octet address")
        return
    is_ua(bench, answer, ua(bench), "SNRM in two octets")


def broadcast(bench: Bench) -> None:
    """A UI or DISC to all stations, in each length of address, is not answered and changes no number."""
    for address in ("FF", "FEFF", "FEFEFEFF"):
        for control in (0x03, 0x53):
            _silent(bench, F(control, destination=address), f"{control:02X} to {address}")
    _answers(bench, RR_0, METER_RR_0, "RR")


def no_second_frame(bench: Bench) -> None:
    """A long answer comes frame by frame, each after a poll."""
    bench.snrm()
    bench.associate()
    # The bench takes one frame a poll and no more; anything beyond it is a failure there.
    bench.read(15, ASSOCIATION)


def smaller_taken(bench: Bench) -> None:
    """UA states the smaller sizes, whichever order and width they come in."""
    if bench.cti.hdlc.max_information < 128:
        raise Inapplicable("the meter's own size is smaller than 128")
    for size in (64, 100, 127):
        asked = f"8180120501{size:02X}0601{size:02X}070400000001080400000001"
        answer = bench.send(F(0x93, asked).octets(bench))
        is_ua(bench, answer, ua(bench, size, sent=size), f"SNRM with {size}")


def small_and_kept(bench: Bench) -> None:
    """The AARE comes in segments that fit the negotiated size; the request is taken in such segments too."""
    size = 32
    if bench.cti.hdlc.max_information < size:
        raise Inapplicable("the meter's own size is smaller")
    information = bench.snrm(f"8180120501{size:02X}0601{size:02X}070400000001080400000001")
    require(information.hex()[:16] == f"8180120501{size:02x}0601", f"UA says {information.hex()}")
    bench.information = size
    answer = bench.associate()
    require(len(answer) + 3 > size, "the AARE is longer than the size")


def one_parameter(bench: Bench) -> None:
    """UA: what the client said it receives limits what the meter sends, the rest is default."""
    if bench.cti.hdlc.max_information < 128:
        raise Inapplicable("the meter's own size is smaller than 128")
    for identifier, sizes in (("05", {"sent": 64}), ("06", {"information": 64})):
        answer = bench.send(F(0x93, f"818003{identifier}0140").octets(bench))
        is_ua(bench, answer, ua(bench, **sizes), f"parameter {identifier}")


def user_data(bench: Bench) -> None:
    """UA: a user data subfield must not cause refusal."""
    answer = bench.send(F(0x93, "818003050180F0021122").octets(bench))
    is_ua(bench, answer, ua(bench), "SNRM with user data")


def malformed_parameters(bench: Bench) -> None:
    """DM, and the link stays down: a wrong format identifier, a group longer than the field."""
    for information in ("828003050180", "818020050180"):
        _answers(bench, F(0x93, information), DM, information, "")
    link_is(bench, "NDM", "after a malformed SNRM")


def snrm_restarts(bench: Bench) -> None:
    """SNRM in NRM: UA, the numbers start from 0 and the association is gone."""
    bench.snrm()
    bench.expect(GET_NAME, "D80102", "", "D8010?", why="GET after SNRM")


def disconnect_ends_association(bench: Bench) -> None:
    """After DISC and SNRM the association is gone."""
    bench.disc()
    bench.snrm()
    bench.expect(GET_NAME, "D80102", "", "D8010?", why="GET after DISC")


def information_in_ndm(bench: Bench) -> None:
    """DM, or nothing; the link stays down."""
    answer = bench.send(own_aarq_frame(bench).octets(bench))
    due = DM.octets(bench).hex() if bench.cti.hdlc.before_snrm == "dm" else ""
    bench.match(answer.hex(), due, "", DM.octets(bench).hex(), why="I in NDM")
    link_is(bench, "NDM", "after I in NDM")


def in_ndm(*stimuli: F, silent: tuple[F, ...] = ()) -> Callable[[Bench], None]:
    """Return a script: each gets DM (or nothing), those without P nothing; the link stays down."""

    def script(bench: Bench) -> None:
        dm = DM.octets(bench).hex()
        for stimulus in stimuli:
            due = dm if bench.cti.hdlc.before_snrm == "dm" else ""
            bench.match(bench.send(stimulus.octets(bench)).hex(), due, "", dm, why=f"{stimulus.control:02X}")
        for stimulus in silent:
            _silent(bench, stimulus, f"{stimulus.control:02X} with P=0")
        link_is(bench, "NDM", "afterwards")

    script.__doc__ = "DM, or nothing where the CTI says so; never FRMR, UA or RR; nothing to P=0."
    return script


def modulo_8(bench: Bench) -> None:
    """20 requests: N(S) and N(R) go from 7 to 0 and on, on both sides."""
    for number in range(20):
        control = (1 + number) % 8 << 5 | 0x10 | (1 + number) % 8 << 1
        answer = bench.frames(bench.send(F(control, "E6E600" + GET_NAME).octets(bench)))
        due = (2 + number) % 8 << 5 | 0x10 | (1 + number) % 8 << 1
        require([frame.control for frame in answer] == [due], f"control {due:02X} due: {answer}")


def information_of_128(bench: Bench) -> None:
    """An AARQ that fills the information field, by a calling-AP-title, is taken."""
    room = min(bench.cti.hdlc.max_information, 128) - 3
    plain = bench.own_aarq()
    filler = room - len(plain) // 2 - 4
    if filler < 1:
        raise Inapplicable("the AARQ alone is longer than the field")
    body = plain[4:26] + f"A6{filler + 2:02X}04{filler:02X}{'44' * filler}" + plain[26:]
    accepts(bench, bench.send(F(0x10, f"E6E60060{room - 2:02X}{body}").octets(bench)), 0x30, "full field")


def information_too_long(bench: Bench) -> None:
    """FRMR with Y; then SNRM gets UA."""
    size = bench.cti.hdlc.max_information
    if size + 15 > 2047:
        raise Inapplicable("no frame is longer than this meter takes")
    _answers(bench, F(0x10, "E6E600" + "00" * (size - 2)), frmr(0x10, 4), f"{size + 1} octets")
    bench.snrm()


def ui_too_long(bench: Bench) -> None:
    """FRMR with Y and control 13; then SNRM gets UA."""
    size = bench.cti.hdlc.max_information
    if size + 15 > 2047:
        raise Inapplicable("no frame is longer than this meter takes")
    _answers(bench, F(0x13, "E6E600" + "00" * (size - 2)), frmr(0x13, 4), f"UI of {size + 1} octets")
    bench.snrm()


def wrong_send_number(bench: Bench) -> None:
    """RR with N(R)=0, the AARQ is not executed; with N(S)=0 it is."""
    good = own_aarq_frame(bench)
    _answers(bench, F(0x12, good.information), METER_RR_0, "N(S)=1")
    accepts(bench, bench.send(good.octets(bench)), 0x30, "N(S)=0")


def set_once(bench: Bench) -> None:
    """The same response frame again, octet for octet (or RR); the clock is set once."""
    due = bench.clock() + timedelta(hours=1)
    value = bench.date_at(due)
    require(bench.set_clock(value) == "C501C100", "SET refused")
    bench.renew()
    request = bench.i_frame(f"C101C100080000010000FF0200{value}")
    first = bench.send(request)
    set_at = bench.now()
    bench.linger(4.0)
    again = bench.send(request)
    rr = M((bench.send_number << 5) | 0x11).octets(bench).hex()
    bench.match(again.hex(), first.hex(), rr, why="the same frame again")
    bench.lsdu(first)
    bench.shows(due + timedelta(seconds=bench.now() - set_at), "set twice")


def lost_answer(bench: Bench) -> None:
    """RR with the old N(R) gets the I frame again, octet for octet, as often as it is asked."""
    first = bench.send(bench.i_frame(GET_NAME))
    for _ in range(2):
        again = bench.send(bench.receive_ready())
        require(again == first, f"not the frame that was lost: {again.hex()}")
    require(bench.lsdu(first) is not None, "an answer")
    link_is(bench, "NRM", "once it is acknowledged")


def lost_ua(bench: Bench) -> None:
    """SNRM again gets UA again, and the link works."""
    bench.snrm()
    bench.snrm()
    accepts(bench, bench.send(own_aarq_frame(bench).octets(bench)), 0x30, "AARQ")


def segmented_request(bench: Bench) -> None:
    """RR for the first segment, the AARE for the last."""
    lsdu = bytes.fromhex("E6E600" + bench.own_aarq())
    ready = bench.send(bench.i_segment(lsdu[:20], segmented=True))
    bench.match(ready.hex(), M(0x31).octets(bench).hex(), why="first segment")
    accepts(bench, bench.send(bench.i_segment(lsdu[20:])), 0x50, "last segment")


def without_blocks(bench: Bench) -> str:
    """Return the AARQ of a client that takes no blocks and sets no limit: only segments can carry much."""
    return bench.own_aarq("000010", 0)


def first_segment(bench: Bench) -> None:
    """Ask for object_list in segments and take the first; Inapplicable where none comes."""
    answer = bench.send(bench.i_frame(GET_LIST))
    frames = bench.frames(answer)
    require(len(frames) == 1 and frames[0].control & 1 == 0, f"one I frame due: {answer.hex()}")
    if not frames[0].segmented:
        raise Inapplicable("the answer to object_list is not segmented")
    size = bench.information
    require(len(frames[0].information) == size, f"{len(frames[0].information)} octets in a segment of {size}")
    require(frames[0].information[:3].hex() == "e6e700", "LLC leads the first segment")
    bench.receive_number = (bench.receive_number + 1) & 7


def hold(bench: Bench) -> None:
    """RNR gets RR and no I frame; RR with the same N(R) then gets the next segment."""
    first_segment(bench)
    acknowledged = bench.receive_number << 5
    _answers(bench, F(acknowledged | 0x15), M(bench.send_number << 5 | 0x11), "RNR")
    frames = bench.frames(bench.send(bench.receive_ready()))
    due = bench.send_number << 5 | 0x10 | bench.receive_number << 1
    require([frame.control for frame in frames] == [due], f"the next segment is due: {frames}")


def all_segments(bench: Bench) -> None:
    """Segments as long as they may be, S=1 on all but the last, each after RR; joined they are one APDU."""
    first_segment(bench)
    bench.renew(without_blocks(bench))
    value = bench.read(15, ASSOCIATION)
    require(len(bench.answers[-1]) == len(value) + 4, "one APDU")


def segment_again(bench: Bench) -> None:
    """The same N(R) gets the same segment."""
    first_segment(bench)
    second = bench.send(bench.receive_ready())
    require(bench.send(bench.receive_ready()) == second, "not the same segment")


def connect_during_segments(bench: Bench) -> None:
    """UA, AARE, the right value: nothing is left of the old answer."""
    first_segment(bench)
    bench.snrm()
    accepts(bench, bench.send(own_aarq_frame(bench).octets(bench)), 0x30, "AARQ after SNRM")
    bench.send_number = 1
    name = bench.ask(GET_NAME)
    require(name[:5].hex() in ("c401c10009", "c401c1000a"), f"the name is due: {name.hex()}")


def request_during_segments(bench: Bench) -> None:
    """The new answer alone, or the next segment and the request answered after all of them; never mixed."""
    first_segment(bench)
    answer = bench.ask(GET_NAME)
    require(answer[:5].hex() in ("c401c10009", "c401c1000a"), f"the new answer alone is due: {answer.hex()}")
    link_is(bench, "NRM", "nothing is left of the old answer")


def poll_bit_needed(bench: Bench) -> None:
    """I with P=0 gets nothing; the AARE comes with the next P."""
    good = own_aarq_frame(bench)
    _silent(bench, F(0x00, good.information), "I with P=0")
    accepts(bench, bench.send(RR_0.octets(bench)), 0x30, "RR")


def flags(bench: Bench) -> None:
    """Five flags, a shared flag, noise before the flag, a flag's octet in the header and in the
    information: each frame is answered once."""
    is_ua(bench, bench.send(b"\x7e" * 4 + SNRM.octets(bench)), ua(bench), "five flags")
    both = bench.send(SNRM.octets(bench) + RR_0.octets(bench)[1:], 2)
    rr = METER_RR_0.octets(bench)
    require(both.endswith((rr, rr[1:])), f"RR behind a shared flag: {both.hex()}")
    require(len(bench.frames(both)) == 2, f"two frames due: {both.hex()}")
    is_ua(bench, bench.send(bytes.fromhex("0055A0FF") + SNRM.octets(bench)), ua(bench), "noise before")
    accepts(bench, bench.send(own_aarq_frame(bench).octets(bench)), 0x30, "AARQ")
    with_flag = GET_NAME.replace("2A0000FF", "7E0000FF")
    answer = bench.lsdu(bench.send(bench.i_frame(with_flag)))
    require(answer is not None and answer[:4].hex() == "c401c101", "7E in the information")


def gap(bench: Bench) -> None:
    """A pause below the inter-frame time-out does no harm; a longer one ends the half frame."""
    snrm = SNRM.octets(bench)
    bench.put(snrm[:5])
    bench.wait(bench.cti.hdlc.inter_frame_s * 0.6)
    is_ua(bench, bench.send(snrm[5:]), ua(bench), "a pause below the time-out")
    bench.put(snrm[:5])
    bench.wait_inter_frame()
    _silent(bench, snrm[5:], "torn")
    bench.wait_inter_frame()
    is_ua(bench, bench.send(snrm), ua(bench), "and whole")


def two_links(bench: Bench) -> None:
    """A second link, or DM, or nothing; the first keeps its numbers and its association either way."""
    own, setting = bench.sap, bench.cti.setting
    other = setting.sap if setting is not None and setting.sap != own else own % 126 + 1
    bench.sap = other
    frames = bench.frames(bench.send(SNRM.octets(bench)))
    if [frame.control for frame in frames] != [0x73]:
        bench.remark(f"no second link for client {other}: {frames or 'no answer'}")
    bench.sap = own
    bench.ask(GET_NAME, "the first client")
    bench.sap = other
    bench.disc()
    bench.sap = own
    require(bench.ask(GET_NAME)[:4].hex() == "c401c100", "the other's DISC has ended it")
