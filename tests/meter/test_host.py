"""A running meter: real sockets, a real data folder, and both of them failing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.meter.bench import AARQ, START_MS, get_request
from tests.meter.octets import W_AARE, W_AARQ

from iondlms.errors import PortError
from iondlms.ion.state import Pending
from iondlms.meter import MeterHost, load
from iondlms.meter import keeper as keeper_module
from iondlms.ports.tcp import TcpPort
from iondlms.store import Store, StoreError

NEARLY_MS = START_MS + 869_700  # 0.3 s before the next row
GET_USED = get_request(7, "1-0:99.1.0*255", 7)


def host(
    folder: Path | None, *settings: tuple[str, Any], utc_ms: int = START_MS, **options: Any
) -> MeterHost:
    fixed = [("port.ETHERNET.listen", "127.0.0.1:0"), ("history", 20)]
    if folder is not None:
        fixed.append(("data", str(folder)))
    return MeterHost(load(None, [*fixed, *settings]), utc_ms=utc_ms, **options)


def address(of: MeterHost) -> tuple[str, int]:
    host, _, port = of.ports[0].url.removeprefix("tcp://").rpartition(":")
    return host, int(port)


class Client:
    """SAP 16 over the wrapper."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, to: MeterHost) -> Client:
        client = cls(*await asyncio.open_connection(*address(to)))
        assert await client.send(W_AARQ) == bytes.fromhex(W_AARE)[8:]
        return client

    async def send(self, octets: str) -> bytes:
        self.writer.write(bytes.fromhex(octets))
        head = await self.reader.readexactly(8)
        return await self.reader.readexactly(int.from_bytes(head[6:], "big"))

    async def used(self) -> int:
        """entries_in_use of the load profile."""
        answer = await self.send(f"000100100001{len(GET_USED) // 2:04X}{GET_USED}")
        assert answer[:5] == bytes.fromhex("C401C10006")
        return int.from_bytes(answer[5:], "big")

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_it_serves_and_records() -> None:
    async with asyncio.timeout(10), host(None, utc_ms=NEARLY_MS) as running:
        client = await Client.connect(running)
        assert await client.used() == 20
        while await client.used() == 20:
            await asyncio.sleep(0.01)
        assert await client.used() == 21
        await client.close()


async def test_a_port_that_binds_and_does_not_start_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(10), host(None, ("port.ETHERNET.protocol", "NONE")) as running:
        assert running.ports == []
        bound: list[tuple[TcpPort, tuple[str, int]]] = []  # not left to the garbage collector

        async def start(port: TcpPort) -> None:
            bound.append((port, port.address))
            raise PortError("ETHERNET: cannot listen")

        section = load(None, [("port.ETHERNET.listen", "127.0.0.1:0")]).port[0]
        with monkeypatch.context() as patched:
            patched.setattr(TcpPort, "start", start)
            with pytest.raises(PortError):
                await running.switch(section)
        assert running.ports == []
        with socket.socket() as other:  # whoever wants the address gets it
            other.bind(bound[0][1])
        assert await running.switch(section) == ["answers DLMS again"]
        client = await Client.connect(running)
        await client.close()


async def test_a_fast_clock_fills_the_recorders() -> None:
    async with asyncio.timeout(10), host(None, speed=100_000.0) as running:
        recorder = running.meter.ion.recorders["Load Profile"]
        while recorder.log.count < 40:
            await asyncio.sleep(0.01)


