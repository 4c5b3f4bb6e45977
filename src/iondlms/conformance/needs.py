"""What a case may need of the meter, by a word; where it is missing the case is INAPPLICABLE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.conformance.bench import Bench
from iondlms.conformance.verdict import Inapplicable
from iondlms.xdlms import Conformance

__all__ = ["NEEDS", "require_needs"]

Need = Callable[[Bench], bool]


def _offers(bits: Conformance) -> Need:
    return lambda bench: bench.offers(bits)


NEEDS: Final[dict[str, tuple[Need, str]]] = {
    "attribute-0": (
        _offers(Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET),
        "the meter does not offer attribute 0 with GET",
    ),
    "no-attribute-0": (
        lambda bench: not bench.offers(Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET),
        "the meter offers attribute 0 with GET",
    ),
    "blocks": (
        _offers(Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ),
        "the meter does not offer block transfer with GET",
    ),
    "selective-access": (_offers(Conformance.SELECTIVE_ACCESS), "the meter does not offer selective access"),
    "set": (_offers(Conformance.SET), "the meter does not offer SET to this client"),
    "no-set": (
        lambda bench: not bench.offers(Conformance.SET),
        "the meter offers SET to this client",
    ),
    "no-action": (lambda bench: not bench.offers(Conformance.ACTION), "the meter offers ACTION"),
    "no-lists": (
        lambda bench: not bench.offers(Conformance.MULTIPLE_REFERENCES),
        "the meter offers multiple references",
    ),
    "password": (lambda bench: bench.password is not None, "no password was given"),
    "no-password-needed": (
        lambda bench: bench.role == "public",
        "this client needs a password",
    ),
    "clock": (lambda bench: bench.cti.clock.present, "the meter has no clock object"),
    "clock-set": (
        lambda bench: bench.clock_set_allowed,
        "sets the meter's clock; run with --allow-clock-set",
    ),
    "ion": (lambda bench: bench.cti.objects.ion, "the CTI does not say that this is an ION meter"),
    "profile": (lambda bench: bool(bench.cti.objects.load_profile), "the CTI names no load profile"),
    "billing": (lambda bench: bool(bench.cti.objects.billing), "the CTI names no second profile"),
    "sockets": (lambda bench: bench.access.sockets, "the line is no TCP connection"),
    "power-cycle": (lambda bench: bench.cut_power is not None, "no --power-cycle command was given"),
    "segments": (lambda bench: bench.cti.hdlc.segments, "the meter segments no answers"),
    "four-octet-address": (
        lambda bench: bench.cti.hdlc.address == 4 and bench.cti.hdlc.unit < 126,
        "the meter's address has no form of two octets",
    ),
}


def require_needs(bench: Bench, needs: tuple[str, ...]) -> None:
    """Raise Inapplicable for the first need that is not met; a client that does not exist is one."""
    if bench.client_section is None:
        raise Inapplicable(f"the CTI names no [{bench.role}] client")
    if bench.role == "setting" and bench.password is None:
        raise Inapplicable("no password was given for the setting client")
    for need in needs:
        met, reason = NEEDS[need]
        if not met(bench):
            raise Inapplicable(reason)
