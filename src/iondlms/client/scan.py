"""Finding out how a meter wants to be asked: baud, framing, address, client, HDLC or wrapper, sign-on.

It knocks with SNRM, which changes nothing in a meter and is answered by UA or DM, for about as long as the
answer takes at that baud. What is likely comes first, and a meter that answers is asked for its name and
released again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from iondlms.acse import ServiceUser
from iondlms.client.blocking import Client
from iondlms.client.errors import AssociationRefused, NoAnswer
from iondlms.client.line import SerialLine
from iondlms.client.session import Hooks
from iondlms.client.url import DEFAULT_UNIT, Target
from iondlms.errors import AccessError, DecodeError, DlmsError, LocalError, PortError, RemoteError
from iondlms.hdlc import Control, Deframer, Frame, Kind, ServerAddress
from iondlms.hdlc.address import client_octet
from iondlms.hdlc.frame import POLL, build
from iondlms.ports import Transport
from iondlms.ports.serial import Framing as Characters
from iondlms.ports.sign_on import SIGN_ON_BAUD, NoSignOn, SignOnOptions

__all__ = ["BAUDS", "CHARACTERS", "UNITS", "ClientFound", "Found", "Scan", "Scanner"]

# The meters' default Unit IDs: 100 to 103 by port, 1 for RS-485 of the newer models.
UNITS: Final = (100, 1, 101, 102, 103)
PUBLIC_CLIENT: Final = 16
BAUDS: Final = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 1200, 600, 300)
FAST_BAUDS: Final = (9600, 19200, 115200)
# A second stop bit is only a pause: 8N1 is heard by 8N2 and the other way round.
CHARACTERS: Final[tuple[Characters, ...]] = ("8N1", "8E1", "8O1")
FAST_CHARACTERS: Final[tuple[Characters, ...]] = ("8N1",)
ADDRESSES: Final = (4, 2, 1)

_KNOCK_OCTETS: Final = 12 + 37  # SNRM to four octets, and UA with all its parameters
_READING_OCTETS: Final = 300
_MARGIN_S: Final = 0.4  # the meter's turnaround, the buffers of adapters and serial servers
_FAST_MARGIN_S: Final = 0.15
_TCP_MARGIN_S: Final = 1.0
_FAST_TCP_MARGIN_S: Final = 0.3
_RETRIES: Final = 2
_CALL_MARGIN_S: Final = 4.0
_CONNECTS: Final = 3  # a meter with one connection may not have noticed the end of the last one
_RAW: Final = "socket://"
# What a meter says to a client that gave no password, if it lets it in with one only.
_LOCKED: Final = frozenset(
    (
        ServiceUser.AUTHENTICATION_FAILURE,
        ServiceUser.AUTHENTICATION_REQUIRED,
        ServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED,
        ServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED,
    )
)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is to be tried; LocalError for what no meter can have."""

    target: Target  # the way, and what goes for all tries
    units: tuple[int, ...] = UNITS
    clients: tuple[int, ...] = (16, 1)  # each is tried on a meter that was found; the first one knocks
    bauds: tuple[int, ...] = ()  # none: the usual ones, few of them with `fast`
    characters: tuple[Characters, ...] = ()  # likewise
    addresses: tuple[int, ...] = ADDRESSES
    fast: bool = False  # what is likely, and nothing else
    everything: bool = False  # go on behind the first meter
    patience_s: float | None = None  # for the answer to a knock; None: by the baud

    def __post_init__(self) -> None:
        if not (self.units and self.clients and self.addresses):
            raise LocalError("a scan needs a unit and a client at least")
        for unit in self.units:
            if not 0 < unit < 0x3FFE:
                raise LocalError(f"--units: {unit} is not in 1..16381")
        for client in self.clients:
            client_octet(client)
        if self.patience_s is not None and not 0 < self.patience_s <= 60:
            raise LocalError(f"--timeout {self.patience_s} is not in 0..60 s")


