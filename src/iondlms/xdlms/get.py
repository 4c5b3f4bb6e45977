"""The GET service (IEC 62056-53 clause 8, abstract syntax).

`invoke` is the invoke-id-and-priority octet as it stands on the wire: bits 0 to 3 the id, bit 6 confirmed,
bit 7 high priority; a response repeats it. What a response carries as data stays encoded: profile buffers
are long, and who reads them knows a faster way than one value after the other.

NamedTuples, where the rest of the room has dataclasses: a year of load profile is thousands of these.
`decode_body` of a PDU reads what follows its tag and choice; `iondlms.xdlms.apdu` reads those.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias, TypeVar

from iondlms.codec.axdr import Data, decode_data, encode_data
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DataAccessResult, DecodeError, LocalError

__all__ = [
    "AttributeDescriptor",
    "AttributeWithSelection",
    "GetRequest",
    "GetRequestNext",
    "GetRequestNormal",
    "GetRequestWithList",
    "GetResponse",
    "GetResponseNormal",
    "GetResponseWithDatablock",
    "GetResponseWithList",
    "SelectiveAccess",
    "decode_access",
    "decode_data_access_result",
    "decode_get_data_result",
    "decode_list",
    "encode_access",
    "encode_get_data_result",
    "encode_list",
    "get_request",
]

_T = TypeVar("_T")

_DESCRIPTOR: Final = struct.Struct(">H6sb")
_NEXT: Final = struct.Struct(">BBBI")
_DATABLOCK: Final = struct.Struct(">BBBBIB")


class AttributeDescriptor(NamedTuple):
    """Cosem-Attribute-Descriptor, 9 octets."""

    class_id: int  # Unsigned16
    instance_id: ObisCode  # 6 octets
    attribute_id: int  # Integer8; 0 means all attributes

    @classmethod
    def decode(cls, reader: Reader) -> AttributeDescriptor:
        """Read one descriptor; DecodeError if fewer than 9 octets are left."""
        class_id, instance_id, attribute_id = _DESCRIPTOR.unpack(reader.take(9))
        return cls(class_id, ObisCode(instance_id), attribute_id)

    def encode(self) -> bytes:
        """Return 9 octets; LocalError if a number does not fit its field."""
        try:
            return _DESCRIPTOR.pack(self.class_id, self.instance_id.octets, self.attribute_id)
        except struct.error as error:
            raise LocalError(f"class {self.class_id}, attribute {self.attribute_id}: {error}") from error


@lru_cache(256)  # a reader asks each meter for the same few
def _attribute_alone(attribute: AttributeDescriptor) -> bytes:
    return attribute.encode() + b"\0"


class _Encoded:
    """Room for the octets of a value. It is no field: not shown, compared, copied or pickled."""

    __slots__ = ("_octets",)
    _octets: bytes


@dataclass(frozen=True, slots=True)
class SelectiveAccess(_Encoded):
    """Selective-Access-Descriptor; only the object's class gives meaning to the parameters."""

    selector: int  # Unsigned8
    parameters: Data

    def encode(self) -> bytes:
        """Return the octets; they are kept, since thousands of meters are asked for the same range."""
        try:
            return self._octets
        except AttributeError:
            pass  # for the first time
        octets = bytes((self.selector,)) + encode_data(self.parameters)
        object.__setattr__(self, "_octets", octets)
        return octets


class AttributeWithSelection(NamedTuple):
    """Cosem-Attribute-Descriptor-With-Selection, an item of the lists of GET and SET."""

    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    @classmethod
    def decode(cls, reader: Reader) -> AttributeWithSelection:
        """Read one."""
        return cls(AttributeDescriptor.decode(reader), decode_access(reader))

    def encode(self) -> bytes:
        """Return 10 octets or more."""
        return self.attribute.encode() + encode_access(self.access)


