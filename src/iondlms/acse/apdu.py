"""AARQ, AARE, RLRQ and RLRE: values <-> octets (IEC 62056-53 clause 7, ISO/IEC 8650-1).

User-information is carried as the octets inside its OCTET STRING; whoever knows xDLMS opens them.
`decode` takes octets, which the APDU must fill exactly, or a `Reader`, whose surplus is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias, TypeVar

from iondlms.acse.ber import (
    BitString,
    Element,
    Elements,
    decode_bit_string,
    decode_integer,
    decode_object_identifier,
    encode_element,
    encode_integer,
    explicit,
    tag_number,
)
from iondlms.acse.names import (
    ApplicationContextName,
    AssociationResult,
    Diagnostic,
    MechanismName,
    ReleaseRequestReason,
    ReleaseResponseReason,
    ServiceProvider,
    ServiceUser,
)
from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError

__all__ = [
    "AUTHENTICATION",
    "Aare",
    "Aarq",
    "AcseApdu",
    "AuthenticationValue",
    "Rlre",
    "Rlrq",
    "decode_acse_apdu",
]

# ACSE-requirements with bit 0, authentication, in the form every published AARQ has: 07 80.
AUTHENTICATION: Final = BitString(b"\x80", 7)

_CHARSTRING: Final = 0x80

_E = TypeVar("_E", bound=IntEnum)


class AuthenticationValue(NamedTuple):
    """Authentication-value, a CHOICE: 80 charstring, 81 bitstring, A2 external, A3 other."""

    octets: bytes
    form: int = _CHARSTRING

    @property
    def charstring(self) -> bytes | None:
        """The secret or challenge, or None where it came in a form this package only carries."""
        return self.octets if self.form == _CHARSTRING else None


@dataclass(frozen=True, slots=True)
class Aarq:
    """A-Associate request."""

    application_context_name: bytes
    user_information: bytes | None = None
    sender_acse_requirements: BitString | None = None
    mechanism_name: bytes | None = None
    # Kept out of repr: it is the password, and reprs end in logs.
    calling_authentication_value: AuthenticationValue | None = field(default=None, repr=False)
    protocol_version: BitString | None = None  # None: the default, version 1
    # Titles, qualifiers, invocation identifiers, implementation information, unknown ones: no meaning here.
    unused: tuple[Element, ...] = ()

    @classmethod
    def lowest(cls, user_information: bytes) -> Aarq:
        """Return the AARQ of a client that offers no authentication."""
        return cls(ApplicationContextName.LOGICAL_NAME, user_information)

    @classmethod
    def low(cls, user_information: bytes, password: bytes) -> Aarq:
        """Return the AARQ of a client that authenticates by a password (LLS)."""
        return cls(
            ApplicationContextName.LOGICAL_NAME,
            user_information,
            AUTHENTICATION,
            MechanismName.LOW,
            AuthenticationValue(password),
        )

    @classmethod
    def decode(cls, source: Reader | bytes) -> Aarq:
        """Read one AARQ; DecodeError if it is none, or carries no application context name."""
        elements = _open(source, 0x60, "AARQ")
        return cls(
            protocol_version=elements.optional(0x80, decode_bit_string),
            application_context_name=elements.required(0xA1, explicit(0x06, _context_name)),
            sender_acse_requirements=elements.optional(0x8A, decode_bit_string),
            mechanism_name=elements.optional(0x8B, _mechanism_name),
            calling_authentication_value=elements.optional(0xAC, _authentication_value),
            user_information=elements.optional(0xBE, _user_information),
            unused=elements.rest(),
        )

    def encode(self) -> bytes:
        """Return the APDU, its elements in the order of their tag numbers."""
        elements = [Element(0xA1, encode_element(0x06, self.application_context_name)), *self.unused]
        if self.protocol_version is not None:
            elements.append(Element(0x80, self.protocol_version.encode()))
        if self.sender_acse_requirements is not None:
            elements.append(Element(0x8A, self.sender_acse_requirements.encode()))
        if self.mechanism_name is not None:
            elements.append(Element(0x8B, self.mechanism_name))
        if self.calling_authentication_value is not None:
            elements.append(Element(0xAC, _encode_authentication_value(self.calling_authentication_value)))
        return _close(0x60, elements, self.user_information)


@dataclass(frozen=True, slots=True)
class Aare:
    """A-Associate response."""

    result: AssociationResult
    diagnostic: Diagnostic = ServiceUser.NULL
    user_information: bytes | None = None
    application_context_name: bytes = ApplicationContextName.LOGICAL_NAME
    responder_acse_requirements: BitString | None = None
    mechanism_name: bytes | None = None
    responding_authentication_value: AuthenticationValue | None = field(default=None, repr=False)
    protocol_version: BitString | None = None
    unused: tuple[Element, ...] = ()

    @classmethod
    def decode(cls, source: Reader | bytes) -> Aare:
        """Read one AARE; DecodeError if it is none or lacks context name, result or diagnostic."""
        elements = _open(source, 0x61, "AARE")
        return cls(
            protocol_version=elements.optional(0x80, decode_bit_string),
            application_context_name=elements.required(0xA1, explicit(0x06, _context_name)),
            result=elements.required(0xA2, explicit(0x02, _result)),
            diagnostic=elements.required(0xA3, _diagnostic),
            responder_acse_requirements=elements.optional(0x88, decode_bit_string),
            mechanism_name=elements.optional(0x89, _mechanism_name),
            responding_authentication_value=elements.optional(0xAA, _authentication_value),
            user_information=elements.optional(0xBE, _user_information),
            unused=elements.rest(),
        )

    def encode(self) -> bytes:
        """Return the APDU, its elements in the order of their tag numbers."""
        source = 0xA2 if isinstance(self.diagnostic, ServiceProvider) else 0xA1
        code = encode_element(0x02, encode_integer(self.diagnostic))
        elements = [
            Element(0xA1, encode_element(0x06, self.application_context_name)),
            Element(0xA2, encode_element(0x02, encode_integer(self.result))),
            Element(0xA3, encode_element(source, code)),
            *self.unused,
        ]
        if self.protocol_version is not None:
            elements.append(Element(0x80, self.protocol_version.encode()))
        if self.responder_acse_requirements is not None:
            elements.append(Element(0x88, self.responder_acse_requirements.encode()))
        if self.mechanism_name is not None:
            elements.append(Element(0x89, self.mechanism_name))
        if self.responding_authentication_value is not None:
            elements.append(Element(0xAA, _encode_authentication_value(self.responding_authentication_value)))
        return _close(0x61, elements, self.user_information)


@dataclass(frozen=True, slots=True)
class Rlrq:
    """A-Release request; a reason outside `ReleaseRequestReason` is kept as a number."""

    reason: int | None = None
    user_information: bytes | None = None
    unused: tuple[Element, ...] = ()

    @classmethod
    def decode(cls, source: Reader | bytes) -> Rlrq:
        """Read one RLRQ; DecodeError if it is none."""
        elements = _open(source, 0x62, "RLRQ")
        reason = elements.optional(0x80, decode_integer)
        return cls(
            None if reason is None else _named(ReleaseRequestReason, reason),
            elements.optional(0xBE, _user_information),
            elements.rest(),
        )

    def encode(self) -> bytes:
        """Return the APDU."""
        return _encode_release(0x62, self.reason, self.user_information, self.unused)


@dataclass(frozen=True, slots=True)
class Rlre:
    """A-Release response; a reason outside `ReleaseResponseReason` is kept as a number."""

    reason: int | None = None
    user_information: bytes | None = None
    unused: tuple[Element, ...] = ()

    @classmethod
    def decode(cls, source: Reader | bytes) -> Rlre:
        """Read one RLRE; DecodeError if it is none."""
        elements = _open(source, 0x63, "RLRE")
        reason = elements.optional(0x80, decode_integer)
        return cls(
            None if reason is None else _named(ReleaseResponseReason, reason),
            elements.optional(0xBE, _user_information),
            elements.rest(),
        )

    def encode(self) -> bytes:
        """Return the APDU."""
        return _encode_release(0x63, self.reason, self.user_information, self.unused)


AcseApdu: TypeAlias = Aarq | Aare | Rlrq | Rlre

_APDUS: Final[dict[int, type[AcseApdu]]] = {0x60: Aarq, 0x61: Aare, 0x62: Rlrq, 0x63: Rlre}


def decode_acse_apdu(source: Reader | bytes) -> AcseApdu:
    """Read the APDU that the first octet names (60 to 63); DecodeError if it names none of the four."""
    reader = source if isinstance(source, Reader) else Reader(source)
    tag = reader.peek()
    apdu = _APDUS.get(tag)
    if apdu is None:
        raise DecodeError(f"{tag:02X} is no ACSE APDU of this profile")
    # A Reader that was made here must end here; `decode` sees to it when it is handed the octets.
    return apdu.decode(source)


def _open(source: Reader | bytes, tag: int, name: str) -> Elements:
    reader = source if isinstance(source, Reader) else Reader(source)
    found = reader.u8()
    if found != tag:
        raise DecodeError(f"{found:02X} is not the tag of an {name}")
    elements = Elements(reader.sub(reader.length()), name)
    if reader is not source:
        reader.end()
    return elements


def _close(tag: int, elements: list[Element], user_information: bytes | None) -> bytes:
    if user_information is not None:
        elements.append(Element(0xBE, encode_element(0x04, user_information)))
    elements.sort(key=lambda element: tag_number(element.tag))
    return encode_element(tag, b"".join([encode_element(*element) for element in elements]))


def _encode_release(
    tag: int, reason: int | None, user_information: bytes | None, unused: tuple[Element, ...]
) -> bytes:
    elements = list(unused)
    if reason is not None:
        elements.append(Element(0x80, encode_integer(reason)))
    return _close(tag, elements, user_information)


def _context_name(reader: Reader) -> bytes:
    name = decode_object_identifier(reader)
    try:
        return ApplicationContextName(name)
    except ValueError:  # not an error: the server refuses it by diagnostic 2, explain prints it
        return name


def _mechanism_name(reader: Reader) -> bytes:
    name = decode_object_identifier(reader)
    try:
        return MechanismName(name)
    except ValueError:  # likewise, by diagnostic 11
        return name


def _authentication_value(reader: Reader) -> AuthenticationValue:
    form = reader.u8()
    return AuthenticationValue(reader.take(reader.length()), form)


def _encode_authentication_value(value: AuthenticationValue) -> bytes:
    return encode_element(value.form, value.octets)


def _user_information(reader: Reader) -> bytes:
    return explicit(0x04, Reader.rest)(reader)


def _result(reader: Reader) -> AssociationResult:
    return _defined(AssociationResult, decode_integer(reader))


def _diagnostic(reader: Reader) -> Diagnostic:
    if reader.peek() == 0xA2:
        return explicit(0xA2, explicit(0x02, _service_provider))(reader)
    return explicit(0xA1, explicit(0x02, _service_user))(reader)


def _service_user(reader: Reader) -> ServiceUser:
    return _defined(ServiceUser, decode_integer(reader))


def _service_provider(reader: Reader) -> ServiceProvider:
    return _defined(ServiceProvider, decode_integer(reader))


def _defined(kind: type[_E], number: int) -> _E:
    try:
        return kind(number)
    except ValueError as error:
        raise DecodeError(f"{number} is not defined for the {kind.__name__} of an AARE") from error


def _named(kind: type[_E], number: int) -> int:
    try:
        return kind(number)
    except ValueError:  # a release is a release, whatever reason a client makes up
        return number
