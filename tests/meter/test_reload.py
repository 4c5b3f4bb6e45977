"""A running meter whose configuration changes: what is done at once, what waits, what is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.meter.bench import SET_TIME, START_MS, Bench
from tests.meter.test_host import host

from iondlms.codec.axdr import Tag
from iondlms.codec.obis import ObisCode
from iondlms.errors import LocalError
from iondlms.ion import Priority
from iondlms.ion.state import Pending
from iondlms.meter import Config, Meter, MeterHost, Site, SiteHost, load, load_site
from iondlms.meter.reload import When
from iondlms.store import Archive

VOLTS = """
[[periodic_timer]]
name = "Minute"
period = "1m"
[[data_recorder]]
name = "Volts"
record = "Minute"
sources = ["Vln a", "I a"]
[[dlms_log_export]]
data_recorder = "Volts"
profile_obis = "1-0:99.2.0*255"
"""
BILLING = """
[[dlms_log_export]]
data_recorder = "Billing"
profile_obis = "1-0:98.1.0*255"
status_register = false
obis_codes = ["none", "1-1:2.8.1*255"]
"""
PROFILE, LOAD, BILL = "1-0:99.2.0*255", "1-0:99.1.0*255", "1-0:98.1.0*255"


@pytest.fixture
def bench() -> Bench:
    made = Bench("wrapper", settings=[("port.ETHERNET.inactivity", "1d")])
    made.associate()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meter.toml"


def config(file: Path, bench: Bench, text: str) -> Config:
    file.write_text(text, "utf-8")
    return load(file, bench.settings)


def apply(file: Path, bench: Bench, text: str, *, clearing: bool = False) -> list[str]:
    return [str(each) for each in bench.meter.apply(config(file, bench, text), bench.now, clearing=clearing)]


def names(bench: Bench) -> set[str]:
    """The logical names that the open association lists."""
    listed = bench.value(15, "0-0:40.0.0*255").items()
    return {str(ObisCode(item.items()[2].octets())) for item in listed}


def events(meter: Meter) -> list[tuple[int, str, str]]:
    return [(event.priority, event.cause, event.effect) for event in meter.ion.event_log.events]


def test_the_same_configuration_changes_nothing(bench: Bench, file: Path) -> None:
    before = bench.rows(LOAD)
    assert apply(file, bench, "", clearing=True) == []
    assert bench.rows(LOAD) == before
    assert not any(priority == Priority.SETUP_CHANGE for priority, *_ in events(bench.meter))


def test_obis_codes_change_at_once_and_lose_nothing(bench: Bench, file: Path) -> None:
    rows = bench.rows(BILL)
    load_rows = bench.rows(LOAD)
    assert apply(file, bench, BILLING) == [f"DLMS Log Export '{BILL}': changed"]
    assert bench.rows(LOAD) == load_rows
    assert [row[1:] for row in bench.rows(BILL)] == [(row[3],) for row in rows]
    assert "1-1:2.8.1*255" in names(bench)
    assert "1-1:2.8.0*255" not in names(bench)
    assert (Priority.SETUP_CHANGE, f"DLMS Log Export '{BILL}'", "changed") in events(bench.meter)
    bench.wait(7200)
    assert len(bench.rows(BILL)) == len(rows) + 1
    assert apply(file, bench, "") == [f"DLMS Log Export '{BILL}': changed"]
    assert [row[2:] for row in bench.rows(BILL)[: len(rows)]] == [row[2:] for row in rows]


def test_a_recorder_waits_until_it_is_told_to_begin(bench: Bench, file: Path) -> None:
    wanted = [
        "Trigger 'Minute': added; waits for --apply or a restart",
        "Data Recorder 'Volts': added; waits for --apply or a restart",
        f"DLMS Log Export '{PROFILE}': added; waits for --apply or a restart",
    ]
    assert apply(file, bench, VOLTS) == wanted
    assert PROFILE not in names(bench)
    assert [str(change) for change in bench.meter.changes(config(file, bench, VOLTS))] == wanted
    assert apply(file, bench, VOLTS, clearing=True) == [line.partition(";")[0] for line in wanted]
    assert PROFILE in names(bench)
    assert bench.rows(PROFILE) == []
    assert bench.value(7, PROFILE, 4).integer() == 60
    load_rows = bench.rows(LOAD)
    bench.wait(180)
    rows = bench.rows(PROFILE)
    assert len(rows) == 3
    assert all(row[2].integer() > 200_000 for row in rows)
    assert bench.rows(LOAD)[: len(load_rows)] == load_rows


def test_an_export_does_not_wait_for_others(bench: Bench, file: Path) -> None:
    told = apply(file, bench, VOLTS + BILLING)
    assert f"DLMS Log Export '{BILL}': changed" in told
    assert f"DLMS Log Export '{PROFILE}': added; waits for --apply or a restart" in told
    assert "1-1:2.8.1*255" in names(bench)
    # A code that two exports exchange is free for neither before both have changed.
    other = BILLING.replace('"1-1:2.8.1*255"', '"1-1:32.7.0*255"')
    moved = VOLTS + "obis_codes = ['1-1:2.8.1']\n" + other
    apply(file, bench, VOLTS + BILLING, clearing=True)
    told = apply(file, bench, moved)
    assert told == [f"DLMS Log Export '{PROFILE}': changed", f"DLMS Log Export '{BILL}': changed"]
    assert {"1-1:2.8.1*255", "1-1:32.7.0*255"} <= names(bench)


OTHER = "1-0:99.3.0*255"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (('"I a"]', '"I b"]'), "changed"),  # its sources
        (('"Volts"', '"Amperes"'), "removed"),  # its name: one recorder more and one less
    ],
)
def test_an_export_stays_until_its_replacement_comes(
    bench: Bench, file: Path, changed: tuple[str, str], what: str
) -> None:
    apply(file, bench, VOLTS, clearing=True)
    bench.wait(120)
    text = VOLTS.replace(*changed).replace(PROFILE, OTHER)
    told = apply(file, bench, text)
    waits = "; waits for --apply or a restart"
    assert f"Data Recorder 'Volts': {what}" in " ".join(told)
    assert {f"DLMS Log Export '{PROFILE}': removed{waits}", f"DLMS Log Export '{OTHER}': added{waits}"} <= {
        *told
    }
    assert PROFILE in names(bench)
    assert OTHER not in names(bench)
    assert len(bench.rows(PROFILE)) == 2
    assert apply(file, bench, text) == told  # and again: what waits goes on waiting
    told = apply(file, bench, text, clearing=True)
    assert {f"DLMS Log Export '{PROFILE}': removed", f"DLMS Log Export '{OTHER}': added"} <= {*told}
    assert PROFILE not in names(bench)
    assert OTHER in names(bench)


def test_a_profile_that_another_recorder_takes_over_stays_until_that_one_is_there(
    bench: Bench, file: Path
) -> None:
    both = VOLTS + VOLTS.replace("Minute", "Second Minute").replace('"Volts"', '"More"').replace(
        PROFILE, OTHER
    )
    apply(file, bench, both, clearing=True)
    bench.wait(120)
    # "Volts" goes on without an export, and the profile is to be that of "More", once its sources are others.
    text = both.replace(PROFILE, "-").replace(OTHER, PROFILE).replace("-", "1-0:99.4.0*255", 1)
    text = '"I b"]'.join(text.rsplit('"I a"]', 1))
    apply(file, bench, text)
    assert {PROFILE, OTHER, "1-0:99.4.0*255"} <= names(bench)
    assert len(bench.rows(PROFILE)) == len(bench.rows(OTHER)) == 2
    apply(file, bench, text, clearing=True)
    assert OTHER not in names(bench)
    assert bench.rows(PROFILE) == []


def test_the_profile_of_the_events_waits_for_a_code_that_is_taken(bench: Bench, file: Path) -> None:
    apply(file, bench, VOLTS, clearing=True)
    text = f"[event_log]\nprofile_obis = '{PROFILE}'\n" + VOLTS.replace(PROFILE, OTHER).replace(
        '"I a"]', '"I b"]'
    )
    told = apply(file, bench, text)
    assert f"Profile of the event log: is {PROFILE}; waits for --apply or a restart" in told
    assert len(bench.value(7, PROFILE, 3).items()) == 4  # clock, status, and the two sources still
    told = apply(file, bench, text, clearing=True)
    assert f"Profile of the event log: is {PROFILE}" in told
    assert [row[1].value for row in bench.rows(PROFILE)][:1] == [30]


def test_a_changed_recorder_loses_its_rows_and_no_other_does(bench: Bench, file: Path) -> None:
    apply(file, bench, VOLTS, clearing=True)
    bench.wait(180)
    load_rows = bench.rows(LOAD)
    wider = VOLTS.replace('"I a"]', '"I a", "I b"]')
    (waits, export) = apply(file, bench, wider)
    assert waits == "Data Recorder 'Volts': changed; its 3 rows are cleared; waits for --apply or a restart"
    assert export == f"DLMS Log Export '{PROFILE}': changed; waits for --apply or a restart"
    assert len(bench.rows(PROFILE)) == 3
    assert apply(file, bench, wider, clearing=True) == [
        "Data Recorder 'Volts': changed; its 3 rows are cleared",
        f"DLMS Log Export '{PROFILE}': changed",
    ]
    assert bench.rows(PROFILE) == []
    assert (Priority.SETUP_CHANGE, "Volts changed", "log cleared") in events(bench.meter)
    bench.wait(60)
    ((*_, last),) = bench.rows(PROFILE)
    assert last.tag is Tag.DOUBLE_LONG
    assert bench.rows(LOAD)[: len(load_rows)] == load_rows


def test_a_recorder_is_removed_and_comes_back_empty(bench: Bench, file: Path) -> None:
    apply(file, bench, VOLTS, clearing=True)
    bench.wait(120)
    # Without a data folder there is nowhere that they could be kept.
    assert apply(file, bench, "", clearing=True)[1] == "Data Recorder 'Volts': removed; its 2 rows are lost"
    assert PROFILE not in names(bench)
    apply(file, bench, VOLTS, clearing=True)
    assert bench.rows(PROFILE) == []
    bench.wait(60)
    assert len(bench.rows(PROFILE)) == 1


def test_rows_on_their_way_to_the_disk_are_not_taken_for_those_of_the_changed_recorder(file: Path) -> None:
    batches: list[Pending] = []
    file.write_text(VOLTS, "utf-8")
    meter = Meter(load(file), commit=batches.append)
    meter.start(START_MS, 0.0)
    meter.advance(60.0)
    file.write_text(VOLTS.replace(', "I a"', ""), "utf-8")
    meter.apply(load(file), 60.0, clearing=True)
    meter.advance(120.0)
    for batch in batches:
        meter.publish(batch)
    recorder = meter.ion.recorders["Volts"]
    (row,) = recorder.rows(recorder.log.first, recorder.log.end)
    assert (row.utc_ms, len(row.values)) == (START_MS + 90_000, 1)
    file.write_text("", "utf-8")
    meter.apply(load(file), 121.0, clearing=True)
    meter.publish(batches[-1])


def test_clock_registers_and_timers_wait_too(bench: Bench, file: Path) -> None:
    text = (
        "[clock]\nzone = 'Asia/Tokyo'\n[power_meter]\nsub_intervals = 1\nsub_interval = 60\n[event_log]\n"
        "depth = 2\n[load_profile]\nperiod = 60\n"
    )
    waiting = apply(file, bench, text)
    assert [line.partition(":")[0] for line in waiting] == [
        "Clock",
        "Power Meter",
        "Event Log Controller",
        "Trigger 'Load Profile Timer'",
    ]
    assert all(line.endswith("changed; waits for --apply or a restart") for line in waiting)
    rows = bench.rows(LOAD)
    apply(file, bench, text, clearing=True)
    assert len(bench.rows(LOAD)) == len(rows)  # the timer's period is no setting of the recorder
    assert bench.value(8, "0-0:1.0.0*255", 3).integer() == -540
    assert bench.value(7, LOAD, 4).integer() == 60
    bench.wait(120)
    assert len(bench.rows(LOAD)) == len(rows) + 2
    assert len(events(bench.meter)) == 2


def test_the_time_sync_source_and_the_factory_take_a_restart(bench: Bench, file: Path) -> None:
    text = "[clock]\ntime_sync_source = 'COM1'\n[meter]\nserial = 'X1'\n"
    told = ["Time Sync Source: changed; takes a restart"]
    assert apply(file, bench, text) == apply(file, bench, text, clearing=True) == told
    assert {change.when for change in bench.meter.changes(config(file, bench, text))} == {When.RESTART}
    assert bench.meter.ion.clock.accepts("ETHERNET")
    assert bench.meter.ion.framework.factory.serial_number != "X1"


def test_without_power_nothing_changes(bench: Bench, file: Path) -> None:
    bench.meter.power_down(bench.now)
    with pytest.raises(LocalError, match="the meter has no power"):
        apply(file, bench, BILLING)
    assert "1-1:2.8.0*255" in {str(each.logical_name) for each in bench.meter.device.objects}
    assert [str(each) for each in bench.meter.changes(config(file, bench, BILLING))]


def test_a_clock_that_is_not_trusted_is_doubtful_until_it_is_set() -> None:
    trusted = Bench("wrapper", 1)
    trusted.associate()
    assert trusted.value(8, "0-0:1.0.0*255").octets()[-1] == 0
    bench = Bench("wrapper", 1, settings=[("clock.trusted", False)])
    bench.associate()
    assert bench.value(8, "0-0:1.0.0*255").octets()[-1] == 0x01
    assert (bench.apdu(SET_TIME) or b"").hex() == "c501c100"
    assert bench.value(8, "0-0:1.0.0*255").octets()[-1] == 0


# --- the event log as a profile -----------------------------------------------------------------------------

EVENTS = "1-0:99.98.0*255"


def test_the_event_log_as_a_profile(bench: Bench, file: Path) -> None:
    assert EVENTS not in names(bench)
    text = f"[event_log]\nprofile_obis = '{EVENTS}'\n"
    assert apply(file, bench, text) == [f"Profile of the event log: is {EVENTS}"]
    bench.meter.log_event(Priority.WARNING, "Grün", "café", bench.now)
    bench.meter.advance(bench.now)
    rows = bench.rows(EVENTS)
    assert [tuple(cell.tag for cell in row) for row in rows] == [
        (Tag.OCTET_STRING, Tag.UNSIGNED, Tag.VISIBLE_STRING, Tag.VISIBLE_STRING)
    ] * len(rows)
    assert [(row[1].value, row[2].value, row[3].value) for row in rows] == [
        (30, "Power up", "ION8650 started"),
        (25, "Association over ETHERNET", "opened by client 16"),
        (30, "Gr?n", "caf?"),
    ]
    captured = [
        (item.items()[0].integer(), str(ObisCode(item.items()[1].octets())), item.items()[2].integer())
        for item in bench.value(7, EVENTS, 3).items()
    ]
    assert captured == [
        (8, "0-0:1.0.0*255", 2),
        (1, "0-0:96.11.0*255", 2),
        (1, "0-0:96.11.128*255", 2),
        (1, "0-0:96.11.129*255", 2),
    ]
    assert [bench.value(7, EVENTS, attribute).integer() for attribute in (4, 7, 8)] == [0, 3, 500]
    assert bench.value(1, "0-0:96.11.0*255").value == 30
    assert bench.value(1, "0-0:96.11.128*255").value == "Gr?n"
    assert bench.value(1, "0-0:96.11.129*255").value == "caf?"
    second = bench.rows(EVENTS, "02020406000000030600000003120003120003")  # entry 3, column 3
    assert [[cell.value for cell in row] for row in second] == [["Gr?n"]]
    assert apply(file, bench, "") == ["Profile of the event log: removed"]
    assert EVENTS not in names(bench)


def test_a_range_of_events(bench: Bench, file: Path) -> None:
    apply(file, bench, f"[event_log]\nprofile_obis = '{EVENTS}'\n")
    for _ in range(3):
        bench.wait(60)
        bench.meter.log_event(Priority.WARNING, "Test", "", bench.now)
        bench.meter.advance(bench.now)
    rows = bench.rows(EVENTS)
    stamps = [row[0].octets() for row in rows]
    found = bench.rows(
        EVENTS,
        "0102040204120008090600000100 00FF0F02120000".replace(" ", "")
        + "090C" + stamps[2].hex() + "090C" + stamps[3].hex() + "0100",
    )  # fmt: skip
    assert found == rows[2:4]


# --- a running meter with its disk --------------------------------------------------------------------------


async def test_on_the_disk_too(tmp_path: Path, file: Path) -> None:
    base = f"[meter]\ndata = '{tmp_path / 'data'}'\n"

    def made(text: str) -> Config:
        file.write_text(base + text, "utf-8")
        return load(file)

    async with MeterHost(made(VOLTS), utc_ms=START_MS, speed=1000, own_ports=False) as running:
        while running.meter.ion.recorders["Volts"].log.count < 3:
            running.look_again()
            await running.settled()
        wider = VOLTS.replace('"I a"]', '"I a", "I b"]')
        changes = await running.apply(made(wider), clearing=True)
        assert {change.when for change in changes} == {When.NOW}
        while running.meter.ion.recorders["Volts"].log.count < 2:
            running.look_again()
            await running.settled()
    with Archive.open(tmp_path / "data") as archive:
        rows = archive.rows("Volts")
        assert rows.sources == ("Vln a", "I a", "I b")
        count = len(list(rows))
        assert count >= 2
    async with MeterHost(made(wider), utc_ms=START_MS + 86_400_000, own_ports=False) as running:
        assert running.meter.ion.recorders["Volts"].log.count == count


async def test_a_recorder_that_was_away_keeps_the_rows_it_had(tmp_path: Path, file: Path) -> None:
    def made(text: str) -> Config:
        file.write_text(f"[meter]\ndata = '{tmp_path / 'data'}'\n" + text, "utf-8")
        return load(file)

    day = 86_400_000
    async with MeterHost(made(VOLTS), utc_ms=START_MS, speed=1000, own_ports=False) as running:
        while running.meter.ion.recorders["Volts"].log.count < 3:
            running.look_again()
            await running.settled()
        told = [str(change) for change in await running.apply(made(""), clearing=True)]
        (count,) = (int(line.split("its ")[1].split()[0]) for line in told if "'Volts'" in line)
        fate = "kept in the data folder, should it come back"
        assert f"Data Recorder 'Volts': removed; its {count} rows are {fate}" in told
        for clearing in (False, True):  # only a start reads the disk
            told = [str(change) for change in await running.apply(made(VOLTS), clearing=clearing)]
            assert "Data Recorder 'Volts': comes back with the rows it had; takes a restart" in told
            assert not any(PROFILE in line for line in told)
    async with MeterHost(made(""), utc_ms=START_MS + day, own_ports=False) as running:
        await running.apply(made(VOLTS), clearing=True)
        assert "Volts" not in running.meter.ion.recorders
    async with MeterHost(made(VOLTS), utc_ms=START_MS + 2 * day, own_ports=False) as running:
        assert running.meter.ion.recorders["Volts"].log.count == count


async def test_a_past_is_made_once(tmp_path: Path) -> None:
    # Rows that a changed depth clears were there: made again, their energy would be counted twice.
    more = [("load_profile.depth", 50), ("billing.depth", 50)]
    async with host(tmp_path) as running:
        energy = running.meter.ion.value("kWh del")
        assert running.meter.ion.recorders["Load Profile"].log.count == 20
    async with host(tmp_path, *more, utc_ms=START_MS + 1000) as running:
        assert running.meter.ion.recorders["Load Profile"].log.count == 0
        assert energy is not None
        assert energy <= (running.meter.ion.value("kWh del") or 0) < energy + 1000


async def test_a_start_says_what_it_clears(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with host(tmp_path):
        pass
    with caplog.at_level(logging.WARNING, "iondlms.meter.host"):
        async with host(tmp_path, utc_ms=START_MS + 60_000):
            assert caplog.messages == []
        async with host(tmp_path, ("billing.depth", 7), utc_ms=START_MS + 120_000) as running:
            assert caplog.messages == [
                "Data Recorder 'Billing': inputs or settings changed; its 20 rows are cleared"
            ]
            assert running.meter.ion.recorders["Billing"].log.count == 0
            assert (Priority.SETUP_CHANGE, "Billing changed", "log cleared") in events(running.meter)


SITE = (
    "[[line]]\nkind = 'tcp'\nname = 'bus'\nlisten = '127.0.0.1:0'\n"
    "[[meter]]\nline = 'bus'\nunit_id = {}\ncount = {}\n"
)


@pytest.mark.parametrize("several", [False, True])
async def test_what_takes_a_restart_is_told_until_it_comes(file: Path, several: bool) -> None:
    def made(seed: int, shape: str) -> Config | Site:
        head = SITE.format(5, 1) if several else "[meter]\n"
        file.write_text(f"{head}seed = {seed}\n[source]\nshape = '{shape}'\n", "utf-8")
        return load_site(file, () if several else [("port.ETHERNET.listen", "127.0.0.1:0")])

    restart = "has changed: that takes a restart"
    seed = f"meter.0.seed {restart}" if several else f"meter.seed {restart}"
    async with SiteHost(made(1, "office")) as running:
        for _ in range(2):  # it still waits
            assert await running.apply(made(1, "factory")) == [f"source.shape {restart}"]
        assert await running.apply(made(2, "household")) == [seed, f"source.shape {restart}"]
        assert await running.apply(made(2, "office")) == [seed]
        assert await running.apply(made(1, "office")) == []  # as it runs


async def test_the_meters_of_a_site_change_together(file: Path) -> None:
    def made(first: int, count: int, text: str) -> Site:
        file.write_text(SITE.format(first, count) + text, "utf-8")
        loaded = load_site(file)
        assert isinstance(loaded, Site)
        return loaded

    async with SiteHost(made(5, 3, "")) as site:
        told = await site.apply(made(5, 3, VOLTS))
        assert told[1] == "Data Recorder 'Volts': added; waits for --apply or a restart (3 meters)"
        told = await site.apply(made(5, 3, VOLTS), clearing=True)
        assert told[1] == "Data Recorder 'Volts': added (3 meters)"
        assert all("Volts" in each.meter.ion.recorders for each in site.meters)
        told = await site.apply(made(7, 1, BILLING), clearing=True)
        assert f"DLMS Log Export '{BILL}': changed" in told
        assert "meter.0.count has changed: that takes a restart" in told
        assert [len(each.meter.ion.recorders) for each in site.meters] == [3, 3, 2]
