"""A conversation with one meter, as steps that any driver can run.

An operation is a generator: it yields what is to be done on a line (`Connect`, `Call`, `Hang`), goes on once
it is done, and returns its result. `client.py` runs it on asyncio, `blocking.py` on a plain socket. What goes
wrong, a `PortError` of the line above all, is thrown into it. Here it is decided what is asked again on a new
link or connection, and what is not: reads are, once; a SET is not, because it may have been executed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from iondlms.client.endpoint import ClientEndpoint, Direction, Outcome
from iondlms.client.errors import (
    AssociationRefused,
    ClosedAtOnce,
    LinkError,
    NoAnswer,
    NotDlms,
    OutcomeUnknown,
    ServiceRefused,
    TransferBroken,
)
from iondlms.client.url import Target
from iondlms.codec.axdr import Data
from iondlms.errors import AccessError, DlmsError, LocalError, PortError, RemoteError
from iondlms.xdlms import AttributeDescriptor, Conformance, SelectiveAccess, StateError

__all__ = ["STOPPED", "Call", "Connect", "Effect", "Hang", "Hooks", "Operation", "Session", "Steps"]

_T = TypeVar("_T")

# What goes through an operation whose caller was cancelled, or interrupted by Ctrl-C or another signal.
STOPPED: Final = (GeneratorExit, KeyboardInterrupt, SystemExit)
# A meter with a single connection may see the end of the last one after the start of the next, and refuse it.
_CONNECTS: Final = 3
# In `auto` each framing gets its SNRM or AARQ and one repetition; a meter of the other framing says nothing.
_AUTO_TRIES: Final = 1
_DOUBT: Final = (
    "unit={} did not answer over HDLC, and the TCP wrapper, over which somebody does, names no unit: that may"
    " be another meter; framing=wrapper says that any will do"
)


class Connect(NamedTuple):
    """Have a new connection, in place of any other."""


class Call(NamedTuple):
    """Begin a call of the endpoint at the time it is, and carry octets until it has an outcome.

    One step for the whole of it: each is a way down and up through all generators of an operation.
    """

    endpoint: ClientEndpoint
    begin: Callable[[float], bytes]

    def begun(self, now: float) -> bytes:
        """Return the first octets; none, and there is an outcome, for a call that we refuse ourselves."""
        try:
            return self.begin(now)
        except LocalError as error:  # it has ended, and all else is as it was
            self.endpoint.outcome = Outcome(error=error)
            return b""


class Hang(NamedTuple):
    """Close the connection."""


Effect: TypeAlias = Connect | Call | Hang
Operation: TypeAlias = Generator[Effect, None, _T]


class Steps(Generic[_T]):
    """An operation on its way: the effect it waits for, None once it has a result."""

    __slots__ = ("_operation", "_result", "effect")

    def __init__(self, operation: Operation[_T]) -> None:
        """Begin; what the operation raises comes out of here, and of `go_on` and `throw` later."""
        self._operation = operation
        self.effect: Effect | None = None
        self.go_on()

    def go_on(self) -> None:
        """Have the next effect, or the result: the one before is done."""
        try:
            self.effect = next(self._operation)
        except StopIteration as end:
            self.effect, self._result = None, end.value

    def throw(self, error: Exception) -> None:
        """Do the same where the effect ended in an error."""
        try:
            self.effect = self._operation.throw(error)
        except StopIteration as end:
            self.effect, self._result = None, end.value

    def result(self) -> _T:
        """Return what the operation gave at its end."""
        found: _T = self._result
        return found


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may watch: octets as they travel, and APDUs, each with its direction and the time.

    The AARQ carries the password: whoever shows it to people blanks it first.
    """

    on_octets: Callable[[Direction, bytes, float], None] | None = None
    on_apdu: Callable[[Direction, bytes, float], None] | None = None


