"""Who is let in: AP-04 to AP-20 against both SAPs, from their octets."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.acse import (
    AUTHENTICATION,
    Aarq,
    ApplicationContextName,
    AuthenticationValue,
    BitString,
    Diagnostic,
    MechanismName,
    Policy,
    ServiceProvider,
    ServiceUser,
    check,
)

LN = ApplicationContextName.LOGICAL_NAME
SECRET = b"12345678"
LOWEST = Policy(MechanismName.LOWEST)
LOW = Policy(MechanismName.LOW, SECRET)

CONTEXT = ServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
NOT_RECOGNISED = ServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
NAME_REQUIRED = ServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED
FAILURE = ServiceUser.AUTHENTICATION_FAILURE
REQUIRED = ServiceUser.AUTHENTICATION_REQUIRED

INITIATE = "BE10040E01000000065F1F0400007E1F04B0"
LLS = "8A0207808B0760857405080201AC0A8008"

# (AARQ, diagnostic on SAP 16, diagnostic on SAP 1, case)
CASES: list[tuple[str, Diagnostic | None, Diagnostic | None, str]] = [
    ("601DA109060760857405080101" + INITIATE, None, REQUIRED, "AP-04, AP-16"),
    ("602180020780A109060760857405080101" + INITIATE, None, REQUIRED, "AP-05"),
    ("602180020284A109060760857405080101" + INITIATE, None, REQUIRED, "AP-05, six-bit form"),
    (
        "602180020740A109060760857405080101" + INITIATE,
        ServiceProvider.NO_COMMON_ACSE_VERSION,
        ServiceProvider.NO_COMMON_ACSE_VERSION,
        "a protocol version without version 1",
    ),
    ("601DA10906075F857504070203" + INITIATE, CONTEXT, CONTEXT, "AP-07"),
    ("601DA109060760857405080102" + INITIATE, CONTEXT, CONTEXT, "AP-08"),
    ("601DA109060760857405080103" + INITIATE, CONTEXT, CONTEXT, "AP-09"),
    ("601DA109060760857405080104" + INITIATE, CONTEXT, CONTEXT, "AP-09"),
    ("6036A109060760857405080101" + LLS + "3132333435363738" + INITIATE, None, None, "AP-14"),
    ("6036A109060760857405080101" + LLS + "3132333435363739" + INITIATE, None, FAILURE, "AP-15"),
    (
        "602DA1090607608574050801018A020780AC0A80083132333435363738" + INITIATE,
        None,
        NAME_REQUIRED,
        "AP-17",
    ),
    (
        "6036A1090607608574050801018A0207008B0760857405080201AC0A80083132333435363738" + INITIATE,
        None,
        REQUIRED,
        "AP-19",
    ),
    (
        "6036A1090607608574050801018A0207008B0760857405080205AC0A80084B35366956616759" + INITIATE,
        None,
        REQUIRED,
        "AP-19 with HLS: a cleared bit is no authentication",
    ),
    (
        "6036A1090607608574050801018A0207808B0760857405080209AC0A80083132333435363738" + INITIATE,
        NOT_RECOGNISED,
        NOT_RECOGNISED,
        "AP-20, unknown mechanism",
    ),
    (
        "6036A1090607608574050801018A0207808B0760857405080205AC0A80084B35366956616759" + INITIATE,
        NOT_RECOGNISED,
        NOT_RECOGNISED,
        "AP-20, HLS",
    ),
    (
        "6036A1090607608574050801038A0207808B0760857405080209AC0A80083132333435363738" + INITIATE,
        CONTEXT,
        CONTEXT,
        "the context is looked at first",
    ),
    (
        "6032A1090607608574050801018B0760857405080201AC0A80083132333435363738" + INITIATE,
        None,
        None,
        "interop trap E7: ACSE requirements left out",
    ),
    (
        "6036A1090607608574050801018A0207808B0760857405080200AC0A80083132333435363738" + INITIATE,
        None,
        REQUIRED,
        "the lowest level by name is no authentication",
    ),
    (
        "602AA1090607608574050801018A0207808B0760857405080201" + INITIATE,
        None,
        REQUIRED,
        "LLS without a secret",
    ),
    ("6021A1090607608574050801018A020780" + INITIATE, None, REQUIRED, "the bit, and nothing else"),
    (
        "6036A1090607608574050801018A0207808B0760857405080201AC0A81083132333435363738" + INITIATE,
        None,
        FAILURE,
        "the right secret as a bitstring",
    ),
    (
        "602EA1090607608574050801018A0207808B0760857405080201AC028000" + INITIATE,
        None,
        FAILURE,
        "an empty secret",
    ),
]


@pytest.mark.parametrize(("octets", "lowest", "low", "case"), CASES, ids=[row[3] for row in CASES])
def test_case(octets: str, lowest: Diagnostic | None, low: Diagnostic | None, case: str) -> None:
    aarq = Aarq.decode(bytes.fromhex(octets))
    assert check(aarq, LOWEST) is lowest
    assert check(aarq, LOW) is low
    # With no password configured nobody comes in, and nobody learns more than that.
    for nothing in (None, b""):
        refused = check(aarq, Policy(MechanismName.LOW, nothing))
        first = low if low in (CONTEXT, ServiceProvider.NO_COMMON_ACSE_VERSION) else FAILURE
        assert refused is first


requirements = st.one_of(
    st.none(), st.sampled_from([AUTHENTICATION, BitString(b"\x00", 7), BitString(b"", 0)])
)
mechanisms = st.one_of(st.none(), st.sampled_from(MechanismName), st.binary(min_size=1, max_size=8))
secrets = st.one_of(st.just(SECRET), st.binary(max_size=40))
values = st.one_of(
    st.none(), st.builds(AuthenticationValue, secrets, st.sampled_from([0x80, 0x81, 0xA2, 0xA3]))
)
aarqs = st.builds(Aarq, st.sampled_from(ApplicationContextName), st.none(), requirements, mechanisms, values)


@given(aarqs, st.one_of(st.none(), secrets))
def test_nobody_comes_in_by_low_level_without_the_password(aarq: Aarq, password: bytes | None) -> None:
    if check(aarq, Policy(MechanismName.LOW, password)) is None:
        assert password
        assert aarq.calling_authentication_value == AuthenticationValue(password, 0x80)
        assert aarq.mechanism_name == MechanismName.LOW
        assert aarq.sender_acse_requirements in (None, AUTHENTICATION)
        assert aarq.application_context_name == LN


@given(st.binary(min_size=1, max_size=32))
def test_the_password_lets_in_and_no_other(password: bytes) -> None:
    policy = Policy(MechanismName.LOW, password)
    assert check(Aarq.low(b"", password), policy) is None
    for wrong in (password[:-1], password + b"\x00", bytes((password[0] ^ 1,)) + password[1:]):
        assert check(Aarq.low(b"", wrong), policy) is FAILURE


def test_the_comparison_takes_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert check(Aarq.low(b"", b"x"), LOW) is FAILURE
    assert check(Aarq.low(b"", SECRET), LOW) is None
    assert compared == [(b"x", SECRET), (SECRET, SECRET)]


def test_passwords_stay_out_of_repr() -> None:
    assert "12345678" not in repr(LOW)
