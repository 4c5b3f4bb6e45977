"""Faults on demand as values: what befalls which frame, and when. Nothing here happens by itself."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, NamedTuple

from iondlms.hdlc import Frame

__all__ = [
    "ACTIONS",
    "ALL_PORTS",
    "MOST_RULES",
    "Action",
    "ArmedRule",
    "FaultRule",
    "Heard",
    "Scope",
    "Service",
    "Values",
]

Action = Literal[
    "drop", "delay", "damage", "double", "truncate",
    "ignore", "dm", "frmr", "exception", "refuse", "disconnect",
    "silence", "busy",
    "power_cut", "clock_step", "master_reset", "freeze", "ethernet_off",
]  # fmt: skip
Scope = Literal["answer", "request", "line", "meter"]
Service = Literal[
    "any", "snrm", "disc", "rr", "aarq", "rlrq", "get", "get_next", "set", "action", "other"
]  # fmt: skip
Values = Literal["held", "missing"]

ALL_PORTS: Final = "all"
MOST_RULES: Final = 1000  # of one meter: each of its frames is shown to all


class ActionKind(NamedTuple):
    """What an action does something to, and the keys that say how."""

    scope: Scope
    keys: tuple[str, ...] = ()


ACTIONS: Final[dict[Action, ActionKind]] = {
    # To the answer, on its way out.
    "drop": ActionKind("answer"),
    "delay": ActionKind("answer", ("duration",)),
    "damage": ActionKind("answer", ("octet", "mask")),
    "double": ActionKind("answer"),
    "truncate": ActionKind("answer", ("octets",)),
    # In place of what the request asks for.
    "ignore": ActionKind("request"),
    "dm": ActionKind("request"),
    "frmr": ActionKind("request"),
    "exception": ActionKind("request", ("state_error", "service_error")),
    "refuse": ActionKind("request", ("result",)),
    "disconnect": ActionKind("request"),
    # To a port for some time.
    "silence": ActionKind("line", ("duration",)),
    "busy": ActionKind("line", ("duration",)),
    # To the meter.
    "power_cut": ActionKind("meter", ("duration",)),
    "clock_step": ActionKind("meter", ("step",)),
    "master_reset": ActionKind("meter"),
    "freeze": ActionKind("meter", ("duration", "values")),
    "ethernet_off": ActionKind("meter", ("duration",)),
}


class Heard(NamedTuple):
    """One frame or WPDU of a client, as far as rules look at it."""

    client: int
    service: str
    octets: bytes  # from flag to flag, or the WPDU
    unit_id: int | None = None  # None over the wrapper
    instance: bytes = b""  # the logical name asked for; of a GET-next that of its GET
    attribute: int = 0
    apdu: bytes = b""  # empty where the frame does not hold one whole
    frame: Frame | None = None  # None over the wrapper


@dataclass(frozen=True, slots=True)
class FaultRule:
    """What happens, to which frames or at which instant, and how often. Made of a checked section."""

    action: Action
    port: str = ALL_PORTS  # its name in any case
    unit_id: int | None = None
    client: int | None = None
    service: Service = "any"
    instance: bytes = b""
    attribute: int | None = None
    after: int = 0  # matching frames that pass first
    nth: int = 1  # of those behind, each nth
    probability: float = 1.0
    seed: int = 1
    count: int = 1  # how often in all, or in each turn; 0: without end
    at_ms: int | None = None  # the meter's UTC
    every_s: float = 0.0  # from one turn to the next
    lasts_s: float = 0.0  # how long a turn is; 0: without end
    waits: bool = True  # for a frame; else for the instant alone
    duration_s: float = 0.0
    octet: int | None = None
    mask: int = 0
    octets: int | None = None
    state_error: int = 1
    service_error: int = 1
    result: int = 2
    step_s: float = 0.0
    values: Values = "held"

    @property
    def scope(self) -> Scope:
        """What it does something to."""
        return ACTIONS[self.action].scope

    def on(self, names: frozenset[str]) -> bool:
        """Whether it is for a port that has these names, in small letters."""
        return self.port == ALL_PORTS or self.port.lower() in names

    def matches(self, heard: Heard) -> bool:
        """Whether a frame is one of those that it is for."""
        return (
            self.service in ("any", heard.service)
            and self.client in (None, heard.client)
            and self.instance in (b"", heard.instance)
            and self.attribute in (None, heard.attribute)
            and (self.action not in ("exception", "refuse") or bool(heard.apdu))
            and (self.action != "refuse" or heard.service in ("get", "get_next", "set"))
            # There is no such frame over the wrapper, and no answer but UA and DM before there is a link.
            and (self.action not in ("dm", "frmr") or heard.frame is not None)
            and (self.action != "frmr" or heard.service not in ("snrm", "disc"))
        )


class ArmedRule:
    """A rule at work: what it has seen and done. `now` is seconds, monotonic."""

    __slots__ = ("_begin_ms", "_random", "_since", "done", "fired", "number", "origin", "rule", "seen")

    def __init__(self, number: int, rule: FaultRule, origin: str, now: float) -> None:
        self.number = number
        self.rule = rule
        self.origin = origin  # "file" or "ctl"
        self.seen = 0  # frames that matched, in this turn
        self.fired = 0  # in this turn
        self.done = False
        self._random = Random(rule.seed)
        self._begin_ms = rule.at_ms  # of the turn; None: since it was armed
        self._since: float | None = now if rule.at_ms is None else None  # None: the turn has not begun

    @property
    def begin_ms(self) -> int | None:
        """When its next turn begins; None while one is running, and when there is none."""
        return self._begin_ms if self._since is None and not self.done else None

    @property
    def listens(self) -> bool:
        """Whether frames must be shown to it."""
        return self._since is not None and not self.done and self.rule.waits

    def begin(self, now: float) -> None:
        """Begin the turn that is due."""
        self._since = now

    def strikes(self, heard: Heard, names: frozenset[str], now: float) -> bool:
        """Whether it befalls a frame on a port of these names; counts it."""
        rule = self.rule
        if not self.listens or self.over(now):
            return False
        if not rule.on(names) or not rule.matches(heard):
            return False
        self.seen += 1
        number = self.seen - rule.after
        if number < 1 or number % rule.nth:
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        self.fired += 1
        return True

    def take_back(self) -> None:
        """What it was to befall did not come about: the answer was not of the kind it is for."""
        if self._since is None:
            return  # that was known only after its turn, and the next one counts anew
        self.fired -= 1
        self.seen -= 1
        self.done = False  # for all that it has struck; whoever looks whether it is over looks again

    def over(self, now: float) -> bool:
        """Whether this turn is: it has struck as often as it may, or lasted long enough."""
        rule, since = self.rule, self._since
        if since is None:
            return False
        return bool(rule.count and self.fired >= rule.count) or bool(
            rule.lasts_s and now >= since + rule.lasts_s
        )

    def end_turn(self, utc_ms: int) -> None:
        """Wait for the first turn after an instant of the meter's UTC, or be done."""
        if not self.rule.every_s or self._begin_ms is None:
            self.done = True
            return
        every_ms = round(self.rule.every_s * 1000)
        turns = max((utc_ms - self._begin_ms) // every_ms, 0) + 1
        self._begin_ms += turns * every_ms
        self._since = None
        self.seen = self.fired = 0

    def damaged(self, octets: bytes) -> bytes:
        """Return octets with one of them changed: the one that is named, or any between the flags."""
        if not octets:
            return octets
        rule, random = self.rule, self._random
        # A damaged flag is another fault than a damaged frame: the first and last octet are left alone.
        at = random.randrange(1, max(len(octets) - 1, 2)) if rule.octet is None else rule.octet
        if not -len(octets) <= at < len(octets):
            return octets
        mask = rule.mask or 1 << random.randrange(8)
        changed = bytearray(octets)
        changed[at] ^= mask
        return bytes(changed)

    def told(self) -> dict[str, Any]:
        """Return it as plain values, for whoever asks what is armed."""
        rule = self.rule
        state = "done" if self.done else "waiting" if self._since is None else "armed"
        left = None if not rule.count else max(rule.count - self.fired, 0)
        return {
            "number": self.number,
            "from": self.origin,
            "action": rule.action,
            "port": rule.port,
            "when": self._when(),
            "state": state,
            "seen": self.seen,
            "fired": self.fired,
            "left": left,
        }

    def _when(self) -> str:
        rule = self.rule
        words: list[str] = [] if rule.service == "any" else [rule.service]
        if rule.instance:
            a, b, c, d, e, f = rule.instance
            words.append(f"{a}-{b}:{c}.{d}.{e}*{f}")
        words += [
            f"{name} {value:g}"
            for name, value, usual in (
                ("attribute", rule.attribute, None),
                ("client", rule.client, None),
                ("after", rule.after, 0),
                ("nth", rule.nth, 1),
                ("probability", rule.probability, 1),
                ("every", rule.every_s, 0),
                ("lasts", rule.lasts_s, 0),
            )
            if value is not None and value != usual
        ]
        return " ".join(words) or ("frame" if rule.waits else "time")
