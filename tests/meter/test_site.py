"""Several meters on shared lines: the configuration, and the meters running."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.ports import telephone
from tests.ports.exchange import real_time
from tests.ports.ptys import Pty
from tests.ports.telephone import HayesModem, Network

from iondlms.client import Client
from iondlms.codec.obis import ObisCode
from iondlms.errors import DlmsError, PortError
from iondlms.hdlc import Frame, ServerAddress
from iondlms.meter import Config, ConfigError, MeterHost, Site, SiteHost, load, load_site
from iondlms.meter.fault_rules import MOST_RULES
from iondlms.meter.site import LineSection, ModemLine, Rs485Line, TcpLine
from iondlms.ports.dial import DialSetup, ModemTransport
from iondlms.ports.serial import LineSettings, SerialTransport
from iondlms.store import StoreError

UA = 0x73
NAME = ObisCode.parse("0-0:42.0.0*255")
BUS = '[[line]]\nname = "bus"\nkind = "rs485"\ndevice = "/dev/ttyUSB0"\n'
TCP = '[[line]]\nname = "tcp"\nkind = "tcp"\nlisten = "127.0.0.1:0"\n'
MODEM = '[[line]]\nname = "house"\nkind = "modem"\ndevice = "/dev/ttyS0"\n'


def meters(line: str, unit_id: int | str = 1, **more: Any) -> str:
    keys = {"line": line, "unit_id": unit_id} | more
    return "[[meter]]\n" + "".join(f"{key} = {value!r}\n" for key, value in keys.items())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def site(file: Path, text: str, settings: list[tuple[str, Any]] | None = None) -> Site:
    file.write_text(text, encoding="utf-8")
    loaded = load_site(file, settings or [])
    assert isinstance(loaded, Site)
    return loaded


def wrong(file: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        site(file, text)
    return [re.sub(r"^.*?\.toml:(\d+:)? ", "", line) for line in str(caught.value).split("\n")]


# --- the configuration ----------------------------------------------------------------------------------


def test_one_meter_stays_what_it_was(file: Path) -> None:
    file.write_text("[meter]\nmodel = 'ION9000'\n", encoding="utf-8")
    assert load_site(file) == load(file)
    assert load_site(None, [("port.ETHERNET.unit_id", 7)]) == load(None, [("port.ETHERNET.unit_id", 7)])


def test_a_site_has_the_sections_of_a_meter() -> None:
    assert set(Site.model_fields) - {"line"} == set(Config.model_fields) - {"port"}


def test_a_meter_may_have_a_source_of_its_own(file: Path) -> None:
    # One gateway for a switchboard: several meters behind one Modbus line, each by its own unit id.
    own = '[meter.source]\nkind = "modbus"\nurl = "rtu:/dev/ttyUSB9"\nunit_id = '
    text = TCP + meters("tcp", 1) + own + "11\n" + meters("tcp", 2) + own + "12\n" + meters("tcp", 3)
    made = [each for _, each in site(file, text + "[source]\nshape = 'factory'\n").meters()]
    assert [getattr(each.source, "unit_id", None) for each in made] == [11, 12, None]
    assert getattr(made[2].source, "shape", None) == "factory"
    bad = TCP + meters("tcp", 1) + own + "256\n"
    (told,) = wrong(file, bad)
    assert told.startswith("meter[0].source.unit_id: 256 is out of range; write 0 to 255")
    past = TCP + meters("tcp", 1, history=96) + own + "1\n"
    assert wrong(file, past) == [
        "meter[0].history: what another meter measured before cannot be read over Modbus"
    ]


def test_each_meter_is_a_configuration_of_its_own(file: Path) -> None:
    text = (
        BUS
        + "baud = 19200\nrx_timeout = 3\ninactivity = 77\n"
        + meters("bus", 5, count=2, model="ION9000", data="kept")
    )
    text += (
        meters("bus", 100, seed=77, port="COM4", serial="MW-1504A002-01")
        + "[clock]\nzone = 'Europe/Madrid'\n"
    )
    made = list(site(file, text).meters())
    assert [line.name for line, _ in made] == ["bus"] * 3
    configs = [config for _, config in made]
    assert [config.port[0].unit_id for config in configs] == [5, 6, 100]
    assert [config.port[0].name for config in configs] == ["COM1", "COM1", "COM4"]
    assert [config.port[0].rx_timeout for config in configs] == [3.0] * 3
    assert [config.port[0].inactivity for config in configs] == [77.0] * 3
    assert [config.meter.seed for config in configs] == [5, 6, 77]  # the Unit ID where none is given
    assert [config.meter.data for config in configs] == [Path("kept/bus/0005"), Path("kept/bus/0006"), None]
    assert {config.clock.zone for config in configs} == {"Europe/Madrid"}
    names = [MeterHost(config, own_ports=False).meter.logical_device_name for config in configs]
    assert len(set(names)) == 3
    assert names[2] == "SCH8650W1504A002"


def test_seeds_of_several_count_on(file: Path) -> None:
    made = site(file, TCP + meters("tcp", 9, count=3, seed=100)).meters()
    assert [config.meter.seed for _, config in made] == [100, 101, 102]


def test_the_kinds_of_lines(file: Path) -> None:
    modem = (
        MODEM + "init = 'ATZ'\nrings = 3\nanswer_hours = '22:00-06:00'\nrings_outside = 0\nrts = 'rts_cts'\n"
    )
    text = BUS + "direction = 'rts'\n" + TCP + modem
    text += meters("bus") + meters("tcp") + meters("house")
    lines = site(file, text).line
    assert [type(line) for line in lines] == [Rs485Line, TcpLine, ModemLine]
    assert all(isinstance(line, LineSection) for line in lines)
    assert isinstance(lines[0], Rs485Line)
    assert lines[0].url == "serial:/dev/ttyUSB0?baud=9600&framing=8N1"
    assert isinstance(lines[2], ModemLine)
    assert lines[2].url == "modem:/dev/ttyS0?baud=9600&framing=8N1"
    assert lines[2].hours.rings(23 * 60) == 3
    assert lines[2].hours.rings(12 * 60) == 0


MOST = [(BUS, "bus", 247), (MODEM, "house", 31), (TCP, "tcp", 9999)]


@pytest.mark.parametrize(("line", "name", "most"), MOST)
def test_the_most_meters_of_a_line(file: Path, line: str, name: str, most: int) -> None:
    assert len(list(site(file, line + meters(name, count=most)).meters())) == most
    if most < 9999:
        kind = {"bus": "rs485", "house": "modem"}[name]
        several = line + meters(name, count=most) + meters(name, 5000)
        assert wrong(file, several) == [f"line.{name}: {most + 1} meters; a line of kind {kind} has {most}"]
    else:
        (told,) = wrong(file, line + meters(name, count=most, unit_id=2))
        assert told == "meter[0].count: the last Unit ID would be 10000; 9999 is the highest"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BUS + meters("bus", 0), "meter[0].unit_id: "),
        (BUS + meters("bus", 10_000), "meter[0].unit_id: "),
        (BUS + "[[meter]]\nunit_id = 1\n", "meter[0].line: must be given"),
        (BUS + "[[meter]]\nline = 'bus'\n", "meter[0].unit_id: must be given"),
        (BUS + meters("bus") + meters("buss", 2), "meter[1].line: there is no line 'buss'; there are bus"),
        (BUS + meters("bus", 5, count=3) + meters("bus", 7), "meter[1].unit_id: Unit ID 7 is another"),
        (BUS + meters("bus", model="ION1"), "meter[0].model: 'ION1' is no model"),
        (BUS + meters("bus", colour=1), "meter[0].colour: there is no such key"),
        (BUS + meters("bus", port="COM3"), "meter[0].port: COM3 of an ION8650 is no RS-485"),
        (BUS + meters("bus", port="COM4", model="ION7400"), "meter[0].port: an ION7400 has no port COM4"),
        (BUS + meters("bus", count=2, serial="X1"), "meter[0].count: 2 meters cannot have one serial"),
        (BUS + meters("bus", count=2, logical_device_name="SCHME"),
         "meter[0].count: 2 meters cannot have one logical_device_name"),
        (BUS + meters("bus", 5, count=3) + meters("bus", 6, count=2), "meter[1].unit_id: Unit ID 6 is"),
        # Of what is wrong itself nothing more is said.
        (BUS + meters("bus", "x") + meters("bus", 1), "meter[0].unit_id: 'x' is no whole number"),
        (BUS.replace('"bus"', "5") + meters("bus") + "[[fault]]\naction = 'drop'\nport = 'bus'\n",
         "line[0].name: 5 is no text"),
        (BUS + "baud = 300\n" + meters("bus", model="ION9000"), "line.bus.baud: COM1 of an ION9000 has no"),
        (BUS + "baud = 9601\n" + meters("bus"), "line.bus.baud: COM1 of an ION8650 has no baud 9601"),
        (BUS + "framing = '7E1'\n" + meters("bus"), "line.bus.framing: "),
        (BUS + "listen = 'x:1'\n" + meters("bus"), "line.bus.listen: there is no such key"),
        (BUS + "rx_timeout = 20\n" + meters("bus"), "line.bus.rx_timeout: "),
        (BUS + BUS.replace("bus", "two") + meters("bus") + meters("two"),
         "line.two.device: /dev/ttyUSB0 is the device of bus"),
        (BUS + BUS.replace("ttyUSB0", "ttyUSB1") + meters("bus"), "line.bus.name: each line is given once"),
        (BUS, "meter: must be given"),
        (BUS + TCP + meters("bus"), "line.tcp: no meter is on it"),
        (TCP.replace("127.0.0.1:0", "nowhere") + meters("tcp"), "line.tcp.listen: 'nowhere' is no listening"),
        (TCP + "device = '/dev/a'\n" + meters("tcp"), "line.tcp.device: there is no such key"),
        (MODEM + f"init = 'AT{'X' * 46}'\n" + meters("house"), "line.house.init: "),
        ("[[line]]\nname = 'x'\nkind = 'radio'\n" + meters("x"), "line.x.kind: 'radio' is no kind of line"),
        ("[[line]]\nkind = 'tcp'\n" + meters("x"), "line[0].name: must be given"),
        ("line = [5]\n" + meters("x"), "line[0]: write each line as a section of its own"),
        (TCP + meters("tcp") + "[[port]]\nunit_id = 1\n", "port: meters on lines have no [[port]]"),
        (TCP + "[meter]\nline = 'tcp'\nunit_id = 1\n", "meter: there may be several; write it as [[meter]]"),
        ("[[line]]\nname = 'x'\n" + meters("x"), "line.x.kind: must be given: tcp, rs485, modem"),
        (TCP + meters("tcp", model="ION9000") + "[clock]\ntime_sync_source = 'COM3'\n",
         "clock.time_sync_source: an ION9000 has no port COM3"),
        (TCP + meters("tcp") + "[clock]\ntime_sync_source = 'COM7'\n", "clock.time_sync_source: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_it(file: Path, text: str, told: str) -> None:
    (line,) = wrong(file, text)
    assert line.startswith(told)


def test_several_things_at_once(file: Path) -> None:
    text = BUS + "baud = 300\n" + meters("bus", 1) + meters("bus", 1) + meters("bus", 2, model="ION9000")
    assert [line.partition(":")[0] for line in wrong(file, text + meters("x"))] == [
        "line.bus.baud",
        "meter[1].unit_id",
        "meter[3].line",
    ]


def test_modules_are_looked_at_where_no_meter_is_right(file: Path) -> None:
    recorder = "[[data_recorder]]\nname = 'Own'\nsources = ['kWh del']\nrecord = 'nothing'\n"
    assert [line.partition(":")[0] for line in wrong(file, TCP + recorder)] == [
        "data_recorder[0].record",
        "meter",
    ]


def test_what_is_wrong_between_a_meter_and_its_faults_is_told_beside_the_rest(file: Path) -> None:
    rules = "[[fault]]\naction = 'drop'\n" * (MOST_RULES + 1)
    text = BUS + "inactivity = 'x'\n" + TCP + meters("bus", 1) + meters("tcp", 2) + rules
    assert wrong(file, text)[1:] == [
        f"fault: {MOST_RULES + 1} are for one meter; it has {MOST_RULES} at most"
    ]


def test_keys_set_over_the_file(file: Path) -> None:
    text = TCP + meters("tcp", 1) + meters("tcp", 2)
    changed = [
        ("meter.model", "ION9000"),
        ("history", 5),
        ("line.tcp.rx_timeout", "3s"),
        ("clock.zone", "Asia/Tokyo"),
    ]
    loaded = site(file, text, changed)
    assert [(member.model, member.history) for member in loaded.meter] == [("ION9000", 5)] * 2
    assert (loaded.line[0].rx_timeout, loaded.clock.zone) == (3.0, "Asia/Tokyo")
    for key, told in (
        ("line.x.rx_timeout", "there is no line x"),
        ("line.tcp", "write it as line.NAME.KEY"),
        ("port.ETHERNET.unit_id", "have no ports of their own"),
    ):
        with pytest.raises(ConfigError, match=f"^{key}: .*{told}"):
            site(file, text, [(key, 1)])


# --- running --------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(file: Path, text: str) -> AsyncIterator[SiteHost]:
    async with SiteHost(site(file, text)) as host:
        yield host


def snrm(unit: int, logical: int = 1) -> bytes:
    return Frame(ServerAddress(logical, unit, 4).encode(), b"\x21", 0x93).encode()


def units_in(octets: bytes) -> list[tuple[int, int]]:
    """Unit ID and control field of each frame."""
    found = []
    while octets:
        length = 2 + (int.from_bytes(octets[1:3], "big") & 0x7FF)
        frame = Frame.decode(octets[:length])
        found.append((ServerAddress.decode(frame.source).lower or 0, frame.control))
        octets = octets[length:]
    return found


def address(host: SiteHost) -> tuple[str, int]:
    name, _, port = host.ports[0].url.removeprefix("tcp://").rpartition(":")
    return name, int(port)


async def ask(host: SiteHost, *frames: bytes, answers: int) -> list[tuple[int, int]]:
    """Say frames one after the other on one connection; return who answered."""
    reader, writer = await asyncio.open_connection(*address(host))
    said = b""
    for frame in frames:
        writer.write(frame)
    async with asyncio.timeout(30):
        while len(units_in_whole(said)) < answers:
            said += await reader.read(4096)
    await asyncio.sleep(0.05)  # who answers although it was not meant would do so by now
    writer.close()
    said += await reader.read()
    return units_in(said)


def units_in_whole(octets: bytes) -> list[int]:
    return [place for place in range(len(octets)) if octets[place : place + 1] == b"\x7e"][1::2]


async def test_a_thousand_meters_on_one_tcp_listener(file: Path) -> None:
    async with running(file, TCP + meters("tcp", count=1000)) as host:
        assert [port.name for port in host.ports] == ["tcp"]
        asked = [snrm(unit) for unit in (*range(1, 1002), 9999)]
        broadcasts = [snrm(0x3FFF), snrm(0x3FFF, 0x3FFF), snrm(0), snrm(1, logical=2)]
        heard = await ask(host, *broadcasts, *asked, answers=1000)
        assert heard == [(unit, UA) for unit in range(1, 1001)]
        url = host.ports[0].url.replace("tcp:", "hdlc:")
        names = []
        for unit in (1, 500, 1000):
            async with Client(f"{url}?unit={unit}") as client:
                names.append((await client.get(NAME)).octets())
        assert len(set(names)) == 3
        assert all(name.startswith(b"SCH8650") for name in names)


@pytest.mark.parametrize("count", [247])
async def test_all_of_an_rs485_line_over_a_pty(file: Path, count: int) -> None:
    with Pty() as pty:
        text = BUS.replace("/dev/ttyUSB0", pty.path) + "baud = 115200\ntransmit_delay = 0\n"
        async with running(file, text + meters("bus", count=count, history=3)) as host:
            assert [port.url for port in host.ports] == [f"serial:{pty.path}?baud=115200&framing=8N1"]
            for unit in (0x3FFF, 0, *range(1, count + 1), count + 1):
                await asyncio.to_thread(pty.write, snrm(unit))
                there = 1 <= unit <= count
                got = await asyncio.to_thread(pty.read, 10.0 if there else 0.1)
                assert units_in(got) == ([(unit, UA)] if there else [])


async def test_a_shared_line_is_set_to_another_baud_while_it_is_open(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Pty() as pty:
        text = BUS.replace("/dev/ttyUSB0", pty.path) + "baud = {}\nrx_timeout = {}\n" + meters("bus", count=2)
        async with running(file, text.format(9600, 1)) as host:
            assert await host.apply(site(file, text.format(38400, 2))) == [
                "line.bus.rx_timeout has changed: that takes a restart"
            ]
            assert pty.speed == termios.B38400
            assert "bus works at 38400 baud, 8N1 now; its links are over" in caplog.text
            assert host.ports[0].url.endswith("?baud=38400&framing=8N1")
            await asyncio.to_thread(pty.write, snrm(2))
            assert units_in(await asyncio.to_thread(pty.read, 10.0)) == [(2, UA)]
            caplog.clear()
            assert await host.apply(site(file, text.format(38400, 2))) == [
                "line.bus.rx_timeout has changed: that takes a restart"
            ]
            assert await host.apply(site(file, text.format(38400, 1))) == []
            assert not caplog.records


async def test_thirty_one_meters_behind_one_modem(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telephone, "RING_S", 0.1)
    monkeypatch.setattr(telephone, "CONNECT_S", 0.1)
    network = Network()
    network.now = time.monotonic()
    caller, called = HayesModem(network, "1", pins=False), HayesModem(network, "2", pins=False)
    with Pty() as mine, Pty() as its, real_time(network, {caller: mine, called: its}):
        text = MODEM.replace("/dev/ttyS0", its.path) + "rings = 2\n" + meters("house", count=31)

        def call() -> list[tuple[int, int]]:
            line = SerialTransport.connect(LineSettings(mine.path))
            with ModemTransport.connect(line, DialSetup("2")) as transport:
                heard = []
                for unit in range(1, 32):
                    transport.send(snrm(unit))
                    octets = b""
                    while len(octets) < 3 or not octets.endswith(b"~"):
                        octets += transport.receive(transport.now() + 10)
                    heard += units_in(octets)
                return heard

        async with running(file, text):
            assert await asyncio.to_thread(call) == [(unit, UA) for unit in range(1, 32)]
            assert network.rings == 2


async def test_meters_record_each_for_itself(file: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "kept")
    text = TCP + meters("tcp", 3, count=2, data=data, history=20) + meters("tcp", 100, data=data, history=20)
    read = []
    for _ in range(2):  # the second time from the disk
        async with running(file, text) as host:
            url = host.ports[0].url.replace("tcp:", "hdlc:")
            for unit in (3, 4, 100):
                async with Client(f"{url}?unit={unit}") as client:
                    profile = await client.profile("load", entries=(1, 20))
                    read.append([tuple(row.values()) for row in profile.dicts()])
    assert read[:3] == read[3:]
    assert len({str(rows) for rows in read}) == 3
    folders = sorted(path.parent.relative_to(data).as_posix() for path in Path(data).rglob("meter.sqlite"))
    assert folders == ["tcp/0003", "tcp/0004", "tcp/0100"]
    with sqlite3.connect(Path(data) / "tcp/0100/meter.sqlite") as database:
        assert database.execute("select count(*) from record").fetchone()[0] >= 40


async def test_a_line_that_cannot_be_had_leaves_nothing_open(file: Path, tmp_path: Path) -> None:
    with Pty() as pty:
        taken = BUS.replace("/dev/ttyUSB0", pty.path)
        both = taken + BUS.replace("bus", "two").replace("/dev/ttyUSB0", str(tmp_path / "none"))
        data = str(tmp_path / "kept")
        with pytest.raises(PortError, match=r"two: .*cannot be opened"):
            async with running(file, both + meters("bus", data=data) + meters("two")):
                pass
        async with running(file, taken + meters("bus", data=data)):
            with pytest.raises(StoreError, match="in use"):
                async with running(file, TCP.replace("tcp", "bus", 1) + meters("bus", data=data)):
                    pass
        async with running(file, taken + meters("bus", data=data)):
            pass


async def test_meters_on_a_line_have_their_clocks_set_by_it_if_it_is_the_source(file: Path) -> None:
    text = TCP + meters("tcp", count=2, password="secret")
    when = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    for source, accepted in (("COM1", True), ("ETHERNET", False)):
        async with running(file, text + f"[clock]\ntime_sync_source = '{source}'\n") as host:
            url = host.ports[0].url.replace("tcp:", "hdlc:")
            async with Client(f"{url}?unit=2&client=1", password="secret") as client:
                with nullcontext() if accepted else pytest.raises(DlmsError):
                    await client.set_clock(when)
                instant = (await client.clock()).instant
                assert instant is not None
                assert (abs(instant - when) < timedelta(seconds=60)) is accepted
            async with Client(f"{url}?unit=1") as client:  # the other meter has a clock of its own
                instant = (await client.clock()).instant
                assert instant is not None
                assert abs(instant - when) > timedelta(days=1)
