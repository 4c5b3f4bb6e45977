"""What can go wrong between a client and its meter, beside what `iondlms.errors` names."""

from __future__ import annotations

from typing import Final

from iondlms.acse import Diagnostic, ServiceProvider, ServiceUser
from iondlms.client.profile import Profile
from iondlms.client.url import Target
from iondlms.errors import PortError, RemoteError
from iondlms.xdlms import ConfirmedServiceError, ExceptionResponse, ServiceError, StateError

__all__ = [
    "AssociationRefused",
    "ClosedAtOnce",
    "LinkError",
    "NoAnswer",
    "NotDlms",
    "OutcomeUnknown",
    "ServiceRefused",
    "TransferBroken",
]

_REMEDIES: Final[dict[Diagnostic, str]] = {
    ServiceUser.NO_REASON_GIVEN: "check client= (16 is the public client, 1 needs the password)",
    ServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: "it wants another application context",
    ServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED: "try auth=none",
    ServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED: "it wants a password: auth=low",
    ServiceUser.AUTHENTICATION_FAILURE: "the password is wrong, or the meter has none set",
    ServiceUser.AUTHENTICATION_REQUIRED: "it wants a password: auth=low, or client=16 to read without one",
    ServiceProvider.NO_COMMON_ACSE_VERSION: "it speaks another version of ACSE",
}
_REFUSED_LINK: Final = (
    "another client may have it: wait and try again; or check client= and unit=: this one may not be served"
)


class NoAnswer(PortError):
    """The meter said nothing in the time it was given, or on the tries it was given."""

    @classmethod
    def of(cls, reason: str, target: Target, *, heard: bool) -> NoAnswer:
        """Return the error, with what to look at where the meter was never heard."""
        if heard:
            return cls(f"{reason}: the meter has stopped answering")
        return cls(
            f"{reason}; check the address (unit={target.unit}, client={target.client}),"
            " the framing (framing=hdlc or wrapper) and that the meter's port is set to DLMS"
        )


class NotDlms(PortError):
    """Octets came, and they are neither HDLC nor the wrapper: something else answers there."""

    @classmethod
    def of(cls, octets: bytes, target: Target) -> NotDlms:
        """Return the error for how the answer begins, its first line if that is text."""
        line = octets.partition(b"\n")[0].rstrip(b"\r")
        text = line.decode("ascii", "replace")
        said = f"{text!r}" if text and text.isprintable() and text.isascii() else octets[:12].hex(" ").upper()
        return cls(
            f"no DLMS meter is at {target.place}: what answers there begins with {said}; try another port"
        )


class ClosedAtOnce(PortError):
    """The connection was taken and ended before the meter said a word: somebody else is connected."""


class LinkError(RemoteError):
    """The data link broke: the meter refused or closed it, or its frames make no sense."""

    @classmethod
    def of(cls, reason: str) -> LinkError:
        """Return the error for what the data link says of its end; after a DM with what to try."""
        return cls(f"{reason}; {_REFUSED_LINK}" if reason.endswith("(DM)") else reason)


class OutcomeUnknown(PortError):
    """A SET was sent and its answer did not come: it may have been executed, so it is not repeated."""


class AssociationRefused(RemoteError):
    """The meter did not open the association; `diagnostic` says why, None where it gave no AARE."""

    def __init__(self, diagnostic: Diagnostic | None, message: str) -> None:
        super().__init__(message)
        self.diagnostic = diagnostic

    @classmethod
    def of(cls, diagnostic: Diagnostic) -> AssociationRefused:
        """Return the error for the diagnostic of an AARE, with what to try."""
        name = diagnostic.name.lower().replace("_", "-")
        remedy = _REMEDIES.get(diagnostic, "check client=, auth= and the password")
        return cls(diagnostic, f"the meter refused the association: {name} ({int(diagnostic)}); {remedy}")


class ServiceRefused(RemoteError):
    """An exception-response, or a confirmed-service-error, in place of an answer.

    `state` and `service` are the codes of an exception-response, None for a confirmed-service-error.
    """

    def __init__(self, state: StateError | None, service: ServiceError | None, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.service = service

    @classmethod
    def of(cls, answer: ExceptionResponse | ConfirmedServiceError) -> ServiceRefused:
        """Return the error for such an answer."""
        if isinstance(answer, ConfirmedServiceError):
            codes = f"{answer.service} {answer.alternative} {answer.code}"
            return cls(None, None, f"the meter answered with a confirmed-service-error ({codes})")
        state, service = answer.state_error, answer.service_error
        names = ", ".join(code.name.lower().replace("_", "-") for code in (state, service))
        return cls(state, service, f"the meter does not serve this request: {names}")


class TransferBroken(RemoteError):
    """A long answer stopped before its end; why is the `__cause__`.

    `octets` is what came of the encoded value. `profile` has the rows that are whole in it, where a profile
    was being read.
    """

    def __init__(self, octets: bytes, message: str) -> None:
        super().__init__(message)
        self.octets = octets
        self.profile: Profile | None = None
