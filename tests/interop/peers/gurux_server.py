"""A meter made of gurux-dlms' server classes, as a program of its own, to try the conformance cases on.

Needs gurux-dlms (GPL-2: never imported by iondlms, only run as another process). The library does all that is
DLMS, from the octets of a request to those of its answer; this program is the TCP listener around it, the
objects, and the names that the library's server calls and does not define (`Server` and `Reply`, below).

    gurux_server.py --framing hdlc|wrapper [--port 0] [--password secret-1]

prints `listening on 127.0.0.1:PORT` and serves one connection after the other.
"""

from __future__ import annotations

import argparse
import socket
import sys
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

from gurux_dlms import (  # type: ignore[import-not-found]
    GXDate,
    GXDateTime,
    GXServerReply,
    GXTime,
    ValueEventArgs,
)
from gurux_dlms.enums import (  # type: ignore[import-not-found]
    AccessMode,
    Authentication,
    Conformance,
    DataType,
    InterfaceType,
    MethodAccessMode,
    ObjectType,
    SourceDiagnostic,
    Unit,
)
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters  # type: ignore[import-not-found]
from gurux_dlms.GXDLMSLongTransaction import GXDLMSLongTransaction  # type: ignore[import-not-found]
from gurux_dlms.GXDLMSSettings import GXDLMSSettings  # type: ignore[import-not-found]
from gurux_dlms.GXHdlcSettings import GXHdlcSettings  # type: ignore[import-not-found]
from gurux_dlms.objects import (  # type: ignore[import-not-found]
    GXDLMSActionSchedule,
    GXDLMSActivityCalendar,
    GXDLMSAssociationLogicalName,
    GXDLMSCaptureObject,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDayProfile,
    GXDLMSDayProfileAction,
    GXDLMSDemandRegister,
    GXDLMSDisconnectControl,
    GXDLMSExtendedRegister,
    GXDLMSHdlcSetup,
    GXDLMSLimiter,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
    GXDLMSRegisterActivation,
    GXDLMSSapAssignment,
    GXDLMSScript,
    GXDLMSScriptAction,
    GXDLMSScriptTable,
    GXDLMSSeasonProfile,
    GXDLMSSecuritySetup,
    GXDLMSSpecialDay,
    GXDLMSSpecialDaysTable,
    GXDLMSWeekProfile,
)
from gurux_dlms.secure import GXDLMSSecureServer  # type: ignore[import-not-found]

NAME = "GRX0000000000001"
ROWS = 24
FIRST_ROW = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_S = 900
CONFORMANCE = (
    Conformance.GET | Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.SELECTIVE_ACCESS | Conformance.MULTIPLE_REFERENCES | Conformance.ACTION
)  # fmt: skip


class HdlcSetup(GXDLMSHdlcSetup):  # type: ignore[misc]
    """The HDLC setup object under the second set of names by which the server reads it."""

    maxInfoTX = property(lambda self: self.maximumInfoLengthTransmit)  # noqa: N815
    maxInfoRX = property(lambda self: self.maximumInfoLengthReceive)  # noqa: N815
    windowSizeTX = property(lambda self: self.windowSizeTransmit)  # noqa: N815
    windowSizeRX = property(lambda self: self.windowSizeReceive)  # noqa: N815


class Reply(GXServerReply):  # type: ignore[misc]
    """A reply with the accessors that the server calls."""

    def getConnectionInfo(self) -> Any:  # noqa: N802
        return self.connectionInfo

    def setReply(self, value: Any) -> None:  # noqa: N802
        self.reply = value

    def getCount(self) -> int:  # noqa: N802
        return int(self.count)

    def setCount(self, value: int) -> None:  # noqa: N802
        self.count = value


class Clock(GXDLMSClock):  # type: ignore[misc]
    """A clock that runs: an offset to this machine's."""

    def __init__(self) -> None:
        self.offset = timedelta()
        super().__init__()

    def getValue(self, settings: Any, event: Any) -> Any:  # noqa: N802
        if event.index == 2:
            return GXDateTime(datetime.now(UTC) + self.offset)
        return super().getValue(settings, event)

    def setValue(self, settings: Any, event: Any) -> None:  # noqa: N802
        super().setValue(settings, event)
        if event.index == 2:
            value = self.time.value
            if value.tzinfo is None:
                value = value.replace(tzinfo=UTC)
            self.offset = value - datetime.now(UTC)


