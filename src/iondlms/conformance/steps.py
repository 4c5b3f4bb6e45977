"""What a case is: an id, a state, and a script of stimuli and answers, or a function whose docstring tells
what is expected."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from iondlms.acse import Aare, AssociationResult, Rlre
from iondlms.codec.reader import Reader
from iondlms.conformance.apdus import PROPOSED
from iondlms.conformance.bench import Bench, Role
from iondlms.conformance.cti import Framing
from iondlms.errors import DlmsError
from iondlms.hdlc.frame import fcs16
from iondlms.xdlms import InitiateResponse, decode_apdu

__all__ = [
    "STATES",
    "Accepted",
    "Ask",
    "Case",
    "F",
    "M",
    "Raw",
    "Refused",
    "Released",
    "Script",
    "Wait",
    "asked",
    "resolved",
    "sized",
]

# The states of the case list, and the framings on which each is met. RT: link or connection, no association.
# AT: an open association, on either framing.
STATES: Final[dict[str, dict[Framing, str]]] = {
    "N": {"hdlc": "N"},
    "R": {"hdlc": "R"},
    "A": {"hdlc": "A"},
    "T": {"wrapper": "T"},
    "TA": {"wrapper": "TA"},
    "NT": {"hdlc": "N", "wrapper": "T"},
    "RT": {"hdlc": "R", "wrapper": "T"},
    "AT": {"hdlc": "A", "wrapper": "TA"},
}


@dataclass(frozen=True, slots=True)
class F:
    """A frame of the client, with what is to be wrong about it."""

    control: int
    information: str = ""
    segmented: bool = False
    destination: str | Callable[[Bench], str] | None = None  # address fields as hex, None for the right ones
    source: str | None = None
    format_type: int = 0xA
    length: int | None = None  # the length field as it is written
    spoil_fcs: int = 0  # exclusive-ored into the first octet of the FCS
    spoil_hcs: int = 0
    opening: bool = True  # flags
    closing: bool = True

    def octets(self, bench: Bench) -> bytes:
        """Return the frame; everything that is not said to be wrong is right."""
        to = bench.server_address
        if self.destination is not None:
            given = self.destination
            to = bytes.fromhex(given if isinstance(given, str) else given(bench))
        by = bench.client_address if self.source is None else bytes.fromhex(self.source)
        information = bytes.fromhex(self.information)
        whole = 2 + len(to) + len(by) + 1 + 2 + (len(information) + 2 if information else 0)
        length = whole if self.length is None else self.length
        head = (self.format_type << 12 | self.segmented << 11 | length).to_bytes(2, "big")
        body = head + to + by + bytes((self.control,))
        if information:
            hcs = fcs16(body)
            body += bytes((hcs[0] ^ self.spoil_hcs, hcs[1])) + information
        fcs = fcs16(body)
        body += bytes((fcs[0] ^ self.spoil_fcs, fcs[1]))
        return b"\x7e" * self.opening + body + b"\x7e" * self.closing


@dataclass(frozen=True, slots=True)
class M:
    """A frame of the meter, as it is expected."""

    control: int
    information: str = ""
    segmented: bool = False

    def octets(self, bench: Bench) -> bytes:
        """Return the frame."""
        own = F(
            self.control,
            self.information,
            self.segmented,
            bench.client_address.hex(),
            bench.server_address.hex(),
        )
        return own.octets(bench)


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence, in seconds or as one of the CTI's time-outs and a tenth."""

    seconds: float | str  # "inter-frame" or "inactivity"


Octets: TypeAlias = "str | F | M | Callable[[Bench], str]"


@dataclass(frozen=True, slots=True)
class Raw:
    """Octets on the line, and the octets that answer them; none for silence."""

    stimulus: tuple[Octets, ...]
    expected: tuple[Octets, ...] = ()
    also: tuple[tuple[Octets, ...], ...] = ()


class Accepted(NamedTuple):
    """An AARE that accepts, and grants what it may of what was proposed."""

    proposed: str = PROPOSED

    def octets(self, bench: Bench) -> str:
        """Return it as the list has it."""
        return (
            "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F0400"
            f"{bench.granted(self.proposed)}{bench.server_pdu:04X}0007"
        )

    def same(self, aare: Aare) -> bool:
        """Whether an AARE means the same, however it is coded: it accepts, and grants nothing unasked."""
        if aare.result is not AssociationResult.ACCEPTED:
            return False
        answer = None if aare.user_information is None else decode_apdu(Reader(aare.user_information))
        if not isinstance(answer, InitiateResponse):
            return answer is None
        return not answer.negotiated_conformance & ~int(self.proposed, 16)


class Refused(NamedTuple):
    """An AARE that refuses: a diagnostic of ACSE, or an error of Initiate."""

    diagnostic: int = 1
    also: tuple[int, ...] = ()
    source: str = "A1"  # A1 service user, A2 service provider
    initiate_error: int | None = None
    proposed: str = PROPOSED

    def octets(self, bench: Bench) -> str:
        """Return it as the list has it; without an Initiate error it tells what would have been granted."""
        name = "A109060760857405080101A203020101A305"
        tail = f"{self.source}030201{self.diagnostic:02X}"
        if self.initiate_error is not None:
            return f"611F{name}{tail}BE0604040E0106{self.initiate_error:02X}"
        grant = f"{bench.granted(self.proposed)}{bench.server_pdu:04X}0007"
        return f"6129{name}{tail}BE10040E0800065F1F0400{grant}"

    def same(self, aare: Aare) -> bool:
        """Whether an AARE means the same."""
        numbers = (self.diagnostic, *self.also)
        return aare.result is not AssociationResult.ACCEPTED and int(aare.diagnostic) in (0, 1, *numbers)


