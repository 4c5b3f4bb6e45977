"""Suite BLOCK TRANSFER: GET with datablocks, every size of them, and everything that can come between two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.codec.axdr import decode
from iondlms.conformance.apdus import (
    ASSOCIATION,
    CLOCK,
    GET_LIST,
    GET_NAME,
    GET_OWN_NAME,
    RELEASE,
    get_request,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, sized
from iondlms.conformance.suites.application_scripts import name_is_read_only
from iondlms.conformance.verdict import Failure, Inapplicable, require
from iondlms.errors import DecodeError

_NO_TRANSFER: Final = "C402??01????????0110"


def next_block(bench: Bench, number: int, invoke: str = "C1") -> str:
    """Ask for the block behind this one, and return the answer as hex; nothing where there is none."""
    answer = bench.apdu(f"C002{invoke}{number:08X}")
    return "" if answer is None else answer.hex().upper()


def _no_transfer(bench: Bench, number: int = 1, why: str = "GET-next") -> None:
    """no-long-get-in-progress in a last block (or as a plain error), under the invoke-id of the request."""
    due = f"C402C101{number:08X}0110"
    bench.match(
        next_block(bench, number),
        due,
        "C402C101????????01??",
        "C401C101??",
        "D80???",
        why=f"{why}: no transfer is due",
    )


def gone(bench: Bench, number: int, why: str) -> None:
    """The transfer is over: no block may come."""
    text = next_block(bench, number)
    require(not _is_block(text), f"{why}: the transfer goes on with {text[:20]}")
    bench.match(
        text, f"C402C101{number:08X}0110", "C402C101????????01??", "C401C101??", "D80???", "", why=why
    )


def _is_block(text: str) -> bool:
    return text.startswith("C402") and text[16:18] == "00"


def _first(bench: Bench) -> bytes:
    """Begin a long GET; Inapplicable where its answer comes whole."""
    answer = bench.ask(GET_LIST)
    if answer[:4].hex() == "c401c100":
        raise Inapplicable("object_list comes in one answer")
    require(answer[:9].hex() == "c402c1000000000100", f"the first block is due: {answer[:12].hex()}")
    return answer


def _limit(bench: Bench, size: int) -> int:
    """Return the longest block: that of the client's size, over HDLC of one frame too."""
    if bench.framing == "hdlc" and bench.cti.application.long_answers == "block":
        return min(size, bench.information - 3)
    return size


def _in_blocks(bench: Bench) -> None:
    """Numbers 1, 2, 3...; each block as long as it may be; last-block at the end alone; joined they are one
    value with nothing left over."""
    bench.answers.clear()
    _first(bench)
    bench.answers.clear()
    value = bench.read(15, ASSOCIATION)
    limit = _limit(bench, 128)
    longest = max(map(len, bench.answers))
    require(longest <= 128, f"a block of {longest} octets")
    if {len(block) for block in bench.answers[:-1]} != {limit}:
        bench.remark(f"blocks of {sorted({len(block) for block in bench.answers[:-1]})} where {limit} fit")
    try:
        decode(value)
    except DecodeError as error:
        raise Failure(f"the joined blocks are no value: {error}") from error


def _none_running(bench: Bench) -> None:
    """no-long-get-in-progress, whatever number is asked for."""
    for number in (0, 1, 2, 0xFFFFFFFF):
        _no_transfer(bench, number)


def _wrong_number(bench: Bench) -> None:
    """data-block-number-invalid, and the transfer is over."""
    for number in (0, 2, 3, 255, 0x100, 0x10000, 0xFFFFFFFF):
        _first(bench)
        due = f"C402C101{number:08X}0113"
        bench.match(
            next_block(bench, number),
            due,
            "C402C101????????01??",
            "C401C101??",
            "D80???",
            why=f"number {number}",
        )
        gone(bench, 1, f"after the wrong number {number}")


