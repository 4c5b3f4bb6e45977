"""Hypothesis strategies of the xDLMS PDUs."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.codec.strategies import data_values, obis_codes

from iondlms.codec.axdr import encode_data
from iondlms.errors import DataAccessResult
from iondlms.xdlms import (
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResult,
    Apdu,
    AttributeDescriptor,
    AttributeWithSelection,
    ConfirmedServiceError,
    Conformance,
    DataBlock,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    MethodOutcome,
    SelectiveAccess,
    ServiceError,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
    StateError,
)

octet = st.integers(0, 0xFF)
unsigned16 = st.integers(0, 0xFFFF)
unsigned32 = st.integers(0, 0xFFFFFFFF)
integer8 = st.integers(-0x80, 0x7F)
data = data_values(4)
results = st.sampled_from(DataAccessResult)

attributes = st.builds(AttributeDescriptor, unsigned16, obis_codes(), integer8)
methods = st.builds(MethodDescriptor, unsigned16, obis_codes(), integer8)
accesses = st.none() | st.builds(SelectiveAccess, octet, data)
selections = st.builds(AttributeWithSelection, attributes, accesses)
blocks = st.builds(DataBlock, st.booleans(), unsigned32, st.binary(max_size=140))
outcomes = st.builds(MethodOutcome, st.sampled_from(ActionResult), st.none() | results | data)
conformances = st.integers(0, 0xFFFFFF).map(Conformance)


def tuples_of(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


initiate_requests = st.builds(
    InitiateRequest,
    conformances,
    unsigned16,
    octet,
    st.booleans(),
    st.none() | integer8,
    st.none() | st.binary(max_size=40),
)
initiate_responses = st.builds(
    InitiateResponse, conformances, unsigned16, octet, unsigned16, st.none() | integer8
)
exceptions = st.one_of(
    st.builds(
        ExceptionResponse,
        st.sampled_from(StateError),
        st.sampled_from([one for one in ServiceError if one is not ServiceError.INVOCATION_COUNTER_ERROR]),
    ),
    st.builds(
        ExceptionResponse,
        st.sampled_from(StateError),
        st.just(ServiceError.INVOCATION_COUNTER_ERROR),
        unsigned32,
    ),
)

# A get-response-normal is not among these: where its data ends, its octets alone do not tell.
BOUNDED: list[st.SearchStrategy[Apdu]] = [
    initiate_requests,
    initiate_responses,
    st.builds(ConfirmedServiceError, octet, octet, octet),
    st.builds(GetRequestNormal, octet, attributes, accesses),
    st.builds(GetRequestNext, octet, unsigned32),
    st.builds(GetRequestWithList, octet, tuples_of(selections)),
    st.builds(GetResponseWithDatablock, octet, st.booleans(), unsigned32, results | st.binary(max_size=300)),
    st.builds(GetResponseWithList, octet, tuples_of(results | data)),
    st.builds(SetRequestNormal, octet, attributes, accesses, data),
    st.builds(SetRequestWithFirstDatablock, octet, attributes, accesses, blocks),
    st.builds(SetRequestWithDatablock, octet, blocks),
    st.builds(SetRequestWithList, octet, tuples_of(selections), tuples_of(data)),
    st.builds(SetRequestWithListAndFirstDatablock, octet, tuples_of(selections), blocks),
    st.builds(SetResponseNormal, octet, results),
    st.builds(SetResponseDatablock, octet, unsigned32),
    st.builds(SetResponseLastDatablock, octet, results, unsigned32),
    st.builds(SetResponseLastDatablockWithList, octet, tuples_of(results), unsigned32),
    st.builds(SetResponseWithList, octet, tuples_of(results)),
    st.builds(ActionRequestNormal, octet, methods, st.none() | data),
    st.builds(ActionRequestNextPblock, octet, unsigned32),
    st.builds(ActionRequestWithList, octet, tuples_of(methods), tuples_of(data)),
    st.builds(ActionRequestWithFirstPblock, octet, methods, blocks),
    st.builds(ActionRequestWithListAndFirstPblock, octet, tuples_of(methods), blocks),
    st.builds(ActionRequestWithPblock, octet, blocks),
    st.builds(ActionResponseNormal, octet, outcomes),
    st.builds(ActionResponseWithPblock, octet, blocks),
    st.builds(ActionResponseWithList, octet, tuples_of(outcomes)),
    st.builds(ActionResponseNextPblock, octet, unsigned32),
    exceptions,
]

get_responses_normal = st.builds(GetResponseNormal, octet, results | data.map(encode_data))
