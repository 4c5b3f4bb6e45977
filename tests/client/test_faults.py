"""A session on a line with a fault: right values or a clear error, never wrong rows, never a hang."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.joined import Lines, Scripted, make_meter, watched

from iondlms.client import LinkError, NoAnswer, Profile, ProfileRow, ProfileRows, TransferBroken, blocking
from iondlms.errors import DlmsError, PortError
from iondlms.ports.memory import Fault, FaultKind, Faults

HDLC: Final = "hdlc://meter?timeout=2s&retries=2"
WRAPPER: Final = "wrapper://meter?timeout=2s&retries=2&pdu=300"
ENOUGH_S: Final = 600.0  # no session with one fault may take longer

# One meter for all: its next row is 899 s away, and no session gets there.
METER = make_meter(start=datetime(2026, 11, 22, 12, 30, 1, tzinfo=UTC))


def session(client: blocking.Client) -> tuple[object, ...]:
    """Everything that a reading session does, and what came of it."""
    client.open()
    result = (client.get("name"), client.profile("load").rows, client.profile("load", last=2).rows)
    client.close()
    return result


@cache
def undisturbed(url: str) -> tuple[tuple[object, ...], int, int]:
    """Return the right result, and how many octets travel to the meter and to the client."""
    hooks, octets, _ = watched()
    result = session(Lines(METER).client(url, hooks=hooks))
    up, down = (sum(len(data) for way, data in octets if way == each) for each in ("TX", "RX"))
    return result, up, down


def travelling(url: str, way: str) -> int:
    """Return how many octets of the undisturbed session go this way."""
    return undisturbed(url)[1] if way == "to_meter" else undisturbed(url)[2]


def faults_of(way: str, offset: int, fault: Fault) -> Faults:
    return Faults(to_meter={offset: fault}) if way == "to_meter" else Faults(to_client={offset: fault})


def right_rows(url: str) -> list[ProfileRow]:
    rows = undisturbed(url)[0][1]
    assert isinstance(rows, ProfileRows)
    return list(rows)


def disturbed(url: str, *faults: Faults) -> str:
    """Run the session on such lines; it ends well, or with an error of ours, and in time."""
    lines = Lines(METER, [*faults, Faults()])
    client = lines.client(url)
    error: DlmsError | None = None
    try:
        assert session(client) == undisturbed(url)[0]
    except DlmsError as caught:
        error = caught
    outcome = "right" if error is None else type(error).__name__
    assert "\n" not in str(error)
    if isinstance(error, TransferBroken) and error.profile is not None:
        assert error.profile.rows == right_rows(url)[: len(error.profile)]
    client.close()
    assert lines.now < ENOUGH_S
    return outcome


KINDS: dict[str, Fault] = {
    "drop": Fault(FaultKind.DROP),
    "damage all bits": Fault(FaultKind.DAMAGE, b"\xff"),
    "damage one bit": Fault(FaultKind.DAMAGE, b"\x04"),
    "double": Fault(FaultKind.DOUBLE),
    "insert a flag": Fault(FaultKind.INSERT, b"\x7e"),
    "insert noise": Fault(FaultKind.INSERT, bytes(range(60, 100))),
    "insert a long header": Fault(FaultKind.INSERT, bytes.fromhex("7EA7FF")),
    "pause": Fault(FaultKind.PAUSE, seconds=3.0),
    "long pause": Fault(FaultKind.PAUSE, seconds=9.0),
    "cut": Fault(FaultKind.CUT, seconds=3.0),
    "long cut": Fault(FaultKind.CUT, seconds=9.0),
}


@pytest.mark.parametrize("way", ["to_meter", "to_client"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_anywhere_in_hdlc_is_repaired(kind: str, way: str) -> None:
    """A step of 17 has no factor in common with any frame length: every place in a frame is met."""
    octets = travelling(HDLC, way)
    outcomes: dict[str, list[int]] = {}
    for offset in range(0, octets, 17 if way == "to_meter" else 53):
        faults = faults_of(way, offset, KINDS[kind])
        outcomes.setdefault(disturbed(HDLC, faults), []).append(offset)
    # A stall while opening may outlast all tries of a meter that has not said a word yet.
    opening = [offset for offset in outcomes.pop("NoAnswer", []) if kind.startswith("long")]
    assert max(opening, default=0) < 110
    assert set(outcomes) == {"right"}, outcomes


@pytest.mark.parametrize("way", ["to_meter", "to_client"])
@pytest.mark.parametrize("kind", ["pause", "long pause", "cut", "long cut"])
def test_a_stall_anywhere_in_the_wrapper(kind: str, way: str) -> None:
    """TCP neither loses nor damages; it stalls, and it dies. A connection that stalls is made anew."""
    octets = travelling(WRAPPER, way)
    for offset in range(0, octets, 11):
        outcome = disturbed(WRAPPER, faults_of(way, offset, KINDS[kind]))
        # During the opening nothing is asked again: it would only be the same question to a silent meter.
        assert outcome == "right" or (outcome == "NoAnswer" and offset < 50), offset


@pytest.mark.parametrize("url", [HDLC, WRAPPER])
@pytest.mark.parametrize("way", ["to_meter", "to_client"])
def test_a_line_that_dies_is_told_and_keeps_the_rows(url: str, way: str) -> None:
    octets = travelling(url, way)
    dead = Fault(FaultKind.CUT)
    outcomes = set()
    for offset in range(0, octets, 13 if way == "to_meter" else 97):
        silent = Faults(to_meter={0: dead})
        outcomes.add(disturbed(url, faults_of(way, offset, dead), *[silent] * 8))
    assert outcomes <= {"NoAnswer", "TransferBroken", "right"}, outcomes  # right: it died while closing
    assert {"NoAnswer", "TransferBroken"} <= outcomes


octets_of_noise = st.binary(min_size=1, max_size=30)
fault = st.one_of(
    st.just(KINDS["drop"]),
    st.just(KINDS["double"]),
    st.builds(Fault, st.just(FaultKind.DAMAGE), st.integers(1, 255).map(lambda octet: bytes((octet,)))),
    st.builds(Fault, st.just(FaultKind.INSERT), octets_of_noise),
    st.builds(Fault, st.sampled_from([FaultKind.PAUSE, FaultKind.CUT]), seconds=st.floats(0.01, 15)),
)


@settings(max_examples=60)
@given(
    st.dictionaries(st.integers(0, 600), fault, max_size=6),
    st.dictionaries(st.integers(0, 2500), fault, max_size=6),
    st.booleans(),
    st.sampled_from([None, 1, 7, 64]),
)
def test_many_faults(up: dict[int, Fault], down: dict[int, Fault], echo: bool, chunk: int | None) -> None:
    disturbed(HDLC, Faults(up, down, echo, chunk))


@pytest.mark.parametrize("chunk", [1, 2, 13])
@pytest.mark.parametrize("url", [HDLC, WRAPPER])
def test_any_cut_of_the_stream(url: str, chunk: int) -> None:
    assert disturbed(url, Faults(chunk=chunk)) == "right"


def test_local_echo_is_not_taken_for_the_meter() -> None:
    assert disturbed(HDLC, Faults(echo=True, chunk=1)) == "right"


@pytest.mark.parametrize("url", [HDLC, WRAPPER])
@settings(max_examples=60)
@given(noise=st.lists(st.binary(max_size=60), max_size=20))
def test_random_octets_are_an_error_of_ours(url: str, noise: list[bytes]) -> None:
    answers = iter(noise)
    lines = Lines(lambda now: Scripted(lambda data: next(answers, b"")))
    with pytest.raises((PortError, LinkError)):
        lines.client(url).open()
    assert lines.now < ENOUGH_S


def test_noise_without_end_is_no_hang() -> None:
    """A line that never falls silent: the meter's answer would have come by now."""

    class Babbling(Scripted):
        def __init__(self) -> None:
            super().__init__(lambda data: b"")
            self.wake = 0.0

        def next_deadline(self) -> float | None:
            return self.wake

        def handle_timeout(self, now: float) -> bytes:
            self.wake = now + 0.5
            return b"\x55\x7e\xaa"

    lines = Lines(lambda now: Babbling())
    with pytest.raises(NoAnswer):
        lines.client(HDLC).open()
    assert lines.now < ENOUGH_S


