"""The page in a browser: it shows what the meter says, draws, asks nobody else, and takes texts for texts."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.extras import needs
from tests.interop.running import started, stop

import iondlms

httpx = needs("httpx")
playwright = needs("playwright.sync_api")
needs("uvicorn")

COMMAND = [sys.executable, "-m", "iondlms"]
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "<img src=x onerror=document.title='taken'> & <b>Söhne</b>"
WAIT_MS = 15_000
FITTED, FITS = ".scroll:has(> #{})", "place => place.scrollWidth <= place.clientWidth"
SMALL = {
    "kWh del": 0.123, "kWh rec": 99.999, "kWh del-rec": 100.0, "kWh del+rec": 12_345.678,
    "kVARh del": 0.0, "kVARh rec": 0.0004, "kVARh del-rec": -0.0004, "kVARh del+rec": -4.25, "kVAR tot": -0.0,
}  # fmt: skip


def chromium() -> str:
    """Return the system's browser; where there is none a skip, and under CI a failure."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: apt-get install chromium")
        pytest.skip("no chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    with playwright.sync_playwright() as started_:
        browser = started_.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page, and all it complained of or asked for."""

    def __init__(self, browser: Any, url: str, **settings: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.url + path)
        self.until("document.querySelector('#large b')?.textContent.length > 1")
        return self.page

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait for an expression to be true; Playwright's own way takes `eval`, which the page forbids."""
        end = time.monotonic() + WAIT_MS / 1000
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


def legend(page: Any) -> list[str]:
    """Return what the plot of the recorder is said to show."""
    return [str(each) for each in page.locator(".legend li").all_inner_texts()]


def strokes(page: Any) -> list[tuple[str, str]]:
    """Return the colour and the dashes of each series in the legend."""
    samples = page.locator(".legend line").all()
    return [(each.get_attribute("stroke"), each.get_attribute("stroke-dasharray")) for each in samples]


def drawn_colours(page: Any) -> set[str]:
    """Return which colours for series are in the plot of the recorder."""
    found = page.evaluate(
        """() => {
            const c = document.querySelector('#profile canvas'), seen = new Set();
            const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            for (let at = 0; at < all.length; at += 4) {
                if (all[at + 3] === 255) seen.add(all[at] << 16 | all[at + 1] << 8 | all[at + 2]);
            }
            const style = getComputedStyle(document.documentElement);
            return [1, 2, 3, 4, 5, 6].map((each) => style.getPropertyValue(`--series-${each}`).trim())
                .filter((each) => seen.has(parseInt(each.slice(1), 16)));
        }"""
    )
    return set(found)


SEEN_AS = [  # linear RGB: by most people; without red, green, blue cones (Machado et al. 2009, severity 1)
    [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
    [(0.1523, 1.0526, -0.2049), (0.1145, 0.7863, 0.0992), (-0.0039, -0.0481, 1.0520)],
    [(0.3673, 0.8606, -0.2280), (0.2801, 0.6725, 0.0474), (-0.0118, 0.0429, 0.9689)],
    [(1.2555, -0.0767, -0.1788), (-0.0784, 0.9308, 0.1476), (0.0047, 0.6914, 0.3039)],
]


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    """Return CIE L*a*b* of linear sRGB, white D65."""
    to_xyz = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8728))
    x, y, z = (sum(map(float.__mul__, row, rgb)) for row in to_xyz)
    fx, fy, fz = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def test_the_colours_of_series_differ_for_the_colour_blind_too() -> None:
    css = (Path(iondlms.__file__).parent / "web" / "static" / "panel.css").read_text(encoding="utf-8")
    colours = re.findall(r"--series-(\d): (#\w{6});", css)
    assert [number for number, _ in colours] == list("123456") * 2
    for some in (colours[:6], colours[6:]):
        for matrix in SEEN_AS:
            seen = [
                lab([min(1.0, max(0.0, sum(map(float.__mul__, row, linear(each))))) for row in matrix])
                for _, each in some
            ]
            assert min(math.dist(one, other) for one, other in combinations(seen, 2)) > 20


