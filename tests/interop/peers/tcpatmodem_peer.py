"""A Hayes modem by others whose telephone network is TCP: `tcpatmodem_peer.py DEVICE`, under its own Python.

tcpatmodem takes AT commands on its standard streams and dials HOST:PORT; here they are a serial device. Its
text streams are made octets: what it sends to the network it would write as UTF-8, two octets for one.
"""

from __future__ import annotations

import os
import sys

from tcpatmodem.frontend import StdioFrontend  # type: ignore[import-not-found]
from tcpatmodem.tcpdialler import TcpDialler  # type: ignore[import-not-found]


class OctetDialler(TcpDialler):  # type: ignore[misc]
    def write(self, text: str) -> None:
        if self.protocol and self.protocol.transport:
            self.protocol.transport.write(text.encode("latin-1"))


def main(path: str) -> None:
    device = os.open(path, os.O_RDWR | os.O_NOCTTY)
    os.dup2(device, 0)
    sys.stdout = open(device, "w", encoding="latin-1", newline="")  # noqa: SIM115  # for as long as it runs
    frontend = StdioFrontend(OctetDialler)
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    frontend.run()


if __name__ == "__main__":
    main(sys.argv[1])
