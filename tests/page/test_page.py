"""The page as HTML: its sections, figures, tables and data; and what it takes to be written."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from growlab import api
from growlab.errors import UsageError
from growlab.kinds import KINDS
from growlab.notebook import LoadedStudy
from growlab.page import page_of, write_page
from growlab.page.sections import SECTIONS
from growlab.search import preview
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"
SCRIPT = "/* what draws */"
FIGURES = {
    "curves", "objective-0", "parallel", "layouts", "stack-2", "stack-1", "stack-0", "paths", "growth",
    "rungs", "workers",
}  # fmt: skip


@dataclass
class Parsed(HTMLParser):
    """The elements of a page, with their attributes and the text in each."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def parsed(page: str) -> Parsed:
    parser = Parsed()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page(study: LoadedStudy) -> Parsed:
    return parsed(page_of(study, SCRIPT))


def data_of(page: Parsed, at: int) -> dict[str, Any]:
    """The JSON of the tables (0) or the specifications (1)."""
    found: dict[str, Any] = json.loads(page.texts["script"][at])
    return found


def test_every_section_is_there_and_in_the_navigation(page: Parsed) -> None:
    sections = [section["id"] for section in page.of("section")]
    links = [link["href"] for link in page.of("a") if link["href"] != "#main"]

    assert sections == [s.name for s in SECTIONS if s.name != "ablation"]  # it searched no choice
    assert links == [f"#{name}" for name in sections]


def test_every_figure_has_title_legend_or_axes_and_data(page: Parsed) -> None:
    tables, specs = data_of(page, 0), data_of(page, 1)
    figures = {figure["id"].removeprefix("figure-") for figure in page.of("figure") if figure["id"]}

    assert FIGURES <= figures == set(specs)
    assert len(page.texts["h3"]) >= len(figures)
    for name, spec in specs.items():
        assert "datasets" not in spec, name
        assert names_in(spec) <= set(tables), name
        assert '"title"' in json.dumps(spec), name


def names_in(spec: Any) -> set[str]:
    if isinstance(spec, list):
        return {name for part in spec for name in names_in(part)}
    if not isinstance(spec, dict):
        return set()
    own = {spec["data"]["name"]} if isinstance(spec.get("data"), dict) else set()
    return own | {name for part in spec.values() for name in names_in(part)}


def test_the_leaderboard_has_every_trial_and_the_numbers_that_it_sorts_by(page: Parsed) -> None:
    rows = [row for row in page.of("tr") if "data-trial" in row]

    assert [row["data-trial"] for row in rows] == ["2", "1", "0", "4", "5", "3"]
    assert rows[0]["class"] is not None
    assert "best" in rows[0]["class"]
    assert {"1.75", "4", "1000000000"} <= {cell["data-v"] for cell in page.of("td") if cell.get("data-v")}


def test_nothing_is_fetched_and_no_text_is_obeyed(study: LoadedStudy, hostile: str) -> None:
    html = page_of(study, SCRIPT)
    page = parsed(html)

    assert [name for name, _ in page.elements].count("script") == 4
    assert page.of("img") == []
    assert page.of("link") == []
    assert not [each for _, each in page.elements if "src" in each or any(name.startswith("on") for name in each)]
    assert all((link["href"] or "").startswith("#") for link in page.of("a"))
    assert "default-src 'none'" in html
    assert "\x1b" not in html
    told = "".join(page.texts["td"])
    assert hostile.replace("\x1b", "\N{SYMBOL FOR ESCAPE}") in told  # the error, whole


def test_the_summary_says_who_is_best_and_what_the_model_cannot_know(page: Parsed) -> None:
    words = " ".join(text for tag in ("li", "strong", "p") for text in page.texts[tag])

    assert "Trial 2" in words
    assert "val_loss 1.7500" in words
    assert "6 of 6 trials grew" in words
    assert "No trial has completed" not in words


def test_failures_are_told_by_cause(page: Parsed) -> None:
    assert any(text.startswith("loss is nan at step 17") for text in page.texts["td"])


@pytest.fixture
def begun(home: Path) -> LoadedStudy:
    """A study of which one trial waits in the queue."""
    study = api.create(api.read_study("tiny.yaml"), tell=lambda _: None)
    with Store.open(STORAGE) as store:
        [proposal] = preview(study, KINDS, lambda layout: 1, 1)
        store.enqueue(store.study("tiny").id, proposal)
    return api.load_study(STORAGE, "tiny")


