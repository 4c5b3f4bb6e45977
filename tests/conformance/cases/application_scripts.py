"""APDUs of the suite APPLICATION, and its cases that need more than a table of octets."""

from __future__ import annotations

from typing import Final

from tests.conformance.bench import (
    AARQ,
    AARQ_LLS,
    ALREADY_GONE,
    ASSOCIATION,
    CLOCK,
    GET_NAME,
    LOAD_PROFILE,
    SET_TIME,
    Bench,
    require,
)
from tests.conformance.cases.case import Ask, filled

ACCEPTED: Final = "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F0400{C}{S}0007"
GET_OWN_NAME: Final = "C001C1000F0000280000FF0100"
OWN_NAME: Final = "C401C10009060000280000FF"
GET_ONLY: Final = "601DA109060760857405080101BE10040E01000000065F1F040000001004B0"
SMALL: Final = AARQ[:-4] + "0040"


def refused(diagnostic: int, source: str = "A1") -> str:
    """Return the AARE that rejects for a reason of ACSE; it tells what would have been negotiated."""
    return (
        f"6129A109060760857405080101A203020101A305{source}030201{diagnostic:02X}"
        "BE10040E0800065F1F0400{C}{S}0007"
    )


def initiate_error(code: int, diagnostic: int = 1) -> str:
    """Return the AARE that rejects for a reason of xDLMS."""
    return f"611FA109060760857405080101A203020101A305A1030201{diagnostic:02X}BE0604040E0106{code:02X}"


def with_initiate(initiate: str) -> str:
    """Return an AARQ around an InitiateRequest."""
    length = len(initiate) // 2
    return f"60{length + 15:02X}A109060760857405080101BE{length + 2:02X}04{length:02X}{initiate}"


def _name_of(bench: Bench, invoke: str = "C1") -> str:
    return f"C401{invoke}000910{bench.meter.logical_device_name.encode().hex()}".upper()


def _ask(bench: Bench, stimulus: str, expected: str | None) -> None:
    answer = bench.apdu(stimulus)
    text = None if answer is None else answer.hex().upper()
    due = None if expected is None else filled(bench, expected)
    require(text == due, f"{stimulus}: {text}, {due} due")


def name_case(bench: Bench) -> None:
    _ask(bench, GET_NAME, _name_of(bench))


def echo(bench: Bench) -> None:
    for invoke in ("00", "41", "81", "8F", "C1", "CF"):
        _ask(bench, f"C001{invoke}{GET_NAME[6:]}", _name_of(bench, invoke))


def surplus(bench: Bench) -> None:
    _ask(bench, GET_NAME + "00", _name_of(bench))
    name_case(bench)


def attribute_0(bench: Bench) -> None:
    name = bench.meter.logical_device_name.encode().hex()
    _ask(bench, "C001C1000100002A0000FF0000", f"C401C1000202090600002A0000FF0910{name}")
    for class_id, obis, count in ((8, CLOCK, 9), (15, ASSOCIATION, 9), (7, LOAD_PROFILE, 8)):
        whole = bench.value(class_id, obis, 0).items()
        require(len(whole) == count, f"{len(whole)} attributes of {obis}")
        for attribute in range(1, count + 1):
            if (class_id, attribute) == (15, 7):
                require(whole[6].value is None, "what may not be read is null-data")
            else:
                require(whole[attribute - 1] == bench.value(class_id, obis, attribute), f"{obis} {attribute}")


def small_answers(bench: Bench) -> None:
    for item in bench.meter.device.objects:
        for attribute in (0, *item.attributes):
            if (item.class_id, attribute) != (15, 7):
                bench.read(item.class_id, str(item.logical_name), attribute)
    require(max(map(len, bench.answers)) == 64, f"the longest has {max(map(len, bench.answers))}")


def release(bench: Bench) -> None:
    for form in ("6200", "620380011E", "6215800100BE10040E01000000065F1F0400007E1F04B0"):
        _ask(bench, form, "6303800100")
        _ask(bench, GET_NAME, ALREADY_GONE)
        bench.associate()


