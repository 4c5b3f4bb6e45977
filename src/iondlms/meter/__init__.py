"""The server: ION modules as COSEM objects, answered over HDLC and the wrapper."""

from iondlms.meter.config import Config, ConfigError, load
from iondlms.meter.endpoint import MeterEndpoint, PortSetup
from iondlms.meter.host import MeterHost, serve
from iondlms.meter.meter import Meter

__all__ = ["Config", "ConfigError", "Meter", "MeterEndpoint", "MeterHost", "PortSetup", "load", "serve"]
