"""The conformance list's suite DATA-LINK, as far as it concerns the link alone: deframer and secondary."""

from __future__ import annotations

import pytest
from tests.hdlc.builders import (
    AARE,
    AARQ,
    CLIENT,
    GET_LIST,
    GET_NAME,
    LIST,
    NAME,
    SERVER,
    SET_CLOCK,
    SET_DONE,
    TOO_LONG,
    Station,
)

from iondlms.hdlc import Control, Deframer, Event, Frame, LinkParameters

DISC = "7EA00A00020023215314B77E"
SNRM = "7EA00A00020023219318717E"
RR0 = "7EA00A00020023211102D67E"
RR1 = "7EA00A00020023213100F77E"
AARQ_I = "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
GET_I = "7EA01C0002002321329F28E6E600C001C1000100002A0000FF020012807E"

UA = "7EA0212100020023734DF2818012050180060180070400000001080400000001533B7E"
UA_DISC = "7EA00A2100020023734CE77E"
DM = "7EA00A21000200231F264E7E"
RR0_S = "7EA00A21000200231158A77E"
RR1_S = "7EA00A2100020023315A867E"
RR2_S = "7EA00A2100020023515CE57E"
AARE_I = (
    "7EA03A2100020023309941E6E7006129A109060760857405080101A203020100A305A103020100"
    "BE10040E0800065F1F040000301C0400000766117E"
)
NAME_I = "7EA025210002002352B0ADE6E700C401C1000910494F4E3030303030303030303030313742837E"
FRMR_FF = "7EA00F210002002397C5B6FF00010D187E"
UNKNOWN_FF = "7EA00A0002002321FF72D87E"
# An AARQ in a frame with a bad HCS, RR chained to it by the closing flag.
CHAINED = (
    "7EA02E0002002321107FCBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B085467E"
    "A00A00020023211102D67E"
)
AARE_NR2 = (
    "7EA03A2100020023509F22E6E7006129A109060760857405080101A203020100A305A103020100"
    "BE10040E0800065F1F040000301C0400000766117E"
)
# AARQ with N(S)=1; AARQ with P=0.
AARQ_NS1 = "7EA02E0002002321126CE8E6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
AARQ_P0 = "7EA02E000200232100FFDBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
UI_P0 = "7EA01C0002002321039508E6E600C001C1000100002A0000FF020012807E"
GET_WITH_7E = "7EA01C0002002321329F28E6E600C001C1000100007E0000FF0200DFD07E"
NONE = ""
WAIT = "wait"  # for longer than the inter-frame time-out
HOURS = "hours"  # longer than the inactivity time-out

