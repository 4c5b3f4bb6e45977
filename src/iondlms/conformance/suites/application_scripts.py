"""Cases of the suite APPLICATION that need more than a table of APDUs."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.apdus import (
    ASSOCIATION,
    CLOCK,
    DEVICE_NAME,
    GET_NAME,
    GET_OWN_NAME,
    RELEASE,
    aarq,
    get_request,
    initiate,
    low_level,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Accepted
from iondlms.conformance.verdict import Inapplicable, require
from iondlms.xdlms import Conformance

OWN_NAME: Final = "C401C10009060000280000FF"
SET_SAME_TIME: Final = "C101C100080000010000FF0200090CFFFFFFFFFFFFFFFFFF8000FF"
_NONE: Final = "D80102"
_ALSO: Final = ("", "D80???")
_NAME_TAGS: Final = ("09", "0A")  # octet-string; some meters send a visible-string


def name_again(bench: Bench) -> None:
    """Success, and at most 16 octets of name."""
    answer = bench.ask(GET_NAME).hex().upper()
    require(answer.startswith("C401C100") and answer[8:10] in _NAME_TAGS, f"the name is due: {answer}")
    if answer[8:10] != "09":
        bench.remark("the name is no octet-string")
    require(int(answer[10:12], 16) == len(answer) // 2 - 6 <= 16, f"{answer}: at most 16 octets")


def echo(bench: Bench) -> None:
    """The third octet of the response is that of the request."""
    whole = bench.ask(GET_NAME).hex().upper()
    for invoke in range(0x100):
        # Bits 4 and 5 are reserved; with bit 6 clear the service is unconfirmed, and some do not answer then.
        answer = bench.apdu(f"C001{invoke:02X}{GET_NAME[6:]}")
        text = "" if answer is None else answer.hex().upper()
        also = () if invoke & 0x40 and not invoke & 0x30 else ("", "D80???", "C401*")
        bench.match(text, f"C401{invoke:02X}{whole[6:]}", *also, why=f"invoke-id-and-priority {invoke:02X}")


def surplus(bench: Bench) -> None:
    """The normal response (or invocation-error), and the next GET works."""
    whole = bench.ask(GET_NAME).hex().upper()
    bench.expect(GET_NAME + "00", whole, "D8010?", "")
    require(bench.ask(GET_NAME).hex().upper() == whole, "the next GET")


def attribute_0(bench: Bench) -> None:
    """A structure of all attributes in order; those without read right as null-data."""
    for item in bench.value(15, ASSOCIATION).items():
        class_id, _, name, rights = item.items()
        listed = rights.items()[0].items()
        attributes = {entry.items()[0].integer(): entry.items()[1].integer() for entry in listed}
        if class_id.integer() == 7:
            continue  # its buffer changes, and may be long; case CO-110 reads profiles
        whole = bench.value(class_id.integer(), _dotted(name.octets()), 0).items()
        require(len(whole) == len(attributes), f"{name}: {len(whole)} of {len(attributes)} attributes")
        for number, mode in sorted(attributes.items()):
            if not mode & 1:
                require(whole[number - 1].value is None, f"{name} {number} may not be read: null-data is due")
            elif class_id.integer() in (1, 15, 17):
                alone = bench.value(class_id.integer(), _dotted(name.octets()), number)
                require(
                    whole[number - 1] == alone, f"{name} {number}: {alone} alone, {whole[number - 1]} in 0"
                )


def _dotted(name: bytes) -> str:
    return ".".join(str(octet) for octet in name)


def small_answers(bench: Bench) -> None:
    """No APDU over 64 octets, whatever is read."""
    for item in bench.value(15, ASSOCIATION).items():
        class_id, _, name, rights = item.items()
        for entry in rights.items()[0].items():
            number, mode = entry.items()[0].integer(), entry.items()[1].integer()
            if mode & 1 and (class_id.integer(), number) != (7, 2):
                bench.read(class_id.integer(), _dotted(name.octets()), number)
    longest = max(map(len, bench.answers))
    require(longest <= 64, f"an APDU of {longest} octets")


def release_forms(bench: Bench) -> None:
    """RLRE, and the association is closed, whatever the reason and the user-information of RLRQ."""
    forms = ("6200", "620380011E", f"6215800100BE10040E{initiate()}")
    for form in forms:
        bench.expect(form, "6303800100", "63*", why=form)
        bench.expect(GET_NAME, _NONE, *_ALSO, why="GET after RLRQ")
        bench.associate()


def second_association(bench: Bench) -> None:
    """Accepted and restarted, or refused and the old one kept; GET works afterwards."""
    answer = bench.ask(bench.own_aarq(), "the second AARQ")
    if answer.hex().upper() != Accepted().octets(bench):
        bench.remark(f"the second AARQ got {answer.hex().upper()}")
    name_again(bench)


def refused_in_an_open_one(bench: Bench) -> None:
    """After a refused AARQ nothing is open (or the old association is kept)."""
    elements = low_level(bench.secret) if bench.role == "setting" else ""
    bench.expect(aarq(elements, context="60857405080102"), "61*", why="an AARQ to be refused")
    bench.expect(GET_NAME, _NONE, *_ALSO, "C401C100*", why="GET after the refusal")


def _unchanged(bench: Bench, requests: tuple[str, ...], expected: str, *also: str) -> None:
    def state() -> list[bytes]:
        found = [bench.read(1, DEVICE_NAME)]
        if bench.cti.clock.present:
            answer = bench.ask(get_request(8, CLOCK, 3))
            found.append(answer)
        if bench.cti.objects.load_profile:
            found.append(bench.ask(get_request(7, bench.profile, 4)))
        return found

    before = state()
    clock, at = (bench.clock(), bench.now()) if bench.cti.clock.present else (None, 0.0)
    for request in requests:
        bench.expect(request, expected, *also, why=request)
    require(state() == before, "something was set")
    if clock is not None:
        passed = bench.now() - at
        require(abs((bench.clock() - clock).total_seconds() - passed) < 3, "the clock was set")


def name_is_read_only(bench: Bench) -> None:
    """Require object_list to say that nobody may write the logical device name; Inapplicable otherwise."""
    for item in bench.value(15, ASSOCIATION).items():
        class_id, _, name, rights = item.items()
        if class_id.integer() == 1 and _dotted(name.octets()) == "0.0.42.0.0.255":
            modes = [entry.items()[1].integer() for entry in rights.items()[0].items()]
            if any(mode & 2 for mode in modes):
                raise Inapplicable("the logical device name is listed as writable: no value to try it with")
            return
    raise Inapplicable("object_list does not say that the logical device name may not be written")


def set_denied(bench: Bench) -> None:
    """read-write-denied, and the values are unchanged."""
    requests = [
        "C101C1000100002A0000FF0200090141",
        "C101C1000F0000280000FF070009083131313131313131",
        "C101C100080000010000FF0300100000",
    ]
    if bench.cti.objects.ion:
        requests.append("C101C100070100630100FF04000600000384")
    name_is_read_only(bench)
    # Another maker's meter may well let this client set its zone: it is not asked to.
    chosen = requests if bench.cti.objects.ion else requests[:1]
    _unchanged(bench, tuple(chosen), "C501C103", "D8010?", "C501C1??")


def set_of_nothing(bench: Bench) -> None:
    """object-undefined, object-class-inconsistent, and for attribute 0 an exception."""
    unknown = f"C501C1{bench.cti.application.unknown_object:02X}"
    refused = ("D8010?", "C501C103", "C501C104", "C501C109", "C501C10B")
    bench.expect("C101C1000FFFFFFFFFFFFF0100090100", unknown, *refused)
    if bench.cti.clock.present:
        bench.expect("C101C100030000010000FF0200090100", "C501C109", *refused)
        bench.expect("C101C100080000010000FF0A00090100", unknown, *refused)
        bench.expect("C101C100080000010000FF0000090100", _NONE, *refused)


def set_with_list(bench: Bench) -> None:
    """An exception, or errors; nothing is set."""
    time = "090C07EA0B16FF0C223800000000"
    requests = (
        f"C104C10100080000010000FF020001{time}",
        f"C102C100080000010000FF020001000000010E{time}",
        f"C105C10100080000010000FF020001000000010E{time}",
        f"C103C101000000010E{time}",
    )
    if not bench.offers(Conformance.SET) or bench.cti.objects.ion:
        _unchanged(bench, requests, _NONE, "", "D80???", "C505C1*")
    else:
        _unchanged(bench, (f"C103C101000000010E{time}",), _NONE, "", "D80???", "C50?C1*")


def malformed_set(bench: Bench) -> None:
    """An exception (or an error); nothing is set."""
    requests = (SET_SAME_TIME + "00", SET_SAME_TIME[:-2], "C106" + SET_SAME_TIME[4:])
    _unchanged(bench, requests, _NONE, "", "D80???", "C501C1??")


def wrong_secrets(bench: Bench) -> None:
    """Authentication failure for each octet changed, one more, one less, other case, and an empty one."""
    secret = bench.secret
    wrong = [
        secret[:at] + bytes((secret[at] ^ bit,)) + secret[at + 1 :]
        for at in range(len(secret))
        for bit in (1, 32)
    ]
    wrong += [secret + b"\0", secret + secret[-1:], secret[:-1], secret[1:], b"", secret * 4]
    for guess in wrong:
        answer = bench.ask(aarq(low_level(guess))).hex().upper()
        require(answer.startswith("61") and "A203020100" not in answer, f"let in with {guess!r}: {answer}")
        if "030201" + "0D" not in answer and guess:
            bench.remark(f"refused with {answer}, diagnostic 13 due")
        bench.expect(GET_NAME, _NONE, *_ALSO, why="GET after a wrong secret")
        if bench.closed:
            bench.connect()
    bench.associate()


def split_proposals(bench: Bench) -> None:
    """Granted is never more than proposed and offered; a bit that is not offered alone is refused."""
    for bit in range(24):
        proposed = 1 << bit
        answer = bench.ask(bench.own_aarq(f"{proposed:06X}"))
        granted = bench.conformance & proposed
        accepted = b"\xa2\x03\x02\x01\x00" in answer
        if granted and not accepted:
            bench.remark(f"bit {23 - bit} alone is refused: {answer.hex()}")
        elif granted:
            place = answer.find(bytes.fromhex("5F1F0400"))
            given = int.from_bytes(answer[place + 4 : place + 7], "big") if place > 0 else proposed
            require(given == proposed, f"granted {given:06X} of {proposed:06X}")
        else:
            require(not accepted, f"bit {23 - bit} alone is not offered: {answer.hex()}")


def not_negotiated_services(bench: Bench) -> None:
    """With GET alone negotiated: an exception for everything else, and GET goes on working."""
    bench.associate(bench.own_aarq("000010"))
    due = bench.ask(GET_NAME)
    requests = (
        "C001C1000100002A0000FF0000",
        "C002C100000001",
        "C003C10100" + GET_OWN_NAME[6:-2] + "00",
        SET_SAME_TIME,
        "C301C1000F0000280000FF0100",
        "050102FA00",
        "D9200000000000010101000100002A0000FF020100",
    )
    for request in requests:
        bench.expect(request, _NONE, "", "D80???", "C???C1*", why=request)
        require(bench.apdu(GET_NAME) == due, f"GET after {request}")


def every_error_of_get(bench: Bench) -> None:
    """The same request gets the same error each time, and never stands in the way of the next."""
    due = bench.ask(GET_NAME)
    requests = (
        "C001C1000FFFFFFFFFFFFF0100",
        "C001C1FFFF0000280000FF0100",
        "C001C1000F0000280000FF7F00",
        "C001C1000F0000280000FF8000",
        "C001C100010000280000FF0200",
        "C001C1000F0000290000FF0200",
    )
    for request in requests:
        first = bench.ask(request)
        require(first[:4].hex() == "c401c101" or first[0] == 0xD8, f"{request}: {first.hex()}")
        require(bench.ask(request) == first, f"{request}: another answer")
        require(bench.ask(GET_NAME) == due, f"GET after {request}")


def two_requests(bench: Bench) -> None:
    """Two frames or WPDUs at once: each is answered once, in order, or over HDLC the second is dropped
    since the first had the right to talk."""
    whole = bench.ask(GET_NAME)
    if bench.framing == "wrapper":
        answers = bench.wpdus(bench.send(bench.wpdu(GET_NAME) + bench.wpdu(GET_OWN_NAME), 2))
        require([bench.opened(it) for it in answers] == [whole, bytes.fromhex(OWN_NAME)], f"{answers}")
        return
    number, received = bench.send_number, bench.receive_number
    first = bench.i_frame(GET_NAME)
    # The second acknowledges the answer to the first, which its sender cannot have seen yet.
    bench.receive_number = (received + 1) & 7
    second = bench.i_frame(GET_OWN_NAME)
    answer = bench.send(first + second, 2)
    frames = bench.frames(answer)
    require(len(frames) >= 1 and frames[0].information[3:] == whole, f"the first: {answer.hex()}")
    if len(frames) == 1:
        bench.remark("of two I frames at once only the first is answered")
        bench.send_number = (number + 1) & 7
    else:
        require(frames[1].information[3:].hex().upper() == OWN_NAME, f"the second: {answer.hex()}")
        bench.receive_number = (received + 2) & 7
    require(bench.ask(GET_NAME) == whole, "and the numbers are sound")


def interleaved_clients(bench: Bench) -> None:
    """Each association is its own: what one may, the other may not; a release ends its own only."""
    own = bench.sap, bench.send_number, bench.receive_number
    public = bench.cti.public
    if public is None or public.sap == bench.sap:
        return
    bench.sap, bench.send_number, bench.receive_number = public.sap, 0, 0
    if bench.framing == "hdlc":
        frames = bench.frames(bench.send(bench.frame(0x93)))
        if [frame.control for frame in frames] != [0x73]:
            bench.remark("no second link beside the first")
            return
    answer = bench.apdu(aarq())
    if answer is None or b"\xa2\x03\x02\x01\x00" not in answer:
        bench.remark("no second association beside the first")
        return
    require(bench.ask(GET_OWN_NAME).hex().upper() == OWN_NAME, "the public client")
    partners = bench.value(15, ASSOCIATION, 3).items()
    require(partners[0].integer() == public.sap, f"partners of the public client: {partners}")
    bench.ask(RELEASE)
    bench.sap, bench.send_number, bench.receive_number = own
    partners = bench.value(15, ASSOCIATION, 3).items()
    require(partners[0].integer() == own[0], f"partners of client {own[0]}: {partners}")
