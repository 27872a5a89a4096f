"""What judges searches (benchmarks/search) is itself right: its answers, its encoding, its pool and its intervals."""

import json
import random
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "search"


@pytest.fixture(scope="module")
def judge():
    """The modules of the benchmark, which is a folder of scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import objectives
        import pool
        import problems
        import regret
        import report
        import searches
        import synthetic
    return SimpleNamespace(
        objectives=objectives,
        pool=pool,
        problems=problems,
        regret=regret,
        report=report,
        searches=searches,
        synthetic=synthetic,
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_synthetic_layout_is_the_best_of_all(judge, seed: int) -> None:
    drawn = judge.synthetic.Synthetic(seed)
    sequence = [at for at, role in enumerate(judge.synthetic.ROLES.values()) if role == "sequence"]

    lowest = min(drawn.score(stack) for stack in product(sequence, *[range(len(judge.synthetic.ROLES))] * 3))

    assert drawn.best_score(4) == pytest.approx(lowest)


def test_no_synthetic_point_is_below_the_best(judge) -> None:
    problem = judge.problems.synthetic_layouts(3, None)
    search = judge.searches.Uniform(problem, 0, 0)

    assert min(problem.true(search.ask()) for _ in range(500)) > problem.best


@pytest.mark.parametrize("name", ["synthetic", "complete"])
def test_a_setting_of_the_encoding_is_a_layout_of_the_study_and_back(judge, name: str) -> None:
    problem = judge.problems.PROBLEMS[name](0, None)
    encoding, rng = problem.encoding, random.Random(0)

    for _ in range(100):
        values = judge.searches.filled(encoding, {}, rng)
        point = encoding.decode(values)

        assert encoding.menu.contains(point.layout)
        assert encoding.encode(point) == values


def test_the_encoding_reaches_every_cell_of_the_table(judge) -> None:
    """72 layouts at five learning rates and three rates of dropout, no two settings alike."""
    problem = judge.problems.complete_table(0, None)
    depth, *others = problem.encoding.parameters
    names, offered = [known.name for known in others], [known.domain.values for known in others]

    points = [
        problem.encoding.decode({depth.name: n_blocks, **dict(zip(names, values, strict=True))})
        for n_blocks in (3, 4)
        for values in product(*offered)
    ]

    assert len(set(points)) == 1_080
    assert min(map(problem.true, points)) == problem.best


def test_new_names_leave_all_that_is_observed_as_it_is(judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems, rng = judge.problems, random.Random(0)
    monkeypatch.setattr(problems, "N_PLACES", 5)
    codes = ["".join(code) for code in product("012", repeat=problems.N_PLACES)]
    table = tmp_path / "macro.json"
    table.write_text(json.dumps({code: {"test_acc": [rng.uniform(80, 95) for _ in range(3)]} for code in codes}))
    plain, *renamed = (
        make(5, table) for make in (problems.macro, problems.macro_renamed, problems.macro_renamed_at_each_place)
    )
    points = [
        plain.encoding.decode({f"kind_{at}": kind for at, kind in enumerate(kinds)})
        for kinds in product(problems.OPERATIONS, repeat=problems.N_PLACES)
    ]

    for problem in renamed:
        assert [problem.true(point) for point in points] != [plain.true(point) for point in points]
        assert sorted(map(problem.observe, points)) == sorted(map(plain.observe, points))


def test_a_pool_gives_what_was_asked_for_once_and_then_a_neighbour(judge) -> None:
    encoding = judge.problems.complete_table(0, None).encoding
    here, near, far = (
        encoding.decode(
            {"depth": 3, "kind_0": "attn", "kind_1": kind, "kind_2": "mlp", "train.lr": lr, "train.dropout": 0}
        )
        for kind, lr in (("mlp", 1e-3), ("mlp", 2e-3), ("conv", 16e-3))
    )
    pool = judge.pool.Pool(encoding, [far, near, here])

    assert [pool.take_nearest(here) for _ in range(3)] == [here, near, far]


def test_optuna_learns_of_the_entry_that_it_got(judge) -> None:
    problem = judge.problems.synthetic_layouts(0, None)
    search = judge.searches.make_search("tpe", problem, 0, 10)
    search.ask()
    got = judge.searches.Uniform(problem, 1, 0).ask()

    search.tell(got, 0.5)

    assert problem.encoding.decode(search.study.best_trial.params) == got


def test_a_run_is_the_same_again_and_its_regret_is_of_what_was_observed_best(judge) -> None:
    job = judge.regret.Job(problem="complete", search="uniform", seed=4, trials=300, macro=None)

    first, second = judge.regret.run(job), judge.regret.run(job)

    assert first["regrets"] == second["regrets"]
    assert len(set(first["regrets"].split())) > 3
    assert all(float(regret) >= 0 for regret in first["regrets"].split())


def test_a_line_that_was_cut_off_counts_as_missing(judge, tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    row = dict.fromkeys(judge.regret.COLUMNS, "0") | {"trials": "3", "regrets": "0.3 0.2 0.1"}
    judge.regret.write(out, [row, row])
    out.write_text(out.read_text().removesuffix(" 0.1\n"))

    assert judge.regret.whole_rows(out) == [row]


def test_half_the_regret_on_every_seed_is_a_ratio_of_a_half_without_doubt(judge) -> None:
    second = [0.1, 0.4, 0.2, 0.3, 0.6, 0.5]

    ratio, low, high, p = judge.report.compare([regret / 2 for regret in second], second)

    assert (ratio, low, high) == pytest.approx((0.5, 0.5, 0.5))
    assert p == pytest.approx(2 / 2**6)  # of 64 ways to sign six differences, the two outermost


@pytest.mark.parametrize("search", ["random", "nsga2"])
def test_a_search_of_several_objectives_is_judged_by_its_share_of_the_whole_front(judge, search: str) -> None:
    problem = judge.problems.PROBLEMS["complete"](0, None)
    whole = judge.objectives.Judge.of(problem, "three")

    row = judge.objectives.run(("complete", "three", search, 0, 20))

    early, late = map(float, row["volumes"].split())
    assert whole.share(judge.problems.complete_points()) == pytest.approx(1)
    assert 0 < early <= late < 1
    assert whole.share([]) == 0
