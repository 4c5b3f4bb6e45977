"""The null modem itself: time that jumps, and each fault at each octet."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.errors import PortError
from iondlms.ports.memory import AsyncNullModem, Fault, FaultKind, Faults, NullModem


class Parrot:
    """An endpoint that answers every chunk with the same, and notes what came when."""

    idle = False

    def __init__(self, wakes: tuple[float, ...] = (), closes_after: int | None = None) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.woken: list[float] = []
        self._wakes = list(wakes)
        self._closes_after = closes_after

    @property
    def octets(self) -> bytes:
        return b"".join([octets for _, octets in self.heard])

    later = None

    @property
    def closed(self) -> bool:
        return self._closes_after is not None and len(self.heard) >= self._closes_after

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.heard.append((now, data))
        return data

    def next_deadline(self) -> float | None:
        return self._wakes[0] if self._wakes else None

    def handle_timeout(self, now: float) -> bytes:
        self.woken.append(now)
        return b"!" if self._wakes.pop(0) else b""


def everything(line: NullModem, until: float = 100.0) -> bytes:
    """Return all that arrives at the client until then."""
    octets = b""
    while piece := line.receive(until):
        octets += piece
    return octets


def test_octets_go_there_and_back_in_no_time() -> None:
    parrot = Parrot()
    line = NullModem(parrot, now=5.0)
    line.send(b"abc")
    assert line.receive(6.0) == b"abc"
    assert (line.now(), parrot.heard) == (5.0, [(5.0, b"abc")])


def test_silence_ends_at_the_deadline() -> None:
    line = NullModem(Parrot())
    assert line.receive(7.5) == b""
    assert line.now() == 7.5
    assert line.receive(3.0) == b"", "a deadline that has passed"
    assert line.now() == 7.5, "time does not go back"


def test_the_meter_is_woken_when_it_asked_to_be() -> None:
    parrot = Parrot((2.0, 4.0, 50.0))
    line = NullModem(parrot)
    assert line.receive(10.0) == b"!"
    assert line.now() == 2.0
    assert line.receive(10.0) == b"!"
    assert line.receive(10.0) == b""
    assert (line.now(), parrot.woken) == (10.0, [2.0, 4.0])


def test_waiting_for_nothing_for_ever_is_an_error() -> None:
    with pytest.raises(PortError):
        NullModem(Parrot()).receive(None)
    assert NullModem(Parrot((3.0,))).receive(None) == b"!"


def test_wait_lets_time_pass_and_keeps_what_came() -> None:
    line = NullModem(Parrot((1.0, 2.0)))
    assert line.wait(5.0) == b"!!"
    assert line.now() == 5.0


def test_closing() -> None:
    line = NullModem(Parrot())
    line.close()
    line.close()
    with pytest.raises(PortError, match="closed"):
        line.send(b"a")


def test_a_meter_that_closes_says_what_it_said_and_no_more() -> None:
    line = NullModem(Parrot(closes_after=1))
    line.send(b"last")
    assert line.receive(1.0) == b"last"
    line.send(b"more")
    with pytest.raises(PortError, match="the meter closed"):
        line.receive(1.0)


TEXT = b"0123456789"
KINDS = [  # fault at octet 4, what arrives
    (Fault(FaultKind.DROP), b"012356789"),
    (Fault(FaultKind.DAMAGE, b"\x01"), b"0123556789"),
    (Fault(FaultKind.DOUBLE), b"01234456789"),
    (Fault(FaultKind.INSERT, b"xy"), b"0123xy456789"),
    (Fault(FaultKind.PAUSE, seconds=2.0), b"0123456789"),
    (Fault(FaultKind.CUT), b"0123"),
    (Fault(FaultKind.CUT, seconds=2.0), b"0123"),
]


@pytest.mark.parametrize(("fault", "arrives"), KINDS)
def test_fault_to_the_meter(fault: Fault, arrives: bytes) -> None:
    parrot = Parrot()
    line = NullModem(parrot, Faults(to_meter={4: fault}))
    line.send(TEXT)
    assert everything(line) == arrives
    assert parrot.octets == arrives


@pytest.mark.parametrize(("fault", "arrives"), KINDS)
def test_fault_to_the_client(fault: Fault, arrives: bytes) -> None:
    parrot = Parrot()
    line = NullModem(parrot, Faults(to_client={4: fault}))
    line.send(TEXT)
    assert everything(line) == arrives
    assert parrot.octets == TEXT


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
    st.dictionaries(
        st.integers(0, 40),
        st.sampled_from([fault for fault, _ in KINDS if fault.kind is not FaultKind.CUT]),
    ),
    st.sampled_from([None, 1, 2, 5]),
)
def test_offsets_count_over_all_that_is_sent(
    sizes: list[int], faults: dict[int, Fault], chunk: int | None
) -> None:
    """However the octets are sent and delivered, the fault befalls the octet of its offset."""
    sent = bytes(range(sum(sizes)))
    expected = b""
    for offset, octet in enumerate(sent):
        fault = faults.get(offset)
        befallen = {
            FaultKind.DROP: b"",
            FaultKind.DAMAGE: bytes((octet ^ 1,)),
            FaultKind.DOUBLE: bytes((octet, octet)),
            FaultKind.INSERT: b"xy" + bytes((octet,)),
        }
        expected += bytes((octet,)) if fault is None else befallen.get(fault.kind, bytes((octet,)))
    parrot = Parrot()
    line = NullModem(parrot, Faults(faults, chunk=chunk))
    start = 0
    for size in sizes:
        line.send(sent[start : start + size])
        start += size
    assert everything(line, 1000.0) == expected
    assert parrot.octets == expected
    assert chunk is None or all(len(octets) <= chunk for _, octets in parrot.heard)


def test_a_pause_is_silence_and_keeps_the_order() -> None:
    parrot = Parrot()
    line = NullModem(parrot, Faults(to_meter={2: Fault(FaultKind.PAUSE, seconds=3.0)}))
    line.send(b"abcd")
    line.send(b"ef")
    assert line.receive(1.0) == b"ab"
    assert line.receive(1.0) == b""
    assert everything(line) == b"cdef"
    assert parrot.heard == [(0.0, b"ab"), (3.0, b"cd"), (3.0, b"ef")]


def test_a_cut_ends_after_its_time() -> None:
    parrot = Parrot()
    line = NullModem(parrot, Faults(to_meter={1: Fault(FaultKind.CUT, seconds=3.0)}))
    line.send(b"ab")
    line.wait(2.0)
    line.send(b"c")
    line.wait(2.0)
    line.send(b"d")
    line.wait(1.0)
    assert parrot.octets == b"ad"


def test_echo_is_heard_first_and_unharmed() -> None:
    line = NullModem(Parrot(), Faults(to_meter={0: Fault(FaultKind.DROP)}, echo=True))
    line.send(b"ab")
    assert everything(line) == b"abb"


def test_the_async_line_is_the_same() -> None:
    parrot = Parrot()

    async def session() -> None:
        line = AsyncNullModem(NullModem(parrot, now=1.0))
        await line.send(b"abc")
        assert await line.receive(2.0) == b"abc"
        assert await line.receive(2.0) == b""
        assert line.now() == 2.0
        await line.close()
        with pytest.raises(PortError):
            await line.send(b"d")

    asyncio.run(session())
    assert parrot.octets == b"abc"