def test_the_page_shows_the_meter(browser: Any, tmp_path: Path) -> None:
    config = tmp_path / "meter.toml"
    config.write_text(
        f'[meter]\nhistory = 96\nowner = """{HOSTILE}"""\ndata = "data"\n'
        '[clock]\nzone = "Europe/Berlin"\n[[port]]\nname = "ETHERNET"\nlisten = "127.0.0.1:0"\n',
        encoding="utf-8",
    )
    place = tmp_path / "data"
    serve = [*COMMAND, "serve", str(config), "--set", f"meter.data={place}"]
    with started(serve, "^ready$") as (meter, _):
        subprocess.run(
            [*COMMAND, "ctl", place, "pulse", "Load Profile"], check=True, stdout=subprocess.DEVNULL
        )
        web = [*COMMAND, "web", str(place), "--listen", "127.0.0.1:0", "--every", "300ms"]
        with started(web, "^ready$") as (_, lines):
            url = lines[0].split()[1]
            visit = Visit(browser, url, viewport={"width": 390, "height": 800})
            page = visit.open()
            told = httpx.get(f"{url}/api/meter").json()

            # Who, and how: the owner's text is a text.
            assert visit.text("#model") == "ION8650"
            assert told["device"] in visit.text("#device")
            assert HOSTILE in visit.text("#state")
            assert page.locator("#state img").count() == 0
            assert "taken" not in page.title()
            assert re.fullmatch(r"\d\d:\d\d:\d\d", visit.text("#clock"))
            assert re.search(r"UTC\+0[12]:00", visit.text("#date"))

            # What it measures.
            volts = next(each["value"] for each in told["values"] if each["quantity"] == "Vln avg")
            assert abs(float(visit.text("#large [data-quantity='Vln avg'] b")) - volts) < 5
            energy = next(each["value"] for each in told["values"] if each["quantity"] == "kWh del")
            shown = visit.text("#large [data-quantity='kWh del'] b").replace("\u202f", "")
            assert abs(float(shown) - energy) < 1
            assert page.locator("#present tbody tr").count() == 7
            assert "kW sd del-rec" in visit.text("#others")

            # Plots with ink on them, recorders, ports, events.
            page.wait_for_selector("#profile canvas")
            for plot in ("#trend", "#profile"):
                visit.until(
                    "plot => { const c = document.querySelector(`${plot} canvas`); return c"
                    " && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean) }",
                    plot,
                )
            assert "97 rows, 1 with a status, no gaps" in visit.text("#profile-note")
            page.locator("#rows-details summary").click()
            assert page.locator("#rows tbody tr").count() == 97
            assert "invalid: not driven by a Periodic Timer" in visit.text("#rows tbody tr:first-child")
            page.locator("#profile .u-over").hover()
            visit.until("document.querySelector('#hover').textContent.includes('kWh del int')")
            assert len(re.findall(r"int -?\d+\.\d{3} k(?:Wh|VARh)[,;]", visit.text("#hover"))) == 4
            assert "Load Profile" in visit.text("#recorders")
            assert "ETHERNET" in visit.text("#ports")
            assert "Power up" in visit.text("#events")
            assert legend(page) == [
                "kWh del int (kWh, left)", "kVARh del int (kVARh, right)",
                "kWh rec int (kWh, left)", "kVARh rec int (kVARh, right)",
            ]  # fmt: skip
            page.select_option("#recorder", "Billing")
            visit.until("document.querySelector('#rows').textContent.includes('kVAh del+rec')")

            # One unit at a time, or the first two, and each series in a stroke of its own.
            offered = page.locator("#units option").all_inner_texts()
            assert offered == ["kWh and kVARh", "kWh", "kVARh", "kVAh", "kW", "kVAR", "kVA", "no unit"]
            assert len(legend(page)) == len({each for each, _ in strokes(page)}) == 6
            assert {each for each, _ in strokes(page)} >= drawn_colours(page) != set()
            page.select_option("#units", "kW")
            assert legend(page) == ["kW sd del-rec (kW)"]
            assert drawn_colours(page) == {strokes(page)[0][0]}
            page.locator("#profile .u-over").hover()
            visit.until("document.querySelector('#hover').textContent.includes('kW sd del-rec')")
            assert re.search(r": kW sd del-rec -?[\d\u202f]+\.\d{3} kW; status", visit.text("#hover"))
            cells = page.locator("#rows tbody tr:nth-child(-n+9) td:nth-child(n+3)").all_inner_texts()
            assert len(cells) == 9 * 11
            assert all(re.fullmatch(r"-?[\d\u202f]+\.\d{3}", each) for each in cells)

            # On a phone nothing is wider than the page, what has many columns fits, and the time goes on.
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            for part in ("present", "energy", "others", "recorders", "ports", "events"):
                assert page.eval_on_selector(FITTED.format(part), FITS), part
            head = "getComputedStyle(document.querySelector('#ports td'), '::before').content"
            assert "state" in page.evaluate(head)
            assert "gradient" in page.evaluate(
                "getComputedStyle(document.querySelector('#rows').parentElement).backgroundImage"
            )
            before = visit.text("#clock")
            visit.until("before => document.querySelector('#clock').textContent !== before", before)

            # The minutes before are there after a reload.
            visit.until("Number(document.querySelector('#trend').dataset.points) >= 12")
            page.reload()
            visit.until("'points' in document.querySelector('#trend').dataset")
            assert int(page.get_attribute("#trend", "data-points")) >= 12

            # An interval without a row is a gap.
            ctl = [*COMMAND, "ctl", str(place)]
            for words in (["clock", "step", "2h"], ["pulse", "Load Profile"]):
                subprocess.run([*ctl, *words], check=True, stdout=subprocess.DEVNULL)
            visit.until("document.querySelector('#profile-note').textContent.includes(' 1 gap')")

            # A new row leaves the choice of units as it is.
            page.select_option("#recorder", "Billing")
            page.select_option("#units", "kVAh")
            subprocess.run([*ctl, "pulse", "Billing"], check=True, stdout=subprocess.DEVNULL)
            visit.until("document.querySelector('#profile-note').textContent.includes(' 1 with a status')")
            assert page.input_value("#units") == "kVAh"
            assert legend(page) == ["kVAh del+rec (kVAh)"]

            # Dark: said, and the last values are grey.
            subprocess.run([*ctl, "power", "cut"], check=True, stdout=subprocess.DEVNULL)
            page.wait_for_selector("body.dark #gone:not([hidden])")
            assert visit.text("#gone") == "The meter has no power."
            assert "off" in visit.text("#state .bad")
            subprocess.run([*ctl, "power", "on"], check=True, stdout=subprocess.DEVNULL)
            page.wait_for_selector("body:not(.dark)")

            # Gone: said, greyed, the values stay.
            assert stop(meter) == 0
            page.wait_for_selector("body.stale #gone:not([hidden])")
            since = r"The meter does not answer since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC[+-]\d\d:\d\d: "
            assert re.match(since, visit.text("#gone"))
            assert visit.text("#large [data-quantity='Vln avg'] b") != "-"

            # Looked at only now: the last values, and why there are no rows and events.
            page.reload()
            for note in ("#profile-note", "#events-note"):
                visit.until(f"document.querySelector('{note}').textContent.startsWith('The meter does not')")
            assert visit.text("#large [data-quantity='Vln avg'] b") != "-"
            assert page.locator("#profile canvas").count() == 0
            with started(serve, "^ready$"):
                page.wait_for_selector("body:not(.stale)")
                page.wait_for_selector("#profile canvas")
                visit.until("document.querySelector('#events').textContent.includes('Power up')")
                assert visit.text("#events-note") == ""
                assert " rows, " in visit.text("#profile-note")
                assert page.locator("#gone").is_hidden()
                # A browser notes what was refused meanwhile (503); all else would be a fault of the page.
                assert [each for each in visit.complaints if "503" not in each] == []
                assert {
                    asked.split("/api/")[0].split("/static/")[0].rstrip("/") for asked in visit.asked
                } == {url}
                visit.context.close()

                dark = Visit(browser, url, color_scheme="dark")
                page = dark.open()
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert sum(map(int, re.findall(r"\d+", ground)[:3])) < 150
                assert dark.complaints == []
                dark.context.close()


