"""The association of both sides as tables: every state, every input (IEC 62056-53 clause 6.5).

The actions are names; `meter/service.py` and `client/endpoint.py` carry them out. Whether an AARQ is
accepted, and whether a request is one the association negotiated, is settled before the table is asked.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

__all__ = [
    "CLIENT",
    "SERVER",
    "ClientInput",
    "ClientState",
    "ClientStep",
    "ServerInput",
    "ServerState",
    "ServerStep",
]


class ServerState(Enum):
    """States of the server's association."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    IDLE = auto()
    ASSOCIATED = auto()


class ServerInput(Enum):
    """What can happen to the server's association."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    AARQ_ACCEPTED = auto()
    AARQ_REFUSED = auto()
    AARQ_UNCONFIRMED = auto()  # response-allowed is FALSE
    RLRQ = auto()
    SERVICE = auto()  # an xDLMS request that this profile knows and the association negotiated
    FOREIGN_SERVICE = auto()  # one that it does not, or that cannot be decoded
    SERVER_APDU = auto()  # an APDU that only a server sends: a response, an AARE, a notification
    LINK_LOST = auto()  # DISC, SNRM, inactivity, the connection closed


class ServerStep(NamedTuple):
    """What the server does and where that leaves it.

    Actions: ignore; send_aare (and begin afresh); refuse_aare; send_rlre; serve; send_exception; abort
    (nothing is sent, long transfers are forgotten).
    """

    action: str
    state: ServerState


_S = ServerState
_SI = ServerInput

SERVER: Final[dict[tuple[ServerState, ServerInput], ServerStep]] = {
    (_S.IDLE, _SI.AARQ_ACCEPTED): ServerStep("send_aare", _S.ASSOCIATED),
    (_S.IDLE, _SI.AARQ_REFUSED): ServerStep("refuse_aare", _S.IDLE),
    # An unconfirmed association could carry nothing: no service of this profile is unconfirmed.
    (_S.IDLE, _SI.AARQ_UNCONFIRMED): ServerStep("ignore", _S.IDLE),
    (_S.IDLE, _SI.RLRQ): ServerStep("ignore", _S.IDLE),
    (_S.IDLE, _SI.SERVICE): ServerStep("send_exception", _S.IDLE),
    (_S.IDLE, _SI.FOREIGN_SERVICE): ServerStep("send_exception", _S.IDLE),
    (_S.IDLE, _SI.SERVER_APDU): ServerStep("ignore", _S.IDLE),
    (_S.IDLE, _SI.LINK_LOST): ServerStep("ignore", _S.IDLE),
    # The standard text does not settle a second AARQ. The client that sends one has forgotten the first
    # (it restarted behind a modem or a gateway), so it is taken, and the association begins afresh.
    (_S.ASSOCIATED, _SI.AARQ_ACCEPTED): ServerStep("send_aare", _S.ASSOCIATED),
    # Whoever cannot authenticate must not go on with the rights of whoever did.
    (_S.ASSOCIATED, _SI.AARQ_REFUSED): ServerStep("refuse_aare", _S.IDLE),
    (_S.ASSOCIATED, _SI.AARQ_UNCONFIRMED): ServerStep("ignore", _S.ASSOCIATED),
    (_S.ASSOCIATED, _SI.RLRQ): ServerStep("send_rlre", _S.IDLE),
    (_S.ASSOCIATED, _SI.SERVICE): ServerStep("serve", _S.ASSOCIATED),
    (_S.ASSOCIATED, _SI.FOREIGN_SERVICE): ServerStep("send_exception", _S.ASSOCIATED),
    (_S.ASSOCIATED, _SI.SERVER_APDU): ServerStep("ignore", _S.ASSOCIATED),
    (_S.ASSOCIATED, _SI.LINK_LOST): ServerStep("abort", _S.IDLE),
}


class ClientState(Enum):
    """States of the client's association."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    IDLE = auto()
    PENDING = auto()  # AARQ sent
    ASSOCIATED = auto()
    RELEASING = auto()  # RLRQ sent