# Each row: id, state before, what is sent and what answers, in turn.
CASES: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("DL-01", "N", [(DISC, DM), (SNRM, UA), (RR0, RR0_S), (DISC, UA_DISC), (DISC, DM)]),
    ("DL-02", "R", [("7EA00A00020023215314B7", NONE), (WAIT, NONE), (RR0, RR0_S)]),
    ("DL-03", "R", [(HOURS, NONE), (DISC, DM)]),
    ("DL-07", "N", [("A00A00020023219318717E", NONE), (WAIT, NONE), (DISC, DM)]),
    ("DL-07 after a session", "R", [(DISC, UA_DISC), (WAIT, NONE), (SNRM[2:], NONE)]),
    ("DL-08", "N", [("7EA00A0002002321931871", NONE), (WAIT, NONE), (DISC, DM)]),
    ("DL-09", "N", [("A00A0002002321931871", NONE), (WAIT, NONE), (DISC, DM)]),
    *[("DL-11", "N", [(f"7E{head}000200232193{fcs}7E", NONE), (DISC, DM)]) for head, fcs in
        (("000A", "0A0C"), ("800A", "E8C7"), ("B00A", "602A"), ("E00A", "E914"))],
    *[("DL-12", "N", [(f"7E{head}000200232193{fcs}7E", NONE), (WAIT, NONE), (DISC, DM)]) for head, fcs in
        (("A00B", "CDEE"), ("A009", "76D9"), ("A000", "4F98"), ("A004", "39F7"))],
    ("DL-13", "R", [(UNKNOWN_FF, FRMR_FF)]),
    ("DL-15 SNRM", "R", [(UNKNOWN_FF, FRMR_FF), (SNRM, UA), (RR0, RR0_S)]),
    ("DL-15 DISC", "R", [(UNKNOWN_FF, FRMR_FF), (DISC, UA_DISC), (DISC, DM)]),
    *[(f"DL-16 {name}", "R", [(f"7EA00A0002002321{sent}7E", f"7EA00F210002002397C5B6{answer}7E"), (SNRM, UA)])
        for name, sent, answer in (
            ("XID", "BF769A", "BF00017B1E"), ("TEST", "F31E12", "F30001AEBD"),
            ("SABM", "3F7E1E", "3F00019712"), ("REJ", "194A5A", "19000175C7"),
            ("SREJ", "1D6E1C", "1D000114A4"), ("RSET", "9F74BB", "9F0001401D"),
            ("UP", "3312D4", "33000134B7"))],
    ("DL-17", "N", [("7EA00A0002002321FF72D87E", DM)]),
    ("DL-19", "N", [("7EA00A00020023219319717E", NONE), (DISC, DM)]),
    ("DL-20", "R", [(AARQ_I.replace("CAEA7E", "CBEA7E"), NONE), (RR0, RR0_S)]),
    ("DL-21", "R", [(CHAINED, NONE), (WAIT, NONE), (RR0, RR0_S)]),
    ("DL-23", "N", [("7EA00B00020023002193541B7E", NONE), (DISC, DM)]),
    ("DL-24", "N", [("7EA00A00200023219301077E", NONE), ("7EA00A000400232193804A7E", NONE)]),
    ("DL-25", "N", [("7EA00A000200252193C1A77E", NONE), ("7EA0080225219364B27E", NONE)]),
    ("DL-27", "N", [("7EA00900022321934D057E", NONE), ("7EA00B00020000232193955D7E", NONE), (DISC, DM)]),
    ("DL-28", "N", [("7EA00802232193BD647E", UA)]),
    ("DL-29", "N", [("7EA00A0002002301932B527E", NONE), ("7EA00A00020023FF9333B47E", NONE)]),
    ("DL-31", "R", [("7EA01CFEFEFEFF2103C7EAE6E600C001C1000100002A0000FF020012807E", NONE), (RR0, RR0_S)]),
    ("DL-32", "N", [("7EA00A00000001219313D17E", NONE)]),
    ("DL-33", "N", [("7EA00A0002FEFD219365377E", NONE)]),
    ("DL-35", "N", [("7EA0210002002321931964818012050180060180070400000001080400000001533B7E", UA)]),
    ("DL-36", "N", [("7EA023000200232193A253818014050207EE060207EE0704000000070804000000074EE97E", UA)]),
    ("DL-40", "N", [("7EA0120002002321933D1A818003050140034F7E",
                     "7EA0212100020023734DF2818012050180060140070400000001080400000001A09E7E")]),
    ("DL-41", "N", [("7EA013000200232193E885818004050006001ABA7E", UA)]),
    ("DL-43", "N", [("7EA0160002002321934B75818003050180F00211221F927E", UA)]),
    *[("DL-44", "N", [(sent, DM), (RR0, DM)]) for sent in
        ("7EA0120002002321933D1A82800305018072857E", "7EA0120002002321933D1A81802005018091237E")],
    ("DL-47", "N", [(AARQ_I, DM), (DISC, DM)]),
    ("DL-48", "N", [(RR0, DM), ("7EA00A00020023211526907E", DM), ("7EA00A00020023210183C67E", NONE)]),
    ("DL-49", "N", [(UI_P0, NONE),
                    ("7EA01C0002002321131418E6E600C001C1000100002A0000FF020012807E", DM),
                    ("7EA00A00020023211310F57E", DM)]),
    ("DL-55", "R", [(AARQ_NS1, RR0_S), (AARQ_I, AARE_I)]),
    ("DL-57", "A", [(GET_I, NAME_I), (RR1, NAME_I), (RR1, NAME_I)]),
    ("DL-60", "R", [("7EA81C0002002321103307E6E600601DA10906076085740508010195827E", RR1_S),
                    ("7EA01E000200232112263EBE10040E01000000065F1F0400007E1F04B0D93C7E", AARE_NR2)]),
    ("DL-65", "R", [("7EA00D0002002321111A1100CCC67E", "7EA00F210002002397C5B6110003A5227E")]),
    ("DL-67", "R", [(AARQ_P0, NONE), (RR0, AARE_I)]),
    ("DL-68", "A", [(UI_P0, NONE), (RR1, RR1_S)]),
    ("DL-71 flags", "N", [("7E7E7E7E7E" + SNRM, UA)]),
    ("DL-71 shared", "N", [(SNRM + RR0[2:], UA + RR0_S)]),
    ("DL-71 noise", "N", [("00FF13" + SNRM, UA)]),
    ("DL-71 7E inside", "A", [(GET_WITH_7E, RR2_S)]),  # no such object here: RR
    ("DL-72", "N", [(SNRM[:10], NONE), (SNRM[10:], UA), (DISC[:12], NONE), (WAIT, NONE), (DISC, UA_DISC)]),
    ("session", "N", [(SNRM, UA), (AARQ_I, AARE_I), (GET_I, NAME_I), (DISC, UA_DISC)]),
]  # fmt: skip


