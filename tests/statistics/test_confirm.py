"""Winners of a search again, on fresh seeds."""

import numpy as np
import pytest

from growlab.statistics.confirm import confirm
from growlab.statistics.verdict import Rule, Verdict

RULE = Rule(margin=0.003, looks=1)
SEARCHED = {0}


def fresh(*losses: float) -> dict[int, float]:
    return dict(enumerate(losses, start=100))


def test_winners_are_ranked_by_their_mean_over_fresh_seeds_beside_what_the_search_had_claimed():
    first, second = confirm(
        {"lucky": 1.063, "steady": 1.065},
        {"lucky": fresh(1.0671, 1.0675, 1.0673), "steady": fresh(1.0650, 1.0654, 1.0652)},
        searched=SEARCHED,
        rule=RULE,
    )

    assert (first.name, first.rank, first.claimed_rank) == ("steady", 1, 2)
    assert (second.name, second.rank, second.claimed_rank) == ("lucky", 2, 1)
    assert second.text == "the search claimed 1.0630; 3 fresh seeds say 1.0673 ± 0.0005"
    assert second.curse == pytest.approx(0.0043)
    assert first.decision is None


def test_they_are_compared_with_a_baseline_seed_by_seed_as_one_family():
    baseline = fresh(1.08, 1.09, 1.10)
    winners = {"better": fresh(1.0599, 1.0701, 1.08), "same": fresh(1.0801, 1.0899, 1.10)}

    found = confirm({"better": 1.05, "same": 1.05}, winners, searched=SEARCHED, rule=RULE, baseline=baseline)

    assert [winner.decision.verdict for winner in found] == [Verdict.BETTER, Verdict.EQUAL]
    assert found[0].decision.gain.value == pytest.approx(0.02)
    assert found[0].decision.adjusted_p == pytest.approx(2 * found[0].decision.p_value)


def test_a_winner_that_diverged_on_a_fresh_seed_ranks_last_and_says_where():
    (first, second) = confirm(
        {"a": 1.0, "b": 1.0}, {"a": fresh(0.9, float("nan")), "b": fresh(1.1, 1.1)}, searched=SEARCHED, rule=RULE
    )

    assert (first.name, first.lost) == ("b", ())
    assert (second.name, second.lost) == ("a", (101,))


def test_a_winner_without_any_fresh_loss_is_left_out():
    assert confirm({"a": 1.0}, {"a": fresh(float("nan"))}, searched=SEARCHED, rule=RULE) == []


def test_seeds_that_chose_the_winners_cannot_confirm_them():
    with pytest.raises(AssertionError, match="cannot confirm"):
        confirm({"a": 1.0}, {"a": {0: 1.0, 100: 1.0}}, searched=SEARCHED, rule=RULE)


# ---- the best of 200 plans of which none does anything ----------------------------------------------------------

SIMULATIONS, PLANS, TOP, SEEDS = 2000, 200, 5, 4


@pytest.fixture(scope="module")
def best_of_200():
    """How often the first of five 'confirmed' plans is called better: by confirm, without Holm, without fresh seeds."""
    rng = np.random.default_rng(200)
    of_seed, of_run = 0.00213, 0.0029
    counts, curses = {"confirm": 0, "no Holm": 0, "not fresh": 0}, []
    for _ in range(SIMULATIONS):
        searched, again = (
            1.08 + rng.normal(0, of_seed, SEEDS) + rng.normal(0, of_run, (PLANS + 1, SEEDS)) for _ in range(2)
        )
        claimed = {str(plan): mean for plan, mean in enumerate(searched[:PLANS].mean(1).tolist())}
        names = sorted(claimed, key=claimed.__getitem__)[:TOP]
        claimed = {name: claimed[name] for name in names}

        def first(losses, names=names, claimed=claimed):
            winners = {name: fresh(*losses[int(name)]) for name in names}
            return confirm(claimed, winners, searched=SEARCHED, rule=RULE, baseline=fresh(*losses[PLANS]))[0]

        best = first(again)
        counts["confirm"] += best.decision.verdict is Verdict.BETTER
        counts["no Holm"] += best.decision.p_value <= 0.05 and best.decision.gain.value > 0
        chosen = first(searched).decision  # the best of the search, as if it were the only one, by what chose it
        counts["not fresh"] += chosen.p_value <= 0.05 and chosen.gain.value > 0
        curses.append(best.curse)
    return {name: count / SIMULATIONS for name, count in counts.items()} | {"curse": float(np.mean(curses))}


def test_the_best_of_200_plans_that_do_nothing_is_better_in_at_most_6_percent(best_of_200):
    assert best_of_200["confirm"] <= 0.06


def test_without_holm_or_on_the_seeds_of_the_search_it_would_be_more(best_of_200):
    assert best_of_200["no Holm"] > 0.06
    assert best_of_200["not fresh"] > 0.06


def test_what_the_search_claimed_was_too_good(best_of_200):
    assert best_of_200["curse"] > 0.001
