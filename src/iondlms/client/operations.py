"""What a client can do, each thing once, as operations that both drivers run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, TypeAlias, TypedDict, Unpack

from iondlms.client.columns import ProfileColumns
from iondlms.client.errors import ServiceRefused
from iondlms.client.instants import TimeRules
from iondlms.client.names import ASSOCIATION, CLOCK, resolve
from iondlms.client.objects import ClockReading, ClockSetting, ClockStep, MeterObject
from iondlms.client.profile import Profile
from iondlms.client.reading import (
    ProfileRequest,
    Progress,
    Scale,
    When,
    read_columns,
    read_data,
    read_profile,
)
from iondlms.client.scales import UNSCALED, Quantity, decimals, scale_of, scaler_unit_of
from iondlms.client.session import Operation, Session
from iondlms.codec import make
from iondlms.codec.axdr import Data, decode
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject
from iondlms.cosem.clock import date_time_of
from iondlms.errors import AccessError, DecodeError, LocalError, ObjectUndefined, RemoteError
from iondlms.xdlms import AttributeDescriptor, Conformance

__all__ = ["Name", "Operations", "Scales"]

Name: TypeAlias = str | ObisCode
Scales: TypeAlias = "Mapping[str, int | tuple[int, str]]"  # by name or code: scaler, or scaler and unit

_ASSOCIATION_CLASS: Final = 15
_CLOCK_CLASS: Final = 8
_PROFILE_CLASS: Final = 7
# Attributes of the classes of these meters, for where the object list cannot be read (62056-62).
_ATTRIBUTES: Final = {1: 2, 3: 3, 7: 8, 8: 9, 15: 9, 17: 2}


class Wanted(TypedDict):
    """What a driver is asked of a profile; each as in `ProfileRequest`."""

    start: When | None
    end: When | None
    entries: tuple[int, int] | None
    last: int | None
    columns: Iterable[Name] | Name
    scalers: Scales | None
    zone: tzinfo | None
    nulls: Literal["keep", "repeat"]
    piece: timedelta | None


class Operations:
    """The operations on one meter, and what is remembered between them: its objects, its scalers."""

    def __init__(self, session: Session, zone: tzinfo | None = None) -> None:
        self.session = session
        self.times = TimeRules(session.target.inverted, zone)
        self._objects: tuple[MeterObject, ...] | None = None
        self._scales: dict[ObisCode, Scale] = {}
        self.rescued: Profile | None = None  # of a reading whose caller was interrupted or cancelled

    def get_raw(self, name: Name, attribute: int | None, class_id: int | None) -> Operation[bytes]:
        """Return the encoded value of an attribute."""
        wanted = resolve(name)
        if attribute is None:
            attribute = 2 if wanted.attribute is None else wanted.attribute
        if not -128 <= attribute <= 127:
            raise LocalError(f"attribute {attribute} is not in -128..127")
        found = wanted.class_id if class_id is None else class_id
        if found is None:
            found = yield from self._class_of(wanted.logical_name)
        return (yield from self.session.get(AttributeDescriptor(found, wanted.logical_name, attribute)))

    def get(self, name: Name, attribute: int | None, class_id: int | None) -> Operation[Data]:
        """Return the decoded value of an attribute."""
        return decode((yield from self.get_raw(name, attribute, class_id)))

    def quantity(self, name: Name, attribute: int | None, class_id: int | None) -> Operation[Quantity]:
        """Return a register's value, scaled, in its unit; its scaler is read once."""
        wanted = resolve(name)
        code = wanted.logical_name
        if attribute is None:
            attribute = 2 if wanted.attribute is None else wanted.attribute
        found = wanted.class_id if class_id is None else class_id
        if found is None:
            found = yield from self._class_of(code)
        where = scaler_unit_of(CaptureObject(found, code, attribute))
        if where is None:
            raise LocalError(f"{name}: attribute {attribute} of class {found} is not scaled; `get` reads it")
        value = (yield from read_data(self.session, found, code, attribute)).integer()
        scaler, unit = self._scales.get(code, UNSCALED)
        if scaler is None:
            scaler, unit = scale_of(decode((yield from self.session.get(where))))
            self._scales[code] = (scaler, unit)
        return Quantity(decimals([value], scaler)[0], unit)

    def get_all(self, name: Name, class_id: int | None) -> Operation[dict[int, Data | None]]:
        """Return all attributes by number; None for one that was refused, alone and not in a row."""
        wanted = resolve(name)
        code = wanted.logical_name
        found = wanted.class_id if class_id is None else class_id
        if found is None:
            found = yield from self._class_of(code)
        yield from self.session.open()
        if Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET in self.session.conformance:
            try:
                data = yield from read_data(self.session, found, code, 0)
                return dict(enumerate(data.items(), 1))
            except ObjectUndefined:
                raise
            except (AccessError, ServiceRefused):
                pass  # negotiated, and not done for this object
        attributes: Iterable[int] = range(1, _ATTRIBUTES.get(found, 0) + 1)
        if not attributes:
            objects = yield from self.objects()
            attributes = next((item.attributes for item in objects if item.logical_name == code), ())
        values: dict[int, Data | None] = {}
        refusal: AccessError | None = None
        for attribute in attributes:
            try:
                values[attribute] = yield from read_data(self.session, found, code, attribute)
            except AccessError as error:
                values[attribute] = None
                refusal = error
        if refusal is not None and not any(values.values()):
            raise refusal
        return values

    def objects(self) -> Operation[tuple[MeterObject, ...]]:
        """Return the object list of the present association, read once."""
        if self._objects is None:
            data = yield from read_data(self.session, _ASSOCIATION_CLASS, ASSOCIATION, 2)
            self._objects = tuple([MeterObject.of(item) for item in data.items()])
        return self._objects

    def clock(self) -> Operation[ClockReading]:
        """Return the meter's time."""
        data = yield from read_data(self.session, _CLOCK_CLASS, CLOCK, 2)
        try:
            return ClockReading.of(date_time_of(data), self.times)
        except AccessError as error:
            raise RemoteError(f"the clock says {data}: that is no date-time") from error

    def clock_step(self, when: datetime) -> Operation[ClockStep]:
        """Return what setting the clock to an instant would do; nothing is set."""
        _check_instant(when)
        before = yield from self.clock()
        period = yield from self._integer(_PROFILE_CLASS, resolve("load").logical_name, 4)
        zone = yield from self._integer(_CLOCK_CLASS, CLOCK, 3)
        if zone is not None and self.times.inverted:
            zone = -zone
        return ClockStep(before, when, None if period is None else timedelta(seconds=period), zone)

    def _integer(self, class_id: int, name: ObisCode, attribute: int) -> Operation[int | None]:
        """Return an attribute, None where the meter refuses it or it is no number."""
        try:
            return (yield from read_data(self.session, class_id, name, attribute)).integer()
        except (AccessError, ServiceRefused, DecodeError):
            return None

    def set_clock(
        self, when: datetime, dry_run: bool, limit: timedelta | None = None
    ) -> Operation[ClockSetting]:
        """Set the clock to an instant; with `dry_run` all but the SET is done.

        LocalError, and nothing is sent, for a step beyond the limit, or one that cannot be told.
        """
        _check_instant(when)
        before = yield from self.clock()
        if limit is not None and (before.instant is None or abs(when - before.instant) > limit):
            step = "that cannot be told" if before.instant is None else f"of {when - before.instant}"
            raise LocalError(f"the clock is not set: a step {step} is beyond the limit of {limit}")
        if Conformance.SET not in self.session.conformance and not dry_run:
            raise LocalError("this association may not set; use client=1&auth=low and the password")
        time = self._shown(when, before)
        if dry_run:
            return ClockSetting(time, before, None)
        attribute = AttributeDescriptor(_CLOCK_CLASS, CLOCK, 2)
        yield from self.session.set(attribute, make.octet_string(time.octets))
        return ClockSetting(time, before, (yield from self.clock()))

    def _shown(self, when: datetime, before: ClockReading) -> DateTime:
        """Return the instant as this meter writes times, with a deviation in any case.

        By the deviation both a meter that minds it and one that does not come to the same time.
        """
        zone = self.times.zone
        deviation = before.deviation
        if deviation is None:
            offset = None if zone is None else when.astimezone(zone).utcoffset()
            deviation = 0 if offset is None else -(offset // timedelta(minutes=1))
        elif self.times.inverted:
            deviation = -deviation
        time = DateTime.of_utc(when.astimezone(UTC), deviation, None)
        if not self.times.inverted:
            return time
        return DateTime.of_local(time.local(), -deviation, None)

    def profile(
        self, name: Name, *, progress: Progress | None, **wanted: Unpack[Wanted]
    ) -> Operation[Profile]:
        """Read a profile; see `ProfileRequest`. LocalError at once for a request that means nothing."""
        code, request = resolve(name).logical_name, self._request(**wanted)
        return read_profile(self.session, code, request, self._scales, progress, self._rescue)

    def profile_columns(
        self, name: Name, *, progress: Progress | None, **wanted: Unpack[Wanted]
    ) -> Operation[ProfileColumns]:
        """Read a profile by column; the rest as `profile`."""
        code, request = resolve(name).logical_name, self._request(**wanted)
        return read_columns(self.session, code, request, self._scales, progress, self._rescue)

    def _rescue(self, came: Profile | None) -> None:
        self.rescued = came

    def _request(self, **wanted: Unpack[Wanted]) -> ProfileRequest:
        scales: dict[ObisCode, Scale] = {}
        for key, given in (wanted["scalers"] or {}).items():
            scaler, unit = given if isinstance(given, tuple) else (given, "")
            scales[resolve(key).logical_name] = (scaler, unit)
        zone, columns = wanted["zone"], wanted["columns"]
        names = (columns,) if isinstance(columns, (str, ObisCode)) else columns  # a str is one name
        return ProfileRequest(
            start=wanted["start"],
            end=wanted["end"],
            entries=wanted["entries"],
            last=wanted["last"],
            columns=tuple([resolve(column) for column in names]),
            scales=scales,
            times=self.times if zone is None else TimeRules(self.times.inverted, zone),
            nulls=wanted["nulls"],
            piece=wanted["piece"],
        )

    def _class_of(self, code: ObisCode) -> Operation[int]:
        for item in (yield from self.objects()):
            if item.logical_name == code:
                return item.class_id
        raise ObjectUndefined(f"the meter has no object {code}; its object list tells what it has")


def _check_instant(when: datetime) -> None:
    if not isinstance(when, datetime):
        raise LocalError(f"{when!r} is no datetime; write datetime.now(UTC), or datetime.fromisoformat(...)")
    if when.utcoffset() is None:
        raise LocalError(f"{when} has no zone, so it is no instant; give one such as +00:00")
