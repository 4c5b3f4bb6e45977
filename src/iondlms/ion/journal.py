"""What a meter has recorded since it was last asked: nobody reads it before it is safe."""

from __future__ import annotations

from .event_log import EventLog, Priority
from .recorder import DataRecorder
from .state import MeterState, Pending

__all__ = ["Journal"]


class Journal:
    """Gathers the batch that `IonMeter.advance` hands out next."""

    __slots__ = ("_batch", "_event_log", "recorded")

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._batch = self._new_batch()
        self.recorded = False  # whether anything was since; looked at for each request

    def take(self, state: MeterState | None) -> Pending:
        """Return the batch, with the state that belongs to it, and begin another."""
        batch, self._batch, self.recorded = self._batch, self._new_batch(), False
        batch.state = state
        return batch

    def log(self, at_ms: int, priority: int, cause: str, effect: str) -> None:
        """Add an event, if its priority is above the cutoff."""
        event = self._event_log.make(at_ms, priority, cause, effect)
        if event is not None:
            self._batch.events.append(event)
            self.recorded = True

    def add_row(self, recorder: DataRecorder, row: bytes | None, at_ms: int) -> bool:
        """Add the row that a recorder has made; None, and False, is none."""
        if row is None:
            return False
        rows = self._batch.rows.get(recorder.name)
        if rows is None:
            rows = self._batch.rows[recorder.name] = recorder.new_rows(recorder.next_sequence - 1)
        rows.octets += row
        self.recorded = True
        if recorder.full:  # by this row: there is none after it
            self.log(at_ms, Priority.WARNING, f"{recorder.name} full", "recording stopped")
        return True

    def clear(self, recorder: DataRecorder) -> None:
        """Clear a recorder's log."""
        self._batch.rows[recorder.name] = recorder.clear()
        self.recorded = True

    def clear_changed(self, recorder: DataRecorder, at_ms: int) -> None:
        """Clear the log of a recorder whose setup is another now."""
        self.clear(recorder)
        self.log(at_ms, Priority.SETUP_CHANGE, f"{recorder.name} changed", "log cleared")

    def _new_batch(self) -> Pending:
        return Pending(event_depth=self._event_log.setup.depth)