def station(state: str) -> Station:
    meter = Station()
    if state in "RA":
        assert meter.talk(SNRM).hex().upper() == UA
    if state == "A":
        assert meter.talk(AARQ_I).hex().upper() == AARE_I
    return meter


@pytest.mark.parametrize(("case", "state", "turns"), CASES, ids=[case for case, _, _ in CASES])
@pytest.mark.parametrize("slowly", [False, True])
def test_case(case: str, state: str, turns: list[tuple[str, str]], slowly: bool) -> None:
    meter = station(state)
    for sent, expected in turns:
        answer = b""
        if sent == WAIT:
            meter.wait()
        elif sent == HOURS:
            assert meter.secondary.abort() == (16,)
        elif slowly:
            for octet in bytes.fromhex(sent):
                answer += meter.talk(bytes((octet,)))
        else:
            answer = meter.talk(sent)
        assert answer == bytes.fromhex(expected), (case, sent)
        check(answer)


def check(answer: bytes) -> list[Frame]:
    """DL-00: what holds for each frame the server sends, whatever was asked."""
    frames = []
    for octets in split(answer):
        frame = Frame.decode(octets)
        assert (frame.destination, frame.source) == (CLIENT, SERVER)
        assert frame.poll
        assert len(frame.information) <= 128
        frames.append(frame)
    return frames


def split(answer: bytes) -> list[bytes]:
    return [frame.encode() for frame in Deframer().feed(answer)]


def request(information: bytes, control: int, segmented: bool = False, source: bytes = CLIENT) -> bytes:
    return Frame(SERVER, source, control, information, segmented).encode()


def test_dl_37_the_window_is_one() -> None:
    meter = station("N")
    assert (
        meter.talk("7EA023000200232193A253818014050207EE060207EE0704000000070804000000074EE97E").hex().upper()
        == UA
    )
    assert len(check(meter.talk(request(b"\xe6\xe6\x00" + GET_LIST, 0x10)))) == 1


def test_dl_39_the_negotiated_size_is_kept() -> None:
    meter = station("N")
    # DL-38: what the client receives limits what we transmit.
    answer = check(meter.talk(request(LinkParameters(128, 32).encode(), 0x93)))[0]
    assert LinkParameters.decode(answer.information) == LinkParameters(32, 128)
    assert (meter.secondary.max_answer(16), meter.secondary.max_request(16)) == (29, 125)
    assert meter.talk(AARQ_I) == bytes.fromhex(
        "7EA82C2100020023302181E6E7006129A109060760857405080101A203020100A305A103020100BE10040EF1FE7E"
    )
    assert meter.talk(RR1) == bytes.fromhex("7EA01A21000200233208010800065F1F040000301C0400000793A57E")


