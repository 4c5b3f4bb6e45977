"""Reading ION meters: `connect` for asyncio, `blocking.connect` for the same without an event loop."""

from __future__ import annotations

from iondlms.client import blocking
from iondlms.client.client import Client, connect
from iondlms.client.columns import ProfileColumns
from iondlms.client.errors import (
    AssociationRefused,
    ClosedAtOnce,
    LinkError,
    NoAnswer,
    NotDlms,
    OutcomeUnknown,
    ServiceRefused,
    TransferBroken,
)
from iondlms.client.names import NAMES, name_of, resolve
from iondlms.client.objects import ClockReading, ClockSetting, ClockStep, MeterObject
from iondlms.client.profile import Column, Profile, ProfileRow, ProfileRows, StatusWord
from iondlms.client.scales import Quantity
from iondlms.client.session import Hooks
from iondlms.client.url import Target

__all__ = [
    "NAMES",
    "AssociationRefused",
    "Client",
    "ClockReading",
    "ClockSetting",
    "ClockStep",
    "ClosedAtOnce",
    "Column",
    "Hooks",
    "LinkError",
    "MeterObject",
    "NoAnswer",
    "NotDlms",
    "OutcomeUnknown",
    "Profile",
    "ProfileColumns",
    "ProfileRow",
    "ProfileRows",
    "Quantity",
    "ServiceRefused",
    "StatusWord",
    "Target",
    "TransferBroken",
    "blocking",
    "connect",
    "name_of",
    "resolve",
]
