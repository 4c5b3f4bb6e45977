"""The configuration: what is taken, and that every error names its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iondlms.errors import LocalError
from iondlms.meter import Config, ConfigError, Meter, load
from iondlms.meter.config import EthernetSection
from iondlms.meter.site import Site, load_checked


def errors(settings: list[tuple[str, Any]]) -> str:
    """What loading, or else making the meter, says."""
    with pytest.raises(ConfigError) as caught:
        Meter(load(None, settings))
    return str(caught.value)


BAD: list[tuple[str, Any, str]] = [
    ("model", "ION9999", "meter.model: 'ION9999' is no model; there are ION9000"),
    ("meter.model", 7, "meter.model: "),
    ("serial", 1, "meter.serial: "),
    ("serial", "--", "meter.serial: "),
    ("serial", "ñ", "meter.serial: "),
    ("revision", "405", "meter.revision: ION8650 firmware 405 has no DLMS"),
    ("revision", "new", "meter.revision: "),
    ("manufacturer", "sch", "meter.manufacturer: "),
    ("manufacturer", "SCHN", "meter.manufacturer: "),
    ("logical_device_name", "abc123", "meter.logical_device_name: three capital letters"),
    ("logical_device_name", "SCH" + "x" * 14, "meter.logical_device_name: "),
    ("logical_device_name", "SCH\u00f1", "meter.logical_device_name: "),
    ("password", "", "meter.password: a password has 1 to 32 octets"),
    ("password", "x" * 33, "meter.password: a password has 1 to 32 octets"),
    ("password", "\u00f1" * 17, "meter.password: a password has 1 to 32 octets"),
    ("password_file", "/nowhere/at/all", "meter.password_file: "),
    ("long_answers", "both", "meter.long_answers: "),
    ("max_pdu", 63, "meter.max_pdu: "),
    ("max_pdu", 65536, "meter.max_pdu: "),
    ("unknown_object", 5, "meter.unknown_object: "),
    ("before_snrm", "ua", "meter.before_snrm: "),
    ("date_time", "text", "meter.date_time: "),
    ("deviation", "none", "meter.deviation: "),
    ("scaler", -2, "meter.scaler: "),
    ("seed", -1, "meter.seed: "),
    ("history", -1, "meter.history: "),
    ("history", 1_000_001, "meter.history: "),
    ("colour", "green", "meter.colour: there is no such key"),
    ("meter.colour", "green", "meter.colour: there is no such key"),
    ("clock.colour", "green", "clock.colour: there is no such key"),
    ("clock.zone", "Mars/Olympus", "clock.zone: no time zone is called"),
    ("clock.zone", "../etc/passwd", "clock.zone: "),
    ("clock.time_sync_source", "COM5", "clock.time_sync_source: 'COM5' is no port"),
    ("clock.time_sync_type", "GPS", "clock.time_sync_type: "),
    ("clock.event_threshold", "-1", "clock.event_threshold: "),
    ("clock.event_threshold", "soon", "clock.event_threshold: 'soon' is no duration"),
    ("source.kind", "nuclear", "source.kind: "),
    ("load_profile.period", "0s", "load_profile.period: "),
    ("load_profile.period", "1.5", "load_profile.period: a Periodic Timer counts whole seconds"),
    ("load_profile.period", float("nan"), "load_profile.period: "),
    ("load_profile.period", float("inf"), "load_profile.period: "),
    ("billing.depth", 0, "billing.depth: "),
    ("port.ETHERNET.unit_id", 0, "port.ETHERNET.unit_id: "),
    ("port.ETHERNET.unit_id", 10000, "port.ETHERNET.unit_id: "),
    ("port.ETHERNET.unit_id", "many", "port.ETHERNET.unit_id: "),
    ("port.ETHERNET.listen", "4059", "port.ETHERNET.listen: '4059' is no listening address"),
    ("port.ETHERNET.listen", "localhost:99999", "port.ETHERNET.listen: "),
    ("port.ETHERNET.framing", "tcp", "port.ETHERNET.framing: "),
    ("port.ETHERNET.rx_timeout", "50ms", "port.ETHERNET.rx_timeout: "),
    ("port.ETHERNET.rx_timeout", "16", "port.ETHERNET.rx_timeout: "),
    ("port.ETHERNET.inactivity", "2d", "port.ETHERNET.inactivity: "),
    ("port.ETHERNET.colour", 1, "port.ETHERNET.colour: there is no such key"),
    ("port.COM9.unit_id", 1, "port.COM9.unit_id: there is no port COM9"),
    ("port.ETHERNET", 1, "port.ETHERNET: write it as port.NAME.KEY"),
    ("port", 1, "port: "),
    ("clock", 1, "clock: names a section"),
    ("meter.serial.x", 1, "meter.serial: "),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD, ids=[f"{k}={v!r:.20}" for k, v, _ in BAD])
def test_an_error_begins_with_its_key(key: str, value: Any, message: str) -> None:
    assert errors([(key, value)]).startswith(message)


def test_all_errors_at_once_a_line_each() -> None:
    text = errors([("max_pdu", 1), ("clock.zone", 5), ("port.ETHERNET.unit_id", 0)])
    assert sorted(line.split(":")[0] for line in text.split("\n")) == [
        "clock.zone",
        "meter.max_pdu",
        "port.ETHERNET.unit_id",
    ]


def test_no_error_tells_the_password() -> None:
    assert "sesame" not in errors([("password", "sesame" * 6), ("max_pdu", 1)])
    config = load(None, [("password", "sesame")])
    assert "sesame" not in repr(config)
    assert config.password() == b"sesame"


def test_defaults_are_those_of_the_profile() -> None:
    config = Config()
    port = config.port[0]
    assert isinstance(port, EthernetSection)
    assert (port.address, port.framing, port.unit_id) == (("127.0.0.1", 4059), "auto", 100)
    assert (port.rx_timeout, port.inactivity) == (1.5, 120.0)
    assert (config.meter.max_pdu, config.meter.long_answers, config.password()) == (1024, "block", None)
    assert (config.load_profile.period, config.load_profile.depth) == (900.0, 3360)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("2 h", 7200.0),
        ("1d", 86400.0),
        (" 7 ", 7.0),
        (12, 12.0),
    ],
)
def test_durations(text: Any, seconds: float) -> None:
    assert load(None, [("port.ETHERNET.inactivity", text)]).port[0].inactivity == seconds


@pytest.mark.parametrize("text", ["", "m", "1 m 5 s", "-1s", "1,5s", "1e3", "15M"])
def test_what_is_no_duration(text: str) -> None:
    assert errors([("port.ETHERNET.inactivity", text)]).startswith("port.ETHERNET.inactivity: ")


def test_single_keys_go_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(
        '[meter]\nmodel = "ion9000"\nlong_answers = "segment"\n[[port]]\nname = "ETHERNET"\nunit_id = 7\n'
    )
    config = load(
        file,
        [("long_answers", "block"), ("port.ETHERNET.listen", "[::1]:0"), ("port.ETHERNET.framing", "hdlc")],
    )
    assert (config.meter.model, config.meter.long_answers) == ("ION9000", "block")
    port = config.port[0]
    assert isinstance(port, EthernetSection)
    assert (port.unit_id, port.address, port.framing) == (7, ("::1", 0), "hdlc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[meter", "not TOML"),
        (b"\xff\xfe", "cannot be read"),
        (b"meter = 5", "meter"),
        (b"port = 5", "port: "),
        (b"port = [5]", "port"),
        (b"[port]\nunit_id = 5", "port: "),
        (b"[[port]]\nunit_id = 0", "port.ETHERNET.unit_id: "),
        (b"[[port]]\n[[port]]\n", "port.ETHERNET.name: each port is given once"),
        (b"[cloc]\n", "cloc: there is no such key"),
    ],
)
@pytest.mark.parametrize("settings", [[], [("port.ETHERNET.framing", "hdlc"), ("serial", "MW-1")]])
def test_bad_files(tmp_path: Path, content: bytes, message: str, settings: list[tuple[str, Any]]) -> None:
    file = tmp_path / "meter.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(file, settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[meter]\nserial = = 1\n", ":2: not TOML: Invalid value (column 10)"),
        ("[meter]\nserial = [1,\n", ":2: not TOML: "),
        ("[meter]\nhistory = 'many'\n", ":2: meter.history: 'many' is no whole number"),
        ("[meter]\nserial = 5\n", ":2: meter.serial: 5 is no text; write it in quotes"),
        ("[clock]\ntrusted = 'no'\n", ":2: clock.trusted: 'no' is neither true nor false"),
        ("[clock]\ntrusted = 1\n", ":2: clock.trusted: 1 is neither true nor false"),
        ("[power_meter]\nrollover = 'x'\n", ":2: power_meter.rollover: 'x' is no whole number"),
        ("[load_profile]\ndepth = '4'\n", ":2: load_profile.depth: '4' is text; write it without quotes"),
        ("[source]\nlatitude = '4e1'\n", ":2: source.latitude: '4e1' is text; write it without quotes"),
    ],
)
def test_what_was_given_and_what_is_wanted(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}{message}")


def test_a_password_of_the_wrong_type_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text("[meter]\npassword = 87654321\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"meter\.password: ") as raised:
        load(file)
    assert "87654321" not in str(raised.value)


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("false", False)])
def test_an_option_is_text_and_may_say_true(word: str, meant: bool) -> None:
    assert load(None, [("clock.trusted", word)]).clock.trusted is meant
    with pytest.raises(ConfigError, match="'perhaps' is neither true nor false"):
        load(None, [("clock.trusted", "perhaps")])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[meter]\npasword_file = 'x'\n",
         "meter.pasword_file: there is no such key; did you mean 'password_file'"),
        ("[meter]\ncolour = 'x'\n", "meter.colour: there is no such key"),
        ("[clok]\nzone = 'UTC'\n", "clok: there is no such key; did you mean 'clock'?"),
        ("[[port]]\nunit_id = 0\n", "port.ETHERNET.unit_id: 0 is out of range; write 1 to 9999"),
        ("[[port]]\nrx_timeout = '10ms'\n",
         "port.ETHERNET.rx_timeout: 0.01 is out of range; write 0.1 to 15 s"),
        ("[meter]\nseed = -1\n", "meter.seed: -1 is out of range; write 0 or more"),
        ("[meter]\nmanufacturer = 'sch'\n",
         "meter.manufacturer: 'sch' is not possible; write three capital letters"),
        ("[meter]\nlogical_device_name = 'SCH45678901234567'\n",
         "meter.logical_device_name: 'SCH45678901234567' has 17 characters; 16 is the most"),
        ("[[data_recorder]]\nname = 'A'\nsources = []\n", "data_recorder[0].sources: must not be empty"),
        ("[port]\nunit_id = 5\n", "port: there may be several; write it as [[port]]"),
        ("[source.fault]\nkind = 'power_cut'\n",
         "source.fault: there may be several; write it as [[source.fault]]"),
        ("[load_profile]\nperiod = '1 day'\n",
         "load_profile.period: '1 day' is no duration; write \"1d\" or"),
        ("[load_profile]\nperiod = '5 mins'\n",
         "load_profile.period: '5 mins' is no duration; write \"5m\" or"),
        ("[load_profile]\nperiod = 'soon'\n",
         "load_profile.period: 'soon' is no duration; write it as \"15m\", \"120s\", \"1d\" or"),
        ("[meter]\nmodel = 'ION9000'\n[clock]\ntime_sync_source = 'COM7'\n",
         "clock.time_sync_source: 'COM7' is no port; there are COM1, COM4, ETHERNET"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_plain_words(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    (line,) = str(caught.value).splitlines()
    assert line.partition(": ")[2].startswith(told)


def test_a_password_that_is_wrong_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    for wrong in ("12345678", "['12345678']", f"'{'12345678' * 5}'"):
        file.write_text(f"[meter]\npassword = {wrong}\nmax_pdu = 1\ncolour = 1\n", "utf-8")
        with pytest.raises(ConfigError, match=r"meter\.password: ") as caught:
            load(file)
        assert "12345678" not in str(caught.value)


def test_links_of_a_section_that_is_wrong_are_told_too(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(
        "[[periodic_timer]]\nname = 'T'\nperiod = '1 x'\nsync_input = 'No timer'\n"
        "[[data_recorder]]\nname = 'A'\nrecord = 'Nosuch'\ndepht = 4\nsources = ['kW tott']\n"
        "[[dlms_log_export]]\ndata_recorder = 'B'\nprofile_obis = 'x'\n"
        "[[fault]]\naction = 'drop'\nport = 'COM77'\nkount = 4\n",
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    told = [line.partition(": ")[2].partition(":")[0] for line in str(caught.value).splitlines()]
    assert told == [
        "periodic_timer[0].period",
        "periodic_timer[0].sync_input",
        "data_recorder[0].record",
        "data_recorder[0].depht",
        "data_recorder[0].sources[0]",
        "dlms_log_export[0].data_recorder",
        "dlms_log_export[0].profile_obis",
        "fault[0].port",
        "fault[0].kount",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: there is no such file"):
        load(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"secret", b"secret"), (b"secret\nmore\n", b"secret"), (b"secret\r\n", b"secret"), (b" s \n", b" s ")],
)
def test_password_file(tmp_path: Path, content: bytes, password: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    assert load(None, [("password_file", str(file)), ("password", "other")]).password() == password


@pytest.mark.parametrize("content", [b"", b"\nsecret", b"x" * 33, b"\xff\xfe"])
def test_password_files_that_hold_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    assert errors([("password_file", str(file))]).startswith("meter.password_file: ")


@pytest.mark.parametrize("model", ["ION9000", "ION8650", "ION7400", "ION8800"])
def test_every_model_has_its_name(model: str) -> None:
    names = {
        Meter(
            load(None, [("model", model), ("port.ETHERNET.unit_id", unit), ("seed", seed)])
        ).logical_device_name
        for unit in (1, 9999)
        for seed in (1, 2)
    }
    assert len(names) == 4
    assert all(name.startswith("SCH" + model[3:]) and len(name) <= 16 for name in names)


def test_the_end_of_the_serial_number_names_the_device() -> None:
    assert Meter(load(None, [("serial", "MW-1504A002-01")])).logical_device_name == "SCH8650W1504A002"
    assert Meter(load(None, [("logical_device_name", "ION 1")])).logical_device_name == "ION 1"


def test_config_errors_are_local_errors() -> None:
    assert issubclass(ConfigError, LocalError)


def test_numbers_of_a_choice_may_be_text_as_the_command_line_has_them() -> None:
    made = load(None, [("scaler", "-3"), ("unknown_object", "3")])
    assert (made.meter.scaler, made.meter.unknown_object) == (-3, 3)
    assert "meter.scaler: " in errors([("scaler", "-4")])
    assert "meter.unknown_object: " in errors([("unknown_object", "three")])


@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "[ " + "9" * 5000 + " ]"])
def test_a_number_of_too_many_digits(tmp_path: Path, value: str) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(f"[meter]\nseed = {value}\n")
    with pytest.raises(ConfigError, match=r"meter\.toml: a number has too many digits; write a shorter one$"):
        load(file)


def test_arrays_too_deep_in_each_other(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match=r"meter\.toml: (arrays or tables are too deep|not TOML)"):
        load(file)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text('[meter]\nmodel = "ION9000"\n', "utf-8-sig")
    assert load(file).meter.model == "ION9000"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meter.password_file", "a\0b"),
        ("meter.data", "a\0b"),
        ("port.ETHERNET.listen", "a\0b:4059"),
        ("port.ETHERNET.listen", "a" * 300 + ":4059"),
        ("port.ETHERNET.listen", "a." * 150 + "a:4059"),
        ("port.ETHERNET.listen", "a..b:4059"),
        ("port.ETHERNET.listen", "127.0.0.1:" + "9" * 5000),
        ("port.COM1.device", "/dev/a\0b"),
    ],
)
def test_names_that_nothing_can_have(key: str, value: str) -> None:
    (line,) = errors([(key, value)]).splitlines()
    assert line.startswith(f"{key}: ")
    assert line.isprintable()
    assert len(line) < 200


def test_a_replayed_file_of_an_impossible_name() -> None:
    assert "source.path: no file can be called so" in errors(
        [("source.kind", "replay"), ("source.path", "\0")]
    )


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "[::1]", "[fe80::1%eth0]", "m\u00fcnchen.example"])
def test_names_that_a_host_may_have(host: str) -> None:
    port = load(None, [("port.ETHERNET.listen", f"{host}:4059")]).port[0]
    assert isinstance(port, EthernetSection)
    assert port.address == (host.strip("[]"), 4059)


def test_a_password_file_without_end() -> None:
    text = errors([("password_file", "/dev/zero")])
    assert text == "meter.password_file: the first line of /dev/zero must be 1 to 32 octets"


def test_only_the_first_errors_are_told(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text("[meter]\n" + "".join(f"key_{number} = 1\n" for number in range(250)))
    with pytest.raises(ConfigError) as caught:
        load(file)
    lines = str(caught.value).splitlines()
    assert len(lines) == 101
    assert lines[0] == f"{file}:2: meter.key_0: there is no such key"
    assert lines[100] == "and 150 more"
    file.write_text("[meter]\n" + "".join(f"key_{number} = 1\n" for number in range(100)))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert len(str(caught.value).splitlines()) == 100
    assert "more" not in str(caught.value)


def test_keys_do_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text('"a\\u001b[31m\\nb" = 1\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == rf"{file}:1: 'a\x1b[31m\nb': there is no such key"


def test_as_many_faults_as_can_be_armed_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    drop = '[[fault]]\naction = "drop"\n'
    file.write_text(drop * 1000)
    assert len(load(file).fault) == 1000
    file.write_text(drop * 1001)
    with pytest.raises(
        ConfigError, match=r"meter\.toml:1: fault: 1001 are for one meter; it has 1000 at most$"
    ):
        load(file)


def test_the_most_faults_are_those_of_each_meter_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    site = '[[line]]\nkind = "tcp"\nname = "bus"\n[[meter]]\nline = "bus"\nunit_id = 1\ncount = 2\n'
    one, two = (f'[[fault]]\naction = "drop"\nunit_id = {unit_id}\n' for unit_id in (1, 2))
    file.write_text(site + one * 600 + two * 600)
    assert isinstance(load_checked(file, year=2026), Site)
    file.write_text(site + one * 600 + two * 600 + '[[fault]]\naction = "drop"\n' * 401)
    with pytest.raises(ConfigError, match=r"^\S+site\.toml:\d+: fault: 1001 are for one meter"):
        load_checked(file, year=2026)


def test_zones_and_files_are_told_beside_all_else(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    lines = (
        "[meter]", "password_file = 'nowhere'", "[clock]", "zone = 'Europe/Madird'",
        "[billing]", "depth = 'thirty'", "[source]", "unknown = 1",
    )  # fmt: skip
    file.write_text("\n".join(lines), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_checked(file, year=2026)
    told = str(caught.value).splitlines()
    assert sorted(line.removeprefix(f"{file}:").split(": ")[0] for line in told) == ["2", "4", "6", "8"]
    assert any("clock.zone: no time zone is called 'Europe/Madird'" in line for line in told)
