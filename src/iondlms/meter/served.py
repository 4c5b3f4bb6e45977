"""What an endpoint is told of its port, and what it asks of the meter behind it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from iondlms.meter.service import Application

__all__ = ["Framing", "PortSetup", "Served", "Supply"]

Framing = Literal["auto", "hdlc", "wrapper"]


class PortSetup(NamedTuple):
    """The settings of one port that concern the protocol."""

    name: str = "ETHERNET"
    unit_id: int = 100
    framing: Framing = "auto"
    rx_timeout_s: float = 1.5  # silence inside a frame that ends it
    inactivity_s: float = 120.0  # silence that ends links and associations
    max_pdu: int = 1024  # octets of APDU taken over the wrapper
    silent_before_snrm: bool = False  # say nothing, instead of DM, to a frame before SNRM


class Supply(Protocol):
    """What an endpoint must know of a meter's power; attributes, for they are looked at with each frame."""

    powered: bool  # whether there is power
    outages: int  # how many losses of it are over


class Served(Protocol):
    """What an endpoint asks of the meter behind it."""

    @property
    def supply(self) -> Supply:
        """Its power: without it, it is deaf and forgets its links."""

    def pass_time(self, now: float) -> None:
        """Let everything happen that is due."""

    def application(self, port: str) -> Application:
        """Return what the associations on a port share."""
