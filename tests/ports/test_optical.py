"""The sign-on of mode E. Messages: IEC 62056-21 6.3.1, 6.3.2 and 6.3.3, written with their parity."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports.reading import endpoint, expected, make_meter, read

from iondlms.errors import LocalError, PortError
from iondlms.hdlc import Frame
from iondlms.later import Later
from iondlms.ports.endpoint import AsyncLine, Endpoint, SteersLine
from iondlms.ports.line import Pace
from iondlms.ports.memory import AsyncNullModem, Fault, FaultKind, Faults, NullModem
from iondlms.ports.optical import (
    SIGN_ON,
    AsyncOpticalTransport,
    OpticalTransport,
    SignOnEndpoint,
    SignOnSetup,
    SignOnState,
)
from iondlms.ports.parity import add_parity
from iondlms.ports.sign_on import (
    BAUD_CODES,
    READER,
    Identification,
    Messages,
    NoSignOn,
    ReaderState,
    SignOn,
    SignOnInput,
    SignOnOptions,
    acknowledge,
    baud_code,
    chosen_baud,
    request,
    requested_address,
)

ION: Identification = Identification("SCH", 9600, "ION8650")
SNRM = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
DISC = Frame(bytes.fromhex("000200C9"), b"\x21", 0x53).encode()


def on_line(text: str) -> bytes:
    return add_parity(text.encode("ascii"))


VECTORS = [  # (octets with parity, what makes them, source)
    ("AF 3F 21 8D 0A", request(""), "6.3.1: / ? ! CR LF"),
    ("AF 3F B1 B2 33 21 8D 0A", request("123"), "6.3.1: / ? 123 ! CR LF"),
    ("06 B2 35 B2 8D 0A", acknowledge(9600), "6.3.3 and annex E: ACK 2 5 2 CR LF"),
    (
        "AF 53 C3 48 35 5C B2 C9 CF 4E B8 36 35 30 8D 0A",
        ION.encode(),
        r"6.3.2: / SCH 5 \2 ION8650 CR LF",
    ),
]


@pytest.mark.parametrize(("octets", "made", "source"), VECTORS)
def test_vector(octets: str, made: bytes, source: str) -> None:
    assert made == bytes.fromhex(octets), source
    for octet in made:
        assert octet.bit_count() % 2 == 0


def test_messages_are_read_back() -> None:
    (line,) = Messages().feed(ION.encode())
    assert line is not None
    assert Identification.decode(line) == ION
    assert requested_address(b"/?00123!") == "123"
    assert requested_address(b"/?!") == ""
    assert requested_address(b"/?1/2!") is None
    assert [chosen_baud(f"\x062{code}2".encode()) for code in BAUD_CODES] == list(BAUD_CODES.values())
    # Data readout, programming, normal procedure, no baud of the table.
    assert {chosen_baud(line) for line in (b"\x06250", b"\x06251", b"\x06052", b"\x062A2")} == {None}
    # Mode B names its baud by a letter and has no HDLC.
    assert Identification.decode(b"/SCHEION8650") is None
    plain = Identification.decode(b"/LGZ4ZMD3104")
    assert plain == Identification("LGZ", 4800, "ZMD3104", hdlc=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: baud_code(14400),
        lambda: request("a!b"),
        lambda: request("1" * 33),
        lambda: Identification("SC", 9600),
        lambda: Identification("SCH", 9600, "a" * 17),
        lambda: Identification("SCH", 9600, "a/b"),
        lambda: SignOnSetup(ION, address="!"),
        lambda: SignOnOptions(address="\n"),
        lambda: SignOnOptions(max_baud=1234),
    ],
)
def test_what_cannot_be_sent(make: Callable[[], object]) -> None:
    with pytest.raises(LocalError):
        make()


def test_every_state_answers_every_input() -> None:
    assert set(SIGN_ON) == set(itertools.product(SignOnState, SignOnInput))
    assert set(READER) == set(itertools.product(ReaderState, SignOnInput))


# --- the meter's side -----------------------------------------------------------------------------------


def make(confirm: bool = True, address: str = "0042") -> SignOnEndpoint:
    return SignOnEndpoint(endpoint(make_meter()), SignOnSetup(ION, address, confirm))


def offered(setup: SignOnEndpoint, now: float = 0.0) -> SignOnEndpoint:
    assert setup.receive_data(on_line("/?!\r\n"), now) == ION.encode()
    return setup


# What brings each input about, over the line or by time.
INPUTS: dict[SignOnInput, bytes] = {
    SignOnInput.REQUEST: on_line("/?42!\r\n"),
    SignOnInput.OTHER_REQUEST: on_line("/?43!\r\n"),
    SignOnInput.IDENTIFICATION: ION.encode(),
    SignOnInput.ACKNOWLEDGE: on_line("\x06252\r\n"),
    SignOnInput.WRONG_ACKNOWLEDGE: on_line("\x06250\r\n"),
    SignOnInput.BAD: bytes.fromhex("AF 3F 20 8D 0A"),
}


@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize("received", INPUTS, ids=lambda received: received.name)
def test_the_table_is_what_happens(received: SignOnInput, confirm: bool) -> None:
    for state in (SignOnState.START, SignOnState.OFFERED):
        meter = make(confirm)
        if state is SignOnState.OFFERED:
            offered(meter)
        answer = meter.receive_data(INPUTS[received], 1.0)
        action, after = SIGN_ON[state, received]
        assert meter.state is after
        said = {"offer": ION.encode(), "confirm": acknowledge(9600) if confirm else b""}
        assert answer == said.get(action, b"")
        assert meter.wanted.baud == (9600 if after is SignOnState.HDLC else 300)
        assert meter.idle is (after is SignOnState.START)


@pytest.mark.parametrize("wrong", ["\x06262", "\x06292", "\x06251", "\x06052", "\x06252x", "\x06", "\x062Z2"])
def test_a_wrong_acknowledge_returns_to_the_start(wrong: str) -> None:
    meter = offered(make())
    assert meter.receive_data(on_line(wrong + "\r\n"), 1.0) == b""
    assert meter.state is SignOnState.START
    assert meter.wanted.baud == 300
    offered(meter, 2.0)


@pytest.mark.parametrize("baud", [300, 600, 1200, 2400, 4800, 9600])
def test_any_baud_up_to_the_one_offered_can_be_chosen(baud: int) -> None:
    meter = offered(make())
    assert meter.receive_data(acknowledge(baud), 1.0) == acknowledge(baud)
    assert meter.wanted.baud == baud
    assert Frame.decode(meter.receive_data(SNRM, 2.0)).control == 0x73


def test_time_outs_return_to_the_start() -> None:
    meter = offered(make())
    deadline = meter.next_deadline()
    assert deadline is not None
    # The identification takes 16 characters of 10 bits at 300 baud, then there are 5 s.
    assert deadline == pytest.approx(16 / 30 + 5.0)
    assert meter.handle_timeout(deadline - 0.001) == b""
    assert not meter.idle
    meter.handle_timeout(deadline)
    assert meter.idle
    assert meter.next_deadline() is None
    assert meter.receive_data(acknowledge(9600), deadline + 1) == b""
    assert meter.state is SignOnState.START


def test_half_a_message_is_forgotten_after_a_second_and_a_half() -> None:
    for timer in (True, False):
        meter = make()
        meter.receive_data(on_line("/?12"), 0.0)
        assert meter.next_deadline() == pytest.approx(1.5)
        if timer:
            meter.handle_timeout(1.5)
        assert meter.receive_data(on_line("!\r\n"), 1.6) == b""
        offered(meter, 2.0)


def wait(meter: SignOnEndpoint) -> float:
    """Let time pass until the meter is at the start; return when that is."""
    now = 0.0
    for _ in range(10):
        deadline = meter.next_deadline()
        if deadline is None:
            break
        now = deadline
        meter.handle_timeout(now)
    assert meter.state is SignOnState.START
    return now


def test_inactivity_ends_the_session() -> None:
    meter = offered(make())
    meter.receive_data(acknowledge(9600) + SNRM, 1.0)
    assert wait(meter) == pytest.approx(121.0)
    assert meter.wanted.baud == 300
    offered(meter, 122.0)


def test_after_disc_it_waits_a_little_and_goes_back() -> None:
    meter = offered(make())
    meter.receive_data(acknowledge(9600), 1.0)
    assert meter.receive_data(SNRM, 2.0)
    assert meter.receive_data(DISC, 3.0)
    # A reader that clears first and connects then keeps its baud.
    assert meter.receive_data(SNRM, 7.9)
    meter.handle_timeout(9.5)
    assert meter.wanted.baud == 9600
    assert meter.receive_data(DISC, 15.0)
    assert wait(meter) == pytest.approx(20.0)
    assert meter.wanted.baud == 300


def test_a_disc_that_is_answered_later_is_one_too() -> None:
    """Behind a SET that waits for the disk: the meter went back after its inactivity time-out only."""

    class Slow(Silent):
        def receive_data(self, data: bytes, now: float) -> bytes:
            self.later = Later()
            return b""

        def next_deadline(self) -> float | None:
            return 0.0 if self.later is not None and self.later.done else 1000.0

        def handle_timeout(self, now: float) -> bytes:
            if self.later is None or not self.later.done:
                return b""
            self.later = None
            return bytes.fromhex("7EA00A0002002321735A72957E")

    made: list[Slow] = []

    def slow(_: float) -> Slow:
        made.append(Slow())
        return made[-1]

    meter = offered(SignOnEndpoint(slow, SignOnSetup(ION)))
    meter.receive_data(acknowledge(9600), 1.0)
    assert meter.receive_data(DISC[:5], 2.0) == meter.receive_data(DISC[5:], 3.0) == b""
    (endpoint,) = made
    assert meter.later is endpoint.later is not None
    endpoint.later.settle()
    assert meter.handle_timeout(4.0)
    assert wait(meter) == pytest.approx(9.0)
    assert meter.wanted.baud == 300


# What a reader that signs on at 300 baud is to a port at 9600: nothing, or octets that make no frame.
NOISE = st.one_of(
    st.binary(max_size=20).map(lambda octets: octets.replace(b"~", b"")),
    st.sampled_from([request(""), acknowledge(9600), ION.encode(), b"\0", b"~", b"~~\xff"]),
)


@given(st.lists(st.tuples(NOISE, st.floats(0.1, 3)), max_size=80))
def test_noise_keeps_it_from_300_baud_not_a_moment_longer(noise: list[tuple[bytes, float]]) -> None:
    for said, due in ((SNRM + DISC, 6.0), (SNRM, 121.0), (b"", 121.0)):
        meter = offered(make())
        meter.receive_data(acknowledge(9600) + said, 1.0)
        now = 1.0
        for octets, pause in noise:
            while (deadline := meter.next_deadline()) is not None and deadline <= now + pause:
                meter.handle_timeout(deadline)
                if meter.state is SignOnState.START:
                    break
            now += pause
            if meter.state is SignOnState.START or now >= due:
                break
            assert meter.receive_data(octets, now) == b""
        assert meter.state is SignOnState.HDLC or now + 3 > due
        while meter.state is not SignOnState.START:
            deadline = meter.next_deadline()
            assert deadline is not None
            assert deadline <= due + 1e-6
            meter.handle_timeout(deadline)
        assert meter.wanted.baud == 300


def test_only_a_link_ends_the_wait_behind_disc() -> None:
    asking = Frame(bytes.fromhex("000200C9"), b"\x21", 0x11).encode()  # RR
    others = Frame(bytes.fromhex("000200CB"), b"\x21", 0x93).encode()
    for said, answer in ((asking, 0x1F), (others, None)):
        meter = offered(make())
        meter.receive_data(acknowledge(9600) + SNRM + DISC, 1.0)
        got = meter.receive_data(said, 3.0)
        assert (Frame.decode(got).control if got else None) == answer  # DM
        assert wait(meter) == pytest.approx(6.0)


def test_half_a_frame_does_not_hide_a_disc() -> None:
    meter = offered(make())
    meter.receive_data(acknowledge(9600) + SNRM, 1.0)
    meter.receive_data(b"~\xa0\x7d\x00", 2.0)
    assert meter.receive_data(DISC, 4.0)  # RxTimeout has thrown the half frame away
    assert wait(meter) == pytest.approx(9.0)


def test_a_reader_that_comes_at_once_again_is_answered() -> None:
    line, meter, options = joined()
    for _ in range(2):
        transport = OpticalTransport.connect(line, options)
        transport.send(SNRM)
        while len(transport.receive(transport.now() + 1)):
            pass
        transport.send(DISC)
        while len(transport.receive(transport.now() + 1)):
            pass
    assert meter.wanted.baud == 9600


def test_a_large_chunk_takes_time_that_grows_with_it() -> None:
    copied = 0

    class Counted(bytes):
        def __getitem__(self, key):  # type: ignore[no-untyped-def]
            nonlocal copied
            got = bytes.__getitem__(self, key)
            copied += len(got) if isinstance(got, bytes) else 1
            return Counted(got) if isinstance(got, bytes) else got

    make().receive_data(Counted(b"\n" * 4096), 1.0)
    assert copied < 4 * 4096


@given(st.lists(st.integers(0, 60), max_size=10))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    said = b"\0\0" + on_line("/?!\r\n\x06252\r\n") + SNRM
    places = sorted({cut % (len(said) + 1) for cut in cuts} | {0, len(said)})
    meter = make()
    answer = b"".join(
        meter.receive_data(said[start:end], 0.01 * start) for start, end in itertools.pairwise(places)
    )
    assert answer.startswith(ION.encode() + acknowledge(9600))
    assert Frame.decode(answer[len(ION.encode()) + 6 :]).control == 0x73


@given(st.lists(st.tuples(st.binary(max_size=80), st.floats(0, 3)), max_size=20))
def test_noise_never_raises_and_is_recovered_from(noise: list[tuple[bytes, float]]) -> None:
    meter = make()
    now = 0.0
    for octets, pause in noise:
        now += pause
        meter.receive_data(octets, now)
        deadline = meter.next_deadline()
        if deadline is not None and deadline <= now:
            meter.handle_timeout(now)
    while meter.state is not SignOnState.START:
        deadline = meter.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
        meter.handle_timeout(now)
    offered(meter, now + 2.0)


def test_a_line_without_end_is_not_kept() -> None:
    messages = Messages()
    for _ in range(1000):
        messages.feed(on_line("/" + "A" * 100))
    assert len(messages._held) <= 41


# --- the reader's side, and both ------------------------------------------------------------------------

PACE = Pace(300, turnaround_s=0.2)


def joined(
    faults: Faults | None = None, *, confirm: bool = True, pace: Pace = PACE, **options: int | str
) -> tuple[NullModem, SignOnEndpoint, SignOnOptions]:
    meter = make(confirm)
    assert isinstance(meter, SteersLine)
    return NullModem(meter, faults, pace=pace), meter, SignOnOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize("echo", [True, False])
def test_a_meter_is_read_through_the_sign_on(confirm: bool, echo: bool) -> None:
    lines: list[NullModem] = []

    def connect() -> OpticalTransport:
        line, _, options = joined(Faults(echo=echo), confirm=confirm)
        lines.append(line)
        return OpticalTransport.connect(line, options)

    assert read(connect) == expected()
    assert len(lines) == 1
    # At 300 baud alone it would take minutes.
    assert lines[0].now() < 20


async def test_the_same_for_asyncio() -> None:
    line, meter, _ = joined()
    transport = await AsyncOpticalTransport.connect(AsyncNullModem(line))
    assert transport.identification == ION
    assert meter.state is SignOnState.HDLC
    await transport.send(SNRM)
    answer = b""
    while len(answer) < 3 or not answer.endswith(b"~"):
        answer += await transport.receive(transport.now() + 5)
    assert Frame.decode(answer).control == 0x73
    await transport.close()
    silent: AsyncLine = AsyncNullModem(NullModem(Silent(), pace=PACE))
    with pytest.raises(PortError, match="nothing answers"):
        await AsyncOpticalTransport.connect(silent)


def test_a_lower_baud_is_chosen_and_an_address_named() -> None:
    line, meter, options = joined(max_baud=2400, address="42")
    transport = OpticalTransport.connect(line, options)
    assert transport.identification == ION
    assert meter.wanted.baud == 2400
    transport.send(SNRM)
    answer = b""
    while len(answer) < 3 or not answer.endswith(b"~"):
        answer += transport.receive(transport.now() + 5)
    assert Frame.decode(answer).control == 0x73


def test_another_meter_stays_silent() -> None:
    line, meter, options = joined(address="43", tries=2)
    with pytest.raises(PortError, match="nothing answers at 300 baud"):
        OpticalTransport.connect(line, options)
    assert meter.state is SignOnState.START
    with pytest.raises(PortError):
        line.send(b"x")  # closed


class Silent:
    idle = closed = False
    later: Later | None = None

    def receive_data(self, data: bytes, now: float) -> bytes:
        return b""

    def next_deadline(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> bytes:
        return b""


class Says(Silent):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def receive_data(self, data: bytes, now: float) -> bytes:
        return self._answer if data.endswith(b"\n") else b""


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        (Silent(), "nothing answers"),
        (Says(ION.encode()[:-4] + b"\xfe\x8d\x0a"), "cannot be read"),
        (Says(ION.encode()), "repeats its identification"),
        (Says(on_line("/SCHEMODEB\r\n")), "cannot be read"),
    ],
)
def test_a_sign_on_that_fails_says_how(meter: Endpoint, message: str) -> None:
    line = NullModem(meter, pace=PACE)
    with pytest.raises(PortError, match=message):
        OpticalTransport.connect(line)
    assert line.now() < 20


async def test_the_octets_of_a_sign_on_can_be_watched() -> None:
    seen: list[tuple[str, bytes]] = []

    def watch(direction: str, octets: bytes, now: float) -> None:
        assert now == pytest.approx(line.now())
        if seen and seen[-1][0] == direction == "RX":
            octets = seen.pop()[1] + octets
        seen.append((direction, octets))

    whole = [
        ("TX", request("")),
        ("RX", ION.encode()),
        ("TX", acknowledge(9600)),
        ("RX", acknowledge(9600)),
    ]
    line, _, _ = joined()
    OpticalTransport.connect(line, watch=watch)
    assert seen == whole
    seen.clear()
    line, _, _ = joined()
    await AsyncOpticalTransport.connect(AsyncNullModem(line), watch=watch)
    assert seen == whole
    seen.clear()
    line = NullModem(Silent(), pace=PACE)
    with pytest.raises(NoSignOn, match=r"try without mode_e.* 2 minutes"):
        OpticalTransport.connect(line, watch=watch)
    assert seen == [("TX", request(""))] * 3


@pytest.mark.parametrize("kind", [FaultKind.DAMAGE, FaultKind.DROP, FaultKind.DOUBLE])
@pytest.mark.parametrize("to_meter", [True, False])
def test_any_single_fault_is_got_over(kind: FaultKind, to_meter: bool) -> None:
    for at in range(11 if to_meter else 22):
        fault = {at: Fault(kind, b"\x04")}
        line, meter, options = joined(Faults(fault, {}) if to_meter else Faults({}, fault))
        try:
            OpticalTransport.connect(line, options)
        except PortError:
            continue  # said clearly; which of both it is depends on the octet
        # A reader that believes in the sign-on and a meter that does not part within the acknowledge time.
        if meter.wanted.baud == 300:
            line.wait(10)
            assert meter.state is SignOnState.START


def test_the_readers_dialogue_takes_any_cut() -> None:
    said = ION.encode()
    for cut in range(len(said)):
        reader = SignOn()
        assert reader.start(0.0) == request("")
        octets = reader.receive_data(said[:cut], 1.0) + reader.receive_data(said[cut:], 1.1)
        assert octets == acknowledge(9600)
        assert reader.receive_data(acknowledge(9600), 2.0) == b""
        assert reader.wanted.baud == 9600
        assert not reader.done
        reader.handle_timeout(reader.next_deadline())
        assert reader.done
        assert reader.error is None


@given(st.lists(st.binary(max_size=60), max_size=10), st.randoms(use_true_random=False))
def test_the_reader_never_raises_and_always_ends(noise: list[bytes], random: object) -> None:
    reader = SignOn()
    reader.start(0.0)
    now = 0.0
    for octets in noise:
        reader.receive_data(octets, now)
    for _ in range(10):
        if reader.done:
            break
        now = max(now, reader.next_deadline())
        reader.handle_timeout(now)
    assert reader.done
    assert (reader.error is None) == (reader.state is ReaderState.SETTLING)
