"""The sections of the page, in reading order. One of which a study has nothing is left out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from growlab.page import ablation, failures, leaderboard, plots, summary
from growlab.page.figure import Charts
from growlab.page.markup import Html

if TYPE_CHECKING:
    from growlab.notebook import LoadedStudy


@dataclass(frozen=True)
class Section:
    name: str  # of its anchor
    title: str
    make: Callable[["LoadedStudy", Charts], Html]  # '' where there is nothing to show


SECTIONS = (
    Section("summary", "Summary", summary.section),
    Section("leaderboard", "Leaderboard", leaderboard.section),
    Section("curves", "Curves", plots.curves),
    Section("objectives", "Trade-offs", plots.objectives),
    Section("search", "Search", plots.searched),
    Section("importance", "Importance", plots.importance),
    Section("ablation", "Comparisons", ablation.section),
    Section("layouts", "Layouts and growth", plots.layouts),
    Section("paths", "Weight paths", plots.paths),
    Section("timelines", "Timelines", plots.timelines),
    Section("failures", "Failures", failures.section),
)
