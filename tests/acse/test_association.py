"""The association tables: complete, and each path a conversation takes through them."""

from __future__ import annotations

import itertools
import re

import pytest

from iondlms.acse import (
    CLIENT,
    SERVER,
    ClientInput,
    ClientState,
    ClientStep,
    ServerInput,
    ServerState,
    ServerStep,
)


def test_every_state_answers_every_input() -> None:
    assert set(SERVER) == set(itertools.product(ServerState, ServerInput))
    assert set(CLIENT) == set(itertools.product(ClientState, ClientInput))


@pytest.mark.parametrize(
    ("step", "table"),
    [(ServerStep, SERVER.values()), (ClientStep, CLIENT.values())],
    ids=["server", "client"],
)
def test_the_docstring_names_exactly_the_actions(
    step: type[ServerStep | ClientStep], table: list[ServerStep | ClientStep]
) -> None:
    listed = re.sub(r"\([^)]*\)", "", (step.__doc__ or "").partition("Actions:")[2])
    named = {word.strip() for word in listed.strip().rstrip(".").split(";")}
    assert named == {row.action for row in table}


def server_walk(*inputs: ServerInput) -> list[str]:
    state, actions = ServerState.IDLE, []
    for one in inputs:
        action, state = SERVER[state, one]
        actions.append(action)
    return actions


def client_walk(*inputs: ClientInput) -> tuple[list[str], ClientState]:
    state, actions = ClientState.IDLE, []
    for one in inputs:
        action, state = CLIENT[state, one]
        actions.append(action)
    return actions, state


S = ServerInput
C = ClientInput


@pytest.mark.parametrize(
    ("inputs", "actions", "case"),
    [
        ((S.SERVICE,), ["send_exception"], "AP-01, AP-02"),
        ((S.RLRQ,), ["ignore"], "AP-03"),
        ((S.AARQ_ACCEPTED, S.SERVICE, S.RLRQ), ["send_aare", "serve", "send_rlre"], "AP-04"),
        ((S.AARQ_UNCONFIRMED, S.SERVICE), ["ignore", "send_exception"], "AP-39"),
        ((S.AARQ_ACCEPTED, S.AARQ_ACCEPTED, S.SERVICE), ["send_aare", "send_aare", "serve"], "AP-40"),
        (
            (S.AARQ_REFUSED, S.AARQ_ACCEPTED, S.SERVICE),
            ["refuse_aare", "send_aare", "serve"],
            "AP-41",
        ),
        (
            (S.AARQ_ACCEPTED, S.FOREIGN_SERVICE, S.SERVICE),
            ["send_aare", "send_exception", "serve"],
            "AP-45, AP-60, AP-63: refused, state unchanged",
        ),
        ((S.AARQ_ACCEPTED, S.SERVER_APDU, S.SERVICE), ["send_aare", "ignore", "serve"], "AP-64"),
        (
            (S.AARQ_ACCEPTED, S.RLRQ, S.SERVICE, S.AARQ_ACCEPTED, S.SERVICE),
            ["send_aare", "send_rlre", "send_exception", "send_aare", "serve"],
            "AP-69",
        ),
        ((S.AARQ_ACCEPTED, S.LINK_LOST, S.SERVICE), ["send_aare", "abort", "send_exception"], "BT-12"),
        (
            (S.AARQ_ACCEPTED, S.AARQ_REFUSED, S.SERVICE),
            ["send_aare", "refuse_aare", "send_exception"],
            "a failed second login ends the first",
        ),
    ],
)
def test_server(inputs: tuple[ServerInput, ...], actions: list[str], case: str) -> None:
    assert server_walk(*inputs) == actions, case


@pytest.mark.parametrize("one", list(ServerInput))
def test_nothing_is_served_without_an_association(one: ServerInput) -> None:
    step = SERVER[ServerState.IDLE, one]
    assert step.action != "serve"
    assert (step.state is ServerState.ASSOCIATED) == (one is S.AARQ_ACCEPTED)


@pytest.mark.parametrize(
    ("inputs", "actions", "end"),
    [
        (
            (C.OPEN, C.AARE_ACCEPTED, C.SERVICE, C.RESPONSE, C.RELEASE, C.RLRE),
            ["send_aarq", "opened", "send_request", "deliver", "send_rlrq", "released"],
            ClientState.IDLE,
        ),
        ((C.OPEN, C.AARE_REFUSED, C.OPEN), ["send_aarq", "refused", "send_aarq"], ClientState.PENDING),
        ((C.OPEN, C.RESPONSE), ["send_aarq", "refused"], ClientState.IDLE),
        ((C.OPEN, C.TIMEOUT), ["send_aarq", "fail"], ClientState.IDLE),
        (
            (C.OPEN, C.AARE_ACCEPTED, C.RELEASE, C.TIMEOUT),
            ["send_aarq", "opened", "send_rlrq", "disconnect"],
            ClientState.IDLE,
        ),
        (
            (C.OPEN, C.AARE_ACCEPTED, C.RELEASE, C.RESPONSE),
            ["send_aarq", "opened", "send_rlrq", "disconnect"],
            ClientState.IDLE,
        ),
        ((C.SERVICE, C.RELEASE), ["misuse", "ignore"], ClientState.IDLE),
    ],
)
def test_client(inputs: tuple[ClientInput, ...], actions: list[str], end: ClientState) -> None:
    assert client_walk(*inputs) == (actions, end)


@pytest.mark.parametrize("state", list(ClientState))
def test_client_gets_home_from_everywhere(state: ClientState) -> None:
    assert CLIENT[state, C.LINK_LOST].state is ClientState.IDLE
