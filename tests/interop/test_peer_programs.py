"""The peers' programs against pydlms-client's simulator: what they report of us can be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.pydlms_simulator import (
    CLOCK_OCTETS,
    LOAD_PROFILE,
    LOGICAL_DEVICE_NAME,
    OBJECTS,
    Simulator,
    profile_row,
)
from tests.interop.running import GURUX, PEERS, PROGRAMS, Peer, Target, peer_version, run_peer

pytestmark = pytest.mark.interop

TASKS = [
    ["objects"],
    ["clock"],
    ["capture-objects", LOAD_PROFILE],
    ["profile", LOAD_PROFILE],
    ["profile-range", LOAD_PROFILE, "2024-05-01T01:00:00+00:00", "2024-05-01T04:00:00+02:00"],
    ["profile-entries", LOAD_PROFILE, "5", "10"],
    ["read", "3", "1-0:32.7.0*255", "3"],
    ["read", "1", "0-0:42.0.0*255", "2"],
]
EXPECTED = [
    OBJECTS,
    {"octets": CLOCK_OCTETS, "iso": "2024-05-01T12:00:00+02:00"},
    [[8, "0-0:1.0.0*255", 2, 0], [3, "1-0:1.8.0*255", 2, 0]],
    {
        "rows": [profile_row(n) for n in range(96)],
        "first": "2024-05-01T00:00:00+00:00",
        "last": "2024-05-01T23:45:00+00:00",
    },
    {
        "rows": [profile_row(n) for n in range(4, 9)],
        "first": "2024-05-01T01:00:00+00:00",
        "last": "2024-05-01T02:00:00+00:00",
    },
    {
        "rows": [profile_row(n) for n in range(4, 10)],
        "first": "2024-05-01T01:00:00+00:00",
        "last": "2024-05-01T02:15:00+00:00",
    },
    [-1, 35],
    {"octets": LOGICAL_DEVICE_NAME.hex()},
]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_reads_what_the_simulator_is_known_to_hold(
    peers_python: Path, simulator: Simulator, peer: Peer
) -> None:
    answers = run_peer(peers_python, peer, simulator.public, *TASKS)
    assert [answer.error for answer in answers] == [None] * len(TASKS)
    assert [answer.task for answer in answers] == [task[0] for task in TASKS]
    for answer, expected in zip(answers, EXPECTED, strict=True):
        assert answer.result == expected


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_sets_the_clock_with_a_password_and_reports_a_wrong_one(
    peers_python: Path, hdlc_simulator: Simulator, peer: Peer
) -> None:
    (answer,) = run_peer(
        peers_python, peer, hdlc_simulator.writing, ["set-clock", "2026-03-04T05:06:07-03:30"]
    )
    assert answer.error is None
    assert answer.result["read_back"]["iso"] == "2026-03-04T05:06:07-03:30"
    wrong = Target(hdlc_simulator.port, "hdlc", client=1, password="not it")
    (answer,) = run_peer(peers_python, peer, wrong, ["clock"])
    assert answer.result is None
    assert "uthentication" in f"{answer.error}".replace("AUTHENTICATION", "uthentication")


def test_a_failed_task_leaves_the_others_alone(peers_python: Path, hdlc_simulator: Simulator) -> None:
    missing = ["read", "3", "1-0:9.9.9*255", "2"]
    attribute_0 = ["read", "3", "1-0:1.8.0*255", "0"]
    answers = run_peer(
        peers_python, GURUX, hdlc_simulator.public, missing, ["objects"], attribute_0, ["objects"]
    )
    assert [(it.result == OBJECTS, it.unsupported) for it in answers] == [
        (False, False),
        (True, False),
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_pinned_version_is_the_one_that_runs(peers_python: Path, peer: Peer) -> None:
    pins = (PROGRAMS.parents[2] / "constraints" / "interop.txt").read_text("utf-8").split()
    assert f"{peer.name}=={peer_version(peers_python, peer)}" in pins


def test_the_command_line_is_the_same_in_every_peer() -> None:
    tails = {
        (PROGRAMS / peer.program).read_text("utf-8").partition("# --- the command line")[2] for peer in PEERS
    }
    assert len(tails) == 1
    assert len(tails.pop()) > 1000
