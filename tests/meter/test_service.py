"""Associations: every state and input, rights by SAP, and APDUs of every size allowed."""

from __future__ import annotations

import itertools

import pytest
from tests.meter.bench import (
    AARQ,
    AARQ_LLS,
    ASSOCIATION,
    BILLING,
    CLOCK,
    DEVICE_NAME,
    GET_NAME,
    LOAD_PROFILE,
    SET_TIME,
    Bench,
    get_request,
)

from iondlms.acse.association import SERVER, ServerInput, ServerState
from iondlms.codec.reader import Reader
from iondlms.errors import DataAccessResult
from iondlms.meter.refusals import REFUSALS, Cause
from iondlms.meter.service import SERVICES, Association, LinkLimits
from iondlms.xdlms.apdu import APDU_NAMES, SENT_BY_SERVERS, decode_apdu
from iondlms.xdlms.blocks import BlockJoiner
from iondlms.xdlms.get import GetRequestNext, GetRequestNormal, GetResponseWithDatablock
from iondlms.xdlms.set import SetRequestNormal

HDLC = LinkLimits(125, 125, 0)
TCP = LinkLimits(1024, 0, 0xFFFF)
EXCEPTION = bytes.fromhex("D80102")
LONG = (
    (15, ASSOCIATION, 2),
    (7, LOAD_PROFILE, 2),
    (7, LOAD_PROFILE, 0),
    (7, BILLING, 2),
    (7, BILLING, 3),
    (8, CLOCK, 0),
    (1, DEVICE_NAME, 2),
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("wrapper")


def association(bench: Bench, sap: int = 16) -> Association:
    return Association(bench.meter.application("ETHERNET"), sap)


def ask(one: Association, request: str, limits: LinkLimits = TCP) -> str | None:
    answer = one.handle(bytes.fromhex(request), limits)
    return None if answer is None else answer.hex().upper()


# What the two states do with each input; the inputs are APDUs, but for the last.
_INPUTS = {
    ServerInput.AARQ_ACCEPTED: AARQ_LLS,
    ServerInput.AARQ_REFUSED: AARQ,  # by SAP 1: no password
    ServerInput.AARQ_UNCONFIRMED: "601EA109060760857405080101BE11040F0100010000065F1F0400007E1F04B0",
    ServerInput.RLRQ: "6203800100",
    ServerInput.SERVICE: GET_NAME,
    ServerInput.FOREIGN_SERVICE: "C301C1000F0000280000FF0100",
    ServerInput.SERVER_APDU: "C401C10000",
}
_ANSWERS = {
    "send_aare": "6129A109060760857405080101A203020100",
    "refuse_aare": "6129A109060760857405080101A203020101",
    "send_rlre": "6303800100",
    "serve": "C401C100",
    "send_exception": "D80102",
    "ignore": None,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ServerState, ServerInput)))
def test_every_state_answers_every_input(bench: Bench, state: ServerState, event: ServerInput) -> None:
    one = association(bench, 1)
    if state is ServerState.ASSOCIATED:
        ask(one, AARQ_LLS)
    assert one.associated is (state is ServerState.ASSOCIATED)
    step = SERVER[state, event]
    if event is ServerInput.LINK_LOST:
        one.abort()
    else:
        due = _ANSWERS[step.action]
        answer = ask(one, _INPUTS[event])
        assert answer == due if due is None else answer is not None and answer.startswith(due)
    assert one.associated is (step.state is ServerState.ASSOCIATED)
    assert ask(one, GET_NAME, TCP) != "D80102" or step.state is ServerState.IDLE


def test_the_services_are_those_of_the_profile() -> None:
    assert set(SERVICES) == {GetRequestNormal, GetRequestNext, SetRequestNormal}


@pytest.mark.parametrize("tag", range(256))
def test_every_tag_is_refused_or_served(bench: Bench, tag: int) -> None:
    """Alone, an octet is no whole APDU: an exception, silence for what servers send, a rejected AARQ."""
    one = association(bench)
    ask(one, AARQ)
    answer = one.handle(bytes((tag,)), TCP)
    if tag == 0x60:
        assert answer is not None
        assert answer[0] == 0x61
    elif tag == 0x62:
        assert answer == bytes.fromhex("6303800100")
    elif tag in SENT_BY_SERVERS or tag in (0x61, 0x63):
        assert answer is None
    else:
        assert answer == EXCEPTION
    assert one.associated is (tag not in (0x60, 0x62))


def test_notifications_and_responses_are_the_apdus_of_servers() -> None:
    for tag in (0x0E, 0x0F, 0xC2, 0xC4, 0xC5, 0xC7, 0xD8):
        assert tag in SENT_BY_SERVERS
        assert tag in APDU_NAMES
    for tag in (0xC0, 0xC1, 0xC3, 0xD9, 0xDD, 0xE0, 0x05, 0x06):
        assert tag not in SENT_BY_SERVERS