def test_dl_45_snrm_restarts_the_numbers() -> None:
    meter = station("A")
    assert meter.talk(SNRM).hex().upper() == UA
    answer = check(meter.talk("7EA01C0002002321108F2AE6E600C001C1000100002A0000FF020012807E"))
    assert [(frame.control, frame.information) for frame in answer] == [(0x30, b"\xe6\xe7\x00" + NAME)]
    assert meter.events[-3:] == [(Event.LSDU, 16), (Event.CONNECTED, 16), (Event.LSDU, 16)]


def test_dl_51_modulo_8() -> None:
    meter = station("A")
    for number in range(1, 21):
        control = number << 5 & 0xE0 | 0x10 | (number & 7) << 1
        answer = check(meter.talk(request(b"\xe6\xe6\x00" + GET_NAME, control)))
        expected = (number + 1) << 5 & 0xE0 | 0x10 | (number & 7) << 1
        assert [(frame.control, frame.information) for frame in answer] == [
            (expected, b"\xe6\xe7\x00" + NAME)
        ]


def test_dl_52_128_octets_are_taken() -> None:
    meter = station("R")
    information = b"\xe6\xe6\x00" + AARQ + bytes(125 - len(AARQ))
    assert meter.talk(request(information, 0x10)).hex().upper() == AARE_I
    assert meter.executed == [information[3:]]


def test_dl_53_129_octets_are_not() -> None:
    meter = station("R")
    octets = request(b"\xe6\xe6\x00" + AARQ + bytes(126 - len(AARQ)), 0x10)
    assert octets.hex().upper().startswith("7EA08D0002002321108E86")
    assert meter.talk(octets) == bytes.fromhex("7EA00F210002002397C5B6100004C60C7E")
    assert meter.executed == []
    assert meter.talk(SNRM).hex().upper() == UA


def test_dl_69_ui_too_long() -> None:
    answer = station("R").talk(request(bytes(129), 0x13))
    assert check(answer)[0].information == bytes.fromhex("130004")


def test_dl_56_a_repeated_request_is_not_executed_twice() -> None:
    meter = station("A")
    octets = request(b"\xe6\xe6\x00" + SET_CLOCK, 0x32)
    first = meter.talk(octets)
    assert check(first)[0][2:4] == (0x52, b"\xe6\xe7\x00" + SET_DONE)
    assert meter.talk(octets) == first
    assert meter.talk(octets) == first
    assert meter.executed.count(SET_CLOCK) == 1


def segmented_answer(meter: Station) -> list[Frame]:
    return check(meter.talk(request(b"\xe6\xe6\x00" + GET_LIST, 0x32)))


def test_dl_61_segments_one_for_each_rr() -> None:
    meter = station("A")
    frames = segmented_answer(meter)
    number = 2
    while frames[-1].segmented:
        frames += check(meter.talk(request(b"", number << 5 | 0x11)))
        number += 1
    assert [len(frame.information) for frame in frames] == [128, 128, len(LIST) + 3 - 256]
    assert b"".join(frame.information for frame in frames) == b"\xe6\xe7\x00" + LIST
    assert [frame.control for frame in frames] == [0x52, 0x54, 0x56]
    assert frames[0].encode().hex().upper().startswith("7EA88C2100020023")
    # With the last acknowledged there is nothing more to say.
    assert check(meter.talk(request(b"", number << 5 | 0x11)))[0].control == 0x51


def test_dl_59_rnr_holds_the_server_back() -> None:
    meter = station("A")
    first = segmented_answer(meter)
    assert check(meter.talk(request(b"", 2 << 5 | 0x15)))[0].control == 0x51
    second = check(meter.talk(request(b"", 2 << 5 | 0x11)))
    assert second[0].control == 0x54
    assert first[0].information + second[0].information == (b"\xe6\xe7\x00" + LIST)[:256]


