"""Means, intervals and differences of groups of trials, from a real database, against figures by hand."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from growlab.errors import UnknownName, UsageError
from growlab.proposal import Proposal
from growlab.records import Decision, Metric, TrialResult, TrialState
from growlab.report.group_table import render_groups
from growlab.report.groups import NO_PAIRS, Groups, read_groups
from growlab.report.trial_values import full_key
from growlab.specs import TrialSpec
from growlab.storage import Store, StudyRow
from growlab.study import Objective
from growlab.study.growth_section import growth_with

STACK = growth_with(trigger="at", operator="stack", factor=2)

Train = Callable[..., None]


@pytest.fixture
def train(store: Store, study_row: StudyRow, trial_spec: TrialSpec, result_of: Callable[..., TrialResult]) -> Train:
    """Trials of the study 'nightly', or of another one, each with its seed, what it was made with, and its end."""
    store.set_n_trials("nightly", 100)
    worker_id = store.register_worker(name="gpu1", device="cpu", versions={})

    def run(seed: int, val_loss: float | None, *, study: str = "nightly", lr: float = 1e-3, **changes: Any) -> None:
        if study not in {summary.name for summary in store.studies()}:
            store.create_study(replace(study_row.study, name=study))
        study_id = store.study(study).id
        number = sum(store.counts(study_id).values())
        state, facts = changes.pop("state", TrialState.COMPLETED), changes.pop("facts", ())
        params = changes.pop("params", {})
        spec = replace(trial_spec, train=replace(trial_spec.train, lr=lr), seed=seed, **changes)
        decision = Decision(number=number, seed=1, origin="random", parent=None, mutation="", finished=(), running=())
        layout = str(spec.layout)
        store.enqueue(study_id, Proposal(spec=spec, layout=layout, depth=2, params=params, decision=decision))
        if state.is_final:
            claim = store.claim_next(study_id, worker_id, lease_s=60)
            assert claim is not None
            store.finish(claim, result_of(state=state, val_loss=val_loss, flops=1000 * (number + 1)), facts, [])

    return run


def grouped(store: Store, key: str, studies: Sequence[str] = ("nightly",), **asked: Any) -> Groups:
    return read_groups(store, [store.study(name) for name in studies], key, **{"margin": 0.01, **asked})


def rendered(groups: Groups, format: str) -> str:
    stream = io.StringIO()
    render_groups(groups, format, stream)
    return stream.getvalue()


# ---- one group ---------------------------------------------------------------------------------------------------


def test_a_group_has_the_mean_of_its_finished_trials_and_students_interval(store: Store, train: Train) -> None:
    for seed, loss in enumerate((1.0, 2.0, 3.0)):
        train(seed, loss, lr=1e-3)
    train(3, 9.0, lr=3e-3)
    train(4, None, lr=1e-3, state=TrialState.DIVERGED)
    train(5, None, lr=1e-3, state=TrialState.LEAK)
    train(6, None, lr=1e-3, state=TrialState.QUEUED)

    low, high = grouped(store, "train.lr").rows

    assert (low.value, low.n, low.n_diverged, low.n_failed, low.n_open) == (1e-3, 3, 1, 1, 1)
    assert low.mean == pytest.approx(2.0)
    assert (low.low, low.high) == (
        pytest.approx(2 - 4.302653 / math.sqrt(3)),
        pytest.approx(2 + 4.302653 / math.sqrt(3)),
    )
    assert (low.flops, low.elapsed_s) == (pytest.approx(2000), 80.0)
    assert (high.value, high.n, high.mean, high.low) == (3e-3, 1, 9.0, None)


def test_trials_of_a_group_on_one_seed_count_as_their_mean(store: Store, train: Train) -> None:
    for seed, losses in ((0, (1.0, 3.0)), (1, (4.0, 4.0))):
        for loss in losses:
            train(seed, loss)

    groups = grouped(store, "lr")

    assert (groups.rows[0].n, groups.rows[0].mean) == (4, pytest.approx(3.0))
    assert groups.rows[0].high == pytest.approx(3 + 12.706205)
    assert "trials of one value on one seed count as their mean" in rendered(groups, "table")


def test_numbers_are_in_their_order_and_names_by_the_mean(store: Store, train: Train) -> None:
    train(0, 1.0, lr=1e-2)
    train(0, 3.0, lr=3e-3)
    train(0, 2.0, lr=1e-3, growth=STACK)

    assert [row.value for row in grouped(store, "lr").rows] == [1e-3, 3e-3, 1e-2]
    assert [(row.value, row.mean) for row in grouped(store, "trigger").rows] == [
        ("at", pytest.approx(2.0)),
        ("stagnation", pytest.approx(2.0)),
    ]
    assert [row.value for row in grouped(store, "growth.factor").rows] == [1, 2]


# ---- keys --------------------------------------------------------------------------------------------------------


def test_any_value_is_a_key_and_its_last_part_will_do(store: Store, train: Train) -> None:
    train(0, 1.0)
    train(1, 2.0, study="other", growth=STACK)

    both = ("nightly", "other")

    assert grouped(store, "lr").key == "train.lr"
    assert [row.value for row in grouped(store, "stagnation.tau_crit", both).rows] == [2.0, None]
    assert {row.value for row in grouped(store, "study", both).rows} == set(both)
    assert [row.value for row in grouped(store, "seed", both).rows] == [0, 1]
    assert [row.value for row in grouped(store, "layout").rows] == [
        "d=8 attn[heads_per_kv=1,n_heads=2] mlp[expand=2.5]"
    ]


def test_trainings_of_an_ablation_are_grouped_by_their_arm(store: Store, train: Train) -> None:
    for arm, loss in (("early", 1.0), ("early", 1.2), ("late", 2.0)):
        train(round(10 * loss), loss, params={"arm": arm, "train.lr": 1e-3})

    assert [(group.value, group.n) for group in grouped(store, "arm").rows] == [("early", 2), ("late", 1)]


def test_a_key_that_no_trial_has_is_refused_with_those_that_there_are(store: Store, train: Train) -> None:
    train(0, 1.0)

    with pytest.raises(UnknownName, match=r"unknown key 'train.rl'; known: .*Did you mean 'train.lr'"):
        grouped(store, "train.rl")


def test_a_last_part_that_several_keys_have_is_refused_with_all_of_them() -> None:
    known = ["train.lr", "growth.operator.aiether.beta0", "growth.operator.aiether-code.beta0"]

    with pytest.raises(UsageError, match=r"may be growth.operator.aiether-code.beta0, growth.operator.aiether.beta0"):
        full_key("beta0", known)
    assert full_key("aiether.beta0", known) == "growth.operator.aiether.beta0"


def test_studies_that_minimise_different_things_have_no_mean(store: Store, study_row: StudyRow, train: Train) -> None:
    train(0, 1.0)
    study = replace(study_row.study, name="other", objectives=(Objective(metric="bits_per_byte"),))
    store.create_study(study)

    with pytest.raises(UsageError, match="no common mean: nightly val_loss, other bits_per_byte"):
        grouped(store, "lr", ("nightly", "other"))


def test_a_study_without_trials_says_so(store: Store, study_row: StudyRow) -> None:
    with pytest.raises(UsageError, match="no trials to group yet, in nightly"):
        grouped(store, "lr")


# ---- against one value -------------------------------------------------------------------------------------------


def test_differences_are_taken_on_the_same_seeds(store: Store, train: Train) -> None:
    """The spread of the seeds, far above the difference, cancels."""
    for seed, base in enumerate((1.0, 5.0, 3.0, 8.0)):
        train(seed, base, lr=1e-3)
        train(seed, base - 0.2 + 0.001 * seed, lr=3e-3)
        train(seed, base + 0.0001 * seed, lr=5e-3)
    train(9, 0.1, lr=3e-3)  # on a seed of its own: in the mean, in no pair

    baseline, better, equal = grouped(store, "lr", against="0.001").rows

    assert (baseline.n_pairs, baseline.difference, baseline.verdict) == (None, None, None)
    assert (better.n, better.n_pairs, better.difference) == (5, 4, pytest.approx(-0.1985))
    half = 3.182446 * 0.001 * math.sqrt(5 / 3) / 2
    assert better.difference_low == pytest.approx(-0.1985 - half)
    assert better.difference_high == pytest.approx(-0.1985 + half)
    assert better.verdict == "better"
    assert (equal.n_pairs, equal.verdict) == (4, "equal within ± 0.01")


def test_what_cannot_be_told_says_how_many_repeats_would(store: Store, train: Train) -> None:
    for seed, noise in enumerate((0.1, -0.1, 0.08, -0.09)):
        train(seed, 2.0, lr=1e-3)
        train(seed, 2.0 + noise, lr=3e-3)

    row = grouped(store, "lr", against="1e-3").rows[1]
    wide = grouped(store, "lr", against="1e-3", margin=1.0).rows[1]

    assert row.verdict is not None
    assert re.fullmatch(r"cannot tell; [\d,]+ repeats would", row.verdict)
    assert wide.verdict == "equal within ± 1"


def test_groups_that_share_no_seed_have_no_difference_and_no_verdict(store: Store, train: Train) -> None:
    for seed in range(4):
        train(seed, 1.0, lr=1e-3)
        train(10 + seed, 2.0, lr=3e-3)

    row = grouped(store, "lr", against="0.001").rows[1]

    assert (row.n, row.n_pairs, row.difference, row.verdict) == (4, 0, None, NO_PAIRS)
    assert "values without pairs: seeds are shared by" in rendered(grouped(store, "lr", against="0.001"), "table")


def test_a_diverged_trial_is_beside_the_verdict(store: Store, train: Train) -> None:
    for seed in range(4):
        train(seed, 2.0, lr=1e-3)
        train(seed, 1.0 + 0.01 * seed, lr=3e-3)
    train(4, 2.0, lr=1e-3)
    train(4, math.nan, lr=3e-3, state=TrialState.DIVERGED)

    groups = grouped(store, "lr", against="0.001")

    assert (groups.rows[1].verdict, groups.rows[1].n_diverged, groups.rows[1].n_pairs) == ("better", 1, 4)
    assert "diverged or failed are in no mean and no pair" in rendered(groups, "table")


def test_several_studies_are_compared_on_the_seeds_that_they_share(store: Store, train: Train) -> None:
    for seed in range(3):
        train(seed, 2.0 + seed)
        train(seed, 1.0 + seed + 0.01 * seed, study="grown", growth=STACK)

    groups = grouped(store, "trigger", ("nightly", "grown"), against="stagnation")

    assert [(row.value, row.n_pairs, row.verdict) for row in groups.rows] == [
        ("at", 3, "better"),
        ("stagnation", None, None),
    ]
    assert groups.vary == ("growth.operator", *(key for key in groups.vary[1:]))
    assert "growth.trigger.at.shares" not in groups.vary


def test_a_value_that_no_trial_has_is_refused_with_those_that_there_are(store: Store, train: Train) -> None:
    train(0, 1.0)

    with pytest.raises(UnknownName, match=r"unknown value of train.lr '0.1'; known: 0.001"):
        grouped(store, "lr", against="0.1")
    with pytest.raises(UsageError, match="the margin must be a number above 0, got 0"):
        grouped(store, "lr", against="0.001", margin=0.0)


# ---- only val, and all formats -----------------------------------------------------------------------------------


def test_nothing_of_the_test_split_enters_a_group(store: Store, train: Train) -> None:
    train(0, 2.0)
    before = grouped(store, "lr")

    train(0, 2.0, study="tested", facts=[Metric(step=100, split="test", name="loss", value=0.5)])

    assert grouped(store, "lr", ("tested",)).rows == tuple(replace(row, flops=1000) for row in before.rows)


@pytest.fixture
def compared(store: Store, train: Train) -> Groups:
    for seed in range(3):
        train(seed, 2.0 + seed, lr=1e-3)
        train(seed, 1.0 + seed + 0.01 * seed, lr=3e-3)
    return grouped(store, "lr", against="0.001")


@pytest.mark.parametrize(("format", "delimiter"), [("tsv", "\t"), ("csv", ",")])
def test_programs_get_plain_numbers_with_all_their_digits(compared: Groups, format: str, delimiter: str) -> None:
    baseline, other = csv.DictReader(io.StringIO(rendered(compared, format)), delimiter=delimiter)

    assert list(other)[:6] == ["value", "n", "n_diverged", "n_failed", "n_open", "mean"]
    assert (float(other["value"]), float(other["difference"])) == (3e-3, compared.rows[1].difference)
    assert (other["verdict"], baseline["verdict"]) == ("better", "")


def test_json_has_the_same_columns_and_null_for_what_is_not_known(compared: Groups, store: Store) -> None:
    whole = json.loads(rendered(compared, "json"))
    baseline, other = whole["groups"]

    assert (whole["shape"], whole["key"]) == ("growlab.report.groups/1", compared.key)
    assert other["difference"] == compared.rows[1].difference
    assert baseline["difference"] is None
    assert "verdict" not in json.loads(rendered(grouped(store, "lr"), "json"))["groups"][0]


def test_people_get_a_table_with_what_they_should_know(compared: Groups, terminal: Callable[[int], Any]) -> None:
    wide = terminal(160)
    render_groups(compared, "table", wide)
    narrow = terminal(60)
    render_groups(compared, "table", narrow)

    title, header, _, first, second, *notes = wide.lines

    assert title == "nightly: val_loss of 6 of 6 trials by train.lr, lower is better"
    assert header.split() == ["train.lr", "n", "val_loss", "compute", "time", "pairs", "difference", "verdict"]
    assert first.split()[:3] == ["0.001", "3", "3.0000"]
    assert first.endswith("compared with")
    assert "-0.9900 ± 0.0248" in second
    assert second.endswith("better")
    assert "difference: to 0.001 on the same trial seeds; negative is better" in notes
    assert max(map(len, narrow.lines)) <= 60
    assert "verdict" in narrow.lines[1] + narrow.lines[2]
