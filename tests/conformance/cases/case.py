"""What a conformance case is: an id, a state, and a script of stimuli and answers, or a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.conformance.bench import Bench, Transport, require

# The states of the case list, and the lines on which each is met. RT: link or connection, no association.
# AT: an open association, on either line.
STATES: Final[dict[str, dict[Transport, str]]] = {
    "N": {"hdlc": "N"},
    "R": {"hdlc": "R"},
    "A": {"hdlc": "A"},
    "T": {"wrapper": "T"},
    "TA": {"wrapper": "TA"},
    "RT": {"hdlc": "R", "wrapper": "T"},
    "AT": {"hdlc": "A", "wrapper": "TA"},
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence on the line, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Raw:
    """Octets on the line, and the octets that answer them; empty for silence."""

    stimulus: str
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """An APDU and the one that answers it; None for no answer (over HDLC: RR).

    In what is expected, `{S}` is the server's PDU size and `{C}` what this client may have at most.
    """

    stimulus: str
    expected: str | None


Step: TypeAlias = Wait | Raw | Ask
Script: TypeAlias = tuple[Step, ...] | Callable[[Bench], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the list. `also` answers of the list are not accepted: this meter gives the first one."""

    id: str
    purpose: str
    state: str
    script: Script
    client: int = 16
    settings: tuple[tuple[str, Any], ...] = ()
    aarq: str = ""  # of the association that the state has; empty: the client's usual one

    def run(self, transport: Transport) -> None:
        """Run it on a fresh meter; `Failure` says what was wrong."""
        bench = Bench(transport, self.client, self.settings)
        bench.enter(STATES[self.state][transport], self.aarq)
        if callable(self.script):
            self.script(bench)
            return
        for number, step in enumerate(self.script):
            run_step(bench, step, f"{self.id} step {number}")


def run_step(bench: Bench, step: Step, where: str) -> None:
    """Do one step of a script."""
    match step:
        case Wait(seconds):
            bench.wait(seconds)
        case Raw(stimulus, expected):
            answer = bench.send(stimulus).hex().upper()
            require(
                answer == expected.upper(), f"{where}: {answer or 'nothing'}, {expected or 'nothing'} due"
            )
        case Ask(stimulus, expected):
            reply = bench.apdu(stimulus)
            text = None if reply is None else reply.hex().upper()
            due = None if expected is None else filled(bench, expected)
            require(text == due, f"{where}: {text}, {due} due")


def filled(bench: Bench, expected: str) -> str:
    """Return an expected answer with what depends on line and client put in."""
    granted = "003014" if bench.client == 16 else "00301C"
    return expected.replace("{S}", bench.server_pdu.hex()).replace("{C}", granted).upper()