class Session:
    """Opens, asks, reconnects and closes. One operation at a time."""

    def __init__(self, target: Target, password: bytes | None = None, hooks: Hooks | None = None) -> None:
        """Check that target and password fit; LocalError otherwise. Nothing is sent."""
        if target.authentication == "low" and password is None:
            raise LocalError("auth=low needs a password")
        if target.authentication == "none":
            password = None
        self.target = target
        self.hooks = Hooks() if hooks is None else hooks
        # What answered is remembered: the next connection begins with it.
        self.framing: Literal["hdlc", "wrapper"] | None = None if target.framing == "auto" else target.framing
        self._password = password
        self._endpoint: ClientEndpoint | None = None
        self._connected = False
        self.broken_off = b""  # what came of an answer whose reader was interrupted or cancelled
        # Why it may be another meter that answers than the one that was named; None where it is that one.
        self.doubt: str | None = None

    @property
    def conformance(self) -> Conformance:
        """What was negotiated."""
        return Conformance(0) if self._endpoint is None else self._endpoint.conformance

    @property
    def max_pdu(self) -> int | None:
        """The meter's max receive PDU size; 0 is no limit, None before an association."""
        initiate = None if self._endpoint is None else self._endpoint.initiate
        return None if initiate is None else initiate.server_max_receive_pdu_size

    def fits(self, apdu_octets: int) -> bool:
        """Whether a request of that length reaches the meter in one piece."""
        return self._endpoint is None or self._endpoint.fits(apdu_octets)

    # --- operations ---------------------------------------------------------------------------------

    def open(self) -> Operation[None]:
        """Connect and associate; PortError, LinkError or AssociationRefused if that fails."""
        if self._endpoint is not None and self._endpoint.associated:
            return
        yield from self._open()

    def get(
        self,
        attribute: AttributeDescriptor,
        access: SelectiveAccess | None = None,
        progress: Callable[[bytes, int], None] | None = None,
    ) -> Operation[bytes]:
        """Return the encoded value of an attribute.

        AccessError if the meter refuses it, ServiceRefused if it refuses the request; TransferBroken with
        what came, if an answer in blocks ends early. `progress` gets each block and the octets so far.
        """
        kept = self.broken_off = b""
        for attempt in (1, 2):
            asked = False
            try:
                found = self._endpoint
                # Here, and not as `set` does it: each generator is paid for with each attribute.
                endpoint = found if found is not None and found.associated else (yield from self._open())
                endpoint.expect(progress)
                asked = True
                try:
                    yield Call(endpoint, partial(endpoint.get, attribute, access))
                except BaseException as error:
                    self._broken(endpoint, error)
                    raise
                return _value(endpoint)
            except (PortError, RemoteError, AccessError) as error:
                if asked:
                    kept = max(kept, endpoint.partial, key=len)
                    if attempt == 1 and self._again(error):
                        continue
                if not kept:
                    raise
                text = f"the answer broke off after {len(kept)} octets: {error}"
                raise TransferBroken(kept, text) from error
            except STOPPED:
                self.broken_off = max(kept, endpoint.partial, key=len) if asked else kept
                raise
        raise LocalError("no attempt was made")

    def set(self, attribute: AttributeDescriptor, value: Data) -> Operation[None]:
        """Write an attribute, once; OutcomeUnknown where it was sent and nothing came back."""
        endpoint = yield from self._associated()
        if self.doubt is not None:
            raise LocalError(f"nothing is set: {self.doubt}")
        if Conformance.SET not in endpoint.conformance:
            raise LocalError("this association may not set; use client=1&auth=low and the password")
        try:
            yield from self._run(endpoint, partial(endpoint.set, attribute, value))
        except (PortError, LinkError) as error:
            raise OutcomeUnknown(
                f"{error}; the meter may have done it all the same: read the value to find out"
            ) from error

    def close(self) -> Operation[None]:
        """Release the association, take the link down, close the connection; a dead line is no error."""
        endpoint, self._endpoint = self._endpoint, None
        if self._connected and endpoint is not None:
            with suppress(DlmsError):  # it was closed already, and closed it is
                yield from self._run(endpoint, endpoint.release)
        self._connected = False
        yield Hang()

    # --- how ----------------------------------------------------------------------------------------

    def _associated(self) -> Operation[ClientEndpoint]:
        """Return an endpoint that can be asked; connects where there is none."""
        endpoint = self._endpoint
        if endpoint is None or not endpoint.associated:
            endpoint = yield from self._open()
        return endpoint

    def _again(self, error: DlmsError) -> bool:
        """Whether a read that failed so is worth a new association; what there was is ended if it is."""
        if isinstance(error, ServiceRefused):
            # A meter that was restarted, or for whom we were idle too long, has no association any more.
            again = error.state is StateError.SERVICE_NOT_ALLOWED
        else:
            again = isinstance(error, (PortError, LinkError))
            if again and self.framing == "wrapper":
                self._connected = False  # a late answer on it could be taken for one to the next question
        if again and self._endpoint is not None:
            self._endpoint.abandon()
        return again

    def _open(self) -> Operation[ClientEndpoint]:
        if self.framing is None:
            return (yield from self._find_framing())
        endpoint = self._endpoint
        if self._connected and endpoint is not None:
            # The same line and a new link: SNRM ends whatever was before.
            return (yield from self._associate(endpoint))
        # A modem redials by itself, and a device that cannot be opened is not there.
        once = endpoint is None or self.target.line is not None
        return (yield from self._connect_as(self.framing, 1 if once else _CONNECTS))

    def _find_framing(self) -> Operation[ClientEndpoint]:
        """HDLC first, then the wrapper on a new connection: a meter decides by a connection's first octet."""
        yield from self._connect()
        endpoint = self._make("hdlc", min(_AUTO_TRIES, self.target.retries))
        try:
            yield from self._associate(endpoint)
        except PortError as error:
            silence = error
        finally:
            if endpoint.heard:
                self.framing = "hdlc"
        if endpoint.heard:
            if endpoint.associated:
                return endpoint
            raise silence
        try:
            endpoint = yield from self._connect_as("wrapper", _CONNECTS)
        except PortError as error:
            if isinstance(error, NotDlms) or (
                isinstance(silence, ClosedAtOnce) and isinstance(error, ClosedAtOnce)
            ):
                raise  # it is the same twice, and no matter of framing
            if isinstance(silence, NotDlms):
                raise silence from error
            raise NoAnswer(f"not as HDLC: {silence}; nor as wrapper: {error}") from error
        finally:
            if self._endpoint is not None and self._endpoint.heard:
                self.framing = "wrapper"
        if self.target.unit_named:
            self.doubt = _DOUBT.format(self.target.unit)
        return endpoint

    def _connect_as(self, framing: Literal["hdlc", "wrapper"], tries: int) -> Operation[ClientEndpoint]:
        while True:
            tries -= 1
            yield from self._connect()
            try:
                return (yield from self._associate(self._make(framing)))
            except (NoAnswer, NotDlms):
                raise
            except PortError:
                if not tries:
                    raise

    def _make(self, framing: Literal["hdlc", "wrapper"], tries: int | None = None) -> ClientEndpoint:
        self._endpoint = ClientEndpoint(
            self.target, framing, self._password, tries=tries, on_apdu=self.hooks.on_apdu
        )
        return self._endpoint

    def _connect(self) -> Operation[None]:
        self._connected = False
        yield Connect()
        self._connected = True

    def _associate(self, endpoint: ClientEndpoint) -> Operation[ClientEndpoint]:
        try:
            yield from self._run(endpoint, endpoint.open)
        except (PortError, LinkError) as error:
            if isinstance(error, NoAnswer):
                self._connected = False  # dead without a word; the next operation has a new connection
            # On a serial line such octets are noise, or of another baud: that is for `scan` to tell.
            if endpoint.foreign and self.target.line is None:
                raise NotDlms.of(endpoint.foreign, self.target) from error
            if endpoint.heard or self.target.line is not None or isinstance(error, (NoAnswer, LinkError)):
                raise
            raise ClosedAtOnce(
                f"{self.target.place} closed the connection at once: an ION takes one DLMS connection at a"
                " time, and none while DLMS over Ethernet is off or it has no power"
            ) from error
        except AssociationRefused:
            # Politely: others may want the meter's only connection.
            with suppress(PortError):
                yield from self._run(endpoint, endpoint.disconnect)
            raise
        return endpoint

    def _run(self, endpoint: ClientEndpoint, begin: Callable[[float], bytes]) -> Operation[bytes]:
        """Have a call carried to its end; return its value or raise its error."""
        try:
            yield Call(endpoint, begin)
        except BaseException as error:
            self._broken(endpoint, error)
            raise
        return _value(endpoint)

    def _broken(self, endpoint: ClientEndpoint, error: BaseException) -> None:
        """Note what came of a call that was not carried to its end."""
        if isinstance(error, PortError):
            self._connected = False
            endpoint.abandon()
        elif isinstance(error, STOPPED):  # in the middle of an answer
            endpoint.abandon()
            self._connected = self._connected and self.framing == "hdlc"


def _value(endpoint: ClientEndpoint) -> bytes:
    """Return the value of the call that has ended, or raise its error."""
    if endpoint.outcome is None:
        raise LocalError("a call was not carried to its end")
    value, error = endpoint.outcome
    if error is not None:
        raise error
    return value
