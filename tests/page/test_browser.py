"""The page as a headless Chromium shows it. Without one, `make test` skips this and `make test-browser` fails."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from growlab.notebook import LoadedStudy
from growlab.page import write_page

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 30_000  # of the page's own clock
FIGURE = re.compile(r'<div class="chart[^"]*"[^>]*data-chart="([^"]+)"([^>]*)>')


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> str:
    named = os.environ.get("GROWLAB_TEST_BROWSER")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        why = "no Chromium: apt-get install chromium, or name one in GROWLAB_TEST_BROWSER"
        (pytest.fail if pytestconfig.getoption("--browser-required") else pytest.skip)(why)
    return found


@pytest.fixture(scope="module")
def page(browser: str, study: LoadedStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_page(study, file)
    return file


@pytest.fixture
def shown(browser: str, tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """The document of a page after its scripts have run, and what they wrote to the console."""

    def show(page: Path, *options: str) -> tuple[str, list[str]]:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
            f"--user-data-dir={tmp_path}", f"--virtual-time-budget={WAIT_MS}", *options, page.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return show


def test_every_figure_is_drawn_and_the_console_is_silent(
    page: Path, shown: Callable[..., tuple[str, list[str]]]
) -> None:
    document, console = shown(page)

    figures = dict(FIGURE.findall(document))
    assert len(figures) >= 12
    assert [name for name, attributes in figures.items() if 'data-drawn="yes"' not in attributes] == []
    assert document.count("<svg") >= len(figures)
    assert 'data-ready="yes"' in document
    assert console == []


@pytest.mark.slow
def test_a_filter_points_out_trials_a_head_sorts_and_a_table_opens(
    page: Path, shown: Callable[..., tuple[str, list[str]]], tmp_path: Path
) -> None:
    """A script of the test does what hands would do."""
    hands = """
      const by = (selector) => document.querySelector(selector), told = [];
      const shown = () => [...document.querySelectorAll("#trials tbody tr")].filter((row) => !row.hidden)
        .map((row) => row.dataset.trial).join(" ");
      by('th[data-name="val_loss"] button').click(); by('th[data-name="val_loss"] button').click();
      told.push(shown());
      by("#filter").value = "val_loss < 1.8 and completed"; by("#filter").dispatchEvent(new Event("input"));
      by("details[data-table=curves]").open = true;
      setTimeout(() => {
        told.push(shown(), by("#n-shown").textContent, document.querySelectorAll("details table tr").length > 10);
        document.body.dataset.told = told.join("|");
      }, 5000);
    """
    changed = tmp_path / "hands.html"
    before, end, after = page.read_text().rpartition("</body>")
    changed.write_text(f"{before}<script>{hands}</script>{end}{after}")

    document, console = shown(changed)

    assert console == []
    [told] = re.findall(r'data-told="([^"]*)"', document)
    by_loss, filtered, count, has_rows = unescape(told).split("|")
    assert by_loss.split()[-1] == "3"  # no loss: last, whichever way
    assert filtered == "2"
    assert count == "1 of 6 trials"
    assert has_rows == "true"
    assert console == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--window-size=390,900",), ("--blink-settings=preferredColorScheme=0",)])
def test_a_phone_and_the_dark_draw_every_figure(
    page: Path, shown: Callable[..., tuple[str, list[str]]], options: tuple[str, ...]
) -> None:
    document, console = shown(page, *options)

    assert document.count('data-drawn="yes"') == len(FIGURE.findall(document)) >= 12
    assert console == []
