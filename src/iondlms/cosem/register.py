"""Data (class 1, version 0) and Register (class 3, version 0): IEC 62056-62 5.1 and 5.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.cosem.interface import LOGICAL_NAME, AssociationView, Attribute, Interface

__all__ = ["DataObject", "Register"]


class DataObject(Interface):
    """Data: one value of any type."""

    class_id: ClassVar[int] = 1
    version: ClassVar[int] = 0
    attributes: ClassVar[dict[int, Attribute]] = {1: LOGICAL_NAME, 2: Attribute("value")}

    def __init__(self, logical_name: ObisCode, value: Callable[[], Data]) -> None:
        super().__init__(logical_name)
        self._value = value

    def value(self, _view: AssociationView) -> Data:
        """Attribute 2."""
        return self._value()


class Register(DataObject):
    """Register: a value with scaler and unit; the quantity is value x 10^scaler in that unit."""

    class_id: ClassVar[int] = 3
    attributes: ClassVar[dict[int, Attribute]] = {
        **DataObject.attributes,
        3: Attribute("scaler_unit", Tag.STRUCTURE, constant=True),
    }
    methods: ClassVar[dict[int, str]] = {1: "reset"}

    def __init__(self, logical_name: ObisCode, value: Callable[[], Data], scaler: int, unit: int) -> None:
        super().__init__(logical_name, value)
        self.scaler = scaler
        self.unit = unit

    @property
    def scaler_unit(self) -> Data:
        """Attribute 3: structure {integer, enum}."""
        return make.structure(make.integer(self.scaler), make.enum(self.unit))
