"""xDLMS APDUs, explained field by field (IEC 62056-53 clause 8, abstract syntax)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from iondlms.codec.axdr import decode
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.cosem import BY_ENTRY, BY_RANGE
from iondlms.errors import DataAccessResult, DecodeError, RemoteError
from iondlms.trace.conversation import Conversation
from iondlms.trace.data import Subject, write_data
from iondlms.trace.initiate import (
    write_confirmed_service_error,
    write_exception_response,
    write_initiate_request,
    write_initiate_response,
)
from iondlms.trace.names import attribute_name, class_name, code_name, method_name, obis_text
from iondlms.trace.scribe import Scribe, message_of
from iondlms.xdlms import (
    APDU_NAMES,
    ActionResult,
    DataBlock,
    GetResponseNormal,
    GetResponseWithDatablock,
    decode_apdu,
)

__all__ = ["FROM_CLIENT", "write_apdu"]

Writer = Callable[[Scribe, Conversation], None]

FROM_CLIENT: Final = frozenset((0x01, 0x05, 0x06, 0x60, 0x62, 0xC0, 0xC1, 0xC3))
_CIPHERED: Final = ("glo-", "ded-")
_RANGE: Final = ("restricting_object", "from_value", "to_value", "selected_values")
_ENTRY: Final = ("from_entry", "to_entry", "from_selected_value", "to_selected_value")


def write_apdu(scribe: Scribe, conversation: Conversation) -> None:
    """Write one APDU that takes all the octets left."""
    with scribe.group("APDU", scribe.remaining) as node:
        if not scribe.remaining:
            raise scribe.refuse("tag", "an APDU expected, nothing left")
        tag = scribe.reader.peek()
        name = APDU_NAMES.get(tag)
        if name is None:
            raise scribe.refuse("tag", f"{tag:02X} is not the tag of an xDLMS APDU")
        node.label = name
        scribe.take(1, "tag", name)
        _write_body(scribe, conversation, tag, name)
    if node.children[0].value:
        kind = node.children[1].value if tag in _CHOICES and len(node.children) > 1 else ""
        node.label = f"{name}-{kind.split(' ')[0]}" if kind else name
    if not node.errors:
        # The decoders have the last word: what they refuse is never shown as if it were right.
        error = _refusal(node.octets)
        if error is not None:
            node.error = error


def _write_body(scribe: Scribe, conversation: Conversation, tag: int, name: str) -> None:
    if tag in _PLAIN:
        _PLAIN[tag](scribe, conversation)
    elif tag in _CHOICES:
        choices = _CHOICES[tag]
        choice = scribe.reader.peek() if scribe.remaining else 0
        if scribe.remaining and choice not in choices:
            raise scribe.refuse("choice", f"choice {choice} of a {name} is not defined")
        scribe.unsigned(1, "choice", lambda number: f"{choices[number][0]} ({number})")
        scribe.unsigned(1, "invoke-id and priority", _invoke_text)
        choices[choice][1](scribe, conversation)
    elif name.startswith(_CIPHERED):
        with scribe.group("ciphered", scribe.length("length")):
            scribe.unsigned(1, "security control", _security_text)
            scribe.unsigned(4, "invocation counter")
            scribe.take(scribe.remaining, "ciphertext", lambda octets: f"{len(octets)} octets, not opened")
    else:
        scribe.take(scribe.remaining, "contents", lambda octets: f"{len(octets)} octets, not opened here")


def _refusal(octets: bytes) -> str | None:
    try:
        reader = Reader(octets)
        apdu = decode_apdu(reader)
        reader.end()
        if isinstance(apdu, GetResponseNormal) and isinstance(apdu.result, bytes):
            decode(apdu.result)
    except DecodeError as error:
        return message_of(error)
    return None


def _invoke_text(octet: int) -> str:
    confirmed = "confirmed" if octet & 0x40 else "unconfirmed"
    return f"invoke-id {octet & 0x0F}, {confirmed}, {'high' if octet & 0x80 else 'normal'} priority"


def _security_text(octet: int) -> str:
    parts = [name for bit, name in ((0x10, "authenticated"), (0x20, "encrypted")) if octet & bit]
    return f"suite {octet & 0x0F}, {' and '.join(parts) or 'plain'}"


# --- parts -----------------------------------------------------------------------------------------


def _attribute(scribe: Scribe) -> Subject:
    with scribe.group("attribute") as node:
        class_id = scribe.unsigned(2, "class", class_name)
        name = scribe.take(6, "instance", obis_text)
        octets = scribe.take(
            1, "attribute", lambda one: attribute_name(class_id, int.from_bytes(one, "big", signed=True))
        )
        subject = Subject(class_id, ObisCode(name), int.from_bytes(octets, "big", signed=True))
        node.value = str(subject)
    return subject


def _method(scribe: Scribe) -> None:
    with scribe.group("method") as node:
        class_id = scribe.unsigned(2, "class", class_name)
        name = scribe.take(6, "instance", obis_text)
        scribe.take(1, "method", lambda one: method_name(class_id, int.from_bytes(one, "big", signed=True)))
        number = int.from_bytes(scribe.since(scribe.position - 1), "big", signed=True)
        node.value = f"{class_name(class_id)} {obis_text(name)}, method {method_name(class_id, number)}"


def _access(scribe: Scribe) -> None:
    if not scribe.unsigned(1, "access selection", lambda octet: "yes" if octet else "none"):
        return
    names = {BY_RANGE: "range", BY_ENTRY: "entry"}
    selector = scribe.unsigned(
        1, "selector", lambda number: f"{number} by {names[number]}" if number in names else str(number)
    )
    members = {BY_RANGE: _RANGE, BY_ENTRY: _ENTRY}.get(selector, ())
    write_data(scribe, "parameters", None, members)


def _attribute_with_selection(scribe: Scribe) -> Subject:
    subject = _attribute(scribe)
    _access(scribe)
    return subject


def _list(scribe: Scribe, what: str, octets: int, write: Callable[[int], None]) -> None:
    count = scribe.length(f"count of {what}")
    if count * octets > scribe.remaining:
        raise scribe.refuse(what, f"{count} {what} declared, {scribe.remaining} octets are left")
    for index in range(count):
        write(index)


def _subjects(scribe: Scribe) -> tuple[Subject, ...]:
    subjects: list[Subject] = []
    _list(scribe, "attributes", 10, lambda _: subjects.append(_attribute_with_selection(scribe)))
    return tuple(subjects)


def _data_access_result(scribe: Scribe) -> int:
    return scribe.code("data-access-result", partial(code_name, DataAccessResult))


def _get_data_result(scribe: Scribe, subject: Subject | None) -> None:
    if not _is_data(scribe):
        _data_access_result(scribe)
        return
    write_data(scribe, "data" if subject is None else str(subject), subject)


def _is_data(scribe: Scribe) -> bool:
    if scribe.remaining and scribe.reader.peek() > 1:
        raise scribe.refuse("result", f"choice {scribe.reader.peek()} of a get-data-result is not defined")
    return not scribe.unsigned(1, "result", lambda choice: "data-access-result" if choice else "data")


def _last_and_number(scribe: Scribe) -> tuple[bool, int]:
    last = scribe.unsigned(1, "last block", lambda octet: "yes" if octet else "no")
    return bool(last), scribe.unsigned(4, "block number")


def _raw(scribe: Scribe) -> bytes:
    count = scribe.length("length of raw data")
    return scribe.take(count, "raw data", f"{count} octets")


def _request_block(
    scribe: Scribe, conversation: Conversation, subjects: tuple[Subject, ...] | None = None
) -> None:
    last, number = _last_and_number(scribe)
    raw = _raw(scribe)
    _remark(scribe, lambda: conversation.request_block(DataBlock(last, number, raw), subjects))


def _remark(scribe: Scribe, take: Callable[[], str]) -> None:
    try:
        remark = take()
    except RemoteError as error:
        scribe.note("block transfer", "", str(error))
        return
    if remark:
        scribe.note("block transfer", remark)


# --- GET -------------------------------------------------------------------------------------------


def _get_request_normal(scribe: Scribe, conversation: Conversation) -> None:
    subject = _attribute_with_selection(scribe)
    conversation.ask((subject,))


def _get_request_with_list(scribe: Scribe, conversation: Conversation) -> None:
    conversation.ask(_subjects(scribe))


def _get_response_normal(scribe: Scribe, conversation: Conversation) -> None:
    asked = conversation.asked
    _get_data_result(scribe, asked[0] if len(asked) == 1 else None)


def _get_response_with_datablock(scribe: Scribe, conversation: Conversation) -> None:
    last, number = _last_and_number(scribe)
    result: bytes | DataAccessResult
    if _is_data(scribe):
        result = _raw(scribe)
    else:
        code = _data_access_result(scribe)
        named = code_name(DataAccessResult, code) is not None
        result = DataAccessResult(code) if named else DataAccessResult.OTHER_REASON
    block = GetResponseWithDatablock(0, last, number, result)
    _remark(scribe, lambda: conversation.answer_block(block))


def _get_response_with_list(scribe: Scribe, conversation: Conversation) -> None:
    asked = conversation.asked

    def write(index: int) -> None:
        _get_data_result(scribe, asked[index] if index < len(asked) else None)

    _list(scribe, "results", 2, write)


# --- SET -------------------------------------------------------------------------------------------


def _set_request_normal(scribe: Scribe, conversation: Conversation) -> None:
    subject = _attribute_with_selection(scribe)
    conversation.ask(())
    write_data(scribe, "value", subject)


def _set_request_with_first_datablock(scribe: Scribe, conversation: Conversation) -> None:
    subject = _attribute_with_selection(scribe)
    _request_block(scribe, conversation, (subject,))


def _set_request_with_list(scribe: Scribe, conversation: Conversation) -> None:
    subjects = _subjects(scribe)
    conversation.ask(())

    def write(index: int) -> None:
        subject = subjects[index] if index < len(subjects) else None
        write_data(scribe, f"value {index + 1}", subject)

    _list(scribe, "values", 1, write)


def _set_request_with_list_and_first_datablock(scribe: Scribe, conversation: Conversation) -> None:
    _request_block(scribe, conversation, _subjects(scribe))


def _result_list(scribe: Scribe) -> None:
    _list(scribe, "results", 1, lambda _: void(_data_access_result(scribe)))


def _set_response_last(scribe: Scribe, _: Conversation) -> None:
    _data_access_result(scribe)
    _block_number(scribe, _)


def _set_response_last_with_list(scribe: Scribe, _: Conversation) -> None:
    _result_list(scribe)
    _block_number(scribe, _)


def _block_number(scribe: Scribe, _: Conversation) -> None:
    scribe.unsigned(4, "block number")


# --- ACTION ----------------------------------------------------------------------------------------


def _action_request_normal(scribe: Scribe, conversation: Conversation) -> None:
    conversation.ask(())
    _method(scribe)
    if scribe.unsigned(1, "parameters", lambda octet: "yes" if octet else "none"):
        write_data(scribe, "parameters")


def _methods(scribe: Scribe) -> None:
    _list(scribe, "methods", 9, lambda _: _method(scribe))


def _action_request_with_list(scribe: Scribe, _: Conversation) -> None:
    _methods(scribe)
    _list(scribe, "parameters", 1, lambda index: void(write_data(scribe, f"parameters {index + 1}")))


def _action_request_with_first_pblock(scribe: Scribe, conversation: Conversation) -> None:
    _method(scribe)
    _request_block(scribe, conversation, ())


def _action_request_with_list_and_first_pblock(scribe: Scribe, conversation: Conversation) -> None:
    _methods(scribe)
    _request_block(scribe, conversation, ())


def _outcome(scribe: Scribe) -> None:
    scribe.code("action-result", partial(code_name, ActionResult))
    if scribe.unsigned(1, "return parameters", lambda octet: "yes" if octet else "none"):
        _get_data_result(scribe, None)


def _action_response_with_pblock(scribe: Scribe, conversation: Conversation) -> None:
    last, number = _last_and_number(scribe)
    block = GetResponseWithDatablock(0, last, number, _raw(scribe))
    _remark(scribe, lambda: conversation.answer_block(block))


# --- short names: refused by these meters, so opened no further than a refusal needs -----------------


def _read_request(scribe: Scribe, _: Conversation) -> None:
    def write(_index: int) -> None:
        if scribe.unsigned(1, "access", lambda choice: {2: "variable-name"}.get(choice, str(choice))) != 2:
            scribe.take(scribe.remaining, "not opened here")
        else:
            scribe.take(2, "variable name", lambda octets: octets.hex().upper())

    count = scribe.length("count of variables")
    for index in range(count):
        if index and not scribe.remaining:
            break
        write(index)


def void(_: object) -> None:
    """Drop a value that a writer returns."""


_PLAIN: Final[dict[int, Writer]] = {
    0x01: lambda scribe, _: write_initiate_request(scribe),
    0x05: _read_request,
    0x08: lambda scribe, _: write_initiate_response(scribe),
    0x0E: lambda scribe, _: write_confirmed_service_error(scribe),
    0xD8: lambda scribe, _: write_exception_response(scribe),
}
_CHOICES: Final[dict[int, dict[int, tuple[str, Writer]]]] = {
    0xC0: {
        1: ("normal", _get_request_normal),
        2: ("next", _block_number),
        3: ("with-list", _get_request_with_list),
    },
    0xC1: {
        1: ("normal", _set_request_normal),
        2: ("with-first-datablock", _set_request_with_first_datablock),
        3: ("with-datablock", _request_block),
        4: ("with-list", _set_request_with_list),
        5: ("with-list-and-first-datablock", _set_request_with_list_and_first_datablock),
    },
    0xC3: {
        1: ("normal", _action_request_normal),
        2: ("next-pblock", _block_number),
        3: ("with-list", _action_request_with_list),
        4: ("with-first-pblock", _action_request_with_first_pblock),
        5: ("with-list-and-first-pblock", _action_request_with_list_and_first_pblock),
        6: ("with-pblock", _request_block),
    },
    0xC4: {
        1: ("normal", _get_response_normal),
        2: ("with-datablock", _get_response_with_datablock),
        3: ("with-list", _get_response_with_list),
    },
    0xC5: {
        1: ("normal", lambda scribe, _: void(_data_access_result(scribe))),
        2: ("datablock", _block_number),
        3: ("last-datablock", _set_response_last),
        4: ("last-datablock-with-list", _set_response_last_with_list),
        5: ("with-list", lambda scribe, _: _result_list(scribe)),
    },
    0xC7: {
        1: ("normal", lambda scribe, _: _outcome(scribe)),
        2: ("with-pblock", _action_response_with_pblock),
        3: ("with-list", lambda scribe, _: _list(scribe, "outcomes", 2, lambda _: _outcome(scribe))),
        4: ("next-pblock", _block_number),
    },
}
