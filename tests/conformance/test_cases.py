"""Every conformance case against our meter in memory, strictly: what is expected, not what is tolerated."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.memory import CTI, FRAMINGS, Settings, under_test
from tests.conformance.page import part

from iondlms.conformance import SUITES, Cti, Run, Verdict, planned, run_case
from iondlms.conformance.cti import Framing

ALL = planned(FRAMINGS)
# What our meter in memory does not have, and why.
INAPPLICABLE = {
    "WR-13": "the line is no TCP connection",
    "WR-16": "the line is no TCP connection",
    "WR-17": "the line is no TCP connection",
    "RB-12": "the line is no TCP connection",
    "SA-21": "the buffer is not empty",
    "SA-37": "a capture takes longer than the inactivity time-out",  # over the wrapper
    "SA-102": "such a request is longer than the 125 octets that the meter takes",  # over HDLC
}


def _id(one: Run) -> str:
    return f"{one.case.id}-{one.framing}"


@pytest.mark.parametrize("one", ALL, ids=_id)
def test_case(one: Run) -> None:
    result = run_case(under_test(), one)
    if result.verdict is Verdict.INAPPLICABLE:
        assert result.reason == INAPPLICABLE[one.case.id]
    else:
        assert (result.verdict, result.reason, result.remarks) == (Verdict.PASSED, "", ())


def _cti(**sections: dict[str, Any]) -> Cti:
    return CTI.model_copy(
        update={name: getattr(CTI, name).model_copy(update=values) for name, values in sections.items()}
    )


# A setting that changes the wire, what the CTI then says, and the suites that can tell.
VARIANTS: dict[str, tuple[Settings, Cti, tuple[str, ...]]] = {
    "segments": (
        (("long_answers", "segment"),),
        _cti(application={"long_answers": "segment"}),
        ("data-link", "application", "block", "cosem"),
    ),
    "deviation reversed": (
        (("deviation", "reversed"), ("clock.zone", "Europe/Madrid")),
        _cti(clock={"deviation": "reversed"}),
        ("cosem", "time", "selective"),
    ),
    "deviation unspecified": (
        (("deviation", "unspecified"), ("clock.zone", "Europe/Madrid")),
        _cti(clock={"deviation": "unspecified"}),
        ("cosem", "time", "selective"),
    ),
    "times in UTC": (
        (("deviation", "utc"), ("clock.zone", "Europe/Madrid")),
        _cti(clock={"deviation": "utc"}),
        ("cosem", "time", "selective"),
    ),
    "local time": (
        (("clock.zone", "America/St_Johns"), ("clock.time_sync_type", "LOCAL")),
        _cti(clock={"without_deviation": "local"}),
        ("cosem", "time", "selective"),
    ),
    "date-time": (
        (("date_time", "date-time"),),
        _cti(clock={"tag": "date-time"}),
        ("cosem", "time", "selective"),
    ),
    "scaler -3": ((("scaler", -3),), _cti(objects={"scaler": -3}), ("cosem",)),
    "unknown object 3": (
        (("unknown_object", 3),),
        _cti(application={"unknown_object": 3}),
        ("application", "cosem"),
    ),
    "silence before SNRM": (
        (("before_snrm", "silence"),),
        _cti(hdlc={"before_snrm": "silence"}),
        ("data-link",),
    ),
    "empty buffers": ((("history", 0),), CTI, ("selective", "cosem")),
    "captures each minute": (
        (("load_profile.period", 50),),
        CTI,
        ("selective", "cosem"),
    ),
    "ION9000": ((("model", "ION9000"),), CTI, ("cosem", "application")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name: str) -> None:
    settings, cti, suites = VARIANTS[name]
    verdicts = []
    for one in planned(FRAMINGS, suites):
        result = run_case(under_test(settings, cti), one)
        verdicts.append(result.verdict)
        assert result.verdict in (Verdict.PASSED, Verdict.INAPPLICABLE), f"{_id(one)}: {result.reason}"
        assert result.reason or result.verdict is Verdict.PASSED
    assert verdicts.count(Verdict.PASSED) > len(verdicts) // 3


@pytest.mark.parametrize("framing", FRAMINGS)
def test_framing_forced(framing: Framing) -> None:
    for one in planned((framing,), ("data-link",) if framing == "hdlc" else ("wrapper",)):
        result = run_case(under_test((("port.ETHERNET.framing", framing),)), one)
        assert result.verdict in (Verdict.PASSED, Verdict.INAPPLICABLE), f"{_id(one)}: {result.reason}"


def test_empty_buffer_and_captures_are_met_somewhere() -> None:
    (empty,) = planned(("hdlc",), only=("SA-21",))
    assert run_case(under_test((("history", 0),)), empty).verdict is Verdict.PASSED
    (capture,) = planned(("wrapper",), only=("SA-37",))
    assert run_case(under_test((("load_profile.period", 50),)), capture).verdict is Verdict.PASSED


def test_no_password_no_setting_client() -> None:
    for one in planned(FRAMINGS, ("application",)):
        result = run_case(under_test((("password", None),), password=None), one)
        assert result.verdict in (Verdict.PASSED, Verdict.INAPPLICABLE), f"{_id(one)}: {result.reason}"
        if one.case.client == "setting":
            assert result.reason == "no password was given for the setting client"


def test_ids_are_unique_and_every_case_says_what_it_expects() -> None:
    ids = [case.id for cases in SUITES.values() for case in cases]
    assert len(ids) == len(set(ids))
    for cases in SUITES.values():
        for case in cases:
            assert len(case.expectation) > 3, case.id
            assert case.clause, case.id


def test_the_page_counts_the_cases() -> None:
    lines = ["| suite | cases | over HDLC | over the wrapper |", "| --- | --- | --- | --- |"]
    for suite, cases in SUITES.items():
        runs = [one.framing for one in ALL if one.suite == suite]
        lines.append(f"| {suite} | {len(cases)} | {runs.count('hdlc')} | {runs.count('wrapper')} |")
    total = sum(map(len, SUITES.values()))
    framings = [one.framing for one in ALL]
    lines.append(f"| all | {total} | {framings.count('hdlc')} | {framings.count('wrapper')} |")
    part("suites", "\n".join(lines))
