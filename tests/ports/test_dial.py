from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports.reading import endpoint, expected, make_meter, read
from tests.ports.telephone import AsyncCallingLine, CallingLine, HayesModem, Network, Subscriber

from iondlms.errors import LocalError, PortError
from iondlms.ports.dial import (
    DIAL,
    AsyncModemTransport,
    Dial,
    DialInput,
    DialSetup,
    DialState,
    ModemTransport,
)
from iondlms.ports.dialogue import converse
from iondlms.ports.endpoint import LineState
from iondlms.ports.hayes import Result, ResultReader
from iondlms.ports.modem import ModemEndpoint, ModemSetup, ModemState

NUMBER = "5551234"
UA = bytes.fromhex("7E A0 0A 21 00 02 00 C9 73 5A 0E 7E")  # a frame of some meter; its check is not looked at


class Call:
    """A client's modem and a meter's on one network."""

    def __init__(self, pins: bool = True, rings: int = 1) -> None:
        self.network = Network()
        self.modem = HayesModem(self.network, "1", pins)
        self.called = HayesModem(self.network, NUMBER, pins)
        self.meter = ModemEndpoint(endpoint(make_meter()), ModemSetup(), 0.0, lambda now: rings)
        Subscriber(self.called, self.meter)
        self.network.run(1.0)
        self.line = CallingLine(self.modem)

    def hung_up(self) -> bool:
        """Whether nobody is online, and the meter ready again."""
        self.network.run(self.network.now + 15)
        return self.modem.peer is None and self.called.peer is None and self.meter.state is ModemState.WAITING


def setup(**more: str | float) -> DialSetup:
    return DialSetup(NUMBER, **more)  # type: ignore[arg-type]


def test_every_state_answers_every_input() -> None:
    assert set(DIAL) == set(itertools.product(DialState, DialInput))


@pytest.mark.parametrize("pins", [True, False])
def test_a_meter_is_read_over_two_modems(pins: bool) -> None:
    call = Call(pins, rings=2)
    assert read(lambda: ModemTransport.connect(call.line, setup())) == expected()
    assert call.hung_up()
    assert call.network.rings == 2
    assert call.line.closed == 1
    assert call.modem.commands[:2] == [setup().init, "ATD" + NUMBER]
    assert call.called.commands[0] == ModemSetup().init
    assert "ATA" in call.called.commands
    # The next call finds it ready.
    call.line = CallingLine(call.modem)
    assert read(lambda: ModemTransport.connect(call.line, setup())) == expected()
    assert call.meter.calls == 2


@pytest.mark.parametrize("word", ["BUSY", "NO ANSWER", "NO CARRIER", "NO DIALTONE", "ERROR"])
def test_a_call_is_tried_again(word: str) -> None:
    call = Call()
    call.network.say_to_caller = [word, word]
    start = call.network.now
    with ModemTransport.connect(call.line, setup(back_off_s=10.0)) as transport:
        # 10 s, then 20 s, and the calls themselves.
        assert 30 < transport.now() - start < 50
    assert call.hung_up()


@pytest.mark.parametrize("word", ["BUSY", "NO ANSWER", "NO CARRIER", "NO DIALTONE", "ERROR", ""])
def test_and_given_up_in_the_modems_words(word: str) -> None:
    call = Call()
    call.network.say_to_caller = [word] * 3
    said = word or "no connection within 60 s"
    with pytest.raises(PortError, match=f"no connection to {NUMBER}: {said} \\(3 tries\\)"):
        ModemTransport.connect(call.line, setup(retries=2))
    assert call.line.closed == 1
    assert "ATH" in call.modem.commands
    assert call.hung_up()


def test_a_modem_that_refuses_the_init_string() -> None:
    call = Call()
    call.modem.refuse = True
    with pytest.raises(PortError, match="does not take AT&F"):
        ModemTransport.connect(call.line, setup(retries=0))


@pytest.mark.parametrize("word", ["ERROR unknown command", "+CME ERROR: 4"])
def test_errors_with_more_behind_them(word: str) -> None:
    assert ResultReader().feed(f"\r\n{word}\r\n".encode()) == ([Result.ERROR], b"")


def test_a_modem_that_is_switched_off() -> None:
    call = Call()
    call.modem.deaf = True
    start = call.network.now
    with pytest.raises(PortError, match="the modem does not answer"):
        ModemTransport.connect(call.line, setup(retries=1))
    assert call.network.now - start < 60
    assert call.line.closed == 1