def test_dl_59_rnr_that_misses_our_frame_holds_it_back_too() -> None:
    meter = station("A")
    first = meter.talk(GET_I)
    assert check(meter.talk(request(b"", 1 << 5 | 0x15)))[0].control == 0x51
    assert meter.talk(RR1) == first


def test_dl_63_snrm_ends_a_segmented_answer() -> None:
    meter = station("A")
    segmented_answer(meter)
    assert [meter.talk(octets).hex().upper() for octets in (SNRM, AARQ_I, GET_I)] == [UA, AARE_I, NAME_I]


def test_dl_64_a_new_request_ends_a_segmented_answer() -> None:
    meter = station("A")
    segmented_answer(meter)
    answer = check(meter.talk(request(b"\xe6\xe6\x00" + GET_NAME, 2 << 5 | 0x10 | 2 << 1)))
    assert [(frame.control, frame.information) for frame in answer] == [(0x74, b"\xe6\xe7\x00" + NAME)]
    assert check(meter.talk(request(b"", 3 << 5 | 0x11)))[0].kind.value == "RR"


def test_dl_73_each_client_has_its_own_link() -> None:
    meter = station("A")
    other = request(b"", 0x93, source=b"\x03")
    assert Frame.decode(meter.talk(other))[:3] == (b"\x03", SERVER, 0x73)
    assert set(meter.secondary.clients) == {16, 1}
    assert meter.talk(GET_I).hex().upper() == NAME_I
    assert Frame.decode(meter.talk(request(b"", 0x53, source=b"\x03")))[2] == 0x73
    assert meter.talk(RR1).hex().upper() == NAME_I
    assert meter.secondary.clients == (16,)


def test_another_request_before_our_answer_was_acknowledged_waits() -> None:
    """The client gets what it has not got, and by its N(R) the news that the new request must come again."""
    meter = station("A")
    first = meter.talk(GET_I)
    # N(S)=2 is in sequence; N(R)=1 misses the answer.
    assert meter.talk(request(b"\xe6\xe6\x00" + SET_CLOCK, 1 << 5 | 0x10 | 2 << 1)) == first
    assert SET_CLOCK not in meter.executed
    assert check(meter.talk(request(b"\xe6\xe6\x00" + SET_CLOCK, 2 << 5 | 0x10 | 2 << 1)))[0].control == 0x74
    assert meter.executed.count(SET_CLOCK) == 1


def test_another_request_before_our_answer_could_be_sent_waits() -> None:
    meter = station("R")
    assert meter.talk(request(b"\xe6\xe6\x00" + AARQ, 0x00)) == b""
    assert meter.talk(request(b"\xe6\xe6\x00" + GET_NAME, 0x12)).hex().upper() == AARE_I
    assert meter.executed == [AARQ]


def test_wrong_receive_number_is_rejected() -> None:
    meter = station("A")
    assert check(meter.talk(request(b"", 5 << 5 | 0x11)))[0].information == bytes.fromhex("B1 22 08")
    # The rejection is said again, until SNRM or DISC.
    assert check(meter.talk(GET_I))[0].information == bytes.fromhex("B1 22 08")
    assert meter.executed == [AARQ]


def test_a_receive_number_never_goes_back() -> None:
    meter = station("A")
    assert meter.talk(RR1).hex().upper() == RR1_S
    assert check(meter.talk(RR0))[0].information == bytes.fromhex("11 22 08")


def test_rejected_without_the_right_to_talk_is_said_later() -> None:
    meter = station("R")
    assert meter.talk(request(b"", 0xEF)) == b""
    assert check(meter.talk(RR0))[0].information == bytes.fromhex("EF 00 01")


