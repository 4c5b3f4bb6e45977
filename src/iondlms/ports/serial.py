"""Serial lines, RS-232 and RS-485: the client's side, and what both sides need of serialx.

serialx is known in this file alone, and is loaded when a device is opened: who reads over TCP does not pay
for it. A device is a path, or a URL of serialx: `socket://HOST:PORT` (a serial server's raw port; baud and
framing are its own) and `rfc2217://HOST:PORT` (a serial server that is told them).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from iondlms.errors import LocalError, PortError
from iondlms.ports.echo import EchoCanceller, EchoMode
from iondlms.ports.endpoint import LineState
from iondlms.ports.parity import add_parity, strip_parity

if TYPE_CHECKING:
    from serialx import BaseSerial, BaseSerialTransport

__all__ = ["AsyncSerialTransport", "Framing", "Handshake", "LineSettings", "SerialTransport", "open_device"]

Framing = Literal["8N1", "8N2", "8E1", "8E2", "8O1", "8O2", "7E1"]
Handshake = Literal["none", "rts_cts", "rts_delay"]

_FRAMINGS: Final = ("8N1", "8N2", "8E1", "8E2", "8O1", "8O2", "7E1")
_HANDSHAKES: Final = ("none", "rts_cts", "rts_delay")
_CHUNK: Final = 4096  # octets taken from the device at once
_KEPT: Final = 65536  # octets received that wait for their reader; then the device waits
_CLOSE_S: Final = 2.0  # for what is still to be sent: 2400 octets at 9600 baud
_HIGHEST_DELAY_S: Final = 1.0  # the meters' own limit

_PTY_MAJORS: Final = range(136, 144)  # Linux: Unix98 slaves
# linux/serial.h: flags, the delays before and behind sending in ms, five reserved words.
_TIOCSRS485: Final = 0x542F
_RS485: Final = struct.Struct("@8I")
_RS485_ENABLED: Final = 1
_RS485_RTS_ON_SEND: Final = 2


@dataclass(frozen=True, slots=True)
class LineSettings:
    """One serial line; LocalError for what no line can be."""

    device: str
    baud: int = 9600
    framing: Framing = "8N1"  # 7E1 is made by software, the line itself is 8N1
    handshake: Handshake = "none"  # rts_delay: RTS is on while sending, from transmit_delay_s before
    transmit_delay_s: float = 0.01  # from the request's last octet to the answer's first
    rs485: bool = False  # let the driver switch the direction (TIOCSRS485); many adapters do so by themselves
    bias: bool = False  # the meter's own resistors; nothing here can switch them, it is kept to be shown
    echo: EchoMode = "auto"

    def __post_init__(self) -> None:
        if not self.device:
            raise LocalError(
                "no device is named; write /dev/ttyUSB0, socket://HOST:PORT or rfc2217://HOST:PORT"
            )
        if self.baud <= 0:
            raise LocalError(f"{self.baud} baud is no speed")
        if self.framing not in _FRAMINGS:
            raise LocalError(f"{self.framing} is no framing; there are {', '.join(_FRAMINGS)}")
        if self.handshake not in _HANDSHAKES:
            raise LocalError(f"{self.handshake} is no handshake; there are {', '.join(_HANDSHAKES)}")
        if not 0 <= self.transmit_delay_s <= _HIGHEST_DELAY_S:
            raise LocalError(f"a transmit delay of {self.transmit_delay_s} s is not in 0..1 s")

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"serial:{self.device}?baud={self.baud}&framing={self.framing}"

    @property
    def parity_by_software(self) -> bool:
        """Whether the octets on the line are characters of seven bits."""
        return self.framing == "7E1"

    def octets_s(self, octets: int, baud: int | None = None) -> float:
        """Return the seconds that so many octets are on the line."""
        bits = {"8N1": 10, "7E1": 10, "8E2": 12, "8O2": 12}.get(self.framing, 11)
        return octets * bits / (self.baud if baud is None else baud)

    def characters(self, *, with_baud: bool = True) -> dict[str, Any]:
        """Return the framing, and with it the baud, as serialx wants them."""
        # A pty has no parity: the system refuses it, but only where nothing else changes (glibc, tcsetattr).
        framing = "8N1" if self.parity_by_software or _is_pty(self.device) else self.framing
        speed = {"baudrate": self.baud} if with_baud else {}
        return speed | {"byte_size": int(framing[0]), "parity": framing[1], "stopbits": int(framing[2])}

    def arguments(self) -> dict[str, Any]:
        """Return what serialx opens the device with."""
        from serialx import PinState

        return self.characters() | {
            "rtscts": self.handshake == "rts_cts",
            "rts_on_open": PinState.LOW if self.handshake == "rts_delay" else PinState.HIGH,
            "exclusive": True,
            "close_timeout": _CLOSE_S,
        }


def _is_pty(device: str) -> bool:
    try:
        return os.major(os.stat(device).st_rdev) in _PTY_MAJORS
    except OSError:  # a URL; or it is not there, and opening it says so
        return False


def port_error(device: str, what: str, error: Exception) -> PortError:
    """Return the error of a device as ours, in few words."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return PortError(f"{device}: {what}: {reason or type(error).__name__}")


