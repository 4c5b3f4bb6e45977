"""What outlives a power cut: recorder rows, events and state, in SQLite."""

from __future__ import annotations

from .database import Store, StoreError

__all__ = ["Store", "StoreError"]
