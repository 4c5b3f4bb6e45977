"""The client's table, all states and all inputs, and the published session from its side."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hdlc.builders import AARE, AARQ, CLIENT, GET_NAME, LIST, NAME, SERVER, frames, published

from iondlms.errors import LocalError
from iondlms.hdlc import Control, Event, Frame, Kind, LinkParameters, Primary, Reaction, ServerAddress
from iondlms.hdlc.frame import POLL, _built, build
from iondlms.hdlc.primary import PRIMARY, Input, State

LLC = b"\xe6\xe7\x00"
ADDRESS = ServerAddress(1, 17)
SILENCE = Reaction()


def response(
    control: int, information: bytes = b"", segmented: bool = False, source: bytes = SERVER
) -> Frame:
    return Frame(CLIENT, source, control, information, segmented)


UA = response(0x73)


def link(state: State, tries: int = 3, max_lsdu: int = 1000, repeated_llc: bool = False) -> Primary:
    """A link in a state: in WAITING, V(S)=1 and V(R)=0; in RECEIVING, V(R)=1."""
    primary = Primary(16, ADDRESS, tries=tries, max_lsdu=max_lsdu, repeated_llc=repeated_llc)
    if state is State.NDM:
        return primary
    primary.connect()
    if state is State.CONNECTING:
        return primary
    primary.receive(UA)
    if state is State.DISCONNECTING:
        primary.disconnect()
    if state in (State.WAITING, State.RECEIVING):
        primary.send(GET_NAME)
    if state is State.RECEIVING:
        primary.receive(response(0x30, LLC + NAME[:5], segmented=True))
    assert primary.state is state
    return primary


# (control, information, S) by state, where V(S) and V(R) differ: idle, waiting, receiving.
STIMULI: dict[Input, tuple[tuple[int, bytes, bool], ...]] = {
    Input.UA: ((0x73, b"", False),) * 3,
    Input.UA_BAD: ((0x73, b"\x81\x80\x09", False),) * 3,
    Input.DM: ((0x1F, b"", False),) * 3,
    Input.FRMR: ((0x97, b"\x10\x00\x04", False),) * 3,
    Input.I_LAST: ((0x10, LLC + NAME, False), (0x30, LLC + NAME, False), (0x32, NAME[5:], False)),
    Input.I_MORE: ((0x10, LLC + NAME, True), (0x30, LLC + NAME, True), (0x32, NAME[5:], True)),
    # While receiving, all we sent is acknowledged: the row stands for completeness.
    Input.I_STALE: ((0x10, LLC + NAME, False),) * 2,
    Input.I_REPEATED: ((0x1E, LLC + NAME, False), (0x3E, LLC + NAME, False), (0x30, LLC + NAME, False)),
    Input.I_STRANGE: ((0x10, b"\xe6\xe8\x00", False), (0x30, b"", False), (0x32, bytes(1000), False)),
    Input.RR: ((0x11, b"", False), (0x31, b"", False), (0x31, b"", False)),
    Input.RR_MISSED: ((0x11, b"", False),) * 2,
    Input.RNR: ((0x15, b"", False), (0x35, b"", False), (0x35, b"", False)),
    Input.UI: ((0x03, LLC + b"event", False),) * 3,
    Input.WRONG_NUMBER: ((0x71, b"", False),) * 3,
    Input.UNKNOWN: ((0xBF, b"", False),) * 3,
}
NO: None = None
BUSY, FAILED, LSDU = Event.BUSY, Event.FAILED, Event.LSDU
CONNECTED, DISCONNECTED, UNNUMBERED = Event.CONNECTED, Event.DISCONNECTED, Event.UNNUMBERED
# The event, or the kind of the frame that goes out, by hand; columns as in `State`:
# NDM, CONNECTING, NRM, WAITING, RECEIVING, DISCONNECTING.
EXPECTED: dict[Input, tuple[Event | Kind | None, ...]] = {
    Input.UA: (NO, CONNECTED, NO, NO, NO, DISCONNECTED),
    Input.UA_BAD: (NO, FAILED, NO, NO, NO, DISCONNECTED),
    Input.DM: (NO, FAILED, DISCONNECTED, DISCONNECTED, DISCONNECTED, DISCONNECTED),
    Input.FRMR: (NO, NO, FAILED, FAILED, FAILED, NO),
    Input.I_LAST: (NO, NO, NO, LSDU, LSDU, NO),
    Input.I_MORE: (NO, NO, NO, Kind.RR, Kind.RR, NO),
    Input.I_STALE: (NO, NO, NO, NO, NO, NO),
    Input.I_REPEATED: (NO, NO, NO, NO, NO, NO),
    Input.I_STRANGE: (NO, NO, NO, FAILED, FAILED, NO),
    Input.RR: (NO, NO, NO, BUSY, BUSY, NO),
    Input.RR_MISSED: (NO, NO, NO, NO, NO, NO),
    Input.RNR: (NO, NO, NO, BUSY, BUSY, NO),
    Input.UI: (UNNUMBERED,) * 6,
    Input.WRONG_NUMBER: (NO, NO, FAILED, FAILED, FAILED, NO),
    Input.UNKNOWN: (NO, NO, NO, NO, NO, NO),
    Input.TIMEOUT: (NO, Kind.SNRM, NO, Kind.RR, Kind.RR, Kind.DISC),
    Input.EXHAUSTED: (NO, FAILED, NO, FAILED, FAILED, DISCONNECTED),
}


def outcome(reaction: Reaction) -> Event | Kind | None:
    assert not (reaction.octets and reaction.event)
    return Frame.decode(reaction.octets).kind if reaction.octets else reaction.event


def test_every_state_answers_every_input() -> None:
    assert set(PRIMARY) == set(itertools.product(State, Input))
    assert set(EXPECTED) == set(Input)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("received", STIMULI)
def test_row(state: State, received: Input) -> None:
    primary = link(state, max_lsdu=200)
    place = {State.WAITING: 1, State.RECEIVING: 2}.get(state, 0)
    if place == len(STIMULI[received]):
        assert PRIMARY[state, received].action == "ignore"
        return
    frame = response(*STIMULI[received][place])
    if place:  # elsewhere the numbers tell less
        assert primary._classify(frame) is received
    reaction = primary.receive(frame)
    assert outcome(reaction) is EXPECTED[received][list(State).index(state)]
    assert primary.state is PRIMARY[state, received].state
    assert (reaction.reason != "") is (reaction.event is FAILED)
    assert reaction.client == (16 if reaction.event else 0)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("received", [Input.TIMEOUT, Input.EXHAUSTED])
def test_row_of_a_silence(state: State, received: Input) -> None:
    primary = link(state, tries=1 if received is Input.TIMEOUT else 0)
    reaction = primary.timeout()
    assert outcome(reaction) is EXPECTED[received][list(State).index(state)]
    assert primary.state is PRIMARY[state, received].state


def test_published_session() -> None:
    """The session composed for this profile, from the client's side: what is sent, octet for octet."""
    steps = [row.octets for row in published() if row.meaning.startswith("composed session")]
    assert len(steps) == 8
    primary = Primary(16, ADDRESS)
    assert primary.connect() == steps[0]
    assert primary.receive(Frame.decode(steps[1])) == Reaction(b"", Event.CONNECTED, 16)
    assert primary.send(AARQ) == steps[2]
    assert primary.receive(Frame.decode(steps[3])) == Reaction(b"", Event.LSDU, 16, AARE)
    assert primary.send(GET_NAME) == steps[4]
    assert primary.receive(Frame.decode(steps[5])) == Reaction(b"", Event.LSDU, 16, NAME)
    assert primary.disconnect() == steps[6]
    assert primary.receive(Frame.decode(steps[7])) == Reaction(b"", Event.DISCONNECTED, 16)


