"""The ACTION service (IEC 62056-53 clause 8, abstract syntax), decoded to be refused and explained.

No ION meter offers it. `decode_body` of a PDU reads what follows its tag and choice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from iondlms.codec.axdr import Data, decode_data, encode_data
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.errors import DataAccessResult, DecodeError, LocalError
from iondlms.xdlms.get import decode_get_data_result, decode_list, encode_get_data_result, encode_list
from iondlms.xdlms.set import DataBlock

__all__ = [
    "ActionRequest",
    "ActionRequestNextPblock",
    "ActionRequestNormal",
    "ActionRequestWithFirstPblock",
    "ActionRequestWithList",
    "ActionRequestWithListAndFirstPblock",
    "ActionRequestWithPblock",
    "ActionResponse",
    "ActionResponseNextPblock",
    "ActionResponseNormal",
    "ActionResponseWithList",
    "ActionResponseWithPblock",
    "ActionResult",
    "MethodDescriptor",
    "MethodOutcome",
]

_DESCRIPTOR: Final = struct.Struct(">H6sb")


class ActionResult(IntEnum):
    """Action-Result."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


class MethodDescriptor(NamedTuple):
    """Cosem-Method-Descriptor, 9 octets."""

    class_id: int  # Unsigned16
    instance_id: ObisCode  # 6 octets
    method_id: int  # Integer8

    @classmethod
    def decode(cls, reader: Reader) -> MethodDescriptor:
        """Read one descriptor; DecodeError if fewer than 9 octets are left."""
        class_id, instance_id, method_id = _DESCRIPTOR.unpack(reader.take(9))
        return cls(class_id, ObisCode(instance_id), method_id)

    def encode(self) -> bytes:
        """Return 9 octets; LocalError if a number does not fit its field."""
        try:
            return _DESCRIPTOR.pack(self.class_id, self.instance_id.octets, self.method_id)
        except struct.error as error:
            raise LocalError(f"class {self.class_id}, method {self.method_id}: {error}") from error


class MethodOutcome(NamedTuple):
    """Action-Response-With-Optional-Data: what came of one method."""

    result: ActionResult
    return_parameters: Data | DataAccessResult | None = None

    @classmethod
    def decode(cls, reader: Reader) -> MethodOutcome:
        """Read one; DecodeError if the standard does not name the result."""
        code = reader.u8()
        try:
            result = ActionResult(code)
        except ValueError as error:
            raise DecodeError(f"action-result {code} is not defined") from error
        return cls(result, decode_get_data_result(reader) if reader.u8() else None)

    def encode(self) -> bytes:
        """Return 2 octets or more."""
        if self.return_parameters is None:
            return bytes((self.result, 0))
        return bytes((self.result, 1)) + encode_get_data_result(self.return_parameters)


@dataclass(frozen=True, slots=True)
class ActionRequestNormal:
    """Invoke one method."""

    invoke: int
    method: MethodDescriptor
    parameters: Data | None = None

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestNormal:
        """Read what follows C3 01."""
        invoke, method = reader.u8(), MethodDescriptor.decode(reader)
        return cls(invoke, method, decode_data(reader) if reader.u8() else None)

    def encode(self) -> bytes:
        """Return the APDU."""
        parameters = b"\x00" if self.parameters is None else b"\x01" + encode_data(self.parameters)
        return bytes((0xC3, 0x01, self.invoke)) + self.method.encode() + parameters


@dataclass(frozen=True, slots=True)
class ActionRequestNextPblock:
    """Ask for the block of the return parameters after `block_number`."""

    invoke: int
    block_number: int

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestNextPblock:
        """Read what follows C3 02."""
        return cls(reader.u8(), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC3, 0x02, self.invoke)) + self.block_number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class ActionRequestWithList:
    """Invoke several methods at once."""

    invoke: int
    methods: tuple[MethodDescriptor, ...]
    parameters: tuple[Data, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestWithList:
        """Read what follows C3 03."""
        invoke, methods = reader.u8(), decode_list(reader, MethodDescriptor.decode, 9)
        return cls(invoke, methods, decode_list(reader, decode_data, 1))

    def encode(self) -> bytes:
        """Return the APDU."""
        methods = encode_list([method.encode() for method in self.methods])
        return (
            bytes((0xC3, 0x03, self.invoke)) + methods + encode_list(list(map(encode_data, self.parameters)))
        )


@dataclass(frozen=True, slots=True)
class ActionRequestWithFirstPblock:
    """Invoke one method with parameters that come in blocks."""

    invoke: int
    method: MethodDescriptor
    pblock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestWithFirstPblock:
        """Read what follows C3 04."""
        return cls(reader.u8(), MethodDescriptor.decode(reader), DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC3, 0x04, self.invoke)) + self.method.encode() + self.pblock.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestWithListAndFirstPblock:
    """Invoke several methods with parameters that come in blocks."""

    invoke: int
    methods: tuple[MethodDescriptor, ...]
    pblock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestWithListAndFirstPblock:
        """Read what follows C3 05."""
        invoke, methods = reader.u8(), decode_list(reader, MethodDescriptor.decode, 9)
        return cls(invoke, methods, DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        methods = encode_list([method.encode() for method in self.methods])
        return bytes((0xC3, 0x05, self.invoke)) + methods + self.pblock.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestWithPblock:
    """A further block of the parameters."""

    invoke: int
    pblock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionRequestWithPblock:
        """Read what follows C3 06."""
        return cls(reader.u8(), DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC3, 0x06, self.invoke)) + self.pblock.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseNormal:
    """What came of the method."""

    invoke: int
    outcome: MethodOutcome

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionResponseNormal:
        """Read what follows C7 01."""
        return cls(reader.u8(), MethodOutcome.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC7, 0x01, self.invoke)) + self.outcome.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseWithPblock:
    """One block of the return parameters."""

    invoke: int
    pblock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionResponseWithPblock:
        """Read what follows C7 02."""
        return cls(reader.u8(), DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC7, 0x02, self.invoke)) + self.pblock.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseWithList:
    """What came of each method of the list."""

    invoke: int
    outcomes: tuple[MethodOutcome, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionResponseWithList:
        """Read what follows C7 03."""
        return cls(reader.u8(), decode_list(reader, MethodOutcome.decode, 2))

    def encode(self) -> bytes:
        """Return the APDU."""
        outcomes = encode_list([outcome.encode() for outcome in self.outcomes])
        return bytes((0xC7, 0x03, self.invoke)) + outcomes


@dataclass(frozen=True, slots=True)
class ActionResponseNextPblock:
    """A block of the parameters was taken; the next one, please."""

    invoke: int
    block_number: int

    @classmethod
    def decode_body(cls, reader: Reader) -> ActionResponseNextPblock:
        """Read what follows C7 04."""
        return cls(reader.u8(), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC7, 0x04, self.invoke)) + self.block_number.to_bytes(4, "big")


ActionRequest: TypeAlias = (
    ActionRequestNormal
    | ActionRequestNextPblock
    | ActionRequestWithList
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
    | ActionRequestWithPblock
)
ActionResponse: TypeAlias = (
    ActionResponseNormal | ActionResponseWithPblock | ActionResponseWithList | ActionResponseNextPblock
)
