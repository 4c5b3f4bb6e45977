"""Listening to sessions of our own client and meter: the rows that go by are the rows that the client got."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.joined import Lines, make_meter, watched

from iondlms.client import ProfileRow
from iondlms.client.overheard import Overheard, Reading
from iondlms.codec.obis import ObisCode
from iondlms.hdlc import Frame
from iondlms.ports.memory import Fault, FaultKind, Faults
from iondlms.trace.listen import Heard, Listener
from iondlms.xdlms import AttributeDescriptor

Session = list[tuple[str, bytes]]
HDLC: Final = "hdlc://meter?timeout=2s"


@cache
def session(
    url: str, answers: str = "block", faults: Faults | None = None
) -> tuple[Session, list[ProfileRow]]:
    """Return what goes over the line while the load profile is read, and its rows."""
    meter = make_meter(20, ("long_answers", answers))
    hooks, octets, _ = watched()
    with Lines(meter, [faults or Faults()]).client(url, hooks=hooks) as client:
        rows = list(client.profile("load"))
    return octets, rows


def overheard(pieces: Session, directed: bool, listener: Listener | None = None) -> list[Reading]:
    listener = Listener() if listener is None else listener
    known = Overheard()
    heard = [answer for way, octets in pieces for answer in listener.feed(octets, way if directed else "")]
    heard += listener.finish()
    return [reading for reading in map(known.take, heard) if reading is not None]


SESSIONS = [
    (HDLC, "block", True),
    (HDLC, "block", False),
    (HDLC, "segment", True),
    (HDLC, "segment", False),
    ("wrapper://meter", "block", True),
    ("wrapper://meter", "block", False),
    ("wrapper://meter?pdu=200", "block", True),
]


@pytest.mark.parametrize(("url", "answers", "directed"), SESSIONS)
def test_rows_columns_and_units_are_the_clients(url: str, answers: str, directed: bool) -> None:
    pieces, rows = session(url, answers)
    listener = Listener()
    (reading,) = overheard(pieces, directed, listener)
    assert reading.profile.rows == rows
    assert reading.complete
    assert (reading.name, reading.client) == ("load", 16)
    assert reading.server == ("1/100" if url == HDLC else "1")
    assert [column.unit for column in reading.profile.columns] == ["Wh", "varh", "Wh", "varh"]
    assert reading.profile.notes == ()
    assert reading.profile.capture_period == 900
    assert (listener.damaged, listener.unheard_starts) == (0, 0)


@pytest.mark.parametrize("answers", ["block", "segment"])
@pytest.mark.parametrize("chunk", [1, 3, 50, 100_000])
def test_any_cut_of_one_line(answers: str, chunk: int) -> None:
    pieces, rows = session(HDLC, answers)
    line = b"".join(octets for _, octets in pieces)
    cut = [("", line[at : at + chunk]) for at in range(0, len(line), chunk)]
    (reading,) = overheard(cut, directed=False)
    assert reading.profile.rows == rows


@pytest.mark.parametrize(
    "how",
    [
        {"last": 3},
        {"entries": (2, 5)},
        {"columns": ["kWh-rec-int"]},
        {"columns": ["kVARh-del-int"], "last": 4},
    ],
)
def test_selections(how: dict[str, Any]) -> None:
    meter = make_meter()
    hooks, octets, _ = watched()
    with Lines(meter).client(HDLC, hooks=hooks) as client:
        client.profile("load")  # columns and scalers go by here
        expected = client.profile("load", **how)
    *_, reading = overheard(octets, directed=True)
    if len(reading.profile.columns) == len(expected.columns):
        assert reading.profile.rows == expected.rows
        assert reading.profile.columns == expected.columns
    else:  # columns that do not stand side by side are chosen by the client
        assert [row.instant for row in reading.profile.rows] == [row.instant for row in expected.rows]


def test_a_range_with_columns() -> None:
    meter = make_meter()
    hooks, octets, _ = watched()
    with Lines(meter).client(HDLC, hooks=hooks) as client:
        rows = client.profile("load").rows
        part = client.profile("load", rows[3].instant, rows[9].instant, columns=["kWh-rec-int"])
    *_, reading = overheard(octets, directed=False)
    assert reading.profile.rows == part.rows
    assert len(part.rows) == 7


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DOUBLE, FaultKind.DAMAGE])
@pytest.mark.parametrize("way", ["to_meter", "to_client"])
def test_repetitions_on_a_disturbed_line_are_heard_once(kind: FaultKind, way: str) -> None:
    """What we hear is what the client hears: what is lost on its way to it was said again."""
    for offset in range(40, 1200, 71):
        faults = {offset: Fault(kind)}
        lines = [Faults(to_meter=faults) if way == "to_meter" else Faults(to_client=faults)]
        hooks, octets, _ = watched()
        with Lines(make_meter(5), lines).client(HDLC + "&retries=3", hooks=hooks) as client:
            rows = client.profile("load").rows
        (reading,) = overheard(octets, directed=True)
        assert reading.profile.rows == rows


def test_a_frame_that_we_miss_ends_the_rows_and_falsifies_none() -> None:
    pieces, rows = session(HDLC)
    answers = [at for at, (way, _) in enumerate(pieces) if way == "RX"]
    whole = 0
    for at in answers:
        without = pieces[:at] + pieces[at + 1 :]
        for reading in overheard(without, directed=True):
            if reading.name == "load" and reading.profile.rows:
                plain = [row[:3] for row in reading.profile.rows]
                assert plain == [row[:3] for row in rows][: len(plain)]
                whole += reading.complete
    assert whole > 5


def test_listening_from_the_middle_on() -> None:
    pieces, rows = session(HDLC)
    for start in range(0, len(pieces), 3):
        listener = Listener()
        for reading in overheard(pieces[start:], True, listener):
            assert [row.instant for row in reading.profile.rows] == [row.instant for row in rows]
            if start > 20:
                assert reading.profile.columns[0].scaler is None
    assert listener.unheard_starts >= 0
    late = Listener()
    blocks = [octets for way, octets in pieces if way == "RX" and b"\xc4\x02" in octets]
    assert overheard([("RX", octets) for octets in blocks[2:]], True, late) == []
    assert late.unheard_starts > 3


def test_without_the_columns_the_default_ones_are_named_and_numbers_are_as_sent() -> None:
    pieces, rows = session(HDLC)
    request = next(
        at for at, (way, octets) in enumerate(pieces) if b"\x00\x07\x01\x00\x63\x01\x00\xff\x02" in octets
    )
    (reading,) = overheard(pieces[request:], True)
    assert reading.profile.columns[0].name == "kWh-del-int"
    assert reading.profile.columns[0].unit == ""
    assert reading.profile.rows == rows  # scaler 0 here
    assert any("default" in note for note in reading.profile.notes)
    assert any("scalers" in note for note in reading.profile.notes)


def test_rows_of_an_unknown_profile_have_numbered_columns() -> None:
    octets = bytes.fromhex("01 01 02 02 09 0C 07EA0B16 07 0C0F0000 0000 00 06 00000005")
    attribute = AttributeDescriptor(7, ObisCode.parse("1-0:99.9.0*255"), 2)
    reading = Overheard().take(Heard(16, "1/100", attribute, None, octets, True))
    assert reading is not None
    assert [column.title for column in reading.profile.columns] == ["column 2"]
    assert reading.profile.rows[0].values == (5,)
    unasked = Overheard().take(Heard(16, "1/100", None, None, octets, True))
    assert unasked is not None
    assert unasked.name == ""
    # The answer to something else that nobody heard the question of.
    assert Overheard().take(Heard(16, "1/100", None, None, bytes.fromhex("0600000005"), True)) is None
    assert Overheard().take(Heard(16, "1/100", attribute, None, b"\x01\x05\x02", True)) is None


def test_two_meters_on_one_line() -> None:
    def said(unit: int, seed: int) -> tuple[Session, list[ProfileRow]]:
        meter = make_meter(6, ("port.ETHERNET.unit_id", unit), ("seed", seed))
        hooks, octets, _ = watched()
        with Lines(meter).client(f"hdlc://line?unit={unit}", hooks=hooks) as client:
            rows = list(client.profile("load"))
        return octets, rows

    def in_turn(*sessions: Session) -> Iterator[tuple[str, bytes]]:
        longest = max(map(len, sessions))
        for at in range(0, longest, 2):  # a question and its answer
            for one in sessions:
                yield from one[at : at + 2]

    (one, rows_of_one), (other, rows_of_other) = said(100, 1), said(101, 2)
    readings = {reading.server: reading for reading in overheard(list(in_turn(one, other)), False)}
    assert readings["1/100"].profile.rows == rows_of_one
    assert readings["1/101"].profile.rows == rows_of_other
    assert rows_of_one != rows_of_other


def test_a_gap_ends_what_was_under_way() -> None:
    pieces, rows = session("wrapper://meter?pdu=200")
    listener, known = Listener(), Overheard()
    middle = len(pieces) - 6
    heard = [answer for way, octets in pieces[:middle] for answer in listener.feed(octets, way)]
    (partial,) = [reading for reading in map(known.take, [*heard, *listener.resume()]) if reading is not None]
    assert not partial.complete
    assert partial.profile.rows == rows[: len(partial.profile)]
    assert len(partial.profile) > 2
    # The next session is heard again.
    assert [reading.profile.rows for reading in overheard(pieces, True, listener)] == [rows]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["", "TX", "RX"]), st.binary(max_size=80)), max_size=20))
def test_noise_is_no_error(pieces: Session) -> None:
    assert overheard(pieces, directed=True) == []


@settings(max_examples=40)
@given(st.data())
def test_damage_anywhere_falsifies_no_row(data: st.DataObject) -> None:
    pieces, rows = session(HDLC)
    line = bytearray(b"".join(octets for _, octets in pieces))
    for at in data.draw(st.lists(st.integers(0, len(line) - 1), max_size=5)):
        line[at] ^= data.draw(st.integers(1, 255))
    for reading in overheard([("", bytes(line))], directed=False):
        if reading.name == "load":
            instants = [row.instant for row in reading.profile.rows]
            assert instants == [row.instant for row in rows][: len(instants)]
            assert [row.values for row in reading.profile.rows] == [row.values for row in rows][
                : len(instants)
            ]


def test_what_is_remembered_is_bounded() -> None:
    listener = Listener()
    for unit in range(1, 200):
        address = bytes((0, 2, unit >> 7 << 1, (unit & 0x7F) << 1 | 1))
        listener.feed(Frame(address, b"\x21", 0x93).encode())
    assert len(listener._pairs) <= 32
    known = Overheard()
    attribute = AttributeDescriptor(3, ObisCode.parse("1-1:1.29.0*255"), 3)
    for unit in range(1000):
        known.take(Heard(16, f"1/{unit}", attribute, None, bytes.fromhex("02020F00161E"), True))
    assert len(known._meters) <= 256
    for number in range(1000):
        code = ObisCode(number.to_bytes(6, "big"))
        for class_id, attribute_id, said in ((3, 3, "02020F00161E"), (7, 3, "0100"), (7, 4, "0600000384")):
            named = AttributeDescriptor(class_id, code, attribute_id)
            known.take(Heard(16, "1/1", named, None, bytes.fromhex(said), True))
    (meter,) = [meter for name, meter in known._meters.items() if name.endswith(" 1/1")]
    assert 0 < len(meter.scales) + len(meter.captured) + len(meter.periods) <= 256
    # What is full stays so while nothing more is learnt.
    while len(meter.scales) + len(meter.captured) + len(meter.periods) < 256:
        meter.periods[ObisCode(len(meter.periods).to_bytes(6, "little"))] = 900
    learnt = dict(meter.scales)
    for class_id, attribute_id, said in ((8, 2, "0600000384"), (3, 3, "1100"), (7, 3, "1100")):
        named = AttributeDescriptor(class_id, ObisCode.parse("0-0:1.0.0*255"), attribute_id)
        known.take(Heard(16, "1/1", named, None, bytes.fromhex(said), True))
    assert meter.scales == learnt
    assert learnt


def test_a_demand_register_has_its_scaler_in_its_fourth_attribute() -> None:
    known = Overheard()
    code, profile = ObisCode.parse("1-1:1.4.0*255"), ObisCode.parse("1-0:99.9.0*255")
    columns = "0101 0204 120005 0906 " + code.octets.hex() + " 0F03 120000"
    for class_id, name, attribute, said in (
        (7, profile, 3, columns),
        (5, code, 3, "0600000005"),  # the last average: no scaler, and nothing is learnt of it
        (5, code, 4, "02020FFF161B"),
    ):
        named = AttributeDescriptor(class_id, name, attribute)
        assert known.take(Heard(16, "1/100", named, None, bytes.fromhex(said), True)) is None
    rows = bytes.fromhex("0101 0201 0600000005")
    reading = known.take(Heard(16, "1/100", AttributeDescriptor(7, profile, 2), None, rows, True))
    assert reading is not None
    assert [str(value) for value in reading.profile.rows[0].values] == ["0.5"]
    assert (reading.profile.columns[0].unit, reading.profile.notes) == ("W", ())
