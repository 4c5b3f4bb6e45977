from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports.reading import endpoint, make_meter

from iondlms.errors import LocalError
from iondlms.hdlc import Frame
from iondlms.ports.endpoint import HearsCarrier, SteersLine
from iondlms.ports.hayes import EndOfCall, HangUp, Result, ResultReader, command
from iondlms.ports.modem import MODEM, AnswerHours, ModemEndpoint, ModemInput, ModemSetup, ModemState

INIT = ModemSetup().init.encode() + b"\r"
SNRM = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
ATA = b"ATA\r"


def say(text: str) -> bytes:
    return f"\r\n{text}\r\n".encode()


def make(rings: Callable[[float], int] = lambda now: 2, **setup: str | float) -> ModemEndpoint:
    return ModemEndpoint(endpoint(make_meter()), ModemSetup(**setup), 0.0, rings)  # type: ignore[arg-type]


def in_state(state: ModemState) -> ModemEndpoint:
    """Return a modem that has come to a state the way it does."""
    modem = make()
    assert modem.handle_timeout(0.0) == INIT
    if state is ModemState.INITIALIZING:
        return modem
    modem.receive_data(say("OK"), 0.1)
    if state is ModemState.WAITING:
        return modem
    assert modem.receive_data(say("RING"), 1.0) == b""
    assert modem.receive_data(say("RING"), 7.0) == ATA
    if state is ModemState.ANSWERING:
        return modem
    modem.receive_data(say("CONNECT 9600"), 9.0)
    if state is ModemState.ONLINE:
        return modem
    assert modem.configure(19200, 10.0) == b""
    return modem


def bring(modem: ModemEndpoint, received: ModemInput) -> bytes:
    """Bring an input about, in whatever state; b"" where it cannot happen there."""
    now = 20.0
    match received:
        case ModemInput.TIMEOUT:
            modem._deadline = modem._deadline and now
            return modem.handle_timeout(now) if modem._deadline else b""
        case ModemInput.LAST_RING:
            modem._rung = 1
            return modem.receive_data(say("RING"), now)
        case ModemInput.CARRIER_LOST:
            return modem.carrier_is(True, now) + modem.carrier_is(False, now)
        case ModemInput.ESCAPE:
            return modem.receive_data(b"+++ATH\r", now)
        case ModemInput.BAUD_CHANGE:
            return modem.configure(19200, now)
        case ModemInput.IDLE:
            return modem.handle_timeout(500.0) if modem.state is ModemState.ONLINE else b""
        case ModemInput.HUNG_UP:
            return b""
        case ModemInput.OTHER:
            return modem.receive_data(say("NMBR = 5551234"), now)
        case ModemInput.ENDED:
            return modem.receive_data(say("NO CARRIER"), now)
        case _:
            return modem.receive_data(say(received.name.replace("_", " ")), now)


def test_every_state_answers_every_input() -> None:
    assert set(MODEM) == set(itertools.product(ModemState, ModemInput))


@pytest.mark.parametrize("state", list(ModemState), ids=lambda state: state.name)
@pytest.mark.parametrize("received", list(ModemInput), ids=lambda received: received.name)
def test_the_table_is_what_happens(state: ModemState, received: ModemInput) -> None:
    modem = in_state(state)
    if received in (ModemInput.HUNG_UP, ModemInput.IDLE, ModemInput.TIMEOUT) or (
        # Of a call that is being ended the hang-up listens to the modem.
        state is ModemState.HANGING_UP
    ):
        return  # the tests below
    octets = bring(modem, received)
    action, after = MODEM[state, received]
    assert modem.state is after
    expected = {"initialize": INIT, "answer": ATA}.get(action, b"")
    assert octets == expected


def hung_up(modem: ModemEndpoint, now: float, *, answer: bytes = b"") -> float:
    """Let a modem end its call; return when the init string was sent."""
    assert modem.state is ModemState.HANGING_UP
    assert not modem.wanted.terminal_ready
    said = []
    for _ in range(10):
        deadline = modem.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
        said.append(modem.handle_timeout(now))
        if said[-1] in (b"+++", b"ATH\r") and answer:
            said.append(modem.receive_data(answer, now))
        if said[-1].startswith(b"AT&F"):
            break
    assert modem.wanted.terminal_ready
    assert b"+++" in said
    assert b"ATH\r" in said
    assert modem.state is ModemState.INITIALIZING
    return now


def test_inactivity_ends_the_call() -> None:
    modem = in_state(ModemState.ONLINE)
    assert Frame.decode(modem.receive_data(SNRM, 10.0)).control == 0x73
    deadline = 0.0
    while not modem.idle:
        deadline = modem.next_deadline() or 1000.0
        modem.handle_timeout(deadline)
    assert deadline == pytest.approx(130.0)
    assert modem.state is ModemState.HANGING_UP
    now = hung_up(modem, deadline, answer=say("OK"))
    assert modem.receive_data(say("OK"), now + 1) == b""
    # Ready for the next call.
    modem.receive_data(say("RING"), now + 2)
    assert modem.receive_data(say("RING"), now + 8) == ATA
    modem.receive_data(say("CONNECT"), now + 10)
    assert Frame.decode(modem.receive_data(SNRM, now + 11)).control == 0x73
    assert modem.calls == 2


