"""Frames of the suite DATA-LINK, and its cases that need more than a table of octets."""

from __future__ import annotations

from typing import Final

from tests.conformance.bench import (
    AARQ,
    AARQ_LLS,
    ASSOCIATION,
    GET_NAME,
    SERVER,
    SET_TIME,
    Bench,
    aare,
    decoded,
    get_request,
    require,
)
from tests.conformance.cases.case import Raw, Wait

from iondlms.hdlc.frame import build

RX_TIMEOUT_AND_A_TENTH: Final = 1.65

SNRM: Final = "7EA00A00020023219318717E"
DISC: Final = "7EA00A00020023215314B77E"
RR_0: Final = "7EA00A00020023211102D67E"
RR_1: Final = "7EA00A00020023213100F77E"
UA: Final = "7EA0212100020023734DF2818012050180060180070400000001080400000001533B7E"
UA_PLAIN: Final = "7EA00A2100020023734CE77E"
DM: Final = "7EA00A21000200231F264E7E"
METER_RR_0: Final = "7EA00A21000200231158A77E"
METER_RR_1: Final = "7EA00A2100020023315A867E"
I_AARQ: Final = (
    "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
)
I_GET_NAME: Final = "7EA01C0002002321329F28E6E600C001C1000100002A0000FF020012807E"
UI_GET: Final = "7EA01C0002002321039508E6E600C001C1000100002A0000FF020012807E"
AARQ_NO_LIMIT: Final = AARQ[:-4] + "0000"
SEGMENT: Final = (("long_answers", "segment"),)


def client(control: int, information: str = "", *, segmented: bool = False, sap: int = 16) -> str:
    """Return a frame of a client as hex."""
    return build(SERVER, bytes((sap << 1 | 1,)), control, bytes.fromhex(information), segmented).hex().upper()


def meter(control: int, information: str = "", *, segmented: bool = False, sap: int = 16) -> str:
    """Return a frame of the meter as hex."""
    return build(bytes((sap << 1 | 1,)), SERVER, control, bytes.fromhex(information), segmented).hex().upper()


def accepted(size: str = "007D", sap: int = 16) -> str:
    """Return LLC and the AARE that accepts."""
    return "E6E700" + aare(0, 0, context=bytes.fromhex(size), client=sap)


# Frames that are no frames: none may be answered, and none may be executed.
def dropped(*stimuli: str, wait: float = RX_TIMEOUT_AND_A_TENTH) -> tuple[Raw | Wait, ...]:
    steps: list[Raw | Wait] = []
    for stimulus in stimuli:
        steps += [Raw(stimulus), Wait(wait)]
    return (*steps, Raw(DISC, DM))


def frmr(control: int, reason: int, numbers: int = 0) -> str:
    return meter(0x97, f"{control:02X}{numbers:02X}{reason:02X}")


def outside_the_repertoire() -> tuple[Raw, ...]:
    printed = {
        "7EA00A0002002321BF769A7E": "7EA00F210002002397C5B6BF00017B1E7E",
        "7EA00A0002002321F31E127E": "7EA00F210002002397C5B6F30001AEBD7E",
        "7EA00A00020023213F7E1E7E": "7EA00F210002002397C5B63F000197127E",
        "7EA00A0002002321194A5A7E": "7EA00F210002002397C5B619000175C77E",
        "7EA00A00020023211D6E1C7E": "7EA00F210002002397C5B61D000114A47E",
        "7EA00A00020023219F74BB7E": "7EA00F210002002397C5B69F0001401D7E",
        "7EA00A00020023213312D47E": "7EA00F210002002397C5B633000134B77E",
    }
    return tuple(step for sent, reject in printed.items() for step in (Raw(sent, reject), Raw(SNRM, UA)))


def every_unknown_control(bench: Bench) -> None:
    known = {0x93, 0x53, 0x13} | {n << 5 | kind for n in range(8) for kind in (0x11, 0x15)}
    for control in range(0x11, 0x100, 2):
        if control in known or not control & 0x10:
            continue
        bench.snrm()
        require(bench.send(client(control)).hex().upper() == frmr(control, 1), f"control {control:02X}")
        # Until SNRM or DISC nothing but the same FRMR comes.
        require(bench.send(RR_0).hex().upper() == frmr(control, 1), f"FRMR again after {control:02X}")


