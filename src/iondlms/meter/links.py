"""What is wrong between modules that are right by themselves: links to nothing, codes of two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from iondlms.cosem import CURRENT_ASSOCIATION
from iondlms.meter.event_profile import CAUSE, EFFECT, PRIORITY
from iondlms.meter.framework_sections import (
    EventLogSection,
    FrameworkSections,
    PeriodicTimerSection,
    nearest,
)
from iondlms.meter.modules import SHORT_FORMS, Found, Modules, modules_of, read, section_of
from iondlms.meter.objects import CLOCK, LOGICAL_DEVICE_NAME, SAP_ASSIGNMENT, STATUS_WORD
from iondlms.meter.places import Place, key_of
from iondlms.meter.section import fault

__all__ = ["STANDARD_OBJECTS", "faults_among", "not_exported"]

# What every meter has, whatever is exported.
STANDARD_OBJECTS: Final = {
    str(CURRENT_ASSOCIATION): "the association",
    str(SAP_ASSIGNMENT): "the SAP assignment",
    str(LOGICAL_DEVICE_NAME): "the logical device name",
    str(CLOCK): "the clock",
    str(STATUS_WORD): "the status word",
    str(PRIORITY): "the priority of the latest event",
    str(CAUSE): "the cause of the latest event",
    str(EFFECT): "the effect of the latest event",
}


def faults_among(
    made: Modules, data: Mapping[str, Any], most_sources: int | None, model: str
) -> Iterator[ValidationError]:
    """Yield what is wrong, each with its places.

    `most_sources` is how many a recorder of the model takes, None while the model is wrong itself.
    """
    yield from made.faults
    yield from _short_forms(made, data)
    for found in made.recorders.values():
        section = found.section
        if not found.place:
            continue
        record = _link(found, data, "record")
        if record and record not in made.triggers:
            message = f"there is no timer or month end {record!r}; {nearest(record, tuple(made.triggers))}"
            yield fault(message, *found.place, "record")
        if section is not None and most_sources is not None and len(section.sources) > most_sources:
            message = f"{len(section.sources)} sources; {model} takes {most_sources}"
            yield fault(message, *found.place, "sources", most_sources)
    yield from _sync_inputs(made, data)
    for each in made.exports:
        wanted = _link(each, data, "data_recorder") if each.place else ""
        if wanted and wanted not in made.recorders:
            message = f"there is no data recorder {wanted!r}; {nearest(wanted, tuple(made.recorders))}"
            yield fault(message, *each.place, "data_recorder")
    profiles: dict[str, Place] = {}
    yield from _profiles(made, data, profiles)
    yield from _codes(made, profiles)


def not_exported(config: FrameworkSections) -> Iterator[str]:
    """Yield a line for each export whose codes are fewer than the sources: forgotten perhaps."""
    made = modules_of(dict(config))
    for found in made.exports:
        export = found.section
        recorder = None if export is None else made.recorders.get(export.data_recorder)
        if export is None or export.obis_codes is None or recorder is None or recorder.section is None:
            continue
        count, given = len(recorder.section.sources), len(export.obis_codes)
        if given < count and found.place:
            place = key_of((*found.place, "obis_codes"))
            yield (
                f"{place}: {count - given} of {count} sources are not exported; 'none' for each of them "
                "says that it is meant"
            )


def _link(found: Found[Any], data: Mapping[str, Any], key: str) -> str:
    """Return the module that a section names; of a wrong one as it is written, for that may be right."""
    section = found.section
    if section is None:
        kind, index = found.place
        section = data[str(kind)][index]
    wanted = read(section, key, "")
    return wanted if isinstance(wanted, str) else ""


def _sync_inputs(made: Modules, data: Mapping[str, Any]) -> Iterator[ValidationError]:
    for name, found in made.triggers.items():
        wanted = _link(found, data, "sync_input") if found.place[:1] == ("periodic_timer",) else ""
        if not wanted:
            continue
        other = made.triggers.get(wanted)
        if other is None:
            message = f"there is no timer or month end {wanted!r}; {nearest(wanted, tuple(made.triggers))}"
        elif wanted == name or (isinstance(other.section, PeriodicTimerSection) and other.section.sync_input):
            message = f"{wanted!r} has a Sync input itself; link both to the same trigger"
        else:
            continue
        yield fault(message, *found.place, "sync_input")


def _short_forms(made: Modules, data: Mapping[str, Any]) -> Iterator[ValidationError]:
    for key, (recorder, timer) in SHORT_FORMS.items():
        raw = data.get(key, {})
        given = raw if isinstance(raw, dict) else getattr(raw, "model_fields_set", ())
        modules: dict[str, tuple[str, Found[Any] | None]] = {
            "period": (timer, made.triggers.get(timer)),
            "depth": (recorder, made.recorders.get(recorder)),
        }
        for short, (name, found) in modules.items():
            if short not in given:
                continue
            if found is not None and found.place:
                message = f"the {short} of {name!r} is given twice; its own section is"
                yield fault(message, key, short, other=(*found.place, "name"))
            elif not made.default:
                message = "there is no default framework to set it of; that was switched off by"
                yield fault(message, key, short, other=("meter", "default_framework"))


def _profiles(
    made: Modules, data: Mapping[str, Any], profiles: dict[str, Place]
) -> Iterator[ValidationError]:
    """Look at the OBIS codes of the profiles, and put them in `profiles` with their places."""
    wanted = [
        (each.section.profile_obis, (*each.place, "profile_obis"))
        for each in made.exports
        if each.section is not None
    ]
    events = section_of(data.get("event_log", {}), EventLogSection)
    if events is not None and events.profile_obis:
        wanted.append((events.profile_obis, ("event_log", "profile_obis")))
    for code, place in wanted:
        if code in STANDARD_OBJECTS:
            yield fault(f"{code} is {STANDARD_OBJECTS[code]}; choose another", *place)
        elif code in profiles:
            other = profiles[code]
            if _own(other):
                yield fault(f"{code} is a profile already; see", *place, other=other)
            else:
                yield fault(f"{code} is a profile of the default framework; choose another", *place)
        profiles.setdefault(code, place)


def _codes(made: Modules, profiles: Mapping[str, Place]) -> Iterator[ValidationError]:
    """Look at the OBIS codes of the sources: each must be one quantity, and nothing else."""
    meant: dict[str, tuple[str, Place, str]] = {}  # quantity, place, profile
    for found in made.exports:
        export = found.section
        recorder = None if export is None else made.recorders.get(export.data_recorder)
        if export is None or recorder is None or recorder.section is None:
            continue
        sources, codes, given = recorder.section.sources, made.codes(export), export.obis_codes is not None
        if len(codes) > len(sources):
            message = f"{len(codes)} OBIS codes for the {len(sources)} sources of {export.data_recorder!r}"
            other = (*recorder.place, "sources") if recorder.place else ()
            yield fault(
                message + ("; see" if other else ""), *found.place, "obis_codes", len(sources), other=other
            )
        here: dict[str, Place] = {}
        for index, (name, code) in enumerate(zip(sources, codes, strict=False)):
            place: Place = (*found.place, "obis_codes", *((index,) if given else ()))
            if code is None:
                if not given and found.place:
                    message = f"{name!r} has no usual OBIS code; give obis_codes, with one for it or 'none'"
                    yield fault(message, *place)
                continue
            other_name, other, profile = meant.setdefault(code, (name, place, export.profile_obis))
            if code in STANDARD_OBJECTS:
                yield fault(f"{code} is {STANDARD_OBJECTS[code]}; choose another", *place)
            elif code in profiles:
                yield _twice(f"{code} is {name!r} here and a profile", place, profiles[code], "")
            elif other_name != name:
                yield _twice(f"{code} is {name!r} here and {other_name!r}", place, other, profile)
            elif code in here and not given and recorder.place:
                message = f"{name!r} is given twice; leave one out, or export it with obis_codes"
                yield fault(message, *recorder.place, "sources", index)
            elif code in here:
                yield _twice(f"{code} is given twice here and", place, here[code], profile)
            here[code] = place


def _own(place: Place) -> bool:
    """Return whether the place is in the file, and not in the default framework."""
    return place[:1] in (("dlms_log_export",), ("event_log",))


def _twice(message: str, place: Place, other: Place, profile: str) -> ValidationError:
    """Return the fault of one code at two places, of which either may be in the default framework."""
    if not _own(place) and _own(other):
        place, other = other, ()
    if _own(other):
        return fault(f"{message} in", *place, other=other)
    where = f"in {profile} of the default framework" if profile else "of the default framework"
    return fault(f"{message} {where}; choose another", *place)