def test_every_cause_has_its_refusal() -> None:
    assert set(REFUSALS) == set(Cause)


def test_an_empty_apdu_is_nothing(bench: Bench) -> None:
    assert association(bench).handle(b"", TCP) is None


def test_each_association_has_its_own_rights(bench: Bench) -> None:
    public, setter = association(bench, 16), association(bench, 1)
    ask(public, AARQ_LLS)  # a password that nobody asked for gives no right
    ask(setter, AARQ_LLS)
    assert ask(public, SET_TIME) == "D80102"
    assert ask(setter, "C101C1000100002A0000FF0200090141") == "C501C103"
    ask(public, "6203800100")
    assert ask(setter, GET_NAME) != "D80102"


def test_without_set_in_the_association_nothing_is_listed_as_writable(bench: Bench) -> None:
    lists = []
    for aarq in (AARQ_LLS, AARQ_LLS.replace("00007E1F", "0000001004B0"[:8])):
        one = association(bench, 1)
        ask(one, aarq[:-4] + "FFFF")
        lists.append(ask(one, get_request(15, ASSOCIATION, 2)) or "")
    assert lists[0].count("02030F02160300") == 1  # the clock's time, read and write
    assert lists[1].count("02030F02160300") == 0


def test_a_failed_password_takes_the_rights_of_before(bench: Bench) -> None:
    one = association(bench, 1)
    ask(one, AARQ_LLS)
    assert (ask(one, AARQ_LLS.replace("3738", "3739")) or "").startswith(
        "6129A109060760857405080101A203020101A305A10302010D"
    )
    assert ask(one, SET_TIME) == "D80102"


# --- sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [HDLC, TCP], ids=["hdlc", "wrapper"])
def test_requests_up_to_the_announced_size(bench: Bench, limits: LinkLimits) -> None:
    one = association(bench)
    aare = ask(one, AARQ, limits) or ""
    assert aare.endswith(f"{limits.max_request:04X}0007")
    padded = bytes.fromhex(GET_NAME).ljust(limits.max_request, b"\0")
    assert (one.handle(padded, limits) or b"")[:4] == bytes.fromhex("C401C100")
    assert one.handle(padded + b"\0", limits) == bytes.fromhex("D80104")
    assert one.associated


def joined(one: Association, request: str, limits: LinkLimits) -> tuple[bytes, list[int]]:
    """The value and the sizes of the APDUs it came in."""
    answer = one.handle(bytes.fromhex(request), limits) or b""
    sizes = [len(answer)]
    if answer.startswith(bytes.fromhex("C401C100")):
        return answer[4:], sizes
    joiner = BlockJoiner()
    while True:
        block = decode_apdu(Reader(answer))
        assert isinstance(block, GetResponseWithDatablock), answer.hex()
        if not joiner.receive(block):
            break
        answer = one.handle(GetRequestNext(0xC1, joiner.block_number).encode(), limits) or b""
        sizes.append(len(answer))
    assert joiner.complete
    return joiner.octets, sizes


@pytest.mark.parametrize("size", range(12, 141))
def test_every_client_size_gives_the_same_values(bench: Bench, size: int) -> None:
    for limits, most in ((HDLC, min(size, 125)), (TCP, size)):
        one = association(bench)
        assert (ask(one, f"{AARQ[:-4]}{size:04X}", limits) or "")[:4] == "6129"
        for class_id, name, attribute in LONG:
            request = get_request(class_id, name, attribute)
            value, sizes = joined(one, request, limits)
            assert max(sizes) <= most
            assert value == expected(bench, request)
            # All blocks but the last are as full as the length's own octets let them be.
            assert all(length in (most, most - 1) for length in sizes[:-1])


_VALUES: dict[str, bytes] = {}


def expected(bench: Bench, request: str) -> bytes:
    """The value in one APDU, which nothing has cut."""
    if request not in _VALUES:
        one = association(bench)
        ask(one, AARQ[:-4] + "FFFF")
        value, sizes = joined(one, request, TCP)
        assert len(sizes) == 1
        _VALUES[request] = value
    return _VALUES[request]


def test_clients_of_less_than_12_octets_are_refused(bench: Bench) -> None:
    for size in range(1, 12):
        assert (ask(association(bench), f"{AARQ[:-4]}{size:04X}") or "").endswith("0E010603")


