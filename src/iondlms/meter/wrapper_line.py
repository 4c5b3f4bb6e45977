"""The meter's side of a connection over the TCP wrapper: WPDUs in, WPDUs out. IEC 62056-47."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from iondlms.later import Later
from iondlms.meter.refusals import Cause, refusal
from iondlms.meter.served import PortSetup, Served
from iondlms.meter.service import MANAGEMENT_LOGICAL_DEVICE, Application, Association, LinkLimits
from iondlms.meter.waiting import Waiting
from iondlms.wrapper import NO_STATION, Oversized, Wpdu, WrapperDeframer

__all__ = ["WrapperLine"]

_LARGEST_WPDU: Final = 0xFFFF
_TOO_LONG: Final = refusal(Cause.TOO_LONG)


class WrapperLine:
    """WPDUs of all clients on one connection."""

    __slots__ = ("_application", "_associations", "_deframer", "_limits", "_meter", "requests")

    half_frame = False  # a WPDU may take its time: TCP loses nothing
    foreseen: Final = None

    def __init__(
        self, meter: Served, application: Application, setup: PortSetup, after: Later | None
    ) -> None:
        """Nothing is answered before `after` is over."""
        self.requests: Waiting[Wpdu | Oversized] = Waiting(after)
        self._meter = meter
        self._application = application
        self._deframer = WrapperDeframer(setup.max_pdu)
        self._associations: dict[int, Association] = {}  # by client SAP, of the SAPs that exist
        self._limits = LinkLimits(setup.max_pdu, 0, _LARGEST_WPDU)

    @property
    def broken(self) -> bool:
        """Whether what comes cannot be delimited any more."""
        return self._deframer.broken

    @property
    def linked(self) -> bool:
        """Whether a client has, or had, an association."""
        return bool(self._associations)

    @property
    def in_frame(self) -> bool:
        """Whether the beginning of a WPDU is held."""
        return self._deframer.pending

    @property
    def counters(self) -> Mapping[str, int]:
        """What was counted, by name."""
        deframer = self._deframer
        return {"frames": deframer.wpdus, "errors": deframer.empty + deframer.oversized}

    def flush(self) -> None:
        """Keep what has begun: it is never too late for the rest."""

    def abort(self) -> None:
        """End all associations."""
        self._associations.clear()
        self.requests.forget()

    def follow(self, data: bytes, now: float) -> None:
        """Foresee nothing."""

    def receive(self, data: bytes, now: float) -> bytes:
        """Take octets and return the answers to what is whole."""
        return self.requests.take(self._deframer.feed(data), now, self._answer)

    def go_on(self, now: float) -> bytes:
        """Return the answer that has waited, and those to what came behind it."""
        return self.requests.go_on(now, self._answer)

    def _answer(self, wpdu: Wpdu | Oversized, now: float) -> bytes:
        if wpdu.destination != MANAGEMENT_LOGICAL_DEVICE or wpdu.source == NO_STATION:
            return b""
        if isinstance(wpdu, Oversized):
            return b"" if _TOO_LONG is None else wpdu.reply(_TOO_LONG)
        association = self._association(wpdu.source)
        return self._said(wpdu, association, now, lambda: association.handle(wpdu.apdu, self._limits))

    def _said(
        self, wpdu: Wpdu, association: Association, now: float, say: Callable[[], bytes | None]
    ) -> bytes:
        self._meter.pass_time(now)
        apdu = say()
        self._meter.pass_time(now)  # what it has logged is kept at once: a refused SET, an AARQ
        if association.later is not None:
            self.requests.wait(
                association.later, lambda now: self._said(wpdu, association, now, association.resumed)
            )
        return b"" if apdu is None else wpdu.reply(apdu)

    def _association(self, client_sap: int) -> Association:
        association = self._associations.get(client_sap)
        if association is None:
            association = Association(self._application, client_sap)
            # Only SAPs that can be associated are remembered: a port number is chosen by the peer.
            if client_sap in self._application.clients:
                self._associations[client_sap] = association
        return association
