"""Reading a profile of a meter that says what no meter of ours says."""

from __future__ import annotations

from typing import cast

import pytest
from tests.client.test_profile import CLOCK, ENERGY, buffer, stamp

from iondlms.client.names import resolve
from iondlms.client.profile import Profile
from iondlms.client.reading import ProfileRequest, read_profile
from iondlms.client.session import Operation, Session
from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, encode_data
from iondlms.errors import RemoteError
from iondlms.xdlms import AttributeDescriptor, Conformance, SelectiveAccess


class Said:
    """A session with a meter that answers so, by attribute; 3 is asked of registers and of the profile."""

    conformance = Conformance.SELECTIVE_ACCESS
    doubt = None

    def __init__(self, **answers: Data | bytes) -> None:
        self._answers: dict[str, Data | bytes] = {
            "objects": make.array([CLOCK.data(), ENERGY.data()]),
            "scaler": make.structure(make.integer(0), make.enum(30)),
            "period": make.double_long_unsigned(900),
            "in_use": make.double_long_unsigned(2),
            "buffer": buffer((stamp(0), make.double_long(5)), (stamp(1), make.double_long(6))),
        }
        self._answers.update(answers)

    def get(
        self, attribute: AttributeDescriptor, access: SelectiveAccess | None = None, progress: object = None
    ) -> Operation[bytes]:
        yield from ()
        asked = {(7, 3): "objects", (3, 3): "scaler", (7, 4): "period", (7, 7): "in_use", (7, 2): "buffer"}
        answer = self._answers[asked[attribute.class_id, attribute.attribute_id]]
        return answer if isinstance(answer, bytes) else encode_data(answer)


def read(said: Said, request: ProfileRequest) -> Profile:
    reading = read_profile(cast("Session", said), resolve("load").logical_name, request, {})
    try:
        next(reading)
    except StopIteration as end:
        profile: Profile = end.value
        return profile
    raise AssertionError("nothing to wait for")


def test_the_last_rows() -> None:
    assert [row.values for row in read(Said(), ProfileRequest(last=1)).rows] == [(6,)]


@pytest.mark.parametrize("said", [make.double_long(-1), make.long64(1 << 32), make.long64((1 << 63) - 1)])
def test_a_number_of_rows_that_cannot_be_is_the_meters_fault(said: Data) -> None:
    with pytest.raises(RemoteError, match="rows are stored"):
        read(Said(in_use=said), ProfileRequest(last=1))


@pytest.mark.parametrize("said", [make.long64((1 << 63) - 1), make.long64(-1 << 63)])
def test_a_period_that_no_calendar_holds_makes_no_instant_and_no_error(said: Data) -> None:
    rows = buffer((stamp(0), make.double_long(5)), (NULL, make.double_long(6)))
    profile = read(Said(period=said, buffer=rows), ProfileRequest())
    assert [row.instant is None for row in profile.rows] == [False, True]
    assert "1 rows have a time that makes no instant" in profile.notes[0]


def test_a_scaler_that_no_decimal_takes_leaves_the_numbers_as_sent() -> None:
    said = Said(scaler=make.structure(make.double_long(1 << 30), make.enum(30)))
    profile = read(said, ProfileRequest())
    assert [row.values for row in profile.rows] == [(5,), (6,)]
    assert "kWh-del-int cannot be read (a scaler of 1073741824 is no Integer8)" in profile.notes[0]
