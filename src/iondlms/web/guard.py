"""Who may ask at all, and what a browser may do with the answers: checked and said before any page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_HEADERS: Final = {
    # All that the page is made of lies here; what a meter's texts might smuggle in has nowhere to load from.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(:\d{1,5})?")


class Guard:
    """Refuses what is not asked for under a name of this host, and adds the headers of every answer.

    A page elsewhere can have its own name point here once it is loaded (DNS rebinding), and then reads what
    it likes: its requests still name it. `names` are those that may be named.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.strip("[]").lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if not self._known(headers.get("host", ""), scope):
            text = "this panel is not known by that name; `iondlms web --host-name NAME` lets it be\n"
            await PlainTextResponse(text, 400)(scope, receive, sending)
        elif headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            # It could not read the answer; but it could take the places of those who look.
            await PlainTextResponse("not for pages of others\n", 403)(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)

    def _known(self, host: str, scope: Scope) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        return name in self._names or name == _own_address(scope)


def _own_address(scope: Scope) -> str | None:
    """Return the address that the request came to: a number cannot be made to point elsewhere."""
    server = scope.get("server")
    try:
        address = ip_address(server[0]) if server else None
    except ValueError:
        return None
    # A socket for both families has the older address inside the newer.
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return None if address is None else str(inner or address)
