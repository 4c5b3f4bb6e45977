"""AARQ, AARE, RLRQ, RLRE: vectors both ways, odd forms, refused octets, properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseApdu,
    ApplicationContextName,
    AssociationResult,
    AuthenticationValue,
    BitString,
    Element,
    MechanismName,
    ReleaseRequestReason,
    ReleaseResponseReason,
    Rlre,
    Rlrq,
    ServiceProvider,
    ServiceUser,
    decode_acse_apdu,
)
from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError, RemoteError

LN = ApplicationContextName.LOGICAL_NAME
REQUEST = bytes.fromhex("01000000065F1F0400007E1F04B0")
RESPONSE = bytes.fromhex("0800065F1F040000301C04000007")
REFUSED = AssociationResult.REJECTED_PERMANENT


VECTORS: list[tuple[str, AcseApdu, str]] = [
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738"
            "BE10040E01000000065F1F0400007E1F04B0"
        ),
        Aarq.low(REQUEST, b"12345678"),
        "vector 64, Green Book: AARQ, LN, LLS",
    ),
    (
        "601DA109060760857405080101BE10040E01000000065F1F0400001E1DFFFF",
        Aarq.lowest(bytes.fromhex("01000000065F1F0400001E1DFFFF")),
        "vector 42, from its HDLC frame: AARQ of a simulator's client",
    ),
    ("601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0", Aarq.lowest(REQUEST), "AP-04"),
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080201AC0A80087472616E73746563"
            "BE10040E01000000065F1F040000FE1DFFFF"
        ),
        Aarq.low(bytes.fromhex("01000000065F1F040000FE1DFFFF"), b"transtec"),
        "vector 48, from its WPDU: AARQ LLS",
    ),
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080205AC0A80084B35366956616759"
            "BE10040E01000000065F1F0400007E1F04B0"
        ),
        Aarq(LN, REQUEST, AUTHENTICATION, MechanismName.HIGH_GMAC, AuthenticationValue(b"K56iVagY")),
        "vector 65, Green Book: AARQ, HLS mechanism 5",
    ),
    (
        (
            "6066A109060760857405080103A60A04084D4D4D0000BC614E8A0207808B0760857405080201AC0A80083132333435363738"
            "BE34043221303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB"
            "8E356855"
        ),
        Aarq(
            ApplicationContextName.LOGICAL_NAME_CIPHERED,
            bytes.fromhex(
                "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
            ),
            AUTHENTICATION,
            MechanismName.LOW,
            AuthenticationValue(b"12345678"),
            unused=(Element(0xA6, bytes.fromhex("04084D4D4D0000BC614E")),),
        ),
        "vector 66, Green Book: AARQ, ciphered context",
    ),
    (
        (
            "6036A109060760857405080101A203040144A303040144A403020100A503020100A803020100"
            "BE10040E01000000065F1F040060FE9FFFFF"
        ),
        Aarq(
            LN,
            bytes.fromhex("01000000065F1F040060FE9FFFFF"),
            unused=(
                Element(0xA2, bytes.fromhex("040144")),
                Element(0xA3, bytes.fromhex("040144")),
                Element(0xA4, bytes.fromhex("020100")),
                Element(0xA5, bytes.fromhex("020100")),
                Element(0xA8, bytes.fromhex("020100")),
            ),
        ),
        "vector 74 = AP-11: unused ACSE fields filled",
    ),
    (
        (
            "603A80020284A1090607608574050801018A0207808B0760857405080201AC0A80083141324233433444"
            "BE10040E01000000065F1F040000181D0400"
        ),
        Aarq(
            LN,
            bytes.fromhex("01000000065F1F040000181D0400"),
            AUTHENTICATION,
            MechanismName.LOW,
            AuthenticationValue(b"1A2B3C4D"),
            protocol_version=BitString(b"\x84", 2),
        ),
        "vector 82: protocol-version as a Landis+Gyr meter accepts it",
    ),
    (
        "602180020780A109060760857405080101BE10040E01000000065F1F0400007E1F04B0",
        Aarq(LN, REQUEST, protocol_version=BitString(b"\x80", 7)),
        "AP-05, the short form",
    ),
    (
        "602180020284A109060760857405080101BE10040E01000000065F1F0400007E1F04B0",
        Aarq(LN, REQUEST, protocol_version=BitString(b"\x84", 2)),
        "AP-05, the six-bit form",
    ),
    (
        "601DA10906075F857504070203BE10040E01000000065F1F0400007E1F04B0",
        Aarq(bytes.fromhex("5F857504070203"), REQUEST),
        "AP-07: unknown application context",
    ),
    (
        "602DA1090607608574050801018A020780AC0A80083132333435363738BE10040E01000000065F1F0400007E1F04B0",
        Aarq(LN, REQUEST, AUTHENTICATION, None, AuthenticationValue(b"12345678")),
        "AP-17: mechanism name missing",
    ),
    (
        (
            "6036A1090607608574050801018A0207008B0760857405080201AC0A80083132333435363738"
            "BE10040E01000000065F1F0400007E1F04B0"
        ),
        Aarq(LN, REQUEST, BitString(b"\x00", 7), MechanismName.LOW, AuthenticationValue(b"12345678")),
        "AP-19: ACSE requirements bit 0 cleared",
    ),
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080209AC0A80083132333435363738"
            "BE10040E01000000065F1F0400007E1F04B0"
        ),
        Aarq(LN, REQUEST, AUTHENTICATION, bytes.fromhex("60857405080209"), AuthenticationValue(b"12345678")),
        "AP-20: unknown mechanism",
    ),
    (
        "6024A109060760857405080101BD0548656C6C6FBE10040E01000000065F1F0400007E1F04B0",
        Aarq(LN, REQUEST, unused=(Element(0xBD, b"Hello"),)),
        "AP-21: implementation information",
    ),
    (
        "6022A109060760857405080101AB03020105BE10040E01000000065F1F0400007E1F04B0",
        Aarq(LN, REQUEST, unused=(Element(0xAB, bytes.fromhex("020105")),)),
        "AP-36: unknown extra element",
    ),
    (
        "6013A109060760857405080101BE06040405010200",
        Aarq.lowest(bytes.fromhex("05010200")),
        "AP-35: user-information that is not ours to judge",
    ),
    (
        "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000301C04000007",
        Aare(AssociationResult.ACCEPTED, user_information=RESPONSE),
        "AP-04",
    ),
    (
        "6129A109060760857405080101A203020101A305A103020102BE10040E0800065F1F040000301C04000007",
        Aare(REFUSED, ServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED, RESPONSE),
        "AP-07",
    ),
    (
        "6129A109060760857405080101A203020101A305A10302010DBE10040E0800065F1F040000301C04000007",
        Aare(REFUSED, ServiceUser.AUTHENTICATION_FAILURE, RESPONSE),
        "AP-15",
    ),
    (
        "6129A109060760857405080101A203020101A305A10302010EBE10040E0800065F1F040000301C04000007",
        Aare(REFUSED, ServiceUser.AUTHENTICATION_REQUIRED, RESPONSE),
        "AP-16",
    ),
    (
        "6129A109060760857405080101A203020101A305A10302010CBE10040E0800065F1F040000301C04000007",
        Aare(REFUSED, ServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED, RESPONSE),
        "AP-17",
    ),
    (
        "611FA109060760857405080101A203020101A305A103020101BE0604040E010601",
        Aare(REFUSED, ServiceUser.NO_REASON_GIVEN, bytes.fromhex("0E010601")),
        "vector 69 = AP-24, Green Book: dlms-version-too-low",
    ),
    (
        "6129A109060760857405080101A203020101A305A103020102BE10040E0800065F1F040000501F01F40007",
        Aare(
            REFUSED,
            ServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
            bytes.fromhex("0800065F1F040000501F01F40007"),
        ),
        "vector 68, Green Book: AARE rejected",
    ),
    (
        (
            "6142A109060760857405080101A203020100A305A10302010E88020780890760857405080205AA0A8008503677524A323146"
            "BE10040E0800065F1F040000501F01F40007"
        ),
        Aare(
            AssociationResult.ACCEPTED,
            ServiceUser.AUTHENTICATION_REQUIRED,
            bytes.fromhex("0800065F1F040000501F01F40007"),
            responder_acse_requirements=AUTHENTICATION,
            mechanism_name=MechanismName.HIGH_GMAC,
            responding_authentication_value=AuthenticationValue(b"P6wRJ21F"),
        ),
        "vector 70, Green Book: AARE pending HLS",
    ),
    (
        "6129A109060760857405080101A203020100A305A103020101BE10040E0800065F1F0400003A1D00720007",
        Aare(
            AssociationResult.ACCEPTED,
            ServiceUser.NO_REASON_GIVEN,
            bytes.fromhex("0800065F1F0400003A1D00720007"),
        ),
        "vector 49: a meter that accepts with diagnostic 1",
    ),
    (
        "6117A109060760857405080101A203020101A305A203020102",
        Aare(REFUSED, ServiceProvider.NO_COMMON_ACSE_VERSION),
        "by the abstract syntax: acse-service-provider, no user-information",
    ),
    ("6203800100", Rlrq(ReleaseRequestReason.NORMAL), "vector 93 = AP-67"),
    ("6303800100", Rlre(ReleaseResponseReason.NORMAL), "vector 94 = AP-67"),
    ("6200", Rlrq(), "vector 96 = AP-68"),
    ("6300", Rlre(), "AP-67, the other form"),
    ("620380011E", Rlrq(ReleaseRequestReason.USER_DEFINED), "AP-68: user-defined"),
    ("6203800180", Rlrq(-128), "BER: the least integer of one octet"),
    ("620480020080", Rlrq(128), "BER: the first integer of two"),
    ("6203800107", Rlrq(7), "a reason that nobody defined is still a release"),
    (
        "6215800100BE10040E01000000065F1F0400007E1F04B0",
        Rlrq(ReleaseRequestReason.NORMAL, REQUEST),
        "AP-68: RLRQ with an InitiateRequest",
    ),
    (
        "6315800100BE10040E0800065F1F040000301C04000007",
        Rlre(ReleaseResponseReason.NORMAL, RESPONSE),
        "its answer",
    ),
]


@pytest.mark.parametrize(("octets", "value", "source"), VECTORS, ids=[v[2] for v in VECTORS])
def test_vector(octets: str, value: AcseApdu, source: str) -> None:
    raw = bytes.fromhex(octets)
    assert value.encode().hex() == raw.hex(), source
    assert decode_acse_apdu(raw) == value, source
    assert type(value).decode(raw) == value
    for cut in range(len(raw)):
        with pytest.raises(DecodeError):
            decode_acse_apdu(raw[:cut])


@pytest.mark.parametrize("octets", [row[0] for row in VECTORS])
def test_surplus_is_refused_in_octets_and_left_in_a_reader(octets: str) -> None:
    raw = bytes.fromhex(octets)
    with pytest.raises(DecodeError):
        decode_acse_apdu(raw + b"\x00")
    reader = Reader(raw + b"\x00")
    decode_acse_apdu(reader)
    assert reader.remaining == 1


def test_known_names_are_members() -> None:
    apdu = Aarq.decode(Aarq.low(REQUEST, b"x").encode())
    assert apdu.application_context_name is ApplicationContextName.LOGICAL_NAME
    assert apdu.mechanism_name is MechanismName.LOW


@pytest.mark.parametrize(
    ("octets", "source"),
    [
        ("60811DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0", "AP-37"),
        ("6082001DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0", "AP-37, two octets"),
        ("601EA18109060760857405080101BE10040E01000000065F1F0400007E1F04B0", "an element in long form"),
        ("601EA109060760857405080101BE8110040E01000000065F1F0400007E1F04B0", "user-information in long form"),
        ("601EA109060760857405080101BE1104810E01000000065F1F0400007E1F04B0", "its octet string in long form"),
        ("601DBE10040E01000000065F1F0400007E1F04B0A109060760857405080101", "elements in another order"),
    ],
)
def test_other_forms_of_the_same_aarq(octets: str, source: str) -> None:
    assert Aarq.decode(bytes.fromhex(octets)) == Aarq.lowest(REQUEST), source


@pytest.mark.parametrize("title", ["A603040144", "A60C040A00112233445566778899"])
def test_odd_titles_are_carried(title: str) -> None:  # AP-12
    raw = bytes.fromhex(title)
    apdu = Aarq(LN, REQUEST, unused=(Element(raw[0], raw[2:]),))
    assert title.lower() in apdu.encode().hex()
    assert Aarq.decode(apdu.encode()) == apdu


@pytest.mark.parametrize(
    ("value", "form"), [(b"12", 0x80), (bytes.fromhex("00AA"), 0x81), (b"\x06\x01\x2a", 0xA2), (b"", 0xA3)]
)
def test_authentication_value_forms(value: bytes, form: int) -> None:
    apdu = Aarq(LN, REQUEST, calling_authentication_value=AuthenticationValue(value, form))
    assert Aarq.decode(apdu.encode()) == apdu
    carried = AuthenticationValue(value, form)
    assert carried.charstring == (value if form == 0x80 else None)


REFUSALS = [
    ("", "none is left", "nothing"),
    ("6400", "64 is no ACSE APDU", "ABRT, which nobody here sends"),
    ("C001C1", "C0 is no ACSE APDU", "an xDLMS APDU"),
    ("6000", "no element A1 in the AARQ", "AARQ without an application context name"),
    ("6080A1090607608574050801010000", "length octet 80", "indefinite length"),
    ("6084FFFFFFFF", "4294967295 octets expected", "RB-04: a lying length"),
    ("6085FFFFFFFFFF", "length octet 85", "a length of five octets"),
    ("600BA109020760857405080101", "tag 02", "context name that is no OBJECT IDENTIFIER"),
    ("600BA109060860857405080101", "8 octets expected", "an object identifier longer than its element"),
    ("600BA10A060760857405080101", "10 octets expected", "an element longer than the AARQ"),
    ("600CA10A06076085740508010100", "1 surplus octets", "surplus inside an element"),
    ("6004A1020600", "without octets", "an empty object identifier"),
    ("6016A109060760857405080101A109060760857405080101", "A1 twice", "context name twice"),
    ("600D8A00A109060760857405080101", "none is left", "a bit string without its first octet"),
    ("600F8A020880A109060760857405080101", "8 unused bits", "eight unused bits"),
    ("600E8A0107A109060760857405080101", "7 unused bits", "unused bits of no octet"),
    (
        "6016A109060760857405080101BE09040605010200AABBCC",
        "1 surplus octets",
        "surplus after user-information",
    ),
    ("6013A109060760857405080101BE06280405010200", "tag 28", "user-information as EXTERNAL"),
    ("600FA1090607608574050801019F1F0100", "tag 9F at offset 13 cannot", "a tag of several octets"),
    ("600EA109060760857405080101020100", "tag 02 at offset 13 cannot", "an element of another class"),
    ("6110A109060760857405080101A203020100", "no element A3", "AARE without a diagnostic"),
    ("6117A109060760857405080101A203020103A305A103020100", "3 is not defined", "result 3"),
    ("6117A109060760857405080101A203020100A305A10302010F", "15 is not defined", "acse-service-user 15"),
    ("6117A109060760857405080101A203020100A305A203020103", "3 is not defined", "acse-service-provider 3"),
    ("6117A109060760857405080101A203020100A305A303020100", "tag A3", "neither user nor provider"),
    ("6119A109060760857405080101A203020100A307A1050201000500", "2 surplus octets", "surplus in a diagnostic"),
    ("6116A109060760857405080101A2020200A305A103020100", "integer of 0 octets", "an integer without octets"),
    ("62028000", "integer of 0 octets", "a reason without octets"),
    ("620780050000000000", "integer of 5 octets", "a reason of five octets"),
]


@pytest.mark.parametrize(("octets", "message", "why"), REFUSALS, ids=[row[2] for row in REFUSALS])
def test_refused(octets: str, message: str, why: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_acse_apdu(bytes.fromhex(octets))


@pytest.mark.parametrize("kind", [Aarq, Aare, Rlrq, Rlre])
def test_decode_takes_its_own_tag_only(kind: type[AcseApdu]) -> None:
    own = {Aarq: 0x60, Aare: 0x61, Rlrq: 0x62, Rlre: 0x63}[kind]
    for other in VECTORS:
        raw = bytes.fromhex(other[0])
        if raw[0] != own:
            with pytest.raises(DecodeError):
                kind.decode(raw)


def test_passwords_stay_out_of_repr() -> None:
    assert "12345678" not in repr(Aarq.low(REQUEST, b"12345678"))


# --- properties --------------------------------------------------------------------------------------

names = st.one_of(st.sampled_from(list(ApplicationContextName)), st.binary(min_size=1, max_size=12))
mechanisms = st.one_of(st.sampled_from(list(MechanismName)), st.binary(min_size=1, max_size=12))
bits = st.one_of(
    st.just(BitString(b"", 0)),
    st.builds(BitString, st.binary(min_size=1, max_size=3), st.integers(0, 7)),
)
values = st.builds(AuthenticationValue, st.binary(max_size=300), st.sampled_from([0x80, 0x81, 0xA2, 0xA3]))
user_information = st.one_of(st.none(), st.binary(max_size=300))


def unused(taken: set[int]) -> st.SearchStrategy[tuple[Element, ...]]:
    """Other elements as an encoder would order them."""
    tags = [0x80 | form | number for number in range(31) for form in (0, 0x20)]
    element = st.builds(
        Element, st.sampled_from([tag for tag in tags if tag not in taken]), st.binary(max_size=20)
    )
    return st.lists(element, max_size=4, unique_by=lambda item: item.tag & 0x1F).map(
        lambda items: tuple(sorted(items, key=lambda item: item.tag & 0x1F))
    )


def optional(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), strategy)


aarqs = st.builds(
    Aarq,
    names,
    user_information,
    optional(bits),
    optional(mechanisms),
    optional(values),
    optional(bits),
    unused({0x80, 0xA1, 0x8A, 0x8B, 0xAC, 0xBE}),
)
aares = st.builds(
    Aare,
    st.sampled_from(AssociationResult),
    st.one_of(st.sampled_from(ServiceUser), st.sampled_from(ServiceProvider)),
    user_information,
    names,
    optional(bits),
    optional(mechanisms),
    optional(values),
    optional(bits),
    unused({0x80, 0xA1, 0xA2, 0xA3, 0x88, 0x89, 0xAA, 0xBE}),
)
reasons = optional(st.integers(-(2**31), 2**31 - 1))
rlrqs = st.builds(Rlrq, reasons, user_information, unused({0x80, 0xBE}))
rlres = st.builds(Rlre, reasons, user_information, unused({0x80, 0xBE}))


@given(st.one_of(aarqs, aares, rlrqs, rlres))
def test_round_trip_and_no_shorter_reading(value: AcseApdu) -> None:
    octets = value.encode()
    assert decode_acse_apdu(octets) == value
    for cut in range(len(octets)):
        with pytest.raises(DecodeError):
            decode_acse_apdu(octets[:cut])


@given(st.sampled_from([row[0] for row in VECTORS]).map(bytes.fromhex), st.data())
def test_damaged_octets_raise_only_remote_errors(octets: bytes, data: st.DataObject) -> None:
    damaged = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = decode_acse_apdu(bytes(damaged))
    except RemoteError:
        return
    assert decode_acse_apdu(value.encode()) == value


@given(st.sampled_from([0x60, 0x61, 0x62, 0x63]), st.binary(max_size=60))
def test_noise_raises_only_remote_errors(tag: int, noise: bytes) -> None:
    for octets in (noise, bytes((tag, len(noise))) + noise):
        try:
            decode_acse_apdu(octets)
        except RemoteError:
            continue
