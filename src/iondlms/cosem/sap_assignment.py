"""SAP Assignment (class 17, version 0): which logical devices answer at which SAP. IEC 62056-62 5.11."""

from __future__ import annotations

from typing import ClassVar

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.cosem.interface import LOGICAL_NAME, Attribute, Interface

__all__ = ["SapAssignment"]


class SapAssignment(Interface):
    """SAP Assignment: pairs of SAP and logical device name."""

    class_id: ClassVar[int] = 17
    version: ClassVar[int] = 0
    attributes: ClassVar[dict[int, Attribute]] = {
        1: LOGICAL_NAME,
        2: Attribute("sap_assignment_list", Tag.ARRAY),
    }
    methods: ClassVar[dict[int, str]] = {1: "connect_logical_device"}

    def __init__(self, logical_name: ObisCode, devices: dict[int, bytes]) -> None:
        super().__init__(logical_name)
        self.devices = devices

    @property
    def sap_assignment_list(self) -> Data:
        """Attribute 2: array of structure {long-unsigned SAP, octet-string logical device name}."""
        return make.array(
            make.structure(make.long_unsigned(sap), make.octet_string(name))
            for sap, name in self.devices.items()
        )
