"""What answers wait for: who is told, when, and how often."""

from __future__ import annotations

import pytest

from iondlms.errors import LocalError
from iondlms.later import Later, NotYet


def test_who_asks_before_is_told_once_it_is_over_and_who_asks_after_at_once() -> None:
    later, told = Later(), list[str]()
    later.then(lambda: told.append("first"))
    later.then(lambda: told.append("second"))
    assert not told
    assert not later.done
    later.settle()
    assert told == ["first", "second"]
    later.then(lambda: told.append("third"))
    assert told == ["first", "second", "third"]
    assert later.done
    assert later.error is None


@pytest.mark.parametrize(("first", "second"), [(LocalError("full"), None), (None, LocalError("full"))])
def test_only_the_first_word_counts(first: LocalError | None, second: LocalError | None) -> None:
    later, told = Later(), list[LocalError | None]()
    later.then(lambda: told.append(later.error))
    later.settle(first)
    later.settle(second)
    assert told == [first]
    assert later.error is first


def test_who_is_told_sees_that_it_is_over_and_may_ask_and_settle_again() -> None:
    later, told = Later(), list[str]()

    def tell() -> None:
        assert later.done
        told.append("told")
        later.settle(LocalError("too late"))
        later.then(lambda: told.append("at once"))
        told.append("after")

    later.then(tell)
    later.then(lambda: told.append("second"))
    later.settle()
    assert told == ["told", "at once", "after", "second"]
    assert later.error is None


def test_who_was_told_is_forgotten() -> None:
    later, told = Later(), list[int]()
    for number in range(3):
        later.then(lambda number=number: told.append(number))  # type: ignore[misc]
    later.settle()
    later.settle()
    assert told == [0, 1, 2]
    assert not later._told


def test_not_yet_names_what_is_under_way_and_is_no_error_that_anybody_answers() -> None:
    later = Later()
    with pytest.raises(NotYet, match="under way") as raised:
        raise NotYet(later)
    assert raised.value.later is later
    assert not isinstance(raised.value, LocalError)
