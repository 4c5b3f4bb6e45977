"""Suite DATA-LINK: frames and the link, octet for octet. Numbers that the list leaves out follow from their
neighbours."""

from __future__ import annotations

from typing import Final

from tests.conformance.bench import AARQ, GET_NAME
from tests.conformance.cases.case import Case, Raw, Wait
from tests.conformance.cases.data_link_scripts import (
    AARQ_NO_LIMIT,
    DISC,
    DM,
    I_AARQ,
    METER_RR_0,
    METER_RR_1,
    RR_0,
    RX_TIMEOUT_AND_A_TENTH,
    SEGMENT,
    SNRM,
    UA,
    UA_PLAIN,
    UI_GET,
    accepted,
    all_segments,
    client,
    connect_during_segments,
    dropped,
    every_unknown_control,
    flags,
    frmr,
    gap,
    hold,
    information_of_128,
    lost_answer,
    meter,
    modulo_8,
    no_second_frame,
    outside_the_repertoire,
    polls_keep_the_link,
    reject_without_poll,
    request_during_segments,
    segment_again,
    set_once,
    small_and_kept,
    two_links,
)

from iondlms.hdlc.frame import build

CASES: Final = (
    Case(
        "DL-01",
        "connect, check, disconnect",
        "N",
        (Raw(DISC, DM), Raw(SNRM, UA), Raw(RR_0, METER_RR_0), Raw(DISC, UA_PLAIN), Raw(DISC, DM)),
    ),
    Case(
        "DL-02",
        "incomplete frame is dropped after the inter-frame time-out",
        "R",
        (Raw(DISC[:-2]), Wait(RX_TIMEOUT_AND_A_TENTH), Raw(RR_0, METER_RR_0)),
    ),
    Case("DL-03", "inactivity time-out 120 s", "R", (Wait(132), Raw(DISC, DM))),
    Case("DL-04", "timer not early", "R", (Wait(119), Raw(RR_0, METER_RR_0))),
    Case(
        "DL-05",
        "timer restarts at any octet",
        "R",
        (Wait(100), Raw("00"), Wait(115), Raw(RR_0, METER_RR_0), Wait(121), Raw(DISC, DM)),
    ),
    Case("DL-06", "polls keep the link for ever", "R", polls_keep_the_link),
    Case("DL-07", "opening flag missing", "N", dropped(SNRM[2:])),
    Case("DL-08", "closing flag missing", "N", dropped(SNRM[:-2])),
    Case("DL-09", "both flags missing", "N", dropped(SNRM[2:-2])),
    Case(
        "DL-10",
        "flags with too little or no frame between them",
        "N",
        dropped("7E7E", "7EA07E", "7E0102037E"),
    ),
    Case(
        "DL-11",
        "format type not 1010",
        "N",
        dropped(
            "7E000A0002002321930A0C7E",
            "7E800A000200232193E8C77E",
            "7EB00A000200232193602A7E",
            "7EE00A000200232193E9147E",
        ),
    ),
    Case(
        "DL-12",
        "length field wrong",
        "N",
        dropped(
            "7EA00B000200232193CDEE7E",
            "7EA00900020023219376D97E",
            "7EA0000002002321934F987E",
            "7EA00400020023219339F77E",
        ),
    ),
    Case(
        "DL-13",
        "unknown control octet FF",
        "R",
        (Raw("7EA00A0002002321FF72D87E", "7EA00F210002002397C5B6FF00010D187E"),),
    ),
    Case("DL-14", "every other unknown control octet", "R", every_unknown_control),
    Case(
        "DL-15",
        "recovery from FRMR",
        "R",
        (
            Raw("7EA00A0002002321FF72D87E", frmr(0xFF, 1)),
            Raw(SNRM, UA),
            Raw(RR_0, METER_RR_0),
            Raw("7EA00A0002002321FF72D87E", frmr(0xFF, 1)),
            Raw(DISC, UA_PLAIN),
            Raw(DISC, DM),
        ),
    ),
    Case("DL-16", "commands outside the repertoire", "R", outside_the_repertoire()),
    Case("DL-17", "unknown command in NDM", "N", (Raw("7EA00A0002002321FF72D87E", DM),)),
    Case("DL-18", "unknown command without P", "R", reject_without_poll),
    Case(
        "DL-19",
        "FCS wrong, no information field",
        "N",
        (Raw("7EA00A00020023219319717E"), Wait(RX_TIMEOUT_AND_A_TENTH), Raw(DISC, DM)),
    ),
    Case(
        "DL-20", "FCS wrong, HCS right", "R", (Raw(I_AARQ.replace("CAEA7E", "CBEA7E")), Raw(RR_0, METER_RR_0))
    ),
    Case(
        "DL-21",
        "frames chained behind an HCS error are lost",
        "R",
        (
            Raw(
                "7EA02E0002002321107FCBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0"
                "85467E" + RR_0[2:]
            ),
            Wait(RX_TIMEOUT_AND_A_TENTH),
            Raw(RR_0, METER_RR_0),
        ),
    ),
    Case(
        "DL-22",
        "a damaged I frame is asked for again",
        "R",
        (Raw(I_AARQ.replace("CAEA7E", "CBEA7E")), Raw(I_AARQ, meter(0x30, accepted()))),
    ),
    Case("DL-23", "client address of two octets", "N", dropped("7EA00B00020023002193541B7E")),
    Case(
        "DL-24",
        "unknown logical device",
        "N",
        (Raw("7EA00A00200023219301077E"), Raw("7EA00A000400232193804A7E"), Raw(DISC, DM)),
    ),
    Case(
        "DL-25",
        "unknown physical device",
        "N",
        (Raw("7EA00A000200252193C1A77E"), Raw("7EA0080225219364B27E"), Raw(DISC, DM)),
    ),
    Case(
        "DL-26",
        "SNRM to every physical device",
        "N",
        (
            Raw(build(bytes.fromhex("0002FEFF"), b"\x21", 0x93).hex()),
            Raw(build(bytes.fromhex("FEFEFEFF"), b"\x21", 0x93).hex()),
            Raw(build(bytes.fromhex("02FF"), b"\x21", 0x93).hex()),
            Raw(DISC, DM),
        ),
    ),
    Case(
        "DL-27",
        "destination of one, three and five octets",
        "N",
        dropped("7EA00900022321934D057E", "7EA00B00020000232193955D7E", "7EA00703219304627E"),
    ),
    Case("DL-28", "two-octet destination is converted to four", "N", (Raw("7EA00802232193BD647E", UA),)),
    Case(
        "DL-29",
        "source NO_STATION or ALL_STATION",
        "N",
        (Raw("7EA00A0002002301932B527E"), Raw("7EA00A00020023FF9333B47E"), Raw(DISC, DM)),
    ),
    Case(
        "DL-30",
        "broadcast with P=1 is not answered",
        "R",
        (
            Raw(build(bytes.fromhex("FEFEFEFF"), b"\x21", 0x13, bytes.fromhex("E6E600" + GET_NAME)).hex()),
            Raw(build(bytes.fromhex("FEFEFEFF"), b"\x21", 0x53).hex()),
            Raw(RR_0, METER_RR_0),
        ),
    ),
    Case(
        "DL-31",
        "broadcast UI with P=0 is taken silently",
        "R",
        (Raw("7EA01CFEFEFEFF2103C7EAE6E600C001C1000100002A0000FF020012807E"), Raw(RR_0, METER_RR_0)),
    ),
    Case("DL-32", "destination NO_STATION", "N", (Raw("7EA00A00000001219313D17E"), Raw(DISC, DM))),
    Case(
        "DL-33",
        "CALLING physical address while not calling",
        "N",
        (Raw("7EA00A0002FEFD219365377E"), Raw(DISC, DM)),
    ),
    Case("DL-34", "SNRM without P", "N", (Raw(client(0x83)), Raw(DISC, DM))),
    Case(
        "DL-35",
        "SNRM with defaults",
        "N",
        (Raw("7EA0210002002321931964818012050180060180070400000001080400000001533B7E", UA),),
    ),
    Case(
        "DL-36",
        "too large information size is cut",
        "N",
        (Raw("7EA023000200232193A253818014050207EE060207EE0704000000070804000000074EE97E", UA),),
    ),
    Case(
        "DL-37",
        "too large window is cut",
        "N",
        (Raw(client(0x93, "81800C070400000004080400000004"), UA),),
    ),
    Case("DL-37b", "no second I frame before an acknowledgement", "N", no_second_frame),
    Case(
        "DL-38",
        "smaller information size is taken",
        "N",
        (
            Raw(
                client(0x93, "818012050140060140070400000001080400000001"),
                meter(0x73, "818012050140060140070400000001080400000001"),
            ),
        ),
    ),
    Case("DL-39", "negotiated size is kept", "N", small_and_kept),
    Case(
        "DL-40",
        "only one parameter present",
        "N",
        (
            Raw(
                "7EA0120002002321933D1A818003050140034F7E",
                "7EA0212100020023734DF2818012050180060140070400000001080400000001A09E7E",
            ),
        ),
    ),
    Case(
        "DL-41",
        "parameter with length 0 means default",
        "N",
        (Raw("7EA013000200232193E885818004050006001ABA7E", UA),),
    ),
    # "Traps": an unknown parameter identifier is answered with DM.
    Case(
        "DL-42",
        "unknown parameter identifier",
        "N",
        (Raw(client(0x93, "818003090180"), DM), Raw(client(0x93, "818006050180090180"), DM), Raw(DISC, DM)),
    ),
    Case(
        "DL-43",
        "user data subfield does not refuse",
        "N",
        (Raw("7EA0160002002321934B75818003050180F00211221F927E", UA),),
    ),
    Case(
        "DL-44",
        "malformed parameter field",
        "N",
        (
            Raw("7EA0120002002321933D1A82800305018072857E", DM),
            Raw("7EA0120002002321933D1A81802005018091237E", DM),
            Raw(DISC, DM),
        ),
    ),
    Case(
        "DL-45",
        "SNRM in NRM restarts the link",
        "A",
        (
            Raw(SNRM, UA),
            Raw(
                "7EA01C0002002321108F2AE6E600C001C1000100002A0000FF020012807E",
                meter(0x30, "E6E700D80102"),
            ),
        ),
    ),
    Case(
        "DL-46",
        "DISC ends the association",
        "A",
        (
            Raw(DISC, UA_PLAIN),
            Raw(SNRM, UA),
            Raw(client(0x10, "E6E600" + GET_NAME), meter(0x30, "E6E700D80102")),
        ),
    ),
    Case("DL-47", "I frame in NDM", "N", (Raw(I_AARQ, DM), Raw(DISC, DM))),
    Case(
        "DL-48",
        "RR and RNR in NDM",
        "N",
        (Raw(RR_0, DM), Raw("7EA00A00020023211526907E", DM), Raw("7EA00A00020023210183C67E")),
    ),
    Case(
        "DL-49",
        "UI in NDM",
        "N",
        (
            Raw(UI_GET),
            Raw("7EA01C0002002321131418E6E600C001C1000100002A0000FF020012807E", DM),
            Raw("7EA00A00020023211310F57E", DM),
        ),
    ),
    Case(
        "DL-50",
        "I with the N(R) of a frame never sent",
        "R",
        (Raw(client(0x70, "E6E600" + AARQ), frmr(0x70, 8)), Raw(SNRM, UA)),
    ),
    Case("DL-51", "modulo 8", "A", modulo_8),
    Case("DL-52", "information of 128 octets is accepted", "R", information_of_128),
    Case(
        "DL-53",
        "information too long",
        "R",
        (Raw(client(0x10, "E6E600" + "00" * 126), "7EA00F210002002397C5B6100004C60C7E"), Raw(SNRM, UA)),
    ),
    Case(
        "DL-54",
        "RR with the N(R) of a frame never sent",
        "A",
        (Raw(client(0x71), frmr(0x71, 8, 0x22)), Raw(SNRM, UA)),
    ),
    Case(
        "DL-55",
        "wrong N(S)",
        "R",
        (
            Raw(
                "7EA02E0002002321126CE8E6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E",
                METER_RR_0,
            ),
            Raw(I_AARQ, meter(0x30, accepted())),
        ),
    ),
    Case("DL-56", "repeated I frame is not executed twice", "A", set_once, client=1),
    Case("DL-57", "lost response is fetched by RR", "A", lost_answer),
    Case(
        "DL-58",
        "lost UA: SNRM again",
        "N",
        (Raw(SNRM, UA), Raw(SNRM, UA), Raw(I_AARQ, meter(0x30, accepted()))),
    ),
    Case("DL-59", "RNR holds the server back", "A", hold, settings=SEGMENT, aarq=AARQ_NO_LIMIT),
    Case(
        "DL-60",
        "client segments a request",
        "R",
        (
            Raw("7EA81C0002002321103307E6E600601DA10906076085740508010195827E", METER_RR_1),
            Raw("7EA01E000200232112263EBE10040E01000000065F1F0400007E1F04B0D93C7E", meter(0x50, accepted())),
        ),
    ),
    Case("DL-61", "server segments a response", "A", all_segments, settings=SEGMENT, aarq=AARQ_NO_LIMIT),
    Case(
        "DL-62", "a segment is fetched again by RR", "A", segment_again, settings=SEGMENT, aarq=AARQ_NO_LIMIT
    ),
    Case(
        "DL-63",
        "SNRM during a segmented answer",
        "A",
        connect_during_segments,
        settings=SEGMENT,
        aarq=AARQ_NO_LIMIT,
    ),
    Case(
        "DL-64",
        "new request instead of RR during a segmented answer",
        "A",
        request_during_segments,
        settings=SEGMENT,
        aarq=AARQ_NO_LIMIT,
    ),
    Case(
        "DL-65",
        "information not permitted",
        "R",
        (Raw("7EA00D0002002321111A1100CCC67E", "7EA00F210002002397C5B6110003A5227E"),),
    ),
    Case("DL-66", "RNR with information", "R", (Raw(client(0x15, "00"), frmr(0x15, 3)), Raw(DISC, UA_PLAIN))),
    Case(
        "DL-67",
        "P=0 gives no right to talk",
        "R",
        (
            Raw(
                "7EA02E000200232100FFDBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
            ),
            Raw(RR_0, meter(0x30, accepted())),
        ),
    ),
    Case("DL-68", "UI in NRM leaves the counters alone", "A", (Raw(UI_GET), Raw(client(0x31), meter(0x31)))),
    Case(
        "DL-69",
        "UI too long",
        "R",
        (Raw(client(0x13, "E6E600" + "00" * 126), frmr(0x13, 4)), Raw(SNRM, UA)),
    ),
    Case("DL-70", "empty UI with P gets RR", "R", (Raw("7EA00A00020023211310F57E", METER_RR_0),)),
    Case("DL-71", "flag handling", "N", flags),
    Case("DL-72", "gap inside a frame", "N", gap),
    Case("DL-73", "nobody else's link", "A", two_links),
)