class ClientFound(NamedTuple):
    """What a meter says to a client."""

    client: int
    says: str  # "reads", "wants a password" or an error
    answers: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A meter: how to ask it, and what it said."""

    target: Target
    clients: tuple[ClientFound, ...]
    name: str | None = None  # None: nobody was let in without a password
    clock: datetime | None = None
    identification: str | None = None  # of the sign-on


class _Way(NamedTuple):
    """One setting of the line, and whom to knock for there."""

    target: Target
    knocks: tuple[tuple[int, int, int], ...]  # unit, octets of the address, client
    text: str


class Scanner:
    """One run. `open_port` opens the way of a target; `report` gets a line for each step."""

    def __init__(
        self,
        scan: Scan,
        open_port: Callable[[Target], Transport],
        report: Callable[[str], None],
        *,
        password: str | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._scan = scan
        self._open_port = open_port
        self._report = report
        self._password = password
        self._hooks = Hooks() if hooks is None else hooks
        self._opened = False  # once
        self._at: SerialLine | None = None  # where the first one answered
        self._known: set[int] = set()  # Unit IDs of those that were found
        self.knocks = 0
        self.noise = 0  # octets that were no frame

    def run(self) -> Iterator[Found]:
        """Yield what is found; the first alone, unless everything is wanted. PortError if nothing opens."""
        for found in self._run():
            yield found
            if not self._scan.everything:
                return

    def _run(self) -> Iterator[Found]:
        for way in self._ways():
            if self._at is not None and way.target.line != self._at:
                continue  # meters on one line work at one baud
            if way.target.framing == "wrapper":
                yield from self._wrapper(way)
            else:
                yield from self._knock_at(way)

    # --- what is tried, in order --------------------------------------------------------------------

    def _ways(self) -> Iterator[_Way]:
        scan, target = self._scan, self._scan.target
        likely, others = self._knocks()
        line = target.line
        if line is None:
            hdlc = replace(target, framing="hdlc" if target.framing == "auto" else target.framing)
            if target.framing != "wrapper":
                yield _Way(hdlc, likely, f"{target.place} as HDLC")
            if target.framing != "hdlc":
                # No unit of the URL, for it names none.
                wrapper = replace(target, framing="wrapper", unit=DEFAULT_UNIT)
                yield _Way(wrapper, (), f"{target.place} as wrapper")
            if target.framing != "wrapper" and others:
                yield _Way(hdlc, others, f"{target.place} as HDLC")
            return
        if line.call is not None or line.sign_on is not None or line.settings.device.startswith(_RAW):
            yield _Way(target, likely + others, _line_text(target))
            return
        bauds = scan.bauds or (FAST_BAUDS if scan.fast else BAUDS)
        characters = scan.characters or (FAST_CHARACTERS if scan.fast else CHARACTERS)
        settings = [self._on(baud, each) for each in characters for baud in bauds]
        opening = replace(line.settings, baud=SIGN_ON_BAUD, framing="8N1")
        # With all its tries: a meter that was just read takes 5 s to hear 300 baud again.
        signing = SerialLine(opening, "optical", SignOnOptions())
        sign_on = _Way(replace(target, line=signing), likely + others, "sign-on of mode E at 300 baud")
        if line.scheme == "optical":
            yield sign_on
        for each in settings:
            yield _Way(each, likely, _line_text(each))
        if not scan.fast and line.scheme != "optical":
            yield sign_on
        if others:
            for each in settings:
                yield _Way(each, others, _line_text(each))

    def _on(self, baud: int, characters: Characters) -> Target:
        target = self._scan.target
        line = target.line
        if line is None:
            raise LocalError("a connection has no baud")
        settings = replace(line.settings, baud=baud, framing=characters)
        return replace(target, line=replace(line, settings=settings))

    def _knocks(self) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]:
        """Return likely and unlikely knocks: four octets and the first client, then all other forms."""
        scan = self._scan
        first, *more = scan.clients
        units = sorted(scan.units, key=lambda unit: (unit not in UNITS, scan.units.index(unit)))
        usual = [unit for unit in units if unit in UNITS] or units
        longest, *shorter = scan.addresses
        likely = [(unit, longest, first) for unit in usual]
        others = [(unit, longest, first) for unit in units if unit not in usual]
        if not scan.fast:
            others += [(unit, 2, first) for unit in units if 2 in shorter and unit < 0x7E]
            others += [(units[0], 1, first)] * (1 in shorter)
            others += [(unit, longest, client) for client in more for unit in usual]
        return tuple(likely), tuple(others)

    # --- HDLC -----------------------------------------------------------------------------------------

    def _knock_at(self, way: _Way) -> Iterator[Found]:
        try:
            transport = self._opened_port(way.target)
        except PortError as error:
            if not self._opened and not isinstance(error, NoSignOn):
                raise
            self._report(f"{way.text}: {error}")
            return
        try:
            yield from self._knock_all(way, transport)
        except PortError as error:
            self._report(f"{way.text}: {error}")
        finally:
            transport.close()

    def _opened_port(self, target: Target) -> Transport:
        transport = self._open_port(target)
        self._opened = True
        return transport

    def _knock_all(self, way: _Way, transport: Transport) -> Iterator[Found]:
        patience_s = self._patience(way.target, transport)
        count = len(way.knocks)
        about = f"up to {count * patience_s:.0f} s" if count * patience_s >= 2 else "a moment"
        self._report(f"{way.text}: {count} address{'es' * (count != 1)}, {about}")
        heard = self.noise
        for unit, octets, client in way.knocks:
            if unit in self._known:
                continue
            target = replace(way.target, unit=unit, address=octets, client=client)
            answer = self._knock(target, transport, patience_s)
            if answer is None:
                continue
            unit = unit if answer.lower is None else answer.lower
            if unit not in self._known:
                self._known.add(unit)
                self._at = target.line
                yield self._examine(replace(target, unit=unit), transport)
        if self.noise > heard:
            self._report(
                f"{way.text}: {self.noise - heard} octets were heard that make no frame: somebody talks"
                " with another baud or parity, or the line is disturbed"
            )

    def _knock(self, target: Target, transport: Transport, patience_s: float) -> ServerAddress | None:
        """Send SNRM; return the address of who answers, None for silence."""
        self.knocks += 1
        source = client_octet(target.client)
        address = target.server_address
        octets = build(address.encode(), source, Control.SNRM | POLL)
        deframer = Deframer()
        if self._hooks.on_octets is not None:
            self._hooks.on_octets("TX", octets, transport.now())
        transport.send(octets)
        deadline = transport.now() + patience_s
        while True:
            data = transport.receive(deadline)
            if not data:
                self.noise += deframer.noise + deframer.fcs_errors + deframer.damaged_frames
                return None
            if self._hooks.on_octets is not None:
                self._hooks.on_octets("RX", data, transport.now())
            for frame in deframer.feed(data):
                answer = _answered(frame, source, address)
                if answer is not None:
                    return answer

    def _patience(self, target: Target, transport: Transport | None) -> float:
        scan, line = self._scan, target.line
        if scan.patience_s is not None:
            return scan.patience_s
        if line is None:
            return _FAST_TCP_MARGIN_S if scan.fast else _TCP_MARGIN_S
        if line.call is not None:
            return _CALL_MARGIN_S
        margin = _FAST_MARGIN_S if scan.fast else _MARGIN_S
        return _octets_s(target, transport, _KNOCK_OCTETS) + margin

    # --- the wrapper ----------------------------------------------------------------------------------

    def _wrapper(self, way: _Way) -> Iterator[Found]:
        self._report(f"{way.text}: clients {', '.join(map(str, self._scan.clients))}")
        found = self._examine(way.target, None)
        if any(client.answers for client in found.clients):
            yield found

    # --- a meter that answered ------------------------------------------------------------------------

    def _examine(self, target: Target, transport: Transport | None) -> Found:
        """Ask with each client; over HDLC on the line that is open, whose baud may have been agreed on."""
        patience_s = self._patience(target, transport)
        timeout_s = max(patience_s, 0.5) + _octets_s(target, transport, _READING_OCTETS)
        asked = replace(target, timeout_s=timeout_s, retries=_RETRIES)
        clients: list[ClientFound] = []
        name: str | None = None
        clock: datetime | None = None
        for client in dict.fromkeys((target.client, *self._scan.clients)):
            try:
                read = self._read(replace(asked, client=client), transport)
                name, clock = name or read[0], clock or read[1]
                clients.append(ClientFound(client, "reads", True))
            except AssociationRefused as error:
                locked = error.diagnostic in _LOCKED and self._password is None
                clients.append(ClientFound(client, "wants a password" if locked else str(error), True))
            except DlmsError as error:
                clients.append(ClientFound(client, f"no answer: {error}", False))
        ranks = [
            (each.says != "reads", each.says != "wants a password", at) for at, each in enumerate(clients)
        ]
        best = clients[min(ranks)[2]]
        identification = getattr(transport, "identification", None)
        return Found(
            replace(target, client=best.client, timeout_s=self._usual_timeout(target)),
            tuple(clients),
            name,
            clock,
            identification
            and f"{identification.manufacturer} {identification.model}, {identification.baud} baud",
        )

    def _usual_timeout(self, target: Target) -> float:
        """Return the time-out that was asked for, or else the one that goes with the line."""
        plain = self._scan.target
        if target.line is None or plain.line is None or plain.timeout_s != plain.line.timeout_s:
            return plain.timeout_s
        return target.line.timeout_s

    def _read(self, target: Target, transport: Transport | None) -> tuple[str, datetime | None]:
        password = None if target.client == PUBLIC_CLIENT else self._password
        tries = _CONNECTS if transport is None else 1

        def connect() -> Transport:
            return self._opened_port(target) if transport is None else _Kept(transport)

        while True:
            tries -= 1
            try:
                with Client(target, password=password, hooks=self._hooks, connector=connect) as meter:
                    name = meter.get("name").octets().decode("ascii", "replace")
                    clock = None
                    with suppress(AccessError, RemoteError):  # its name is enough
                        clock = meter.clock().instant
                    return name, clock
            except NoAnswer:
                raise
            except PortError:
                if not tries:
                    raise


class _Kept:
    """A line that several clients use one after the other: none of them closes it."""

    def __init__(self, transport: Transport) -> None:
        self.now = transport.now
        self.send = transport.send
        self.receive = transport.receive

    def close(self) -> None:
        """Leave it open."""


def _answered(frame: Frame, source: bytes, asked: ServerAddress) -> ServerAddress | None:
    """Return who answered an SNRM of ours, be it one of before; None for anything else."""
    if frame.destination != source or frame.kind not in (Kind.UA, Kind.DM, Kind.FRMR):
        return None
    try:
        address = ServerAddress.decode(frame.source)
    except DecodeError:
        return None
    return address if address.upper == asked.upper and not address.special else None


def _octets_s(target: Target, transport: Transport | None, octets: int) -> float:
    """Return the seconds that so many octets are on the line, at the baud of the sign-on if there was one."""
    if target.line is None:
        return 0.0
    identification = getattr(transport, "identification", None)
    return target.line.settings.octets_s(octets, identification and identification.baud)


def _line_text(target: Target) -> str:
    line = target.line
    if line is None or line.call is not None or line.settings.device.startswith(_RAW):
        return target.place
    return f"{line.settings.baud} {line.settings.framing}"