def broken_at(offset: int, *arguments: Any, **more: Any) -> DlmsError | None:
    """Read the load profile on a line that dies behind that octet to the client; return how that ended."""
    dead = Fault(FaultKind.CUT)
    client = Lines(METER, [Faults(to_client={offset: dead}), Faults(to_meter={0: dead})]).client(HDLC)
    client.open()
    try:
        client.profile("load", *arguments, **more)
    except (TransferBroken, NoAnswer) as error:
        return error
    return None


def test_rows_of_a_broken_transfer() -> None:
    down = undisturbed(HDLC)[2]
    errors = [broken_at(offset) for offset in range(down * 4 // 10, down * 9 // 10, 31)]
    broken = [error for error in errors if isinstance(error, TransferBroken)]
    for error in broken:
        assert isinstance(error.profile, Profile)
        assert error.profile.rows == right_rows(HDLC)[: len(error.profile)]
        assert isinstance(error.__cause__, PortError)
        assert "broke off after" in str(error)
    assert max(len(error.profile or ()) for error in broken) > 10


def test_a_broken_piece_keeps_the_pieces_before() -> None:
    whole = right_rows(HDLC)
    start, end = whole[0].instant, whole[-1].instant
    assert start is not None
    assert end is not None
    errors = [broken_at(offset, start, end, piece=(end - start) / 3) for offset in range(900, 1700, 61)]
    profiles = [error.profile for error in errors if isinstance(error, TransferBroken)]
    for profile in profiles:
        assert profile is not None
        assert profile.rows == whole[: len(profile)]
    assert max(len(profile or ()) for profile in profiles) > 20 / 3
