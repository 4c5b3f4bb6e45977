"""Suite APPLICATION, inside an association: GET, SET, and all that is not offered."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.apdus import (
    ASSOCIATION,
    GET_NAME,
    RELEASE,
    get_request,
)
from iondlms.conformance.steps import Accepted, Ask, Case, Released, asked, sized
from iondlms.conformance.suites.application_scripts import (
    attribute_0,
    echo,
    every_error_of_get,
    interleaved_clients,
    malformed_set,
    name_again,
    not_negotiated_services,
    release_forms,
    set_denied,
    set_of_nothing,
    set_with_list,
    surplus,
    two_requests,
)

_GB: Final = "Green Book 9.4"


_NONE: Final = "D80102"


_ALSO: Final = ("D8010?", None)


CASES: Final = (
    Case("AP-43", "GET logical device name", "AT", name_again, "Green Book 9.3.6"),
    Case("AP-44", "invoke-id and priority echo", "AT", echo, "Green Book 9.3.6"),
    Case(
        "AP-45",
        "GET with undefined choice",
        "AT",
        asked(
            "C004C1000F0000280000FF0100",
            "C000C1000F0000280000FF0100",
            "C0FFC1000F0000280000FF0100",
            expected=_NONE,
            also=("D802??", "D8010?", "C401C101??", None),
        ),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-46",
        "GET cut short",
        "AT",
        asked(
            "C0",
            "C001",
            GET_NAME[:-2],
            GET_NAME[:12],
            expected=_NONE,
            also=("D802??", "D8010?", "C401??01??", None),
        ),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-47",
        "unknown object",
        "AT",
        (
            Ask(
                "C001C1000FFFFFFFFFFFFF0100",
                lambda bench: f"C401C101{bench.cti.application.unknown_object:02X}",
                ("C401C10104", "C401C10103", "C401C1010B"),
            ),
        ),
        "Green Book, Data-Access-Result",
    ),
    Case(
        "AP-48",
        "wrong class for an existing name",
        "AT",
        asked(
            "C001C100030000010000FF0200",
            expected="C401C10109",
            also=("C401C10104", "C401C10103", "C401C1010B"),
        ),
        "Green Book, Data-Access-Result",
    ),
    Case(
        "AP-49",
        "unknown attribute",
        "AT",
        (
            *(
                Ask(
                    f"C001C100080000010000FF{attribute}00",
                    lambda bench: f"C401C101{bench.cti.application.unknown_object:02X}",
                    ("C401C10104", "C401C10103", "C401C1010B"),
                )
                for attribute in ("0A", "7F", "FF", "80")
            ),
        ),
        "Green Book, Data-Access-Result",
        needs=("clock",),
    ),
    Case(
        "AP-50",
        "attribute without read right",
        "AT",
        asked(get_request(15, ASSOCIATION, 7), expected="C401C10103", also=("C401C101??",)),
        "Green Book, Data-Access-Result",
    ),
    Case("AP-51", "attribute 0", "AT", attribute_0, "62056-53, attribute_0", needs=("attribute-0",)),
    Case(
        "AP-52",
        "attribute 0 not negotiated",
        "AT",
        asked("C001C1000100002A0000FF0000", expected=_NONE, also=("D8010?", "C401C101??")),
        "conformance bit 10",
        aarq=sized(0x04B0, "000010"),
    ),
    Case(
        "AP-53",
        "with-list not negotiated",
        "AT",
        asked("C003C10200080000010000FF0200000100002A0000FF0200", expected=_NONE),
        "conformance bit 14",
        aarq=sized(0x04B0, "007C1F"),
    ),
    Case(
        "AP-54",
        "GET not negotiated",
        "AT",
        asked(GET_NAME, "C002C100000001", expected=_NONE),
        "conformance bit 19",
        client="setting",
        aarq=sized(0x04B0, "000008"),
        needs=("set",),
    ),
    Case(
        "AP-55",
        "SET with undefined choice",
        "AT",
        asked(
            "C106C1000F0000280000FF010009060000280000FF",
            expected=_NONE,
            also=("D802??", "D8010?", "C501C1??", None),
        ),
        "62056-53 ASN.1",
        client="setting",
    ),
    Case(
        "AP-56",
        "SET cut short",
        "AT",
        asked("C101C1000F0000280000", expected=_NONE, also=("D802??", "D8010?", "C501C1??", None)),
        "62056-53 ASN.1",
        client="setting",
    ),
    Case("AP-57", "SET without the right", "AT", set_denied, "conformance bit 20", client="setting"),
    Case("AP-58", "SET of what is not there", "AT", set_of_nothing, "Data-Access-Result", client="setting"),
    Case(
        "AP-59",
        "SET with list; with first block",
        "AT",
        set_with_list,
        "conformance bits 14, 12",
        client="setting",
    ),
    Case(
        "AP-60",
        "SN services in an LN AA",
        "AT",
        asked("050102FA00", "060102FA00011101", expected=_NONE),
        "context LN",
    ),
    Case(
        "AP-61",
        "ACTION not negotiated",
        "AT",
        asked(
            "C301C1000F0000280000FF0100",
            *(f"C301C100080000010000FF{method:02X}010F00" for method in range(1, 7)),
            expected=_NONE,
            also=("D8010?", "C701C103??", None),
        ),
        "conformance bit 23",
        client="setting",
        aarq=sized(0x04B0, "007E1E"),
    ),
    Case(
        "AP-62",
        "no APDU at all",
        "AT",
        asked("00", "FF", "C6", "E6E600", expected=_NONE, also=("D80???", None)),
        "62056-53 ASN.1",
    ),
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
            expected=_NONE,
            also=("D80???", None),
        ),
        "62056-53; conformance bits 1, 2",
    ),
    Case(
        "AP-64",
        "APDUs only a server sends",
        "AT",
        asked(
            "C401C10000",
            "6129A109060760857405080101",
            "0F00000001000000",
            "D80102",
            "6303800100",
            expected=None,
            also=("D80???",),
        ),
        f"{_GB}.6",
    ),
    Case("AP-65", "surplus octets", "AT", surplus, "A-XDR"),
    Case("AP-66", "SET with surplus or missing octets", "AT", malformed_set, "A-XDR", client="setting"),
    Case(
        "AP-67",
        "release with reason normal",
        "AT",
        (Ask(RELEASE, Released()),),
        f"{_GB}.5",
    ),
    Case("AP-68", "release forms", "AT", release_forms, f"{_GB}.5"),
    Case(
        "AP-69",
        "after release",
        "AT",
        (
            Ask(RELEASE, Released()),
            Ask(GET_NAME, _NONE, _ALSO),
            Ask(lambda bench: bench.own_aarq(), Accepted()),
            Ask(GET_NAME, "C401C100*"),
        ),
        f"{_GB}.5",
    ),
    Case("AP-100", "services that were not negotiated", "AT", not_negotiated_services, "conformance block"),
    Case("AP-101", "every way a GET can fail, twice", "AT", every_error_of_get, "Data-Access-Result"),
    Case("AP-102", "two requests at once", "AT", two_requests, "62056-46 6.4.4.4.3.5; 62056-47"),
    Case("AP-103", "two clients in turn on one line", "AT", interleaved_clients, _GB, client="setting"),
)
