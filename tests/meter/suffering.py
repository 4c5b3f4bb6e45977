"""A meter with faults and our client at the other end of its line, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from iondlms.client import Hooks, blocking
from iondlms.errors import PortError
from iondlms.ion.source import Source
from iondlms.meter import Meter
from iondlms.meter.config import Config
from iondlms.meter.fault_sections import FaultRuleSection
from iondlms.meter.tap import Tap
from iondlms.ports.memory import NullModem

START: Final = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
START_MS: Final = int(START.timestamp()) * 1000
PASSWORD: Final = "12345678"
LOAD_PROFILE: Final = "1-0:99.1.0*255"
HDLC: Final = "hdlc://meter:1?retries=3&timeout=2s"
WRAPPER: Final = "wrapper://meter:1?retries=3&timeout=2s"


class Bench:
    """One meter, its tap, and a clock that is that of the line."""

    def __init__(
        self,
        *rules: dict[str, Any],
        history: int = 20,
        source: Source | None = None,
        framing: str = "auto",
        port: Sequence[dict[str, Any]] = (),
        **settings: Any,
    ) -> None:
        document = {
            "meter": {"history": history, "password": PASSWORD, **settings},
            "port": list(port) or [{"name": "ETHERNET", "framing": framing}],
            "fault": list(rules),
        }
        self.meter = Meter(Config.model_validate(document), source=source)
        self.meter.start(START_MS, 0.0)
        first = self.meter.config.port[0]
        self.tap = Tap(
            first.name,
            {first.unit_id: self.meter.faults},
            lambda now: self.meter.endpoint(first, now),
            framing=first.link,
            rx_timeout_s=first.rx_timeout,
        )
        self.lines: list[NullModem] = []
        self._now = 0.0
        self.sent: list[bytes] = []  # by the client
        self.heard: list[bytes] = []

    @property
    def now(self) -> float:
        return max(self._now, self.lines[-1].now()) if self.lines else self._now

    def arm(self, **rule: Any) -> int:
        return self.meter.faults.arm(FaultRuleSection.model_validate(rule).rule(), self.now)

    def connect(self) -> NullModem:
        endpoint = self.tap.admit(self.now)
        if endpoint is None:
            raise PortError("refused")
        self.lines.append(NullModem(endpoint, None, self.now))
        return self.lines[-1]

    def client(self, url: str = HDLC, password: str | None = None) -> blocking.Client:
        def note(direction: str, octets: bytes, *_: Any) -> None:
            (self.sent if direction == "TX" else self.heard).append(octets)

        return blocking.Client(url, password=password, connector=self.connect, hooks=Hooks(on_octets=note))

    def wait(self, seconds: float) -> None:
        """Let time pass on the line and in the meter, waking the meter when it wants it."""
        until = self.now + seconds
        while (at := self.meter.next_deadline()) is not None and at < until:
            self.until(max(at, self.now))
            self.meter.advance(self.now)
        self.until(until)
        self.meter.advance(self.now)

    def until(self, at: float) -> None:
        with suppress(PortError):  # closed by now: time goes on without it
            if self.lines and at > self.now:
                self.lines[-1].wait(at - self.now)
        self._now = max(self._now, at)

    def statuses(self) -> list[int]:
        """The status words of the load profile, oldest first."""
        recorder = self.meter.ion.recorders["Load Profile"]
        return [row.status for row in recorder.rows(recorder.log.first, recorder.log.end)]

    def events(self) -> list[str]:
        return [f"{event.cause}: {event.effect}" for event in self.meter.ion.event_log.events]
