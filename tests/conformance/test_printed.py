"""The frames that the published case list prints, octet for octet, are those that the cases make."""

from __future__ import annotations

import pytest
from tests.conformance.memory import under_test

from iondlms.conformance import Bench
from iondlms.conformance.apdus import (
    GET_NAME,
    aarq,
    capture_object,
    date_time,
    get_request,
    initiate,
    low_level,
    set_request,
)
from iondlms.conformance.steps import Accepted, F, M, Refused
from iondlms.conformance.suites.link_frames import at, frmr, ua
from iondlms.conformance.suites.selection import WHOLE, by_entry
from iondlms.conformance.suites.time_setting import T0

AARQ = "601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0"
LSDU = "E6E600" + AARQ
YEARS = "090C07D00101FF00000000000000090C08330C1FFF173B3B000000000100"
UI = "E6E600" + GET_NAME

FRAMES = [  # (what the case makes, octets of the list, row)
    (F(0x93), "7EA00A00020023219318717E", "DL-01 SNRM"),
    (F(0x53), "7EA00A00020023215314B77E", "DL-01 DISC"),
    (F(0x11), "7EA00A00020023211102D67E", "DL-01 RR"),
    (M(0x11), "7EA00A21000200231158A77E", "DL-01 RR of the meter"),
    (M(0x73), "7EA00A2100020023734CE77E", "UA without information"),
    (M(0x1F), "7EA00A21000200231F264E7E", "DM"),
    (F(0x53, closing=False), "7EA00A00020023215314B7", "DL-02"),
    (F(0x93, opening=False), "A00A00020023219318717E", "DL-07"),
    (F(0x93, opening=False, closing=False), "A00A0002002321931871", "DL-09"),
    (F(0x93, format_type=0), "7E000A0002002321930A0C7E", "DL-11"),
    (F(0x93, format_type=8), "7E800A000200232193E8C77E", "DL-11"),
    (F(0x93, format_type=0xB), "7EB00A000200232193602A7E", "DL-11"),
    (F(0x93, format_type=0xE), "7EE00A000200232193E9147E", "DL-11"),
    (F(0x93, length=11), "7EA00B000200232193CDEE7E", "DL-12"),
    (F(0x93, length=9), "7EA00900020023219376D97E", "DL-12"),
    (F(0x93, length=0), "7EA0000002002321934F987E", "DL-12"),
    (F(0x93, length=4), "7EA00400020023219339F77E", "DL-12"),
    (F(0xFF), "7EA00A0002002321FF72D87E", "DL-13"),
    (frmr(0xFF, 1), "7EA00F210002002397C5B6FF00010D187E", "DL-13"),
    (frmr(0xBF, 1), "7EA00F210002002397C5B6BF00017B1E7E", "DL-16"),
    (frmr(0x19, 1), "7EA00F210002002397C5B619000175C77E", "DL-16"),
    (F(0x93, spoil_fcs=1), "7EA00A00020023219319717E", "DL-19"),
    (F(0x10, LSDU, spoil_fcs=1), f"7EA02E0002002321107ECB{LSDU}CBEA7E", "DL-20"),
    (F(0x10, LSDU, spoil_hcs=1), f"7EA02E0002002321107FCB{LSDU}85467E", "DL-21"),
    (F(0x93, destination=at(upper=0x10)), "7EA00A00200023219301077E", "DL-24"),
    (F(0x93, destination=at(upper=2)), "7EA00A000400232193804A7E", "DL-24"),
    (F(0x93, destination=at(lower=18)), "7EA00A000200252193C1A77E", "DL-25"),
    (F(0x93, destination=at(lower=18, octets=2)), "7EA0080225219364B27E", "DL-25"),
    (F(0x93, destination="000223"), "7EA00900022321934D057E", "DL-27"),
    (F(0x93, destination=at(octets=2)), "7EA00802232193BD647E", "DL-28"),
    (F(0x93, source="01"), "7EA00A0002002301932B527E", "DL-29"),
    (F(0x93, source="FF"), "7EA00A00020023FF9333B47E", "DL-29"),
    (
        F(0x03, "E6E600" + GET_NAME, destination="FEFEFEFF"),
        f"7EA01CFEFEFEFF2103C7EAE6E600{GET_NAME}12807E",
        "DL-31",
    ),
    (F(0x93, destination="00000001"), "7EA00A00000001219313D17E", "DL-32"),
    (F(0x93, destination=at(lower=0x3FFE)), "7EA00A0002FEFD219365377E", "DL-33"),
    (F(0x93, "818003050140"), "7EA0120002002321933D1A818003050140034F7E", "DL-40"),
    (F(0x93, "81800405000600"), "7EA013000200232193E885818004050006001ABA7E", "DL-41"),
    (F(0x12, LSDU), f"7EA02E0002002321126CE8{LSDU}CAEA7E", "DL-55"),
    (F(0x32, "E6E600" + GET_NAME), f"7EA01C0002002321329F28E6E600{GET_NAME}12807E", "DL-57"),
    (frmr(0x11, 3), "7EA00F210002002397C5B6110003A5227E", "DL-65"),
    (frmr(0x10, 4), "7EA00F210002002397C5B6100004C60C7E", "DL-53"),
    (F(0x00, LSDU), f"7EA02E000200232100FFDB{LSDU}CAEA7E", "DL-67"),
]


