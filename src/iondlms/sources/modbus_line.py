"""The way to meters over Modbus, TCP or RTU: one connection, or serial line, for all of its meters.

The only file that knows pymodbus.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from weakref import WeakValueDictionary

from iondlms.errors import LocalError, PortError, extra_hint

from .modbus_map import Block

__all__ = ["ModbusLine", "ModbusTarget", "target_of"]

_LOG: Final = logging.getLogger("iondlms.sources.modbus")
_ILLEGAL_ADDRESS: Final = 2
# Of the request; all others tell of a meter that cannot answer now.
_REFUSALS: Final = (1, _ILLEGAL_ADDRESS, 3)
_FRAMINGS: Final = {f"8{parity}{stop}": (parity, stop) for parity in "NEO" for stop in (1, 2)}


@dataclass(frozen=True, slots=True)
class ModbusTarget:
    """What a URL says."""

    scheme: str
    place: str  # host or device
    port: int = 502
    baud: int = 19200
    framing: str = "8E1"


class ModbusLine:
    """Meters that are reached by one URL, asked in turn: `turn` is held for a whole poll of one.

    `of` gives the same line to all who name the same target, for a serial device can be opened once, and
    many a Modbus gateway takes few connections. Who connects lends it his time-out.
    """

    _lines: Final[WeakValueDictionary[ModbusTarget, ModbusLine]] = WeakValueDictionary()

    def __init__(self, target: ModbusTarget) -> None:
        self._target = target
        self._client: Any = None
        self.users = 0  # that poll it now; the last one closes it
        self.turn = asyncio.Lock()
        _require_pymodbus()

    @classmethod
    def of(cls, url: str) -> ModbusLine:
        """Return the line of a URL; LocalError for one that is none, or without pymodbus."""
        target = target_of(url)
        line = cls._lines.get(target)
        if line is None:
            line = cls._lines[target] = cls(target)
        return line

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and bool(self._client.connected)

    async def read(self, unit_id: int, block: Block, timeout_s: float) -> list[int] | None:
        """Return the registers of a block; None if the meter has no such. PortError without an answer."""
        from pymodbus import ModbusException

        client = await self._connected(timeout_s)
        ask = client.read_input_registers if block.function == "input" else client.read_holding_registers
        try:
            # Bounded by us too: what trickles in octet by octet must not hold the poll for ever.
            async with asyncio.timeout(timeout_s * 1.5):
                answer = await ask(block.address, count=block.count, device_id=unit_id)
        except TimeoutError as error:
            raise PortError(f"no answer within {timeout_s} s") from error
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

    async def _connected(self, timeout_s: float) -> Any:
        if not self.connected:
            self.close()
            self._client = _client(self._target, timeout_s)
            try:
                async with asyncio.timeout(timeout_s * 1.5):
                    connected = await self._client.connect()
            except TimeoutError as error:
                raise PortError(f"no connection within {timeout_s} s") from error
            except OSError as error:
                raise PortError(f"no connection: {error}") from error
            if not connected:
                raise PortError("no connection")
        return self._client

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None


def target_of(url: str) -> ModbusTarget:
    """Return what a URL says; LocalError for one that is none."""
    wrong = LocalError(
        f"{url!r} is no Modbus URL; write tcp://HOST:502 or rtu:/dev/ttyUSB0?baud=19200&framing=8E1"
    )
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        if parts.scheme in ("tcp", "rtu+tcp") and parts.hostname and not options and parts.path in ("", "/"):
            return ModbusTarget(parts.scheme, parts.hostname, parts.port or 502)
        if (
            parts.scheme == "rtu"
            and parts.path
            and not parts.netloc
            and options.keys() <= {"baud", "framing"}
        ):
            framing = options.get("framing", "8E1").upper()
            if framing in _FRAMINGS:
                return ModbusTarget("rtu", parts.path, 0, int(options.get("baud", "19200")), framing)
    except ValueError as error:  # a port or a baud that is no number
        raise wrong from error
    raise wrong


def _client(target: ModbusTarget, timeout: float) -> Any:
    """Return a pymodbus client that neither repeats nor connects again by itself: who polls does."""
    from pymodbus import FramerType
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

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
            f"a Modbus source needs the extra 'modbus'; install it with: {extra_hint('modbus')}"
        ) from error
    # It writes its whole history of frames as errors; what matters is told by our events.
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