async def test_a_restart_finds_the_rows(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        async with host(tmp_path, utc_ms=NEARLY_MS) as running:
            recorder = running.meter.ion.recorders["Load Profile"]
            while recorder.log.count < 21:
                await asyncio.sleep(0.01)
            before = recorder.log.packed(0, 1000)
        async with host(tmp_path, utc_ms=NEARLY_MS + 60_000) as running:
            client = await Client.connect(running)
            assert await client.used() == 21
            assert running.meter.ion.recorders["Load Profile"].log.packed(0, 1000) == before
            await client.close()
    with Store.open(tmp_path) as store:
        saved = store.load()
    assert saved is not None
    assert not saved.state.powered


async def test_a_row_is_on_the_disk_before_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(10), host(tmp_path, utc_ms=NEARLY_MS) as running:
        recorder = running.meter.ion.recorders["Load Profile"]
        seen: list[int] = []
        write = Store.write

        def watched(store: Store, batch: Pending) -> None:
            seen.append(recorder.log.count)
            write(store, batch)

        monkeypatch.setattr(Store, "write", watched)
        while recorder.log.count < 21:
            await asyncio.sleep(0.01)
        assert seen
        assert set(seen) == {20}


async def test_failing_writes_keep_it_serving_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.02)
    write = Store.write
    failing = True
    tries = 0

    def full(store: Store, batch: Pending) -> None:
        nonlocal tries
        if failing:
            tries += 1
            raise StoreError("cannot write: the disk is full")
        write(store, batch)

    async with asyncio.timeout(10), host(tmp_path, utc_ms=NEARLY_MS, speed=1000.0) as running:
        monkeypatch.setattr(Store, "write", full)
        client = await Client.connect(running)
        while tries < 3:
            assert await client.used() == 20  # what is not safe is not shown
            await asyncio.sleep(0.01)
        assert caplog.text.count("the disk is full") == 1  # told once, tried again quietly
        failing = False
        while await client.used() < 22:
            await asyncio.sleep(0.01)
        assert "can be written again" in caplog.text
        used = await client.used()
        await client.close()
    async with host(tmp_path, utc_ms=NEARLY_MS + 10_000_000) as running:
        assert running.meter.ion.recorders["Load Profile"].log.count >= used


async def test_a_failed_batch_is_written_before_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.2)
    write = Store.write
    written: list[int] = []
    failures = 0

    def once(store: Store, batch: Pending) -> None:
        nonlocal failures
        if not failures:
            failures += 1
            raise StoreError("cannot write: just this once")
        assert batch.state is not None
        written.append(batch.state.alive_ms)
        write(store, batch)

    # A batch every 60 ms: the meter's state, each minute.
    async with asyncio.timeout(10), host(tmp_path, speed=1000.0):
        monkeypatch.setattr(Store, "write", once)
        while len(written) < 4:
            await asyncio.sleep(0.01)
    assert failures == 1
    assert written == sorted(written)


async def test_stop_while_writes_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.02)
    async with asyncio.timeout(10):
        running = host(tmp_path, utc_ms=NEARLY_MS)
        await running.start()

        def full(store: Store, batch: Pending) -> None:
            raise StoreError("cannot write: the disk is full")

        monkeypatch.setattr(Store, "write", full)
        while "the disk is full" not in caplog.text:
            await asyncio.sleep(0.01)
        await running.stop()
        assert "lost" in caplog.text
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await asyncio.sleep(0.05)  # longer than the next try would have been away
        assert not errors
        await running.stop()


async def test_stop_is_graceful_with_a_client_there(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        running = host(tmp_path)
        await running.start()
        client = await Client.connect(running)
        await running.stop()
        assert await client.reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address(running))
        await client.close()
        async with host(tmp_path):  # the folder is free again
            pass


async def test_a_taken_port_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PortError, match=f"ETHERNET: cannot listen on {address}"):
            await host(tmp_path, ("port.ETHERNET.listen", address)).start()
    async with host(tmp_path):
        pass


async def test_an_unusable_folder_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        await host(tmp_path / "file").start()
    async with host(tmp_path):
        with pytest.raises(StoreError, match="in use"):
            await host(tmp_path).start()


async def test_settled_waits_for_the_disk(tmp_path: Path) -> None:
    async with asyncio.timeout(10), host(tmp_path, utc_ms=NEARLY_MS, speed=1000.0) as running:
        recorder = running.meter.ion.recorders["Load Profile"]
        while recorder.next_sequence <= 21:
            await asyncio.sleep(0.005)
        await running.settled()
        assert recorder.log.count >= 21


@pytest.mark.parametrize("cutoff", [5, 255])
async def test_a_set_clock_moves_the_next_row(cutoff: int) -> None:
    """The timer of the host follows a clock that a client has set, be it an event or not."""
    settings = ("password", "12345678"), ("event_log.cutoff", cutoff)
    async with asyncio.timeout(10), host(None, *settings) as running:
        reader, writer = await asyncio.open_connection(*address(running))
        lls = "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738" + AARQ[-36:]
        client = Client(reader, writer)
        assert b"\xa2\x03\x02\x01\x00" in await client.send(f"000100010001{len(lls) // 2:04X}{lls}")
        request = "C101C100080000010000FF0200090C07EA0B16FF0C0E3B50000000"  # 12:14:59.80
        assert await client.send(f"000100010001{len(request) // 2:04X}{request}") == bytes.fromhex("C501C100")
        recorder = running.meter.ion.recorders["Load Profile"]
        while recorder.log.count < 21:
            await asyncio.sleep(0.01)
        assert recorder.latest_status == 0x0020
        await client.close()
