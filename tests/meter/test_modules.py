"""The modules of a configuration: how the file's and the default ones come together, every fault's line."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.ion import MODELS, Framework, MonthEnd, PeriodicTimer, default_framework
from iondlms.meter import Config, ConfigError, Site, load, load_site
from iondlms.meter.document import Document
from iondlms.meter.framework import framework_of
from iondlms.meter.site import site_of

VOLTS = """
[[periodic_timer]]
name = "Minute"
period = "1m"

[[data_recorder]]
name = "Volts"
record = "Minute"
sources = ["Vln a", "I a", "PF sign tot", "V unbal"]

[[dlms_log_export]]
data_recorder = "Volts"
profile_obis = "1-0:99.2.0"
obis_codes = ["1-1:32.7.0*255", "1.1.31.7.0.255", "none", "1-1:128.7.1*255"]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "meter.toml"
    file.write_text(text, "utf-8")
    return file


def framework(folder: Path, text: str) -> Framework:
    return framework_of(load(written(folder, text)), 2026)


def faults(folder: Path, text: str) -> list[str]:
    """What is wrong, a line each, each beginning with the line of the file."""
    file = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_site(file)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).split("\n")]


# --- what is made ---------------------------------------------------------------------------------------


# Spelled from the manufacturer's note, as the profile has it: not from the code.
LOAD = [
    ("kWh del int", "1-1:1.29.0*255"),
    ("kVARh del int", "1-1:3.29.0*255"),
    ("kWh rec int", "1-1:2.29.0*255"),
    ("kVARh rec int", "1-1:4.29.0*255"),
]
BILLING = [
    ("kWh del", "1-1:1.8.0*255"),
    ("kWh rec", "1-1:2.8.0*255"),
    ("kWh del-rec", "1-1:16.8.0*255"),
    ("kVARh del", "1-1:3.8.0*255"),
    ("kVARh rec", "1-1:4.8.0*255"),
    ("kVARh del-rec", "1-1:128.8.0*255"),
    ("kVAh del+rec", "1-1:9.8.0*255"),
    ("kW sd del-rec", "1-1:16.4.0*255"),
    ("kVAR sd del-rec", "1-1:128.4.0*255"),
    ("kVA sd del+rec", "1-1:9.4.0*255"),
    ("PF sign mean", "1-1:13.0.0*255"),
]


@pytest.mark.parametrize("model", MODELS)
def test_without_a_word_it_is_the_profile(tmp_path: Path, model: str) -> None:
    made = framework(tmp_path, f"[meter]\nmodel = '{model}'\n")
    profiles = {each.profile_obis: each for each in made.dlms_log_exports}
    recorders = {each.name: each for each in made.data_recorders}
    timers = {each.name: each for each in made.triggers}
    assert set(profiles) == {"1-0:99.1.0*255", "1-0:98.1.0*255"}
    for code, columns in (("1-0:99.1.0*255", LOAD), ("1-0:98.1.0*255", BILLING)):
        recorder = recorders[profiles[code].data_recorder]
        assert [(recorder.sources[index], told) for index, told in profiles[code].columns()] == columns
        assert profiles[code].status_register
        assert (recorder.depth, recorder.circular, recorder.insert_outage_records) == (3360, True, False)
        assert timers[recorder.record_input].period_s == 900
    assert (made.event_log.depth, made.event_log.cutoff) == (500, 5)
    assert made.power_meter.rollover == 10_000_000
    assert replace(made, factory=default_framework(model).factory) == default_framework(model)


def test_what_has_a_new_name_is_added(tmp_path: Path) -> None:
    made = framework(tmp_path, VOLTS)
    assert [each.name for each in made.triggers] == ["Load Profile Timer", "Billing Timer", "Minute"]
    assert [each.name for each in made.data_recorders] == ["Load Profile", "Billing", "Volts"]
    export = made.dlms_log_exports[2]
    assert export.profile_obis == "1-0:99.2.0*255"
    assert export.obis_codes == ("1-1:32.7.0*255", "1-1:31.7.0*255", None, "1-1:128.7.1*255")
    assert export.columns()[2] == (3, "1-1:128.7.1*255")


def test_what_has_the_name_of_a_default_module_replaces_it(tmp_path: Path) -> None:
    made = framework(
        tmp_path,
        "[[month_end]]\nname = 'Month'\n[[periodic_timer]]\nname = 'Load Profile Timer'\nperiod = 300\n"
        "[[data_recorder]]\nname = 'Billing'\nrecord = 'Month'\nsources = ['kWh rec', 'kW tot mx']\n"
        "depth = 36\nmode = 'stop-when-full'\ninsert_outage_records = true\n",
    )
    assert made.triggers == (
        PeriodicTimer("Load Profile Timer", 300),
        PeriodicTimer("Billing Timer"),
        MonthEnd("Month"),
    )
    load_profile, billing = made.data_recorders
    assert load_profile == default_framework().data_recorders[0]
    assert (billing.sources, billing.record_input, billing.depth) == (("kWh rec", "kW tot mx"), "Month", 36)
    assert (billing.circular, billing.insert_outage_records) == (False, True)
    # The export of the recorder is left, with the codes of what the recorder records now.
    export = made.dlms_log_exports[1]
    assert (export.profile_obis, export.obis_codes) == (
        "1-0:98.1.0*255",
        ("1-1:2.8.0*255", "1-1:16.26.0*255"),
    )


