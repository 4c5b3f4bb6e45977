"""What is behind a connection that the meter knows nothing of any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["GONE"]


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
