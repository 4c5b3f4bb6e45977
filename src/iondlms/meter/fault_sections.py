"""`[[fault]]`: faults that the meter is to show, for who tries out a head-end system."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from iondlms.codec.obis import ObisCode
from iondlms.errors import DataAccessResult, LocalError
from iondlms.meter.fault_rules import ACTIONS, ALL_PORTS, Action, FaultRule, Service, Values
from iondlms.meter.section import Seconds, Section, fault, partly
from iondlms.meter.source_sections import Instant

__all__ = ["FaultRuleSection", "Step", "as_known", "astray", "rules_for"]

_DESCRIBED: Final = frozenset(("any", "get", "get_next", "set"))  # services that name an object
# Keys that belong to some actions alone.
_OWN: Final = frozenset(key for kind in ACTIONS.values() for key in kind.keys)
_LASTING: Final = frozenset(("delay", "silence", "busy"))  # nothing, without a duration
_SECONDS: Final = TypeAdapter(Seconds)
# Keys that make a rule wait for a frame.
_FRAMES: Final = frozenset(
    ("service", "obis", "attribute", "client", "after", "nth", "probability", "seed", "count", "lasts")
)


def _words(value: object) -> object:
    """Take power-cut for power_cut: on a command line that is how it is written."""
    return value.replace("-", "_") if isinstance(value, str) else value


def _step(value: object) -> object:
    """Read "-90s" as -90.0: durations have no sign, and a step of the clock has."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        seconds = _SECONDS.validate_python(text.lstrip("+-"))
    except ValidationError as error:
        raise ValueError(f'{value!r} is no step; write it as "-90s", "1h" or a number of seconds') from error
    return -seconds if text.startswith("-") else seconds


Step = Annotated[float, BeforeValidator(_step)]


def _logical_name(value: str) -> str:
    if value:
        try:
            ObisCode.parse(value)
        except LocalError as error:
            raise ValueError(str(error)) from error
    return value


