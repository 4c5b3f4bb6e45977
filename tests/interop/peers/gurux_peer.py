"""Read a DLMS meter with gurux-dlms, as a program of its own; prints one JSON document.

Needs gurux-dlms (GPL-2: never imported by iondlms, run as another process) and pyserial. The socket is the
standard library's, as in Gurux's own examples: the library makes and takes apart the octets.

    gurux_peer.py --host H --port P --framing hdlc|wrapper --client 16 TASK [ARGS]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import socket
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import serial  # type: ignore[import-untyped,import-not-found,unused-ignore]
from gurux_dlms import (  # type: ignore[import-not-found]
    GXByteBuffer,
    GXDateTime,
    GXDLMSClient,
    GXDLMSException,
    GXReplyData,
)
from gurux_dlms.enums import Authentication, InterfaceType  # type: ignore[import-not-found]
from gurux_dlms.GXBitString import GXBitString  # type: ignore[import-not-found]
from gurux_dlms.objects import (  # type: ignore[import-not-found]
    GXDLMSClock,
    GXDLMSObject,
    GXDLMSProfileGeneric,
)

PEER = "gurux-dlms"
CLOCK = "0.0.1.0.0.255"
MAX_ANSWER = 1 << 20  # octets; a meter that answers more to one request is broken


class Unsupported(Exception):
    """This peer cannot do the task; the message says why."""


class SerialSocket:
    """pyserial as what is used of a socket."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.port = serial.Serial(arguments.device, arguments.baud, timeout=arguments.timeout)

    def sendall(self, octets: bytes) -> None:
        self.port.write(octets)

    def recv(self, most: int) -> bytes:
        octets: bytes = self.port.read(1)
        octets += self.port.read(min(self.port.in_waiting, most - 1))
        return octets

    def close(self) -> None:
        self.port.close()


def _line(arguments: argparse.Namespace) -> Any:
    if arguments.sign_on:
        raise Unsupported("Gurux leaves the sign-on to its media, which are not used here")
    if arguments.device is not None:
        return SerialSocket(arguments)
    line = socket.create_connection((arguments.host, arguments.port), arguments.timeout)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


class Session:
    """One connection and association."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        hdlc = arguments.framing == "hdlc"
        self.notes: list[str] = []  # of one task; the command line clears it before each
        self.client = GXDLMSClient(
            True,
            arguments.client,
            # Address size 4: upper and lower part two octets each, as the ION meters have it.
            GXDLMSClient.getServerAddress(arguments.server_logical, arguments.server_physical, 4)
            if hdlc
            else arguments.server_logical,
            Authentication.NONE if arguments.password is None else Authentication.LOW,
            arguments.password,
            InterfaceType.HDLC if hdlc else InterfaceType.WRAPPER,
        )
        if hdlc:
            self.client.serverAddressSize = 4
        self.socket = _line(arguments)

    def __enter__(self) -> Session:
        snrm = self.client.snrmRequest()
        if snrm is not None:
            self.client.parseUAResponse(self.exchange([snrm]).data)
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                return  # what went wrong is the result; a second failure must not hide it
            release = self.client.releaseRequest()
            if release is not None:
                self.exchange(release)
            disconnect = self.client.disconnectRequest()
            if disconnect:
                self.exchange([disconnect])
        finally:
            self.socket.close()

    def exchange(self, requests: Iterable[Any]) -> Any:
        """Send the frames of one request, take all blocks of the answer; return the GXReplyData."""
        reply = GXReplyData()
        for request in requests:
            reply.clear()
            self._exchange_one(request, reply)
        while reply.isMoreData():
            self._exchange_one(self.client.receiverReady(reply), reply)
        return reply

    def _exchange_one(self, request: Any, reply: Any) -> None:
        self.socket.sendall(bytes(request))
        reply.error = 0
        received = GXByteBuffer()
        while not self.client.getData(received, reply, None):
            if received.size > MAX_ANSWER:
                raise OSError(f"more than {MAX_ANSWER} octets and still no answer")
            octets = self.socket.recv(2048)
            if not octets:
                raise OSError("the meter closed the connection")
            received.set(octets)
        if reply.error != 0:
            raise GXDLMSException(reply.error)

    def get(self, item: Any, attribute: int) -> Any:
        return self.exchange(self.client.read(item, attribute)).value


def logical_name(text: str) -> str:
    """Return the dotted form, which is Gurux's, of any of the usual forms."""
    return text.replace("-", ".").replace(":", ".").replace("*", ".")


