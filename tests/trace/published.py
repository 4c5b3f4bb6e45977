"""Published octets that the explanations are tried on, with the facts that their text must hold."""

from __future__ import annotations

from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"

# What somebody got wrong on purpose, or a meter by mistake.
FAULTY = {
    "7EA014090002FEFF52A32AE6E700C501C1010D49607E",  # set-response with an octet too many
    "7EA0090002052193AFD07E",  # SNRM with an address of three octets
}


def framed() -> list[tuple[str, str]]:
    """Octets and meaning of all rows of the vector files."""
    rows = []
    for name in ("hdlc.txt", "wrapper.txt"):
        for line in (VECTORS / name).read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                columns = line.split(" | ")
                rows.append((columns[0], columns[-2]))
    return rows


# octets, facts, where published
BARE = [
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F"
            "1F0400007E1F04B0"
        ),
        ["AARQ", "logical names, no ciphering", "low level security", "********", "PDU size: 1200", "get"],
        "Green Book encoding example",
    ),
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080205AC0A80084B35366956616759BE10040E01000000065F"
            "1F0400007E1F04B0"
        ),
        ["high level security, GMAC"],
        "Green Book encoding example",
    ),
    (
        (
            "6066A109060760857405080103A60A04084D4D4D0000BC614E8A0207808B0760857405080201AC0A8008313233343536"
            "3738BE34043221303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D"
            "39EE6FDB8E356855"
        ),
        ["logical names, with ciphering", "glo-initiate-request", "authenticated and encrypted", "19088743"],
        "Green Book encoding example",
    ),
    (
        "6129A109060760857405080101A203020101A305A103020102BE10040E0800065F1F040000501F01F40007",
        [
            "AARE",
            "rejected-permanent (1)",
            "application-context-name-not-supported (2)",
            "0007 logical names",
        ],
        "Green Book encoding example",
    ),
    (
        "611FA109060760857405080101A203020101A305A103020101BE0604040E010601",
        ["no-reason-given (1)", "confirmed-service-error", "DLMS-version-too-low (1)"],
        "Green Book encoding example",
    ),
    (
        (
            "6142A109060760857405080101A203020100A305A10302010E88020780890760857405080205AA0A8008503677524A323146"
            "BE10040E0800065F1F040000501F01F40007"
        ),
        ["authentication-required (14)", '"P6wRJ21F"', "responder-acse-requirements: authentication"],
        "Green Book encoding example",
    ),
    ("0800065F1F040000501F01F40007", ["initiate-response", "PDU size: 500"], "Green Book encoding example"),
    (
        "01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0",
        ["initiate-request", "dedicated key: yes", "16 octets"],
        "Green Book encoding example",
    ),
    (
        (
            "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000075F"
            "1F040060FE9FFFFF"
        ),
        ["proposed DLMS version: 7, 6 is usual"],
        "GXDLMSDirector conformance tests (APPL_OPEN_12), with a password",
    ),
    (
        "601DA109060760857405080101BE10040E01000000065F1F040060FE9F000B",
        ["11, below the 12 that are needed"],
        "GXDLMSDirector conformance tests (APPL_OPEN_14)",
    ),
    ("050102FA00", ["read-request", "variable name: FA00"], "GXDLMSDirector conformance tests"),
    (
        (
            "603A80020284A1090607608574050801018A0207808B0760857405080201AC0A80083141324233433444"
            "BE10040E01000000065F1F040000181D0400"
        ),
        ["protocol-version: version 1"],
        "gocosem meter test",
    ),
    (
        "C402810000000001001E093201020304050607080910111213141516171819202122232425262728",
        ["get-response-with-datablock", "last block: no", "block number: 1", "30 octets"],
        "Green Book encoding example",
    ),
    ("C0028100000001", ["get-request-next", "block number: 1"], "Green Book encoding example"),
    (
        "C101C100080000010000FF0200090C07E20206FF091D0200000000",
        ["set-request-normal", "Clock (8) 0-0:1.0.0*255 clock, attribute time (2)", "2018-02-06 09:29:02"],
        "wireshark-dlms sample capture",
    ),
    ("C501C100", ["set-response-normal", "success (0)"], "wireshark-dlms sample capture"),
    (
        (
            "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000090C07E10A010700000000FFC480"
            "090C07E10A010701000000FFC4800100"
        ),
        [
            "1-0:99.1.0*255 load profile, attribute buffer (2)",
            "selector: 1 by range",
            "restricting_object: Clock (8) 0-0:1.0.0*255 clock, attribute time (2)",
            "from_value: octet-string Sun 2017-10-01 00:00:00+01:00 (daylight saving)",
            "selected_values: array of 0",
        ],
        "u9n/dlms-cosem selective access tests",
    ),
    (
        "C001C100070100620100FF020102020406000000010600000005120001120000",
        ["billing data", "selector: 2 by entry", "from_entry: double-long-unsigned 1", "to_selected_value"],
        "composed for this profile",
    ),
    (
        "C402C101000000130101",
        ["last block: yes", "block number: 19", "hardware-fault (1)"],
        "u9n/dlms-cosem",
    ),
    ("D80102", ["service-not-allowed (1)", "service-not-supported (2)"], "composed for this profile"),
    ("6203800100", ["RLRQ", "normal (0)"], "u9n/dlms-cosem"),
    ("6303800100", ["RLRE", "normal (0)"], "u9n/dlms-cosem"),
    ("6200", ["RLRQ"], "EPRI DLMS-COSEM unit test"),
    (
        "818012050180060180070400000001080400000001",
        ["max information field, transmit: 128", "window, receive: 1"],
        "IEC 62056-46 6.4.4.4.3.2",
    ),
    (
        "8180140502008006020080070400000001080400000001",
        ["max information field, receive: 128", "window, transmit: 1"],
        "IEC 62056-46 6.4.4.4.3.2",
    ),
    (
        "C301C1000F0000280000FF0101090411223344",
        ["action-request-normal", "reply_to_HLS_authentication (1)"],
        "composed for this profile",
    ),
    ("C701C10000", ["action-response-normal", "success (0)"], "composed for this profile"),
    ("E6E600C0028100000001", ["LLC: command", "get-request-next"], "composed for this profile"),
    ("A0070303938C11", ["SNRM P/F", "FCS: good"], "wireshark-dlms sample capture, without its flags"),
    ("090C07E2010A031319033E003C00", ["Data", "Wed 2018-01-10 19:25:03.62-01:00"], "DLMS_profile capture"),
    ("02020F001623", ["scaler 10^0, V"], "matousp/dlms-analysis"),
    ("02020FFD16FF", ["scaler 10^-3, no unit"], "ion-profile 4: the power factor"),
]

