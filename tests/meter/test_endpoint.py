"""The hub: framing, time, several clients, and octets of every kind."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.meter.bench import (
    AARQ,
    AARQ_LLS,
    GET_NAME,
    SERVER,
    SET_TIME,
    START_MS,
    Bench,
    Transport,
    get_request,
)
from tests.meter.octets import (
    DM,
    I_AARQ,
    I_GET_NAME,
    METER_RR_0,
    RR_0,
    SNRM,
    UA,
    W_AARE,
    W_AARQ,
    W_GET,
    client,
)

from iondlms.hdlc.frame import Frame, build
from iondlms.meter import Meter, MeterEndpoint, load
from iondlms.meter.service import Association
from iondlms.wrapper import Wpdu


@cache
def meter() -> Meter:
    made = Meter(load(None, [("history", 20), ("password", "12345678"), ("port.ETHERNET.unit_id", 17)]))
    made.start(START_MS, 1000.0)
    return made


def started(settings_: list[tuple[str, Any]]) -> Meter:
    made = Meter(load(None, settings_))
    made.start(START_MS, 0.0)
    return made


def endpoint(**changes: Any) -> MeterEndpoint:
    section = meter().config.port[0].model_copy(update=changes)
    return meter().endpoint(section, 1000.0)


def talk(line: MeterEndpoint, octets: str | bytes, now: float = 1000.0) -> str:
    data = bytes.fromhex(octets) if isinstance(octets, str) else octets
    return line.receive_data(data, now).hex().upper()


# --- framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(256))
def test_framing_by_the_first_octet(first: int) -> None:
    """Whatever the first octet, the framing that a later good message is of depends on it alone."""
    line = endpoint()
    octet = f"{first:02X}"
    if first == 0:
        assert talk(line, octet + W_AARQ[2:]) == W_AARE
    else:
        noise = "" if first == 0x7E else octet
        assert talk(line, noise + SNRM) == UA
        assert not line.closed
        assert talk(endpoint(), octet + W_AARQ) == ""


@pytest.mark.parametrize(
    ("start", "framing"),
    [
        ("00 7E", "hdlc"),
        ("00 00 00 00 7E", "hdlc"),
        ("00 55 66 77", "hdlc"),
        ("00 02 00 10 01", "hdlc"),  # no wrapper header: wPort 0100 is nobody's
        ("00 02 00 10 00 01 00 1F", "closed"),
        ("00 00 00 10 00 01 00 1F", "closed"),
        ("00 FF 00 00 00", "closed"),
    ],
)
def test_framing_of_noise_that_begins_with_zero(start: str, framing: str) -> None:
    octets = bytes.fromhex(start)
    for cut in range(len(octets) + 1):
        line = endpoint()
        assert talk(line, octets[:cut]) + talk(line, octets[cut:]) == ""
        assert line.closed == (framing == "closed")
        flagless = SNRM[2:] if octets[-1] == 0x7E else SNRM
        assert talk(line, flagless) == (UA if framing == "hdlc" else "")


@pytest.mark.parametrize(("framing", "good", "bad"), [("hdlc", SNRM, W_AARQ), ("wrapper", W_AARQ, SNRM)])
def test_forced_framing(framing: str, good: str, bad: str) -> None:
    assert talk(endpoint(framing=framing), good) in (UA, W_AARE)
    line = endpoint(framing=framing)
    assert talk(line, bad) == ""
    assert line.closed == (framing == "wrapper")


def test_a_closed_endpoint_says_nothing_more() -> None:
    line = endpoint()
    assert talk(line, W_AARQ + "00029999") == W_AARE
    assert line.closed
    assert talk(line, W_AARQ) == talk(line, SNRM) == ""


_SESSION = bytes.fromhex(SNRM + I_AARQ[2:] + "7E55AA" + I_GET_NAME + RR_0)
_ANSWERS = talk(endpoint(), _SESSION)
_TCP_SESSION = bytes.fromhex(W_AARQ + W_GET + "0001001000010000" + W_GET + "00010010000100056203800100")
_TCP_ANSWERS = talk(endpoint(), _TCP_SESSION)


@pytest.mark.parametrize(
    ("session", "answers"), [(_SESSION, _ANSWERS), (_TCP_SESSION, _TCP_ANSWERS)], ids=["hdlc", "wrapper"]
)
def test_any_split_gives_the_same_answers(session: bytes, answers: str) -> None:
    assert len(answers) > 200
    for cut in range(len(session) + 1):
        line = endpoint()
        assert talk(line, session[:cut]) + talk(line, session[cut:]) == answers
    line = endpoint()
    assert "".join(talk(line, session[i : i + 1]) for i in range(len(session))) == answers


@given(st.lists(st.integers(0, len(_SESSION)), max_size=8))
def test_any_pieces_give_the_same_answers(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(_SESSION)]
    line = endpoint()
    pieces = [_SESSION[a:b] for a, b in itertools.pairwise(places)]
    assert "".join(talk(line, piece) for piece in pieces) == _ANSWERS


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["", "7E", "7E7E"])
def test_flags_alone_are_no_half_frame_to_wake_up_for(flags: str) -> None:
    line = endpoint()
    assert talk(line, SNRM) == UA
    if flags:
        talk(line, flags, 1000.0)
    assert line.next_deadline() == 1120.0
    talk(line, SNRM[2:], 1002.1)  # it takes no flag of before for its own any more
    assert talk(line, SNRM, 1004.0) == UA


@pytest.mark.parametrize("short", [True, False])
def test_an_outage_in_which_nobody_spoke_ends_links_too(short: bool) -> None:
    own = started([("port.ETHERNET.unit_id", 17), ("port.ETHERNET.framing", "hdlc")])
    line = own.endpoint(now=0.0)
    assert (talk(line, SNRM, 1.0), line.linked) == (UA, True)
    own.power_down(2.0)
    own.power_up(3.0)
    assert not line.linked
    request = bytes.fromhex(I_AARQ)
    assert line.follow(request, 4.0) is None
    if not short:
        assert talk(line, I_AARQ, 4.0) == DM
    assert talk(line, SNRM, 5.0) == UA
    assert line.follow(request, 6.0)


def test_half_frame_is_dropped_at_the_deadline() -> None:
    line = endpoint()
    talk(line, SNRM[:8])
    assert line.next_deadline() == 1001.5
    assert line.handle_timeout(1001.4) == b""
    assert line.next_deadline() == 1001.5
    assert line.handle_timeout(1001.5) == b""
    assert line.next_deadline() == 1120.0
    assert talk(line, SNRM[8:], 1001.6) == ""


def test_half_frame_is_dropped_even_if_nobody_wakes_the_endpoint() -> None:
    line = endpoint()
    talk(line, SNRM[:8])
    assert talk(line, SNRM[8:], 1001.5) == ""
    assert talk(line, SNRM, 1004.0) == UA  # the torn end has begun no frame


@pytest.mark.parametrize("rx_timeout", [0.1, 1.5, 15.0])
def test_rx_timeout_is_that_of_the_port(rx_timeout: float) -> None:
    line = endpoint(rx_timeout=rx_timeout)
    talk(line, SNRM[:8])
    assert talk(line, SNRM[8:], 1000.0 + rx_timeout * 0.99) == UA
    talk(line, SNRM[:8], 1000.0 + rx_timeout)
    assert talk(line, SNRM[8:], 1000.0 + 2.01 * rx_timeout) == ""


def test_a_half_wpdu_may_take_its_time() -> None:
    line = endpoint()
    talk(line, W_AARQ[:30])
    assert line.next_deadline() == 1120.0
    assert talk(line, W_AARQ[30:], 1119.0) == W_AARE


@pytest.mark.parametrize("woken", [True, False])
@pytest.mark.parametrize(
    ("opening", "question", "alive", "dead"),
    [
        (SNRM, RR_0, METER_RR_0, DM),
        (W_AARQ, W_GET, None, "0001000100100003D80102"),
    ],
    ids=["hdlc", "wrapper"],
)
def test_inactivity(woken: bool, opening: str, question: str, alive: str | None, dead: str) -> None:
    line = endpoint(inactivity=60.0)
    talk(line, opening)
    answer = talk(line, question, 1059.9)
    assert answer == alive or (alive is None and "C401C100" in answer)
    if woken:
        line.handle_timeout(1119.8)
        assert not line.idle
        assert line.next_deadline() == 1119.9
        line.handle_timeout(1119.9)
        assert line.idle
        assert line.next_deadline() is None
    assert talk(line, question, 1119.9) == dead
    assert not line.idle
    assert line.next_deadline() is not None


def test_idle_begins_with_the_connection() -> None:
    line = endpoint()
    assert line.next_deadline() == 1120.0
    line.handle_timeout(1120.0)
    assert line.idle
    assert talk(line, SNRM, 1121.0) == UA
    assert not line.idle


def test_an_undecided_first_octet_is_forgotten_at_inactivity() -> None:
    line = endpoint()
    talk(line, "00")
    line.handle_timeout(1120.0)
    assert talk(line, W_AARQ, 1121.0) == W_AARE


@pytest.mark.parametrize("inactivity", [0.5, 1.5])
def test_inactivity_shorter_than_rx_timeout(inactivity: float) -> None:
    line = endpoint(inactivity=inactivity)
    talk(line, SNRM + SNRM[2:8])
    assert line.next_deadline() == 1000.0 + inactivity
    line.handle_timeout(1000.0 + inactivity)
    assert line.idle
    assert talk(line, RR_0, 1010.0) == DM


def test_octets_for_others_keep_the_link() -> None:
    line = endpoint()
    talk(line, SNRM)
    for number in range(1, 5):
        assert talk(line, "7EA00A00020025219 3C1A77E".replace(" ", ""), 1000.0 + 100 * number) == ""
    assert talk(line, RR_0, 1500.0) == METER_RR_0


# --- settings and clients ---------------------------------------------------------------------------


def test_silence_before_snrm() -> None:
    settings_ = [("before_snrm", "silence"), ("port.ETHERNET.unit_id", 17)]
    line = started(settings_).endpoint()
    for octets in (RR_0, I_AARQ, client(0x13), client(0xFF), client(0x73)):
        assert talk(line, octets) == ""
    assert talk(line, client(0x53)) == DM  # DISC is answered all the same
    assert talk(line, client(0x93, "82")) == DM  # and so is a SNRM that cannot be taken
    assert talk(line, SNRM) == UA
    assert talk(line, RR_0) == METER_RR_0
    assert talk(line, client(0x11, sap=1)) == ""  # client 1 has no link


def test_two_clients_on_one_line_have_their_own_rights() -> None:
    public, setter = Bench(client=16), Bench(client=1)
    setter.meter, setter.endpoint = public.meter, public.endpoint
    public.enter("A")
    setter.enter("A")
    assert public.apdu(SET_TIME) == bytes.fromhex("D80102")
    assert setter.apdu(SET_TIME) == bytes.fromhex("C501C100")
    first = setter.apdu(get_request(15, "0-0:40.0.0*255", 2)) or b""
    other = public.apdu(get_request(7, "1-0:99.1.0*255", 2)) or b""
    assert setter.joined(first)[:2] == b"\x01\x16"
    assert public.joined(other)[:2] == b"\x01\x14"
    public.disc()
    assert setter.apdu(GET_NAME) is not None


def test_wrapper_ports_that_can_have_no_association_are_not_remembered() -> None:
    def associations() -> int:
        gc.collect()
        return sum(isinstance(each, Association) for each in gc.get_objects())

    line = endpoint(framing="wrapper")
    assert talk(line, W_AARQ) == W_AARE
    before = associations()
    for port in range(2, 2000):
        if port != 16:
            talk(line, Wpdu(port, 1, bytes.fromhex(GET_NAME)).encode())
    assert associations() == before
    assert talk(line, W_GET).startswith("0001000100100")  # and the one that there is goes on


def test_unit_ids_are_told_apart() -> None:
    for unit_id in (1, 100, 125, 126, 127, 9999):
        line = started([("port.ETHERNET.unit_id", unit_id)]).endpoint()
        address = bytes((0, 2, unit_id >> 7 << 1, (unit_id & 0x7F) << 1 | 1))
        assert talk(line, build(address, b"\x21", 0x93))[6:20].startswith("21" + address.hex().upper())
        assert talk(line, build(SERVER, b"\x21", 0x93)) == ""


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_without_power_the_meter_is_deaf_and_forgets(transport: Transport) -> None:
    bench = Bench(transport, 1)
    bench.enter("A" if transport == "hdlc" else "TA")
    request = bench.i_frame if transport == "hdlc" else bench.wpdu
    bench.meter.power_down(bench.now)
    assert bench.send(request(bytes.fromhex(SET_TIME))) == b""
    bench.meter.power_up(bench.now + 60.0)
    bench.now += 60.0
    answer = bench.send(request(bytes.fromhex(GET_NAME)))
    assert answer.hex().upper() == (meter_dm(1) if transport == "hdlc" else "0001000100010003D80102")
    assert bench.meter.ion.clock.steps == 0


def meter_dm(sap: int) -> str:
    return build(bytes((sap << 1 | 1,)), SERVER, 0x1F).hex().upper()


# --- any octets at all ------------------------------------------------------------------------------


def stored() -> tuple[object, ...]:
    """All that octets must leave as it is; an association that they open is an event, and may be one."""
    ion = meter().ion
    return (
        ion.clock.steps,
        ion.clock.utc_ms(0.0),
        ion.state.offset_ms,
        ion.state.recorders,
        *(recorder.log.packed(0, 1 << 40) for recorder in ion.recorders.values()),
    )


_FRAMES = [bytes.fromhex(text) for text in (SNRM, I_AARQ, I_GET_NAME, RR_0, W_AARQ, W_GET)]
_LLS = [
    bytes.fromhex(client(0x93, sap=1)),
    bytes.fromhex(client(0x10, "E6E600" + AARQ_LLS, sap=1)),
    bytes.fromhex(client(0x32, "E6E600" + get_request(15, "0-0:40.0.0*255", 2), sap=1)),
    bytes.fromhex(client(0x54, "E6E600C002C100000001", sap=1)),
    bytes.fromhex(client(0x76, "E6E600" + get_request(7, "1-0:99.1.0*255", 0), sap=1)),
]


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(_FRAMES)), max_size=12))
@example([b"\x00"] * 9)
def test_random_octets_never_raise_and_never_change_anything(pieces: list[bytes]) -> None:
    before = stored()
    line = endpoint()
    for piece in pieces:
        assert isinstance(line.receive_data(piece, 1000.0), bytes)
        deadline = line.next_deadline()
        assert deadline is None or deadline >= 1000.0
    assert stored() == before


@settings(max_examples=300)
@given(st.data())
def test_mutated_sessions_never_raise_and_the_line_recovers(data: st.DataObject) -> None:
    before = stored()
    stream = bytearray(b"".join(_LLS * 2))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(stream) - 1))
        match data.draw(st.sampled_from(["change", "drop", "double", "insert"])):
            case "change":
                stream[place] ^= data.draw(st.integers(1, 255))
            case "drop":
                del stream[place : place + data.draw(st.integers(1, 20))]
            case "double":
                stream[place:place] = stream[place : place + 20]
            case _:
                stream[place:place] = data.draw(st.binary(max_size=10))
    line = endpoint(framing="hdlc")
    step = data.draw(st.integers(1, 64))
    now = 1000.0
    for begin in range(0, len(stream), step):
        now += data.draw(st.sampled_from([0.0, 0.0, 0.1, 2.0]))
        line.receive_data(bytes(stream[begin : begin + step]), now)
    assert stored() == before
    line.handle_timeout(now + 1.5)
    assert talk(line, client(0x93, sap=1), now + 2) != ""
    assert "C401C100" not in talk(line, client(0x10, "E6E600" + GET_NAME, sap=1), now + 2)
    meter_frame = talk(line, client(0x32, "E6E600" + AARQ_LLS, sap=1), now + 2)
    assert "A203020100" in meter_frame


@settings(max_examples=200)
@given(st.binary(max_size=120), st.sampled_from([1, 16]), st.booleans())
def test_random_apdus_in_an_association(apdu: bytes, sap: int, over_hdlc: bool) -> None:
    before = stored()
    bench = _open(sap, over_hdlc)
    if over_hdlc:
        answer = bench.send(bench.i_frame(apdu))
        assert len(bench.frames(answer)) == 1
    else:
        bench.send(bench.wpdu(apdu))
    assert stored() == before


def _open(sap: int, over_hdlc: bool) -> Bench:
    bench = object.__new__(Bench)
    bench.transport, bench.client, bench.meter, bench.now = (
        "hdlc" if over_hdlc else "wrapper",
        sap,
        meter(),
        1000.0,
    )
    bench.information, bench.send_number, bench.receive_number, bench.answers = 128, 0, 0, []
    bench.endpoint = endpoint()
    bench.enter("A" if over_hdlc else "TA", AARQ if sap == 16 else AARQ_LLS)
    return bench


@pytest.mark.parametrize(
    "octets",
    [
        b"\x7e\xa7\xff",
        b"\x7e\xa0\x7e",
        b"\x00\x01\x00\x10\x00\x01\xff\xff",
        b"\x00",
        b"\x55" * 9,
        bytes(range(256)),
    ],
)
def test_memory_is_bounded(octets: bytes) -> None:
    line = endpoint()
    line.receive_data(octets * 20, 1000.0)
    tracemalloc.start()
    for _ in range(100):
        line.receive_data(octets * 20, 1000.0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 70_000


# --- frames that somebody else has cut ------------------------------------------------------------


def frame(octets: str) -> Frame:
    return Frame.decode(bytes.fromhex(octets))


@pytest.mark.parametrize("framing", ["auto", "hdlc"])
def test_frame_by_frame_gives_the_same_answers(framing: str) -> None:
    by_octets, by_frames = endpoint(), endpoint(framing=framing)
    now = 1000.0
    for octets in (SNRM, I_AARQ, I_GET_NAME, RR_0):
        now += 0.1
        answer = by_frames.receive_frame(frame(octets), now)
        assert answer.hex().upper() == talk(by_octets, octets, now) != ""
        assert by_frames.next_deadline() == pytest.approx(now + 120.0)


def test_what_is_said_to_others_keeps_the_link_and_silence_ends_it() -> None:
    for heard, answer in ((True, METER_RR_0), (False, DM)):
        line = endpoint()
        line.receive_frame(frame(SNRM), 0.0)
        if heard:
            line.heard(100.0)
        assert line.receive_frame(frame(RR_0), 130.0).hex().upper() == answer


def test_frames_find_a_meter_without_power_deaf() -> None:
    dark = Meter(load(None, [("port.ETHERNET.unit_id", 17)]))
    line = dark.endpoint()
    assert line.receive_frame(frame(SNRM), 0.0) == b""
    dark.start(START_MS, 0.0)
    assert line.receive_frame(frame(SNRM), 0.0).hex().upper() == UA
