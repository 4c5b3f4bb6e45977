"""What an interface class is: a declared table of attributes and methods (IEC 62056-62 clause 4).

Rights, types and selectors are read off the table by the library; a class supplies only its values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain
from typing import ClassVar, Final

from iondlms.codec import axdr, make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import encode_length
from iondlms.errors import LocalError, ObjectUndefined, ReadWriteDenied, ScopeOfAccessViolated

__all__ = ["LOGICAL_NAME", "Access", "AssociationView", "Attribute", "Interface", "Selection"]


class Access(IntEnum):
    """Access mode of an attribute, as object_list states it."""

    NO_ACCESS = 0
    READ_ONLY = 1
    WRITE_ONLY = 2
    READ_AND_WRITE = 3

    @property
    def readable(self) -> bool:
        """Whether GET is allowed."""
        return bool(self & Access.READ_ONLY)

    @property
    def writable(self) -> bool:
        """Whether SET is allowed."""
        return bool(self & Access.WRITE_ONLY)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One line of a class's attribute table.

    `name` is also the name of the member of the class that gives the value: a `Data`, or a method that
    takes the `AssociationView` and returns one. `type` is the tag of the value, None where it is a CHOICE.
    """

    name: str
    type: Tag | None = None
    access: Access = Access.READ_ONLY
    selectors: tuple[int, ...] = ()
    constant: bool = False  # the same for as long as the object lives, so encoded once


LOGICAL_NAME: Final = Attribute("logical_name_data", Tag.OCTET_STRING, constant=True)


@dataclass(frozen=True, slots=True, eq=False)  # known by itself: what it means is remembered
class Selection:
    """Selective access of a GET: the selector, and its parameters still without meaning."""

    selector: int
    parameters: Data


@dataclass(frozen=True, slots=True)
class AssociationView:
    """What an object may know of the association that asks: addresses, what was negotiated, rights."""

    client_sap: int
    server_sap: int
    conformance: int  # 24 bits, bit 0 of the standard on top
    max_receive_pdu: int  # octets, ours
    max_send_pdu: int  # octets, the client's limit; 0 is no limit
    authentication_mechanism: int  # 0 lowest level, 1 low level security
    quality_of_service: int = 0
    writable: frozenset[tuple[ObisCode, int]] = field(default=frozenset())  # (object, attribute)


class Interface:
    """Base of all interface classes; a subclass declares `class_id`, `version` and its tables."""

    class_id: ClassVar[int]
    version: ClassVar[int]
    attributes: ClassVar[dict[int, Attribute]]
    methods: ClassVar[dict[int, str]] = {}

    def __init__(self, logical_name: ObisCode) -> None:
        self.logical_name = logical_name
        self._constants: dict[int, bytes] = {}  # encoded, by attribute

    @property
    def logical_name_data(self) -> Data:
        """Attribute 1 of every class."""
        return make.octet_string(self.logical_name.octets)

    def access(self, attribute_id: int, view: AssociationView) -> Access:
        """Return the right this association has; ObjectUndefined if the class has no such attribute."""
        attribute = self.attributes.get(attribute_id)
        if attribute is None:
            raise ObjectUndefined(f"class {self.class_id} has no attribute {attribute_id}")
        if attribute.access.writable and (self.logical_name, attribute_id) not in view.writable:
            return Access(attribute.access & Access.READ_ONLY)
        return attribute.access

    def get(self, attribute_id: int, selection: Selection | None, view: AssociationView) -> Iterable[bytes]:
        """Return the encoded value in pieces; attribute 0 is the structure of all attributes in order.

        Attributes that may not be read stand in attribute 0 as null-data. AccessError where there is no
        such attribute, no right to read it, or no such selector.
        """
        if attribute_id == 0:
            if selection is not None:
                raise ScopeOfAccessViolated("attribute 0 takes no selector")
            return self._get_all(view)
        if not self.access(attribute_id, view).readable:
            raise ReadWriteDenied(f"attribute {attribute_id} of {self.logical_name} may not be read")
        if selection is not None and selection.selector not in self.attributes[attribute_id].selectors:
            raise ScopeOfAccessViolated(f"attribute {attribute_id} takes no selector {selection.selector}")
        return self.read(attribute_id, selection, view)

    def _get_all(self, view: AssociationView) -> Iterable[bytes]:
        # Every value is read now, and only cut later: one answer is one moment.
        pieces: list[Iterable[bytes]] = [(bytes((Tag.STRUCTURE,)) + encode_length(len(self.attributes)),)]
        for attribute_id in sorted(self.attributes):
            readable = self.access(attribute_id, view).readable
            pieces.append(self.read(attribute_id, None, view) if readable else (bytes((Tag.NULL_DATA,)),))
        return chain.from_iterable(pieces)

    def read(self, attribute_id: int, selection: Selection | None, view: AssociationView) -> Iterable[bytes]:
        """Return the encoded value of an attribute whose rights were checked; classes may extend it."""
        if selection is not None:
            raise LocalError(f"class {self.class_id} declares a selector and does not read by it")
        encoded = self._constants.get(attribute_id)
        if encoded is None:
            attribute = self.attributes[attribute_id]
            value = getattr(self, attribute.name)
            if callable(value):
                value = value(view)
            encoded = axdr.encode_data(value)
            if attribute.constant:
                self._constants[attribute_id] = encoded
        return (encoded,)

    def set(self, attribute_id: int, selection: Selection | None, value: Data, view: AssociationView) -> None:
        """Set an attribute; ReadWriteDenied without the right, TypeUnmatched and others by the class."""
        if attribute_id == 0:
            raise ReadWriteDenied("attribute 0 is offered with GET alone")
        if not self.access(attribute_id, view).writable:
            raise ReadWriteDenied(f"attribute {attribute_id} of {self.logical_name} may not be written")
        if selection is not None:
            raise ScopeOfAccessViolated("no attribute is written selectively here")
        self.write(attribute_id, value)

    def write(self, attribute_id: int, value: Data) -> None:
        """Write an attribute whose rights were checked; a class with a writable attribute overrides it."""
        raise ReadWriteDenied(f"attribute {attribute_id} of {self.logical_name} may not be written: {value}")