def _previous_number(bench: Bench) -> None:
    """The same block again, octet for octet (or the number is invalid); no older one."""
    _first(bench)
    second = next_block(bench, 1)
    again = next_block(bench, 1)
    bench.match(again, second, "C402C101????????01??", "C401C101??", "D80???", why="the number before")
    if again != second:
        return
    third = next_block(bench, 2)
    require(third[8:16] == "00000003" and next_block(bench, 2) == third, "octet for octet")
    bench.match(next_block(bench, 1), "C402C101000000010113", "C402C101????????01??", "D80???", "C401C101??")


def _last_again(bench: Bench) -> None:
    """The last block may be lost too: asked for again it comes again (or the transfer is over)."""
    answer, number, before = _first(bench).hex().upper(), 1, ""
    while answer[6:8] == "00":
        before, answer = answer, next_block(bench, number)
        require(_is_block(answer), f"block {number + 1}: {answer}")
        number += 1
    require(before[8:16] == f"{number - 1:08X}", "the one before")
    again = next_block(bench, number - 1)
    bench.match(again, answer, "C402C101????????01??", "D80???", "C401C101??", why="the last block again")
    gone(bench, number, "beyond the last block")


def _other_invoke(bench: Bench) -> None:
    """An error under the other invoke-id, or the transfer goes on with it echoed; never data under the wrong
    one."""
    _first(bench)
    answer = next_block(bench, 1, "C2")
    if _is_block(answer):
        require(answer[4:6] == "C2", f"data under the wrong invoke-id: {answer[:20]}")
        bench.remark("another invoke-id goes on with the transfer")
        return
    bench.match(answer, "C402C201????????0110", "C402??01????????01??", "C401C?01??", "D80???")
    bench.match(
        next_block(bench, 1),
        "C402C10000000002*",
        "C402C101????????01??",
        "D80???",
        why="the transfer goes on",
    )


def _interrupted_by(
    request: str | Callable[[Bench], str], answer: str, *, associated: bool = True
) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        for blocks in (1, 2):
            _first(bench)
            if blocks == 2:
                require(_is_block(next_block(bench, 1)), "block 2")
            octets = request if isinstance(request, str) else request(bench)
            reply = bench.ask(octets, "the interruption").hex()
            bench.match(reply, answer, "D80???", "C?01C101*", why="the interruption")
            if associated:
                gone(bench, blocks, "after the interruption")
            else:
                bench.match(next_block(bench, blocks), "D80102", "", "D80???", why="without association")
                bench.associate(bench.own_aarq(size=128))

    script.__doc__ = "The other request is answered, and the long GET is over: no block of it comes any more."
    return script


def _by_a_set(bench: Bench) -> None:
    """The SET is refused and answered, and the long GET is over: no block of it comes any more."""
    name_is_read_only(bench)
    _interrupted_by("C101C1000100002A0000FF0200090141", "C501C103")(bench)


def _not_interrupted(bench: Bench) -> None:
    """What is refused before it is served leaves the transfer as it was (or ends it)."""
    _first(bench)
    for number, request in enumerate(("C301C1000F0000280000FF0100", "C001", "FF", "C3", "C004C1"), 1):
        bench.expect(request, "D80102", "", "D80???", "C???C101??", why=request)
        answer = next_block(bench, number)
        if not _is_block(answer):
            bench.remark(f"{request} ends the transfer")
            return
        require(answer[8:16] == f"{number + 1:08X}", f"block {number + 1} due: {answer[:20]}")


def _link_lost(bench: Bench) -> None:
    """After the link, the association too is new, and the transfer gone."""
    for how in ("disc", "snrm", "connect"):
        _first(bench)
        if bench.framing == "wrapper" or how == "connect":
            bench.connect()
            if bench.framing == "hdlc":
                bench.snrm()
        elif how == "disc":
            bench.disc()
            bench.snrm()
        else:
            bench.snrm()
        bench.match(next_block(bench, 1), "D80102", "", "D80???", "C402C101????????01??", why=f"after {how}")
        bench.associate(bench.own_aarq(size=128))
        gone(bench, 1, f"after {how} and a new association")


