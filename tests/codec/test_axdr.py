from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codec.strategies import INTEGERS, bounds, compact_arrays, data_values, simple_values

from iondlms.codec.axdr import (
    MAX_DEPTH,
    NULL,
    VALUES_PER_OCTET,
    BitString,
    CompactArray,
    Data,
    Tag,
    TypeDescription,
    Value,
    decode,
    decode_data,
    encode_data,
)
from iondlms.codec.make import (
    array,
    bit_string,
    boolean,
    double_long,
    double_long_unsigned,
    enum,
    integer,
    long,
    long64,
    long64_unsigned,
    long_unsigned,
    octet_string,
    structure,
    unsigned,
    visible_string,
)
from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError, DlmsError, LocalError

CLOCK = octet_string(bytes.fromhex("0000010000FF"))


def column(class_id: int, name: str, attribute: int) -> Data:
    return structure(
        long_unsigned(class_id), octet_string(bytes.fromhex(name)), integer(attribute), long_unsigned(0)
    )


BY_HAND = "by hand from the abstract syntax, 62056-53"
VECTORS = [  # (octets, value, source)
    ("00", NULL, BY_HAND),
    ("0300", boolean(False), BY_HAND),
    ("0301", boolean(True), BY_HAND),
    ("0400", bit_string(0, 0), BY_HAND),
    ("0403A0", bit_string(3, 0b101), BY_HAND),
    ("040880", bit_string(8, 0x80), BY_HAND),
    ("040900 80", bit_string(9, 1), BY_HAND),
    ("0418 00301C", bit_string(24, 0x00301C), "ION profile 3: the conformance block"),
    ("05 FFFFFFFE", double_long(-2), BY_HAND),
    ("06 FFFFFFFE", double_long_unsigned(0xFFFFFFFE), BY_HAND),
    ("0900", octet_string(b""), BY_HAND),
    ("0908 3130333339353631", octet_string(b"10339561"), "vectors.md 8, a real meter"),
    ("0908 3132303030303137", octet_string(b"12000017"), "vectors.md 21, a real meter"),
    ("0A02 41E9", visible_string("A\xe9"), BY_HAND),
    ("0A0B 4149444F4E5F5630303031", visible_string("AIDON_V0001"), "notima/DLMS-COSEM, an Aidon meter"),
    ("0C03 41C3A9", Data(Tag.UTF8_STRING, "A\xe9"), BY_HAND),
    ("0D 42", Data(Tag.BCD, 0x42), BY_HAND),
    ("0F FF", integer(-1), BY_HAND),
    ("10 FF00", long(-256), BY_HAND),
    ("10 005D", long(93), "notima/DLMS-COSEM, an Aidon meter"),
    ("11 FF", unsigned(255), BY_HAND),
    ("12 0078", long_unsigned(120), "vectors.md 44"),
    ("12 FFFF", long_unsigned(0xFFFF), "ION profile 4: status invalid"),
    ("14 FFFFFFFFFFFFFFFF", long64(-1), BY_HAND),
    ("15 00000000000163D9", long64_unsigned(91097), "vectors.md 52, a real meter"),
    ("16 1E", enum(30), "62056-62: Wh"),
    ("17 3FC00000", Data(Tag.FLOAT32, 1.5), BY_HAND + ", IEEE 754"),
    ("18 C000000000000000", Data(Tag.FLOAT64, -2.0), BY_HAND + ", IEEE 754"),
    ("17 7F800000", Data(Tag.FLOAT32, math.inf), BY_HAND + ", IEEE 754"),
    (
        "19 07E2010A03131C2A47FFC400",
        Data(Tag.DATE_TIME, bytes.fromhex("07E2010A03131C2A47FFC400")),
        "vectors.md 60",
    ),
    ("1A 07E2010A03", Data(Tag.DATE, bytes.fromhex("07E2010A03")), BY_HAND),
    ("1B 131C2A47", Data(Tag.TIME, bytes.fromhex("131C2A47")), BY_HAND),
    ("1C 80", Data(Tag.DELTA_INTEGER, -128), BY_HAND),
    ("1D FFFF", Data(Tag.DELTA_LONG, -1), BY_HAND),
    ("1E FFFFFF00", Data(Tag.DELTA_DOUBLE_LONG, -256), BY_HAND),
    ("1F 80", Data(Tag.DELTA_UNSIGNED, 128), BY_HAND),
    ("20 FFFF", Data(Tag.DELTA_LONG_UNSIGNED, 65535), BY_HAND),
    ("21 FFFFFF00", Data(Tag.DELTA_DOUBLE_LONG_UNSIGNED, 0xFFFFFF00), BY_HAND),
    ("FF", Data(Tag.DONT_CARE, None), BY_HAND),
    ("0100", array([]), "vectors.md 61: a range without rows"),
    ("0200", structure(), BY_HAND),
    ("0202 0F00 1623", structure(integer(0), enum(35)), "vectors.md 53, a real meter: scaler and V"),
    (
        "0203 0906 0100010700FF 06 00000552 0202 0F00 161B",
        structure(
            octet_string(bytes.fromhex("0100010700FF")),
            double_long_unsigned(0x552),
            structure(integer(0), enum(27)),
        ),
        "notima/DLMS-COSEM, an Aidon meter",
    ),
    (
        "0102 0204 120008 0906 0000010000FF 0F02 120000 0204 120003 0906 0101151900FF 0F02 120000",
        array([column(8, "0000010000FF", 2), column(3, "0101151900FF", 2)]),
        "vectors.md 45: capture_objects",
    ),
    (
        "0204020412000809060000010000FF0F02120000090C07E10A010700000000FFC480090C07E10A010701000000FFC4800100",
        structure(
            column(8, "0000010000FF", 2),
            octet_string(bytes.fromhex("07E10A010700000000FFC480")),
            octet_string(bytes.fromhex("07E10A010701000000FFC480")),
            array([]),
        ),
        "vectors.md 90: a range, as a selector's parameter",
    ),
    (
        "13 02031906 06 28 07E0070A0708000000003C08000000000000032A07E0070A07081E0000003C080000000100000334",
        Data(
            Tag.COMPACT_ARRAY,
            CompactArray(
                TypeDescription(
                    Tag.STRUCTURE,
                    (
                        TypeDescription(Tag.DATE_TIME),
                        TypeDescription(Tag.DOUBLE_LONG_UNSIGNED),
                        TypeDescription(Tag.DOUBLE_LONG_UNSIGNED),
                    ),
                ),
                bytes.fromhex(
                    "07E0070A0708000000003C08 00000000 0000032A 07E0070A07081E0000003C08 00000001 00000334"
                ),
            ),
        ),
        "cjhdev/dlms_trouble, examples/working_with_data",
    ),
    (
        "13 01 0002 11 04 01020304",
        Data(
            Tag.COMPACT_ARRAY,
            CompactArray(TypeDescription(Tag.ARRAY, (TypeDescription(Tag.UNSIGNED),), 2), b"\1\2\3\4"),
        ),
        BY_HAND,
    ),
]