@pytest.mark.parametrize(
    ("export", "left"),
    [
        ("data_recorder = 'Billing'\nprofile_obis = '1-0:98.2.0'", ["1-0:99.1.0*255", "1-0:98.2.0*255"]),
        ("data_recorder = 'Billing'\nprofile_obis = '1-0:99.1.0'", ["1-0:99.1.0*255"]),
        ("data_recorder = 'Load Profile'\nprofile_obis = '1-0:98.1.0'", ["1-0:98.1.0*255"]),
    ],
)
def test_an_export_replaces_that_of_its_recorder_and_of_its_profile(
    tmp_path: Path, export: str, left: list[str]
) -> None:
    made = framework(tmp_path, f"[[dlms_log_export]]\n{export}\nstatus_register = false\n")
    assert [each.profile_obis for each in made.dlms_log_exports] == left
    assert not made.dlms_log_exports[-1].status_register
    assert None not in made.dlms_log_exports[-1].obis_codes


def test_without_the_default_framework_only_the_files_modules_are_there(tmp_path: Path) -> None:
    made = framework(tmp_path, "[meter]\ndefault_framework = false\n" + VOLTS)
    assert (made.triggers, made.interval_timer) == ((PeriodicTimer("Minute", 60),), "Minute")
    assert [each.name for each in made.data_recorders] == ["Volts"]
    assert [each.profile_obis for each in made.dlms_log_exports] == ["1-0:99.2.0*255"]
    bare = framework(tmp_path, "[meter]\ndefault_framework = false\n")
    assert (bare.data_recorders, bare.dlms_log_exports, bare.interval_s) == ((), (), 900)


def test_the_interval_timer_is_chosen(tmp_path: Path) -> None:
    assert framework(tmp_path, VOLTS).interval_timer == "Load Profile Timer"
    assert framework(tmp_path, "[power_meter]\ninterval_timer = 'Minute'\n" + VOLTS).interval_s == 60


def test_registers_and_events_are_set(tmp_path: Path) -> None:
    made = framework(
        tmp_path,
        "[power_meter]\nsub_interval = '1m'\nsub_intervals = 15\nrollover = 1000\npf_sign = 'IEEE'\n"
        "[event_log]\ndepth = 20\ncutoff = 0\n",
    )
    setup = made.power_meter
    assert (setup.sub_interval_s, setup.sub_intervals, setup.rollover, setup.pf_sign) == (
        60,
        15,
        1000,
        "IEEE",
    )
    assert (made.event_log.depth, made.event_log.cutoff) == (20, 0)


SITE = "[[line]]\nkind = 'tcp'\nname = 'bus'\n[[meter]]\nline = 'bus'\nunit_id = 5\ncount = 2\n"


def test_all_of_it_is_for_every_meter_of_a_site(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, SITE + VOLTS))
    assert isinstance(site, Site)
    for _, config in site.meters():
        assert [each.name for each in framework_of(config, 2026).data_recorders][2:] == ["Volts"]


# --- what is wrong ----------------------------------------------------------------------------------------

TIMER = "[[periodic_timer]]\nname = 'Minute'\n"  # lines 1 and 2
RECORDER = "[[data_recorder]]\nname = 'Volts'\nsources = [\n  'Vln a',\n  'I a',\n]\n"  # lines 1 to 6
EXPORT = "[[dlms_log_export]]\ndata_recorder = 'Volts'\nprofile_obis = '1-0:99.2.0'\n"  # three lines


def wrong_modules() -> list[tuple[str, list[str]]]:
    """The configurations of the file beside this one, each with the beginnings of what is told of it."""
    cases = Path(__file__).with_name("wrong_modules.txt").read_text("utf-8").split("----\n")[1:]
    found = []
    for case in cases:
        text, *told = case.split("=> ")
        found.append((text, [line.rstrip("\n") for line in told]))
    assert len(found) > 40
    return found


FAULTS = wrong_modules()


@pytest.mark.parametrize(("text", "expected"), FAULTS, ids=[each[0].split(": ")[1] for _, each in FAULTS])
@pytest.mark.parametrize("site", [False, True], ids=["one", "site"])
def test_each_fault_has_its_line(tmp_path: Path, text: str, expected: list[str], *, site: bool) -> None:
    if site:
        if "[meter]" in text:
            pytest.skip("a site has [[meter]] sections")
        text += "\n" + SITE
    told = faults(tmp_path, text)
    assert len(told) == len(expected), told
    for line, begin in zip(told, expected, strict=True):
        assert line.startswith(begin)


