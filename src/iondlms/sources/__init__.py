"""What feeds the Power Meter module."""

from __future__ import annotations

from .simulated import SimulatedLoad

__all__ = ["SimulatedLoad"]
