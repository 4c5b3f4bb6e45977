"""Where a meter is and how it is asked, as one URL.

tcp://HOST:4059?framing=hdlc             the meter's own Ethernet; hdlc:// and wrapper:// are short for it
serial:DEVICE?baud=9600&framing=8N1      RS-232, RS-485
optical:DEVICE?mode_e=1                  the optical port; with mode_e the sign-on of IEC 62056-21
modem:DEVICE?dial=5551234                through a Hayes modem
socket://HOST:PORT, rfc2217://HOST:PORT  a serial server; also as the DEVICE of the three above
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from iondlms.client.line import SerialLine
from iondlms.errors import LocalError
from iondlms.hdlc import ServerAddress
from iondlms.hdlc.address import client_octet
from iondlms.ports.dial import DialSetup
from iondlms.ports.serial import LineSettings
from iondlms.ports.sign_on import SIGN_ON_BAUD, SignOnOptions

__all__ = ["Authentication", "Framing", "Target", "seconds_of"]

Framing: TypeAlias = Literal["auto", "hdlc", "wrapper"]
Authentication: TypeAlias = Literal["none", "low"]

DEFAULT_PORT: Final = 4059  # registered for DLMS/COSEM
DEFAULT_UNIT: Final = 100
EXAMPLE: Final = "tcp://192.168.1.20:4059?unit=100"
_FRAMINGS: Final[dict[str, Framing]] = {"tcp": "auto", "hdlc": "hdlc", "wrapper": "wrapper"}
_DEVICES: Final = ("serial", "optical", "modem")
_SERVERS: Final = ("socket", "rfc2217")
_DEVICE_EXAMPLES: Final = {
    "serial": "serial:/dev/ttyUSB0?baud=9600",
    "optical": "optical:/dev/ttyUSB0?mode_e=1",
    "modem": "modem:/dev/ttyS0?dial=5551234",
    "socket": "socket://192.168.1.21:4001",
    "rfc2217": "rfc2217://192.168.1.21:4001?baud=9600",
}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_RTS: Final = {"none": "none", "cts": "rts_cts", "delay": "rts_delay"}  # word of a URL: handshake
_SAFE: Final = "/:[]@,.-_~*"  # in a URL as they are; `+` is one of telephone numbers, and no blank


_server_address: Final = lru_cache(maxsize=256)(ServerAddress)  # asked for with each connection


@dataclass(frozen=True, slots=True)
class Target:
    """One meter and the way to it, a host or a line; LocalError for a value that cannot be sent."""

    host: str = ""
    port: int = DEFAULT_PORT
    framing: Framing = "auto"
    unit: int = DEFAULT_UNIT  # physical (lower) address, the port's Unit ID; not sent in the wrapper
    client: int = 16  # client SAP; 16 is the public client
    logical: int = 1  # logical device (upper address, or wPort)
    address: int = 4  # octets of the server address
    authentication: Authentication | None = None  # None: low where a password is given
    timeout_s: float = 5.0  # silence after which a question is asked again
    retries: int = 3  # times that it is asked again
    inverted: bool = False  # the meter sends its deviation with the wrong sign
    max_pdu: int = 0xFFFF  # octets of the largest APDU we take; 0 is no limit
    line: SerialLine | None = None  # in place of host and port
    unit_named: bool = field(default=False, compare=False)  # somebody said which, and may mind another

    def __post_init__(self) -> None:
        if bool(self.host) is (self.line is not None):
            raise LocalError(f"a meter is at a host or on a line; write it as {EXAMPLE}")
        if self.line is not None and self.framing != "hdlc":
            raise LocalError("on a serial line there is HDLC alone: leave the wrapper out")
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
        if self.unit != DEFAULT_UNIT:
            object.__setattr__(self, "unit_named", True)

    @property
    def server_address(self) -> ServerAddress:
        """The meter's HDLC address; the one-octet form has no physical part."""
        return _server_address(self.logical, None if self.address == 1 else self.unit, self.address)

    @property
    def place(self) -> str:
        """Host and port, or the device."""
        if self.line is not None:
            return self.line.settings.device
        return f"{_bracketed(self.host)}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a URL; LocalError naming the part that is wrong and what to write instead."""
        scheme, separator, rest = text.partition(":")
        scheme = scheme.lower()
        if separator and scheme in _DEVICES:
            device, query = _device(scheme, rest)
            return _on_line(cls, scheme, device, query)
        if separator and scheme in _SERVERS:
            _, query = _split(text)
            return _on_line(cls, "serial", _server(text), query)
        if not separator or scheme not in _FRAMINGS or not rest.startswith("//"):
            raise LocalError(
                f"{text!r} is no URL of a meter; write it as {EXAMPLE} or {_DEVICE_EXAMPLES['serial']}"
            )
        host, port, query = _host(text, EXAMPLE)
        values = {"framing": _FRAMINGS[scheme]} | _read(query, _OPTIONS | _OF_TCP)
        if scheme not in ("tcp", values["framing"]):
            raise LocalError(f"framing={values['framing']} contradicts {scheme}://; write tcp://")
        fields = _fields(values, _OPTIONS | _OF_TCP)
        return cls(host, DEFAULT_PORT if port is None else port, unit_named="unit" in values, **fields)

    def __str__(self) -> str:
        """The URL that leads back to the same target, with what is not as it would be anyway."""
        words: dict[str, object] = {}
        if self.line is None:
            text = f"tcp://{self.place}"
            words["framing"] = self.framing
        else:
            text = f"{self.line.scheme}:{quote(self.line.settings.device, safe=_SAFE)}"
            words |= _line_words(self.line)
        if self.framing != "wrapper" or self.unit != DEFAULT_UNIT:  # the wrapper names none
            words["unit"] = self.unit
        words["client"] = self.client
        plain = Target("plain", timeout_s=5.0 if self.line is None else self.line.timeout_s)
        words |= _other(self, plain, _OPTIONS, words)
        return f"{text}?{_query(words)}"