@pytest.mark.parametrize(("octets", "value", "source"), VECTORS)
def test_vector(octets: str, value: Data, source: str) -> None:
    assert decode(bytes.fromhex(octets)) == value, source
    assert encode_data(value) == bytes.fromhex(octets), source


def test_every_type_of_the_choice_has_a_vector() -> None:
    assert {value.tag for _, value, _ in VECTORS} == set(Tag)
    assert {tag.value for tag in Tag} == {*range(7), 9, 10, 12, 13, *range(15, 34), 255}


READ_ONLY = [  # forms that others send and we do not write: (octets, value, source)
    ("03FF", boolean(True), "A-XDR: any octet but 00 is true"),
    ("0403BF", bit_string(3, 0b101), "X.690 8.6.2.4: unused bits may be anything"),
    ("0981 03 414243", octet_string(b"ABC"), "a length longer than it need be"),
    ("0984 00000003 414243", octet_string(b"ABC"), "the same"),
    ("0182 0001 00", array([NULL]), "the same, of a count"),
    ("0483 000008 FF", bit_string(8, 0xFF), "the same, in bits"),
]


@pytest.mark.parametrize(("octets", "value", "source"), READ_ONLY)
def test_forms_that_only_others_write(octets: str, value: Data, source: str) -> None:
    assert decode(bytes.fromhex(octets)) == value, source
    assert decode(encode_data(value)) == value


def test_compact_array_gives_its_elements() -> None:
    value = decode(bytes.fromhex("13 02 03 10 00 09 0B 0001 02 4142 FFFE 00 0003 00"))
    assert value.items() == (
        structure(long(1), NULL, octet_string(b"AB")),
        structure(long(-2), NULL, octet_string(b"")),
        structure(long(3), NULL, octet_string(b"")),
    )