def name_octets(dotted: str) -> bytes:
    return bytes(int(part) for part in dotted.split("."))


def printed_name(octets: bytes) -> str:
    a, b, c, d, e, f = octets
    return f"{a}-{b}:{c}.{d}.{e}*{f}"


def plain(value: Any) -> Any:
    """Return the value as JSON has it; octet-strings as {"octets": hex}."""
    if isinstance(value, GXByteBuffer):
        return {"octets": value.array().hex()}
    if isinstance(value, (bytes, bytearray)):
        return {"octets": bytes(value).hex()}
    if isinstance(value, GXBitString):
        return {"bits": value.toString(False)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        return int(value)
    return {"text": str(value)}


def cell(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, (bytes, bytearray)) else plain(value)


def iso(stamp: Any) -> str:
    moment = stamp.value if isinstance(stamp, GXDateTime) else stamp
    return moment.isoformat() if isinstance(moment, datetime) else str(moment)


def objects(session: Session) -> Any:
    reply = session.exchange([session.client.getObjectsRequest()])
    found = session.client.parseObjects(reply.data, False, False)
    return [[int(it.objectType), it.version, printed_name(name_octets(it.logicalName))] for it in found]


def clock(session: Session) -> Any:
    item = GXDLMSClock(CLOCK)
    value = session.get(item, 2)
    octets = bytes(value).hex()
    return {"octets": octets, "iso": iso(session.client.updateValue(item, 2, value))}


def set_clock(session: Session, text: str) -> Any:
    item = GXDLMSClock(CLOCK)
    item.time = GXDateTime(datetime.fromisoformat(text))
    session.exchange(session.client.write(item, 2))
    return {"set": text, "read_back": clock(session)}


def capture_objects(session: Session, name: str) -> Any:
    value = session.get(GXDLMSProfileGeneric(logical_name(name)), 3)
    return [[int(c), printed_name(bytes(n)), int(a), int(i)] for c, n, a, i in value]


def rows(session: Session, item: Any, requests: Any) -> Any:
    """Return the rows as they came and, from Gurux's own reading of them, the first and last time."""
    value = session.exchange(requests).value or []
    result: dict[str, Any] = {"rows": [[cell(v) for v in row] for row in value]}
    if value:
        session.client.updateValue(item, 2, value)
        result |= {"first": iso(item.buffer[0][0]), "last": iso(item.buffer[-1][0])}
    return result


def profile_object(session: Session, name: str) -> Any:
    item = GXDLMSProfileGeneric(logical_name(name))
    session.client.updateValue(item, 3, session.get(item, 3))
    return item


def profile(session: Session, name: str) -> Any:
    item = profile_object(session, name)
    return rows(session, item, session.client.read(item, 2))


def profile_range(session: Session, name: str, start: str, end: str) -> Any:
    item = profile_object(session, name)
    bounds = GXDateTime(datetime.fromisoformat(start)), GXDateTime(datetime.fromisoformat(end))
    return rows(session, item, session.client.readRowsByRange(item, *bounds))


def profile_entries(session: Session, name: str, first: str, last: str) -> Any:
    item = profile_object(session, name)
    count = int(last) - int(first) + 1
    return rows(session, item, session.client.readRowsByEntry(item, int(first), count))


def read(session: Session, class_id: str, name: str, attribute: str) -> Any:
    if int(attribute) < 1:
        raise Unsupported("GXDLMSClient.read takes attribute 1 and up")
    item = GXDLMSClient.createObject(int(class_id)) or GXDLMSObject()
    item.objectType = int(class_id)
    item.logicalName = logical_name(name)
    return plain(session.get(item, int(attribute)))


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
