"""`iondlms explain`: what goes in, what comes out, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from iondlms.cli.explain import explain
from iondlms.cli.main import VERBS
from iondlms.errors import LocalError

SNRM = "7EA0070303938C117E"
AARQ = (
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738"
    "BE10040E01000000065F1F0400007E1F04B0"
)


def run(*words: str, octets: bytes | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(explain, list(words), input=octets, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def test_it_is_a_verb() -> None:
    assert "explain" in VERBS


@pytest.mark.parametrize(
    "words", [(SNRM,), tuple(bytes.fromhex(SNRM).hex(" ").split(" ")), ("7EA0", "070303938C117E")]
)
def test_hex_in_the_arguments(words: tuple[str, ...]) -> None:
    status, text = run(*words)
    assert status == 0
    assert "SNRM P/F" in text


def test_an_error_ends_with_1() -> None:
    status, text = run(SNRM.replace("8C11", "8C12"))
    assert status == 1
    assert "FCS is 8C 12, these octets have 8C 11" in text


def test_standard_input() -> None:
    for octets in (SNRM.encode(), bytes.fromhex(SNRM), f"TX: 14:56:02.123 {SNRM}\n".encode()):
        status, text = run("-", octets=octets)
        assert (status, "SNRM P/F" in text) == (0, True)


def test_files_of_text_and_of_octets(tmp_path: Path) -> None:
    for name, octets in (("log.txt", f"TX: {SNRM}".encode()), ("log.bin", bytes.fromhex(SNRM))):
        (tmp_path / name).write_bytes(octets)
        status, text = run(str(tmp_path / name))
        assert (status, "SNRM P/F" in text) == (0, True)


def test_json() -> None:
    status, text = run(SNRM, "--json")
    (tree,) = json.loads(text)
    assert status == 0
    assert tree["label"] == "HDLC frame"
    assert tree["octets"] == SNRM
    assert [child["offset"] for child in tree["children"]] == [0, 1, 3, 4, 5, 6, 8]


def test_data() -> None:
    assert "read-request" in run("050102FA00")[1]
    assert "double-long 16972288" in run("050102FA00", "--data")[1]


def test_passwords() -> None:
    for words in ((AARQ,), (AARQ, "--json")):
        text = run(*words)[1]
        assert "********" in text
        assert "12345678" not in text
        assert "3132333435" not in text
        assert "31 32 33 34 35" not in text
    assert '"12345678"' in run(AARQ, "--secrets")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("7E A0 0G",), "line 1, column 8: 'G' is not a hex digit"),
        (("no/such/file.txt",), "there is no such file, and it is not hex"),
        (("session.txt",), "there is no such file"),
        (("7EA",), "half an octet"),
    ],
)
def test_what_is_not_hex(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(LocalError) as error:
        run(*words)
    assert message in str(error.value)


def test_very_long_hex_is_no_file_name() -> None:
    status, text = run("C401C100" + "09821388" + "41" * 5000)
    assert status == 0
    assert "get-response-normal" in text


@pytest.mark.parametrize(("word", "status"), [(SNRM, 0), (SNRM[:-4] + "007E", 1), ("xyz", 2)])
def test_exit_status_of_the_process(word: str, status: int) -> None:
    command = [sys.executable, "-m", "iondlms", "explain", word]
    process = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert process.returncode == status
    assert (process.stderr == "") == (status < 2)
    assert len(process.stderr.splitlines()) == (1 if status == 2 else 0)


def test_help_shows_an_example() -> None:
    text = CliRunner().invoke(explain, ["--help"]).output
    assert "iondlms explain 7E A0 07 03 03 93 8C 11 7E" in text