def test_a_modem_that_says_nothing_while_hanging_up() -> None:
    modem = in_state(ModemState.HANGING_UP)
    assert modem.wanted.baud == 9600  # at which the modem listens, until the call is over
    hung_up(modem, 20.0)
    assert modem.wanted.baud == 19200  # the baud that it was to change to


def test_dtr_is_enough_where_it_ends_the_call() -> None:
    modem = in_state(ModemState.HANGING_UP)
    assert modem.receive_data(say("NO CARRIER"), 10.2) == b""
    assert not modem.wanted.terminal_ready  # its second is kept
    assert modem.handle_timeout(11.1) == b""
    assert modem.wanted.terminal_ready
    assert modem.handle_timeout(11.3) == b""
    assert modem.state is ModemState.INITIALIZING
    # The init string goes out when DTR is up again, and not together with it.
    assert modem.handle_timeout(11.5) == INIT


def test_the_init_string_is_sent_until_the_modem_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    modem = make()
    assert modem.handle_timeout(0.0) == INIT
    assert modem.next_deadline() == 5.0
    assert modem.handle_timeout(4.9) == b""
    assert modem.handle_timeout(5.0) == INIT
    with caplog.at_level(logging.WARNING):
        for start in (5.0, 36.0, 67.0):
            assert modem.receive_data(say("ERROR"), start) == b""
            assert modem.next_deadline() == start + 30.0
            assert modem.handle_timeout(start + 30.0) == INIT
    assert len(caplog.records) == 1  # said once
    modem.receive_data(say("OK"), 100.0)
    assert modem.state is ModemState.WAITING
    assert modem.configure(19200, 101.0) == b""
    assert modem.wanted.baud == 19200
    assert modem.handle_timeout(101.1) == b""
    assert modem.handle_timeout(101.2) == INIT  # at the new baud, and not before it


def test_rings_are_counted_and_forgotten() -> None:
    modem = make(lambda now: 3)
    modem.handle_timeout(0.0)
    modem.receive_data(say("OK"), 0.1)
    assert [modem.receive_data(say("RING"), at) for at in (1.0, 7.0)] == [b"", b""]
    assert modem.next_deadline() == 15.0
    modem.handle_timeout(15.0)  # the caller has given up
    assert modem.next_deadline() is None
    assert [modem.receive_data(say("RING"), at) for at in (20.0, 26.0, 32.0)] == [b"", b"", ATA]


def test_no_rings_no_answer() -> None:
    modem = make(lambda now: 0)
    modem.handle_timeout(0.0)
    modem.receive_data(say("OK"), 0.1)
    assert {modem.receive_data(say("RING"), 1.0 + 6 * ring) for ring in range(50)} == {b""}


@pytest.mark.parametrize("said", ["OK\r", "0\r", "\r\nOK\r\n", "AT&F0\r\r\nOK\r\n"])
def test_words_numbers_and_its_own_echo(said: str) -> None:
    modem = make()
    modem.handle_timeout(0.0)
    modem.receive_data(said.encode(), 0.1)
    assert modem.state is ModemState.WAITING


@given(st.lists(st.integers(0, 200), max_size=12))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    said = say("OK") + say("RING") + say("NMBR = 123") + say("RING") + say("CONNECT 9600/ARQ") + SNRM
    places = sorted({cut % (len(said) + 1) for cut in cuts} | {0, len(said)})
    modem = make()
    modem.handle_timeout(0.0)
    answer = b"".join(
        modem.receive_data(said[start:end], 0.01 + 0.001 * start) for start, end in itertools.pairwise(places)
    )
    assert answer.startswith(ATA)
    assert Frame.decode(answer[len(ATA) :]).control == 0x73


@given(st.lists(st.tuples(st.binary(max_size=100), st.floats(0, 10)), max_size=20))
def test_noise_never_raises_and_is_recovered_from(noise: list[tuple[bytes, float]]) -> None:
    modem = make()
    now = 0.0
    for octets, pause in noise:
        now += pause
        modem.receive_data(octets, now)
        modem.carrier_is(bool(octets), now)
        deadline = modem.next_deadline()
        if deadline is not None and deadline <= now:
            modem.handle_timeout(now)
    modem.configure(9600, now)
    for _ in range(20):
        if modem.state is ModemState.INITIALIZING:
            break
        now = max(now, modem.next_deadline() or now)
        modem.handle_timeout(now)
    modem.receive_data(say("OK"), now)
    assert modem.state is ModemState.WAITING


def test_nothing_is_kept_of_a_line_without_end() -> None:
    reader = ResultReader()
    for _ in range(1000):
        reader.feed(b"A" * 1000)
    assert len(reader._held) <= 80


