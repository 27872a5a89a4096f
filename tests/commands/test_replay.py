"""growlab study replay: the exit status says whether every proposal came out as it was."""

import json
from collections.abc import Callable

from growlab.storage import Database, Store

STORAGE = "sqlite:///growlab.db"


def _propose_two() -> None:
    from growlab.kinds import KINDS
    from growlab.search import preview

    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        for made in preview(row.study, KINDS, lambda layout: 1, 2):
            store.enqueue(row.id, made)


def test_a_study_is_made_again_byte_for_byte(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")
    _propose_two()

    replayed, as_json = growlab("study", "replay", "tiny"), growlab("study", "replay", "tiny", "--json")

    assert (replayed.code, replayed.out) == (0, "2 of 2 proposals made again, byte for byte\n")
    assert json.loads(as_json.out)["n_proposals"] == 2


def test_a_proposal_that_comes_out_otherwise_is_shown_and_a_failure(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")
    _propose_two()
    with Database.open(STORAGE) as database:
        database.write(lambda connection: connection.exec_driver_sql("UPDATE gl_trials SET depth_start = 99"))

    replayed = growlab("study", "replay", "tiny")

    assert replayed.code == 1
    assert replayed.out.startswith("0 of 2 proposals made again, byte for byte\ntrial 0: depth is 99 there, ")
    assert "2 proposal(s) came out otherwise, of trials 0, 1" in replayed.err


def test_a_study_that_is_not_there_is_named(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    replayed = growlab("study", "replay", "tinny")

    assert replayed.code == 1
    assert "Did you mean 'tiny'?" in replayed.err