class GetRequestNormal(NamedTuple):
    """GET one attribute."""

    invoke: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    @classmethod
    def decode_body(cls, reader: Reader) -> GetRequestNormal:
        """Read what follows C0 01."""
        return cls(reader.u8(), AttributeDescriptor.decode(reader), decode_access(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return get_request(*self)


def get_request(invoke: int, attribute: AttributeDescriptor, access: SelectiveAccess | None = None) -> bytes:
    """Return the APDU of a `GetRequestNormal`."""
    if access is None:
        return b"\xc0\x01%c%b" % (invoke, _attribute_alone(attribute))
    return bytes((0xC0, 0x01, invoke)) + attribute.encode() + encode_access(access)


class GetRequestNext(NamedTuple):
    """Ask for the block after `block_number`."""

    invoke: int
    block_number: int  # Unsigned32, the one received last

    @classmethod
    def decode_body(cls, reader: Reader) -> GetRequestNext:
        """Read what follows C0 02."""
        return cls(reader.u8(), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU, 7 octets."""
        return _NEXT.pack(0xC0, 0x02, self.invoke, self.block_number)


@dataclass(frozen=True, slots=True)
class GetRequestWithList:
    """GET several attributes at once."""

    invoke: int
    attributes: tuple[AttributeWithSelection, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> GetRequestWithList:
        """Read what follows C0 03."""
        return cls(reader.u8(), decode_list(reader, AttributeWithSelection.decode, 10))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC0, 0x03, self.invoke)) + encode_list([item.encode() for item in self.attributes])


class GetResponseNormal(NamedTuple):
    """The whole answer to a GET: `result` is the encoded Data, to the end of the APDU, or the refusal."""

    invoke: int
    result: bytes | DataAccessResult

    @classmethod
    def decode_body(cls, reader: Reader) -> GetResponseNormal:
        """Read what follows C4 01. Whoever decodes the Data finds out whether it is whole."""
        invoke = reader.u8()
        if _is_data(reader):
            if not reader.remaining:
                raise DecodeError("a get-response without data")
            return cls(invoke, reader.rest())
        return cls(invoke, decode_data_access_result(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        result = self.result
        if isinstance(result, DataAccessResult):
            return bytes((0xC4, 0x01, self.invoke, 0x01, result))
        return bytes((0xC4, 0x01, self.invoke, 0x00)) + result


class GetResponseWithDatablock(NamedTuple):
    """One block of a long answer: `result` is its raw octets, or the refusal that ends the transfer."""

    invoke: int
    last: bool
    block_number: int  # Unsigned32, the first is 1
    result: bytes | DataAccessResult

    @classmethod
    def decode_body(cls, reader: Reader) -> GetResponseWithDatablock:
        """Read what follows C4 02."""
        invoke = reader.u8()
        last = reader.u8() != 0
        block_number = reader.unsigned(4)
        if _is_data(reader):
            return cls(invoke, last, block_number, reader.take(reader.length()))
        return cls(invoke, last, block_number, decode_data_access_result(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        invoke, last, block_number, result = self
        if isinstance(result, DataAccessResult):
            return _DATABLOCK.pack(0xC4, 0x02, invoke, last, block_number, 1) + bytes((result,))
        return (
            _DATABLOCK.pack(0xC4, 0x02, invoke, last, block_number, 0) + encode_length(len(result)) + result
        )


@dataclass(frozen=True, slots=True)
class GetResponseWithList:
    """The answers to a list, in its order. Decoded here: nothing else tells where one ends."""

    invoke: int
    results: tuple[Data | DataAccessResult, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> GetResponseWithList:
        """Read what follows C4 03."""
        return cls(reader.u8(), decode_list(reader, decode_get_data_result, 2))

    def encode(self) -> bytes:
        """Return the APDU."""
        results = [encode_get_data_result(result) for result in self.results]
        return bytes((0xC4, 0x03, self.invoke)) + encode_list(results)


GetRequest: TypeAlias = GetRequestNormal | GetRequestNext | GetRequestWithList
GetResponse: TypeAlias = GetResponseNormal | GetResponseWithDatablock | GetResponseWithList


# --- parts that SET and ACTION have too -------------------------------------------------------------


def decode_list(reader: Reader, decode: Callable[[Reader], _T], octets: int) -> tuple[_T, ...]:
    """Read a SEQUENCE OF; DecodeError if it declares more than can be there at `octets` an item or more."""
    count = reader.length()
    if count * octets > reader.remaining:
        raise DecodeError(
            f"{count} items declared at offset {reader.position}, {reader.remaining} octets are left"
        )
    return tuple([decode(reader) for _ in range(count)])


def encode_list(items: Sequence[bytes]) -> bytes:
    """Return a SEQUENCE OF items that are encoded already."""
    return encode_length(len(items)) + b"".join(items)


def decode_access(reader: Reader) -> SelectiveAccess | None:
    """Read Selective-Access-Descriptor OPTIONAL."""
    return SelectiveAccess(reader.u8(), decode_data(reader)) if reader.u8() else None


def encode_access(access: SelectiveAccess | None) -> bytes:
    """Return Selective-Access-Descriptor OPTIONAL."""
    if access is None:
        return b"\x00"
    return b"\x01" + access.encode()


def decode_data_access_result(reader: Reader) -> DataAccessResult:
    """Read a Data-Access-Result; DecodeError if the standard does not name it."""
    code = reader.u8()
    try:
        return DataAccessResult(code)
    except ValueError as error:
        raise DecodeError(f"data-access-result {code} is not defined") from error


def encode_get_data_result(result: Data | DataAccessResult) -> bytes:
    """Return a Get-Data-Result."""
    if isinstance(result, DataAccessResult):
        return bytes((0x01, result))
    return b"\x00" + encode_data(result)


def decode_get_data_result(reader: Reader) -> Data | DataAccessResult:
    """Read a Get-Data-Result."""
    return decode_data(reader) if _is_data(reader) else decode_data_access_result(reader)


def _is_data(reader: Reader) -> bool:
    choice = reader.u8()
    if choice > 1:
        raise DecodeError(f"choice {choice} of a get-data-result is not defined")
    return choice == 0