def second_association(bench: Bench) -> None:
    _ask(bench, AARQ if bench.client == 16 else AARQ_LLS, ACCEPTED)
    name_case(bench)


def refused_in_an_open_one(bench: Bench) -> None:
    _ask(bench, AARQ.replace("0005080101", "").replace("7405080101", "7405080102"), refused(2))
    _ask(bench, GET_NAME, ALREADY_GONE)


def _unchanged(bench: Bench, requests: tuple[str, ...], expected: str) -> None:
    steps = bench.meter.ion.clock.steps
    before = [bench.read(8, CLOCK, 3), bench.read(7, LOAD_PROFILE, 4), bench.read(1, "0-0:42.0.0*255")]
    for request in requests:
        _ask(bench, request, expected)
    after = [bench.read(8, CLOCK, 3), bench.read(7, LOAD_PROFILE, 4), bench.read(1, "0-0:42.0.0*255")]
    require(before == after and bench.meter.ion.clock.steps == steps, "something was set")


def set_denied(bench: Bench) -> None:
    requests = (
        "C101C1000100002A0000FF0200090141",
        "C101C100080000010000FF0300100000",
        "C101C100070100630100FF04000600000384",
        "C101C1000F0000280000FF070009083131313131313131",
    )
    _unchanged(bench, requests, "C501C103")


def set_with_list(bench: Bench) -> None:
    requests = (
        "C104C10100080000010000FF020001090C07EA0B16FF0C223800000000",
        "C102C100080000010000FF020001000000010E090C07EA0B16FF0C223800000000",
        "C105C10100080000010000FF020001000000010E090C07EA0B16FF0C223800000000",
        "C103C101000000010E090C07EA0B16FF0C223800000000",
    )
    _unchanged(bench, requests, "D80102")


def malformed_set(bench: Bench) -> None:
    _unchanged(bench, (SET_TIME + "00", SET_TIME[:-2], "C106" + SET_TIME[4:]), "D80102")


def asked(*stimuli: str, expected: str | None) -> tuple[Ask, ...]:
    return tuple(Ask(stimulus, expected) for stimulus in stimuli)


# AARQs of the cases on secrets: (id, purpose, AARQ, answer to SAP 16, answer to SAP 1)
_WRONG: Final = AARQ_LLS.replace("3738", "3739")
SECRETS: Final = (
    ("AP-14", "right secret", AARQ_LLS, ACCEPTED, ACCEPTED),
    ("AP-15", "wrong secret", _WRONG, ACCEPTED, refused(13)),
    (
        "AP-15b",
        "first half of the secret",
        "6032" + AARQ_LLS[4:].replace("AC0A80083132333435363738", "AC06800431323334"),
        ACCEPTED,
        refused(13),
    ),
    ("AP-16", "secret expected, none offered", AARQ, ACCEPTED, refused(14)),
    (
        "AP-17",
        "mechanism name missing",
        "602DA1090607608574050801018A020780AC0A80083132333435363738BE10040E01000000065F1F0400007E1F04B0",
        ACCEPTED,
        refused(12),
    ),
    (
        "AP-18",
        "mechanism without secret",
        "602AA1090607608574050801018A0207808B0760857405080201BE10040E01000000065F1F0400007E1F04B0",
        ACCEPTED,
        refused(14),
    ),
    (
        "AP-19",
        "ACSE requirements bit 0 cleared",
        AARQ_LLS.replace("8A020780", "8A020700"),
        ACCEPTED,
        refused(14),
    ),
    (
        "AP-20",
        "unknown mechanism",
        AARQ_LLS.replace("05080201", "05080209"),
        refused(11),
        refused(11),
    ),
    (
        "AP-20b",
        "high level security",
        (
            "6036A1090607608574050801018A0207808B0760857405080205AC0A80084B35366956616759"
            "BE10040E01000000065F1F0400007E1F04B0"
        ),
        refused(11),
        refused(11),
    ),
)