@pytest.mark.parametrize(
    "code",
    [
        "0-0:40.0.0*255",
        "0-0:41.0.0*255",
        "0-0:42.0.0*255",
        "0-0:1.0.0*255",
        "0-0:97.97.0*255",
        "0-0:96.11.0*255",
    ],
)
def test_the_codes_of_standard_objects_are_taken(tmp_path: Path, code: str) -> None:
    told = faults(tmp_path, RECORDER + EXPORT.replace("1-0:99.2.0", code) + f"obis_codes = ['{code}']\n")
    assert re.fullmatch(
        rf"9: dlms_log_export\[0\]\.profile_obis: {re.escape(code)} is the .*; choose another", told[0]
    )
    assert re.match(rf"10: dlms_log_export\[0\]\.obis_codes\[0\]: {re.escape(code)} is the ", told[1])
    assert len(told) == 2


def test_faults_of_sections_do_not_hide_those_between_them(tmp_path: Path) -> None:
    text = (
        "[meter]\nmax_pdu = 1\n"
        + RECORDER.replace("I a", "I x")
        + RECORDER.replace("Volts", "More")
        + ("record = 'x'\n" + EXPORT + EXPORT.replace("Volts", "none"))
    )
    told = faults(tmp_path, text)
    assert [line.split(": ")[1] for line in told] == [
        "meter.max_pdu",
        "data_recorder[0].sources[1]",
        "data_recorder[1].record",
        "dlms_log_export[1].data_recorder",
        "dlms_log_export[1].profile_obis",
    ]


KEYS = [
    *("meter", "clock", "power_meter", "load_profile", "billing", "periodic_timer", "month_end", "event_log"),
    *("data_recorder", "dlms_log_export", "name", "record", "sources", "period", "depth", "interval_timer"),
    *(
        "default_framework",
        "profile_obis",
        "obis_codes",
        "sync_input",
        "zone",
        "dst",
        "tz_offset",
        "revision",
    ),
]
VALUES = st.recursive(
    st.sampled_from(
        [0, 1, -1, 1.5, True, "", "x", "Billing", "Billing Timer", "kWh del", "1-1:1.8.0*255", "none"]
    ),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_a_file_says_is_taken_or_told(tables: dict[str, Any]) -> None:
    with suppress(ConfigError):
        made = site_of(Document(tables))
        for config in [made] if isinstance(made, Config) else [each for _, each in made.meters()]:
            framework_of(config, 2026)


def test_what_an_option_has_set_is_on_no_line(tmp_path: Path) -> None:
    file = written(tmp_path, RECORDER)
    with pytest.raises(ConfigError) as caught:
        load(file, [("data_recorder.Volts.depth", 0), ("meter.max_pdu", 1)])
    assert [line.split(": ")[0] for line in str(caught.value).split("\n")] == [
        "meter.max_pdu",
        "data_recorder[0].depth",
    ]
    assert load(file, [("data_recorder.0.depth", "7")]).data_recorder[0].depth == 7
    for key, message in (
        ("data_recorder.Amps.depth", "there is no data_recorder Amps"),
        ("data_recorder.depth", "write it as data_recorder.NAME.KEY"),
        ("power_meter.rollovr", "there is no such key"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(file, [(key, 1)])


def test_a_clock_by_hand(tmp_path: Path) -> None:
    made = framework(
        tmp_path,
        "[clock]\ntz_offset = 60\ndst_offset = 120\nclock_source = 'COMM'\n"
        "dst = [['2026-03-29T01:00:00Z', 2026-10-25T03:00:00+02:00],\n"
        "  ['2027-03-28T01:00', '2027-10-31T01:00']]\n",
    ).clock
    assert (made.tz_offset_min, made.dst_offset_min, made.clock_source) == (60, 120, "COMM")
    assert made.dst_pairs == (
        (1_774_746_000_000, 1_792_890_000_000),
        (1_806_195_600_000, 1_824_944_400_000),
    )
    zone = framework(tmp_path, "[clock]\nzone = 'Europe/Madrid'\ntime_sync_source = 'COM1'\n").clock
    assert (zone.tz_offset_min, zone.dst_offset_min, len(zone.dst_pairs)) == (60, 60, 20)
    assert zone.time_sync_source == "COM1"


@pytest.mark.parametrize(
    "zone", ["America/Nuuk", "America/Godthab", "America/Ojinaga", "America/Scoresbysund"]
)
def test_zones_that_moved_to_another_standard_time_are_usable_since(tmp_path: Path, zone: str) -> None:
    config = load(written(tmp_path, f"[clock]\nzone = '{zone}'\n"))
    assert framework_of(config, 2026).clock.dst_pairs
    if zone != "America/Ojinaga":
        with pytest.raises(
            ConfigError, match=r"clock\.zone: .* changes its standard time after 2022 .*by hand \(tz_"
        ):
            framework_of(config, 2022)
