"""The only rooms that wait: TCP, and a null modem in memory."""

from iondlms.ports.endpoint import AsyncTransport, Endpoint, Transport

__all__ = ["AsyncTransport", "Endpoint", "Transport"]