class Server(GXDLMSSecureServer):  # type: ignore[misc]
    """One connection's server; the objects are shared."""

    def __init__(self, framing: str, password: bytes, objects: list[Any], debug: bool) -> None:
        wrapper = framing == "wrapper"
        super().__init__(True, InterfaceType.WRAPPER if wrapper else InterfaceType.HDLC)
        self.password = password
        self.debug = debug
        self.settings.proposedConformance = CONFORMANCE
        for item in objects:
            self.items.append(item)
        self.hdlc = HdlcSetup()
        # The library's inactivity check subtracts a time from an int; 0 keeps it from being reached.
        self.hdlc.inactivityTimeout = 0
        self.initialize()

    # What the library's server calls and does not have.

    def getTransaction(self) -> Any:  # noqa: N802
        return self.transaction

    def setTransaction(self, value: Any) -> None:  # noqa: N802
        if value is not None and not isinstance(value.targets, list):
            value.targets = [value.targets]  # GET-next goes through them
        self.transaction = value

    def notifyRead(self, *args: Any) -> None:  # noqa: N802
        """Nothing: the objects hold their values."""

    def notifyConnected(self, *args: Any) -> None:  # noqa: N802
        """Nothing to tell."""

    # What a meter answers by itself.

    def isTarget(self, server: int, client: int) -> bool:  # noqa: N802
        own = 1 if self.settings.interfaceType == InterfaceType.WRAPPER else 1 << 14 | 100
        return client in (1, 16) and server == own

    def onValidateAuthentication(self, authentication: Any, password: Any) -> Any:  # noqa: N802
        if self.settings.clientAddress == 16:
            return SourceDiagnostic.NONE
        if authentication == Authentication.NONE:
            return SourceDiagnostic.AUTHENTICATION_REQUIRED
        if authentication != Authentication.LOW:
            return SourceDiagnostic.NOT_RECOGNISED
        good = bytes(password or b"") == self.password
        return SourceDiagnostic.NONE if good else SourceDiagnostic.AUTHENTICATION_FAILURE

    def onFindObject(self, kind: Any, short_name: int, name: str) -> Any:  # noqa: N802
        return None

    def onGetAttributeAccess(self, event: Any) -> Any:  # noqa: N802
        event.server = self  # the object list asks it for the rights, and finds nobody otherwise
        if event.target is None:
            return AccessMode.NO_ACCESS
        if event.target.objectType == ObjectType.ASSOCIATION_LOGICAL_NAME and event.index == 7:
            return AccessMode.NO_ACCESS
        if not 1 <= event.index <= event.target.getAttributeCount():
            return AccessMode.NO_ACCESS
        if self.settings.clientAddress == 1 and event.target.objectType == ObjectType.CLOCK:
            return AccessMode.READ_WRITE if event.index == 2 else AccessMode.READ
        return AccessMode.READ

    def onGetMethodAccess(self, event: Any) -> Any:  # noqa: N802
        return MethodAccessMode.NO_ACCESS

    def quiet(self, *args: Any) -> None:
        """Nothing to do."""

    onPreGet = onPostGet = onPreRead = onPostRead = onPreWrite = onPostWrite = quiet  # noqa: N815
    onPreAction = onPostAction = onDisconnected = onInvalidConnection = quiet  # noqa: N815

    def onConnected(self, connection: Any) -> None:  # noqa: N802
        association = self.items.findByLN(ObjectType.ASSOCIATION_LOGICAL_NAME, "0.0.40.0.0.255")
        association.clientSAP = self.settings.clientAddress
        association.xDLMSContextInfo.conformance = self.settings.negotiatedConformance

    def handleCommand(self, command: Any, data: Any, reply: Any) -> Any:  # noqa: N802
        try:
            return super().handleCommand(command, data, reply)
        except Exception:
            if self.debug:
                traceback.print_exc()
            raise


def defaults(settings: Any, _: Any) -> None:
    """Forget what the SNRM before negotiated."""
    settings.__init__()


