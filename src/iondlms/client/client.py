"""The client for asyncio: the operations of `operations.py`, run on an `AsyncTransport`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar, cast

from iondlms.client.carried import Watched, carry_async
from iondlms.client.columns import ProfileColumns
from iondlms.client.line import open_line_async
from iondlms.client.objects import ClockReading, ClockSetting, ClockStep, MeterObject
from iondlms.client.operations import Name, Operations, Scales
from iondlms.client.profile import Profile
from iondlms.client.reading import Progress, When
from iondlms.client.scales import Quantity
from iondlms.client.session import Call, Connect, Hang, Hooks, Operation, Session, Steps
from iondlms.client.url import Target
from iondlms.codec.axdr import Data
from iondlms.errors import PortError
from iondlms.ports import AsyncTransport
from iondlms.ports.endpoint import Converses
from iondlms.ports.tcp_line import AsyncTcpTransport

__all__ = ["AsyncConnector", "Client", "connect"]

_T = TypeVar("_T")

AsyncConnector: TypeAlias = Callable[[], Awaitable[AsyncTransport]]


class Client:
    """One meter, for as long as its `async with` block lasts. One operation runs at a time; others wait."""

    def __init__(
        self,
        target: Target | str,
        *,
        password: str | bytes | None = None,
        zone: tzinfo | None = None,
        hooks: Hooks | None = None,
        connector: AsyncConnector | None = None,
    ) -> None:
        """Name the meter; nothing is sent yet.

        `zone` is for meters whose times have no deviation. `connector` gives the line, that of the
        URL by default.
        """
        self.target = Target.parse(target) if isinstance(target, str) else target
        secret = password.encode() if isinstance(password, str) else password
        self._hooks = Hooks() if hooks is None else hooks
        self._operations = Operations(Session(self.target, secret, self._hooks), zone)
        self._connector: AsyncConnector = self._open_port if connector is None else connector
        self._transport: AsyncTransport | None = None
        self._conversing: Converses | None = None  # the same, if it can carry a conversation by itself
        self._lock = asyncio.Lock()

    @property
    def session(self) -> Session:
        """What was negotiated, and the framing that was found."""
        return self._operations.session

    @property
    def rescued(self) -> Profile | None:
        """The rows that came of a profile whose reading was cancelled; None where none was."""
        return self._operations.rescued

    async def __aenter__(self) -> Client:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and associate; whatever is asked of a client that is not open opens it."""
        try:
            await self._run(self.session.open())
        except BaseException:
            await self._hang()
            raise

    async def close(self) -> None:
        """Release the association and close the connection; closing twice is no fault."""
        try:
            await self._run(self.session.close())
        finally:
            await self._hang()

    async def get(self, name: Name, attribute: int | None = None, class_id: int | None = None) -> Data:
        """Return an attribute, 2 unless the name ends in `:N`; AccessError if the meter refuses it."""
        return await self._run(self._operations.get(name, attribute, class_id))

    async def get_raw(self, name: Name, attribute: int | None = None, class_id: int | None = None) -> bytes:
        """Return an attribute as its octets came."""
        return await self._run(self._operations.get_raw(name, attribute, class_id))

    async def quantity(
        self, name: Name, attribute: int | None = None, class_id: int | None = None
    ) -> Quantity:
        """Return the value of a register as an exact Decimal, scaled, with its unit.

        LocalError for an attribute that is not scaled, AccessError if the meter refuses it.
        """
        return await self._run(self._operations.quantity(name, attribute, class_id))

    async def get_all(self, name: Name, class_id: int | None = None) -> dict[int, Data | None]:
        """Return all attributes of an object by number; None for one that was refused."""
        return await self._run(self._operations.get_all(name, class_id))

    async def objects(self) -> tuple[MeterObject, ...]:
        """Return the objects this association may see, with their rights."""
        return await self._run(self._operations.objects())

    async def clock(self) -> ClockReading:
        """Return the meter's time."""
        return await self._run(self._operations.clock())

    async def clock_step(self, when: datetime) -> ClockStep:
        """Return what setting the clock to an aware time would do to it and to the load profile."""
        return await self._run(self._operations.clock_step(when))

    async def set_clock(
        self, when: datetime, *, dry_run: bool = False, limit: timedelta | None = None
    ) -> ClockSetting:
        """Set the clock to an aware time; `dry_run` tells what would be sent. Never sent twice.

        LocalError, and nothing is sent, for a step of more than `limit` either way; None is no limit.
        """
        return await self._run(self._operations.set_clock(when, dry_run, limit))

    async def profile(
        self,
        name: Name,
        start: When | None = None,
        end: When | None = None,
        entries: tuple[int, int] | None = None,
        columns: Iterable[Name] | Name = (),
        *,
        last: int | None = None,
        scalers: Scales | None = None,
        zone: tzinfo | None = None,
        nulls: Literal["keep", "repeat"] = "keep",
        piece: timedelta | None = None,
        progress: Progress | None = None,
    ) -> Profile:
        """Return rows of a profile: all, a range (both ends inclusive), entries from 1, or the last ones.

        `scalers` overrides what the registers say. `piece` reads a long range in shorter ones. `progress` is
        called with the octets received and the rows in them. TransferBroken keeps the rows that came.
        """
        operation = self._operations.profile(
            name,
            start=start,
            end=end,
            entries=entries,
            last=last,
            columns=columns,
            scalers=scalers,
            zone=zone,
            nulls=nulls,
            piece=piece,
            progress=progress,
        )
        return await self._run(operation)

    async def profile_columns(
        self,
        name: Name,
        start: When | None = None,
        end: When | None = None,
        entries: tuple[int, int] | None = None,
        columns: Iterable[Name] | Name = (),
        *,
        last: int | None = None,
        scalers: Scales | None = None,
        zone: tzinfo | None = None,
        nulls: Literal["keep", "repeat"] = "keep",
        piece: timedelta | None = None,
        progress: Progress | None = None,
    ) -> ProfileColumns:
        """Return the same by column: arrays of integers, for whoever stores, sums up, or uses NumPy."""
        operation = self._operations.profile_columns(
            name,
            start=start,
            end=end,
            entries=entries,
            last=last,
            columns=columns,
            scalers=scalers,
            zone=zone,
            nulls=nulls,
            piece=piece,
            progress=progress,
        )
        return await self._run(operation)

    # --- the driver -----------------------------------------------------------------------------------

    async def _run(self, operation: Operation[_T]) -> _T:
        async with self._lock:
            try:
                steps = Steps(operation)
                while (effect := steps.effect) is not None:
                    try:
                        if isinstance(effect, Call):
                            await self._call(effect, steps)
                        else:
                            await self._prepare(effect)
                            steps.go_on()
                    except PortError as error:
                        steps.throw(error)
                return steps.result()
            finally:
                operation.close()  # a cancelled operation leaves its session in good order

    async def _prepare(self, effect: Connect | Hang) -> None:
        """Close the connection, and have another where one is wanted."""
        await self._hang()
        if isinstance(effect, Connect):
            self._transport = await self._connector()
            # Not by isinstance: with a Protocol it takes as long as three exchanges.
            able = hasattr(self._transport, "converse")
            self._conversing = cast("Converses", self._transport) if able else None

    async def _call(self, call: Call, steps: Steps[_T]) -> None:
        """Have a call carried, and those of the same endpoint that follow it, where the line can do so."""
        line = self._transport
        if line is None:
            raise PortError("there is no connection")
        endpoint, watch = call.endpoint, self._hooks.on_octets
        watched = None if watch is None else Watched(endpoint, watch)

        def begun(call: Call, now: float) -> bytes:
            octets = call.begun(now)
            return octets if watched is None else watched.sent(octets, now)

        def following(now: float) -> bytes | None:
            steps.go_on()
            effect = steps.effect
            if not isinstance(effect, Call) or effect.endpoint is not endpoint:
                return None
            return begun(effect, now)

        octets = begun(call, line.now())
        asker = endpoint if watched is None else watched
        if self._conversing is None or endpoint.outcome is not None:
            await carry_async(asker, octets, line)
            steps.go_on()
        else:
            await self._conversing.converse(asker, octets, following)

    async def _hang(self) -> None:
        transport, self._transport, self._conversing = self._transport, None, None
        if transport is not None:
            with suppress(PortError):
                await transport.close()

    async def _open_port(self) -> AsyncTransport:
        target = self.target
        if target.line is not None:
            return await open_line_async(target.line, self._hooks.on_octets)
        return await AsyncTcpTransport.connect(target.host, target.port, target.timeout_s)


def connect(
    target: Target | str,
    *,
    password: str | bytes | None = None,
    zone: tzinfo | None = None,
    hooks: Hooks | None = None,
    connector: AsyncConnector | None = None,
) -> Client:
    """Return a client for `async with`: `async with connect("tcp://10.0.0.7?unit=100") as meter`."""
    return Client(target, password=password, zone=zone, hooks=hooks, connector=connector)