@settings(max_examples=60)
@given(compact_arrays())
def test_compact_array_of_any_description(pair: tuple[CompactArray, tuple[Data, ...]]) -> None:
    compact, items = pair
    assert compact.items() == items
    octets = encode_data(Data(Tag.COMPACT_ARRAY, compact))
    assert decode(octets).items() == items
    for cut in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(octets[:cut])


@settings(max_examples=60)
@given(data_values())
def test_round_trip_and_no_shorter_reading(value: Data) -> None:
    octets = encode_data(value)
    assert decode(octets) == value
    for cut in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(octets[:cut])


@settings(max_examples=40)
@given(data_values(), st.binary(min_size=1, max_size=5))
def test_surplus_octets_are_an_error_to_a_whole_message_only(value: Data, surplus: bytes) -> None:
    octets = encode_data(value) + surplus
    with pytest.raises(DecodeError, match="surplus"):
        decode(octets)
    reader = Reader(octets)
    assert decode_data(reader) == value
    assert reader.rest() == surplus


@settings(max_examples=40)
@given(st.lists(data_values(max_leaves=4), max_size=4))
def test_values_stand_one_after_the_other(values: list[Data]) -> None:
    reader = Reader(b"".join(map(encode_data, values)))
    assert [decode_data(reader) for _ in values] == values
    reader.end()


@given(st.binary(max_size=60))
def test_random_octets_raise_decode_error_only(octets: bytes) -> None:
    try:
        value = decode(octets)
    except DecodeError:
        return
    assert repr(decode(encode_data(value))) == repr(value)  # repr: NaN equals itself there
    assert str(value)


@settings(max_examples=40)
@given(data_values(), st.data())
def test_one_changed_octet_raises_decode_error_only(value: Data, data: st.DataObject) -> None:
    octets = bytearray(encode_data(value))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(octets))
    except DecodeError:
        return


@pytest.mark.parametrize("number", sorted(set(range(256)) - {tag.value for tag in Tag}))
def test_tags_that_are_not_defined(number: int) -> None:
    for octets in (bytes((number, 0, 0)), bytes((1, 1, number, 0)), bytes((0x13, number, 0))):
        with pytest.raises(DecodeError, match=str(number)):
            decode(octets)


def test_utf8_that_is_none() -> None:
    with pytest.raises(DecodeError, match="UTF-8"):
        decode(bytes.fromhex("0C02 C341"))


@pytest.mark.parametrize(("tag", "octets", "signed"), INTEGERS)
def test_integers_up_to_both_ends(tag: Tag, octets: int, signed: bool) -> None:
    least, greatest = bounds(octets, signed)
    for value in (least, greatest):
        data = Data(tag, value)
        assert encode_data(data) == bytes((tag,)) + value.to_bytes(octets, "big", signed=signed)
        assert decode(encode_data(data)).integer() == value
    for value in (least - 1, greatest + 1):
        with pytest.raises(LocalError, match=tag.name.lower()):
            encode_data(Data(tag, value))


def test_nan_stays_nan() -> None:
    for tag in (Tag.FLOAT32, Tag.FLOAT64):
        value = decode(encode_data(Data(tag, math.nan))).value
        assert isinstance(value, float)
        assert math.isnan(value)


# --- attacks (conformance RB-04, RB-05) ------------------------------------------------------------


def nested(tag: Tag, levels: int) -> bytes:
    return bytes((tag, 1)) * levels + b"\x00"


@pytest.mark.parametrize("tag", [Tag.ARRAY, Tag.STRUCTURE])
def test_nesting_ends_at_the_limit(tag: Tag) -> None:
    value = decode(nested(tag, MAX_DEPTH))
    assert encode_data(value) == nested(tag, MAX_DEPTH)
    for levels in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(DecodeError, match="nested deeper than 16"):
            decode(nested(tag, levels))
    with pytest.raises(LocalError, match="nested deeper than 16"):
        encode_data(Data(tag, (value,)))


def test_a_deep_value_of_our_own_is_refused_and_not_followed() -> None:
    value = NULL
    for _ in range(10_000):
        value = structure(value)
    with pytest.raises(LocalError, match="nested deeper"):
        encode_data(value)


@pytest.mark.parametrize("member", [b"\x02\x01", b"\x01\x00\x01"])
def test_a_description_nests_no_deeper_than_what_it_describes(member: bytes) -> None:
    def compact(levels: int) -> bytes:
        return b"\x13" + member * levels + b"\x11\x01\x07"

    value = decode(compact(MAX_DEPTH - 1))
    assert encode_data(value) == compact(MAX_DEPTH - 1)
    assert len(value.items()) == 1
    for levels in (MAX_DEPTH, 10_000):
        with pytest.raises(DecodeError, match="nested deeper than 16"):
            decode(compact(levels))
    # and a compact-array counts as a level itself
    assert decode(nested(Tag.ARRAY, MAX_DEPTH - 1)[:-1] + compact(0))
    with pytest.raises(DecodeError, match="nested deeper than 16"):
        decode(nested(Tag.ARRAY, MAX_DEPTH)[:-1] + compact(0))


