"""Suite APPLICATION: APDUs, the same over both lines. Numbers that the list leaves out follow from their
neighbours."""

from __future__ import annotations

from typing import Final

from tests.conformance.bench import AARQ, AARQ_LLS, ASSOCIATION, GET_NAME, SET_TIME, get_request
from tests.conformance.cases.application_scripts import (
    ACCEPTED,
    GET_ONLY,
    GET_OWN_NAME,
    OWN_NAME,
    SECRETS,
    SMALL,
    asked,
    attribute_0,
    echo,
    initiate_error,
    malformed_set,
    name_case,
    refused,
    refused_in_an_open_one,
    release,
    second_association,
    set_denied,
    set_with_list,
    small_answers,
    surplus,
    with_initiate,
)
from tests.conformance.cases.case import Ask, Case, Raw, Wait

CASES: Final = (
    Case("AP-01", "GET without AA", "RT", asked(GET_NAME, expected="D80102")),
    Case(
        "AP-02",
        "SET, ACTION, GET-next without AA",
        "RT",
        asked(SET_TIME, "C301C1000F0000280000FF0100", "C002C100000001", expected="D80102"),
    ),
    Case("AP-03", "RLRQ without AA", "RT", (Ask("6203800100", None), Ask(AARQ, ACCEPTED))),
    Case(
        "AP-04",
        "establish as declared, check, release",
        "RT",
        (Ask(AARQ, ACCEPTED), Ask(GET_OWN_NAME, OWN_NAME), Ask("6203800100", "6303800100")),
    ),
    Case(
        "AP-05",
        "protocol version present, default",
        "RT",
        (
            Ask("602180020780" + AARQ[4:], ACCEPTED),
            Ask("602180020284" + AARQ[4:], ACCEPTED),
        ),
    ),
    Case(
        "AP-06",
        "protocol version without version 1",
        "RT",
        (Ask("602180020640" + AARQ[4:], refused(2, "A2")),),
    ),
    Case(
        "AP-07",
        "unknown application context",
        "RT",
        (Ask("601DA10906075F857504070203" + AARQ[26:], refused(2)),),
    ),
    Case("AP-08", "SN context", "RT", (Ask(AARQ.replace("7405080101", "7405080102"), refused(2)),)),
    Case(
        "AP-09",
        "LN with ciphering; SN with ciphering",
        "RT",
        (
            Ask(AARQ.replace("7405080101", "7405080103"), refused(2)),
            Ask(AARQ.replace("7405080101", "7405080104"), refused(2)),
        ),
    ),
    # Vector 66: the context is refused although the user-information cannot be opened.
    Case(
        "AP-10",
        "ciphered context with a ciphered InitiateRequest",
        "RT",
        (
            Ask(
                "6066A109060760857405080103A60A04084D4D4D0000BC614E8A0207808B0760857405080201AC0A8008"
                "3132333435363738BE34043221303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B17"
                "5BD52211BE6841DB204D39EE6FDB8E356855",
                initiate_error(0, 2),
            ),
        ),
    ),
    Case(
        "AP-11",
        "unused ACSE fields are ignored",
        "RT",
        (
            Ask(
                "6036A109060760857405080101A203040144A303040144A403020100A503020100A803020100"
                "BE10040E01000000065F1F040060FE9FFFFF",
                ACCEPTED,
            ),
        ),
    ),
    Case(
        "AP-12",
        "odd titles without ciphering",
        "RT",
        (
            Ask("6022A109060760857405080101A603040144" + AARQ[26:], ACCEPTED),
            Ask("602BA109060760857405080101A60C040A" + "44" * 10 + AARQ[26:], ACCEPTED),
        ),
    ),
    Case(
        "AP-13",
        "client user id though not supported",
        "RT",
        (Ask("6022A109060760857405080101A903020101" + AARQ[26:], ACCEPTED),),
    ),
    *(Case(id_, purpose, "RT", (Ask(aarq, public),)) for id_, purpose, aarq, public, _ in SECRETS),
    *(Case(id_, purpose, "RT", (Ask(aarq, low),), client=1) for id_, purpose, aarq, _, low in SECRETS),
    Case(
        "AP-14c",
        "no password configured: SAP 1 is refused",
        "RT",
        (Ask(AARQ_LLS, refused(13)),),
        client=1,
        settings=(("password", None),),
    ),
    Case(
        "AP-14d",
        "a client that does not exist",
        "RT",
        (Ask(AARQ, initiate_error(0)), Ask(GET_NAME, "D80102")),
        client=32,
    ),
    Case(
        "AP-21",
        "implementation information",
        "RT",
        (Ask("6024A109060760857405080101BD0548656C6C6F" + AARQ[26:], ACCEPTED),),
    ),
    Case(
        "AP-22",
        "dedicated key without ciphering",
        "RT",
        (
            Ask(
                with_initiate("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0"),
                initiate_error(0),
            ),
        ),
    ),
    Case(
        "AP-23",
        "quality of service",
        "RT",
        (Ask("601EA109060760857405080101BE11040F0100000100065F1F0400007E1F04B0", ACCEPTED),),
    ),
    Case("AP-24", "DLMS version 5", "RT", (Ask(AARQ.replace("0000065F", "0000055F"), initiate_error(1)),)),
    Case("AP-25", "DLMS version 7", "RT", (Ask(AARQ.replace("0000065F", "0000075F"), ACCEPTED),)),
    Case("AP-26", "every bit proposed", "RT", (Ask(AARQ.replace("00007E1F", "00FFFFFF"), ACCEPTED),)),
    Case(
        "AP-27",
        "nothing in common",
        "RT",
        (
            Ask(AARQ.replace("007E1F", "000000"), initiate_error(2)),
            Ask(AARQ.replace("007E1F", "1C0320"), initiate_error(2)),
        ),
    ),
    Case("AP-28", "only GET proposed", "RT", (Ask(GET_ONLY, ACCEPTED.replace("{C}", "000010")),)),
    Case(
        "AP-29",
        "one-octet tag of the conformance block",
        "RT",
        (Ask("601CA109060760857405080101BE0F040D01000000065F0400007E1F04B0", ACCEPTED),),
    ),
    Case("AP-30", "client PDU size 11", "RT", (Ask(AARQ[:-4] + "000B", initiate_error(3)),)),
    Case("AP-31", "client PDU size 12", "RT", (Ask(AARQ[:-4] + "000C", ACCEPTED),)),
    Case("AP-32", "client PDU size 0 = no limit", "RT", (Ask(AARQ[:-4] + "0000", ACCEPTED),)),
    Case("AP-33", "client PDU size is respected", "AT", small_answers, aarq=SMALL),
    Case("AP-34", "client PDU size FFFF", "RT", (Ask(AARQ[:-4] + "FFFF", ACCEPTED),)),
    Case(
        "AP-35",
        "user-information is not an InitiateRequest",
        "RT",
        (Ask("6013A109060760857405080101BE06040405010200", initiate_error(0)),),
    ),
    Case(
        "AP-36",
        "unknown extra element",
        "RT",
        (Ask("6022A109060760857405080101AB03020105" + AARQ[26:], ACCEPTED),),
    ),
    Case("AP-37", "BER length in long form", "RT", (Ask("60811D" + AARQ[4:], ACCEPTED),)),
    Case("AP-38", "AARQ cut short", "RT", (Ask(AARQ[:-2], initiate_error(0)), Ask(AARQ, ACCEPTED))),
    Case(
        "AP-39",
        "response-allowed FALSE",
        "RT",
        (
            Ask("601EA109060760857405080101BE11040F0100010000065F1F0400007E1F04B0", None),
            Ask(GET_NAME, "D80102"),
        ),
    ),
    Case("AP-40", "second AARQ in an open AA", "AT", second_association),
    Case("AP-40b", "second AARQ in an open AA", "AT", second_association, client=1),
    Case(
        "AP-41",
        "rejection leaves the link usable",
        "RT",
        (Ask("601DA10906075F857504070203" + AARQ[26:], refused(2)), Ask(AARQ, ACCEPTED)),
    ),
    Case("AP-42", "a refused AARQ ends an open AA", "AT", refused_in_an_open_one),
    Case("AP-43", "GET logical device name", "AT", name_case),
    Case("AP-44", "invoke-id and priority echo", "AT", echo),
    Case("AP-45", "GET with undefined choice", "AT", asked("C004C1000F0000280000FF0100", expected="D80102")),
    Case(
        "AP-46", "GET cut short", "AT", asked("C0", "C001", GET_NAME[:-2], GET_NAME[:12], expected="D80102")
    ),
    Case("AP-47", "unknown object", "AT", asked("C001C1000FFFFFFFFFFFFF0100", expected="C401C10104")),
    Case(
        "AP-47b",
        "unknown object, by the public tool's wish",
        "AT",
        asked("C001C1000FFFFFFFFFFFFF0100", expected="C401C10103"),
        settings=(("unknown_object", 3),),
    ),
    Case(
        "AP-48",
        "wrong class for an existing name",
        "AT",
        asked("C001C100030000010000FF0200", expected="C401C10109"),
    ),
    Case(
        "AP-49",
        "unknown attribute",
        "AT",
        asked(
            *(f"C001C100080000010000FF{attribute}00" for attribute in ("0A", "7F", "FF", "80")),
            expected="C401C10104",
        ),
    ),
    Case(
        "AP-50",
        "attribute without read right",
        "AT",
        asked(get_request(15, ASSOCIATION, 7), expected="C401C10103"),
    ),
    Case("AP-51", "attribute 0", "AT", attribute_0),
    Case(
        "AP-52",
        "attribute 0 not negotiated",
        "AT",
        asked("C001C1000100002A0000FF0000", expected="D80102"),
        aarq=GET_ONLY,
    ),
    Case(
        "AP-53",
        "with-list not negotiated",
        "AT",
        asked("C003C10200080000010000FF0200000100002A0000FF0200", expected="D80102"),
    ),
    Case(
        "AP-54",
        "GET not negotiated",
        "AT",
        asked(GET_NAME, "C002C100000001", expected="D80102"),
        aarq=AARQ.replace("007E1F", "000004"),
    ),
    Case(
        "AP-55",
        "SET with undefined choice",
        "AT",
        asked("C106C1000F0000280000FF010009060000280000FF", expected="D80102"),
        client=1,
    ),
    Case("AP-56", "SET cut short", "AT", asked("C101C1000F0000280000", expected="D80102"), client=1),
    Case("AP-57", "SET without the right", "AT", set_denied, client=1),
    Case(
        "AP-58",
        "SET of what is not there",
        "AT",
        (
            Ask("C101C1000FFFFFFFFFFFFF0100090100", "C501C104"),
            Ask("C101C100030000010000FF0200090100", "C501C109"),
            Ask("C101C100080000010000FF0A00090100", "C501C104"),
            Ask("C101C100080000010000FF0000090100", "D80102"),
        ),
        client=1,
    ),
    Case("AP-59", "SET with list; with first block", "AT", set_with_list, client=1),
    Case(
        "AP-60", "SN services in an LN AA", "AT", asked("050102FA00", "060102FA00011101", expected="D80102")
    ),
    Case(
        "AP-61",
        "ACTION not negotiated",
        "AT",
        asked(
            "C301C1000F0000280000FF0100",
            *(f"C301C100080000010000FF{method:02X}010F00" for method in range(1, 7)),
            expected="D80102",
        ),
        client=1,
    ),
    Case("AP-62", "no APDU at all", "AT", asked("00", "FF", "C6", "E6E600", expected="D80102")),
    Case(
        "AP-63",
        "ciphered and general APDUs",
        "AT",
        asked(
            "C80530000000010000",
            "CB0530000000010000",
            "D00530000000010000",
            "DB0853434800000000010530000000010000",
            "DD000000000000000530000000010000",
            "E0810001000000",
            "D9200000000000010101000100002A0000FF020100",
            expected="D80102",
        ),
    ),
    Case(
        "AP-64",
        "APDUs only a server sends",
        "AT",
        asked(
            "C401C10000",
            "6129" + "A109060760857405080101",
            "0F00000001000000",
            "D80102",
            "6303800100",
            expected=None,
        ),
    ),
    Case("AP-65", "surplus octets", "AT", surplus),
    Case("AP-66", "SET with surplus or missing octets", "AT", malformed_set, client=1),
    Case("AP-67", "release with reason normal", "AT", (Ask("6203800100", "6303800100"),)),
    Case("AP-68", "release forms", "AT", release),
    Case(
        "AP-69",
        "after release",
        "AT",
        (
            Ask("6203800100", "6303800100"),
            Ask(GET_NAME, "D80102"),
            Ask(AARQ, ACCEPTED),
            Ask(GET_OWN_NAME, OWN_NAME),
        ),
    ),
    Case(
        "AP-70",
        "an association left alone for the inactivity time-out is gone",
        "TA",
        (Wait(132), Raw("000100100001000D" + GET_NAME, "0001000100100003D80102")),
    ),
)
