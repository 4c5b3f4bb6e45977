"""Suite WRAPPER: IEC 62056-47 over TCP."""

from __future__ import annotations

import time
from typing import Final

from iondlms.acse import Aare
from iondlms.conformance.apdus import ASSOCIATION, GET_LIST, GET_NAME, GET_OWN_NAME, RELEASE, get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.line import TcpAccess
from iondlms.conformance.steps import Accepted, Ask, Case, Released
from iondlms.conformance.verdict import Inapplicable, require
from iondlms.errors import DlmsError, PortError

CLAUSE: Final = "62056-47 6"
_NAME: Final = "C401C100"


def _accepted(bench: Bench, answer: bytes, why: str) -> None:
    require(answer != b"", f"{why}: no answer{' (the connection was closed)' if bench.closed else ''}")
    try:
        same = Accepted().same(Aare.decode(bench.opened(answer)))
    except DlmsError as error:
        same = False
        why = f"{why}: {error}"
    require(same, f"{why}: {answer.hex()}")


def _name(bench: Bench, answer: bytes, why: str, invoke: str = "C1") -> None:
    text = bench.opened(answer).hex().upper() if answer else "no answer"
    require(text.startswith(_NAME.replace("C1", invoke)), f"{why}: {text}")


def _works_or_closed(bench: Bench, why: str) -> None:
    """After silence: the connection still carries an AARQ, or it was closed and a new one does."""
    if bench.closed:
        bench.remark(f"{why}: the connection was closed")
        bench.connect()
    _accepted(bench, bench.send(bench.wpdu(bench.own_aarq())), why)


def _association(bench: Bench) -> None:
    """The AARE, in one WPDU with the ports swapped."""
    _accepted(bench, bench.send(bench.wpdu(bench.own_aarq())), "AARQ")


def _ports_swapped(bench: Bench) -> None:
    """Header with swapped ports and the exact length, one APDU a WPDU."""
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "GET")
    require(bench.ask(GET_OWN_NAME).hex().upper() == "C401C10009060000280000FF", "attribute 1")


def _unknown_version(bench: Bench) -> None:
    """Nothing, or a closed connection; then, if need be on a new one, the AARE."""
    answer = bench.send(bench.wpdu(bench.own_aarq(), version=2), 0)
    require(answer == b"", f"version 2 was answered: {answer.hex()}")
    bench.connect()
    _accepted(bench, bench.send(bench.wpdu(bench.own_aarq())), "on a new connection")


def _octet_by_octet(bench: Bench) -> None:
    """One AARE to an AARQ written octet by octet."""
    stream = bench.wpdu(bench.own_aarq())
    for octet in stream[:-1]:
        bench.put(bytes((octet,)))
        bench.wait(0.02)
    _accepted(bench, bench.send(stream[-1:]), "octet by octet")


def _two_at_once(bench: Bench) -> None:
    """Two responses, in order, each with its own invoke-id."""
    second = GET_NAME.replace("C001C1", "C001C2")
    answers = bench.wpdus(bench.send(bench.wpdu(GET_NAME) + bench.wpdu(second), 2))
    require(len(answers) == 2, f"{len(answers)} answers to two requests")
    _name(bench, answers[0], "the first")
    _name(bench, answers[1], "the second", "C2")


def _any_split(bench: Bench) -> None:
    """Two requests back to back, cut anywhere: two responses."""
    stream = bench.wpdu(GET_NAME) * 2
    for cut in range(1, len(stream)):
        bench.put(stream[:cut])
        bench.put(stream[cut:])
        answers = bench.wpdus(bench.take(2))
        require(len(answers) == 2, f"cut at {cut}: {len(answers)} answers")
        for answer in answers:
            _name(bench, answer, f"cut at {cut}")


def _length_zero(bench: Bench) -> None:
    """Nothing to a WPDU without APDU; the next one is answered."""
    answer = bench.send(bench.wpdu(b""), 0)
    require(answer == b"", f"answered: {answer.hex()}")
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "GET behind it")


def _too_long(bench: Bench) -> None:
    """pdu-too-long, or nothing, or a closed connection; a later request works."""
    if bench.cti.application.max_pdu_wrapper in (0, 65535):
        raise Inapplicable("the meter takes APDUs of any length")
    bench.put(bench.wpdu(b"")[:6] + b"\xff\xff")
    for _ in range(15):
        bench.put(b"\0" * 4369)
    answer = bench.take()
    text = bench.opened(answer).hex().upper() if answer else ""
    bench.match(text, "D80104", "", "D8010?", why="65535 octets")
    if bench.closed:
        bench.remark("the connection was closed")
        bench.connect()
        bench.associate()
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "GET behind it")