def no_second_frame(bench: Bench) -> None:
    bench.snrm()
    bench.associate()
    # The bench takes one frame a poll and no more; a long answer shows it.
    bench.read(15, ASSOCIATION)


def small_and_kept(bench: Bench) -> None:
    information = bench.snrm("818012050120060120070400000001080400000001")
    require(information.hex() == "818012050120060120070400000001080400000001", information.hex())
    bench.information = 32
    # The profile: the largest APDU shrinks with the field, so the AARE says 001D and not 007D.
    lsdu = bytes.fromhex(accepted("001D"))
    first = bench.send(I_AARQ_WHOLE_OF_32)
    require(first.hex().upper() == METER_RR_1, f"RR for the first segment: {first.hex()}")
    answer = bench.send(I_AARQ_REST_OF_32)
    require(answer.hex().upper() == meter(0x50, lsdu[:32].hex(), segmented=True), answer.hex())
    answer = bench.send(client(0x31))
    require(answer.hex().upper() == meter(0x52, lsdu[32:].hex()), answer.hex())


_LSDU: Final = "E6E600" + AARQ
I_AARQ_WHOLE_OF_32: Final = client(0x10, _LSDU[:64], segmented=True)
I_AARQ_REST_OF_32: Final = client(0x12, _LSDU[64:])


def modulo_8(bench: Bench) -> None:
    for number in range(20):
        control = (1 + number) % 8 << 5 | 0x10 | (1 + number) % 8 << 1
        answer = bench.frames(bench.send(client(control, "E6E600" + GET_NAME)))
        due = (2 + number) % 8 << 5 | 0x10 | (1 + number) % 8 << 1
        require([frame[0] for frame in answer] == [due], f"control {due:02X} due: {answer}")


def information_of_128(bench: Bench) -> None:
    filler = 125 - len(AARQ) // 2 - 4
    padded = (
        f"60{125 - 2:02X}A109060760857405080101A6{filler + 2:02X}04{filler:02X}{'44' * filler}{AARQ[26:]}"
    )
    require(len(padded) == 250, f"{len(padded) // 2} octets")
    answer = bench.send(client(0x10, "E6E600" + padded))
    require(answer.hex().upper() == meter(0x30, accepted()), answer.hex())


def set_once(bench: Bench) -> None:
    before = bench.meter.ion.clock.steps
    first = bench.send(client(0x32, "E6E600" + SET_TIME, sap=1))
    require(first.hex().upper() == meter(0x52, "E6E700C501C100", sap=1), first.hex())
    bench.now += 1.0
    again = bench.send(client(0x32, "E6E600" + SET_TIME, sap=1))
    require(again == first, f"not the same frame again: {again.hex()}")
    require(bench.meter.ion.clock.steps == before + 1, "the clock was set twice")


def lost_answer(bench: Bench) -> None:
    first = bench.send(I_GET_NAME)
    require(bench.frames(first)[0][0] == 0x52, first.hex())
    require(bench.send(RR_1) == first, "the frame was not sent again")
    require(bench.send(RR_1) == first, "nor a second time")
    require(bench.send(client(0x51)).hex().upper() == meter(0x51), "RR once it is acknowledged")


def _first_segment(bench: Bench) -> bytes:
    """Ask for object_list in segments; return the first segment, 128 octets."""
    answer = bench.send(bench.i_frame(bytes.fromhex(get_request(15, ASSOCIATION, 2))))
    ((control, information, segmented),) = bench.frames(answer)
    require((control, len(information), segmented) == (0x52, 128, True), answer[:9].hex())
    require(answer[:7].hex().upper() == "7EA88C21000200", answer[:7].hex())
    require(information.startswith(bytes.fromhex("E6E700C401C10001")), information[:8].hex())
    bench.receive_number = 2
    return information