class FaultRuleSection(Section):
    """One fault: what happens, to which frames or at which instant, and how often."""

    action: Annotated[Action, BeforeValidator(_words)]
    port: str = Field(default=ALL_PORTS, description="name of a port or line, or all")
    unit_id: int | None = Field(
        default=None, ge=1, le=9999, description="the meter, where there are several; none: each"
    )
    client: int | None = Field(default=None, ge=1, le=126, description="SAP; none: any")
    service: Annotated[Service, BeforeValidator(_words)] = Field(
        default="any", description="of the frames that it waits for"
    )
    obis: Annotated[str, AfterValidator(_logical_name)] = Field(
        default="", description="logical name that they ask for; empty: any"
    )
    attribute: int | None = Field(default=None, ge=0, le=127, description="and its attribute; none: any")
    after: int = Field(default=0, ge=0, description="such frames that pass first")
    nth: int = Field(default=1, ge=1, description="of those behind, each nth")
    probability: float = Field(default=1.0, gt=0, le=1, description="that one of them is befallen")
    seed: int = Field(default=1, ge=0, description="of the probability, and of damage")
    count: int = Field(default=1, ge=0, description="how often, in all or in each turn; 0: without end")
    at: Instant | None = Field(
        default=None, description="ISO 8601, without an offset UTC; none: from the start"
    )
    every: Seconds = Field(default=0.0, ge=0, description="from one turn to the next; 0: one turn")
    lasts: Seconds = Field(default=0.0, ge=0, description="how long a turn is; 0: without end")
    duration: Seconds = Field(default=0.0, ge=0, description="of delay, silence, outage; 0: until told")
    octet: int | None = Field(default=None, ge=-2049, le=65544, description="which is damaged; none: any")
    mask: int = Field(default=0, ge=0, le=255, description="its bits that are turned over; 0: one of them")
    octets: int | None = Field(default=None, ge=0, description="that truncate leaves; none: half")
    state_error: int = Field(default=1, ge=1, le=2, description="of exception: not allowed, or unknown")
    service_error: int = Field(default=1, ge=1, le=6, description="of exception; 1: not possible")
    result: int = Field(default=2, ge=1, le=250, description="of refuse: Data-Access-Result")
    step: Step = Field(default=0.0, ge=-3e9, le=3e9, description="of the clock; s, forward or back")
    values: Values = Field(default="held", description="of a frozen source: they stay, or are missing")

    @field_validator("result")
    @classmethod
    def _known(cls, value: int) -> int:
        if value not in set(DataAccessResult):
            known = ", ".join(str(int(each)) for each in DataAccessResult if each)
            raise ValueError(f"{value} is no Data-Access-Result; there are {known}")
        return value

    stand_ins: ClassVar[Mapping[str, Any]] = {"action": "drop"}

    def faults_within(self, wrong: frozenset[str]) -> Iterator[ValidationError]:
        """Yield what does not go together: keys of other actions, and what says nothing without another."""
        given = self.model_fields_set
        known = {key for key in type(self).model_fields if key not in wrong}
        if "action" in known:
            yield from self._of_its_action(given, known)
        described = self.obis or self.attribute is not None
        if {"obis", "attribute", "service"} <= known and described and self.service not in _DESCRIBED:
            message = f"a frame of service {self.service} names no object"
            yield fault(message, "obis" if self.obis else "attribute")
        if {"every", "at"} <= known and self.every and self.at is None:
            yield fault("it says how long after `at` it comes again; give that too", "every")
        if {"every", "lasts"} <= known and 0 < self.every <= self.lasts:
            yield fault(f"a turn of {self.lasts:g} s cannot come every {self.every:g} s", "every")

    def _of_its_action(self, given: Collection[str], known: Collection[str]) -> Iterator[ValidationError]:
        own = ACTIONS[self.action].keys
        for key in sorted(_OWN.intersection(given) - set(own)):
            having = ", ".join(action for action, kind in ACTIONS.items() if key in kind.keys)
            yield fault(f"{self.action} has no {key}; it is for {having}", key)
        if self.action in _LASTING and "duration" in known and not self.duration:
            yield fault(f"{self.action} takes some time; say how long", "duration")
        if self.action == "clock_step" and "step" in known and not self.step:
            yield fault("say how far the clock is set, in seconds, forward or back", "step")
        # A key that is wrong says when, all the same.
        when = {"at", *_FRAMES}.difference(known) or _FRAMES.intersection(given) or self.at is not None
        if ACTIONS[self.action].scope == "meter" and not when:
            yield fault("say when: at which instant, or at which frames (service, after, nth)", "at")

    def rule(self) -> FaultRule:
        """Return the rule."""
        timed = ACTIONS[self.action].scope in ("line", "meter") and self.at is not None
        return FaultRule(
            self.action,
            self.port,
            self.unit_id,
            self.client,
            self.service,
            ObisCode.parse(self.obis).octets if self.obis else b"",
            self.attribute,
            self.after,
            self.nth,
            self.probability,
            self.seed,
            self.count,
            None if self.at is None else round(self.at.timestamp() * 1000),
            self.every,
            self.lasts,
            not timed or bool(self.model_fields_set & _FRAMES),
            self.duration,
            self.octet,
            self.mask,
            self.octets,
            self.state_error,
            self.service_error,
            self.result,
            self.step,
            self.values,
        )


def rules_for(sections: Iterable[FaultRuleSection], unit_ids: Container[int]) -> list[FaultRule]:
    """Return the rules that are for a meter of these Unit IDs."""
    return [each.rule() for each in sections if each.unit_id is None or each.unit_id in unit_ids]


def as_known(written: Any) -> list[FaultRuleSection]:
    """Return the rules of a document, or of sections; with the defaults for what is wrong in one."""
    rules = written if isinstance(written, list | tuple) else ()
    return [partly(FaultRuleSection, raw)[0] or FaultRuleSection(action="drop") for raw in rules]


def astray(
    rules: Iterable[FaultRuleSection], ports: Iterable[str], unit_ids: Container[int]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Return place and message of each rule for a port or a meter that there is not."""
    there = list(dict.fromkeys(ports))
    known = {ALL_PORTS, *(name.lower() for name in there)}
    found: list[tuple[tuple[str | int, ...], str]] = []
    for number, rule in enumerate(rules):
        if rule.port.lower() not in known:
            found.append(
                ((number, "port"), f"there is no port {rule.port!r}; there are {', '.join(there)}, and all")
            )
        if rule.unit_id is not None and rule.unit_id not in unit_ids:
            found.append(((number, "unit_id"), f"no meter has Unit ID {rule.unit_id}"))
    return found
