"""Another meter over Modbus, TCP or RTU: its registers become the registers of ours.

The only file that knows pymodbus. Polling is a task of the host; the ION modules are answered from what
was polled last, and nothing here ever holds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from iondlms.errors import LocalError, PortError
from iondlms.ion import Flow, Priority, Registers, moved

from .modbus_map import Block, ModbusMap, load_map

__all__ = ["ModbusMeter", "ModbusSettings"]

_LOG: Final = logging.getLogger("iondlms.sources.modbus")
_ENERGIES: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")
_MS_PER_HOUR: Final = 3_600_000
_NO_REGISTERS: Final = Registers(None, None, None, None, None)
# A meter that starts may show zeros for a moment: registers that went back are believed at the third poll.
_POLLS_TO_BELIEVE: Final = 3
_ILLEGAL_ADDRESS: Final = 2
_REFUSALS: Final = (
    1,
    _ILLEGAL_ADDRESS,
    3,
)  # of the request; all others tell of a meter that cannot answer now
_FRAMINGS: Final = {f"8{parity}{stop}": (parity, stop) for parity in "NEO" for stop in (1, 2)}


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
        _target(self.url)


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
        self._client: Any = None
        self._values: dict[str, int | None] = {}
        self._registers: Registers | None = None
        self._believed: Registers | None = None  # the last that were handed out
        self._doubts = 0
        self._flowed = _NO_REGISTERS
        self._lost: bool | None = None  # None: not asked yet
        _require_pymodbus()

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
            self.close()
            self._forget()

    async def poll(self) -> bool:
        """Ask for all values once; return whether the meter answered."""
        fault = ""
        for _ in range(self.settings.retries + 1):
            try:
                values = await self._read_all()
            except PortError as error:
                # A late answer must not be taken for that to the next request: begin on a new connection.
                self.close()
                fault = str(error)
                continue
            except BaseException:
                self.close()
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
        client = await self._connected()
        blocks = list(self._blocks)
        while blocks:
            block = blocks.pop(0)
            registers = await self._read(client, block)
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

    async def _read(self, client: Any, block: Block) -> list[int] | None:
        """Return the registers of a block; None if the meter has no such. PortError without an answer."""
        from pymodbus import ModbusException

        ask = client.read_input_registers if block.function == "input" else client.read_holding_registers
        try:
            # Bounded by us too: what trickles in octet by octet must not hold the poll for ever.
            async with asyncio.timeout(self.settings.timeout_s * 1.5):
                answer = await ask(block.address, count=block.count, device_id=self.settings.unit_id)
        except TimeoutError as error:
            raise PortError(f"no answer within {self.settings.timeout_s} s") from error
        except (ModbusException, OSError) as error:
            raise PortError(str(error)) from error
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            if code in _REFUSALS:
                _LOG.debug("registers from address %d: exception %d", block.address, code)
                return None
            raise PortError(f"the meter answers exception {code}")
        registers: list[int] = answer.registers
        if len(registers) != block.count:
            raise PortError(f"{len(registers)} registers came where {block.count} were asked for")
        return registers

    async def _connected(self) -> Any:
        if self._client is None or not self._client.connected:
            self.close()
            self._client = _client(self.settings)
            try:
                async with asyncio.timeout(self.settings.timeout_s * 1.5):
                    connected = await self._client.connect()
            except TimeoutError as error:
                raise PortError(f"no connection within {self.settings.timeout_s} s") from error
            except OSError as error:
                raise PortError(f"no connection: {error}") from error
            if not connected:
                raise PortError("no connection")
        return self._client

    def close(self) -> None:
        """Close the connection; the next poll opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    place: str  # host or device
    port: int = 502
    baud: int = 19200
    framing: str = "8E1"


def _target(url: str) -> _Target:
    wrong = LocalError(
        f"{url!r} is no Modbus URL; write tcp://HOST:502 or rtu:/dev/ttyUSB0?baud=19200&framing=8E1"
    )
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        if parts.scheme in ("tcp", "rtu+tcp") and parts.hostname and not options and parts.path in ("", "/"):
            return _Target(parts.scheme, parts.hostname, parts.port or 502)
        if (
            parts.scheme == "rtu"
            and parts.path
            and not parts.netloc
            and options.keys() <= {"baud", "framing"}
        ):
            framing = options.get("framing", "8E1").upper()
            if framing in _FRAMINGS:
                return _Target("rtu", parts.path, 0, int(options.get("baud", "19200")), framing)
    except ValueError as error:  # a port or a baud that is no number
        raise wrong from error
    raise wrong


def _client(settings: ModbusSettings) -> Any:
    """Return a pymodbus client that neither repeats nor connects again by itself: `poll` does."""
    from pymodbus import FramerType
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

    target, timeout = _target(settings.url), settings.timeout_s
    if target.scheme == "rtu":
        parity, stop = _FRAMINGS[target.framing]
        try:
            return AsyncModbusSerialClient(
                target.place,
                baudrate=target.baud,
                parity=parity,
                stopbits=stop,
                timeout=timeout,
                retries=0,
                reconnect_delay=0,
            )
        except RuntimeError as error:
            raise PortError(f"serial lines need pyserial: {error}") from error
    framer = FramerType.SOCKET if target.scheme == "tcp" else FramerType.RTU
    return AsyncModbusTcpClient(
        target.place, port=target.port, framer=framer, timeout=timeout, retries=0, reconnect_delay=0
    )


def _require_pymodbus() -> None:
    try:
        import pymodbus  # noqa: F401
    except ImportError as error:
        raise LocalError(
            "a Modbus source needs the extra 'modbus'; install it with: pip install 'iondlms[modbus]'"
        ) from error
    # It writes its whole history of frames as errors; what matters is told by our events.
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