def _without_blocks(bench: Bench) -> None:
    """An error, never an APDU over the size and never a cut value; a short answer comes as ever."""
    answer = bench.ask(GET_LIST)
    require(len(answer) <= 64, f"an APDU of {len(answer)} octets for a size of 64")
    bench.match(
        answer.hex(), "C401C1010E", "C401C101??", "D80104", "D80???", why="a long answer without blocks"
    )
    require(bench.ask(GET_OWN_NAME)[:4].hex() == "c401c100", "a short one is answered")


def _segments_without_blocks(bench: Bench) -> None:
    """Over HDLC nothing but segments carries what may not go in blocks: one APDU, joined from them."""
    value = bench.read(15, ASSOCIATION)
    require(len(bench.answers[-1]) == len(value) + 4, "one APDU")


def _over_hdlc(bench: Bench) -> None:
    """Each block in one frame (or in segments); RR between two blocks mixes nothing up."""
    bench.answers.clear()
    value = bench.read(15, ASSOCIATION)
    room = bench.information - 3
    if max(map(len, bench.answers)) > room and bench.cti.application.long_answers == "block":
        bench.remark("answers longer than a frame are segmented")
    answer = bench.ask(GET_LIST)
    if answer[1] == 1:
        require(answer[4:] == value, "the same value")
        return
    ready = bench.frames(bench.send(bench.receive_ready()))
    require(len(ready) == 1 and ready[0].control & 0x1F == 0x11, f"RR between two blocks gets {ready}")
    require(bench.joined(answer) == value, "another value")


def _frozen(bench: Bench) -> None:
    """Blocks of one answer are of one moment: attribute 0 of the clock, read slowly."""
    first = bench.ask(get_request(8, CLOCK, 0))
    if first[1] != 2:
        raise Inapplicable("the clock's attributes come in one answer")
    bench.wait(min(2.5, bench.cti.line.inactivity_s * 0.6))
    items = decode(bench.joined(first)).items()
    status = items[1].octets()[11]
    require(status == 0xFF or items[3].integer() == status, "time and status are of two moments")
    later = bench.value(8, CLOCK)
    require(later != items[1], "the clock stands")


def _left_alone(bench: Bench) -> None:
    """Half the inactivity time-out between two blocks: the next block comes (or no transfer is running)."""
    _first(bench)
    pause = bench.cti.line.inactivity_s * 0.25
    for _ in range(2):
        bench.wait(pause)
        if bench.framing == "hdlc":
            bench.send(bench.receive_ready())
    bench.match(next_block(bench, 1), "C402C10000000002*", "C402C101????????01??", why="block 2")


def _abandoned(bench: Bench) -> None:
    """A hundred transfers begun and left: each begins with block 1, the last one goes on."""
    for _ in range(100):
        _first(bench)
        bench.answers.clear()
    require(next_block(bench, 1)[8:16] == "00000002", "block 2 of the last one")


def _errors_between(bench: Bench) -> None:
    """A GET that fails ends the transfer as one that succeeds does."""
    _first(bench)
    answer = bench.ask("C001C1000FFFFFFFFFFFFF0100")
    require(answer[:4].hex() == "c401c101" or answer[0] == 0xD8, answer.hex())
    gone(bench, 1, "after a GET that failed")


def _every_number(bench: Bench) -> None:
    """Over a whole transfer: numbers without a gap, last-block FALSE but at the end, no empty block."""
    answer, number = _first(bench).hex().upper(), 1
    while True:
        require(answer[8:16] == f"{number:08X}", f"block {number} due: {answer[:20]}")
        require(answer[18:20] != "00", f"block {number} is empty")
        if answer[6:8] != "00":
            break
        answer = next_block(bench, number)
        require(_is_block(answer), f"block {number + 1}: {answer}")
        number += 1
    require(number > 1, "more than one block")


