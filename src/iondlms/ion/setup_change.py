"""Data Recorders under a changed framework: which go on, which begin anew, which are no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .framework import Framework
from .log import Log
from .periodic_timer import Trigger
from .power_meter import PowerMeter
from .recorder import DataRecorder, DataRecorderSetup
from .state import RecorderState

__all__ = ["ChangedRecorders", "clearing", "what_changes"]


@dataclass(frozen=True, slots=True)
class ChangedRecorders:
    """What comes of the recorders of a running meter."""

    recorders: dict[str, DataRecorder]  # all there are now
    cleared: tuple[DataRecorder, ...]  # those whose rows before are to be forgotten
    left: Mapping[str, RecorderState]  # of those that are no more, should they come back

    @classmethod
    def of(
        cls,
        before: Mapping[str, DataRecorder],
        kept: Mapping[str, RecorderState],
        framework: Framework,
        power_meter: PowerMeter,
        make_log: Callable[[DataRecorderSetup], Log],
    ) -> ChangedRecorders:
        """Return the recorders of a framework: the same where inputs and settings are the same.

        `kept` is the state of all that there were, those included that were no more even before.
        """
        triggers: dict[str, Trigger] = {each.name: each for each in framework.triggers}
        recorders, cleared = {}, []
        away = dict(kept)
        for setup in framework.data_recorders:
            trigger = triggers.get(setup.record_input)
            there, state = before.get(setup.name), away.pop(setup.name, None)
            if there is not None and there.setup == setup:
                there.trigger = trigger
                recorders[setup.name] = there
                continue
            made = recorders[setup.name] = DataRecorder(setup, power_meter, trigger, make_log)
            if state is not None:
                # Numbers go on, so that what was recorded before cannot be taken for what comes.
                end = state.next_sequence
                made.restore(end, end, state.bits, end, b"")
                cleared.append(made)
        return cls(recorders, tuple(cleared), away)


def clearing(before: Mapping[str, DataRecorder], framework: Framework) -> Iterator[str]:
    """Yield the names of running recorders whose rows a framework would clear."""
    for setup in framework.data_recorders:
        there = before.get(setup.name)
        if there is not None and there.setup.fingerprint != setup.fingerprint:
            yield setup.name


def what_changes(before: Framework, after: Framework) -> Iterator[tuple[str, str]]:
    """Yield what differs between two frameworks: the module, and what happens to it."""
    for what, old, new in (
        ("Clock", before.clock, after.clock),
        ("Power Meter", before.power_meter, after.power_meter),
        ("Event Log Controller", before.event_log, after.event_log),
        ("interval timer", before.interval_timer, after.interval_timer),
    ):
        if old != new:
            yield what, "changed"
    yield from _named("Trigger", {t.name: t for t in before.triggers}, {t.name: t for t in after.triggers})
    yield from _named(
        "Data Recorder", {r.name: r for r in before.data_recorders}, {r.name: r for r in after.data_recorders}
    )
    yield from _named(
        "DLMS Log Export",
        {e.profile_obis: e for e in before.dlms_log_exports},
        {e.profile_obis: e for e in after.dlms_log_exports},
    )


def _named(kind: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after:
            yield f"{kind} {name!r}", "removed"
        elif name not in before:
            yield f"{kind} {name!r}", "added"
        elif before[name] != after[name]:
            yield f"{kind} {name!r}", "changed"
