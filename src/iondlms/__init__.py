"""DLMS/COSEM of the PowerLogic ION meters: a client, a virtual meter, and what can go wrong.

`connect` reads a meter, `Meter` is one without I/O, `serve` runs one. Everything else has its home in the
packages below; these names are found there when they are first used, so that a client loads no server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from iondlms.errors import AccessError, DataAccessResult, DlmsError, LocalError, PortError, RemoteError

if TYPE_CHECKING:
    from iondlms.client import Client, Profile, Target, connect
    from iondlms.meter import Config, Meter, serve

# Here and nowhere else: the build reads it. To ask the installed package takes as long as all else does.
__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "Client",
    "Config",
    "DataAccessResult",
    "DlmsError",
    "LocalError",
    "Meter",
    "PortError",
    "Profile",
    "RemoteError",
    "Target",
    "connect",
    "serve",
]

_HOMES = {
    "Client": "iondlms.client",
    "Profile": "iondlms.client",
    "Target": "iondlms.client",
    "connect": "iondlms.client",
    "Config": "iondlms.meter",
    "Meter": "iondlms.meter",
    "serve": "iondlms.meter",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'iondlms' has no attribute {name!r}")
    return getattr(import_module(home), name)