def _damaged_next(bench: Bench) -> None:
    """A GET-next cut short or too long moves nothing: the block that is due still comes."""
    _first(bench)
    for request in ("C002C1", "C002C1000000", "C002", "C002C10000000100"):
        bench.expect(request, "D80102", "", "D80???", "C40?C101*", "C402C1*", why=request)
    answer = next_block(bench, 1)
    bench.match(answer, "C402C10000000002*", "C402C101????????01??", "D80???", why="after damaged requests")


def _repeated_request(bench: Bench) -> None:
    """The same GET again begins again: block 1, and the value is whole."""
    first = _first(bench)
    next_block(bench, 1)
    again = _first(bench)
    require(again == first, "another block 1")
    require(bench.joined(again) == bench.read(15, ASSOCIATION), "another value")


def _repeated_i_frame(bench: Bench) -> None:
    """GET-next repeated by the link is not executed twice: no block is lost."""
    first = _first(bench)
    request = bench.i_frame("C002C100000001")
    second = bench.send(request)
    require(bench.send(request) == second, "the same frame again is due")
    apdu = bench.lsdu(second)
    require(apdu is not None and apdu[4:8].hex() == "00000002", "block 2")
    require(next_block(bench, 2)[8:16] == "00000003", "block 3 follows")
    require(first != second, "and differs from block 1")


_GB: Final = "Green Book 9.4.6.3, 9.3.6"
_AT_128: Final = sized(128)
_NEEDS: Final = ("blocks",)


def _case(id_: str, purpose: str, script: Callable[[Bench], None], *needs: str, client: bool = False) -> Case:
    role = "setting" if client else "public"
    return Case(id_, purpose, "AT", script, _GB, role, _AT_128, (*_NEEDS, *needs))  # type: ignore[arg-type]


CASES: Final = (
    _case("BT-01", "long answer in blocks", _in_blocks),
    _case("BT-06", "GET-next without a transfer", _none_running),
    _case("BT-07", "wrong block number", _wrong_number),
    _case("BT-08", "previous number again", _previous_number),
    _case("BT-09", "other invoke-id in get-next", _other_invoke),
    _case("BT-10", "the last block again", _last_again),
    _case("BT-11", "GET during a long get", _interrupted_by(GET_NAME, "C401C100*")),
    _case("BT-11b", "a refused service during a long get", _not_interrupted),
    _case(
        "BT-11c",
        "SET during a long get",
        _by_a_set,
        "set",
        client=True,
    ),
    _case(
        "BT-11d",
        "AARQ during a long get",
        _interrupted_by(lambda bench: bench.own_aarq(size=128), "61*"),
    ),
    _case("BT-11e", "RLRQ during a long get", _interrupted_by(RELEASE, "63*", associated=False)),
    _case("BT-11f", "a GET that fails during a long get", _errors_between),
    _case("BT-12", "link loss during a long get", _link_lost),
    Case("BT-13", "block transfer not negotiated", "AT", _without_blocks, _GB, aarq=sized(64, "000010")),
    Case(
        "BT-14",
        "block transfer not negotiated, no limit",
        "A",
        _segments_without_blocks,
        _GB,
        aarq=sized(0, "000010"),
        needs=("segments",),
    ),
    Case("BT-15", "blocks over HDLC", "A", _over_hdlc, _GB, aarq=sized(0xFFFF), needs=_NEEDS),
    Case(
        "BT-16",
        "value frozen",
        "AT",
        _frozen,
        _GB,
        aarq=sized(40),
        needs=(*_NEEDS, "attribute-0", "clock"),
    ),
    _case("BT-18", "a hundred abandoned transfers", _abandoned),
    _case("BT-19", "long get left alone", _left_alone),
    _case("BT-105", "every number of a long transfer", _every_number),
    _case("BT-106", "GET-next cut short", _damaged_next),
    _case("BT-107", "the same GET again", _repeated_request),
    Case("BT-108", "GET-next repeated by the link", "A", _repeated_i_frame, _GB, aarq=_AT_128, needs=_NEEDS),
)