@pytest.mark.parametrize("information", [32, 33, 40, 64, 100, 127])
def test_small_information_fields(information: int) -> None:
    """The largest APDU shrinks with the information field, either way, and nothing goes missing."""
    bench = Bench()
    value = bench_value(bench)
    bench.snrm(f"8180120501{information:02X}0601{information:02X}070400000001080400000001")
    bench.information = information
    # The AARQ is longer than a frame of 32: the client segments it, as it must.
    lsdu = bytes.fromhex("E6E600" + AARQ)
    for begin in range(0, len(lsdu), information):
        segment, more = lsdu[begin : begin + information], begin + information < len(lsdu)
        control = 0x10 | bench.send_number << 1
        bench.send_number += 1
        answer = bench.frames(bench.send(bench.frame(control, segment, segmented=more)))
    aare, segmented = answer[0][1], answer[0][2]
    bench.receive_number = 1
    while segmented:
        ((_, part, segmented),) = bench.frames(bench.send(bench.receive_ready()))
        bench.receive_number = (bench.receive_number + 1) & 7
        aare += part
    assert aare[-4:].hex() == f"{information - 3:04x}0007"
    bench.answers.clear()
    assert bench.read(15, ASSOCIATION) == value
    assert {len(block) for block in bench.answers[:-1]} == {information - 3}


def bench_value(bench: Bench) -> bytes:
    other = Bench("wrapper")
    other.meter = bench.meter
    other.connect()
    other.associate(AARQ[:-4] + "FFFF")
    return other.read(15, ASSOCIATION)


@pytest.mark.parametrize(
    ("receive", "due"), [(128, 125), (32, 29)], ids=["their transmit size", "their receive size"]
)
def test_each_direction_has_its_own_size(receive: int, due: int) -> None:
    """05 is what the client sends at most, 06 what it takes: only 06 limits our answers."""
    bench = Bench()
    bench.snrm(f"8180060501200601{receive:02X}")
    bench.information = receive
    lsdu = bytes.fromhex("E6E600" + AARQ)
    bench.send(bench.frame(0x10, lsdu[:32], segmented=True))
    answer = bench.frames(bench.send(bench.frame(0x12, lsdu[32:])))
    assert answer[0][2] is (receive == 32)
    if receive == 128:
        assert answer[0][1][-4:].hex() == "001d0007"  # what we take shrinks with what they send
        bench.send_number, bench.receive_number = 2, 1
        bench.read(15, ASSOCIATION)
        assert max(map(len, bench.answers)) == due


# --- segments or blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0x40, 0x80, 0x200, 0xFFFF, 0])
def test_segments_keep_the_size_of_the_client(size: int) -> None:
    """`long_answers = "segment"`: one APDU up to the client's size, in blocks of that size beyond it."""
    bench = Bench("hdlc", 16, (("long_answers", "segment"),))
    value = bench_value(bench)
    bench.snrm()
    bench.associate(f"{AARQ[:-4]}{size:04X}")
    bench.answers.clear()
    assert bench.read(15, ASSOCIATION) == value
    if size in (0, 0xFFFF):
        assert [len(answer) for answer in bench.answers] == [len(value) + 4]
    else:
        assert {len(answer) for answer in bench.answers[:-1]} == {size}


def test_a_size_of_ffff_is_a_limit_and_0_is_none() -> None:
    settings = (("long_answers", "segment"), ("history", 2000))
    for size, count in (("FFFF", 2), ("0000", 1)):
        bench = Bench("hdlc", 16, settings)
        bench.snrm()
        bench.associate(AARQ[:-4] + size)
        bench.answers.clear()
        value = bench.read(7, LOAD_PROFILE)
        assert 0xFFFF < len(value) < 2 * 0xFFFF
        assert len(bench.answers) == count
        assert count == 1 or max(map(len, bench.answers)) == 0xFFFF


def test_no_wpdu_is_longer_than_its_length_field() -> None:
    bench = Bench("wrapper", 16, (("history", 2000),))
    bench.associate(AARQ[:-4] + "0000")
    bench.answers.clear()
    assert len(bench.read(7, LOAD_PROFILE)) > 0xFFFF
    assert max(map(len, bench.answers)) == 0xFFFF


def test_refusals_of_data_access_are_the_errors_own() -> None:
    """One answer for each `AccessError`; object-undefined alone is a setting."""
    for result in (3, 4):
        bench = Bench("wrapper", 16, (("unknown_object", result),))
        bench.associate()
        answer = bench.apdu(get_request(3, "1-1:99.99.9*255", 2))
        assert answer == bytes((0xC4, 1, 0xC1, 1, result))
        answer = bench.apdu(get_request(3, CLOCK, 2))
        assert answer == bytes((0xC4, 1, 0xC1, 1, DataAccessResult.OBJECT_CLASS_INCONSISTENT))