def test_published_segments_and_requests() -> None:
    """A capture with an answer in two segments (wireshark-dlms), one-octet addresses."""
    rows = {row.octets: row for row in published()}
    first = next(octets for octets in rows if octets.startswith(bytes.fromhex("7EA889")))
    second = next(octets for octets in rows if octets.startswith(bytes.fromhex("7EA0170303DC")))
    ready = next(octets for octets in rows if octets == bytes.fromhex("7EA0070303D19A707E"))
    primary = Primary(1, ServerAddress(1, None, 1))
    primary.connect()
    primary.receive(
        Frame.decode(bytes.fromhex("7EA01E03037340CC818012050180060180070400000001080400000001533B7E"))
    )
    for number in range(5):
        primary.send(GET_NAME)
        control = (number + 1) << 5 | 0x10 | number << 1
        assert primary.receive(Frame(b"\x03", b"\x03", control, LLC + NAME)).event is LSDU
    primary.send(GET_NAME)
    assert primary.receive(Frame.decode(first)).octets == ready
    reaction = primary.receive(Frame.decode(second))
    assert reaction.lsdu == (Frame.decode(first).information + Frame.decode(second).information)[3:]


def test_parameters_are_stated_where_they_are_not_the_defaults() -> None:
    primary = Primary(16, ADDRESS, LinkParameters(64, 64))
    snrm = Frame.decode(primary.connect())
    assert LinkParameters.decode(snrm.information) == LinkParameters(64, 64)
    primary.receive(response(0x73, LinkParameters(2000, 48).encode()))
    assert (primary.negotiated, primary.max_request) == (LinkParameters(48, 64), 45)


