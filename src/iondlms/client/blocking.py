"""The client without an event loop: the operations of `operations.py`, run on a `Transport`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar

from iondlms.client.carried import Watched, carry
from iondlms.client.columns import ProfileColumns
from iondlms.client.line import open_line
from iondlms.client.objects import ClockReading, ClockSetting, ClockStep, MeterObject
from iondlms.client.operations import Name, Operations, Scales
from iondlms.client.profile import Profile
from iondlms.client.reading import Progress, When
from iondlms.client.scales import Quantity
from iondlms.client.session import Call, Connect, Effect, Hang, Hooks, Operation, Session, Steps
from iondlms.client.url import Target
from iondlms.codec.axdr import Data
from iondlms.errors import PortError
from iondlms.ports import Transport
from iondlms.ports.dialogue import Watch
from iondlms.ports.tcp_line import TcpTransport

__all__ = ["Client", "Connector", "connect", "open_port"]

_T = TypeVar("_T")

Connector: TypeAlias = Callable[[], Transport]


class Client:
    """One meter, for as long as its `with` block lasts. Not to be shared between threads."""

    def __init__(
        self,
        target: Target | str,
        *,
        password: str | bytes | None = None,
        zone: tzinfo | None = None,
        hooks: Hooks | None = None,
        connector: Connector | None = None,
    ) -> None:
        """Name the meter; nothing is sent yet.

        `zone` is for meters whose times have no deviation. `connector` gives the line, that of the
        URL by default.
        """
        self.target = Target.parse(target) if isinstance(target, str) else target
        secret = password.encode() if isinstance(password, str) else password
        self._hooks = Hooks() if hooks is None else hooks
        self._operations = Operations(Session(self.target, secret, self._hooks), zone)
        self._connector: Connector = self._open_port if connector is None else connector
        self._transport: Transport | None = None

    @property
    def session(self) -> Session:
        """What was negotiated, and the framing that was found."""
        return self._operations.session

    @property
    def rescued(self) -> Profile | None:
        """The rows that came of a profile whose reading was interrupted (Ctrl-C); None where none was."""
        return self._operations.rescued

    def __enter__(self) -> Client:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect and associate; whatever is asked of a client that is not open opens it."""
        try:
            self._run(self.session.open())
        except BaseException:
            self._hang()
            raise

    def close(self) -> None:
        """Release the association and close the connection; closing twice is no fault."""
        try:
            self._run(self.session.close())
        finally:
            self._hang()

    def get(self, name: Name, attribute: int | None = None, class_id: int | None = None) -> Data:
        """Return an attribute, 2 unless the name ends in `:N`; AccessError if the meter refuses it."""
        return self._run(self._operations.get(name, attribute, class_id))

    def get_raw(self, name: Name, attribute: int | None = None, class_id: int | None = None) -> bytes:
        """Return an attribute as its octets came."""
        return self._run(self._operations.get_raw(name, attribute, class_id))

    def quantity(self, name: Name, attribute: int | None = None, class_id: int | None = None) -> Quantity:
        """Return the value of a register as an exact Decimal, scaled, with its unit.

        LocalError for an attribute that is not scaled, AccessError if the meter refuses it.
        """
        return self._run(self._operations.quantity(name, attribute, class_id))

    def get_all(self, name: Name, class_id: int | None = None) -> dict[int, Data | None]:
        """Return all attributes of an object by number; None for one that was refused."""
        return self._run(self._operations.get_all(name, class_id))

    def objects(self) -> tuple[MeterObject, ...]:
        """Return the objects this association may see, with their rights."""
        return self._run(self._operations.objects())

    def clock(self) -> ClockReading:
        """Return the meter's time."""
        return self._run(self._operations.clock())

    def clock_step(self, when: datetime) -> ClockStep:
        """Return what setting the clock to an aware time would do to it and to the load profile."""
        return self._run(self._operations.clock_step(when))

    def set_clock(
        self, when: datetime, *, dry_run: bool = False, limit: timedelta | None = None
    ) -> ClockSetting:
        """Set the clock to an aware time; `dry_run` tells what would be sent. Never sent twice.

        LocalError, and nothing is sent, for a step of more than `limit` either way; None is no limit.
        """
        return self._run(self._operations.set_clock(when, dry_run, limit))

    def profile(
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
        return self._run(operation)

    def profile_columns(
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
        return self._run(operation)

    # --- the driver -----------------------------------------------------------------------------------

    def _run(self, operation: Operation[_T]) -> _T:
        try:
            steps = Steps(operation)
            while (effect := steps.effect) is not None:
                try:
                    self._perform(effect)
                except PortError as error:
                    steps.throw(error)
                else:
                    steps.go_on()
            return steps.result()
        finally:
            operation.close()  # an interrupted operation leaves its session in good order

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Connect):
            self._hang()
            self._transport = self._connector()
        elif isinstance(effect, Hang):
            self._hang()
        elif self._transport is None:
            raise PortError("there is no connection")
        else:
            self._call(effect, self._transport)

    def _call(self, call: Call, line: Transport) -> None:
        endpoint, watch = call.endpoint, self._hooks.on_octets
        now = line.now()
        octets = call.begun(now)
        if watch is None:
            carry(endpoint, octets, line)
        else:
            watched = Watched(endpoint, watch)
            carry(watched, watched.sent(octets, now), line)

    def _hang(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            with suppress(PortError):
                transport.close()

    def _open_port(self) -> Transport:
        return open_port(self.target, self._hooks.on_octets)


def open_port(target: Target, watch: Watch | None = None) -> Transport:
    """Open the way to a meter: connect, or open the device, sign on, dial. PortError if that fails.

    `watch` is shown the octets of sign-on and call.
    """
    if target.line is not None:
        return open_line(target.line, watch)
    return TcpTransport.connect(target.host, target.port, target.timeout_s)


def connect(
    target: Target | str,
    *,
    password: str | bytes | None = None,
    zone: tzinfo | None = None,
    hooks: Hooks | None = None,
    connector: Connector | None = None,
) -> Client:
    """Return a client for `with`: `with connect("tcp://10.0.0.7?unit=100") as meter`."""
    return Client(target, password=password, zone=zone, hooks=hooks, connector=connector)
