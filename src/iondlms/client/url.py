"""Where a meter is and how it is asked, as one URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from iondlms.errors import LocalError
from iondlms.hdlc import ServerAddress
from iondlms.hdlc.address import client_octet

__all__ = ["Authentication", "Framing", "Target"]

Framing: TypeAlias = Literal["auto", "hdlc", "wrapper"]
Authentication: TypeAlias = Literal["none", "low"]

DEFAULT_PORT: Final = 4059  # registered for DLMS/COSEM
EXAMPLE: Final = "tcp://192.168.1.20:4059?unit=100"
_SCHEMES: Final[dict[str, Framing]] = {"tcp": "auto", "hdlc": "hdlc", "wrapper": "wrapper"}
_PLANNED: Final = frozenset({"serial", "optical", "modem", "rfc2217"})
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class Target:
    """One meter and the way to it; LocalError for a value that cannot be sent."""

    host: str
    port: int = DEFAULT_PORT
    framing: Framing = "auto"
    unit: int = 100  # physical (lower) address, the port's Unit ID; not sent in the wrapper
    client: int = 16  # client SAP; 16 is the public client
    logical: int = 1  # logical device (upper address, or wPort)
    address: int = 4  # octets of the server address
    authentication: Authentication | None = None  # None: low where a password is given
    timeout_s: float = 5.0  # silence after which a question is asked again
    retries: int = 3  # times that it is asked again
    inverted: bool = False  # the meter sends its deviation with the wrong sign
    max_pdu: int = 0xFFFF  # octets of the largest APDU we take; 0 is no limit

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 0xFFFF:
            raise LocalError(f"port {self.port} is not in 1..65535")
        if not 0 < self.timeout_s <= 3600:
            raise LocalError(f"a time-out of {self.timeout_s} s is not in 0..3600 s; write timeout=5s")
        if not 0 <= self.retries <= 100:
            raise LocalError(f"retries={self.retries} is not in 0..100")
        if not (self.max_pdu == 0 or 12 <= self.max_pdu <= 0xFFFF):
            raise LocalError(f"pdu={self.max_pdu} is not 12..65535, or 0 for no limit")
        client_octet(self.client)
        self.server_address  # noqa: B018  # a value that exists is a legal value

    @property
    def server_address(self) -> ServerAddress:
        """The meter's HDLC address; the one-octet form has no physical part."""
        return ServerAddress(self.logical, None if self.address == 1 else self.unit, self.address)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a URL; LocalError naming the part that is wrong and what to write instead."""
        scheme, separator, _ = text.partition(":")
        if separator and scheme.lower() in _PLANNED:
            raise LocalError(f"{scheme}: is not built yet; tcp://, hdlc:// and wrapper:// are")
        if not separator or scheme.lower() not in _SCHEMES or not text[len(scheme) :].startswith("://"):
            raise LocalError(f"{text!r} is no URL of a meter; write it as {EXAMPLE}")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise LocalError(f"{text!r}: {error}; write it as {EXAMPLE}") from error
        if "@" in parts.netloc:
            raise LocalError("a URL carries no user or password: give the password apart from it")
        if not parts.hostname:
            raise LocalError(f"{text!r} names no host; write it as {EXAMPLE}")
        if parts.path not in ("", "/") or parts.fragment:
            raise LocalError(f"{text!r}: nothing but ?KEY=VALUE stands after the port")
        values: dict[str, Any] = {"framing": _SCHEMES[scheme.lower()]}
        seen: set[str] = set()
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            option = _OPTIONS.get(key)
            if option is None:
                raise LocalError(f"{key}= is no option of a URL; there are {', '.join(_OPTIONS)}")
            if key in seen:
                raise LocalError(f"{key}= stands twice")
            if key == "framing" and scheme.lower() != "tcp" and value != scheme.lower():
                raise LocalError(f"framing={value} contradicts {scheme}://; write tcp://")
            seen.add(key)
            name, read = option
            values[name] = read(key, value)
        return cls(parts.hostname, DEFAULT_PORT if port is None else port, **values)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"framing={self.framing}&unit={self.unit}&client={self.client}"
        return f"tcp://{host}:{self.port}?{query}"


def _number(key: str, value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise LocalError(f"{key}={value} is no number")
    return int(value)


def _duration(key: str, value: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise LocalError(f"{key}={value} is no time; write {key}=5s, {key}=500ms or {key}=1m")
    return float(match[1]) * _UNITS[match[2]]


def _flag(key: str, value: str) -> bool:
    if value not in ("0", "1"):
        raise LocalError(f"{key}={value} is neither 0 nor 1")
    return value == "1"


def _one_of(*words: str) -> Callable[[str, str], str]:
    def read(key: str, value: str) -> str:
        if value not in words:
            raise LocalError(f"{key}={value} is none of {', '.join(words)}")
        return value

    return read


_OPTIONS: Final[dict[str, tuple[str, Callable[[str, str], object]]]] = {
    "framing": ("framing", _one_of("auto", "hdlc", "wrapper")),
    "unit": ("unit", _number),
    "client": ("client", _number),
    "logical": ("logical", _number),
    "address": ("address", _number),
    "auth": ("authentication", _one_of("none", "low")),
    "timeout": ("timeout_s", _duration),
    "retries": ("retries", _number),
    "inverted": ("inverted", _flag),
    "pdu": ("max_pdu", _number),
}
