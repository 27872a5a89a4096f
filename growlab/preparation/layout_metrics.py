"""What layouts alone tell of completed trials, computed where no row says it: of studies that ask for it afterwards."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.preparation.fronts import Front
    from growlab.storage import Store, StudyRow


def read_front(store: "Store", row: "StudyRow", storage: str, plugins: Sequence[Path], tell: Tell) -> "Front | None":
    """Read the front of a study, computing what no row says; None of a study that judges by one number alone."""
    from growlab.preparation.fronts import front_of, is_judged_by_several, read_values, untold

    if not is_judged_by_several(row.study):
        return None
    values = read_values(store, row)
    if missing := untold(row.study, values):
        told = told_values(store, row, missing, storage, plugins, tell)
        values = {number: told.get(number, {}) | known for number, known in values.items()}
    return front_of(row.study, values)


def told_values(
    store: "Store", row: "StudyRow", numbers: Collection[int], storage: str, plugins: Sequence[Path], tell: Tell
) -> dict[int, dict[str, float]]:
    """Compute what their layouts tell of these trials, by number and the metric's key.

    Loads torch, for the kinds, and the study's text, for its vocabulary; where that is not found it is told, and
    nothing is known.
    """
    from growlab.data import load_corpus
    from growlab.errors import DataError
    from growlab.kinds import KINDS
    from growlab.model.cost import Costs
    from growlab.plugins import load_plugins
    from growlab.preparation.texts import with_found_texts
    from growlab.search.judging import judged
    from growlab.search.limits import Limits

    load_plugins(plugins)
    try:
        here = with_found_texts(row.study, storage, plugins, tell)
        vocab_size = load_corpus(here.data, here.curriculum).tokenizer.vocab_size
    except DataError as error:
        tell(f"what their layouts cost is not known of trials {', '.join(map(str, sorted(numbers)))}: {error}")
        return {}
    limit = Limits(study=row.study, kinds=KINDS, measure=Costs(vocab_size))
    past = [trial for trial in store.past_trials(row.id, row.study.metrics) if trial.number in numbers]
    return {trial.number: dict(trial.metrics) for trial in judged(limit, past)}
