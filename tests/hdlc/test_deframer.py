from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hdlc.builders import CLIENT, SERVER, frames, published, slow_frame

from iondlms.hdlc import Control, Deframer, Frame
from iondlms.hdlc import deframer as deframer_module
from iondlms.hdlc.frame import POLL, Header, read_header

SNRM = bytes.fromhex("7EA00A00020023219318717E")
RR = bytes.fromhex("7EA00A00020023211102D67E")
# The octet 7E stands in its HCS.
AARQ = bytes.fromhex(
    "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
)
BAD_HCS = bytes.fromhex(
    "7EA02E0002002321107FCBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B085467E"
)
BAD_FCS = bytes.fromhex(
    "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CBEA7E"
)
GET_7E = bytes.fromhex("7EA01C0002002321329F28E6E600C001C1000100007E0000FF0200DFD07E")
LONGEST = 2047 + 2


def deframe(*chunks: bytes) -> list[bytes]:
    deframer = Deframer()
    return [frame.encode() for chunk in chunks for frame in deframer.feed(chunk)]


@pytest.mark.parametrize("row", published(), ids=lambda row: row.octets[:12].hex())
def test_published_whole_and_octet_by_octet(row: object) -> None:
    octets = getattr(row, "octets", b"")
    assert deframe(octets) == [octets]
    assert deframe(*(bytes((octet,)) for octet in octets)) == [octets]


def test_all_published_in_one_stream() -> None:
    rows = [row.octets for row in published()]
    assert deframe(b"".join(rows)) == rows
    assert deframe(rows[0] + b"".join(row[1:] for row in rows[1:])) == rows  # each flag shared


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"~~~~~" + SNRM, [SNRM]),
        (SNRM + RR, [SNRM, RR]),
        (SNRM + RR[1:], [SNRM, RR]),
        (SNRM + b"~~" + RR + b"~", [SNRM, RR]),
        (b"\x00\xff\x55" + SNRM, [SNRM]),
        (b"\x00~\xff~\x55" + SNRM, [SNRM]),
        (SNRM + b"\x00\x13\xa0" + RR, [SNRM, RR]),
        (AARQ + GET_7E, [AARQ, GET_7E]),
        # Trap 6, DL-21: what is chained to a frame with a bad HCS is lost, what is not is not.
        (BAD_HCS + RR[1:], []),
        (BAD_HCS + RR, [RR]),
        (BAD_HCS + RR[1:] + SNRM, [SNRM]),
        # A good HCS and a bad FCS: the closing flag may open the next.
        (BAD_FCS + RR[1:], [RR]),
        (BAD_FCS + RR, [RR]),
        (b"~\xa0\x0a\x00\x02\x00\x23\x21\x93\x19\x71" + RR, [RR]),  # DL-19
        # Noise that looks like the header of a long frame does not swallow the frames behind it.
        (bytes.fromhex("7EA7FF0321100000") + RR + AARQ + SNRM, [RR, AARQ, SNRM]),
        (bytes.fromhex("7EA7FF0321100000") + AARQ + SNRM, [AARQ, SNRM]),
        (bytes.fromhex("7EA7FF0321100000") * 3 + RR + SNRM, [RR, SNRM]),
        # Found by hypothesis: what was searched for the first false header was too much for the second.
        (
            bytes.fromhex("7EA7FF0321100000") + SNRM + bytes.fromhex("7EA0152100020023100000") + RR,
            [SNRM, RR],
        ),
        (bytes.fromhex("7EA7FF0321100000") + bytes(40) + BAD_HCS + RR, [RR]),
        # A torn frame, and a whole one behind it before the time-out.
        (SNRM[:6] + AARQ, [AARQ]),
        (AARQ[:9] + RR + SNRM, [RR, SNRM]),
        # With a good HCS the length is believed, until the end is not where it says.
        (AARQ[:20] + RR, []),
        (AARQ[:20] + RR + SNRM + SNRM, [RR, SNRM, SNRM]),
        (SNRM[:-1] + RR, [SNRM, RR]),
        # DL-11, DL-12: format type, lengths.
        *((bytes.fromhex(f"7E{start}000200232193{fcs}7E") + RR, [RR]) for start, fcs in (
            ("000A", "0A0C"), ("800A", "E8C7"), ("B00A", "602A"), ("E00A", "E914"),
            ("A00B", "CDEE"), ("A009", "76D9"), ("A000", "4F98"), ("A004", "39F7"),
        )),
        (bytes.fromhex("7EA00900022321934D057E") + RR, [RR]),  # DL-27
        (bytes.fromhex("7EA00B00020000232193955D7E") + RR, [RR]),
        (bytes.fromhex("7EA0090002052193AFD07E") + RR, [RR]),  # GXDLMSDirector: three octets
    ],
)  # fmt: skip
def test_stream(octets: bytes, expected: list[bytes]) -> None:
    assert deframe(octets) == expected
    for cut in range(len(octets)):
        assert deframe(octets[:cut], octets[cut:]) == expected
    assert deframe(*(bytes((octet,)) for octet in octets)) == expected