def _largest(bench: Bench) -> None:
    """An APDU of the announced size is taken, one of one octet more is pdu-too-long or ignored."""
    size = bench.cti.application.max_pdu_wrapper
    if not len(GET_NAME) // 2 < size < 0xFFFF:
        raise Inapplicable(f"the announced size is {size}")
    padded = bytes.fromhex(GET_NAME).ljust(size, b"\0")
    answer = bench.apdu(padded)
    shown = "" if answer is None else answer.hex().upper()
    bench.match(shown, f"{_NAME}*", "D8010?", why="an APDU of the announced size")
    answer = bench.apdu(padded + b"\0")
    bench.match("" if answer is None else answer.hex().upper(), "D80104", "", "D8010?", f"{_NAME}*")


def _unknown_destination(bench: Bench) -> None:
    """Nothing, or a closed connection; then an AARQ as it should be is answered."""
    other = 2 if bench.cti.hdlc.logical != 2 else 3
    answer = bench.send(bench.wpdu(bench.own_aarq(), destination=other), 0)
    require(answer == b"", f"answered: {answer.hex()}")
    _works_or_closed(bench, "unknown destination")


def _one_connection(bench: Bench) -> None:
    """A second connection is refused or closed without data; the first association still answers."""
    access = bench.access
    require(isinstance(access, TcpAccess), "a TCP connection")
    if isinstance(access, TcpAccess):
        other = access.knock()
        try:
            other.send(bench.wpdu(bench.own_aarq()))
            answer = other.receive(other.now() + max(0.3, bench.cti.line.quiet_s))
        except PortError:
            answer = b""
        finally:
            other.close()
        if answer:
            bench.remark("a second connection is served beside the first")
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "the first association")


def _dies_with_the_connection(bench: Bench) -> None:
    """On a new connection there is no association: D8 01 02, or nothing."""
    bench.connect()
    bench.expect(GET_NAME, "D80102", "", "D8010?", why="GET on a new connection")


def _reset(bench: Bench) -> None:
    """After a reset in the middle of a long answer the next connection works."""
    bench.put(bench.wpdu(GET_LIST))
    bench.socket.reset()
    bench.connect()
    bench.associate()
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "GET on the next connection")


def _half_close(bench: Bench) -> None:
    """The AARE to what was sent before the half-close, then the meter closes."""
    bench.put(bench.wpdu(bench.own_aarq()))
    bench.socket.shut()
    _accepted(bench, bench.take(), "AARQ before the half-close")
    until = time.monotonic() + 5
    while not bench.closed and time.monotonic() < until:
        require(bench.take(0) == b"", "more was said")
    require(bench.closed, "the meter does not close")


def _get_before(bench: Bench) -> None:
    """D8 01 02, or nothing; then the AARE."""
    bench.expect(GET_NAME, "D80102", "", "D8010?", why="GET before AARQ")
    _works_or_closed(bench, "GET before AARQ")


def _another_client(bench: Bench) -> None:
    """D8 01 02 to the other port, or nothing; the association of the first still answers."""
    other = 1 if bench.sap != 1 else 16
    answer = bench.send(bench.wpdu(GET_NAME, source=other))
    if answer:
        require(int.from_bytes(answer[4:6], "big") == other, f"to another port: {answer.hex()}")
    bench.match(answer[8:].hex(), "D80102", "", "D8010?", why=f"GET of client {other}")
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "the first association")


def _long_answer(bench: Bench) -> None:
    """One WPDU of the right length, or datablocks; and the same value either way."""
    whole = bench.read(15, ASSOCIATION)
    sizes = {len(answer) for answer in bench.answers}
    bench.associate(bench.own_aarq(size=0x0200))
    bench.answers.clear()
    require(bench.read(15, ASSOCIATION) == whole, f"another value in blocks; answers had {sizes}")
    require(max(map(len, bench.answers)) <= 0x0200, "an APDU over 512")


def _header_then_body(bench: Bench) -> None:
    """A header alone is no request; its APDU, as late as it likes, makes it one."""
    request = bench.wpdu(GET_NAME)
    for cut in range(1, 9):
        answer = bench.send(request[:cut], 0)
        require(answer == b"", f"answered after {cut} octets: {answer.hex()}")
        _name(bench, bench.send(request[cut:]), f"cut at {cut}")


def _hundred_at_once(bench: Bench) -> None:
    """A hundred requests in one go: a hundred responses, in order."""
    stream = b"".join(
        bench.wpdu(get_request(1, "0-0:42.0.0*255", 2, invoke=f"{0xC0 | n & 15:02X}")) for n in range(100)
    )
    answers = bench.wpdus(bench.send(stream, 100))
    order = [answer[10] for answer in answers]
    require(order == [0xC0 | n & 15 for n in range(100)], f"{len(answers)} answers, or out of order")