def test_a_study_that_has_only_begun_has_a_page_too(begun: LoadedStudy) -> None:
    page = page_of(begun, SCRIPT)

    assert "No trial has completed yet" in page
    assert parsed(page).of("figure") == []


@pytest.mark.slow
@pytest.mark.parametrize(("n_trials", "most_bytes"), [(100, 2_500_000), (500, 6_000_000)])
def test_a_large_study_fits_in_a_few_megabytes(
    tmp_path: Path, furnish: Callable, play: Callable[..., str], n_trials: int, most_bytes: int
) -> None:
    """Trials with 100 evaluations each; the script that a reader gets has 0.9 MB."""
    furnish(tmp_path)
    url = play(tmp_path, n_trials=n_trials, n_evaluations=100, growths=3)

    page = page_of(api.load_study(url, "tiny"), SCRIPT)

    assert len(page.encode()) < most_bytes - 900_000
    assert len([row for row in parsed(page).of("tr") if "data-trial" in row]) == n_trials


# ---- the file ------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws is in the cache already: to bundle it takes seconds."""
    monkeypatch.setenv("GROWLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"vega-{version('vl-convert-python')}.js").write_text(SCRIPT)


@pytest.mark.usefixtures("kept_script")
def test_a_file_that_is_there_is_replaced_by_force_alone(study: LoadedStudy, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("mine")

    with pytest.raises(UsageError, match=r"report\.html is there already.*--force"):
        write_page(study, file)
    before = file.read_text()
    n_bytes = write_page(study, file, force=True)

    assert before == "mine"
    assert file.stat().st_size == n_bytes > 20_000
    assert f"<script>{SCRIPT}</script>" in file.read_text()


@pytest.mark.usefixtures("kept_script")
def test_where_nothing_can_be_written_the_reason_is_told(study: LoadedStudy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)

    with pytest.raises(UsageError, match="is a folder; give the name of a file in it"):
        write_page(study, tmp_path)
    with pytest.raises(UsageError, match=r"cannot write .*File exists"):
        write_page(study, tmp_path / "file" / "report.html")
    if os.geteuid() != 0:  # who may write anywhere
        with pytest.raises(UsageError, match=r"cannot write .*Permission denied"):
            write_page(study, locked / "report.html")


def test_a_missing_extra_is_named_with_the_command_that_brings_it(
    study: LoadedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("vl_convert", "altair"):
        monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(UsageError, match=r"needs the package vl-convert-python; run: pip install .*html"):
        write_page(study, tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"need the package altair; run: pip install .*html"):
        _ = LoadedStudy(study._storage, "tiny").figures


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kept_script")
def test_the_command_writes_the_page_and_says_where(
    played: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    storage = f"sqlite:///{played / 'growlab.db'}"
    file = tmp_path / "out" / "report.html"

    code, out, err = run("report", "tiny", "--storage", storage, "--html", str(file))
    again, _, refused = run("report", "tiny", "--storage", storage, "--html", str(file))
    forced, _, _ = run("report", "tiny", "--storage", storage, "--html", str(file), "--force")

    assert (code, out) == (0, "")
    assert f"wrote {file}: 0.1 MB" in err
    assert file.is_file()
    assert (again, forced) == (2, 0)
    assert "choose another name, or replace it with --force" in refused


def test_the_command_refuses_what_goes_with_no_page(
    played: Path, home: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    storage = f"sqlite:///{played / 'growlab.db'}"

    with_others = run("report", "tiny", "--storage", storage, "--html", "a.html", "--why")
    alone = run("report", "tiny", "--storage", storage, "--force")
    unknown = run("report", "nosuch", "--storage", storage, "--html", "a.html")
    run("study", "create", "tiny.yaml", "--name", "empty")
    empty = run("report", "empty", "--html", "a.html")

    assert (with_others[0], alone[0], unknown[0], empty[0]) == (2, 2, 1, 1)
    assert "are two reports; ask for one of them" in with_others[2]
    assert "--force replaces the file of --html FILE" in alone[2]
    assert "nosuch" in unknown[2]
    assert "study 'empty' has no trial yet; run it first: growlab study run empty" in empty[2]
    assert not (home / "a.html").exists()