BOMB = 1000  # octets
ATTACKS = [  # (octets, what)
    (bytes.fromhex("01 84FFFFFFFF"), "array count"),
    (bytes.fromhex("01 84FFFFFFFF") + bytes(BOMB), "array count over null-data"),
    (bytes.fromhex("02 84FFFFFFFF") + bytes(BOMB), "structure count"),
    (bytes.fromhex("02 82FFFF") * 8 + bytes(BOMB), "counts in counts"),
    (bytes.fromhex("04 84FFFFFFFF") + bytes(BOMB), "bit-string"),
    (bytes.fromhex("09 84FFFFFFFF") + bytes(BOMB), "octet-string"),
    (bytes.fromhex("0A 84FFFFFFFF") + bytes(BOMB), "visible-string"),
    (bytes.fromhex("0C 84FFFFFFFF") + bytes(BOMB), "utf8-string"),
    (bytes.fromhex("09 80") + bytes(BOMB), "indefinite length"),
    (bytes.fromhex("09 88 FFFFFFFFFFFFFFFF") + bytes(BOMB), "a length of 8 octets"),
    (bytes.fromhex("13 02 84FFFFFFFF") + bytes(BOMB), "members of a description"),
    (bytes.fromhex("13 11 84FFFFFFFF") + bytes(BOMB), "contents"),
    (bytes.fromhex("13 00 8203E8") + bytes(BOMB), "elements without octets"),
    (bytes.fromhex("13 0200 8203E8") + bytes(BOMB), "empty structures"),
    (bytes.fromhex("13 01 0000 11 8203E8") + bytes(BOMB), "empty arrays"),
    (bytes.fromhex("13 01 FFFF 00 8203E8") + bytes(BOMB), "array of null-data"),
    (bytes.fromhex("13" + "01 FFFF" * 2 + "00 8203E8") + bytes(BOMB), "65535 * 65535 null-data"),
    (bytes.fromhex("13" + "01 03E8" * 12 + "00 8203E8") + bytes(BOMB), "1000 ** 12 null-data"),
    (bytes.fromhex("13" + "01 03E8" * 12 + "0200 8203E8") + bytes(BOMB), "1000 ** 12 structures"),
    (bytes.fromhex("13" + "01 FFFF" * 12 + "11 8203E8") + bytes(BOMB), "65535 ** 12 unsigned"),
    (
        bytes.fromhex("13 01 FFFF 02 03 00 FF 00 8203E8") + bytes(BOMB),
        "array of structures of null-data",
    ),
    (
        bytes.fromhex("13 02 8201F4") + bytes(499) + b"\x11" + bytes.fromhex("8201F4") + bytes(500),
        "500 elements of 500 members, of which one has an octet",
    ),
    (bytes.fromhex("13 02 02 11 01 FFFF 00 01 00"), "65535 null-data beside one octet"),
    (bytes.fromhex("13 13 11 01 00 01 00"), "compact-array in compact-array"),
    (bytes.fromhex("13 0202 12 11 04 00000000"), "not a whole number of elements"),
]


@pytest.mark.parametrize(("octets", "what"), ATTACKS, ids=[what for _, what in ATTACKS])
def test_attacks_end_soon_and_small(octets: bytes, what: str) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(DecodeError):
            decode(octets)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20, what  # RB-04
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1, what  # RB-04; a few ms in truth


@pytest.mark.parametrize("tag", ["01", "02", "1302"])
def test_a_count_that_lies_is_refused_before_any_element_is_read(tag: str) -> None:
    for octets in (tag + "05 00 00 00 00", tag + "84FFFFFFFF" + "07"):  # 07: no tag, if it were read
        with pytest.raises(DecodeError, match="elements declared"):
            decode(bytes.fromhex(octets))


