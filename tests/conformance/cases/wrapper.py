"""Suite WRAPPER: the cases that need no socket. WR-13, WR-16 and WR-17 are in `tests/ports/test_tcp.py`."""

from __future__ import annotations

from typing import Final

from tests.conformance.bench import AARQ, GET_NAME, LOAD_PROFILE, Bench, aare, get_request, require
from tests.conformance.cases.case import Case, Raw

W_AARQ: Final = "000100100001001F" + AARQ
W_AARE: Final = "000100010010002B" + aare(0, 0, context=b"\x04\x00", client=16)
W_GET: Final = "000100100001000D" + GET_NAME


def _name(bench: Bench, invoke: str = "C1") -> str:
    name = bench.meter.logical_device_name.encode().hex()
    return f"0001000100100016C401{invoke}000910{name}".upper()


def _answered(bench: Bench, stimulus: str, expected: str) -> None:
    answer = bench.send(stimulus).hex().upper()
    require(answer == expected, f"{answer or 'nothing'}, {expected or 'nothing'} due")


def _unknown_version(bench: Bench) -> None:
    _answered(bench, "0002" + W_AARQ[4:], "")
    require(bench.endpoint.closed, "behind an unknown version nothing can be delimited: closed")
    _answered(bench, W_AARQ, "")
    bench.connect()
    _answered(bench, W_AARQ, W_AARE)


def _octet_by_octet(bench: Bench) -> None:
    stream = bytes.fromhex(W_AARQ)
    answer = b""
    for octet in stream:
        bench.now += 0.02
        answer += bench.send(bytes((octet,)))
    require(answer.hex().upper() == W_AARE, answer.hex())


def _any_split(bench: Bench) -> None:
    stream = bytes.fromhex(W_GET + W_GET)
    for cut in range(len(stream) + 1):
        answer = bench.send(stream[:cut]) + bench.send(stream[cut:])
        require(answer.hex().upper() == _name(bench) * 2, f"cut at {cut}: {answer.hex()}")


def _two_at_once(bench: Bench) -> None:
    second = W_GET.replace("C001C1", "C001C2")
    _answered(bench, W_GET + second, _name(bench) + _name(bench, "C2"))


def _length_zero(bench: Bench) -> None:
    _answered(bench, "0001001000010000", "")
    _answered(bench, W_GET, _name(bench))


def _too_long(bench: Bench) -> None:
    _answered(bench, "000100100001FFFF", "")
    for _ in range(14):
        _answered(bench, "00" * 4369, "")
    _answered(bench, "00" * 4369, "0001000100100003D80104")
    _answered(bench, W_GET, _name(bench))


def _largest(bench: Bench) -> None:
    """An APDU of 1024 octets is taken, one of 1025 is not."""
    padded = bytes.fromhex(GET_NAME).ljust(1024, b"\0")
    _answered(bench, bench.wpdu(padded).hex(), _name(bench))
    _answered(bench, bench.wpdu(padded + b"\0").hex(), "0001000100100003D80104")


def _dies_with_the_connection(bench: Bench) -> None:
    bench.connect()
    _answered(bench, W_GET, "0001000100100003D80102")


def _another_client(bench: Bench) -> None:
    _answered(bench, W_GET.replace("00010010", "00010001", 1), "0001000100010003D80102")
    _answered(bench, W_GET, _name(bench))


def _long_answer(bench: Bench) -> None:
    whole = bench.read(7, LOAD_PROFILE)
    answer = bench.answers[-1]
    require(len(answer) > 1460 and len(answer) == len(whole) + 4, f"{len(answer)} octets in one WPDU")
    bench.associate(AARQ[:-4] + "0200")
    bench.answers.clear()
    require(bench.read(7, LOAD_PROFILE) == whole, "and the same in blocks of 512")
    require(max(map(len, bench.answers)) == 512, "none above 512")


def _ports_swapped(bench: Bench) -> None:
    _answered(bench, W_GET, _name(bench))
    answer = bench.apdu(get_request(15, "0-0:40.0.0*255", 1))
    require(answer == bytes.fromhex("C401C10009060000280000FF"), f"{answer!r}")


CASES: Final = (
    Case("WR-01", "association over the wrapper", "T", (Raw(W_AARQ, W_AARE),)),
    Case("WR-02", "ports swapped, length exact", "TA", _ports_swapped),
    Case("WR-03", "unknown version", "T", _unknown_version),
    Case("WR-04", "TCP is a stream: octet by octet", "T", _octet_by_octet),
    Case("WR-05", "two WPDUs in one TCP segment", "TA", _two_at_once),
    Case("WR-06", "two WPDUs cut anywhere", "TA", _any_split),
    Case("WR-07", "length zero", "TA", _length_zero),
    Case("WR-08", "length larger than the server takes", "TA", _too_long),
    Case(
        "WR-09",
        "unknown destination wPort",
        "T",
        (Raw(W_AARQ.replace("00100001", "00100002", 1)), Raw(W_AARQ, W_AARE)),
    ),
    Case(
        "WR-10",
        "destination No-station",
        "T",
        (Raw(W_AARQ.replace("00100001", "00100000", 1)), Raw(W_AARQ, W_AARE)),
    ),
    Case(
        "WR-11",
        "destination All-station",
        "T",
        (Raw(W_AARQ.replace("00100001", "0010007F", 1)), Raw(W_AARQ, W_AARE)),
    ),
    Case(
        "WR-12",
        "source No-station",
        "T",
        (Raw(W_AARQ.replace("00100001", "00000001", 1)), Raw(W_AARQ, W_AARE)),
    ),
    Case("WR-14", "the largest APDU is taken, one more octet is not", "TA", _largest),
    Case("WR-15", "AA dies with the connection", "TA", _dies_with_the_connection),
    Case("WR-18", "GET before AARQ", "T", (Raw(W_GET, "0001000100100003D80102"), Raw(W_AARQ, W_AARE))),
    Case("WR-19", "another client port inside an AA", "TA", _another_client),
    Case(
        "WR-20",
        "release over TCP",
        "TA",
        (
            Raw("00010010000100056203800100", "00010001001000056303800100"),
            Raw(W_GET, "0001000100100003D80102"),
        ),
    ),
    Case(
        "WR-21",
        "response bigger than one TCP segment",
        "TA",
        _long_answer,
        aarq=AARQ[:-4] + "FFFF",
        settings=(("history", 100),),
    ),
)
