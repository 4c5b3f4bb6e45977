"""Read a DLMS meter with dlms-cosem, as a program of its own; prints one JSON document.

Needs dlms-cosem alone. What it cannot do by itself is done with its own public pieces and told in "notes".

    dlms_cosem_peer.py --host H --port P --framing hdlc|wrapper --client 16 TASK [ARGS]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog  # type: ignore[import-not-found]
from dlms_cosem import cosem, dlms_data, enumerations, exceptions, utils  # type: ignore[import-not-found]
from dlms_cosem import time as dlms_time
from dlms_cosem.client import DlmsClient  # type: ignore[import-not-found]
from dlms_cosem.cosem.capture_object import CaptureObject  # type: ignore[import-not-found]
from dlms_cosem.cosem.selective_access import EntryDescriptor, RangeDescriptor  # type: ignore[import-not-found]
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport  # type: ignore[import-not-found]
from dlms_cosem.parsers import AssociationObjectListParser  # type: ignore[import-not-found]
from dlms_cosem.security import (  # type: ignore[import-not-found]
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)

# structlog prints to stdout unless told otherwise.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

PEER = "dlms-cosem"
CLOCK = "0.0.1.0.0.255"
FLAG = 0x7E
CUT_FOR_IT = "HDLC frames cut by their length field for it: it stops at a 0x7E inside one"
SELECTION_FOR_IT = "entry selection encoded for it: its EntryDescriptor.to_bytes is not implemented"


class Unsupported(Exception):
    """This peer cannot do the task; the message says why."""


class WholeFrameTcp:
    """Its `io` for HDLC: hands over whole frames, cut by the length field, from a BlockingTcpIO.

    `recv_until(flag)` of BlockingTcpIO stops at any 0x7E. Where the last octet of the FCS is one,
    HdlcTransport takes the closing flag for the next opening one and waits for ever; a profile of some
    hundred frames always meets that. HdlcConnection itself looks past an inner 0x7E, but asks for more
    octets each time: it gets none, as many times as the frame has inner flags.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self.tcp = BlockingTcpIO(host=host, port=port, timeout=timeout)
        self.empty_answers = 0

    def connect(self) -> None:
        self.tcp.connect()

    def disconnect(self) -> None:
        self.tcp.disconnect()

    def send(self, data: bytes) -> None:
        self.tcp.send(data)

    def recv(self, amount: int = 1) -> bytes:
        """As BlockingTcpIO, which spins for ever when the meter closes the connection."""
        octets = b""
        while len(octets) < amount:
            part = self.tcp.tcp_socket.recv(amount - len(octets))
            if not part:
                raise exceptions.CommunicationError("the meter closed the connection")
            octets += part
        return octets

    def recv_until(self, end: bytes) -> bytes:
        if self.empty_answers:
            self.empty_answers -= 1
            return b""
        opening = self.recv(1)
        while opening[0] != FLAG:
            opening = self.recv(1)
        head = self.recv(2)
        while head[0] == FLAG:  # a flag of its own before and after each frame
            head = head[1:] + self.recv(1)
        body = self.recv((head[0] & 0x07) * 256 + head[1] - 2 + 1)
        self.empty_answers = (head + body[:-1]).count(FLAG)
        return opening + head + body


class EntrySelection(EntryDescriptor):  # type: ignore[misc]  # the base is Any where the peer is not installed
    """Its EntryDescriptor, with the encoding it leaves out."""

    def to_bytes(self) -> bytes:
        structure = dlms_data.DataStructure(
            [
                dlms_data.DoubleLongUnsignedData(self.from_entry),
                dlms_data.DoubleLongUnsignedData(self.to_entry),
                dlms_data.UnsignedLongData(self.from_selected_value),
                dlms_data.UnsignedLongData(self.to_selected_value),
            ]
        )
        return bytes((self.ACCESS_DESCRIPTOR,)) + bytes(structure.to_bytes())