def test_described_null_data_is_fine_in_measure() -> None:
    members = VALUES_PER_OCTET - 2  # beside the structure and the one value with an octet
    octets = bytes((0x13, 2, members + 1)) + bytes(members) + b"\x11\x03\x01\x02\x03"
    rows = decode(octets).items()
    assert [row.items()[-1] for row in rows] == [unsigned(1), unsigned(2), unsigned(3)]
    assert all(len(row.items()) == members + 1 for row in rows)
    too_many = bytes((0x13, 2, members + 2)) + bytes(members + 1) + b"\x11\x03\x01\x02\x03"
    with pytest.raises(DecodeError, match="more than 17 values an octet"):
        decode(too_many)


def test_a_message_of_many_values_costs_in_proportion() -> None:
    # the worst of the plain forms: two octets buy one tuple each
    tracemalloc.start()
    try:
        value = decode(bytes.fromhex("01 8207D0") + b"\x02\x00" * 2000)
        assert len(value.items()) == 2000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


# --- values of our own ------------------------------------------------------------------------------

WRONG_VALUES: list[tuple[Tag, Value]] = [
    (Tag.NULL_DATA, 5),
    (Tag.DONT_CARE, b""),
    (Tag.BOOLEAN, 1),
    (Tag.BOOLEAN, None),
    (Tag.BOOLEAN, "no"),
    (Tag.BIT_STRING, 5),
    (Tag.BIT_STRING, b"\x00"),
    (Tag.BIT_STRING, BitString(9, b"\x00")),
    (Tag.BIT_STRING, BitString(3, b"\xff")),
    (Tag.BIT_STRING, BitString(-7, b"")),
    (Tag.LONG, None),
    (Tag.LONG, 1.0),
    (Tag.LONG, "1"),
    (Tag.UNSIGNED, -1),
    (Tag.OCTET_STRING, "text"),
    (Tag.OCTET_STRING, None),
    (Tag.OCTET_STRING, 7),
    (Tag.VISIBLE_STRING, b"octets"),
    (Tag.VISIBLE_STRING, "\u20ac"),
    (Tag.UTF8_STRING, "\ud800"),
    (Tag.FLOAT32, 1e300),
    (Tag.FLOAT64, "1"),
    (Tag.DATE_TIME, bytes(11)),
    (Tag.DATE, bytes(6)),
    (Tag.TIME, bytes(5)),
    (Tag.ARRAY, None),
    (Tag.ARRAY, 3),
    (Tag.STRUCTURE, "text"),
    (Tag.STRUCTURE, b"octets"),
    (Tag.COMPACT_ARRAY, b""),
    (Tag.COMPACT_ARRAY, ()),
    (Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.LONG), b"\x00")),
    (Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.NULL_DATA), b"\x00")),
    (Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.COMPACT_ARRAY), b"")),
    (Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.ARRAY), b"")),
    (Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.ARRAY, (TypeDescription(Tag.LONG),), 65536), b"")),
]


@pytest.mark.parametrize(("tag", "value"), WRONG_VALUES)
def test_a_value_that_does_not_fit_its_tag_is_a_local_error(tag: Tag, value: Value) -> None:
    with pytest.raises(LocalError, match=tag.name.lower()):
        encode_data(Data(tag, value))
    with pytest.raises(LocalError):
        encode_data(structure(unsigned(1), array([Data(tag, value)])))


@given(simple_values(), st.sampled_from(list(Tag)))
def test_any_value_under_any_tag_is_sent_readably_or_refused(value: Data, tag: Tag) -> None:
    try:
        octets = encode_data(Data(tag, value.value))
    except LocalError:
        return
    assert decode(octets).tag is tag


@pytest.mark.parametrize(("length", "value"), [(3, 8), (0, 1), (8, -1), (-1, 0)])
def test_bit_string_bounds(length: int, value: int) -> None:
    with pytest.raises(LocalError):
        bit_string(length, value)


def test_a_value_read_as_what_it_is_not() -> None:
    wrong: list[Callable[[], object]] = [
        octet_string(b"").items,
        NULL.items,
        boolean(True).integer,
        Data(Tag.FLOAT32, 1.0).integer,
        octet_string(b"\x01").integer,
        visible_string("A").octets,
        bit_string(8, 1).octets,
        array([]).octets,
        unsigned(1).octets,
    ]
    for read in wrong:
        with pytest.raises(DlmsError, match="expected, not") as caught:
            read()
        assert isinstance(caught.value, DecodeError)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NULL, "null-data"),
        (long_unsigned(120), "long-unsigned 120"),
        (CLOCK, "octet-string 00 00 01 00 00 FF"),
        (structure(integer(0), enum(35)), "structure {integer 0, enum 35}"),
        (array([]), "array {}"),
    ],
)
def test_text(value: Data, text: str) -> None:
    assert str(value) == text