GXHdlcSettings.update = defaults  # called by the server, defined as _update for an object it is not given
GXDLMSSettings.gbtWndowSize = 1  # read under this name by the server's GET-next
ValueEventArgs.isSkipMaxPduSize = False  # and by its object_list
ValueEventArgs.getRowBeginIndex = lambda self: self.rowBeginIndex
ValueEventArgs.setRowBeginIndex = lambda self, value: setattr(self, "rowBeginIndex", value)
ValueEventArgs.getRowEndIndex = lambda self: self.rowEndIndex
ValueEventArgs.setRowEndIndex = lambda self, value: setattr(self, "rowEndIndex", value)
GXDLMSLongTransaction.setData = lambda self, value: setattr(self, "data", value)
GXDLMSSettings.getMaxPduSize = lambda self: self.maxPduSize
GXDLMSLNParameters.isMultipleBlocks = lambda self: self.multipleBlocks
GXDLMSAssociationLogicalName.getAssociationStatus = lambda self: self.associationStatus


def clock_time(hour: int = 0) -> Any:
    return GXDateTime(datetime(2026, 1, 1, hour, tzinfo=UTC))


def register(name: str, value: int, unit: Any) -> Any:
    made = GXDLMSRegister(name)
    made.value, made.unit = value, unit
    made.setDataType(2, DataType.UINT32)
    return made


def objects(logical: int) -> list[Any]:
    """Return one object of each class that the tester knows, and a profile with rows."""
    device_name = GXDLMSData("0.0.42.0.0.255")
    device_name.value = NAME.encode()
    device_name.setDataType(2, DataType.OCTET_STRING)
    clock = Clock()
    clock.deviation = 60
    clock.begin, clock.end = clock_time(1), clock_time(2)
    energy = register("1.0.1.8.0.255", 1234567, Unit.ACTIVE_ENERGY)
    reactive = register("1.0.3.8.0.255", 7654, Unit.REACTIVE_ENERGY)
    association = GXDLMSAssociationLogicalName()
    association.version = 1
    association.clientSAP, association.serverSAP = 16, logical
    association.xDLMSContextInfo.cypheringInfo = b""
    sap = GXDLMSSapAssignment("0.0.41.0.0.255")
    sap.sapAssignmentList.append((logical, NAME))
    hdlc = HdlcSetup()
    security = GXDLMSSecuritySetup()
    security.version = 0  # of version 1 the library cannot write the list of certificates
    security.serverSystemTitle = bytes.fromhex("4752580000000001")
    security.clientSystemTitle = bytes.fromhex("4752580000000002")
    disconnect = GXDLMSDisconnectControl("0.0.96.3.10.255")
    disconnect.version = 0
    found = [association, sap, device_name, clock, energy, reactive, *registers(energy, reactive)]
    scripts = script_table(disconnect)
    found += [scripts, special_days(), calendar(), schedule(scripts), hdlc, security, disconnect]
    found += [limiter(energy), profile(clock, energy, reactive)]
    for item in found:  # the server would put the list itself in as one item, and refuse it
        association.objectList.append(item)
    return found


def registers(energy: Any, reactive: Any) -> list[Any]:
    extended = GXDLMSExtendedRegister("1.0.1.6.0.255")
    extended.value, extended.unit, extended.status = 5000, Unit.ACTIVE_POWER, 0
    extended.captureTime = clock_time()
    extended.setDataType(2, DataType.UINT32)
    extended.setDataType(4, DataType.UINT8)
    demand = GXDLMSDemandRegister("1.0.1.4.0.255")
    demand.currentAverageValue, demand.lastAverageValue = 4000, 3900
    demand.unit, demand.status = Unit.ACTIVE_POWER, 0
    demand.captureTime = demand.startTimeCurrent = clock_time()
    demand.period, demand.numberOfPeriods = 900, 1
    for attribute, kind in ((2, DataType.UINT32), (3, DataType.UINT32), (5, DataType.UINT8)):
        demand.setDataType(attribute, kind)
    activation = GXDLMSRegisterActivation("0.0.14.0.0.255")
    activation.registerAssignment += [energy, reactive]
    activation.maskList.append((b"day", [1, 2]))
    activation.activeMask = bytearray(b"day")
    return [extended, demand, activation]