class Session:
    """One connection and association."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        if arguments.device is not None:
            raise Unsupported("read over TCP alone: its SerialIO stops at a 0x7E inside a frame")
        self.notes: list[str] = []  # of one task; the command line clears it before each
        self.hdlc = arguments.framing == "hdlc"
        self.io = WholeFrameTcp(arguments.host, arguments.port, arguments.timeout)
        if self.hdlc:
            transport = HdlcTransport(
                client_logical_address=arguments.client,
                server_logical_address=arguments.server_logical,
                server_physical_address=arguments.server_physical,
                extended_addressing=True,
                io=self.io,
            )
        else:
            transport = TcpTransport(
                client_logical_address=arguments.client,
                server_logical_address=arguments.server_logical,
                io=self.io,
            )
        self.client = DlmsClient(
            transport=transport,
            authentication=NoSecurityAuthentication()
            if arguments.password is None
            else LowLevelSecurityAuthentication(secret=arguments.password.encode()),
        )

    def __enter__(self) -> Session:
        self.client.connect()
        self.client.associate()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.client.release_association()
            self.client.disconnect()
        else:  # what went wrong is the result; a second failure must not hide it
            with contextlib.suppress(Exception):
                self.io.disconnect()

    def get(self, class_id: int, name: str, attribute: int, access: Any = None) -> Any:
        if self.hdlc and CUT_FOR_IT not in self.notes:
            self.notes.append(CUT_FOR_IT)
        descriptor = attribute_of(class_id, name, attribute)
        return utils.parse_as_dlms_data(self.client.get(descriptor, access_descriptor=access))


def attribute_of(class_id: int, name: str, attribute: int) -> Any:
    return cosem.CosemAttribute(
        interface=enumerations.CosemInterface(class_id),
        instance=cosem.Obis.from_string(name),
        attribute=attribute,
    )


def printed_name(octets: bytes) -> str:
    a, b, c, d, e, f = octets
    return f"{a}-{b}:{c}.{d}.{e}*{f}"


def plain(value: Any) -> Any:
    """Return the value as JSON has it; octet-strings as {"octets": hex}."""
    if isinstance(value, (bytes, bytearray)):
        return {"octets": bytes(value).hex()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (int, str, float)):
        return value
    return {"text": str(value)}


def cell(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, (bytes, bytearray)) else plain(value)


def iso(octets: bytes) -> str:
    moment, _ = dlms_time.datetime_from_bytes(bytes(octets))
    if octets[9:11] == b"\0\0":
        moment = moment.replace(tzinfo=UTC)  # it takes a deviation of 0 for "not specified"
    return str(moment.isoformat())


def objects(session: Session) -> Any:
    found = AssociationObjectListParser.parse_entries(session.get(15, "0.0.40.0.0.255", 2))
    return [[int(it.interface), it.version, printed_name(it.logical_name.to_bytes())] for it in found]


def clock(session: Session) -> Any:
    octets = session.get(8, CLOCK, 2)
    return {"octets": bytes(octets).hex(), "iso": iso(octets)}


def set_clock(session: Session, text: str) -> Any:
    octets = dlms_time.datetime_to_bytes(datetime.fromisoformat(text))
    answer = session.client.set(attribute_of(8, CLOCK, 2), dlms_data.OctetStringData(octets).to_bytes())
    if answer.result != enumerations.DataAccessResult.SUCCESS:
        raise RuntimeError(f"SET refused: {answer.result!r}")
    return {"set": text, "read_back": clock(session)}


def capture_objects(session: Session, name: str) -> Any:
    return [[c, printed_name(n), a, i] for c, n, a, i in session.get(7, name, 3)]


def rows(session: Session, name: str, access: Any) -> Any:
    """Return the rows as they came and, from dlms-cosem's own reading of them, the first and last time."""
    found = session.get(7, name, 2, access)
    result: dict[str, Any] = {"rows": [[cell(v) for v in row] for row in found]}
    if found:
        result |= {"first": iso(found[0][0]), "last": iso(found[-1][0])}
    return result


def profile(session: Session, name: str) -> Any:
    return rows(session, name, None)


def profile_range(session: Session, name: str, start: str, end: str) -> Any:
    bounds = (datetime.fromisoformat(text) for text in (start, end))
    return rows(session, name, RangeDescriptor(CaptureObject(attribute_of(8, CLOCK, 2)), *bounds))


def profile_entries(session: Session, name: str, first: str, last: str) -> Any:
    session.notes.append(SELECTION_FOR_IT)
    return rows(session, name, EntrySelection(int(first), int(last)))


def read(session: Session, class_id: str, name: str, attribute: str) -> Any:
    return plain(session.get(int(class_id), name, int(attribute)))


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
