"""A meter of others: pymodbus' own server, whose registers a test sets, and which it can stop or hold up."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

ENERGIES = {"kWh del": 3204, "kWh rec": 3208, "kVARh del": 3220, "kVARh rec": 3224, "kVAh del+rec": 3244}


class OtherMeter:
    """Registers by number from 1, INT64 energies in Wh, on a port of its own that it keeps when restarted."""

    def __init__(self, framer: FramerType = FramerType.SOCKET, size: int = 4000) -> None:
        self.words: dict[int, int] = {}
        self.refused: set[int] = set()  # registers that are not there: exception 2
        self.busy = False
        self.requests: list[tuple[int, int]] = []  # first register and count
        self.held: asyncio.Event | None = None
        self._framer = framer
        self._size = size
        self.port = 0
        self._server: ModbusTcpServer | None = None

    @property
    def url(self) -> str:
        scheme = "tcp" if self._framer is FramerType.SOCKET else "rtu+tcp"
        return f"{scheme}://127.0.0.1:{self.port}"

    def put(self, register: int, form: str, value: float) -> None:
        octets = struct.pack(">" + form, value)
        for index in range(len(octets) // 2):
            self.words[register + index] = int.from_bytes(octets[2 * index : 2 * index + 2], "big")

    def energies(self, *values: int) -> None:
        for register, value in zip(ENERGIES.values(), values, strict=True):
            self.put(register, "q", value)

    async def start(self) -> None:
        device = SimDevice(
            1,
            [SimData(0, count=self._size, values=0, datatype=DataType.REGISTERS)],
            action=self._answer,
        )
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port), framer=self._framer)
        await self._server.serve_forever(background=True)
        transport: Any = self._server.transport
        self.port = transport.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    async def __aenter__(self) -> OtherMeter:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.held is not None:
            self.held.set()
        await self.stop()

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        self.requests.append((address + 1, count))
        if self.held is not None:
            await self.held.wait()
        if self.busy:
            return ExcCodes.DEVICE_BUSY
        wanted = range(address + 1, address + 1 + count)
        if self.refused.intersection(wanted):
            return ExcCodes.ILLEGAL_ADDRESS
        for register in wanted:
            current_registers[register - 1 - start_address] = self.words.get(register, 0)
        return None