def test_a_call_that_was_left_behind_is_ended_first() -> None:
    call = Call(pins=False)
    ModemTransport.connect(call.line, setup())  # and its program died
    second = CallingLine(call.modem)
    with ModemTransport.connect(second, setup(back_off_s=40.0)):
        assert "+++" not in "".join(call.modem.commands)
    assert call.meter.calls == 2


@pytest.mark.parametrize("after", [0.5, 1.5, 3.0, 7.5, 8.05, 8.2])
@pytest.mark.parametrize("pins", [True, False])
def test_an_interrupted_call_is_hung_up(after: float, pins: bool) -> None:
    call = Call(pins, rings=2)
    call.line.interrupt_at = call.network.now + after
    with pytest.raises(KeyboardInterrupt):
        read(lambda: ModemTransport.connect(call.line, setup()))
    assert call.line.closed == 1
    call.network.run(call.network.now + 60)  # what rings still gives up
    assert call.hung_up()


def test_closing_twice_hangs_up_once() -> None:
    call = Call()
    transport = ModemTransport.connect(call.line, setup())
    transport.close()
    commands = list(call.modem.commands)
    transport.close()
    assert call.modem.commands == commands
    assert call.line.closed == 1
    assert [state.terminal_ready for state in call.line.states] == [True, True, False, True]


def test_a_dead_line_is_closed_all_the_same() -> None:
    call = Call()
    transport = ModemTransport.connect(call.line, setup())
    call.line.closed = 1  # the adapter was pulled
    with pytest.raises(PortError):
        transport.send(b"x")
    transport.close()
    assert call.line.closed == 2


def test_the_other_end_hangs_up() -> None:
    for pins in (True, False):
        call = Call(pins)
        transport = ModemTransport.connect(call.line, setup())
        call.network.at(5.0, call.called.hang_up)
        with pytest.raises(PortError, match="has hung up"):
            transport.receive(transport.now() + 30)
        transport.close()
        assert call.hung_up()


def test_a_call_that_is_over_is_not_escaped_from() -> None:
    for word in (b"\r\nNO CARRIER\r\n", b""):
        call = Call(pins=not word)
        transport = ModemTransport.connect(call.line, setup())
        transport.receive(transport.now() + 1)
        call.modem.peer = None
        call.modem.online = False
        call.modem.say(word)
        with pytest.raises(PortError, match="has hung up"):
            transport.receive(transport.now() + 1)
        ended = transport.now()
        transport.close()
        assert call.modem.commands[-2:] == ["ATD" + NUMBER, "ATH"]
        # DTR's second, and the answer to ATH.
        assert transport.now() - ended < 2.0


@pytest.mark.parametrize("pins", [True, False])
def test_a_call_that_only_seems_to_be_over_is_hung_up(pins: bool) -> None:
    call = Call(pins)
    transport = ModemTransport.connect(call.line, setup())
    transport.receive(transport.now() + 1)
    call.modem.say(b"\r\nNO CARRIER\r\n")  # what the other end wrote between two frames
    with pytest.raises(PortError, match="has hung up"):
        transport.receive(transport.now() + 1)
    transport.close()
    assert call.hung_up()


@pytest.mark.parametrize("pins", [True, False])
def test_a_caller_cannot_talk_the_meter_out_of_hanging_up(pins: bool) -> None:
    call = Call(pins)
    transport = ModemTransport.connect(call.line, setup())
    transport.send(b"\r\nNO CARRIER\r\n")
    assert call.hung_up()


def test_the_words_of_the_modem_can_be_watched() -> None:
    seen: list[tuple[str, bytes]] = []

    def watch(direction: str, octets: bytes, now: float) -> None:
        assert now <= call.network.now
        seen.append((direction, octets))

    call = Call()
    transport = ModemTransport.connect(call.line, setup(), watch)
    assert [direction for direction, _ in seen[:2]] == ["TX", "RX"]
    assert b"ATD" + NUMBER.encode() + b"\r" in [octets for direction, octets in seen if direction == "TX"]
    assert b"CONNECT" in seen[-1][1]
    call.network.at(5.0, call.called.hang_up)
    with pytest.raises(PortError, match="has hung up"):
        transport.receive(transport.now() + 30)
    assert b"NO CARRIER" in seen[-1][1]
    transport.close()
    assert seen[-2:] == [("TX", b"\rATH\r"), ("RX", b"\r\nOK\r\n")]


