"""The server's table, all states and all inputs, and what no input may do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hdlc.builders import AARQ, CLIENT, SERVER, Station, frames

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Event, Frame, Kind, LinkParameters, Secondary
from iondlms.hdlc.secondary import SECONDARY, Input, State

LLC = b"\xe6\xe6\x00"
STIMULI = {
    Input.SNRM: (0x93, b""),
    Input.SNRM_REFUSED: (0x93, bytes.fromhex("818003090180")),
    Input.DISC: (0x53, b""),
    Input.UNPOLLED_MODE: (0x43, b""),
    Input.I: (0x10, LLC + AARQ),
    Input.I_OUT_OF_TURN: (0x12, LLC + AARQ),
    Input.RR: (0x11, b""),
    Input.RNR: (0x15, b""),
    Input.UI: (0x13, LLC + AARQ),
    Input.UNKNOWN: (0x73, b""),  # a response is no command
    Input.NOT_PERMITTED: (0x11, b"\0"),
    Input.TOO_LONG: (0x10, bytes(129)),
    Input.WRONG_NUMBER: (0x31, b""),
}
CONNECTED, DISCONNECTED, LSDU = Event.CONNECTED, Event.DISCONNECTED, Event.LSDU
# What goes out and what is told, by hand from the clauses: (NDM, NRM, REJECTED).
EXPECTED: dict[Input, tuple[tuple[Kind | None, Event | None], ...]] = {
    Input.SNRM: ((Kind.UA, CONNECTED), (Kind.UA, CONNECTED), (Kind.UA, CONNECTED)),
    Input.SNRM_REFUSED: ((Kind.DM, None), (Kind.DM, DISCONNECTED), (Kind.DM, DISCONNECTED)),
    Input.DISC: ((Kind.DM, None), (Kind.UA, DISCONNECTED), (Kind.UA, DISCONNECTED)),
    Input.UNPOLLED_MODE: ((None, None), (None, None), (None, None)),
    Input.I: ((Kind.DM, None), (Kind.I, LSDU), (Kind.FRMR, None)),
    Input.I_OUT_OF_TURN: ((Kind.DM, None), (Kind.RR, None), (Kind.FRMR, None)),
    Input.RR: ((Kind.DM, None), (Kind.RR, None), (Kind.FRMR, None)),
    Input.RNR: ((Kind.DM, None), (Kind.RR, None), (Kind.FRMR, None)),
    Input.UI: ((Kind.DM, None), (Kind.RR, None), (Kind.FRMR, None)),
    Input.UNKNOWN: ((Kind.DM, None), (Kind.FRMR, None), (Kind.FRMR, None)),
    Input.NOT_PERMITTED: ((Kind.DM, None), (Kind.FRMR, None), (Kind.FRMR, None)),
    Input.TOO_LONG: ((Kind.DM, None), (Kind.FRMR, None), (Kind.FRMR, None)),
    Input.WRONG_NUMBER: ((Kind.DM, None), (Kind.FRMR, None), (Kind.FRMR, None)),
}


def station(state: State) -> Station:
    meter = Station()
    if state is not State.NDM:
        meter.talk(Frame(SERVER, CLIENT, 0x93).encode())
    if state is State.REJECTED:
        meter.talk(Frame(SERVER, CLIENT, 0xFF).encode())
    meter.events.clear()
    return meter


def state_of(meter: Station) -> State:
    link = (meter.secondary._links or {}).get(16)
    return State.NDM if link is None else link.state


def test_every_state_answers_every_input() -> None:
    assert set(SECONDARY) == set(itertools.product(State, Input))
    assert set(STIMULI) == set(EXPECTED) == set(Input) - {Input.INACTIVITY}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("received", STIMULI)
def test_row(state: State, received: Input) -> None:
    meter = station(state)
    assert state_of(meter) is state
    control, information = STIMULI[received]
    answer = meter.talk(Frame(SERVER, CLIENT, control, information).encode())
    kind, event = EXPECTED[received][list(State).index(state)]
    assert (Frame.decode(answer).kind if answer else None) is kind
    assert meter.events == ([] if event is None else [(event, 16)])
    assert state_of(meter) is SECONDARY[state, received].state
    assert (len(meter.executed) == 1) is (event is LSDU)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("received", [one for one in STIMULI if one not in (Input.SNRM, Input.DISC)])
def test_row_without_p_is_silent(state: State, received: Input) -> None:
    meter = station(state)
    control, information = STIMULI[received]
    assert meter.talk(Frame(SERVER, CLIENT, control & ~0x10, information).encode()) == b""


@pytest.mark.parametrize("state", State)
def test_inactivity_drops_the_link_in_silence(state: State) -> None:
    meter = station(state)
    assert meter.secondary.abort() == (() if state is State.NDM else (16,))
    assert state_of(meter) is SECONDARY[state, Input.INACTIVITY].state
    assert Frame.decode(meter.talk(Frame(SERVER, CLIENT, 0x11).encode())).kind is Kind.DM
    assert meter.secondary.abort() == ()


OTHERS = "23 03 FF 00020025 00040023 FEFEFEFF 0002FEFF FEFE0023 0002FEFD 00000001 02FF 02FD 0225"


@pytest.mark.parametrize("destination", OTHERS.split())
@pytest.mark.parametrize("control", [0x93, 0x53, 0x11, 0x13, 0xFF, 0x10])
def test_silence_for_what_is_not_ours(destination: str, control: int) -> None:
    meter = station(State.NRM)
    assert meter.secondary.receive(Frame(bytes.fromhex(destination), CLIENT, control)) == (
        b"",
        None,
        0,
        b"",
        "",
    )
    assert state_of(meter) is State.NRM


@pytest.mark.parametrize("source", ["01", "FF", "0021", "00020023"])
def test_silence_for_a_source_that_is_no_client(source: str) -> None:
    secondary = Secondary(17)
    assert secondary.receive(Frame(SERVER, bytes.fromhex(source), 0x93)).octets == b""
    assert secondary.clients == ()


@pytest.mark.parametrize(
    ("unit_id", "short"), [(1, True), (125, True), (126, False), (127, False), (9999, False)]
)
def test_the_two_octet_form_reaches_no_special_address(unit_id: int, short: bool) -> None:
    secondary = Secondary(unit_id)
    octets = bytes((2, (unit_id & 0x7F) << 1 | 1))
    assert bool(secondary.receive(Frame(octets, CLIENT, 0x93)).octets) is short
    answer = secondary.receive(
        Frame(bytes((0, 2, unit_id >> 7 << 1, (unit_id & 0x7F) << 1 | 1)), CLIENT, 0x93)
    )
    assert len(Frame.decode(answer.octets).source) == 4


@pytest.mark.parametrize(
    ("unit_id", "upper"), [(0, 1), (0x3FFF, 1), (0x3FFE, 1), (0x4000, 1), (17, 0), (17, 0x3FFF)]
)
def test_no_meter_has_a_special_address(unit_id: int, upper: int) -> None:
    with pytest.raises(LocalError):
        Secondary(unit_id, upper)


def test_windows_are_one() -> None:
    with pytest.raises(LocalError):
        Secondary(17, parameters=LinkParameters(128, 128, 1, 2))


def test_own_parameters_cut_the_client_s() -> None:
    meter = Station(LinkParameters(64, 48))
    answer = Frame.decode(meter.talk(Frame(SERVER, CLIENT, 0x93, LinkParameters(60, 1000).encode()).encode()))
    assert LinkParameters.decode(answer.information) == LinkParameters(64, 48)
    assert (meter.secondary.max_answer(16), meter.secondary.max_request(16)) == (61, 45)


def test_without_a_link_there_is_nobody_to_answer() -> None:
    secondary = Secondary(17)
    for call in (lambda: secondary.answer(16, b""), lambda: secondary.max_answer(16)):
        with pytest.raises(LocalError):
            call()


@given(st.lists(frames(140), max_size=20), st.data())
def test_any_frames_keep_the_invariants(sent: list[Frame], data: st.DataObject) -> None:
    """DL-00 for whatever comes: one frame at most for each P, well-formed, to the one who asked."""
    meter = station(data.draw(st.sampled_from(State)))
    for frame in sent:
        asked = frame._replace(
            destination=data.draw(st.sampled_from([SERVER, b"\x02\x23", frame.destination])),
            source=data.draw(st.sampled_from([CLIENT, b"\x03", frame.source])),
        )
        answers = Deframer().feed(meter.talk(asked.encode()))
        assert len(answers) <= asked.poll
        for answer in answers:
            assert (answer.destination, answer.source, answer.poll) == (asked.source, SERVER, True)
            assert len(answer.information) <= 128
            assert not answer.segmented


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_random_octets_never_raise(chunks: list[bytes]) -> None:
    meter = station(State.NRM)
    for chunk in chunks:
        meter.talk(chunk)
        meter.talk(b"~" + chunk + b"~")


def test_an_idle_meter_is_small() -> None:
    assert Secondary(17)._links is None
    assert not hasattr(Secondary(17), "__dict__")
