"""Packet captures: formats, link types, and TCP put together again whatever befell it."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace.packets import ACK, CLIENT, FIN, SERVER, Talk, ethernet, packet, pcap, pcapng

from iondlms.errors import LocalError
from iondlms.trace.capture import Captured, is_capture, read_capture

UP = [b"~\xa0" + bytes(range(20)), b"second"]
DOWN = [b"~\xa0" + b"answer" * 30, b"another"]


def talk(client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER) -> Talk:
    conversation = Talk(client, server).open()
    for up, down in zip(UP, DOWN, strict=True):
        conversation.say(True, up).say(False, down[:9]).say(False, down[9:])
    return conversation.say(True, b"", FIN | ACK)


def sides(captured: list[Captured]) -> dict[str, bytes]:
    joined = {"TX": b"", "RX": b""}
    for each in captured:
        joined[each.direction] += each.octets
    return joined


EXPECTED = {"TX": b"".join(UP), "RX": b"".join(DOWN)}


@pytest.mark.parametrize("link_type", [0, 1, 101, 108, 113, 276])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", [pcap, pcapng])
def test_forms_orders_and_link_types(form: object, order: str, link_type: int) -> None:
    assert callable(form)
    raw = form(talk().packets, link_type, order)
    assert is_capture(raw)
    captured = list(read_capture(raw))
    assert sides(captured) == EXPECTED
    assert {(each.client, each.server, each.gap) for each in captured} == {
        ("10.0.0.5:40000", "10.0.0.7:4059", False)
    }
    # Turns are kept: what was asked first is there first.
    assert [way for way, _ in groupby(captured, lambda each: each.direction)] == ["TX", "RX", "TX", "RX"]


def test_nanoseconds_vlan_and_ipv6() -> None:
    assert sides(list(read_capture(pcap(talk().packets, nanoseconds=True)))) == EXPECTED
    six = ("2001:0db8:0000:0000:0000:0000:0000:0001", 50000)
    seven = ("2001:0db8:0000:0000:0000:0000:0000:0002", 4059)
    captured = list(read_capture(pcapng(talk(client=six, server=seven).packets)))
    assert sides(captured) == EXPECTED
    assert captured[0].server == "[2001:db8:0:0:0:0:0:2]:4059"
    raw = pcap([])
    for ip in talk().packets:
        tagged = ethernet(ip, vlan=True)
        raw += b"".join(part.to_bytes(4, "little") for part in (0, 0, len(tagged), len(tagged))) + tagged
    assert sides(list(read_capture(raw))) == EXPECTED


def test_segments_out_of_order_doubled_and_overlapping() -> None:
    packets = talk().packets
    swapped = [*packets[:3], packets[4], packets[3], packets[4], packets[3], *packets[5:]]
    assert sides(list(read_capture(pcap(swapped)))) == EXPECTED
    conversation = Talk().open().say(True, b"~\xa0abc")
    start = conversation.numbers[True] - 5
    conversation.packets.append(
        packet(conversation.client, conversation.server, start + 2, 0, ACK, b"abcdef")
    )
    assert sides(list(read_capture(pcap(conversation.packets))))["TX"] == b"~\xa0abcdef"


def test_a_segment_that_the_capture_missed_is_a_gap() -> None:
    packets = talk().packets
    without = packets[:3] + packets[4:]  # the first half of the first answer
    captured = list(read_capture(pcap(without)))
    answers = [each for each in captured if each.direction == "RX"]
    assert b"".join(each.octets for each in answers) == EXPECTED["RX"][9:]
    assert [each.gap for each in answers] == [True, False]
    # It stands where it was said: before the next question.
    assert [each.direction for each in captured] == ["TX", "RX", "TX", "RX"]


def test_a_capture_that_begins_in_the_middle() -> None:
    captured = list(read_capture(pcap(talk().packets[5:])))
    assert sides(captured) == {"TX": UP[1], "RX": DOWN[1]}
    # No SYN and no known port: the server has the lower one.
    other = talk(server=("10.0.0.7", 2001)).packets
    assert [each.server for each in read_capture(pcap(other[3:5]))] == ["10.0.0.7:2001"] * 2


def test_the_same_ports_again() -> None:
    twice = talk().packets + talk().packets
    assert sides(list(read_capture(pcap(twice)))) == {way: octets * 2 for way, octets in EXPECTED.items()}


def test_other_connections_are_left_out() -> None:
    web = (
        Talk(server=("10.0.0.9", 80)).open().say(True, b"GET / HTTP/1.1\r\n").say(False, b"HTTP/1.1 200\r\n")
    )
    udp = bytearray(talk().packets[2])
    udp[9] = 17
    captured = list(read_capture(pcapng([*web.packets, bytes(udp), *talk().packets])))
    assert {each.server for each in captured} == {"10.0.0.7:4059"}
    assert sides(captured) == EXPECTED


@pytest.mark.parametrize("form", [pcap, pcapng])
def test_a_capture_that_was_cut_off_is_read_as_far_as_it_goes(form: object) -> None:
    assert callable(form)
    raw = form(talk().packets)
    longest = {"TX": 0, "RX": 0}
    for cut in range(4, len(raw)):
        joined = sides(list(read_capture(raw[:cut])))
        for way, octets in joined.items():
            assert EXPECTED[way].startswith(octets)
            assert len(octets) >= longest[way]
            longest[way] = len(octets)


def test_what_is_no_capture() -> None:
    assert not is_capture(b"7E A0")
    with pytest.raises(LocalError, match="neither pcap nor pcapng"):
        list(read_capture(b"7E A0"))


@given(st.binary(max_size=300), st.sampled_from([pcap([])[:24], pcapng([])[:40], b"\x0a\x0d\x0d\x0a"]))
def test_random_octets_are_no_error(noise: bytes, start: bytes) -> None:
    list(read_capture(start + noise))


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from([0, 1, 101, 113, 276]))
def test_random_packets_are_no_error(packets: list[bytes], link_type: int) -> None:
    raw = pcap([], link_type)
    for data in packets:
        raw += b"".join(part.to_bytes(4, "little") for part in (0, 0, len(data), len(data))) + data
    list(read_capture(raw))


@given(st.permutations(range(6)))
def test_any_order_of_one_turn(order: list[int]) -> None:
    conversation = Talk().open()
    for at in range(6):
        conversation.say(False, b"~\xa0" + bytes((at,)) * (at + 1))
    said = conversation.packets[2:]
    shuffled = conversation.packets[:2] + [said[at] for at in order]
    expected = b"".join(b"~\xa0" + bytes((at,)) * (at + 1) for at in range(6))
    assert sides(list(read_capture(pcap(shuffled))))["RX"] == expected
