"""The server: ION modules as COSEM objects, answered over HDLC and the wrapper."""

from iondlms.meter.config import Config, ConfigError, load
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.meter.host import MeterHost
from iondlms.meter.meter import Meter
from iondlms.meter.served import PortSetup
from iondlms.meter.site import Site, load_site
from iondlms.meter.site_host import SiteHost, serve

__all__ = [
    "Config",
    "ConfigError",
    "Meter",
    "MeterEndpoint",
    "MeterHost",
    "PortSetup",
    "Site",
    "SiteHost",
    "load",
    "load_site",
    "serve",
]
