"""Interface classes as declared tables, and the logical device that holds the objects (IEC 62056-62)."""

from iondlms.cosem.association_ln import AssociationLn
from iondlms.cosem.clock import Clock, ClockSource
from iondlms.cosem.interface import Access, AssociationView, Attribute, Interface, Selection
from iondlms.cosem.logical_device import CURRENT_ASSOCIATION, LogicalDevice
from iondlms.cosem.profile_generic import Buffer, ProfileGeneric, Rows
from iondlms.cosem.register import DataObject, Register
from iondlms.cosem.sap_assignment import SapAssignment
from iondlms.cosem.selection import BY_ENTRY, BY_RANGE, CaptureObject, EntryDescriptor, RangeDescriptor

__all__ = [
    "BY_ENTRY",
    "BY_RANGE",
    "CURRENT_ASSOCIATION",
    "Access",
    "AssociationLn",
    "AssociationView",
    "Attribute",
    "Buffer",
    "CaptureObject",
    "Clock",
    "ClockSource",
    "DataObject",
    "EntryDescriptor",
    "Interface",
    "LogicalDevice",
    "ProfileGeneric",
    "RangeDescriptor",
    "Register",
    "Rows",
    "SapAssignment",
    "Selection",
]
