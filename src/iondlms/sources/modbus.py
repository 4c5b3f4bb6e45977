"""Another meter over Modbus, TCP or RTU: its registers become the registers of ours.

Polling is a task of the host; the ION modules are answered from what
was polled last, and nothing here ever holds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from iondlms.errors import LocalError, PortError
from iondlms.ion import Flow, Priority, Registers, moved

from .modbus_line import ModbusLine, target_of
from .modbus_map import ModbusMap, load_map

__all__ = ["ModbusMeter", "ModbusSettings"]

_LOG: Final = logging.getLogger("iondlms.sources.modbus")
_ENERGIES: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")
_MS_PER_HOUR: Final = 3_600_000
_NO_REGISTERS: Final = Registers(None, None, None, None, None)
# A meter that starts may show zeros for a moment: registers that went back are believed at the third poll.
_POLLS_TO_BELIEVE: Final = 3


@dataclass(frozen=True, slots=True)
class ModbusSettings:
    """Where the meter is and how often it is asked; LocalError for a URL that is none.

    URLs: `tcp://HOST:502`, `rtu:DEVICE?baud=19200&framing=8E1`, and `rtu+tcp://HOST:PORT` for RTU frames
    behind a device server.
    """

    url: str
    unit_id: int = 1
    map: str = "ion9000"
    poll_s: float = 5.0
    timeout_s: float = 3.0  # for each answer
    retries: int = 1  # of a poll, each over a new connection

    def __post_init__(self) -> None:
        if not 0 <= self.unit_id <= 255:
            raise LocalError(f"a Modbus unit id of {self.unit_id} is not within 0 to 255")
        if not 0.1 <= self.poll_s <= 3600 or not 0.05 <= self.timeout_s <= 60 or not 0 <= self.retries <= 10:
            raise LocalError("polls are 0.1 to 3600 s apart, answers take 0.05 to 60 s, retries are 0 to 10")
        target_of(self.url)


class ModbusMeter:
    """A `RegisterSource`, fed by `run`.

    While the meter does not answer nothing is known, and no value is made up. What flowed meanwhile is in
    its registers: it comes with its next answer.
    """

    def __init__(self, settings: ModbusSettings, map_: ModbusMap | None = None) -> None:
        self.settings = settings
        self.map = load_map(settings.map) if map_ is None else map_
        self._blocks = list(self.map.plan())
        self._event: Callable[[int, str, str], None] = lambda *_: None
        self._changing: Callable[[], None] = lambda: None
        self._line = ModbusLine.of(settings.url)
        self._values: dict[str, int | None] = {}
        self._registers: Registers | None = None
        self._believed: Registers | None = None  # the last that were handed out
        self._doubts = 0
        self._flowed = _NO_REGISTERS
        self._lost: bool | None = None  # None: not asked yet

    # What the Power Meter asks

    @property
    def rollover(self) -> int:
        """Where the meter's registers turn to 0, in k-units."""
        return self.map.rollover

    def registers(self, utc_ms: int) -> Registers | None:  # noqa: ARG002 - polled, not asked by time
        """Return the registers as of the last poll; None while the meter does not answer."""
        return self._registers

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:  # noqa: ARG002
        """Return all other values of the last poll; nothing while the meter does not answer."""
        return self._values

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:  # noqa: ARG002
        """Return how far the registers moved since this last returned something; None if nothing is known.

        For who wants flows; the Power Meter asks for the registers themselves.
        """
        now, before = self._registers, self._flowed
        if now is None:
            return None
        # A register without a value keeps its place, so that what it counts meanwhile is not lost.
        self._flowed = Registers(*(old if new is None else new for old, new in zip(before, now, strict=True)))
        if before == _NO_REGISTERS:
            return None
        modulus = self.rollover * 1000
        return Flow(
            *(
                0 if old is None or new is None else (moved(old, new, modulus) or 0) * _MS_PER_HOUR
                for old, new in zip(before, now, strict=True)
            )
        )

    # What the host does

    def listen(self, event: Callable[[int, str, str], None], changing: Callable[[], None]) -> None:
        """Have `event` told priority, cause and effect of what happens to the link, and `changing` called
        before each change of values, so that the meter can be advanced on what was true until then.
        """
        self._event, self._changing = event, changing

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        self._line.users += 1
        try:
            while True:
                await self.poll()
                # wait_for of Python 3.11, which pymodbus uses, forgets a cancellation that comes together
                # with the answer; whoever cancelled would wait for ever.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError
                # A slow meter is asked again at the next beat, not in a burst of all that were missed.
                missed = max(0.0, loop.time() - due) // self.settings.poll_s
                due += (missed + 1) * self.settings.poll_s
                await asyncio.sleep(due - loop.time())
        finally:
            self._line.users -= 1
            if not self._line.users:
                self.close()
            self._forget()

    async def poll(self) -> bool:
        """Ask for all values once; return whether the meter answered."""
        fault = ""
        for _ in range(self.settings.retries + 1):
            async with self._line.turn:
                try:
                    values = await self._read_all()
                except PortError as error:
                    # A late answer must not be taken for that to the next request: begin on a new connection.
                    self._line.close()
                    fault = str(error)
                    continue
                except BaseException:
                    self._line.close()
                    raise
            self._take(values)
            return True
        self._lose(fault)
        return False

    def _take(self, values: dict[str, int | None]) -> None:
        registers = Registers(*(values.get(name) for name in _ENERGIES))
        self._changing()
        if self._lost is not False:
            effect = "found" if self._lost is None else "answers again"
            self._event(Priority.INFORMATION, f"Source {self.settings.url}", effect)
            _LOG.info("%s: %s", self.settings.url, effect)
        self._lost = False
        self._values = {name: value for name, value in values.items() if name not in _ENERGIES}
        if self._doubtful(registers):
            self._registers = None
            return
        self._registers = self._believed = registers

    def _doubtful(self, registers: Registers) -> bool:
        """Return whether registers went back, and not for long enough to believe it."""
        modulus = self.rollover * 1000
        back = self._believed is not None and any(
            old is not None and new is not None and moved(old, new, modulus) is None
            for old, new in zip(self._believed, registers, strict=True)
        )
        self._doubts = self._doubts + 1 if back else 0
        if self._doubts == 1:
            self._event(
                Priority.WARNING,
                f"Source {self.settings.url}",
                "registers went back; waiting if they stay so",
            )
        return 0 < self._doubts < _POLLS_TO_BELIEVE

    def _lose(self, fault: str) -> None:
        self._forget()
        if not self._lost:
            self._lost = True
            self._event(Priority.WARNING, f"Source {self.settings.url}", f"lost: {fault}")
            _LOG.warning("%s: %s", self.settings.url, fault)

    def _forget(self) -> None:
        if self._registers is not None or self._values:
            self._changing()
        self._values, self._registers = {}, None

    # The link

    async def _read_all(self) -> dict[str, int | None]:
        values: dict[str, int | None] = {}
        blocks = list(self._blocks)
        while blocks:
            block = blocks.pop(0)
            registers = await self._line.read(self.settings.unit_id, block, self.settings.timeout_s)
            if registers is None and len(parts := block.parts()) > 1:
                # Some meters refuse a request that touches a register they do not have.
                place = self._blocks.index(block)
                self._blocks[place : place + 1] = parts
                blocks[:0] = parts
            elif registers is None:
                values |= dict.fromkeys(value.quantity for value in block.values)
            else:
                values |= block.decode(registers)
        return values

    def close(self) -> None:
        """Close the connection; whose turn it is next opens another."""
        self._line.close()