def device_errors() -> tuple[type[Exception], ...]:
    """Return what serialx raises for devices: its own errors, the system's, ValueError for a wrong URL."""
    from serialx import SerialException

    return (OSError, SerialException, ValueError)


def switch_rs485(transport: BaseSerial, device: str) -> None:
    """Have the driver switch the direction by RTS; PortError if it cannot."""
    words = (_RS485_ENABLED | _RS485_RTS_ON_SEND, *[0] * 7)
    try:
        fcntl.ioctl(transport.fileno(), _TIOCSRS485, _RS485.pack(*words))
    except (OSError, ValueError) as error:  # io.UnsupportedOperation is both: a socket has no such call
        raise port_error(device, "its driver cannot switch RS-485; leave rs485 off", error) from error


def _leave_masks_alone(device: str) -> None:
    """Have serialx ask no RFC 2217 server for its state masks: what it wants is the default of them.

    It waits for their confirmation (1.15), which ser2net and pyserial's server do not give.
    """
    if device.startswith("rfc2217://"):
        from serialx.platforms.serial_rfc2217 import Rfc2217

        Rfc2217.build_state_mask_commands = lambda _: ()  # type: ignore[method-assign,assignment]


async def open_device(
    settings: LineSettings, protocol: Callable[[], asyncio.Protocol]
) -> BaseSerialTransport:
    """Open a device under a protocol of asyncio; PortError if it cannot be had."""
    import serialx

    loop = asyncio.get_running_loop()
    _leave_masks_alone(settings.device)
    try:
        transport, _ = await serialx.create_serial_connection(
            loop, protocol, settings.device, **settings.arguments()
        )
    except device_errors() as error:
        raise port_error(settings.device, "cannot be opened", error) from error
    if settings.rs485:
        try:
            switch_rs485(transport.serial, settings.device)
        except PortError:
            transport.abort()
            await transport.wait_closed()
            raise
    return transport


class SerialTransport:
    """The client's line, blocking; a `Line`."""

    def __init__(self, port: BaseSerial, settings: LineSettings) -> None:
        self.canceller = EchoCanceller(settings.echo)
        self._port = port
        self._settings = settings
        self._errors = device_errors()
        self._state = LineState(settings.baud)
        self._out_at = 0.0  # when all that was sent is on the line

    @classmethod
    def connect(cls, settings: LineSettings) -> SerialTransport:
        """Open the device; PortError if it cannot be had."""
        import serialx

        _leave_masks_alone(settings.device)
        try:
            port = serialx.serial_for_url(settings.device, **settings.arguments())
            port.open()
        except device_errors() as error:
            raise port_error(settings.device, "cannot be opened", error) from error
        if settings.rs485:
            try:
                switch_rs485(port, settings.device)
            except PortError:
                port.close()
                raise
        return cls(port, settings)

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    def send(self, octets: bytes) -> None:
        """Send all; PortError if the device is gone."""
        if self._settings.parity_by_software:
            octets = add_parity(octets)
        self.canceller.sent(octets)
        on_line_s = self._settings.octets_s(len(octets), self._state.baud)
        rts = self._settings.handshake == "rts_delay"
        try:
            if rts:
                self._port.set_modem_pins(rts=True)
                time.sleep(self._settings.transmit_delay_s)
            self._port.write(octets, timeout=_CLOSE_S + on_line_s)
            self._out_at = max(self._out_at, time.monotonic()) + on_line_s
            if rts:
                self._drain()
                self._port.set_modem_pins(rts=False)
        except self._errors as error:
            raise port_error(self._settings.device, "sending failed", error) from error

    def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the device is gone."""
        buffer = bytearray(_CHUNK)
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                count = self._port.readinto(buffer, timeout=left)
            except self._errors as error:
                raise port_error(self._settings.device, "the device is gone", error) from error
            octets = self.canceller.received(bytes(buffer[:count])) if count else b""
            if octets:
                return strip_parity(octets) if self._settings.parity_by_software else octets
            if left is not None and left <= 0.0:
                return b""

    def configure(self, state: LineState) -> None:
        """Change baud and DTR once all that was sent is out; PortError if the device is gone or cannot."""
        if state == self._state:
            return
        try:
            self._drain()
            if state.baud != self._state.baud:
                self._port.reconfigure_port(baudrate=state.baud)
            # Changing the baud raises DTR again.
            self._port.set_modem_pins(dtr=state.terminal_ready)
        except self._errors as error:
            raise port_error(self._settings.device, f"cannot be set to {state.baud} baud", error) from error
        self._state = state

    def carrier(self) -> bool | None:
        """Return whether the carrier pin is on; None where the device does not tell."""
        try:
            return self._port.get_modem_pins().car.to_bool()
        except self._errors as error:
            raise port_error(self._settings.device, "the device is gone", error) from error

    def close(self) -> None:
        """Close the device."""
        with contextlib.suppress(*self._errors):  # it was gone already
            self._port.close()

    def _drain(self) -> None:
        # Serial servers and some adapters say "sent" when they have it in their buffer.
        self._port.flush()
        time.sleep(max(self._out_at - time.monotonic(), 0.0))


class _Inbox(asyncio.Protocol):
    """Keeps what comes until it is asked for."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.arrived = asyncio.Event()
        self.lost: Exception | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.octets += data
        self.arrived.set()
        if len(self.octets) > _KEPT and isinstance(self._transport, asyncio.ReadTransport):
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc or ConnectionError("the other end has closed")
        self.arrived.set()

    def take(self) -> bytes:
        octets = bytes(self.octets)
        self.octets.clear()
        if self._paused and self.lost is None and isinstance(self._transport, asyncio.ReadTransport):
            self._transport.resume_reading()
            self._paused = False
        return octets


