"""What servers say that no meter of ours says: each is a value or a typed error."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests.client.joined import Lines, Scripted, watched

from iondlms.acse import Aare, AssociationResult, AuthenticationValue, Rlre, ServiceProvider, ServiceUser
from iondlms.client import (
    AssociationRefused,
    LinkError,
    NoAnswer,
    NotDlms,
    OutcomeUnknown,
    ServiceRefused,
    Target,
    TransferBroken,
)
from iondlms.client.endpoint import ClientEndpoint
from iondlms.client.names import CLOCK
from iondlms.client.session import Operation
from iondlms.codec import axdr, make
from iondlms.codec.reader import Reader
from iondlms.errors import (
    DataAccessResult,
    DecodeError,
    LocalError,
    ObjectUnavailable,
    OtherReason,
    ReadWriteDenied,
    RemoteError,
)
from iondlms.hdlc import Event, Frame, Secondary, ServerAddress
from iondlms.hdlc.deframer import Deframer
from iondlms.wrapper import Wpdu
from iondlms.xdlms import (
    AttributeDescriptor,
    ConfirmedServiceError,
    Conformance,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateResponse,
    ServiceError,
    SetResponseNormal,
    StateError,
    decode_apdu,
)

Server = Callable[[bytes], bytes | None]  # APDU -> APDU; None: silence

GRANTED = InitiateResponse(Conformance(0x00301C), 0x0400)
ACCEPTED = Aare(AssociationResult.ACCEPTED, user_information=GRANTED.encode()).encode()
VALUE = axdr.encode_data(make.octet_string(b"ION"))


def over_wrapper(server: Server) -> Lines:
    def answer(data: bytes) -> bytes:
        wpdu = Wpdu.decode(data)
        assert isinstance(wpdu, Wpdu)
        apdu = server(wpdu.apdu or b"")
        return b"" if apdu is None else wpdu.reply(apdu)

    return Lines(lambda now: Scripted(answer))


def over_hdlc(server: Server) -> Lines:
    def make(now: float) -> Scripted:
        deframer, secondary = Deframer(), Secondary(100, 1)

        def answer(data: bytes) -> bytes:
            octets = b""
            for frame in deframer.feed(data):
                reaction = secondary.receive(frame)
                octets += reaction.octets
                if reaction.event is Event.LSDU:
                    octets += secondary.answer(reaction.client, server(reaction.lsdu))
            return octets

        return Scripted(answer)

    return Lines(make)


def meter(get: Server, aare: bytes | None = ACCEPTED) -> Server:
    """A server that associates so, and answers all but AARQ and RLRQ by `get`."""

    def server(apdu: bytes) -> bytes | None:
        if apdu[0] == 0x60:
            return aare
        return Rlre(0).encode() if apdu[0] == 0x62 else get(apdu)

    return server


def value(apdu: bytes) -> bytes:
    return GetResponseNormal(apdu[2], VALUE).encode()


BOTH = pytest.mark.parametrize(
    ("over", "url"),
    [(over_hdlc, "hdlc://m?timeout=1s"), (over_wrapper, "wrapper://m?timeout=1s")],
    ids=["hdlc", "wrapper"],
)
Over = Callable[[Server], Lines]

AARES = [
    ACCEPTED,
    Aare(AssociationResult.ACCEPTED, ServiceUser.NO_REASON_GIVEN, GRANTED.encode()).encode(),
    Aare(AssociationResult.ACCEPTED, ServiceUser.AUTHENTICATION_REQUIRED, GRANTED.encode()).encode(),
    Aare(AssociationResult.ACCEPTED, ServiceProvider.NO_REASON_GIVEN, GRANTED.encode()).encode(),
    Aare(AssociationResult.ACCEPTED).encode(),  # without user-information
    Aare(
        AssociationResult.ACCEPTED,
        user_information=InitiateResponse(Conformance(0x00301C), 0, vaa_name=0xFA00).encode(),
    ).encode(),
    Aare(
        AssociationResult.ACCEPTED,
        user_information=InitiateResponse(Conformance(0x10), 125, negotiated_quality_of_service=0).encode(),
    ).encode(),
    Aare(AssociationResult.ACCEPTED, user_information=GRANTED.encode() + b"\x00").encode(),
]


@BOTH
@pytest.mark.parametrize("aare", AARES)
def test_accepted_is_accepted(over: Over, url: str, aare: bytes) -> None:
    with over(meter(value, aare)).client(url) as client:
        assert client.get("name") == make.octet_string(b"ION")


REFUSALS = [
    (Aare(AssociationResult.REJECTED_PERMANENT, diagnostic).encode(), diagnostic)
    for diagnostic in (*ServiceUser, *ServiceProvider)
] + [
    (
        Aare(AssociationResult.REJECTED_TRANSIENT, ServiceUser.NULL, b"\x0e\x01\x06\x01").encode(),
        ServiceUser.NULL,
    ),
    (Aare(AssociationResult.ACCEPTED, ServiceUser.NULL, b"\x0e\x01\x06\x01").encode(), ServiceUser.NULL),
    (
        Aare(
            AssociationResult.ACCEPTED,
            ServiceUser.AUTHENTICATION_REQUIRED,
            GRANTED.encode(),
            responding_authentication_value=AuthenticationValue(b"challenge"),
        ).encode(),
        ServiceUser.AUTHENTICATION_REQUIRED,
    ),
    (ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON).encode(), None),
    (ConfirmedServiceError(1, 6, 1).encode(), None),
]


@BOTH
@pytest.mark.parametrize(("aare", "diagnostic"), REFUSALS)
def test_refused(over: Over, url: str, aare: bytes, diagnostic: object) -> None:
    with pytest.raises(AssociationRefused) as caught:
        over(meter(value, aare)).client(url).open()
    assert caught.value.diagnostic == diagnostic
    assert "\n" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    "aare",
    [
        b"\x61\x01\x00",
        ACCEPTED[:-1],
        b"\xff\x00",
        b"\xc4\x01\xc1\x00\x00",
        Aare(AssociationResult.ACCEPTED, user_information=b"\x08\x00").encode(),
    ],
)
def test_answer_to_the_aarq_that_cannot_be_read(over: Over, url: str, aare: bytes) -> None:
    with pytest.raises(RemoteError):
        over(meter(value, aare)).client(url).open()


@BOTH
def test_silence_after_the_link(over: Over, url: str) -> None:
    with pytest.raises(NoAnswer):
        over(meter(value, None)).client(url).open()


@BOTH
@pytest.mark.parametrize(
    ("answer", "error", "codes"),
    [
        (bytes.fromhex("D80102"), ServiceRefused, (1, 2)),
        (bytes.fromhex("D80202"), ServiceRefused, (2, 2)),
        (bytes.fromhex("0E050201"), ServiceRefused, (None, None)),
    ],
)
def test_refused_service(
    over: Over, url: str, answer: bytes, error: type, codes: tuple[int | None, ...]
) -> None:
    asked = []

    def get(apdu: bytes) -> bytes:
        asked.append(apdu)
        return answer if len(asked) < 3 else value(apdu)

    with over(meter(get)).client(url) as client:
        with pytest.raises(ServiceRefused) as caught:
            client.get("name")
        assert (caught.value.state, caught.value.service) == codes
        # "Not allowed" may mean that the association is gone: that is tried once with a new one.
        assert len(asked) == (2 if codes == (1, 2) else 1)
        asked += [b""] * 3
        assert client.get("name") == make.octet_string(b"ION")


@BOTH
def test_one_exception_of_a_meter_that_forgot_us(over: Over, url: str) -> None:
    answers = iter([bytes.fromhex("D80102")])
    with over(meter(lambda apdu: next(answers, None) or value(apdu))).client(url) as client:
        assert client.get("name") == make.octet_string(b"ION")


@BOTH
@pytest.mark.parametrize(
    ("result", "error"),
    [
        (DataAccessResult.READ_WRITE_DENIED, ReadWriteDenied),
        (DataAccessResult.OBJECT_UNAVAILABLE, ObjectUnavailable),
        (DataAccessResult.OTHER_REASON, OtherReason),
        (DataAccessResult.HARDWARE_FAULT, OtherReason),
    ],
)
def test_refused_attribute(over: Over, url: str, result: DataAccessResult, error: type[Exception]) -> None:
    def get(apdu: bytes) -> bytes:
        return GetResponseNormal(apdu[2], result).encode()

    with over(meter(get)).client(url) as client, pytest.raises(error, match=str(int(result))):
        client.get("name")


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        b"\xc4\x01",
        b"\xc4\x09\xc1\x00",
        b"\xc4\x01\xc1\x02",
        b"\x77\x00",
        b"\xc4\x01\xc1\x01\x4d",
        b"\xd8\x09\x09",
    ],
)
def test_answer_that_cannot_be_read(over: Over, url: str, answer: bytes) -> None:
    with over(meter(lambda apdu: answer)).client(url) as client, pytest.raises(DecodeError):
        client.get("name")


@BOTH
@pytest.mark.parametrize(
    "stale",
    [
        lambda apdu: GetResponseNormal(apdu[2] ^ 1, VALUE).encode(),  # another invoke-id
        lambda apdu: SetResponseNormal(apdu[2], DataAccessResult.SUCCESS).encode(),
        lambda apdu: b"\x0f\x00\x00\x00\x00\x00\x00",  # data-notification
        lambda apdu: ACCEPTED,
    ],
)
def test_answer_to_something_else_is_never_taken(over: Over, url: str, stale: Server) -> None:
    with over(meter(stale)).client(url) as client, pytest.raises((LinkError, NoAnswer)):
        client.get("name")


@BOTH
def test_only_the_id_of_the_invoke_octet_counts(over: Over, url: str) -> None:
    def get(apdu: bytes) -> bytes:
        return GetResponseNormal(apdu[2] & 0x0F, VALUE).encode()

    with over(meter(get)).client(url) as client:
        assert client.get("name") == make.octet_string(b"ION")


def test_an_empty_answer_is_no_hang() -> None:
    client = over_hdlc(meter(lambda apdu: b"")).client("hdlc://m?timeout=1s")
    with client, pytest.raises((LinkError, NoAnswer)):
        client.get("name")


@BOTH
def test_association_ended_by_the_meter(over: Over, url: str) -> None:
    client = over(meter(lambda apdu: Rlre(0).encode())).client(url)
    with client, pytest.raises(LinkError, match="ended the association"):
        client.get("name")


@BOTH
def test_set_is_answered_by_its_own_kind_alone(over: Over, url: str) -> None:
    sent = []

    def answer(apdu: bytes) -> bytes:
        if apdu[0] == 0xC1:
            sent.append(apdu)
            return GetResponseNormal(apdu[2], VALUE).encode()
        clock = make.octet_string(bytes.fromhex("07EA0B16070C2238000000 00"))
        return GetResponseNormal(apdu[2], axdr.encode_data(clock)).encode()

    with over(meter(answer)).client(url + "&client=1", "x") as client:
        instant = client.clock().instant
        assert instant is not None
        with pytest.raises(OutcomeUnknown):
            client.set_clock(instant)
    assert len(sent) == 1


# --- blocks ---------------------------------------------------------------------------------------------


def blocks(*answers: tuple[bool, int, bytes | DataAccessResult]) -> Server:
    """A meter that answers a GET with these blocks, whatever number it is asked for."""
    left = list(answers)

    def get(apdu: bytes) -> bytes:
        if isinstance(decode_apdu(Reader(apdu)), GetRequestNormal):
            left[:] = answers
        last, number, result = left.pop(0)
        return GetResponseWithDatablock(apdu[2], last, number, result).encode()

    return meter(get)


@BOTH
def test_blocks(over: Over, url: str) -> None:
    for cuts in itertools.combinations(range(1, len(VALUE)), 2):
        parts = [VALUE[a:b] for a, b in zip((0, *cuts), (*cuts, None), strict=True)]
        server = blocks(*((n == len(parts), n, part) for n, part in enumerate(parts, 1)))
        with over(server).client(url) as client:
            assert client.get("name") == make.octet_string(b"ION")
    with over(blocks((True, 1, VALUE))).client(url) as client:  # the first is the last
        assert client.get("name") == make.octet_string(b"ION")


@BOTH
def test_next_block_is_asked_under_the_same_id_by_the_number_received(over: Over, url: str) -> None:
    hooks, _, apdus = watched()
    with over(blocks((False, 1, VALUE[:2]), (True, 2, VALUE[2:]))).client(url, hooks=hooks) as client:
        client.get("name")
    first, second = (decode_apdu(Reader(apdu)) for way, apdu in apdus if way == "TX" and apdu[0] == 0xC0)
    assert isinstance(first, GetRequestNormal)
    assert second == GetRequestNext(first.invoke, 1)


@BOTH
@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([(False, 1, VALUE[:2]), (True, 3, VALUE[2:])], RemoteError),
        ([(False, 1, VALUE[:2]), (True, 2, DataAccessResult.READ_WRITE_DENIED)], ReadWriteDenied),
        ([(False, 1, VALUE[:2]), (False, 0, DataAccessResult.LONG_GET_ABORTED)], OtherReason),
        ([(False, 1, VALUE[:2]), (False, 2, b""), (False, 3, b"")], RemoteError),
    ],
)
def test_broken_blocks_keep_what_came(
    over: Over, url: str, answers: list[tuple[bool, int, bytes | DataAccessResult]], error: type[Exception]
) -> None:
    with over(blocks(*answers)).client(url) as client:
        with pytest.raises(TransferBroken) as caught:
            client.get("name")
        assert caught.value.octets == VALUE[:2]
        assert isinstance(caught.value.__cause__, error)


@BOTH
def test_blocks_that_begin_wrong(over: Over, url: str) -> None:
    with over(blocks((False, 2, VALUE))).client(url) as client, pytest.raises(RemoteError, match="1 was due"):
        client.get("name")
    client = over(blocks((True, 1, DataAccessResult.OBJECT_UNAVAILABLE))).client(url)
    with client, pytest.raises(ObjectUnavailable):
        client.get("name")


@BOTH
def test_whole_answer_in_the_middle_of_blocks(over: Over, url: str) -> None:
    def get(apdu: bytes) -> bytes:
        if apdu[1] == 1:
            return GetResponseWithDatablock(apdu[2], False, 1, VALUE[:3]).encode()
        return value(apdu)

    with over(meter(get)).client(url) as client, pytest.raises(TransferBroken):
        client.get("name")


# --- link -----------------------------------------------------------------------------------------------


def test_the_meter_refuses_the_link() -> None:
    dm = Frame(b"\x21", ServerAddress(1, 100).encode(), 0x1F).encode()
    with pytest.raises(LinkError, match="DM"):
        Lines(lambda now: Scripted(lambda data: dm)).client("hdlc://m").open()
    # It is HDLC for all that: in `auto` the wrapper is not tried.
    lines = Lines(lambda now: Scripted(lambda data: dm))
    client = lines.client("tcp://m")
    with pytest.raises(LinkError, match="DM"):
        client.open()
    assert (len(lines.lines), client.session.framing) == (1, "hdlc")


def test_frmr_in_mid_session_is_told() -> None:
    def make(now: float) -> Scripted:
        deframer, secondary = Deframer(), Secondary(100, 1)
        frmr = Frame(b"\x21", ServerAddress(1, 100).encode(), 0x97, bytes.fromhex("100004")).encode()

        def answer(data: bytes) -> bytes:
            reactions = [secondary.receive(frame) for frame in deframer.feed(data)]
            return b"".join([frmr if item.event is Event.LSDU else item.octets for item in reactions])

        return Scripted(answer)

    with pytest.raises(LinkError, match="information too long"):
        Lines(make).client("hdlc://m").open()


def test_a_busy_meter_is_polled_and_not_for_ever() -> None:
    """RR means: I have it, ask again. 62056-46 6.4.4; a meter that collects a long answer does so."""
    for patience, expected in ((5, True), (1 << 30, False)):
        polls = 0

        def make(now: float, patience: int = patience) -> Scripted:
            deframer, secondary = Deframer(), Secondary(100, 1)

            def answer(data: bytes) -> bytes:
                nonlocal polls
                octets = b""
                for frame in deframer.feed(data):
                    held = Frame(b"\x21", ServerAddress(1, 100).encode(), 0x31)
                    reaction = secondary.receive(frame)
                    octets += reaction.octets
                    if reaction.event is Event.LSDU:
                        pending.append(secondary.answer(reaction.client, meter(value)(reaction.lsdu)))
                    if pending:
                        polls += 1
                        if polls > patience:
                            return pending.pop()
                        return held.encode()
                return octets

            pending: list[bytes] = []
            return Scripted(answer)

        lines = Lines(make)
        client = lines.client("hdlc://m?timeout=1s")
        if expected:
            client.open()
            assert polls == patience + 1
        else:
            with pytest.raises(NoAnswer):
                client.open()
        assert lines.now < 120


def test_short_addresses() -> None:
    """DL-28: a meter may answer an address of two octets with its own four."""
    four = ServerAddress(1, 100).encode()
    ua = Frame(b"\x21", four, 0x73).encode()
    aare = Frame(b"\x21", four, 0x30, b"\xe6\xe7\x00" + ACCEPTED).encode()
    answers = iter([ua, aare])
    lines = Lines(lambda now: Scripted(lambda data: next(answers, b"")))
    hooks, octets, _ = watched()
    lines.client("hdlc://m?address=2", hooks=hooks).open()
    assert octets[0][1].startswith(bytes.fromhex("7EA0 08 02C9 21 93"))
    assert Target.parse("hdlc://m?address=1").server_address == ServerAddress(1, None, 1)


# --- framing --------------------------------------------------------------------------------------------


def test_auto_tries_hdlc_then_the_wrapper_and_remembers() -> None:
    tried: list[bytes] = []

    def made(now: float) -> Scripted:
        def answer(data: bytes) -> bytes | None:
            tried.append(data[:2])
            if data[:1] == b"\x7e":
                return None  # a server of the wrapper closes: this is no version of it
            wpdu = Wpdu.decode(data)
            return wpdu.reply(meter(value)(wpdu.apdu or b"") or b"")

        return Scripted(answer)

    lines = Lines(made)
    with lines.client("tcp://m") as client:
        assert client.get("name") == make.octet_string(b"ION")
        assert client.session.framing == "wrapper"
    assert [each[0] for each in tried[:2]] == [0x7E, 0x00]
    tried.clear()
    client.open()
    assert tried == [b"\x00\x01"]


def wrapper_alone(now: float) -> Scripted:
    def answer(data: bytes) -> bytes | None:
        if data[:1] == b"\x7e":
            return None
        wpdu = Wpdu.decode(data)
        return wpdu.reply(meter(value)(wpdu.apdu or b"") or b"")

    return Scripted(answer)


@pytest.mark.parametrize("url", ["tcp://m?unit=101", "tcp://m?unit=100"])
def test_a_unit_that_was_named_and_may_be_another_is_doubted_and_not_set(url: str) -> None:
    lines = Lines(wrapper_alone)
    with lines.client(f"{url}&client=1&auth=low", b"12345678") as client:
        assert client.session.doubt is not None
        assert client.session.doubt.startswith(f"{url[8:]} did not answer over HDLC")
        assert client.get("name") == make.octet_string(b"ION")  # reading is done all the same
        sent = len(lines.lines)
        with pytest.raises(LocalError, match=r"^nothing is set: unit=10"):
            drive(client.session.set(AttributeDescriptor(8, CLOCK, 2), make.octet_string(bytes(12))))
        assert len(lines.lines) == sent


@pytest.mark.parametrize("url", ["tcp://m", "wrapper://m?unit=101", "tcp://m?unit=101&framing=wrapper"])
def test_a_unit_that_nobody_named_or_minds_is_not_doubted(url: str) -> None:
    with Lines(wrapper_alone).client(url) as client:
        assert client.session.framing == "wrapper"
        assert client.session.doubt is None


def drive(operation: Operation[None]) -> None:
    with pytest.raises(StopIteration):
        next(operation)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"SSH-2.0-x\r\n", "begins with 'SSH-2.0-x'; try another port"),
        (bytes(range(1, 40)), "begins with 01 02 03 04 05 06 07 08 09 0A 0B 0C; try"),
    ],
)
@pytest.mark.parametrize("scheme", ["tcp", "hdlc", "wrapper"])
def test_octets_of_neither_framing_are_no_meter(scheme: str, octets: bytes, told: str) -> None:
    with pytest.raises(NotDlms, match=told):
        Lines(lambda now: Scripted(lambda data: octets)).client(f"{scheme}://m?timeout=1s").open()


@pytest.mark.parametrize("octets", [b"\x7e\xa0\x07\x03\x03\x00\x00\x00\x7e", b"\x00\x01\x00\x01\x00"])
def test_a_damaged_answer_is_still_that_of_a_meter(octets: bytes) -> None:
    with pytest.raises((NoAnswer, LinkError)):
        Lines(lambda now: Scripted(lambda data: octets)).client("tcp://m?timeout=1s").open()


@pytest.mark.parametrize(
    ("retries", "told"), [(0, "no answer;"), (1, "after 1 repetition;"), (2, "after 2 repetitions;")]
)
def test_silence_is_told_in_words(retries: int, told: str) -> None:
    lines = Lines(lambda now: Scripted(lambda data: b""))
    with pytest.raises(NoAnswer, match=told):
        lines.client(f"hdlc://m?timeout=1s&retries={retries}").open()


def test_auto_asks_no_oftener_than_it_is_told() -> None:
    lines = Lines(lambda now: Scripted(lambda data: b""))
    with pytest.raises(NoAnswer):
        lines.client("tcp://m?timeout=1s&retries=0").open()
    assert lines.now == 2  # once as HDLC, once as wrapper


@pytest.mark.parametrize("url", ["tcp://m", "hdlc://m", "wrapper://m"])
def test_a_silent_meter(url: str) -> None:
    lines = Lines(lambda now: Scripted(lambda data: b""))
    with pytest.raises(NoAnswer, match="port is set to DLMS") as caught:
        lines.client(f"{url}?timeout=1s&retries=3").open()
    assert "\n" not in str(caught.value)
    assert lines.now < 10
    assert all(line._closed for line in lines.lines)


def test_the_wrong_framing_is_told() -> None:
    dm = Frame(b"\x21", ServerAddress(1, 100).encode(), 0x1F).encode()
    with pytest.raises(LinkError, match="try framing=hdlc"):
        Lines(lambda now: Scripted(lambda data: dm)).client("wrapper://m").open()


# --- the endpoint alone -----------------------------------------------------------------------------------


def test_misuse_is_a_local_error() -> None:
    endpoint = ClientEndpoint(Target("m"), "hdlc")
    with pytest.raises(LocalError):
        endpoint.get(GetRequestNormal.decode_body(Reader(bytes(11))).attribute, None, 0.0)
    assert endpoint.next_deadline() is None
    assert endpoint.handle_timeout(5.0) == b""
    assert endpoint.receive_data(b"\x7e\xa0", 5.0) == b""
    octets = endpoint.open(0.0)
    assert octets == bytes.fromhex("7EA00A000200C92193") + octets[9:]
    assert endpoint.busy
    assert endpoint.handle_timeout(1.0) == b"", "not due yet"
    assert endpoint.next_deadline() == 5.0
    assert endpoint.handle_timeout(5.0) == octets, "the SNRM again"


def test_a_request_beyond_the_meters_size_is_not_sent() -> None:
    small = Aare(
        AssociationResult.ACCEPTED, user_information=InitiateResponse(Conformance(0x301C), 12).encode()
    ).encode()
    with over_wrapper(meter(value, small)).client("wrapper://m") as client:
        with pytest.raises(LocalError, match="the meter takes 12"):
            client.get("name")
        assert not client.session.fits(13)
        assert client.session.fits(12)
