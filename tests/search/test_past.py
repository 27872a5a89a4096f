"""What the trials so far say of layouts: which were tried, which only ever failed."""

from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.search.past import failed_layouts, tried_layouts, unfinished

ATTN, CONV, MLP = (parse(f"d=64 {text}") for text in ("attn", "conv mlp", "attn mlp"))


def trial(number, layout, state=TrialState.COMPLETED):
    value = 1.0 if state is TrialState.COMPLETED else None
    return PastTrial(number=number, state=state, layout=str(layout), value=value)


def test_what_was_tried_is_the_same_after_whichever_past_was_asked_about_before():
    past = [trial(0, ATTN), trial(1, CONV), trial(2, "nonsense")]
    other = [trial(0, MLP), *past[1:]]

    found = [set(tried_layouts(asked)) for asked in (past[:1], past, other, past[:2], past)]

    attn, conv, mlp = (layout.hash for layout in (ATTN, CONV, MLP))
    assert found == [{attn}, {attn, conv, None}, {mlp, conv, None}, {attn, conv}, {attn, conv, None}]


def test_a_layout_failed_where_no_trial_of_it_did_anything_else():
    past = [
        trial(0, ATTN, TrialState.DIVERGED),
        trial(1, CONV, TrialState.FAILED),
        trial(2, CONV),
        trial(3, MLP, TrialState.RUNNING),
    ]

    assert failed_layouts(past) == {ATTN.hash}


def test_a_trial_that_runs_is_unfinished_as_it_is():
    running, paused = trial(0, ATTN, TrialState.RUNNING), trial(1, ATTN, TrialState.PAUSED)

    assert unfinished(running) is running
    assert unfinished(paused) == trial(1, ATTN, TrialState.RUNNING)
