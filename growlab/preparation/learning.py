"""What a stored study has learnt, and what it would try next."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.search.model.explaining import Why
    from growlab.storage import Store, StudyRow


def read_why(store: "Store", row: "StudyRow", storage: str, plugins: Sequence[Path], tell: Tell) -> "Why":
    """Learn from the trials of a study, as the sampler `model` does, whichever sampler the study has.

    Loads torch, for the kinds, and the study's text, for its vocabulary. Raises DataError where that is not found.
    """
    from growlab.data import load_corpus
    from growlab.kinds import KINDS
    from growlab.layout import parse
    from growlab.model.cost import Costs
    from growlab.plugins import load_plugins
    from growlab.preparation.confirming import confirms
    from growlab.preparation.texts import with_found_texts
    from growlab.search import Promote, decide, propose, sampler_options
    from growlab.search.model.explaining import Why, explain
    from growlab.search.propose import ask_for

    load_plugins(plugins)
    here = with_found_texts(row.study, storage, plugins, tell)
    costs = Costs(load_corpus(here.data, here.curriculum).tokenizer.vocab_size)
    past = store.past_trials(row.id, row.study.metrics)
    ask, _ = ask_for(row.study, past, len(past), KINDS, costs)
    learnt = explain(ask)
    following = expected = None
    if sampler_options(row.study).proposes and not confirms(store, row):
        following = propose(row.study, past, len(past), KINDS, costs)
        expected = following.decision.predicted or learnt.predict(parse(following.spec.layout), following.params)
    decided = decide(row.study, past, KINDS, costs) if row.study.rungs is not None else None
    return Why(
        study=row.study.name,
        explanation=learnt.explanation,
        following=following,
        expected=expected,
        promotion=decided.promotion if isinstance(decided, Promote) else None,
    )
