"""Suite APPLICATION: APDUs, the same over both framings; AP-100 and above are our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.conformance.apdus import (
    GET_NAME,
    GET_OWN_NAME,
    RELEASE,
    aarq,
    initiate,
    low_level,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Accepted, Ask, Case, M, Raw, Refused, Released, Wait, asked, sized
from iondlms.conformance.suites.application_scripts import (
    OWN_NAME,
    SET_SAME_TIME,
    refused_in_an_open_one,
    second_association,
    small_answers,
    split_proposals,
    wrong_secrets,
)

_GB: Final = "Green Book 9.4"
_NONE: Final = "D80102"
_ALSO: Final = ("D8010?", None)


def _own(
    elements: str = "", information: str = "", *, context: str = "", before: str = ""
) -> Callable[[Bench], str]:
    """Return the AARQ of whichever client asks, with these elements added."""

    def made(bench: Bench) -> str:
        secret = low_level(bench.secret) if bench.role == "setting" else ""
        given = {"context": context} if context else {}
        # The elements of the list stand in the order of their tags: authentication is 8A to AC.
        late = elements[:2] in ("BD", "AB", "A9") or not secret
        return aarq(secret + elements if late else elements + secret, information, before=before, **given)

    return made


def _secret(elements: Callable[[bytes], str]) -> Callable[[Bench], str]:
    return lambda bench: aarq(elements(bench.secret))


def _changed(secret: bytes) -> bytes:
    return secret[:-1] + bytes((secret[-1] ^ 1,))


def _value(secret: bytes) -> str:
    return f"AC{len(secret) + 2:02X}80{len(secret):02X}{secret.hex()}".upper()


_MECHANISM: Final = "8B0760857405080201"
# (id, purpose, elements of the AARQ, what the client with low level security gets; the public client ignores
# what it need not show, unless it is a mechanism it does not know)
_SECRETS: Final[tuple[tuple[str, str, Callable[[bytes], str], Refused | Accepted], ...]] = (
    ("AP-14", "right secret", low_level, Accepted()),
    ("AP-15", "wrong secret", lambda s: low_level(_changed(s)), Refused(13)),
    ("AP-15b", "first half of the secret", lambda s: low_level(s[: max(1, len(s) // 2)]), Refused(13)),
    ("AP-16", "secret expected, none offered", lambda _: "", Refused(14, (12, 13))),
    ("AP-17", "mechanism name missing", lambda s: "8A020780" + _value(s), Refused(12, (11, 13))),
    ("AP-18", "mechanism without secret", lambda _: "8A020780" + _MECHANISM, Refused(14, (13,))),
    (
        "AP-19",
        "ACSE requirements bit 0 cleared",
        lambda s: "8A020700" + _MECHANISM + _value(s),
        Refused(14, (13,)),
    ),
    (
        "AP-20",
        "unknown mechanism",
        lambda s: "8A020780" + "8B0760857405080209" + _value(s),
        Refused(11, (13,)),
    ),
    (
        "AP-20b",
        "high level security",
        lambda _: "8A0207808B0760857405080205AC0A80084B35366956616759",
        Refused(11, (13,)),
    ),
)


def _secret_cases() -> tuple[Case, ...]:
    found = []
    for id_, purpose, elements, low in _SECRETS:
        public = low if id_.startswith("AP-20") else Accepted()
        stimulus = _secret(elements)
        found.append(Case(id_, purpose, "RT", (Ask(stimulus, public),), f"{_GB}.2.2"))
        found.append(Case(f"{id_}-lls", purpose, "RT", (Ask(stimulus, low),), f"{_GB}.2.2", client="setting"))
    return tuple(found)


_CIPHERED: Final = (
    "6066A109060760857405080103A60A04084D4D4D0000BC614E8A0207808B0760857405080201AC0A8008"
    "3132333435363738BE34043221303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B17"
    "5BD52211BE6841DB204D39EE6FDB8E356855"
)

CASES: Final = (
    Case("AP-01", "GET without AA", "RT", asked(GET_NAME, expected=_NONE), _GB),
    Case(
        "AP-02",
        "SET, ACTION, GET-next without AA",
        "RT",
        asked(SET_SAME_TIME, "C301C1000F0000280000FF0100", "C002C100000001", expected=_NONE),
        _GB,
    ),
    Case(
        "AP-03",
        "RLRQ without AA",
        "RT",
        (Ask(RELEASE, None, ("D8010?", "63*")), Ask(_own(), Accepted())),
        f"{_GB}.5",
    ),
    Case(
        "AP-04",
        "establish as declared, check, release",
        "RT",
        (Ask(_own(), Accepted()), Ask(GET_OWN_NAME, OWN_NAME), Ask(RELEASE, Released())),
        f"{_GB}.4.1",
    ),
    Case(
        "AP-05",
        "protocol version present, default",
        "RT",
        (Ask(_own(before="80020780"), Accepted()), Ask(_own(before="80020284"), Accepted())),
        f"{_GB}.2",
    ),
    Case(
        "AP-06",
        "protocol version without version 1",
        "RT",
        (Ask(_own(before="80020640"), Refused(2, source="A2"), (None,)),),
        f"{_GB}.2",
    ),
    Case(
        "AP-07",
        "unknown application context",
        "RT",
        (Ask(_own(context="5F857504070203"), Refused(2)),),
        f"{_GB}.2.2",
    ),
    Case("AP-08", "SN context", "RT", (Ask(_own(context="60857405080102"), Refused(2)),), f"{_GB}.2.2"),
    Case(
        "AP-09",
        "LN with ciphering; SN with ciphering",
        "RT",
        (
            Ask(_own(context="60857405080103"), Refused(2)),
            Ask(_own(context="60857405080104"), Refused(2)),
        ),
        f"{_GB}.2.2",
    ),
    # The context is refused although the user-information cannot be opened.
    Case(
        "AP-10",
        "ciphered context with a ciphered InitiateRequest",
        "RT",
        (Ask(_CIPHERED, Refused(2, initiate_error=0)),),
        f"{_GB}.2.2",
    ),
    Case(
        "AP-11",
        "unused ACSE fields are ignored",
        "RT",
        (
            Ask(
                _own("A203040144A303040144A403020100A503020100A803020100", initiate("60FE9F", "FFFF")),
                Accepted("60FE9F"),
            ),
        ),
        f"{_GB}.2.2",
    ),
    Case(
        "AP-12",
        "odd titles without ciphering",
        "RT",
        (Ask(_own("A603040144"), Accepted()), Ask(_own("A60C040A" + "44" * 10), Accepted())),
        f"{_GB}.2.2",
    ),
    Case(
        "AP-13",
        "client user id though not supported",
        "RT",
        (Ask(_own("A903020101"), Accepted()),),
        f"{_GB}.2.2",
    ),
    *_secret_cases(),
    Case("AP-14e", "every wrong secret", "RT", wrong_secrets, f"{_GB}.2.2", client="setting"),
    Case(
        "AP-21",
        "implementation information",
        "RT",
        (Ask(_own("BD0548656C6C6F"), Accepted(), ("61*",)),),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-22",
        "dedicated key without ciphering",
        "RT",
        (
            Ask(
                _own(information=initiate(head="01" + "1000112233445566778899AABBCCDDEEFF" + "0000")),
                Refused(1, initiate_error=0),
                ("61*",),
            ),
        ),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-23",
        "quality of service",
        "RT",
        (Ask(_own(information=initiate(head="00000100")), Accepted(), ("61*",)),),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-24",
        "DLMS version 5",
        "RT",
        (Ask(_own(information=initiate(version="05")), Refused(1, initiate_error=1)),),
        f"{_GB}.4.1",
    ),
    Case(
        "AP-25",
        "DLMS version 7",
        "RT",
        (Ask(_own(information=initiate(version="07")), Accepted()),),
        f"{_GB}.4.1",
    ),
    Case(
        "AP-26",
        "every bit proposed",
        "RT",
        (Ask(_own(information=initiate("FFFFFF")), Accepted("FFFFFF")),),
        f"{_GB}.6.1",
    ),
    Case("AP-26b", "each bit proposed alone", "RT", split_proposals, f"{_GB}.6.1"),
    Case(
        "AP-27",
        "nothing in common",
        "RT",
        (
            Ask(_own(information=initiate("000000")), Refused(1, initiate_error=2)),
            Ask(_own(information=initiate("1C0320")), Refused(1, initiate_error=2)),
        ),
        f"{_GB}.4.1",
    ),
    Case(
        "AP-28",
        "only GET proposed",
        "RT",
        (Ask(_own(information=initiate("000010")), Accepted("000010")),),
        f"{_GB}.6.1",
    ),
    Case(
        "AP-29",
        "one-octet tag of the conformance block",
        "RT",
        (Ask(_own(information="01000000065F0400007E1F04B0"), Accepted(), ("61*",)),),
        "Green Book, note on [APPLICATION 31]",
    ),
    Case(
        "AP-30",
        "client PDU size 11",
        "RT",
        (Ask(sized(11), Refused(1, initiate_error=3), ("61*",)),),
        f"{_GB}.4.1",
    ),
    Case("AP-31", "client PDU size 12", "RT", (Ask(sized(12), Accepted()),), f"{_GB}.4.1"),
    Case("AP-32", "client PDU size 0 = no limit", "RT", (Ask(sized(0), Accepted()),), f"{_GB}.4.1"),
    Case(
        "AP-33",
        "client PDU size is respected",
        "AT",
        small_answers,
        f"{_GB}.4.1",
        aarq=sized(64),
        needs=("blocks",),
    ),
    Case("AP-34", "client PDU size FFFF", "RT", (Ask(sized(0xFFFF), Accepted()),), f"{_GB}.4.1"),
    Case(
        "AP-35",
        "user-information is not an InitiateRequest",
        "RT",
        (Ask("6013A109060760857405080101BE06040405010200", Refused(1, initiate_error=0), (None,)),),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-36",
        "unknown extra element",
        "RT",
        (Ask(_own("AB03020105"), Accepted(), ("61*",)),),
        "ACSE extensibility",
    ),
    Case(
        "AP-37",
        "BER length in long form",
        "RT",
        (Ask(lambda bench: f"6081{bench.own_aarq()[2:]}", Accepted()),),
        "ISO 8825",
    ),
    Case(
        "AP-38",
        "AARQ cut short",
        "RT",
        (
            Ask(lambda bench: bench.own_aarq()[:-2], Refused(1, initiate_error=0), (None, "D8010?")),
            Ask(_own(), Accepted()),
        ),
        "62056-53 ASN.1",
    ),
    Case(
        "AP-39",
        "response-allowed FALSE",
        "RT",
        (Ask(_own(information=initiate(head="00010000")), None, ("61*",)),),
        _GB,
    ),
    Case("AP-40", "second AARQ in an open AA", "AT", second_association, _GB),
    Case("AP-40-lls", "second AARQ in an open AA", "AT", second_association, _GB, client="setting"),
    Case(
        "AP-41",
        "rejection leaves the link usable",
        "RT",
        (Ask(_own(context="5F857504070203"), Refused(2)), Ask(_own(), Accepted())),
        _GB,
    ),
    Case("AP-42", "a refused AARQ ends an open AA", "AT", refused_in_an_open_one, _GB),
    Case(
        "AP-70",
        "an association left alone for the inactivity time-out is gone",
        "A",
        (Wait("inactivity"), Raw((lambda bench: bench.i_frame(GET_NAME).hex(),), (M(0x1F),), ((),))),
        "62056-46 6.4.4.10.3",
    ),
)
