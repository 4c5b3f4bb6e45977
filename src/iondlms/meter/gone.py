"""What is behind a tap: an endpoint, or what is left of one that the meter knows nothing of any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from iondlms.ports.endpoint import Endpoint

__all__ = ["GONE", "Inner"]


class Inner(Endpoint, Protocol):
    """The endpoint behind a tap."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What its link has counted."""

    @property
    def in_frame(self) -> bool:
        """Whether the beginning of a frame is held."""

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Answer a request that was foreseen; None, and nothing has changed, for anything else."""


class _Gone:
    """What is behind a connection that the meter knows nothing of any more."""

    counters: Mapping[str, int] = {}
    in_frame = False
    idle = True
    closed = True
    later = None

    def receive_data(self, data: bytes, now: float) -> bytes:  # noqa: ARG002
        return b""

    def follow(self, data: bytes, now: float) -> None:
        pass

    def next_deadline(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> bytes:  # noqa: ARG002
        return b""


GONE: Final = _Gone()
