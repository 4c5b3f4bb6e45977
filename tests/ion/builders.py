"""Sources one can read, small frameworks, and a host that keeps batches in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from iondlms.ion import (
    ClockSetup,
    DataRecorderSetup,
    Event,
    Factory,
    Flow,
    Framework,
    IonMeter,
    MonthEnd,
    PeriodicTimer,
    PowerMeterSetup,
    Row,
    Saved,
    Source,
)

MINUTE = 60_000
HOUR = 3_600_000
QUARTER = 900_000


def utc(*fields: int) -> int:
    """Milliseconds of a UTC date and time."""
    return int(datetime(*fields, tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type, misc]


class SteadyLoad:
    """Constant power, which a test may change, and silence on demand."""

    def __init__(self, active_w: int = 100_000, reactive_var: int = -20_000) -> None:
        self.active_w = active_w
        self.reactive_var = reactive_var
        self.apparent_va = 101_980
        self.silent = False
        self.asked_ms = 0

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        assert start_ms < end_ms
        span = end_ms - start_ms
        self.asked_ms += span
        if self.silent:
            return None
        active, reactive = self.active_w * span, self.reactive_var * span
        return Flow(
            max(active, 0), max(-active, 0), max(reactive, 0), max(-reactive, 0), self.apparent_va * span
        )

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        if self.silent:
            return {}
        return {"kW tot": self.active_w, "kVAR tot": self.reactive_var, "Vln a": 230_000}


SOURCES = ("kWh del int", "kWh del", "kWh rec", "kWh del-rec", "kW sd del-rec", "PF sign mean")


def small_framework(
    *,
    clock: ClockSetup | None = None,
    period_s: int = 900,
    depth: int = 100,
    circular: bool = True,
    insert_outage_records: bool = False,
    sources: tuple[str, ...] = SOURCES,
    power_meter: PowerMeterSetup | None = None,
) -> Framework:
    """One timer, and three recorders: "log" on the timer, "months" at month end, "hand" on pulses."""
    return Framework(
        factory=Factory("ION9000", "TEST-1", "4.6.0"),
        triggers=(PeriodicTimer("timer", period_s), MonthEnd("month end")),
        interval_timer="timer",
        data_recorders=(
            DataRecorderSetup("log", sources, "timer", depth, circular, insert_outage_records),
            DataRecorderSetup("months", ("kWh del",), "month end", 36),
            DataRecorderSetup("hand", ("kWh del",), "", 3, circular),
        ),
        dlms_log_exports=(),
        clock=ClockSetup() if clock is None else clock,
        power_meter=PowerMeterSetup() if power_meter is None else power_meter,
    )


class Host:
    """Owns the time and the disk of a meter: `now` moves only when told, and all batches are kept."""

    def __init__(
        self, begin_ms: int, framework: Framework | None = None, source: Source | None = None
    ) -> None:
        self.framework = small_framework() if framework is None else framework
        self.load = SteadyLoad()
        self.source: Source = self.load if source is None else source
        self.begin_ms = begin_ms
        self.now = 1000.0
        self.rows: dict[str, list[tuple[int, bytes]]] = {}
        self.events: list[Event] = []
        self.saved: Saved | None = None
        self.meter = IonMeter(self.framework, self.source)

    @property
    def utc_ms(self) -> int:
        """The host's own UTC, which a clock set in the meter does not move."""
        return self.begin_ms + round((self.now - 1000.0) * 1000)

    def start(self, history_rows: int = 0) -> Host:
        self.meter.start(self.utc_ms, self.now, self.saved, history_rows=history_rows)
        return self.keep()

    def keep(self) -> Host:
        batch = self.meter.advance(self.now)
        for name, new in batch.rows.items():
            kept = self.rows.setdefault(name, [])
            if new.cleared:
                kept.clear()
            for index in range(new.end - new.first):
                row = bytes(new.octets[index * new.stride : (index + 1) * new.stride])
                kept.append((new.first + index, row))
            del kept[: max(0, len(kept) - new.depth)]
        self.events += batch.events
        if batch.state is not None:
            whole = {
                name: (rows[0][0], b"".join(row for _, row in rows))
                for name, rows in self.rows.items()
                if rows
            }
            self.saved = Saved(type(batch.state).decode(batch.state.encode()), whole, tuple(self.events))
        self.meter.publish(batch)
        return self

    def wait(self, seconds: float) -> Host:
        """Let time pass, with a look at every deadline."""
        end = self.now + seconds
        while (due := self.meter.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.keep()
        self.now = end
        return self.keep()

    def jump(self, seconds: float) -> Host:
        """Let time pass in one go."""
        self.now += seconds
        return self.keep()

    def restart(self, seconds: float, change: Callable[[Framework], Framework] = lambda same: same) -> Host:
        """Kill the meter as it is, and start it again after `seconds`."""
        self.now += seconds
        self.framework = change(self.framework)
        self.meter = IonMeter(self.framework, self.source)
        return self.start()

    def log(self, name: str = "log") -> list[Row]:
        recorder = self.meter.recorders[name]
        return list(recorder.rows(recorder.log.first, recorder.log.end))

    def stamps(self, name: str = "log") -> list[str]:
        return [f"{datetime.fromtimestamp(row.utc_ms / 1000, UTC):%H:%M}" for row in self.log(name)]

    def statuses(self, name: str = "log") -> list[int]:
        return [row.status for row in self.log(name)]