# octets, offset of the error, part of its text, where published
WRONG = [
    ("C004C1000F0000280000FF0100", 1, "choice 4 of a get-request is not defined", "CTT APPL_DATA_LN_N1"),
    ("C101C1000F0000280000", 5, "6 octets expected, 5 left", "CTT APPL_DATA_LN_N3"),
    ("7EA0090002052193AFD07E", 3, "1, 2 or 4 octets, not 3", "GXDLMSDirector conformance tests"),
    ("7EA014090002FEFF52A32AE6E700C501C1010D49607E", 18, "1 surplus octet", "Chinese DLMS training note"),
    (
        "7EA00A00020023215314B87E",
        9,
        "FCS is 14 B8, these octets have 14 B7",
        "by hand",
    ),
    (
        "7EA01C0002002321329F29E6E600C001C1000100002A0000FF020012807E",
        9,
        "HCS is 9F 29, these octets have 9F 28",
        "composed session, by hand",
    ),
    (
        "7EA01C0002002321329F28E6E600C001C1000100002A0000FF02001281",
        27,
        "FCS is 12 81, these octets have 12 80",
        "by hand",
    ),
    (
        "7EA01C0002002321329F28E6E600C001C1000100002A00FF020012807E",
        1,
        "the length says 28, 27 octets are there",
        "by hand",
    ),
    ("00010010000100056203800100FF", 13, "wrapper version FF, 0001 expected", "by hand"),
    ("000100100001000662038001", 6, "the length says 6, 4 octets are there", "by hand"),
    ("C401C100020209020102EE00", 10, "data tag 238 is not defined", "by hand"),
    ("C401C1000905414243", 4, "5 octets expected, 3 are left", "by hand"),
    ("C401C10105", 4, "5 is not defined", "by hand"),
    ("6129A109060760857405080101A203020100", 1, "the length says 41, 16 octets are there", "by hand"),
    ("C701C105", 3, "5 is not defined", "by hand"),
]