def test_one_of_several_meters_is_chosen_and_the_address_keeps_it(browser: Any, tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(
        '[[line]]\nname = "hall"\nkind = "tcp"\nlisten = "127.0.0.1:0"\n'
        '[[line]]\nname = "attic"\nkind = "tcp"\nlisten = "127.0.0.1:0"\n'
        '[[meter]]\nline = "hall"\nunit_id = 1\ncount = 2\n'
        '[[meter]]\nline = "attic"\nunit_id = 1\nmodel = "ION9000"\n',
        encoding="utf-8",
    )
    place = tmp_path / "c.sock"
    with (
        started([*COMMAND, "serve", str(config), "--control", str(place)], "^ready$"),
        started([*COMMAND, "web", str(place), "--listen", "127.0.0.1:0"], "^ready$") as (_, lines),
    ):
        visit = Visit(browser, lines[0].split()[1])
        page = visit.open()
        assert "Unit ID 1 on hall" in visit.text("#device")
        page.select_option("#choice", index=2)
        page.wait_for_url("**/?unit=1&line=attic")
        visit.until("document.querySelector('#model').textContent === 'ION9000'")
        page.reload()
        visit.until("document.querySelector('#device').textContent.includes('on attic')")
        assert page.input_value("#choice") == "1"
        assert page.locator("#choice option:checked").get_attribute("data-line") == "attic"
        assert visit.complaints == []

        # An address with a meter that there is not: said, with those that there are.
        page.goto(f"{visit.url}/?unit=9")
        visit.until("document.querySelector('#meters').children.length === 3")
        assert "no meter here has Unit ID 9" in visit.text("#gone")
        assert "does not answer" not in visit.text("body")
        assert page.title() == "No such meter - iondlms"
        assert not page.is_visible("main")
        assert page.locator("#choice option:checked").inner_text() == "9"
        page.locator("#meters a").nth(1).click()
        page.wait_for_url("**/?unit=2&line=hall")
        visit.until("document.querySelector('#device').textContent.includes('Unit ID 2 on hall')")
        assert not page.is_visible("#absent")
        assert page.is_visible("main")
        assert visit.complaints == []

        # A register that has just begun has decimals that move, and what rounds to nothing has no sign.
        panel = httpx.get(f"{visit.url}/api/meter").json()
        for each in panel["values"]:
            each["value"] = SMALL.get(each["quantity"], each["value"])
        shown = json.dumps({"at": 1.0, "gone": None, "panel": panel, "trail": []})
        page.route(
            "**/api/stream*",
            lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {shown}\n\n"),
        )
        page.goto(visit.url)
        visit.until("document.querySelector('#energy td')?.textContent.length > 1")
        cells = [page.locator(f"#energy tr:nth-child({row}) td").all_inner_texts() for row in (1, 2)]
        assert cells == [["0.123", "99.999", "100.0", "12\u202f345.7"], ["0.000", "0.000", "0.000", "-4.250"]]
        assert visit.text("#large [data-quantity='kVAR tot'] b") == "0.000"
        for width in (390, 960):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.eval_on_selector(FITTED.format("energy"), FITS), width
        visit.context.close()
