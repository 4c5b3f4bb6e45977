"""The page in a browser: it shows what the meter says, draws, asks nobody else, and takes texts for texts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.extras import needs
from tests.interop.running import started, stop

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
            assert "Load Profile" in visit.text("#recorders")
            assert "ETHERNET" in visit.text("#ports")
            assert "Power up" in visit.text("#events")
            page.select_option("#recorder", "Billing")
            visit.until("document.querySelector('#rows').textContent.includes('kVAh del+rec')")

            # On a phone nothing is wider than the page, and the time goes on.
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
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
            assert "The meter does not answer since" in visit.text("#gone")
            assert visit.text("#large [data-quantity='Vln avg'] b") != "-"
            with started(serve, "^ready$"):
                page.wait_for_selector("body:not(.stale)")
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
        visit.context.close()