@pytest.fixture
def bench() -> Bench:
    meter = under_test()
    return Bench(meter.access, meter.cti, "hdlc", password=meter.password)


@pytest.mark.parametrize(("made", "printed", "row"), FRAMES)
def test_frame(bench: Bench, made: F | M, printed: str, row: str) -> None:
    assert made.octets(bench).hex().upper() == printed, row


def test_ua(bench: Bench) -> None:
    assert ua(bench).upper() == "7EA0212100020023734DF2818012050180060180070400000001080400000001533B7E"
    # DL-40: the client says that it sends no more than 64 octets, so that is what the meter receives.
    forty = "7EA0212100020023734DF2818012050180060140070400000001080400000001A09E7E"
    assert ua(bench, sent=64).upper() == forty


APDUS = [
    (aarq(), AARQ, "AP-04"),
    (
        aarq(before="80020780"),
        "602180020780" + AARQ[4:],
        "AP-05",
    ),
    (
        aarq(low_level(b"12345678")),
        "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738" + AARQ[26:],
        "AP-14",
    ),
    (
        aarq(information=initiate(head="00000100")),
        "601EA109060760857405080101BE11040F0100000100065F1F0400007E1F04B0",
        "AP-23",
    ),
    (
        aarq(information=initiate(head="00010000")),
        "601EA109060760857405080101BE11040F0100010000065F1F0400007E1F04B0",
        "AP-39",
    ),
    (get_request(15, "0-0:40.0.0", 1), "C001C1000F0000280000FF0100", "AP-04"),
    (get_request(8, "0-0:1.0.0", 10), "C001C100080000010000FF0A00", "AP-49"),
    (
        set_request("090C" + date_time(T0, day_of_week=0xFF)),
        "C101C100080000010000FF0200090C07EA0B16FF0C223800000000",
        "TS-01",
    ),
    (
        set_request("090C" + date_time(T0, -60)),
        "C101C100080000010000FF0200090C07EA0B16FF0D223800FFC400",
        "TS-02",
    ),
    (
        get_request(7, "1-0:99.1.0", 2, WHOLE),
        "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000" + YEARS,
        "SA-01",
    ),
    (
        get_request(7, "1-0:99.1.0", 2, by_entry(1, 0)),
        "C001C100070100630100FF020102020406000000010600000000120001120000",
        "SA-23",
    ),
    (capture_object(8, "0-0:1.0.0"), "020412000809060000010000FF0F02120000", "SA-01"),
]


@pytest.mark.parametrize(("made", "printed", "row"), APDUS)
def test_apdu(made: str, printed: str, row: str) -> None:
    assert made == printed, row


def test_aare(bench: Bench) -> None:
    # Over HDLC S is 007D and the public client gets 003014, where the list prints 0400 and 00301C.
    tail = "BE10040E0800065F1F0400003014007D0007"
    assert Accepted().octets(bench) == "6129A109060760857405080101A203020100A305A103020100" + tail
    assert Refused(13).octets(bench) == "6129A109060760857405080101A203020101A305A10302010D" + tail
    version = "611FA109060760857405080101A203020101A305A103020101BE0604040E010601"
    assert Refused(1, initiate_error=1).octets(bench) == version
