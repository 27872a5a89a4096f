"""The whole page: its head, its sections, what they draw, and the scripts that draw it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from growlab import __version__
from growlab.page.figure import Charts
from growlab.page.markup import Html, element, json_script, text
from growlab.page.sections import SECTIONS

if TYPE_CHECKING:
    from growlab.notebook import LoadedStudy

# Nothing is fetched, whatever a name in the study says. Vega compiles its expressions, which is what eval stands for.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:"
_HERE = Path(__file__).parent


def page_of(study: "LoadedStudy", script: str) -> str:
    """The page as HTML; `script` is what draws (growlab.page.script). Loads torch."""
    charts = Charts()
    made = [(section, section.make(study, charts)) for section in SECTIONS]
    shown = [(section, content) for section, content in made if content]
    body = [
        element("a", "Skip to the results", href="#main", class_="skip"),
        element(
            "header",
            element("p", "growlab report", class_="brand"),
            element("h1", study.name),
            element("p", study.title.removeprefix(f"{study.name}: "), class_="title"),
            _navigation([(section.name, section.title) for section, _ in shown]),
        ),
        element(
            "main",
            *(element("section", element("h2", section.title), content, id=section.name) for section, content in shown),
            id="main",
        ),
        element("footer", f"Made by growlab {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; needs no network."),
        element("noscript", element("p", "Figures need JavaScript; the tables do not.", class_="note")),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            f"<head>{_head(study.name)}</head>",
            f"<body>{''.join(body)}",
            json_script("tables", charts.tables),
            json_script("specs", charts.specs),
            f"<script>{script}</script>",
            f"<script>{_own('page.js')}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _head(name: str) -> str:
    return "".join(
        [
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(name)} · growlab</title>",
            f"<style>{_own('page.css')}</style>",
        ]
    )


def _navigation(sections: list[tuple[str, str]]) -> Html:
    links = (element("a", title, href=f"#{name}") for name, title in sections)
    return element("nav", *links, aria_label="Sections")


def _own(file: str) -> str:
    return (_HERE / file).read_text(encoding="utf-8")
