"""Each deliberately broken meter is seen by at least one case; the table of them in the docs is made here."""

from __future__ import annotations

import pytest
from tests.conformance.memory import under_test
from tests.conformance.more_mutants import MORE_MUTANTS
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.page import part

from iondlms.conformance import Result, Verdict, planned, run_case

ALL = (*MUTANTS, *MORE_MUTANTS)


def seen(mutant: Mutant) -> list[Result]:
    """Return the failures among the cases that the mutant names."""
    found = []
    for one in planned(("hdlc", "wrapper"), only=mutant.by):
        with mutant.broken():
            meter = under_test(mutant.settings, mutate=mutant.mutate, make=mutant.maker())
            result = run_case(meter, one)
        if result.verdict is Verdict.FAILED:
            found.append(result)
    return found


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_broken_meter_is_caught(mutant: Mutant) -> None:
    found = {result.id for result in seen(mutant)}
    assert found == set(mutant.by), "each case that is named sees it"


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 25
    assert len({mutant.name for mutant in ALL}) == len(ALL)


def test_the_page_tells_of_each() -> None:
    lines = ["| what is wrong with the meter | caught by |", "| --- | --- |"]
    lines += [f"| {mutant.name} | {', '.join(mutant.by)} |" for mutant in ALL]
    part("mutants", "\n".join(lines))
