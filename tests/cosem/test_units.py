"""Units of measure (62056-62 4.3.2): codes of its table, and what is none."""

from __future__ import annotations

import pytest

from iondlms.cosem.units import unit_name


@pytest.mark.parametrize(
    ("code", "unit"),
    [(1, "a"), (9, "°C"), (13, "m³"), (27, "W"), (30, "Wh"), (32, "varh"), (35, "V"), (44, "Hz")],
)
def test_a_unit_has_its_sign(code: int, unit: str) -> None:
    assert unit_name(code) == unit


def test_a_number_alone_has_none() -> None:
    assert unit_name(255) == ""


def test_a_code_without_a_meaning_is_shown_as_it_is() -> None:
    assert unit_name(200) == "unit 200"
