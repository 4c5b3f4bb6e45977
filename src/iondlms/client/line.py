"""The lines of a URL that are no TCP connection of the meter's own: serial, optical, modem; and opening them.

serialx is loaded when such a line is opened, not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from iondlms.errors import LocalError
from iondlms.ports import AsyncTransport, Transport
from iondlms.ports.dial import AsyncModemTransport, DialSetup, ModemTransport
from iondlms.ports.dialogue import Watch
from iondlms.ports.optical import AsyncOpticalTransport, OpticalTransport
from iondlms.ports.serial import AsyncSerialTransport, LineSettings, SerialTransport
from iondlms.ports.sign_on import SIGN_ON_BAUD, SignOnOptions

__all__ = ["SerialLine", "open_line", "open_line_async"]

_RAW: Final = "socket://"
# A request and its answer, both as long as a frame of these meters can be, with octets to spare.
_EXCHANGE_OCTETS: Final = 300
_REACTION_S: Final = 2.0
_SILENCE_S: Final = 5.0
_CALL_SILENCE_S: Final = 10.0  # a data call over GSM holds octets back for seconds


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial device, with a sign-on or a call before the meter can be asked.

    LocalError for what cannot be done one after the other.
    """

    settings: LineSettings
    scheme: Literal["serial", "optical", "modem"] = "serial"
    sign_on: SignOnOptions | None = None  # mode E; the line begins at 300 baud
    call: DialSetup | None = None

    def __post_init__(self) -> None:
        if (self.call is not None) is not (self.scheme == "modem"):
            raise LocalError("a modem needs a number: write modem:DEVICE?dial=5551234")
        if self.sign_on is not None and self.scheme != "optical":
            raise LocalError("mode E is of the optical port: write optical:DEVICE?mode_e=1")
        fixed = self.settings.device.startswith(_RAW) and self.sign_on is not None
        if fixed and self.sign_on is not None and self.sign_on.max_baud != SIGN_ON_BAUD:
            raise LocalError("mode E changes the baud, and socket:// cannot; use rfc2217://, or baud=300")

    @property
    def timeout_s(self) -> float:
        """The silence after which it makes sense to ask again, where nobody says another."""
        if self.call is not None:
            return _CALL_SILENCE_S
        return max(_SILENCE_S, _REACTION_S + self.settings.octets_s(_EXCHANGE_OCTETS))


def open_line(line: SerialLine, watch: Watch | None = None) -> Transport:
    """Open the device, sign on or dial; PortError if that fails, and then nothing stays open.

    `watch` is shown the octets of sign-on and call, which are no client's.
    """
    transport = SerialTransport.connect(line.settings)
    if line.sign_on is not None:
        return OpticalTransport.connect(transport, line.sign_on, watch)
    if line.call is not None:
        return ModemTransport.connect(transport, line.call, watch)
    return transport


async def open_line_async(line: SerialLine, watch: Watch | None = None) -> AsyncTransport:
    """Open the device, sign on or dial; see `open_line`."""
    transport = await AsyncSerialTransport.connect(line.settings)
    if line.sign_on is not None:
        return await AsyncOpticalTransport.connect(transport, line.sign_on, watch)
    if line.call is not None:
        return await AsyncModemTransport.connect(transport, line.call, watch)
    return transport