class ClientInput(Enum):
    """What can happen to the client's association; the first three are calls of the user."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    OPEN = auto()
    SERVICE = auto()
    RELEASE = auto()
    AARE_ACCEPTED = auto()
    AARE_REFUSED = auto()  # also one that wants HLS, which this profile has not
    RLRE = auto()
    RESPONSE = auto()  # any xDLMS response, exception-response and confirmed-service-error included
    TIMEOUT = auto()  # no answer to what was sent
    LINK_LOST = auto()


class ClientStep(NamedTuple):
    """What the client does and where that leaves it.

    Actions: ignore; misuse (the call is a LocalError); send_aarq; send_request; send_rlrq; opened; refused;
    released; deliver (hand the response to its request); disconnect (end the link, which ends the
    association too); fail (the request gets no answer); lost.
    """

    action: str
    state: ClientState


_C = ClientState
_CI = ClientInput

CLIENT: Final[dict[tuple[ClientState, ClientInput], ClientStep]] = {
    (_C.IDLE, _CI.OPEN): ClientStep("send_aarq", _C.PENDING),
    (_C.IDLE, _CI.SERVICE): ClientStep("misuse", _C.IDLE),
    (_C.IDLE, _CI.RELEASE): ClientStep("ignore", _C.IDLE),  # closing twice is no fault
    (_C.IDLE, _CI.AARE_ACCEPTED): ClientStep("ignore", _C.IDLE),  # too late, or not ours
    (_C.IDLE, _CI.AARE_REFUSED): ClientStep("ignore", _C.IDLE),
    (_C.IDLE, _CI.RLRE): ClientStep("ignore", _C.IDLE),
    (_C.IDLE, _CI.RESPONSE): ClientStep("ignore", _C.IDLE),
    (_C.IDLE, _CI.TIMEOUT): ClientStep("ignore", _C.IDLE),
    (_C.IDLE, _CI.LINK_LOST): ClientStep("ignore", _C.IDLE),
    (_C.PENDING, _CI.OPEN): ClientStep("misuse", _C.PENDING),
    (_C.PENDING, _CI.SERVICE): ClientStep("misuse", _C.PENDING),
    (_C.PENDING, _CI.RELEASE): ClientStep("disconnect", _C.IDLE),
    (_C.PENDING, _CI.AARE_ACCEPTED): ClientStep("opened", _C.ASSOCIATED),
    (_C.PENDING, _CI.AARE_REFUSED): ClientStep("refused", _C.IDLE),
    (_C.PENDING, _CI.RLRE): ClientStep("ignore", _C.PENDING),  # the answer to an RLRQ given up before
    # Some meters answer an AARQ they cannot take with a bare exception-response.
    (_C.PENDING, _CI.RESPONSE): ClientStep("refused", _C.IDLE),
    (_C.PENDING, _CI.TIMEOUT): ClientStep("fail", _C.IDLE),
    (_C.PENDING, _CI.LINK_LOST): ClientStep("lost", _C.IDLE),
    (_C.ASSOCIATED, _CI.OPEN): ClientStep("misuse", _C.ASSOCIATED),
    (_C.ASSOCIATED, _CI.SERVICE): ClientStep("send_request", _C.ASSOCIATED),
    (_C.ASSOCIATED, _CI.RELEASE): ClientStep("send_rlrq", _C.RELEASING),
    (_C.ASSOCIATED, _CI.AARE_ACCEPTED): ClientStep("ignore", _C.ASSOCIATED),  # a repeated answer
    (_C.ASSOCIATED, _CI.AARE_REFUSED): ClientStep("lost", _C.IDLE),
    (_C.ASSOCIATED, _CI.RLRE): ClientStep("lost", _C.IDLE),  # nobody asked: the meter has ended it
    (_C.ASSOCIATED, _CI.RESPONSE): ClientStep("deliver", _C.ASSOCIATED),
    (_C.ASSOCIATED, _CI.TIMEOUT): ClientStep("fail", _C.ASSOCIATED),
    (_C.ASSOCIATED, _CI.LINK_LOST): ClientStep("lost", _C.IDLE),
    (_C.RELEASING, _CI.OPEN): ClientStep("misuse", _C.RELEASING),
    (_C.RELEASING, _CI.SERVICE): ClientStep("misuse", _C.RELEASING),
    (_C.RELEASING, _CI.RELEASE): ClientStep("ignore", _C.RELEASING),
    (_C.RELEASING, _CI.AARE_ACCEPTED): ClientStep("ignore", _C.RELEASING),
    (_C.RELEASING, _CI.AARE_REFUSED): ClientStep("ignore", _C.RELEASING),
    (_C.RELEASING, _CI.RLRE): ClientStep("released", _C.IDLE),
    # Not every meter knows RLRQ: it answers with an exception-response or not at all. The end of the link
    # serves as well.
    (_C.RELEASING, _CI.RESPONSE): ClientStep("disconnect", _C.IDLE),
    (_C.RELEASING, _CI.TIMEOUT): ClientStep("disconnect", _C.IDLE),
    (_C.RELEASING, _CI.LINK_LOST): ClientStep("released", _C.IDLE),
}
