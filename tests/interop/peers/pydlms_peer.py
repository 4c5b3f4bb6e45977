"""Read a DLMS meter with pydlms-client, as a program of its own; prints one JSON document.

Needs pydlms-client alone (GPL-3: never imported by iondlms, run as another process).

    pydlms_peer.py --host H --port P --framing hdlc|wrapper --client 16 TASK [ARGS]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydlms import DlmsClient, Mechanism, ObisCode  # type: ignore[import-not-found]
from pydlms.apdu.xdlms import (  # type: ignore[import-not-found]
    date_time_value,
    entry_descriptor,
    range_descriptor,
)
from pydlms.cosem.enums import DataType  # type: ignore[import-not-found]

PEER = "pydlms-client"


class Unsupported(Exception):
    """This peer cannot do the task; the message says why."""


class Session:
    """One connection and association."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.notes: list[str] = []  # of one task; the command line clears it before each
        security: dict[str, Any] = {}
        if arguments.password is not None:
            security = {"mechanism": Mechanism.LLS, "password": arguments.password}
        link: dict[str, Any] = {}
        if arguments.framing == "hdlc":
            link = {"hdlc": True, "server_physical": arguments.server_physical, "address_size": 4}
        if arguments.device is not None:
            link.pop("hdlc")
        connect, place = DlmsClient.tcp, {"host": arguments.host, "port": arguments.port}
        if arguments.sign_on:
            connect, place = DlmsClient.optical, {"port": arguments.device, "max_baud": arguments.baud}
        elif arguments.device is not None:
            connect, place = DlmsClient.serial, {"port": arguments.device, "baudrate": arguments.baud}
        self.client = connect(
            **place,
            client_sap=arguments.client,
            server_logical=arguments.server_logical,
            timeout=arguments.timeout,
            **link,
            **security,
        )

    def __enter__(self) -> Session:
        self.client.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.client.close()
        else:  # what went wrong is the result; a second failure must not hide it
            with contextlib.suppress(Exception):
                self.client.close()


def plain(data: Any) -> Any:
    """Return the Data as JSON has it; octet-strings as {"octets": hex}."""
    if data.tag in (DataType.ARRAY, DataType.STRUCTURE):
        return [plain(item) for item in data.value]
    value = data.to_python()
    if isinstance(value, (bytes, bytearray)):
        return {"octets": bytes(value).hex()}
    if data.tag == DataType.BIT_STRING:
        return {"bits": "".join("1" if bit else "0" for bit in value)}
    if isinstance(value, bool) or value is None or isinstance(value, (int, str, float)):
        return value
    return {"text": str(value)}


def cell(data: Any) -> Any:
    value = plain(data)
    return value["octets"] if isinstance(value, dict) and "octets" in value else value


def objects(session: Session) -> Any:
    return [
        [int(it.class_id), it.version, it.logical_name.to_iec()]
        for it in session.client.get_association_view()
    ]


def clock(session: Session) -> Any:
    stamp = session.client.get_clock()
    return {"octets": stamp.to_bytes().hex(), "iso": stamp.to_datetime().isoformat()}


def set_clock(session: Session, text: str) -> Any:
    session.client.set_clock(datetime.fromisoformat(text))
    return {"set": text, "read_back": clock(session)}


def capture_objects(session: Session, name: str) -> Any:
    data = session.client.get(name, 7, 3)
    found = [[v.value for v in item.value] for item in data.value]
    return [[int(c), ObisCode.from_bytes(bytes(n)).to_iec(), int(a), int(i)] for c, n, a, i in found]


def rows(session: Session, name: str, access: Any) -> Any:
    """Return the rows as they came and, from pydlms's own reading of them, the first and last time."""
    buffer = session.client.read_profile(name, access, typed=True)
    result: dict[str, Any] = {"rows": [[cell(v) for v in row] for row in buffer.cells]}
    if buffer.rows:
        first, last = (buffer.rows[at][0].to_datetime().isoformat() for at in (0, -1))
        result |= {"first": first, "last": last}
    return result


def profile(session: Session, name: str) -> Any:
    return rows(session, name, None)


def profile_range(session: Session, name: str, start: str, end: str) -> Any:
    bounds = (date_time_value(datetime.fromisoformat(text)) for text in (start, end))
    return rows(session, name, range_descriptor(*bounds))


def profile_entries(session: Session, name: str, first: str, last: str) -> Any:
    return rows(session, name, entry_descriptor(int(first), int(last)))


def read(session: Session, class_id: str, name: str, attribute: str) -> Any:
    return plain(session.client.get(name, int(class_id), int(attribute)))


# --- the command line: the same text in every peer, so that each stands alone (test_peer_programs.py)

TASKS: dict[str, Callable[..., Any]] = {
    "objects": objects,
    "clock": clock,
    "set-clock": set_clock,
    "capture-objects": capture_objects,
    "profile": profile,
    "profile-range": profile_range,
    "profile-entries": profile_entries,
    "read": read,
}


def run(arguments: argparse.Namespace, pending: list[list[str]]) -> list[dict[str, Any]]:
    """Do the tasks in one association, a new one after each failure; return an answer for each."""
    answers: list[dict[str, Any]] = []
    while pending:
        try:
            with Session(arguments) as session:
                while pending:
                    task, *words = pending[0]
                    session.notes.clear()
                    result = TASKS[task](session, *words)
                    answers.append({"task": task, "result": result, "notes": list(session.notes)})
                    pending.pop(0)
        except Exception as error:  # any failure is a result to report, not a trace to read
            task = pending.pop(0)[0] if pending else "release"
            reason = str(error) if isinstance(error, Unsupported) else f"{type(error).__name__}: {error}"
            answers.append({"task": task, "error": reason, "unsupported": isinstance(error, Unsupported)})
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="TASK: versions, objects, clock, set-clock ISO, capture-objects OBIS, profile OBIS,\n"
        "profile-range OBIS FROM TO, profile-entries OBIS A B, read CLASS OBIS ATTR.\n"
        "Several tasks in one association: TASK then TASK then TASK.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4059)
    parser.add_argument("--device", help="a serial device, in place of host and port")
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--sign-on", action="store_true", help="IEC 62056-21 mode E on the device")
    parser.add_argument("--framing", choices=("hdlc", "wrapper"), default="hdlc")
    parser.add_argument("--client", type=int, default=16)
    parser.add_argument("--server-logical", type=int, default=1)
    parser.add_argument("--server-physical", type=int, default=100)
    parser.add_argument("--password")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds of silence before giving up")
    parser.add_argument("task", nargs="+", metavar="TASK")
    arguments = parser.parse_args()
    tasks: list[list[str]] = [[]]
    for word in arguments.task:
        if word == "then":
            tasks.append([])
        else:
            tasks[-1].append(word)
    document: dict[str, Any] = {"peer": PEER, "version": importlib.metadata.version(PEER)}
    if tasks == [["versions"]]:
        found = {it.metadata["Name"]: it.version for it in importlib.metadata.distributions()}
        answers: list[dict[str, Any]] = [{"task": "versions", "result": found, "notes": []}]
    elif all(task and task[0] in TASKS for task in tasks):
        # The libraries print now and then; the JSON document must stand alone on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            answers = run(arguments, tasks)
    else:
        parser.error(f"a task is one of: versions, {', '.join(TASKS)}")
    print(json.dumps(document | (answers[0] if len(answers) == 1 else {"answers": answers})))
    failures = [answer["unsupported"] for answer in answers if "error" in answer]
    return 0 if not failures else 3 if all(failures) else 1


if __name__ == "__main__":
    sys.exit(main())