def test_what_stands_behind_connect_is_watched_once() -> None:
    seen: list[bytes] = []
    said = [b"OK\r\n", b"CONNECT\r\n~~"]
    dial = Dial(setup())

    class Line:
        def now(self) -> float:
            return 0.0

        def send(self, octets: bytes) -> None:
            pass

        def receive(self, deadline: float | None) -> bytes:
            return said.pop(0)

        def configure(self, state: LineState) -> None:
            pass

        def carrier(self) -> bool | None:
            return None

        def close(self) -> None:
            pass

    assert converse(dial, Line(), lambda _way, octets, _now: seen.append(octets)) == b"~~"
    assert seen[-1] == b"CONNECT\r\n"


@pytest.mark.parametrize(
    "before", [b"", UA, UA + b"\r\n"], ids=["at once", "behind a frame", "on its own line"]
)
def test_a_modem_says_so_in_any_form(before: bytes) -> None:
    call = Call()
    transport = ModemTransport.connect(call.line, setup())
    start = transport.now()
    if before:
        call.modem.say(before)
        assert transport.receive(start + 30) == before
    call.modem.say(b"NO CARRIER\r\n")
    with pytest.raises(PortError, match="has hung up"):
        transport.receive(start + 30)
    assert transport.now() == start


def test_the_carrier_falls_without_a_word() -> None:
    call = Call()
    transport = ModemTransport.connect(call.line, setup())
    assert transport.receive(transport.now() + 1) == b""
    call.modem.peer = None
    with pytest.raises(PortError, match="has hung up"):
        transport.receive(transport.now() + 1)


def test_a_meter_hangs_up_on_silence() -> None:
    call = Call()
    transport = ModemTransport.connect(call.line, setup())
    start = transport.now()
    with pytest.raises(PortError, match="has hung up"):
        transport.receive(start + 200)
    assert 119 < transport.now() - start < 130
    assert call.hung_up()


async def test_the_same_for_asyncio() -> None:
    call = Call()
    line = AsyncCallingLine(call.line)
    async with await AsyncModemTransport.connect(line, setup()) as transport:
        await transport.send(b"~")
        assert await transport.receive(transport.now() + 1) == b""
        call.network.at(5.0, call.called.hang_up)
        with pytest.raises(PortError, match="has hung up"):
            await transport.receive(transport.now() + 30)
    await transport.close()
    assert call.line.closed == 1
    assert call.hung_up()
    call.network.say_to_caller = ["BUSY"]
    again = AsyncCallingLine(CallingLine(call.modem))
    with pytest.raises(PortError, match="BUSY"):
        await AsyncModemTransport.connect(again, setup(retries=0))
    assert again.line.closed == 1


@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 20)), max_size=20))
def test_a_dialogue_never_raises_and_always_ends(said: list[tuple[bytes, float]]) -> None:
    dial = Dial(setup())
    now = 0.0
    dial.start(now)
    for octets, pause in said:
        now += pause
        dial.receive_data(octets, now)
        dial.handle_timeout(now)
    for _ in range(20):
        if dial.done:
            break
        now = max(now, dial.next_deadline())
        dial.handle_timeout(now)
    assert dial.done
    assert dial.state is DialState.ENDED


@given(st.lists(st.integers(0, 60), max_size=8))
def test_any_cut_of_the_modems_words(cuts: list[int]) -> None:
    said = b"AT&F\r\r\nOK\r\n\r\nCONNECT 9600\r\n~~\xa0"
    places = sorted({cut % (len(said) + 1) for cut in cuts} | {0, len(said)})
    dial = Dial(setup())
    dial.start(0.0)
    for start, end in itertools.pairwise(places):
        if dial.done:
            dial.rest += said[start:end]
        else:
            dial.receive_data(said[start:end], 0.1)
    assert dial.done
    assert dial.rest.lstrip(b"\n") == b"~~\xa0"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DialSetup(""),
        lambda: DialSetup("555\r"),
        lambda: DialSetup("home"),
        lambda: DialSetup("1", init="hello"),
        lambda: DialSetup("1", retries=-1),
        lambda: DialSetup("1", back_off_s=-1.0),
    ],
)
def test_calls_that_cannot_be(make: Callable[[], object]) -> None:
    with pytest.raises(LocalError):
        make()
