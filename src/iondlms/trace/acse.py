"""AARQ, AARE, RLRQ and RLRE, explained element by element (IEC 62056-53 clause 7)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Final

from iondlms.acse import (
    ApplicationContextName,
    AssociationResult,
    MechanismName,
    ReleaseRequestReason,
    ReleaseResponseReason,
    ServiceProvider,
    ServiceUser,
    decode_acse_apdu,
)
from iondlms.errors import DecodeError
from iondlms.trace.blank import is_blanked
from iondlms.trace.conversation import Conversation
from iondlms.trace.names import code_name, printable
from iondlms.trace.node import Node
from iondlms.trace.scribe import Scribe, message_of
from iondlms.trace.xdlms import write_apdu

__all__ = ["ACSE_NAMES", "write_acse"]

ACSE_NAMES: Final = {0x60: "AARQ", 0x61: "AARE", 0x62: "RLRQ", 0x63: "RLRE"}

_CONTEXTS: Final = {
    ApplicationContextName.LOGICAL_NAME: "logical names, no ciphering",
    ApplicationContextName.SHORT_NAME: "short names, no ciphering",
    ApplicationContextName.LOGICAL_NAME_CIPHERED: "logical names, with ciphering",
    ApplicationContextName.SHORT_NAME_CIPHERED: "short names, with ciphering",
}
_MECHANISMS: Final = {
    MechanismName.LOWEST: "lowest level security",
    MechanismName.LOW: "low level security (password)",
    MechanismName.HIGH: "high level security, manufacturer's own",
    MechanismName.HIGH_MD5: "high level security, MD5",
    MechanismName.HIGH_SHA1: "high level security, SHA-1",
    MechanismName.HIGH_GMAC: "high level security, GMAC",
    MechanismName.HIGH_SHA256: "high level security, SHA-256",
    MechanismName.HIGH_ECDSA: "high level security, ECDSA",
}


def write_acse(scribe: Scribe, conversation: Conversation) -> None:
    """Write one ACSE APDU that takes all the octets left; its tag is one of `ACSE_NAMES`."""
    tag = scribe.reader.peek()
    elements: list[Node] = []
    with scribe.group(ACSE_NAMES[tag], scribe.remaining) as node:
        scribe.take(1, "tag", ACSE_NAMES[tag])
        with scribe.group("elements", scribe.length("length")) as body:
            elements.append(body)
            while scribe.remaining:
                _element(scribe, conversation, tag)
    # The list adds a level and says nothing: its elements stand right below the APDU.
    for body in elements:
        at = node.children.index(body)
        node.children[at - 1].error = body.error  # the length that promised more
        node.children[at : at + 1] = body.children
    if not node.errors:
        try:
            decode_acse_apdu(node.octets)
        except DecodeError as error:
            node.error = message_of(error)
    conversation.ask(())


def _element(scribe: Scribe, conversation: Conversation, apdu: int) -> None:
    tag = scribe.reader.peek()
    name, write = _ELEMENTS[apdu].get(tag, (f"element {tag:02X}", _opaque))
    start = scribe.position
    scribe.reader.u8()
    try:
        count = scribe.reader.length()
    except DecodeError as error:
        raise scribe.refuse(name, message_of(error), start) from error
    with scribe.group(name, count, start=start) as node:
        value = write(scribe, conversation)
        node.value = node.value or value


Writer = Callable[[Scribe, Conversation], str]


def _inner(scribe: Scribe, tags: dict[int, str]) -> int:
    """Read tag and length of the only element inside; return its length."""
    found = scribe.reader.peek() if scribe.remaining else 0
    if scribe.remaining and found not in tags:
        wanted = " or ".join(f"{tag:02X}" for tag in tags)
        raise scribe.refuse("tag", f"tag {found:02X} where {wanted} belongs")
    scribe.take(1, "tag", tags.get(found, ""))
    return scribe.length("length")


def _opaque(scribe: Scribe, _: Conversation) -> str:
    octets = scribe.take(scribe.remaining, "contents", lambda octets: printable(octets) or "")
    return "not used here" if octets else "empty"


def _bits(scribe: Scribe, _: Conversation) -> str:
    scribe.unsigned(1, "unused bits")
    octets = scribe.take(scribe.remaining, "bits", lambda octets: "".join(f"{one:08b}" for one in octets))
    return "authentication" if octets and octets[0] & 0x80 else "none"


def _version_bits(scribe: Scribe, conversation: Conversation) -> str:
    return "version 1" if _bits(scribe, conversation) == "authentication" else "not version 1"


def _object_identifier(octets: bytes, names: dict[bytes, str]) -> str:
    arcs: list[int] = []
    value = 0
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    if arcs:
        first = min(arcs[0] // 40, 2)
        arcs[:1] = [first, arcs[0] - 40 * first]
    text = ".".join(map(str, arcs))
    return f"{text}, {names[octets]}" if octets in names else f"{text}, not known"


def _context_name(scribe: Scribe, _: Conversation) -> str:
    count = _inner(scribe, {0x06: "object identifier"})
    say = partial(_object_identifier, names={bytes(key): text for key, text in _CONTEXTS.items()})
    return say(scribe.take(count, "name", say))


def _mechanism_name(scribe: Scribe, _: Conversation) -> str:
    say = partial(_object_identifier, names={bytes(key): text for key, text in _MECHANISMS.items()})
    return say(scribe.take(scribe.remaining, "name", say))


def _authentication_value(scribe: Scribe, _: Conversation) -> str:
    forms = {0x80: "charstring", 0x81: "bitstring", 0xA2: "external", 0xA3: "other"}
    if scribe.remaining and scribe.reader.peek() not in forms:
        # The decoder carries any form; a person wants to be told that this is none.
        forms[scribe.reader.peek()] = "unknown form"
    count = _inner(scribe, forms)
    return _secret_text(scribe.take(count, "value", _secret_text))


def _secret_text(octets: bytes) -> str:
    return "********" if is_blanked(octets) else printable(octets) or octets.hex(" ").upper()


def _coded(kind: type[IntEnum], scribe: Scribe, _: Conversation) -> str:
    count = _inner(scribe, {0x02: "integer"})
    return _number(scribe, count, kind)


def _number(scribe: Scribe, count: int, kind: type[IntEnum]) -> str:
    def say(octets: bytes) -> str:
        number = int.from_bytes(octets, "big", signed=True)
        return f"{code_name(kind, number) or 'not defined'} ({number})"

    return say(scribe.take(count, "code", say))


def _diagnostic(scribe: Scribe, _: Conversation) -> str:
    start = scribe.position
    count = _inner(scribe, {0xA1: "acse-service-user", 0xA2: "acse-service-provider"})
    user = scribe.since(start)[0] == 0xA1
    with scribe.group("acse-service-user" if user else "acse-service-provider", count) as node:
        node.value = _coded(ServiceUser if user else ServiceProvider, scribe, Conversation())
    return f"{node.label}: {node.value}"


def _reason(kind: type[IntEnum], scribe: Scribe, _: Conversation) -> str:
    return _number(scribe, scribe.remaining, kind)


def _user_information(scribe: Scribe, conversation: Conversation) -> str:
    with scribe.group("octet-string", _inner(scribe, {0x04: "octet-string"})):
        write_apdu(scribe, conversation)
    return ""


_VERSION: Final = ("protocol-version", _version_bits)
_CONTEXT: Final = ("application-context-name", _context_name)
_IMPLEMENTATION: Final = ("implementation-information", _opaque)
_USER: Final = ("user-information", _user_information)

_ELEMENTS: Final[dict[int, dict[int, tuple[str, Writer]]]] = {
    0x60: {
        0x80: _VERSION,
        0xA1: _CONTEXT,
        0xA2: ("called-AP-title", _opaque),
        0xA3: ("called-AE-qualifier", _opaque),
        0xA4: ("called-AP-invocation-identifier", _opaque),
        0xA5: ("called-AE-invocation-identifier", _opaque),
        0xA6: ("calling-AP-title", _opaque),
        0xA7: ("calling-AE-qualifier", _opaque),
        0xA8: ("calling-AP-invocation-identifier", _opaque),
        0xA9: ("calling-AE-invocation-identifier", _opaque),
        0x8A: ("sender-acse-requirements", _bits),
        0x8B: ("mechanism-name", _mechanism_name),
        0xAC: ("calling-authentication-value", _authentication_value),
        0xBD: _IMPLEMENTATION,
        0xBE: _USER,
    },
    0x61: {
        0x80: _VERSION,
        0xA1: _CONTEXT,
        0xA2: ("result", partial(_coded, AssociationResult)),
        0xA3: ("result-source-diagnostic", _diagnostic),
        0xA4: ("responding-AP-title", _opaque),
        0xA5: ("responding-AE-qualifier", _opaque),
        0xA6: ("responding-AP-invocation-identifier", _opaque),
        0xA7: ("responding-AE-invocation-identifier", _opaque),
        0x88: ("responder-acse-requirements", _bits),
        0x89: ("mechanism-name", _mechanism_name),
        0xAA: ("responding-authentication-value", _authentication_value),
        0xBD: _IMPLEMENTATION,
        0xBE: _USER,
    },
    0x62: {0x80: ("reason", partial(_reason, ReleaseRequestReason)), 0xBE: _USER},
    0x63: {0x80: ("reason", partial(_reason, ReleaseResponseReason)), 0xBE: _USER},
}