def test_nothing_before_the_closing_flag() -> None:
    deframer = Deframer()
    for octet in AARQ[:-1]:
        assert deframer.feed(bytes((octet,))) == []
        assert deframer.pending
    assert [frame.encode() for frame in deframer.feed(AARQ[-1:])] == [AARQ]


def test_time_out_throws_the_half_frame_away() -> None:
    deframer = Deframer()
    assert deframer.feed(SNRM[:-1]) == []
    deframer.flush()
    assert not deframer.pending
    assert [frame.encode() for frame in deframer.feed(RR)] == [RR]
    assert deframer.timeouts == 1


def test_a_flag_opens_a_frame_only_for_so_long() -> None:
    deframer = Deframer()
    assert len(deframer.feed(SNRM)) == 1
    assert deframer.pending  # its closing flag may be the next one's opening flag
    deframer.flush()
    assert deframer.timeouts == 0
    assert deframer.feed(SNRM[1:]) == []


def test_counters() -> None:
    deframer = Deframer()
    deframer.feed(b"\x01\x02" + RR + BAD_FCS + BAD_HCS + b"\x03" + RR + b"~~\x04\x05\x06~\x07\x08~")
    deframer.feed(RR)
    assert (deframer.frames, deframer.fcs_errors, deframer.damaged_frames) == (3, 1, 1)
    assert deframer.noise == 2 + 1 + 5


def test_slow_false_headers_cost_no_more_than_fast_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(data: bytes, flag: int, limit: int) -> Header | None:
        nonlocal looks
        looks += 1
        return read_header(data, flag, limit)

    monkeypatch.setattr(deframer_module, "read_header", counted)
    deframer = Deframer()
    for octet in bytes.fromhex("7EA7FF0321100000") * 500:
        deframer.feed(bytes((octet,)))
    # One for the candidate, and one for each of the few flags that are not decided yet.
    assert looks < 4000 * 4


def test_mutable_input_is_not_kept() -> None:
    deframer = Deframer()
    chunk = bytearray(RR[:5])
    deframer.feed(chunk)
    chunk[:] = bytes(5)
    assert len(deframer.feed(memoryview(RR)[5:])) == 1


GOOD = [SNRM, RR, AARQ, GET_7E, BAD_HCS, BAD_FCS]
HEADS = [
    bytes.fromhex(head)
    for head in ("7EA7FF", "7EA7FF0321100000", "7EA020", "7EA02003", "7EA00A000200", "7EA0")
]


def damaged(octets: bytes, place: int, flip: int) -> bytes:
    place %= len(octets)
    return octets[:place] + bytes((octets[place] ^ flip,)) + octets[place + 1 :]


PIECES = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from([octets[1:] for octets in GOOD]),
    frames(40).map(Frame.encode),
    st.builds(damaged, frames(40).map(Frame.encode), st.integers(0, 60), st.integers(1, 255)),
    st.builds(lambda octets, keep: octets[:keep], frames(40).map(Frame.encode), st.integers(1, 50)),
    # A frame inside the information of another whose HCS is wrong.
    st.builds(
        lambda inner, place: damaged(Frame(CLIENT, SERVER, 0x10, inner.encode()).encode(), 9 + place, 1),
        frames(20),
        st.integers(0, 1),
    ),
    st.builds(lambda frame, size: slow_frame(frame, 0xA000 | size), frames(20), st.integers(0, 0x7FF)),
    st.sampled_from(HEADS),
    st.sampled_from([b"~", b"~~~", b"\xa0", b"\x00"]),
    st.binary(max_size=12),
    st.lists(st.sampled_from([0x7E, 0xA0, 0x07, 0x03, 0x21]), max_size=20).map(bytes),
)
STREAMS = st.lists(PIECES, max_size=8).map(b"".join)


def run(chunks: list[bytes]) -> tuple[object, ...]:
    deframer = Deframer()
    found = [frame for chunk in chunks for frame in deframer.feed(chunk)]
    numbers = deframer.frames, deframer.fcs_errors, deframer.damaged_frames, deframer.noise
    # How many flags stand in front of a half frame is of no account.
    return found, numbers, deframer._held.lstrip(b"~"), deframer.pending


@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same(stream: bytes, cuts: list[int]) -> None:
    whole = run([stream])
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    assert run([stream[start:stop] for start, stop in itertools.pairwise(places)]) == whole
    assert run([stream[place : place + 1] for place in range(len(stream))]) == whole