class AsyncSerialTransport:
    """The client's line, for asyncio; an `AsyncLine`."""

    def __init__(self, port: BaseSerialTransport, inbox: _Inbox, settings: LineSettings) -> None:
        self.canceller = EchoCanceller(settings.echo)
        self._port = port
        self._inbox = inbox
        self._settings = settings
        self._errors = device_errors()
        self._state = LineState(settings.baud)
        self._loop = asyncio.get_running_loop()
        self._out_at = 0.0

    @classmethod
    async def connect(cls, settings: LineSettings) -> AsyncSerialTransport:
        """Open the device; PortError if it cannot be had."""
        inbox = _Inbox()
        return cls(await open_device(settings, lambda: inbox), inbox, settings)

    def now(self) -> float:
        """Return the loop's clock."""
        return self._loop.time()

    async def send(self, octets: bytes) -> None:
        """Send all; PortError if the device is gone."""
        if self._settings.parity_by_software:
            octets = add_parity(octets)
        self.canceller.sent(octets)
        rts = self._settings.handshake == "rts_delay"
        try:
            if rts:
                await self._port.set_modem_pins(rts=True)
                await asyncio.sleep(self._settings.transmit_delay_s)
            self._port.write(octets)
            on_line_s = self._settings.octets_s(len(octets), self._state.baud)
            self._out_at = max(self._out_at, self._loop.time()) + on_line_s
            if rts:
                await self._drain()
                await self._port.set_modem_pins(rts=False)
        except self._errors as error:
            raise port_error(self._settings.device, "sending failed", error) from error

    async def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the device is gone."""
        while True:
            if self._inbox.octets:
                octets = self.canceller.received(self._inbox.take())
                if octets:
                    return strip_parity(octets) if self._settings.parity_by_software else octets
            if self._inbox.lost is not None:
                raise port_error(self._settings.device, "the device is gone", self._inbox.lost)
            self._inbox.arrived.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._inbox.arrived.wait()
            except TimeoutError:
                return b""

    async def configure(self, state: LineState) -> None:
        """Change baud and DTR once all that was sent is out; PortError if the device is gone or cannot."""
        if state == self._state:
            return
        try:
            await self._drain()
            if state.baud != self._state.baud:
                await self._port.reconfigure_port(baudrate=state.baud)
            await self._port.set_modem_pins(dtr=state.terminal_ready)
        except self._errors as error:
            raise port_error(self._settings.device, f"cannot be set to {state.baud} baud", error) from error
        self._state = state

    async def carrier(self) -> bool | None:
        """Return whether the carrier pin is on; None where the device does not tell."""
        try:
            return (await self._port.get_modem_pins()).car.to_bool()
        except self._errors as error:
            raise port_error(self._settings.device, "the device is gone", error) from error

    async def close(self) -> None:
        """Close the device and wait until it is closed."""
        self._port.close()
        await self._port.wait_closed()

    async def _drain(self) -> None:
        await self._port.flush()
        await asyncio.sleep(max(self._out_at - self._loop.time(), 0.0))
