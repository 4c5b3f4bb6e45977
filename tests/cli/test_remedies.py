"""What the command line adds to a refusal, and what it tells while a long run goes on."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from iondlms.cli import conformance as verb
from iondlms.cli.clock import clock
from iondlms.cli.objects import objects
from iondlms.cli.ping import ping
from iondlms.cli.profile import profile
from iondlms.client import blocking
from iondlms.client.errors import LinkError
from iondlms.client.url import seconds_of
from iondlms.codec import make
from iondlms.conformance import Result, Verdict
from iondlms.errors import (
    AccessError,
    DataBlockUnavailable,
    ObjectClassInconsistent,
    ObjectUndefined,
    ReadWriteDenied,
    ScopeOfAccessViolated,
    TemporaryFailure,
    extra_hint,
)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ObjectUndefined, "; `iondlms objects URL` lists what it has"),
        (ObjectClassInconsistent, "; `iondlms objects URL` lists what it has"),
        (TemporaryFailure, "; try again later"),
        (ReadWriteDenied, "; try another client"),
        (ScopeOfAccessViolated, "; the meter does not select so"),
        (DataBlockUnavailable, ""),
    ],
)
def test_each_refusal_of_a_profile_has_its_own_remedy(
    monkeypatch: pytest.MonkeyPatch, error: type[AccessError], hint: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("no")

    monkeypatch.setattr(blocking.Client, "__enter__", lambda self: self)
    monkeypatch.setattr(blocking.Client, "__exit__", lambda *_: None)
    monkeypatch.setattr(blocking.Client, "profile", refuse)
    raised = CliRunner().invoke(profile, ["tcp://127.0.0.1:1", "load"]).exception
    assert isinstance(raised, error)
    assert str(raised).startswith(f"load: the meter refuses it: no{hint}")
    assert hint or str(raised).endswith(" no")


@pytest.mark.parametrize(
    ("verb", "method", "named"),
    [
        (ping, "get", "name"),
        (ping, "clock", "clock"),
        (clock, "clock", "clock"),
        (objects, "objects", "association"),
    ],
)
def test_what_is_refused_has_its_name(
    monkeypatch: pytest.MonkeyPatch, verb: click.Command, method: str, named: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TemporaryFailure("temporary-failure (2)")

    monkeypatch.setattr(blocking.Client, "__enter__", lambda self: self)
    monkeypatch.setattr(blocking.Client, "__exit__", lambda *_: None)
    monkeypatch.setattr(blocking.Client, "get", lambda *_: make.octet_string(b"ION"))
    monkeypatch.setattr(blocking.Client, method, refuse)
    raised = CliRunner().invoke(verb, ["tcp://127.0.0.1:1"]).exception
    assert isinstance(raised, TemporaryFailure)
    assert str(raised) == f"{named}: the meter refuses it: temporary-failure (2); try again later"


def test_a_refused_link_says_what_to_try() -> None:
    assert "wait and try again" in str(LinkError.of("the server refused the link (DM)"))
    assert str(LinkError.of("no answer after 3 repetitions")) == "no answer after 3 repetitions"


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("2d", 172_800), ("1m", 60), ("500ms", 0.5)])
def test_hours_and_days_are_durations(text: str, seconds: float) -> None:
    assert seconds_of("--limit", text) == seconds


def test_an_extra_is_installed_by_name_or_from_a_clone() -> None:
    assert extra_hint("data") == "pip install 'iondlms[data]' (in a clone: pip install '.[data]')"


def test_a_log_gets_a_line_a_minute_and_one_for_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    tell = verb._lines(3, lambda: now)
    for at, verdict in ((59.0, Verdict.PASSED), (61.0, Verdict.PASSED), (62.0, Verdict.FAILED)):
        now = at
        tell(Result("SELECTIVE ACCESS", "SA-01", "", "", "hdlc", "", "", verdict, "why", (), 1.0, (), 0))
    assert capsys.readouterr().err.splitlines() == [
        "2 of 3 cases, the last SELECTIVE ACCESS SA-01",
        "FAILED SA-01 (hdlc): why",
    ]
    passed = Result("SELECTIVE ACCESS", "SA-01", "", "", "hdlc", "", "", Verdict.PASSED, "", (), 1.0, (), 0)
    assert verb._counted([passed]).startswith("1 passed, 0 failed")
