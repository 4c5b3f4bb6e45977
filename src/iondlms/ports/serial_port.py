"""The meter's serial port: octets between a device and an endpoint, with the timing of a real one.

The answer's first octet comes no sooner than the transmit delay after the request's last one. A device that
disappears, a USB adapter that is pulled, is opened again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from iondlms.errors import PortError
from iondlms.later import Later
from iondlms.ports.echo import EchoCanceller
from iondlms.ports.endpoint import Endpoint, FollowsBaud, HearsCarrier, LineState, SteersLine
from iondlms.ports.loop import Alarm, over
from iondlms.ports.parity import add_parity, strip_parity
from iondlms.ports.serial import Framing, LineSettings, device_errors, open_device, port_error

if TYPE_CHECKING:
    from serialx import BaseSerialTransport

__all__ = ["SerialPort"]

_LOG: Final = logging.getLogger("iondlms.ports.serial")

# Against a loop that opens and fails: the longest is what a person who plugs it in again will wait for.
_BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_CARRIER_S: Final = 0.5  # how often the carrier pin is read; a modem drops the line within a second or two
_LARGEST_BACKLOG: Final = 8192  # octets to be sent; a client that asks on without listening gets no more
_LAST_WORDS_S: Final = 2.0  # for the answer under way when the port stops


class _Sending(NamedTuple):
    """What is to be sent, when, and what the line is to be like behind it."""

    octets: bytes
    at: float
    state: LineState


class SerialPort:
    """A serial device that carries octets to an endpoint; one that steers the line gets what it wants."""

    def __init__(
        self,
        name: str,
        settings: LineSettings,
        make_endpoint: Callable[[float], Endpoint],
        *,
        back_off_s: tuple[float, ...] = _BACK_OFF_S,
    ) -> None:
        self.name = name
        self.settings = settings
        self.enabled = True  # a port that is off hears nothing and says nothing
        self.dropped = 0  # answers nobody was listening for
        self._make_endpoint = make_endpoint
        self._back_off_s = back_off_s
        self._canceller = EchoCanceller(settings.echo)
        self._device: BaseSerialTransport | None = None
        self._endpoint: Endpoint | None = None
        self._state = LineState(settings.baud)  # of the line, once all in `_outgoing` is sent
        self._line = self._state  # of the line now
        self._outgoing: deque[_Sending] = deque()
        self._something = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._alarm = Alarm(self._wake)
        self._waits: Later | None = None  # for what an answer waits
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._stopping = False
        self._reopening = False

    @property
    def url(self) -> str:
        """Where a client at the other end finds it; the device there has another name."""
        return self.settings.url

    @property
    def present(self) -> bool:
        """Whether the device is there and open."""
        return self._device is not None and not self._device.is_closing()

    async def bind(self) -> None:
        """Open the device; PortError if it cannot be had, or another program has it."""
        try:
            self._device = await open_device(self.settings, lambda: _Wire(self))
        except PortError as error:
            raise PortError(f"{self.name}: {error}") from error

    async def start(self) -> None:
        """Answer from now on."""
        self._running = True
        self._renew()
        self._task(self._send_all())
        self._task(self._watch_carrier())
        self._arm()

    async def stop(self) -> None:
        """Let the answer under way go out, and close the device."""
        self._stopping = True
        await over(self._waits, _LAST_WORDS_S)
        if self._device is not None and self._outgoing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._sent.wait()
        self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._device is not None:
            self._device.close()
            await self._device.wait_closed()
            self._device = None

    async def change(self, baud: int, framing: Framing, make_endpoint: Callable[[float], Endpoint]) -> None:
        """Work at another baud or framing from now on; PortError if the device refuses, and nothing changes.

        The answer under way goes out before. Links end, as on a meter whose port is set up anew; a modem
        hangs up, and gets its init string at the new baud. A device that is gone is opened so once it is
        back.
        """
        settings = replace(self.settings, baud=baud, framing=framing)
        await over(self._waits, _LAST_WORDS_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._sent.wait()
        # Where the endpoint steers the line, the baud of the line is its affair.
        steered = isinstance(self._endpoint, SteersLine)
        if self._device is not None:
            await self._set_up(self._device, self.settings, settings, steered)
        self.settings, self._make_endpoint = settings, make_endpoint
        if not steered:
            self._line = self._state = LineState(baud)
        if isinstance(self._endpoint, FollowsBaud):
            modem = self._endpoint
            self._run(lambda _, now: modem.configure(baud, now))
        elif self._endpoint is not None:
            self._renew()
            self._arm()

    # --- the endpoint ---------------------------------------------------------------------------------

    def _renew(self) -> None:
        self._endpoint = self._make_endpoint(asyncio.get_running_loop().time())
        self._queue(b"")

    def _received(self, data: bytes) -> None:
        data = self._canceller.received(data)
        if not data or not self._running or not self.enabled or self._stopping:
            return
        if self.settings.parity_by_software:
            data = strip_parity(data)
        self._run(lambda endpoint, now: endpoint.receive_data(data, now))

    def _run(self, step: Callable[[Endpoint, float], bytes]) -> None:
        if self._endpoint is None:
            return
        try:
            answer = step(self._endpoint, asyncio.get_running_loop().time())
        except Exception:
            # Never for what was received: this is a bug of ours. It costs this line's links, not the meter.
            _LOG.exception("%s: the endpoint failed; its links are gone", self.name)
            self._renew()
            answer = b""
        if self._endpoint.closed:
            self._renew()
        self._queue(answer)
        self._arm()
        later = self._endpoint.later
        if later is not self._waits:
            self._waits = later
            if later is not None:
                later.then(self._wake)  # who is woken in vain looks, and finds nothing due

    def _queue(self, answer: bytes) -> None:
        state = self._endpoint.wanted if isinstance(self._endpoint, SteersLine) else self._state
        if answer and sum(len(sending.octets) for sending in self._outgoing) > _LARGEST_BACKLOG:
            self.dropped += 1
            answer = b""
        if not answer and state == self._state:
            return
        self._state = state
        at = asyncio.get_running_loop().time() + self.settings.transmit_delay_s
        self._outgoing.append(_Sending(answer, at, state))
        self._sent.clear()
        self._something.set()

    def _arm(self) -> None:
        deadline = None if self._endpoint is None else self._endpoint.next_deadline()
        if deadline is not None and not self._stopping:
            self._alarm.no_later(deadline)

    def _wake(self) -> None:
        deadline = None if self._endpoint is None else self._endpoint.next_deadline()
        if deadline is not None and deadline <= asyncio.get_running_loop().time():
            self._run(lambda endpoint, now: endpoint.handle_timeout(now))
        else:
            self._arm()

    # --- the device -----------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        """Send what is queued, one after the other: RTS and the baud change with the octets."""
        errors = device_errors()
        while True:
            await self._something.wait()
            self._something.clear()
            while self._outgoing:
                device = self._device
                try:
                    if device is not None:
                        await self._send(device, self._outgoing[0])
                except errors as error:
                    if (
                        device is not None and not device.is_closing()
                    ):  # else it is gone, and `_lost` is told of it
                        _LOG.warning("%s: %s: %s", self.name, self.settings.device, error)
                    device = None
                if device is None:
                    self._outgoing.clear()  # who asked will ask again
                else:
                    self._outgoing.popleft()
            self._sent.set()

    async def _send(self, device: BaseSerialTransport, sending: _Sending) -> None:
        loop = asyncio.get_running_loop()
        if sending.octets:
            rts = self.settings.handshake == "rts_delay"
            octets = add_parity(sending.octets) if self.settings.parity_by_software else sending.octets
            if rts:
                await device.set_modem_pins(rts=True)
            await asyncio.sleep(max(sending.at - loop.time(), 0.0))
            self._canceller.sent(octets)
            device.write(octets)
            if rts or sending.state != self._line:
                out_at = loop.time() + self.settings.octets_s(len(octets), self._line.baud)
                await device.flush()
                await asyncio.sleep(max(out_at - loop.time(), 0.0))
            if rts:
                await device.set_modem_pins(rts=False)
        await self._configure(device, sending.state)

    async def _set_up(
        self, device: BaseSerialTransport, before: LineSettings, after: LineSettings, steered: bool
    ) -> None:
        try:
            await device.reconfigure_port(**after.characters(with_baud=not steered))
        except device_errors() as error:
            with contextlib.suppress(*device_errors()):  # it says no, or it is gone
                await device.reconfigure_port(**before.characters(with_baud=not steered))
            reason = port_error(after.device, f"cannot be set to {after.baud} baud, {after.framing}", error)
            raise PortError(f"{self.name}: {reason}") from error

    async def _configure(self, device: BaseSerialTransport, state: LineState) -> None:
        if state == self._line:
            return
        if state.baud != self._line.baud:
            await device.reconfigure_port(baudrate=state.baud)
        # Changing the baud raises DTR again.
        await device.set_modem_pins(dtr=state.terminal_ready)
        self._line = state

    async def _watch_carrier(self) -> None:
        errors = device_errors()
        while isinstance(self._endpoint, HearsCarrier):
            await asyncio.sleep(_CARRIER_S)
            device = self._device
            if device is None:
                continue
            with contextlib.suppress(*errors):  # gone; `_lost` is told of it
                present = (await device.get_modem_pins()).car.to_bool()
                if present is not None:
                    self._carrier(present)

    def _carrier(self, present: bool) -> None:
        endpoint = self._endpoint
        if isinstance(endpoint, HearsCarrier):
            self._run(lambda _, now: endpoint.carrier_is(present, now))

    def _lost(self, error: Exception | None) -> None:
        """The device is gone: say so once, and try until it is back."""
        self._device = None
        if self._stopping:
            return
        if self._reopening:
            return
        self._reopening = True
        reason: object = error.strerror if isinstance(error, OSError) and error.strerror else error
        reason = reason or "closed by the other end"
        _LOG.warning("%s: %s is gone (%s); trying to open it again", self.name, self.settings.device, reason)
        self._task(self._reopen())

    async def _reopen(self) -> None:
        attempt = 0
        while self._device is None or self._device.is_closing():
            await asyncio.sleep(self._back_off_s[min(attempt, len(self._back_off_s) - 1)])
            attempt += 1
            with contextlib.suppress(PortError):
                self._device = await open_device(self.settings, lambda: _Wire(self))
        self._reopening = False
        _LOG.warning("%s: %s is back", self.name, self.settings.device)
        self._line = LineState(self.settings.baud)
        if isinstance(self._endpoint, SteersLine):
            self._state = self._line
            self._renew()  # what a sign-on or a modem had come to is over
            self._arm()

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Wire(asyncio.Protocol):
    """What asyncio knows of a port's device."""

    def __init__(self, port: SerialPort) -> None:
        self._port = port

    def data_received(self, data: bytes) -> None:
        self._port._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port._lost(exc)