def _abandoned(bench: Bench) -> None:
    """Ten connections left in the middle of a header, of an APDU, of a block transfer: the next one works."""
    request = bench.wpdu(bench.own_aarq())
    for cut in (1, 4, 8, 9, len(request) - 1) * 2:
        bench.put(request[:cut])
        bench.connect()
    bench.associate(bench.own_aarq(size=64))
    bench.ask(GET_LIST)
    bench.connect()
    bench.associate()
    _name(bench, bench.send(bench.wpdu(GET_NAME)), "after abandoned connections")


def _idle(bench: Bench) -> None:
    """After the inactivity time-out the association is gone, whether or not the connection is."""
    bench.wait_inactive()
    if bench.closed:
        bench.connect()
    bench.expect(GET_NAME, "D80102", "", "D8010?", why="GET after the time-out")


def _versions(bench: Bench) -> None:
    """Nothing to a header of version 0, 256 or 65535, on a new connection each."""
    for version in (0, 256, 0xFFFF):
        answer = bench.send(bench.wpdu(bench.own_aarq(), version=version), 0)
        require(answer == b"", f"version {version} was answered: {answer.hex()}")
        bench.connect()
    _accepted(bench, bench.send(bench.wpdu(bench.own_aarq())), "version 1")


def _broadcast(bench: Bench) -> None:
    """No confirmed service to a broadcast port: nothing, or a closed connection."""
    answer = bench.send(bench.wpdu(bench.own_aarq(), destination=0x7F), 0)
    require(answer == b"", f"answered: {answer.hex()}")
    _works_or_closed(bench, "All-station")


def _no_station(bench: Bench) -> None:
    """Nothing to a request for No-station."""
    answer = bench.send(bench.wpdu(bench.own_aarq(), destination=0), 0)
    require(answer == b"", f"answered: {answer.hex()}")
    _works_or_closed(bench, "destination No-station")


def _from_no_station(bench: Bench) -> None:
    """Nothing to a request from No-station."""
    answer = bench.send(bench.wpdu(bench.own_aarq(), source=0), 0)
    require(answer == b"", f"answered: {answer.hex()}")
    _works_or_closed(bench, "source No-station")


CASES: Final = (
    Case("WR-01", "association over the wrapper", "T", _association, CLAUSE),
    Case("WR-02", "ports swapped, length exact", "TA", _ports_swapped, CLAUSE),
    Case("WR-03", "unknown version", "T", _unknown_version, CLAUSE),
    Case("WR-04", "TCP is a stream: octet by octet", "T", _octet_by_octet, CLAUSE),
    Case("WR-05", "two WPDUs in one TCP segment", "TA", _two_at_once, CLAUSE),
    Case("WR-06", "two WPDUs cut anywhere", "TA", _any_split, CLAUSE),
    Case("WR-07", "length zero", "TA", _length_zero, CLAUSE),
    Case("WR-08", "length larger than the server takes", "TA", _too_long, CLAUSE),
    Case("WR-09", "unknown destination wPort", "T", _unknown_destination, CLAUSE),
    Case("WR-10", "destination No-station", "T", _no_station, CLAUSE),
    Case("WR-11", "destination All-station", "T", _broadcast, CLAUSE),
    Case("WR-12", "source No-station", "T", _from_no_station, CLAUSE),
    Case("WR-13", "one connection only", "TA", _one_connection, CLAUSE, needs=("sockets",)),
    Case("WR-14", "the largest APDU is taken, one more octet is not", "TA", _largest, CLAUSE),
    Case("WR-15", "AA dies with the connection", "TA", _dies_with_the_connection, CLAUSE),
    Case("WR-16", "reset while a long answer is sent", "TA", _reset, CLAUSE, needs=("sockets",)),
    Case("WR-17", "half-close", "T", _half_close, CLAUSE, needs=("sockets",)),
    Case("WR-18", "GET before AARQ", "T", _get_before, CLAUSE),
    Case("WR-19", "another client port inside an AA", "TA", _another_client, CLAUSE),
    Case(
        "WR-20",
        "release over TCP",
        "TA",
        (Ask(RELEASE, Released()), Ask(GET_NAME, "D80102", ("D8010?", None))),
        CLAUSE,
    ),
    Case(
        "WR-21",
        "response bigger than one TCP segment",
        "TA",
        _long_answer,
        CLAUSE,
        aarq=lambda bench: bench.own_aarq(size=0xFFFF),
        needs=("blocks",),
    ),
    Case("WR-30", "every other version", "T", _versions, CLAUSE),
    Case("WR-31", "header and APDU apart", "TA", _header_then_body, CLAUSE),
    Case("WR-32", "a hundred requests in one segment", "TA", _hundred_at_once, CLAUSE),
    Case("WR-33", "half-open and abandoned connections", "T", _abandoned, CLAUSE, needs=("blocks",)),
    Case("WR-34", "inactivity ends the association", "TA", _idle, "Green Book 7.3.3"),
)