def hold(bench: Bench) -> None:
    _first_segment(bench)
    require(bench.send(client(0x55)).hex().upper() == meter(0x51), "RNR gets RR and no I frame")
    ((control, _, segmented),) = bench.frames(bench.send(client(0x51)))
    require((control, segmented) == (0x54, True), f"the next segment: {control:02X}")


def all_segments(bench: Bench) -> None:
    expected = bench.read(15, ASSOCIATION)
    require(len(expected) > 1000, "object_list is long")
    require(decoded(expected).items() is not None, "and whole")
    require(len(bench.answers[-1]) == len(expected) + 4, "in one APDU")


def segment_again(bench: Bench) -> None:
    _first_segment(bench)
    second = bench.send(bench.receive_ready())
    require(bench.send(bench.receive_ready()) == second, "the same N(R) gets the same segment")


def connect_during_segments(bench: Bench) -> None:
    _first_segment(bench)
    require(bench.send(SNRM).hex().upper() == UA, "UA")
    require(bench.send(I_AARQ).hex().upper() == meter(0x30, accepted()), "AARE, and nothing left of before")
    answer = bench.send(I_GET_NAME)
    ((control, information, segmented),) = bench.frames(answer)
    require(control == 0x52 and not segmented and information[3:9].hex() == "c401c1000910", answer.hex())


def request_during_segments(bench: Bench) -> None:
    _first_segment(bench)
    answer = bench.apdu(GET_NAME)
    require(answer is not None and answer[:6].hex() == "c401c1000910", "the new answer alone")
    require(bench.send(bench.receive_ready()).hex().upper() == meter(0x71), "nothing left of the old one")


def two_links(bench: Bench) -> None:
    other = client(0x93, sap=1)
    require(bench.send(other).hex().upper() == meter(0x73, UA[22:-6], sap=1), "a second link")
    answer = bench.send(client(0x10, "E6E600" + AARQ_LLS, sap=1))
    require(answer.hex().upper() == meter(0x30, accepted(sap=1), sap=1), answer.hex())
    require(bench.apdu(GET_NAME) is not None, "the link of client 16 keeps counters and association")
    require(bench.send(client(0x53, sap=1)).hex().upper() == meter(0x73, sap=1), "UA for client 1")
    require(bench.apdu(GET_NAME) is not None, "and is not ended by the other's DISC")


def flags(bench: Bench) -> None:
    require(bench.send("7E7E7E7E7E" + SNRM[2:]).hex().upper() == UA, "five flags")
    require(bench.send(SNRM + RR_0[2:]).hex().upper() == UA + METER_RR_0, "a shared flag")
    require(bench.send("0055A0FF" + SNRM).hex().upper() == UA, "noise before the flag")
    require(bench.send(I_AARQ).hex().upper() == meter(0x30, accepted()), "7E in the HCS")
    with_flag = "7EA01C0002002321329F28E6E600C001C1000100007E0000FF0200DFD07E"
    require(bench.send(with_flag).hex().upper() == meter(0x52, "E6E700C401C10104"), "7E in the information")


def gap(bench: Bench) -> None:
    require(bench.send(SNRM[:10]) == b"", "half a frame")
    bench.wait(1.4)
    require(bench.send(SNRM[10:]).hex().upper() == UA, "a pause below the time-out")
    require(bench.send(SNRM[:10]) == b"", "half a frame")
    bench.wait(RX_TIMEOUT_AND_A_TENTH)
    require(bench.send(SNRM[10:]) == b"", "torn")
    bench.wait(RX_TIMEOUT_AND_A_TENTH)
    require(bench.send(SNRM).hex().upper() == UA, "and whole")


def polls_keep_the_link(bench: Bench) -> None:
    for _ in range(5):
        bench.wait(100)
        require(bench.send(RR_0).hex().upper() == METER_RR_0, "still connected")


def reject_without_poll(bench: Bench) -> None:
    require(bench.send(client(0xEF)) == b"", "P=0 gives no right to talk")
    require(bench.send(RR_0).hex().upper() == frmr(0xEF, 1), "FRMR at the next P")
