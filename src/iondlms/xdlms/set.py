"""The SET service (IEC 62056-53 clause 8, abstract syntax).

The meter takes the normal request only; the others are decoded so that a refusal or a trace can name them.
`decode_body` of a PDU reads what follows its tag and choice; `iondlms.xdlms.apdu` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from iondlms.codec.axdr import Data, decode_data, encode_data
from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DataAccessResult
from iondlms.xdlms.get import (
    AttributeDescriptor,
    AttributeWithSelection,
    SelectiveAccess,
    decode_access,
    decode_data_access_result,
    decode_list,
    encode_access,
    encode_list,
)

__all__ = [
    "DataBlock",
    "SetRequest",
    "SetRequestNormal",
    "SetRequestWithDatablock",
    "SetRequestWithFirstDatablock",
    "SetRequestWithList",
    "SetRequestWithListAndFirstDatablock",
    "SetResponse",
    "SetResponseDatablock",
    "SetResponseLastDatablock",
    "SetResponseLastDatablockWithList",
    "SetResponseNormal",
    "SetResponseWithList",
]


class DataBlock(NamedTuple):
    """DataBlock-SA: a piece of encoded Data on its way to the server; SET and ACTION share it."""

    last: bool
    block_number: int  # Unsigned32
    raw: bytes

    @classmethod
    def decode(cls, reader: Reader) -> DataBlock:
        """Read one block."""
        return cls(reader.u8() != 0, reader.u32(), reader.take(reader.length()))

    def encode(self) -> bytes:
        """Return last-block, number, length and raw octets."""
        head = bytes((self.last,)) + self.block_number.to_bytes(4, "big")
        return head + encode_length(len(self.raw)) + self.raw


@dataclass(frozen=True, slots=True)
class SetRequestNormal:
    """SET one attribute."""

    invoke: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None
    value: Data

    @classmethod
    def decode_body(cls, reader: Reader) -> SetRequestNormal:
        """Read what follows C1 01."""
        invoke, attribute = reader.u8(), AttributeDescriptor.decode(reader)
        return cls(invoke, attribute, decode_access(reader), decode_data(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        head = bytes((0xC1, 0x01, self.invoke)) + self.attribute.encode()
        return head + encode_access(self.access) + encode_data(self.value)


@dataclass(frozen=True, slots=True)
class SetRequestWithFirstDatablock:
    """SET one attribute to a value that comes in blocks."""

    invoke: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None
    datablock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> SetRequestWithFirstDatablock:
        """Read what follows C1 02."""
        invoke, attribute = reader.u8(), AttributeDescriptor.decode(reader)
        return cls(invoke, attribute, decode_access(reader), DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        head = bytes((0xC1, 0x02, self.invoke)) + self.attribute.encode()
        return head + encode_access(self.access) + self.datablock.encode()


@dataclass(frozen=True, slots=True)
class SetRequestWithDatablock:
    """A further block of the value."""

    invoke: int
    datablock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> SetRequestWithDatablock:
        """Read what follows C1 03."""
        return cls(reader.u8(), DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC1, 0x03, self.invoke)) + self.datablock.encode()


@dataclass(frozen=True, slots=True)
class SetRequestWithList:
    """SET several attributes at once."""

    invoke: int
    attributes: tuple[AttributeWithSelection, ...]
    values: tuple[Data, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> SetRequestWithList:
        """Read what follows C1 04."""
        invoke, attributes = reader.u8(), decode_list(reader, AttributeWithSelection.decode, 10)
        return cls(invoke, attributes, decode_list(reader, decode_data, 1))

    def encode(self) -> bytes:
        """Return the APDU."""
        attributes = encode_list([item.encode() for item in self.attributes])
        return (
            bytes((0xC1, 0x04, self.invoke)) + attributes + encode_list(list(map(encode_data, self.values)))
        )


@dataclass(frozen=True, slots=True)
class SetRequestWithListAndFirstDatablock:
    """SET several attributes to values that come in blocks."""

    invoke: int
    attributes: tuple[AttributeWithSelection, ...]
    datablock: DataBlock

    @classmethod
    def decode_body(cls, reader: Reader) -> SetRequestWithListAndFirstDatablock:
        """Read what follows C1 05."""
        invoke, attributes = reader.u8(), decode_list(reader, AttributeWithSelection.decode, 10)
        return cls(invoke, attributes, DataBlock.decode(reader))

    def encode(self) -> bytes:
        """Return the APDU."""
        attributes = encode_list([item.encode() for item in self.attributes])
        return bytes((0xC1, 0x05, self.invoke)) + attributes + self.datablock.encode()


@dataclass(frozen=True, slots=True)
class SetResponseNormal:
    """The answer to a SET."""

    invoke: int
    result: DataAccessResult

    @classmethod
    def decode_body(cls, reader: Reader) -> SetResponseNormal:
        """Read what follows C5 01."""
        return cls(reader.u8(), decode_data_access_result(reader))

    def encode(self) -> bytes:
        """Return the APDU, 4 octets."""
        return bytes((0xC5, 0x01, self.invoke, self.result))


@dataclass(frozen=True, slots=True)
class SetResponseDatablock:
    """A block was taken; the next one, please."""

    invoke: int
    block_number: int

    @classmethod
    def decode_body(cls, reader: Reader) -> SetResponseDatablock:
        """Read what follows C5 02."""
        return cls(reader.u8(), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC5, 0x02, self.invoke)) + self.block_number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseLastDatablock:
    """The last block was taken, and this came of the SET."""

    invoke: int
    result: DataAccessResult
    block_number: int

    @classmethod
    def decode_body(cls, reader: Reader) -> SetResponseLastDatablock:
        """Read what follows C5 03."""
        return cls(reader.u8(), decode_data_access_result(reader), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC5, 0x03, self.invoke, self.result)) + self.block_number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseLastDatablockWithList:
    """The last block was taken, and this came of each SET of the list."""

    invoke: int
    results: tuple[DataAccessResult, ...]
    block_number: int

    @classmethod
    def decode_body(cls, reader: Reader) -> SetResponseLastDatablockWithList:
        """Read what follows C5 04."""
        return cls(reader.u8(), decode_list(reader, decode_data_access_result, 1), reader.u32())

    def encode(self) -> bytes:
        """Return the APDU."""
        results = encode_length(len(self.results)) + bytes(self.results)
        return bytes((0xC5, 0x04, self.invoke)) + results + self.block_number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseWithList:
    """What came of each SET of the list."""

    invoke: int
    results: tuple[DataAccessResult, ...]

    @classmethod
    def decode_body(cls, reader: Reader) -> SetResponseWithList:
        """Read what follows C5 05."""
        return cls(reader.u8(), decode_list(reader, decode_data_access_result, 1))

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes((0xC5, 0x05, self.invoke)) + encode_length(len(self.results)) + bytes(self.results)


SetRequest: TypeAlias = (
    SetRequestNormal
    | SetRequestWithFirstDatablock
    | SetRequestWithDatablock
    | SetRequestWithList
    | SetRequestWithListAndFirstDatablock
)
SetResponse: TypeAlias = (
    SetResponseNormal
    | SetResponseDatablock
    | SetResponseLastDatablock
    | SetResponseLastDatablockWithList
    | SetResponseWithList
)