# --- parts of a URL --------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, str]:
    place, _, query = text.partition("?")
    if "#" in query:
        raise LocalError("nothing stands behind the options of a URL; write # in an option as %23")
    return place, query


def _device(scheme: str, rest: str) -> tuple[str, str]:
    """Return device and query of `serial:DEVICE?QUERY`; the device may be a serial server."""
    place, query = _split(rest)
    if place.partition("://")[0].lower() in _SERVERS:
        return _server(place), query
    if place.startswith("//") or "://" in place:
        raise LocalError(f"{place!r} is no device; write {_DEVICE_EXAMPLES[scheme]}, without //")
    if not place:
        raise LocalError(f"{scheme}: names no device; write {_DEVICE_EXAMPLES[scheme]}")
    return unquote(place), query


def _server(text: str) -> str:
    scheme = text.partition(":")[0].lower()
    example = _DEVICE_EXAMPLES[scheme]
    host, port, _ = _host(text, example)
    if port is None:
        raise LocalError(f"{text!r}: a serial server has no usual port; write it as {example}")
    return f"{scheme}://{_bracketed(host)}:{port}"


def _host(text: str, example: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise LocalError(f"{text!r}: {error}; write it as {example}") from error
    if "@" in parts.netloc:
        raise LocalError("a URL carries no user or password: give the password apart from it")
    if not parts.hostname:
        raise LocalError(f"{text!r} names no host; write it as {example}")
    if parts.path not in ("", "/") or parts.fragment:
        raise LocalError(f"{text!r}: nothing but ?KEY=VALUE stands after the port")
    if port == 0:
        raise LocalError(f"port 0 is not in 1..65535; write it as {example}")
    return parts.hostname, port, parts.query


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read(query: str, options: _Options) -> dict[str, Any]:
    """Return the values of a query by their keys."""
    values: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        option = options.get(key)
        if option is None:
            raise LocalError(f"{key}= is no option {_of(key, options, list(values))}")
        if key in values:
            raise LocalError(f"{key}= stands twice")
        values[key] = option[1](key, unquote(value))
    return values


def _fields(values: Mapping[str, Any], options: _Options) -> dict[str, Any]:
    """Return those of the values that belong to these options, by the names of their fields."""
    return {name: values[key] for key, (name, _) in options.items() if key in values}


def _of(key: str, options: _Options, seen: list[str]) -> str:
    if seen and seen[-1] == "init":
        return "of a URL; write each & of the init string as %26"
    for scheme, others in _BY_SCHEME.items():
        if key in others:
            return f"of this kind of line; it is one of {_DEVICE_EXAMPLES.get(scheme, EXAMPLE)}"
    return f"of a URL; there are {', '.join(options)}"


def _query(words: Mapping[str, object]) -> str:
    return "&".join(f"{key}={quote(_text(key, value), safe=_SAFE)}" for key, value in words.items())


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if key == "rts":
        return next(word for word, handshake in _RTS.items() if handshake == value)
    return f"{Decimal(repr(value)):f}s" if isinstance(value, float) else str(value)


# --- serial lines ----------------------------------------------------------------------------------------


def _on_line(cls: type[Target], scheme: str, device: str, query: str) -> Target:
    values = _read(query, _OPTIONS | _BY_SCHEME[scheme])
    settings = _fields(values, _OF_SERIAL)
    sign_on: SignOnOptions | None = None
    call: DialSetup | None = None
    if values.get("mode_e"):
        if "framing" in values:
            raise LocalError("with mode_e=1 the line is 7E1 and then 8N1: leave framing= out")
        most = settings.get("baud", _PLAIN_SIGN_ON.max_baud)
        settings["baud"] = SIGN_ON_BAUD
        sign_on = SignOnOptions(max_baud=most, **_fields(values, _OF_SIGN_ON))
    elif "sign_on_address" in values:
        raise LocalError("sign_on_address= needs mode_e=1")
    if scheme == "modem":
        if "dial" not in values:
            raise LocalError(f"modem: needs dial=NUMBER; write {_DEVICE_EXAMPLES['modem']}")
        call = DialSetup(baud=settings.get("baud", _PLAIN_CALL.baud), **_fields(values, _OF_MODEM))
    line = SerialLine(LineSettings(device, **settings), _SCHEMES[scheme], sign_on, call)
    more = {"timeout_s": line.timeout_s} | _fields(values, _OPTIONS)
    return cls(framing="hdlc", line=line, **more)


def _line_words(line: SerialLine) -> dict[str, object]:
    settings, words = line.settings, dict[str, object]()
    if line.sign_on is None:
        words |= {"baud": settings.baud, "framing": settings.framing}
    else:
        words["mode_e"] = 1
        if line.sign_on.max_baud != _PLAIN_SIGN_ON.max_baud:
            words["baud"] = line.sign_on.max_baud
        words |= _other(line.sign_on, _PLAIN_SIGN_ON, _OF_SIGN_ON)
    words |= _other(settings, _PLAIN_SETTINGS, _OF_SERIAL, words | {"baud": 0, "framing": ""})
    if line.call is not None:
        words["dial"] = line.call.number
        words |= _other(line.call, _PLAIN_CALL, _OF_MODEM, words)
    return words


def _other(value: object, plain: object, options: _Options, said: Iterable[str] = ()) -> dict[str, object]:
    """Return, by key, what is not as in `plain`, and not said already."""
    return {
        key: getattr(value, name)
        for key, (name, _) in options.items()
        if key not in said and getattr(value, name) != getattr(plain, name)
    }


# --- values ----------------------------------------------------------------------------------------------


def _number(key: str, value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise LocalError(f"{key}={value} is no number")
    return int(value)


def seconds_of(key: str, value: str) -> float:
    """Read a time such as 500ms, 5s, 1m, 1h, 1d or a number of seconds; LocalError naming the key."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise LocalError(
            f"{key}={value} is no time; write {key}=5s, {key}=500ms, {key}=1m, {key}=1h or {key}=1d"
        )
    return float(match[1]) * _UNITS[match[2]]


def _flag(key: str, value: str) -> bool:
    if value not in ("0", "1"):
        raise LocalError(f"{key}={value} is neither 0 nor 1")
    return value == "1"


def _as_text(key: str, value: str) -> str:
    if not value:
        raise LocalError(f"{key}= is empty; leave it out or write something behind it")
    return value


def _one_of(*words: str) -> Callable[[str, str], str]:
    def read(key: str, value: str) -> str:
        if value not in words:
            raise LocalError(f"{key}={value} is none of {', '.join(words)}")
        return value

    return read


def _characters(key: str, value: str) -> str:
    if value in ("hdlc", "wrapper", "auto"):
        raise LocalError(f"{key}={value} is of tcp://; a serial line has {key}=8N1, 8E1 or 8O1, and HDLC")
    return _one_of("8N1", "8N2", "8E1", "8E2", "8O1", "8O2", "7E1")(key, value)


def _of_tcp(key: str, value: str) -> str:
    if re.fullmatch("[78][NEO][12]", value):
        raise LocalError(f"{key}={value} is of serial lines; tcp:// has {key}=auto, hdlc or wrapper")
    return _one_of("auto", "hdlc", "wrapper")(key, value)


def _handshake(key: str, value: str) -> str:
    return _RTS[_one_of(*_RTS)(key, value)]


_Options: TypeAlias = "dict[str, tuple[str, Callable[[str, str], object]]]"  # key: (field, how it is read)

_OPTIONS: Final[_Options] = {
    "unit": ("unit", _number),
    "client": ("client", _number),
    "logical": ("logical", _number),
    "address": ("address", _number),
    "auth": ("authentication", _one_of("none", "low")),
    "timeout": ("timeout_s", seconds_of),
    "retries": ("retries", _number),
    "inverted": ("inverted", _flag),
    "pdu": ("max_pdu", _number),
}
_OF_TCP: Final[_Options] = {"framing": ("framing", _of_tcp)}
_OF_SERIAL: Final[_Options] = {
    "baud": ("baud", _number),
    "framing": ("framing", _characters),
    "echo": ("echo", _one_of("auto", "on", "off")),
    "rts": ("handshake", _handshake),
    "rts_delay": ("transmit_delay_s", seconds_of),
    "rs485": ("rs485", _flag),
}
_OF_SIGN_ON: Final[_Options] = {"sign_on_address": ("address", _as_text)}
_OF_MODEM: Final[_Options] = {
    "dial": ("number", _as_text),
    "init": ("init", _as_text),
    "dial_command": ("dial", _as_text),
    "redials": ("retries", _number),
    "back_off": ("back_off_s", seconds_of),
    "dial_timeout": ("dial_s", seconds_of),
}
_BY_SCHEME: Final = {
    "tcp": _OF_TCP,
    "serial": _OF_SERIAL,
    "optical": _OF_SERIAL | _OF_SIGN_ON | {"mode_e": ("", _flag)},
    "modem": _OF_SERIAL | _OF_MODEM,
}
_SCHEMES: Final[dict[str, Literal["serial", "optical", "modem"]]] = {
    "serial": "serial",
    "optical": "optical",
    "modem": "modem",
}
_PLAIN_SETTINGS: Final = LineSettings("plain")
_PLAIN_SIGN_ON: Final = SignOnOptions()
_PLAIN_CALL: Final = DialSetup("1")
