"""A serial server of RFC 2217 made of pyserial's own PortManager: `rfc2217_server.py DEVICE PORT`.

Runs under a Python that has pyserial (Debian: python3-serial), one caller after the other.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from typing import Any

import serial  # type: ignore[import-untyped]
import serial.rfc2217  # type: ignore[import-untyped]


class PtyDevice(serial.Serial):  # type: ignore[misc]
    """A pty has no pins, and says so by an error that the PortManager does not expect."""

    cts = dsr = ri = cd = property(lambda self: False)
    rts = dtr = property(lambda self: True, lambda self, value: None)


class Caller:
    """The socket as the PortManager wants it."""

    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall


def serve(device: Any, connection: socket.socket) -> None:
    manager = serial.rfc2217.PortManager(device, Caller(connection))
    while True:
        ready, _, _ = select.select([connection, device.fileno()], [], [])
        if device.fileno() in ready:
            connection.sendall(b"".join(manager.escape(device.read(4096))))
        if connection in ready:
            octets = connection.recv(4096)
            if not octets:
                return
            device.write(b"".join(manager.filter(octets)))


def main(path: str, port: int) -> None:
    device: Any = PtyDevice(path, 9600, timeout=0)
    server = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = server.accept()
        with contextlib.suppress(OSError):  # the caller has gone
            serve(device, connection)
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
