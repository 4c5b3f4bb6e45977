"""What attacks on the meter have found, each in its smallest form."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from random import Random

import pytest
from tests.meter.bench import START_MS, Bench

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer
from iondlms.ion.state import Pending
from iondlms.meter import Meter, MeterHost, load
from iondlms.ports.tcp import TcpPort
from iondlms.store import Store, StoreError

_NOTHING_SPECIFIED = "C101C100080000010000FF0200090C" + "FF" * 9 + "8000FF"


def test_a_time_set_that_specifies_nothing_keeps_the_clock() -> None:
    """A part of a hundredth lost at each SET: a client could hold the clock still by asking often."""
    bench = Bench("wrapper", 1)
    bench.associate()
    begin_ms = bench.meter.present_ms(bench.now)
    for _ in range(100):
        bench.wait(0.009)
        assert bench.apdu(_NOTHING_SPECIFIED) == bytes.fromhex("C501C100")
    assert bench.meter.present_ms(bench.now) == begin_ms + 900
    assert bench.meter.ion.state.offset_ms == 0


def test_noise_full_of_half_headers_is_searched_once() -> None:
    """Two damaged headers whose claimed ends lie apart sent the search back to the first end each time."""

    def seconds(octets: bytes) -> float:
        best = 1.0
        for _ in range(3):
            deframer = Deframer()
            begin = time.process_time()
            deframer.feed(octets * (2048 // len(octets)))
            best = min(best, time.process_time() - begin)
        return best

    # Both have the same number of candidates; 20 times as slow before, half as fast now.
    assert seconds(bytes.fromhex("7EA2A1AB7EA1")) < 6 * seconds(bytes.fromhex("7EA2A1AB7EA2"))


# --- a data folder whose disk has rotted ---------------------------------------------------------------


def _folder(path: Path) -> Path:
    """Make a data folder with some rows, closed in good order; return its database."""
    meter = Meter(load(None, [("history", 20)]), commit=(batches := list[Pending]()).append)
    meter.start(START_MS, 0.0)
    meter.power_down(0.0)
    with Store.open(path) as store:
        for batch in batches:
            store.write(batch)
    return path / "meter.sqlite"


def _started(path: Path) -> Meter:
    meter = Meter(load(None))
    with Store.open(path) as store:
        meter.start(START_MS, 0.0, store.load())
    return meter


@pytest.mark.parametrize("octet", [0x7F, 0x80, 0xFF])
def test_a_row_of_no_possible_time_is_found_at_the_start(tmp_path: Path, octet: int) -> None:
    """Such a row came out of the endpoint as an OverflowError, at each read of the profile."""
    database = sqlite3.connect(_folder(tmp_path))
    (row,) = database.execute("select octets from record where recorder = 1 and sequence = 7").fetchone()
    damaged = row[:7] + bytes((octet,)) + row[8:]
    database.execute("update record set octets = ? where recorder = 1 and sequence = 7", (damaged,))
    database.commit()
    database.close()
    with pytest.raises(LocalError, match="row"):
        _started(tmp_path)


@pytest.mark.parametrize("key", ["alive_ms", "offset_ms"])
def test_a_clock_of_no_possible_time_is_found_at_the_start(tmp_path: Path, key: str) -> None:
    database = sqlite3.connect(_folder(tmp_path))
    database.execute("update state set body = json_set(body, ?, ?)", (f"$.{key}", 1 << 60))
    database.commit()
    database.close()
    with pytest.raises(StoreError, match="damaged"):
        _started(tmp_path)


@pytest.mark.parametrize(
    "damage", [(b"references recorder", b"references recordgr"), (b"body text", b"bo\xfcy text")]
)
def test_a_damaged_schema_is_found_at_the_start(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    """It passed SQLite's own check, and then no row could be written; or broke out of the sqlite3 module."""
    path = _folder(tmp_path)
    octets = path.read_bytes()
    assert octets.count(damage[0]) == 1
    path.write_bytes(octets.replace(*damage))
    with pytest.raises(StoreError, match="damaged"):
        _started(tmp_path)


def test_flipped_bits_of_the_database_are_a_clear_error_or_a_meter_that_answers(tmp_path: Path) -> None:
    good = _folder(tmp_path / "good").read_bytes()
    random = Random(1)
    path = tmp_path / "meter.sqlite"
    refused = 0
    for _ in range(150):
        octets = bytearray(good)
        for _ in range(random.choice((1, 3, 20))):
            octets[random.choice((random.randrange(len(octets)), random.randrange(200)))] ^= (
                1 << random.randrange(8)
            )
        for leftover in tmp_path.glob("meter.sqlite*"):
            leftover.unlink()
        path.write_bytes(octets)
        try:
            meter = _started(tmp_path)
        except LocalError:
            refused += 1
            continue
        bench = Bench("wrapper")
        bench.meter, bench.now = meter, 0.0
        bench.connect()
        bench.associate()
        for class_id, name in ((7, "1-0:99.1.0*255"), (7, "1-0:98.1.0*255"), (8, "0-0:1.0.0*255")):
            assert bench.read(class_id, name)
    assert 20 < refused < 150


# --- a disk that fails while the meter stops ------------------------------------------------------------


async def test_a_row_whose_write_fails_during_the_stop_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was dropped, the state after it was kept, and the meter could never be started again."""
    settings = [("port.ETHERNET.listen", "127.0.0.1:0"), ("history", 20), ("data", str(tmp_path))]
    running = MeterHost(load(None, settings), utc_ms=START_MS)
    await running.start()
    write, stop_port, failures = Store.write, TcpPort.stop, [True]

    def failing_once(store: Store, batch: Pending) -> None:
        if batch.rows and failures:
            failures.pop()
            raise StoreError("disk full")
        write(store, batch)

    async def stop_with_a_client_at_the_boundary(port: TcpPort) -> None:
        if failures:
            running.meter.advance(asyncio.get_running_loop().time() + 900.0)
        await stop_port(port)

    monkeypatch.setattr(Store, "write", failing_once)
    monkeypatch.setattr(TcpPort, "stop", stop_with_a_client_at_the_boundary)
    await running.stop()
    assert not failures
    assert _started(tmp_path).ion.recorders["Load Profile"].log.count == 21
