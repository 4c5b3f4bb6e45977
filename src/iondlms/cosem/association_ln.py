"""Association LN (class 15, version 1): the present association, told to its client. IEC 62056-62 5.9."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, Final

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.cosem.interface import LOGICAL_NAME, Access, AssociationView, Attribute, Interface

__all__ = ["AssociationLn", "AssociationStatus"]

# 2.16.756.5.8.x.y as BER writes it: joint-iso-ccitt(2) country(16) 756 identified-organization(5) DLMS-UA(8)
_DLMS_UA: Final = bytes.fromhex("60857405 08")
_APPLICATION_CONTEXT_LN: Final = _DLMS_UA + b"\x01\x01"
_MECHANISM: Final = _DLMS_UA + b"\x02"
DLMS_VERSION: Final = 6
NO_LIMIT: Final = 0xFFFF


class AssociationStatus(IntEnum):
    """association_status; one that can be asked is always associated."""

    NON_ASSOCIATED = 0
    ASSOCIATION_PENDING = 1
    ASSOCIATED = 2


class AssociationLn(Interface):
    """Association LN of whoever asks: its values come from the association that the GET came through."""

    class_id: ClassVar[int] = 15
    version: ClassVar[int] = 1
    attributes: ClassVar[dict[int, Attribute]] = {
        1: LOGICAL_NAME,
        2: Attribute("object_list", Tag.ARRAY),
        3: Attribute("associated_partners_id", Tag.STRUCTURE),
        4: Attribute("application_context_name", Tag.OCTET_STRING),
        5: Attribute("xdlms_context_info", Tag.STRUCTURE),
        6: Attribute("authentication_mechanism_name", Tag.OCTET_STRING),
        7: Attribute("lls_secret", Tag.OCTET_STRING, Access.NO_ACCESS),
        8: Attribute("association_status", Tag.ENUM),
        9: Attribute("security_setup_reference", Tag.OCTET_STRING),
    }
    methods: ClassVar[dict[int, str]] = {
        1: "reply_to_HLS_authentication",
        2: "change_HLS_secret",
        3: "add_object",
        4: "remove_object",
    }

    def __init__(self, logical_name: ObisCode, object_list: Callable[[AssociationView], Data]) -> None:
        super().__init__(logical_name)
        self.object_list = object_list

    def associated_partners_id(self, view: AssociationView) -> Data:
        """Attribute 3: structure {integer client SAP, long-unsigned server SAP}."""
        # Integer8 by the standard, and wrapper ports go higher: the low seven bits are what fits.
        return make.structure(make.integer(view.client_sap & 0x7F), make.long_unsigned(view.server_sap))

    @property
    def application_context_name(self) -> Data:
        """Attribute 4: long names, no ciphering."""
        return make.octet_string(_APPLICATION_CONTEXT_LN)

    def xdlms_context_info(self, view: AssociationView) -> Data:
        """Attribute 5: conformance, PDU sizes, version, quality of service, no ciphering info."""
        return make.structure(
            make.bit_string(24, view.conformance),
            make.long_unsigned(view.max_receive_pdu),
            # A client without limit says 0, and a size of 0 would read as "nothing can be sent".
            make.long_unsigned(view.max_send_pdu or NO_LIMIT),
            make.unsigned(DLMS_VERSION),
            make.integer(view.quality_of_service),
            make.octet_string(b""),
        )

    def authentication_mechanism_name(self, view: AssociationView) -> Data:
        """Attribute 6: the object identifier of lowest level (0) or low level security (1)."""
        return make.octet_string(_MECHANISM + bytes((view.authentication_mechanism,)))

    @property
    def association_status(self) -> Data:
        """Attribute 8."""
        return make.enum(AssociationStatus.ASSOCIATED)

    @property
    def security_setup_reference(self) -> Data:
        """Attribute 9: there is no Security Setup object, so the name is all zeros."""
        return make.octet_string(bytes(6))