def test_a_ui_frame_with_p_fetches_what_is_to_be_said() -> None:
    meter = station("R")
    assert check(meter.talk(request(b"", 0x13)))[0].control == 0x11
    assert meter.talk(request(b"\xe6\xe6\x00" + AARQ, 0x00)) == b""
    assert meter.talk(request(b"\xe6\xe6\x00" + GET_NAME, 0x13)).hex().upper() == AARE_I
    # It says nothing of what has come: our frame is not repeated, and not given up.
    assert check(meter.talk(request(b"", 0x13)))[0].control == 0x31
    assert meter.talk(RR0).hex().upper() == AARE_I


def test_snrm_and_disc_without_p_do_nothing() -> None:
    meter = station("A")
    assert meter.talk(request(b"", 0x83)) + meter.talk(request(b"", 0x43)) == b""
    assert meter.talk(GET_I).hex().upper() == NAME_I


def test_another_llc_header_is_counted_and_not_executed() -> None:
    meter = station("R")
    assert check(meter.talk(request(b"\xe6\xe7\x00" + AARQ, 0x10)))[0].control == 0x31
    assert check(meter.talk(request(b"\xe6", 0x12)))[0].control == 0x51
    assert check(meter.talk(request(b"", 0x14)))[0].control == 0x71
    assert meter.executed == []


def test_a_request_without_answer_gets_rr() -> None:
    meter = station("A")
    assert check(meter.talk(request(b"\xe6\xe6\x00unknown", 0x32)))[0].control == 0x51


def test_segmented_request_without_answer_drops_the_old_one() -> None:
    meter = station("A")
    segmented_answer(meter)
    assert check(meter.talk(request(b"\xe6\xe6\x00unknown", 2 << 5 | 0x10 | 2 << 1)))[0].control == 0x71
    assert check(meter.talk(request(b"", 2 << 5 | 0x11)))[0].control == 0x71


def test_segments_without_p_are_joined_in_silence() -> None:
    meter = station("R")
    whole = b"\xe6\xe6\x00" + AARQ
    assert meter.talk(request(whole[:2], 0x00, segmented=True)) == b""  # the LLC itself may be cut
    assert meter.talk(request(whole[2:5], 0x02, segmented=True)) == b""
    assert check(meter.talk(request(whole[5:], 0x14)))[0].information == b"\xe6\xe7\x00" + AARE


def test_an_endless_segmented_request_is_not_kept() -> None:
    meter = Station(max_lsdu=300)
    meter.talk(SNRM)
    for number in range(50):
        answer = check(
            meter.talk(request(b"\xe6\xe6\x00" + bytes(125), 0x10 | (number & 7) << 1, segmented=True))
        )
        assert Control.receive_number(answer[0].control) == number + 1 & 7
        assert (meter.secondary._links or {})[16].transfer.received <= 303
    answer = check(meter.talk(request(bytes(10), 0x10 | (50 & 7) << 1)))
    assert answer[0].information == b"\xe6\xe7\x00" + TOO_LONG
    assert meter.events[-1] == (Event.TOO_LONG, 16)
    assert meter.executed == []
    # The next one is taken.
    assert (
        check(meter.talk(request(b"\xe6\xe6\x00" + GET_NAME, 1 << 5 | 0x10 | (51 & 7) << 1)))[0].information[
            3:
        ]
        == NAME
    )


def test_rb_03_each_flipped_bit_discards_the_frame() -> None:
    for octets, state in ((SNRM, "N"), (AARQ_I, "R")):
        whole = bytes.fromhex(octets)
        for place in range(8, len(whole) * 8 - 8):
            damaged = bytearray(whole)
            damaged[place >> 3] ^= 1 << (place & 7)
            meter = station(state)
            assert meter.talk(bytes(damaged)) == b""
            assert meter.executed == []
            meter.wait()
            assert meter.talk(octets).hex().upper() == (UA if state == "N" else AARE_I)


def test_rb_08_endless_flags() -> None:
    meter = station("R")
    assert meter.talk(b"~" * (1 << 20)) == b""
    assert meter.talk(RR0).hex().upper() == RR0_S
