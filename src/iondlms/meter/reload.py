"""What a newer configuration changes in a running meter: at once, only when told to, or at a restart.

What loses nothing is done at once: exports, their OBIS codes, the event log as a profile. What clears a log
or moves a clock, a register or a timer waits until it is told to, and so do the exports of a recorder that
waits. What the meter is made of takes a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion.framework import Framework
from iondlms.ion.meter import IonMeter
from iondlms.ion.setup_change import clearing, what_changes

__all__ = ["FRAMEWORK_SECTIONS", "Change", "When", "at_once", "changes_between", "coming_back", "without"]

# Sections that `Meter.apply` takes care of; other changes are of ports, or take a restart.
FRAMEWORK_SECTIONS: Final = frozenset(
    (
        "clock",
        "power_meter",
        "load_profile",
        "billing",
        "periodic_timer",
        "month_end",
        "data_recorder",
        "dlms_log_export",
        "event_log",
        "fault",
    )
)


@unique
class When(Enum):
    """When a change is made."""

    NOW = "is changed"
    APPLY = "waits for --apply or a restart"
    RESTART = "takes a restart"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of what, what happens to it, and when."""

    what: str  # "Data Recorder 'Billing'"
    how: str  # "changed; its 96 rows are cleared"
    when: When

    def __str__(self) -> str:
        return f"{self.what}: {self.how}" + ("" if self.when is When.NOW else f"; {self.when.value}")


def at_once(
    running: Framework, wanted: Framework, profile: str, wanted_profile: str
) -> tuple[Framework, str]:
    """Return the framework, and the profile of the event log, that a meter can have without any loss."""
    made = _exports_of(running, wanted)
    for candidate in ((made, wanted_profile), (made, profile)):
        if candidate[1] not in _codes(candidate[0]):
            return candidate
    return running, profile


def _codes(framework: Framework) -> set[str]:
    """Return the logical names that exports have taken."""
    exports = framework.dlms_log_exports
    return {each.profile_obis for each in exports} | {code for each in exports for _, code in each.columns()}


def _exports_of(running: Framework, wanted: Framework) -> Framework:
    """Return the running framework with the exports of another, as far as they fit its recorders.

    Those of a recorder that waits wait with it: what it is read by now stays until the new ones can come.
    """
    there = {each.name: each.sources for each in running.data_recorders}
    sources = {each.name: each.sources for each in wanted.data_recorders}
    staying = {name for name, columns in sources.items() if there.get(name) == columns}
    made = {each.profile_obis: each for each in wanted.dlms_log_exports if each.data_recorder in staying}
    for each in running.dlms_log_exports:
        if each.data_recorder not in staying or _takes_over(each.profile_obis, wanted, staying):
            made.setdefault(each.profile_obis, each)
    try:
        return replace(running, dlms_log_exports=tuple(made.values()))
    except LocalError:
        return running  # a code that is free only once another export has gone


def _takes_over(profile_obis: str, wanted: Framework, staying: Collection[str]) -> bool:
    """Whether a recorder that waits is to have a profile: until then it is that of another one."""
    return any(
        each.profile_obis == profile_obis and each.data_recorder not in staying
        for each in wanted.dlms_log_exports
    )


def coming_back(ion: IonMeter, wanted: Framework) -> frozenset[str]:
    """Return the recorders of a framework that are not running, and have rows on the disk from before.

    Only a start reads the disk: begun here, they would begin by forgetting those rows.
    """
    names = {each.name for each in wanted.data_recorders} - ion.recorders.keys()
    kept = ion.state.recorders
    return frozenset(name for name in names if name in kept and kept[name].next_sequence)


def without(wanted: Framework, names: Collection[str]) -> Framework:
    """Return a framework less these recorders and their exports."""
    return replace(
        wanted,
        data_recorders=tuple(each for each in wanted.data_recorders if each.name not in names),
        dlms_log_exports=tuple(each for each in wanted.dlms_log_exports if each.data_recorder not in names),
    )


def changes_between(
    ion: IonMeter, wanted: Framework, profile: str, wanted_profile: str, *, on_disk: bool
) -> Iterator[Change]:
    """Yield what differs between a running meter and a framework; `profile` is that of the event log.

    The Factory module is left out: it is made of keys of `[meter]`, all of which take a restart. `on_disk`
    tells whether rows outlive their recorder.
    """
    running = ion.framework
    if on_disk:
        back = coming_back(ion, wanted)
        for name in sorted(back):
            yield Change(f"Data Recorder {name!r}", "comes back with the rows it had", When.RESTART)
        wanted = without(wanted, back)
    if running.clock.time_sync_source != wanted.clock.time_sync_source:
        # Who may set the time is agreed with each association that is open.
        yield Change("Time Sync Source", "changed", When.RESTART)
        wanted = replace(wanted, clock=replace(wanted.clock, time_sync_source=running.clock.time_sync_source))
    cleared = set(clearing(ion.recorders, wanted))
    made, made_profile = at_once(running, wanted, profile, wanted_profile)
    waiting = dict(what_changes(made, wanted))
    for what, how in what_changes(running, wanted):
        when = When.APPLY if what in waiting else When.NOW
        for name in cleared:
            if what == f"Data Recorder {name!r}":
                count = ion.recorders[name].log.count
                how = f"{how}; its {_rows(count)} cleared"
        if how == "removed" and (there := ion.recorders.get(_recorder_of(what))) is not None:
            fate = "kept in the data folder, should it come back" if on_disk else "lost"
            how = f"{how}; its {_rows(there.log.count)} {fate}"
        yield Change(what, how, when)
    if profile != wanted_profile:
        how = "removed" if not wanted_profile else f"is {wanted_profile}"
        when = When.NOW if made_profile == wanted_profile else When.APPLY
        yield Change("Profile of the event log", how, when)


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _recorder_of(what: str) -> str:
    """Return the name in "Data Recorder 'NAME'"; of another module nothing that is a recorder's name."""
    kind, _, name = what.partition(" '")
    return name.removesuffix("'") if kind == "Data Recorder" else ""