def script_table(target: Any) -> Any:
    action = GXDLMSScriptAction()
    action.target, action.index, action.parameter = target, 1, 0
    action.parameterDataType = DataType.INT8
    script = GXDLMSScript()
    script.id = 1
    script.actions.append(action)
    table = GXDLMSScriptTable("0.0.10.0.106.255")
    table.scripts.append(script)
    return table


def special_days() -> Any:
    day = GXDLMSSpecialDay()
    day.index, day.dayId, day.date = 1, 2, GXDate(datetime(2026, 12, 25))
    table = GXDLMSSpecialDaysTable()
    table.entries.append(day)
    return table


def calendar() -> Any:
    made = GXDLMSActivityCalendar()
    season, week, day, action = (
        GXDLMSSeasonProfile(), GXDLMSWeekProfile(), GXDLMSDayProfile(), GXDLMSDayProfileAction(),
    )  # fmt: skip
    season.name, season.start, season.weekName = b"S1", clock_time(), b"W1"
    week.name = b"W1"
    for weekday in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"):
        setattr(week, weekday, 1)
    action.startTime, action.scriptLogicalName, action.scriptSelector = (
        GXTime(datetime(2026, 1, 1)), "0.0.10.0.106.255", 1,
    )  # fmt: skip
    day.dayId, day.daySchedules = 1, [action]
    made.calendarNameActive = made.calendarNamePassive = "A1"
    made.seasonProfileActive = made.seasonProfilePassive = [season]
    made.weekProfileTableActive = made.weekProfileTablePassive = [week]
    made.dayProfileTableActive = made.dayProfileTablePassive = [day]
    made.time = clock_time()
    return made


def schedule(scripts: Any) -> Any:
    made = GXDLMSActionSchedule()
    made.target, made.executedScriptSelector = scripts, 1
    made.executionTime.append(GXDateTime(datetime(2026, 1, 1)))
    return made


def limiter(monitored: Any) -> Any:
    made = GXDLMSLimiter("0.0.17.0.0.255")
    made.monitoredValue, made.monitoredAttributeIndex = monitored, 2
    made.thresholdActive = made.thresholdNormal = made.thresholdEmergency = 9000
    made.minOverThresholdDuration = made.minUnderThresholdDuration = 60
    made.emergencyProfileActive = False
    made.emergencyProfile.id, made.emergencyProfile.duration = 0, 0
    made.emergencyProfile.activationTime = clock_time()
    for action in (made.actionOverThreshold, made.actionUnderThreshold):
        action.logicalName, action.scriptSelector = "0.0.10.0.106.255", 1
    for attribute in (3, 4, 5):
        made.setDataType(attribute, DataType.UINT32)
    return made


def profile(clock: Any, energy: Any, reactive: Any) -> Any:
    made = GXDLMSProfileGeneric("1.0.99.1.0.255")
    made.capturePeriod, made.profileEntries = PERIOD_S, 100
    for item in (clock, energy, reactive):
        made.captureObjects.append((item, GXDLMSCaptureObject(2, 0)))
    for number in range(ROWS):
        when = FIRST_ROW + timedelta(seconds=number * PERIOD_S)
        made.buffer.append([GXDateTime(when), 1000 + 7 * number, 10 + number])
    made.entriesInUse = ROWS
    return made


def serve(connection: socket.socket, server: Server) -> None:
    while octets := connection.recv(4096):
        reply = Reply(octets)
        server.handleRequest(reply)
        if reply.reply:
            connection.sendall(bytes(reply.reply))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framing", choices=("hdlc", "wrapper"), required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--password", default="secret-1")
    parser.add_argument("--debug", action="store_true", help="tracebacks of the library on stderr")
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", arguments.port))
    shared = objects(1)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                serve(
                    connection,
                    Server(arguments.framing, arguments.password.encode(), shared, arguments.debug),
                )
            except OSError:
                pass
            except Exception:
                # A bug in the library ends the connection, as it would in a meter made of it.
                if arguments.debug:
                    traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
