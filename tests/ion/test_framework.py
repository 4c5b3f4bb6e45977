"""Factory, frameworks, exports, events: what is refused, and what the models do as delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.ion.builders import Host, utc

from iondlms.errors import LocalError
from iondlms.ion import (
    MODELS,
    DataRecorderSetup,
    DlmsLogExport,
    EventLogSetup,
    Factory,
    MeterState,
    PeriodicTimer,
    default_framework,
)
from iondlms.ion.event_log import EventLog

MINIMUM = [("ION9000", "2.1.0"), ("ION8650", "406"), ("ION7400", "2.1.0"), ("ION8800", "350")]  # profile, 1


@pytest.mark.parametrize(("model", "revision"), MINIMUM)
def test_first_firmware_with_dlms(model: str, revision: str) -> None:
    assert MODELS[model].minimum_revision == revision
    assert Factory(model.lower(), revision=revision).device_type == model
    below = "2.0.9" if "." in revision else str(int(revision) - 1)
    with pytest.raises(LocalError, match=revision.replace(".", r"\.")):
        Factory(model, revision=below)
    assert Factory(model, revision="2.10" if "." in revision else "8650V413").most_sources == 16


@pytest.mark.parametrize(("model", "most"), [("ION9000", 50), ("ION7400", 50), ("ION8650", 16)])
def test_fifty_sources_from_firmware_4_6(model: str, most: int) -> None:
    revision = "4.6.0" if most == 50 else "900"
    assert Factory(model, revision=revision).most_sources == most
    recorder = DataRecorderSetup("wide", ("kWh del",) * most, "Billing Timer")
    framework = default_framework(factory=Factory(model, revision=revision))
    replace(framework, data_recorders=(*framework.data_recorders, recorder))
    wider = replace(recorder, sources=("kWh del",) * (most + 1))
    with pytest.raises(LocalError, match=str(most)):
        replace(framework, data_recorders=(*framework.data_recorders, wider))


@pytest.mark.parametrize(
    "values", [{"device_type": "ION9999"}, {"revision": "new"}, {"revision": "4..1"}, {"serial_number": " "}]
)
def test_factory_texts_that_cannot_be(values: dict[str, str]) -> None:
    with pytest.raises(LocalError):
        Factory(**values)


@pytest.mark.parametrize("model", MODELS)
def test_default_framework_is_the_profile(model: str) -> None:
    framework = default_framework(model)
    load, billing = framework.data_recorders
    assert framework.factory.device_type == model
    assert load.sources == ("kWh del int", "kVARh del int", "kWh rec int", "kVARh rec int")
    assert billing.sources == (
        *("kWh del", "kWh rec", "kWh del-rec", "kVARh del", "kVARh rec", "kVARh del-rec", "kVAh del+rec"),
        *("kW sd del-rec", "kVAR sd del-rec", "kVA sd del+rec", "PF sign mean"),
    )
    assert (load.depth, billing.depth, framework.interval_s) == (3360, 3360, 900)
    assert [
        (each.profile_obis, each.status_register, [code for _, code in each.columns()])
        for each in framework.dlms_log_exports
    ] == [
        ("1-0:99.1.0*255", True, [f"1-1:{n}.29.0*255" for n in (1, 3, 2, 4)]),
        (
            "1-0:98.1.0*255",
            True,
            [f"1-1:{n}.0*255" for n in ("1.8", "2.8", "16.8", "3.8", "4.8", "128.8", "9.8")]
            + [f"1-1:{n}.0*255" for n in ("16.4", "128.4", "9.4", "13.0")],
        ),
    ]


def bad_framework(**changes: Any) -> None:
    replace(default_framework(), **changes)


RECORDER = DataRecorderSetup("mine", ("kWh del", "kWh rec"), "Billing Timer")
OTHERS = default_framework().data_recorders
EXPORTS = default_framework().dlms_log_exports
BAD = [
    ({"interval_timer": "nothing"}, "nothing"),
    ({"triggers": (PeriodicTimer("Load Profile Timer"),)}, "Billing Timer"),
    ({"data_recorders": (*OTHERS, OTHERS[0])}, "two modules"),
    ({"data_recorders": (*OTHERS, replace(RECORDER, sources=("kWh dell",)))}, "kWh dell"),
    ({"dlms_log_exports": (DlmsLogExport("none", "1-0:99.2.0*255", ()),)}, "none"),
    ({"dlms_log_exports": (EXPORTS[0], EXPORTS[0])}, r"1-0:99\.1\.0"),
    (
        {"dlms_log_exports": (DlmsLogExport("Load Profile", "1-0:99.2.0*255", ("1-1:1.8.0*255",) * 5),)},
        "5 OBIS",
    ),
    ({"dlms_log_exports": (DlmsLogExport("Load Profile", "a", ("b", "b")),)}, "kVARh del int.*a"),
    ({"dlms_log_exports": (EXPORTS[0], DlmsLogExport("Billing", "a", ("1-1:1.29.0*255",)))}, "'kWh del'"),
    ({"dlms_log_exports": (DlmsLogExport("Billing", "a", ("a",)),)}, "is a profile"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_links_that_lead_nowhere(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalError, match=message):
        bad_framework(**changes)


def test_a_source_without_an_obis_code_is_kept_out_of_the_export() -> None:
    export = DlmsLogExport("Billing", "1-0:98.2.0*255", ("1-1:1.8.0*255", None, "1-1:16.8.0*255"))
    assert export.columns() == ((0, "1-1:1.8.0*255"), (2, "1-1:16.8.0*255"))
    with pytest.raises(LocalError):
        DlmsLogExport("Billing", "x", (None,) * 17)
    with pytest.raises(LocalError):
        DlmsLogExport("Billing", " ", ())


@pytest.mark.parametrize("values", [{"name": " "}, {"sources": ()}, {"depth": 0}])
def test_recorder_settings_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        replace(RECORDER, **values)


def test_events_above_the_cutoff_are_kept_to_the_depth() -> None:
    log = EventLog(EventLogSetup(depth=3, cutoff=25))
    priorities = (5, 25, 26, 30, 255, 26)
    made = [log.make(instant, priority, "cause", "") for instant, priority in enumerate(priorities)]
    assert [each is None for each in made] == [True, True, False, False, False, False]
    pending = log.events
    assert pending == ()
    log.publish([each for each in made if each is not None])
    assert [(event.sequence, event.utc_ms) for event in log.events] == [(1, 3), (2, 4), (3, 5)]
    for values in ({"depth": 0}, {"cutoff": 256}):
        with pytest.raises(LocalError):
            EventLogSetup(**values)


def test_a_default_meter_fills_both_profiles() -> None:
    host = Host(utc(2026, 3, 10, 10), default_framework()).start().wait(1800)
    # 100 kW, -20 kvar, 101.98 kVA for 15 minutes
    assert [row.values for row in host.log("Load Profile")] == [(25_000, 0, 0, 5000)] * 2
    assert host.log("Billing")[0].values == (
        *(25_000, 0, 25_000, 0, 5000, -5000, 25_495),
        *(100_000, -20_000, 101_980, 981),
    )
    assert host.meter.recorders["Billing"].latest_status == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"alive_ms": "x"}', "nul"])
def test_a_state_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LocalError):
        MeterState.decode(text)


def test_recorders_that_left_the_framework_are_remembered() -> None:
    host = Host(utc(2026, 3, 10, 10)).start().wait(900)
    everything = host.framework
    host.restart(10, lambda old: replace(old, data_recorders=old.data_recorders[1:])).wait(900)
    assert len(host.restart(10, lambda _: everything).log()) == 1
