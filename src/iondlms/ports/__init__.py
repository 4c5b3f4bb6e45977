"""The only rooms that wait: TCP, serial lines, what stands on them (optical, modem, many meters), memory.

Each kind of line is a module of its own, and none loads what another needs.
"""

from iondlms.ports.endpoint import AsyncLine, AsyncTransport, Endpoint, Line, LineState, Transport

__all__ = ["AsyncLine", "AsyncTransport", "Endpoint", "Line", "LineState", "Transport"]
