"""What --table means: a table of trainings in a file, or a function of one."""

import re
from collections.abc import Callable
from pathlib import Path

from growlab.simulate.function import Function
from growlab.simulate.table import Table, Trainings
from growlab.simulate.table_file import read_table
from growlab.study import Study

_FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")


def trainings_of(source: str, study: Study, tell: Callable[[str], None]) -> Trainings:
    """The trainings of TABLE.tsv, or of my.py:objective; tells what of a table is not read. Raises UsageError."""
    if function := _FUNCTION.fullmatch(source):
        return Function(study, Path(function["file"]), function["name"])
    table = read_table(Path(source), study)
    for note in table.notes:
        tell(note)
    return Table(study, table.trainings)
