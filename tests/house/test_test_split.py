"""Which code may see the test split: one room reads the corpus's, and nothing that chooses asks for its rows."""

import re
from pathlib import Path

LOADS_THE_TEXT = {"data/corpus.py", "doctor/data.py"}  # cut it, and say how long its parts are
READS_THE_TEXT = {"export/held_out.py"}
READS_ITS_ROWS = {
    *("export/held_out.py", "report/trial_page.py", "storage/facts.py", "records.py"),
    "export/evaluating.py",  # a stream of a made-up task's sequences, no text's split
    *("export/record.py", "export/card.py"),  # a trial that is chosen already, with what somebody has read of it
}


def _files_with(package: Path, pattern: str) -> set[str]:
    return {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if re.search(pattern, path.read_text())
    }


def test_only_one_file_computes_on_it(repository: Path) -> None:
    reading = _files_with(repository / "growlab", r"corpus\.test\b|test_bytes_per_token")

    assert reading - LOADS_THE_TEXT == READS_THE_TEXT


def test_no_search_no_trigger_and_no_ranking_asks_for_its_rows(repository: Path) -> None:
    asking = _files_with(repository / "growlab", r"\bTEST\b|[\"']test[\"']")

    elsewhere = {path for path in asking if path.startswith(("data/", "commands/"))}
    assert asking - elsewhere - LOADS_THE_TEXT == READS_ITS_ROWS