@pytest.mark.parametrize(
    "information",
    ["", "818000", "818014 05020080 06020080 070400000001 080400000001", "81800C 050180 060180 070101 080101",
     "81800F 050400000080 060400000080 070101"],
)  # fmt: skip
def test_all_forms_of_ua(information: str) -> None:
    primary = Primary(16, ADDRESS)
    primary.connect()
    assert (
        primary.receive(response(0x73, bytes.fromhex(information))).event is CONNECTED
        or information[4:6] == "10"
    )
    assert primary.max_request == 125


def test_requests_longer_than_a_frame() -> None:
    primary = link(State.NRM)
    sent = Frame.decode(primary.send(LIST))
    information = sent.information
    assert (sent.control, sent.segmented, len(information)) == (0x10, True, 128)
    number = 1
    while sent.segmented:
        sent = Frame.decode(primary.receive(response(number << 5 | 0x11)).octets)
        assert sent.control == 0x10 | number << 1
        information += sent.information
        number += 1
    assert information == b"\xe6\xe6\x00" + LIST
    assert primary.receive(response(number << 5 | 0x11)).event is BUSY
    assert Frame.decode(primary.poll()).control == 0x11
    assert primary.receive(response(number << 5 | 0x10, LLC + NAME)).lsdu == NAME


def test_a_doubled_rr_does_not_double_a_segment() -> None:
    primary = link(State.NRM)
    primary.send(LIST)
    primary.timeout()
    assert Frame.decode(primary.receive(response(0x31)).octets).control == 0x12
    assert primary.receive(response(0x31)) == SILENCE


def test_an_answer_before_the_request_is_whole_ends_it() -> None:
    primary = link(State.NRM)
    primary.send(LIST)
    assert primary.receive(response(0x30, LLC + NAME)).lsdu == NAME
    assert not primary._transfer.unsent
    primary.send(LIST)
    assert (
        Frame.decode(primary.receive(response(0x52, LLC + NAME[:5], segmented=True)).octets).control == 0x51
    )
    assert primary.receive(response(0x54, NAME[5:])).lsdu == NAME


def test_a_new_connection_proposes_anew() -> None:
    primary = link(State.CONNECTING)
    primary.receive(response(0x73, LinkParameters(48, 48).encode()))
    assert primary.max_request == 45
    primary.connect()
    assert primary.negotiated == LinkParameters()


def test_segments_can_be_switched_off() -> None:
    primary = Primary(16, ADDRESS, segment_requests=False)
    primary.connect()
    primary.receive(UA)
    with pytest.raises(LocalError):
        primary.send(bytes(126))
    assert len(Frame.decode(primary.send(bytes(125))).information) == 128


@pytest.mark.parametrize("state", [state for state in State if state is not State.NRM])
def test_calls_in_the_wrong_state(state: State) -> None:
    with pytest.raises(LocalError):
        link(state).send(GET_NAME)
    if state not in (State.WAITING, State.RECEIVING):
        with pytest.raises(LocalError):
            link(state).poll()


def test_lost_request_is_sent_again() -> None:
    primary = Primary(16, ADDRESS)
    primary.connect()
    primary.receive(UA)
    sent = primary.send(GET_NAME)
    assert Frame.decode(primary.timeout().octets).control == 0x11
    assert primary.receive(response(0x11)).octets == sent
    # A second RR without another time-out is a doubled frame: nothing is sent for it.
    assert primary.receive(response(0x11)) == SILENCE
    assert primary.receive(response(0x30, LLC + NAME)).lsdu == NAME


def test_lost_answer_is_fetched() -> None:
    primary = link(State.WAITING)
    assert Frame.decode(primary.timeout().octets).control == 0x11
    assert primary.receive(response(0x30, LLC + NAME)).lsdu == NAME
    assert primary.receive(response(0x30, LLC + NAME)) == SILENCE


def test_a_server_that_repeats_its_last_answer_gets_the_request_again() -> None:
    primary = link(State.WAITING)
    primary.receive(response(0x30, LLC + NAME))
    sent = primary.send(GET_NAME)
    assert primary.receive(response(0x30, LLC + NAME)) == SILENCE
    primary.timeout()
    assert primary.receive(response(0x30, LLC + NAME)).octets == sent


def test_an_answer_to_something_else_is_counted_and_dropped() -> None:
    primary = link(State.WAITING)
    assert primary.receive(response(0x10, LLC + b"old")) == SILENCE
    assert Frame.decode(primary.timeout().octets).control == 0x31
    again = Frame.decode(primary.receive(response(0x11)).octets)
    assert (again.control, again.information) == (0x30, b"\xe6\xe6\x00" + GET_NAME)
    assert primary.receive(response(0x32, LLC + NAME)).lsdu == NAME