@pytest.mark.parametrize(
    ("octets", "silence", "end"),
    [
        (b"\r\nNO CARRIER\r\n", 0.0, Result.NO_CARRIER),
        (b"7E NO CARRIER 7E", 0.0, None),
        (b"+++ATH\r", 2.0, Result.OTHER),
        (b"+++ATH0\r", 2.0, Result.OTHER),
        (b"+++ATH\r", 0.5, None),
        (b"~+++ATH\r", 2.0, None),
    ],
)
def test_the_end_of_a_call(octets: bytes, silence: float, end: Result | None) -> None:
    for cut in range(len(octets)):
        watch = EndOfCall(0.0)
        assert watch.receive(b"~~", 0.1) is None
        now = 0.1 + silence
        first = watch.receive(octets[:cut], now) if cut else None
        assert (first or watch.receive(octets[cut:], now)) is end


TEXT = Frame(
    b"\x21", bytes.fromhex("000200C9"), 0x30, b"\xe6\xe7\x00\nNO CARRIER\rNO CARRIER\r~NO CARRIER\r"
).encode()


def test_a_frame_may_carry_the_words() -> None:
    for cut in range(len(TEXT) + 1):
        watch = EndOfCall(0.0)
        assert watch.receive(b"~", 0.1) is None
        assert watch.receive(TEXT[:cut], 0.2) is None
        assert watch.receive(TEXT[cut:], 0.3) is None
        assert watch.receive(b"", 5.0) is None
        assert watch.receive(TEXT + TEXT[:3], 5.1) is None
        assert watch.receive(TEXT[3:], 5.2) is None
        assert watch.receive(b"NO CARRIER\r\n", 5.3) is Result.NO_CARRIER


def test_a_call_that_ends_within_a_frame_has_ended_with_the_silence_behind() -> None:
    for cut in range(3, len(TEXT) - 1):
        watch = EndOfCall(0.0)
        first = watch.receive(TEXT[:cut] + b"\r\nNO CARRIER\r\n", 0.2)
        assert Result.NO_CARRIER in (first, watch.receive(b"", 2.0))
    modem = in_state(ModemState.ONLINE)
    assert modem.receive_data(TEXT[:12] + say("NO CARRIER"), 10.0) == b""
    deadline = modem.next_deadline()
    assert deadline is not None
    assert deadline < 12.0
    modem.handle_timeout(deadline)
    assert modem.state is not ModemState.ONLINE


def test_the_escape_may_take_its_time() -> None:
    watch = EndOfCall(0.0)
    assert watch.receive(b"+++", 2.0) is None
    assert watch.receive(b"ATH\r", 3.5) is Result.OTHER


@pytest.mark.parametrize(("minute", "rings"), [(0, 1), (359, 1), (360, 5), (1319, 5), (1320, 1), (1439, 1)])
def test_answer_hours_over_midnight(minute: int, rings: int) -> None:
    assert AnswerHours(22 * 60, 6 * 60, rings_within=1, rings_outside=5).rings(minute) == rings
    assert AnswerHours(rings_within=3, rings_outside=5).rings(minute) == 3


@pytest.mark.parametrize(
    "make_it",
    [
        lambda: ModemSetup(init="AT" + "X" * 46),
        lambda: ModemSetup(init="X"),
        lambda: ModemSetup(init="AT\r"),
        lambda: ModemSetup(init="ATä"),
        lambda: AnswerHours(1440),
        lambda: AnswerHours(rings_within=100),
    ],
)
def test_settings_that_no_meter_has(make_it: Callable[[], object]) -> None:
    with pytest.raises(LocalError):
        make_it()


def test_the_longest_init_string() -> None:
    assert len(command(ModemSetup(init="AT" + "X" * 45).init, 47)) == 48


def test_a_hang_up_always_ends() -> None:
    for said in (b"", say("OK"), say("ERROR"), say("NO CARRIER"), b"noise", SNRM):
        hang_up = HangUp(9600)
        now = 0.0
        hang_up.start(now)
        for _ in range(5):
            if hang_up.done:
                break
            hang_up.receive_data(said, now)
            now = max(now, hang_up.next_deadline())
            hang_up.handle_timeout(now)
        assert hang_up.done, said
        assert hang_up.wanted.terminal_ready
        assert now < 10


def test_the_protocols() -> None:
    assert isinstance(make(), SteersLine)
    assert isinstance(make(), HearsCarrier)


def test_a_modem_that_falls_back_to_commands_is_told_to_hang_up() -> None:
    hang_up = HangUp(9600, over=True)
    hang_up.start(0.0)
    hang_up.receive_data(say("OK"), 0.1)  # &D1: DTR ends no call
    said = []
    now = 0.0
    while not hang_up.done:
        now = hang_up.next_deadline()
        said.append(hang_up.handle_timeout(now))
    assert [octets for octets in said if octets] == [b"\rATH\r", b"AT\r", b"+++", b"ATH\r"]
    assert now < 12