class Released(NamedTuple):
    """An RLRE: with no reason, or with user-information, it is coded otherwise and means the same."""

    def octets(self, _: Bench) -> str:
        """Return it as the list has it."""
        return "6303800100"

    def same(self, rlre: Rlre) -> bool:
        """Whether an RLRE releases."""
        return rlre.reason in (None, 0)


Expected: TypeAlias = "str | Accepted | Refused | Released | Callable[[Bench], str] | None"


@dataclass(frozen=True, slots=True)
class Ask:
    """An APDU and the one that answers it; None for no answer (over HDLC: RR).

    `?` in what is expected is any digit, a final `*` any rest. `also` are answers that pass with a remark.
    """

    stimulus: str | Callable[[Bench], str]
    expected: Expected
    also: tuple[str | None, ...] = ()


Step: TypeAlias = Wait | Raw | Ask
Script: TypeAlias = "tuple[Step, ...] | Callable[[Bench], None]"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a suite."""

    id: str
    purpose: str
    state: str
    script: Script
    clause: str = ""
    client: Role = "public"
    aarq: Callable[[Bench], str] | None = None  # of the association that the state has
    needs: tuple[str, ...] = ()  # words of `needs.NEEDS`
    expect: str = field(default="")

    @property
    def expectation(self) -> str:
        """What is expected, in words or octets."""
        if self.expect:
            return self.expect
        if callable(self.script):
            return " ".join((inspect.getdoc(self.script) or "").split())
        return "; ".join(_shown(step) for step in self.script)

    def run(self, bench: Bench) -> None:
        """Run it; one of the exceptions of `verdict` says how it ended, none: it passed."""
        bench.enter(STATES[self.state][bench.framing], "" if self.aarq is None else self.aarq(bench))
        if callable(self.script):
            self.script(bench)
            return
        for number, step in enumerate(self.script, 1):
            _run(bench, step, f"step {number}")


def asked(
    *stimuli: str, expected: str | None, also: tuple[str | None, ...] = ("D8010?", None)
) -> tuple[Ask, ...]:
    """Return a script: each stimulus gets the same."""
    return tuple(Ask(stimulus, expected, also) for stimulus in stimuli)


def sized(size: int, conformance: str = PROPOSED) -> Callable[[Bench], str]:
    """Return the AARQ of whichever client asks, with a PDU size and a proposal."""
    return lambda bench: bench.own_aarq(conformance, size)


def resolved(bench: Bench, octets: tuple[Octets, ...]) -> bytes:
    """Return the octets of a stimulus or an answer on this line."""
    found = b""
    for item in octets:
        if isinstance(item, (F, M)):
            found += item.octets(bench)
        else:
            found += bytes.fromhex(item if isinstance(item, str) else item(bench))
    return found


def _run(bench: Bench, step: Step, where: str) -> None:
    match step:
        case Wait("inter-frame"):
            bench.wait_inter_frame()
        case Wait("inactivity"):
            bench.wait_inactive()
        case Wait(seconds):
            bench.wait(float(seconds))
        case Raw(stimulus, expected, also):
            due = resolved(bench, expected)
            count = len(expected) or max((len(other) for other in also), default=0)
            answer = bench.send(resolved(bench, stimulus), count)
            others = [resolved(bench, other).hex().upper() for other in also]
            bench.match(answer.hex().upper(), due.hex().upper(), *others, why=where)
        case Ask(stimulus, expected, also):
            _ask(bench, stimulus if isinstance(stimulus, str) else stimulus(bench), expected, also, where)


def _ask(bench: Bench, stimulus: str, expected: Expected, also: tuple[str | None, ...], where: str) -> None:
    if isinstance(expected, (Accepted, Refused, Released)):
        answer = bench.apdu(stimulus)
        text = "" if answer is None else answer.hex().upper()
        if not _means(expected, answer):
            bench.match(text, expected.octets(bench), *(other or "" for other in also), why=where)
        elif text != expected.octets(bench):
            bench.remark(f"{where}: coded as {text}, in the list as {expected.octets(bench)}")
        return
    due = expected(bench) if callable(expected) else expected
    bench.expect(stimulus, due or "", *(other or "" for other in also), why=where)


def _means(expected: Accepted | Refused | Released, answer: bytes | None) -> bool:
    if answer is None:
        return False
    try:
        if isinstance(expected, Released):
            return expected.same(Rlre.decode(answer))
        return expected.same(Aare.decode(answer))
    except DlmsError:
        return False


def _shown(step: Step) -> str:
    match step:
        case Wait(seconds):
            return f"silence of {seconds}{'' if isinstance(seconds, str) else ' s'}"
        case Raw(stimulus, expected, _):
            return f"{_list(stimulus)} gets {_list(expected) or 'nothing'}"
        case Ask(stimulus, expected, _):
            request = stimulus if isinstance(stimulus, str) else "the AARQ of this client"
            return f"{request} gets {_due(expected)}"


def _due(expected: Any) -> str:
    if isinstance(expected, Accepted):
        return "an AARE that accepts"
    if isinstance(expected, Refused):
        return f"an AARE that refuses with {expected.source} {expected.diagnostic}"
    if isinstance(expected, Released):
        return "an RLRE"
    return "the value" if callable(expected) else expected or "no answer"


def _list(octets: tuple[Octets, ...]) -> str:
    return " ".join(_word(item) for item in octets)


def _word(item: Octets) -> str:
    if isinstance(item, (F, M)):
        who = "client" if isinstance(item, F) else "meter"
        return f"{who} {item.control:02X}{f'({item.information})' if item.information else ''}"
    return item if isinstance(item, str) else "(made from the CTI)"