def test_tries_count_silences_in_a_row() -> None:
    primary = link(State.WAITING, tries=2)
    assert primary.timeout().octets
    assert primary.timeout().octets
    assert primary.receive(response(0x30, LLC + NAME[:5], segmented=True)).octets
    assert primary.timeout().octets
    assert primary.timeout().octets
    assert primary.timeout().event is FAILED
    assert primary.state is State.NDM
    assert primary.timeout() == SILENCE


def test_segments_without_f_wait_for_the_one_with_it() -> None:
    primary = link(State.WAITING)
    assert primary.receive(response(0x20, LLC + NAME[:5], segmented=True)) == SILENCE
    assert primary.receive(response(0x32, NAME[5:])).lsdu == NAME


def test_repeated_llc_is_a_quirk() -> None:
    for quirk, expected in ((False, NAME[:5] + LLC + NAME[5:]), (True, NAME)):
        primary = link(State.RECEIVING, repeated_llc=quirk)
        assert primary.receive(response(0x32, LLC + NAME[5:])).lsdu == expected


def test_an_endless_answer_fails() -> None:
    primary = link(State.RECEIVING, max_lsdu=300)
    reaction = SILENCE
    for number in range(1, 4):
        reaction = primary.receive(response(0x30 | number << 1, bytes(128), segmented=True))
    assert (reaction.event, reaction.reason) == (FAILED, "the answer is longer than 300 octets")


def test_the_reason_of_an_frmr_is_told() -> None:
    assert "information too long" in link(State.WAITING).receive(response(0x97, b"\x10\x00\x04")).reason
    assert link(State.WAITING).receive(response(0x97)).reason == "the server sent FRMR: nothing"


@pytest.mark.parametrize("source", [b"\x02\x23", b"\x03"])
def test_the_server_may_write_its_address_in_another_length(source: bytes) -> None:
    for option in (False, True):
        primary = Primary(16, ADDRESS, any_address_length=option)
        primary.connect()
        assert (primary.receive(response(0x73, source=source)).event is CONNECTED) is option


@pytest.mark.parametrize(
    "frame",
    [
        UA._replace(destination=b"\x03"),
        UA._replace(source=b"\x00\x02\x00\x25"),
        UA._replace(destination=SERVER),
    ],
)
def test_frames_of_others_do_nothing(frame: Frame) -> None:
    for option in (False, True):
        primary = Primary(16, ADDRESS, any_address_length=option)
        primary.connect()
        assert primary.receive(frame) == SILENCE
        assert primary.state is State.CONNECTING


def test_the_numbers_start_again_with_each_snrm() -> None:
    primary = link(State.WAITING)
    primary.receive(response(0x30, LLC + NAME))
    primary.connect()
    assert primary.receive(UA).event is CONNECTED
    assert Frame.decode(primary.send(GET_NAME)).control == 0x10


def test_illegal_arguments() -> None:
    with pytest.raises(LocalError):
        Primary(0, ADDRESS)
    with pytest.raises(LocalError):
        Primary(16, ADDRESS, LinkParameters(128, 128, 2, 1))


@given(st.sampled_from(State), st.lists(st.one_of(st.none(), frames(40)), max_size=20), st.data())
def test_any_frames_keep_the_invariants(
    state: State, received: list[Frame | None], data: st.DataObject
) -> None:
    primary = link(state, repeated_llc=data.draw(st.booleans()))
    for frame in received:
        if frame is None:
            reaction = primary.timeout()
        else:
            information = data.draw(st.sampled_from([frame.information, LLC + frame.information]))
            reaction = primary.receive(response(frame.control, information, frame.segmented))
        if reaction.octets:
            sent = Frame.decode(reaction.octets)
            assert (sent.destination, sent.source, sent.poll) == (SERVER, CLIENT, True)
            assert reaction.event is None
        if primary.state is State.NRM and data.draw(st.booleans()):
            primary.send(data.draw(st.binary(max_size=300)))


@pytest.mark.parametrize("size", [32, 40, 60, 128])
def test_no_part_of_a_long_request_is_kept_when_it_has_gone(size: int) -> None:
    # An AARQ with a password, whole or in segments: what is built again for a fleet must not hold it.
    _built.cache_clear()
    station = Primary(16, ServerAddress(1, 17))
    station.connect()
    station.receive(Frame(CLIENT, SERVER, Control.UA | POLL, LinkParameters(size, size).encode()))
    before = _built.cache_info().currsize
    octets = station.send(bytes(42))
    assert octets
    while octets and station._transfer.unsent:
        received = Frame(CLIENT, SERVER, station._transfer.send_number << 5 | POLL | Control.RR)
        octets = station.receive(received).octets
    assert _built.cache_info().currsize == before
    assert _built(CLIENT, SERVER, 0x10, b"short") == build(CLIENT, SERVER, 0x10, b"short")
    assert _built.cache_info().maxsize is not None