@given(STREAMS, frames())
def test_any_stream_is_recovered_from_after_the_time_out(stream: bytes, frame: Frame) -> None:
    deframer = Deframer()
    deframer.feed(stream)
    deframer.flush()
    assert deframer.feed(frame.encode()) == [frame]


@given(st.binary(max_size=200).map(lambda octets: octets.replace(b"~", b"")), st.lists(frames(), min_size=1))
def test_noise_between_frames_costs_none(noise: bytes, sent: list[Frame]) -> None:
    deframer = Deframer()
    # Behind a closing flag, noise may pass for a header; without one it cannot.
    assert deframer.feed(noise + b"".join(frame.encode() for frame in sent)) == sent
    assert deframer.noise == len(noise)


@given(st.binary(min_size=0, max_size=2000), st.lists(frames(), min_size=2, max_size=4))
def test_false_header_with_a_long_length_costs_none(junk: bytes, sent: list[Frame]) -> None:
    deframer = Deframer()
    stream = b"".join(frame.encode() for frame in sent)
    # The claimed end, 2047 octets on, is beyond what follows.
    head = bytes.fromhex("7EA7FF03211000FF")
    assert deframer.feed(head + junk.replace(b"~", b"")[: 2000 - len(stream)] + stream)[-len(sent) :] == sent


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_random_octets_never_raise(chunks: list[bytes]) -> None:
    deframer = Deframer()
    for chunk in chunks:
        deframer.feed(chunk)
        assert len(deframer._held) < LONGEST


@pytest.mark.parametrize(
    "stream",
    [
        b"~" * (1 << 20),
        bytes.fromhex("7EA7FF") + bytes(1 << 20),
        # A good header of the greatest length, and no end.
        slow_frame(Frame(CLIENT, SERVER, 0x10, b"x"), 0xA7FF)[:11] + bytes(1 << 20),
        bytes.fromhex("7EA7FF03211000") * (1 << 15),
        b"~\xa0" * (1 << 17),
        b"~\xa7\xff\x03\x21\x10" * (1 << 15),
    ],
)
def test_endless_streams_stay_small(stream: bytes) -> None:
    deframer = Deframer()
    for place in range(0, len(stream), 4096):
        assert deframer.feed(stream[place : place + 4096]) == []
        assert len(deframer._held) < LONGEST
    for place in range(5000):
        assert deframer.feed(stream[place : place + 1]) == []
    deframer.flush()
    assert len(deframer.feed(RR)) == 1


@pytest.mark.parametrize("flags", [(b"~~",), (b"~", b"~"), (b"~~~", b"~~"), (b"noise~~",)])
def test_flags_that_follow_each_other_are_one(flags: tuple[bytes, ...]) -> None:
    deframer = Deframer()
    for chunk in flags:
        assert deframer.feed(chunk) == []
    assert (deframer.in_frame, deframer.between_frames) == (False, True)


# --- frames that are known whole --------------------------------------------------------------------


def test_short_frames_that_are_not_numbered_are_known_whole_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: dict[bytes, Frame] = {}
    monkeypatch.setattr("iondlms.hdlc.deframer._KNOWN", known)
    kept = [
        Frame(b"\x03", b"\x21", Control.SNRM | POLL),
        Frame(b"\x21", b"\x03", Control.UA | POLL, bytes(23)),
    ]
    others = [
        Frame(b"\x21", b"\x03", POLL, b"password"),  # an I frame
        Frame(b"\x21", b"\x03", Control.UA | POLL, bytes(60)),  # a long one
    ]
    for frame in (*kept, *others, *kept):
        assert Deframer().feed(frame.encode()) == [frame]
    assert known == {frame.encode(): frame for frame in kept}
    # Not the whole chunk, or not by itself.
    known.clear()
    octets = kept[0].encode()
    for chunk in (octets * 2, b"x" + octets, octets + b"x", octets[:-1]):
        Deframer().feed(chunk)
    assert known == {}
    deframer = Deframer()
    assert deframer.feed(octets[:4]) == []
    known[octets[4:]] = kept[1]  # what ends a frame is none, whatever it looks like
    assert deframer.feed(octets[4:]) == [kept[0]]


def test_whoever_chooses_his_addresses_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[bytes, Frame] = {}
    monkeypatch.setattr("iondlms.hdlc.deframer._KNOWN", known)
    deframer = Deframer()
    for number in range(700):
        address = bytes((number >> 7 << 1, (number & 0x7F) << 1 | 1))
        frame = Frame(address, b"\x21", Control.DISC | POLL)
        assert deframer.feed(frame.encode()) == [frame]
        assert 0 < len(known) <= 256
