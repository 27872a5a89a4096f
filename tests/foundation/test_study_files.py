"""The YAML door: what a file says, what an override says, and that every slip has its path and a way out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.domains import Choice, Fixed, Range
from growlab.errors import SpecError
from growlab.scalar import defaults_of
from growlab.specs import TrainSpec
from growlab.study import Objective
from growlab.study.column import study_from_column, study_to_mapping
from growlab.study.file import read_study_file
from growlab.study.growth_section import growth_defaults
from growlab.study.reading import study_from_mapping
from growlab.study.reference import search_ranges
from growlab.study.sampler_section import read_sampler

BLOCKS = "{attn: {n_heads: [2, 4]}, mlp: {expand: 2.0}, conv:}"
BASE = f"""\
name: first
n_trials: 20
budget: {{steps: 100}}
layouts:
  blocks: {BLOCKS}
  d_model: 64
  depth: [2, 6]
"""


SEARCH_RANGES = search_ranges()


@pytest.fixture
def read(tmp_path):
    """Read a study's text, with overrides."""

    def read_text(text, *overrides):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return read_study_file(path, overrides)

    return read_text


@pytest.fixture
def read_wrong(read, tmp_path):
    """The message with which a text is refused, without the file's name, which must come first."""

    def message_of(text):
        with pytest.raises(SpecError) as raised:
            read(text)
        message = str(raised.value)
        prefix = f"{tmp_path / 'study.yaml'}: "
        assert message.startswith(prefix)
        assert "\n" not in message
        return message.removeprefix(prefix)

    return message_of


def test_a_short_file_becomes_an_explicit_study(read):
    study = read(BASE)

    assert (study.name, study.n_trials, study.seed) == ("first", 20, 0)
    assert (study.budget.unit, study.budget.amount) == ("steps", 100)
    assert study.layouts.blocks == {"attn": {"n_heads": (2, 4)}, "mlp": {"expand": (2.0,)}, "conv": {}}
    assert (study.layouts.d_model, study.layouts.depth) == ((64,), (2, 6))
    assert (study.train, study.growth) == (defaults_of(TrainSpec), growth_defaults())
    assert (study.objective, study.sampler) == (Objective(), read_sampler({}))


def test_numbers_may_be_written_in_powers_of_ten(read):
    study = read(
        BASE.replace("{steps: 100}", "{flops: 2e9}").replace("n_trials: 20", "n_trials: 1e2")
        + "train: {lr: 1e-3, weight_decay: {low: 1e-2, high: 1E+0, log: true}, min_lr_ratio: .1e0}\n"
    )

    assert (study.budget.amount, study.n_trials) == (2_000_000_000, 100)
    assert study.train["lr"] == Fixed(value=0.001)
    assert study.train["weight_decay"] == Range(low=0.01, high=1.0, log=True)
    assert study.train["min_lr_ratio"] == Fixed(value=0.1)


@pytest.mark.parametrize(
    ("written", "depth", "stored"),
    [
        ("4", (4, 4), 4),
        ("{low: 2, high: 6}", (2, 6), {"low": 2, "high": 6}),
        ("[2, 6]", (2, 6), {"low": 2, "high": 6}),  # as it was written at first
        ("[4, 4]", (4, 4), 4),
    ],
)
def test_a_depth_is_a_number_or_a_range(read, written, depth, stored):
    study = read(BASE.replace("[2, 6]", written))

    assert study.layouts.depth == depth
    assert study_to_mapping(study)["layouts"]["depth"] == stored


def test_search_means_the_range_its_users_know(read):
    study = read(BASE + "growth: {trigger: stagnation, tau_crit: search, operator: search}\n")

    assert study.growth["trigger.stagnation.tau_crit"] == Range(low=1.5, high=3.0)
    assert study.growth["operator"] == Choice(values=("aiether", "copy-last", "identity", "stack"))


@pytest.mark.parametrize(
    "written",
    [
        "{trigger: stagnation, tau_crit: 1.5}",
        "{trigger: {stagnation: {tau_crit: 1.5}}}",
        "{trigger: stagnation, trigger.stagnation.tau_crit: 1.5}",
    ],
)
def test_options_of_a_trigger_are_written_with_it_or_flat(read, written):
    study = read(BASE + f"growth: {written}\n")

    assert study.growth["trigger.stagnation.tau_crit"] == Fixed(value=1.5)
    assert study.growth["trigger.stagnation.kappa_crit"] == Fixed(value=0.5)
    assert study_to_mapping(study)["growth"]["trigger"]["stagnation"]["tau_crit"] == 1.5


def test_an_option_of_a_trigger_may_be_overridden_by_its_full_name(read):
    text = BASE + "growth: {trigger: [never, {stagnation: {patience: 2}}]}\n"

    study = read(text, "growth.trigger.stagnation.tau_crit={low: 1, high: 2}")

    assert study.growth["trigger"] == Choice(values=("never", "stagnation"))
    assert study.growth["trigger.stagnation.patience"] == Fixed(value=2)
    assert study.growth["trigger.stagnation.tau_crit"] == Range(low=1.0, high=2.0)


def test_an_option_of_a_trigger_that_is_not_there_has_its_path(read_wrong):
    written = "growth: {trigger: {stagnation: {tau_crti: 1}}}"

    assert read_wrong(BASE + written) == ("growth.trigger.stagnation.tau_crti: unknown key. Did you mean 'tau_crit'?")


def test_what_would_change_nothing_is_kept_only_where_it_says_something(read):
    said, silent = (read(BASE + f"growth: {{trigger: never, tau_crit: {tau}}}\n") for tau in (1.2, 2.0))

    assert said.growth["trigger.stagnation.tau_crit"] == Fixed(value=1.2)
    assert silent == read(BASE)
    assert study_from_column(json.loads(json.dumps(study_to_mapping(said)))) == said


def test_every_range_of_search_is_one_that_a_file_may_ask_for():
    raw = {"name": "all", "n_trials": 1, "budget": {"steps": 1}, "train": {}, "growth": {}}
    raw["layouts"] = {"blocks": ["attn"], "d_model": 64, "depth": [1, 2]}
    for name in SEARCH_RANGES:
        part, _, key = name.partition(".")
        raw[part][key] = "search"
    del raw["growth"]["operator"]
    raw["growth"] |= {"trigger": ["never", "stagnation"], "operator": ["aiether", "aiether-code"]}

    scalars = study_from_mapping(raw).scalars()

    assert {name: domain for name, domain in scalars.items() if not isinstance(domain, Fixed)} == SEARCH_RANGES | {
        "growth.trigger": Choice(values=("never", "stagnation")),
        "growth.operator": Choice(values=("aiether", "aiether-code")),
    }


def test_kinds_may_stand_in_a_list(read):
    study = read(BASE.replace(BLOCKS, "[attn, mlp]"))

    assert study.layouts.blocks == {"attn": {}, "mlp": {}}


def test_anchors_and_merges_are_understood(read):
    study = read(BASE + "train: {lr: 1, <<: {lr: 2, dropout: 0.5}}\n")

    assert (study.train["lr"], study.train["dropout"]) == (Fixed(value=1.0), Fixed(value=0.5))


def test_a_corpus_path_is_meant_from_the_file_s_folder(read, tmp_path):
    assert read(BASE + "data: {path: corpus.txt}\n").data.path == str(tmp_path / "corpus.txt")
    assert read(BASE).data.path == ""


def test_an_overridden_corpus_path_is_meant_from_the_working_folder(read, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert read(BASE, "data.path=corpus.txt").data.path == str(tmp_path / "here" / "corpus.txt")


def test_overrides_replace_add_and_narrow(read):
    study = read(
        BASE + "growth: {trigger: stagnation}\n",
        "n_trials=3",
        "train.lr={low: 1e-3, high: 1e-2}",
        "growth.patience=[3, 4]",
        "layouts.blocks.attn.n_heads=[8]",
        "layouts.blocks.conv.kernel=3",
        "budget.tokens=1e6",
    )

    assert study.n_trials == 3
    assert study.train["lr"] == Range(low=0.001, high=0.01)
    assert study.growth["trigger.stagnation.patience"] == Choice(values=(3, 4))
    assert study.layouts.blocks == {"attn": {"n_heads": (8,)}, "mlp": {"expand": (2.0,)}, "conv": {"kernel": (3,)}}
    assert (study.budget.unit, study.budget.amount) == ("tokens", 1_000_000)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "--set 'train.lr': write it like train.lr=1e-3"),
        ("=3", "--set '=3': write it like train.lr=1e-3"),
        ("name.first=3", "--set 'name.first=3': 'name' is not a section"),
        ("train.lr=[1", "--set 'train.lr=[1': while parsing a flow sequence"),
        ("train.lr={low: 1, low: 2}", "key 'low' is written twice"),
        ("trian.lr=3", "trian: unknown key. Did you mean 'train'?"),
        ("train.lr=", "train.lr must be a number, got None"),
        ("budget.step=3", "budget.step: unknown key. Did you mean 'steps'?"),
    ],
)
def test_an_override_that_cannot_be_read_says_why(read, override, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        read(BASE, override)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping of sections such as 'data:' and 'layouts:', got a NoneType"),
        ("- name", "must be a mapping of sections such as 'data:' and 'layouts:', got a list"),
        ("name: [1", "is not valid YAML: while parsing a flow sequence"),
        (BASE + "name: second", "is not valid YAML: key 'name' is written twice, in"),
        (BASE + "train:\n  lr: 1\n  lr: 1", "is not valid YAML: key 'lr' is written twice, in"),
        (BASE.replace("name: first\n", ""), "name: is missing"),
        (BASE.replace("n_trials: 20\n", ""), "n_trials: is missing"),
        ("layouts: {d_model: 8}", "name, n_trials, budget, layouts.blocks, layouts.depth: are missing"),
    ],
)
def test_a_text_that_is_no_study_is_refused(read_wrong, text, message):
    assert message in read_wrong(text)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("first", "5", 'name: must be text, got 5; write it as it was, in quotes: name: "5"'),
        ("first", "2024-11-05", 'name: must be text, got a date; write name: "2024-11-05"'),
        ("first", "2024-11-05 12:30:00", 'name: must be text, got a date; write name: "2024-11-05T12:30:00"'),
        ("first", "12:30:45", 'name: must be text, got 45045; write it as it was, in quotes: name: "45045"'),
        (
            "first",
            "yes",
            "name: must be text, got True; yes, no, on and off are true in YAML unless they are in quotes",
        ),
        ("first", "~", "name: must be text, got nothing"),
        ("n_trials: 20", "n_trials: 0", "n_trials: must be a whole number of at least 1, got 0"),
        ("n_trials: 20", "n_trials: many", "n_trials: must be a whole number of at least 1, got 'many'"),
        ("{steps: 100}", "{step: 100}", "budget.step: unknown key. Did you mean 'steps'?"),
        ("{steps: 100}", "{steps: 1, tokens: 2}", "needs exactly one of flops, tokens, steps, got steps, tokens"),
        ("{steps: 100}", "{}", "budget: needs exactly one of flops, tokens, steps, got none"),
        ("{steps: 100}", "100", "budget: must be a mapping, got 100"),
        ("{steps: 100}", "{steps: 1.5}", "budget.steps: must be a whole number of at least 1, got 1.5"),
        ("d_model: 64", "dmodel: 64", "layouts.dmodel: unknown key. Did you mean 'd_model'?"),
        ("d_model: 64", "hidden_size: 64", "layouts.hidden_size: unknown key. Did you mean 'd_model'?"),
        ("  d_model: 64\n  depth: [2, 6]\n", "", "layouts.d_model, layouts.depth: are missing"),
        ("d_model: 64", "d_model: wide", "layouts.d_model.0: input should be a valid integer, got 'wide'"),
        ("[2, 6]", "deep", "layouts.depth must be a whole number, got 'deep'"),
        ("[2, 6]", "[2]", "layouts.depth: must be a number or a range such as {low: 2, high: 8}, got [2]"),
        ("[2, 6]", "[2, 4, 6]", "layouts.depth: must be a number or a range such as {low: 2, high: 8}, got [2, 4, 6]"),
        ("[2, 6]", "{low: 6, high: 2}", "layouts.depth: low must not exceed high, got low 6 and high 2"),
        ("[2, 6]", "{low: 2, high: 6, log: true}", "layouts.depth.log: depths are drawn evenly; leave it out"),
        ("[2, 6]", "[2, 6]\n  start: []", "layouts.start: unknown key. Did you mean 'start_with'?"),
        ("{expand: 2.0}", "[expand]", "layouts.blocks.mlp: input should be an object, got ['expand']"),
        ("2.0", "{low: 1}", "layouts.blocks.mlp.expand.0: must be a number, a word, true or false, got {'low': 1}"),
        (BLOCKS, "[attn: {n_heads: 2}]", "layouts.blocks: input should be an object, got [{'attn': {'n_heads': 2}}]"),
    ],
)
def test_a_slip_in_what_a_study_needs_has_its_path(read_wrong, right, wrong, message):
    assert BASE.count(right) == 1

    assert message in read_wrong(BASE.replace(right, wrong))


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("layuots: {}", "layuots: unknown key. Did you mean 'layouts'?"),
        ("5: five", "5: unknown key."),
        ("seed: true", "seed: input should be a valid integer, got True"),
        ("data: {path: 2024-11-05}", 'data.path: must be no date, got 2024-11-05; write path: "2024-11-05"'),
        ("data: {column: no}", "data.column: must be text, got False; yes, no, on and off are false in YAML"),
        ("growth: {operator: off}", "growth.operator must be a word, got False; yes, no, on and off are false in YAML"),
        ("data: {soruce: text}", "data.soruce: unknown key. Did you mean 'source'?"),
        ("data: {val_fraction: 2}", "data.val_fraction must be between 0 and 1, got 2.0"),
        ("data: {test_fraction: .nan}", "data.test_fraction must be a finite number, got nan"),
        ("data: {tokenizer: word}", "data.tokenizer must be char, byte, bpe, file or ids, got 'word'"),
        (
            "objective: {metric: acc}",
            "objective.metric must be val_loss, best_val_loss or bits_per_byte; several metrics are a list, obj",
        ),
        ("sampler: {popluation: 3}", "sampler.popluation: unknown key. Did you mean 'population'?"),
        ("sampler: {start_with: {data: {}}}", "sampler.start_with.data: unknown key."),
        ("sampler: {start_with: {train: {lr: fast}}}", "sampler.start_with.train.lr must be a number, got 'fast'"),
        ("sampler: {start_with: {train: {learning_rate: 1}}}", "sampler.start_with.train.learning_rate: unknown key."),
        (
            "train: {lr: {low: 1, high: 2}}\nsampler: {start_with: {train: {lr: 3}}}",
            "sampler.start_with.train.lr: must be one that the search may draw, of {'low': 1.0, 'high': 2.0",
        ),
        ("sampler: {tries: few}", "sampler.tries must be a whole number, got 'few'"),
        ("sampler: {population: 0}", "sampler.population must be at least 1, got 0"),
        ("sampler: {startup_trials: -1}", "sampler.startup_trials must be at least 0, got -1"),
        (
            "sampler: evolutoin",
            "unknown sampler 'evolutoin'; known: evolution, given, gp, grid, model, nsga2, random, tpe. Did you mean "
            "'evolution'?",
        ),
        (
            "sampler: {name: 3}",
            "sampler.name: must be the name of a sampler, evolution, given, gp, grid, model, nsga2, random, tpe, got 3",
        ),
        ("sampler: {name: random, population: 3}", "sampler.population: unknown key."),
        ("sampler: {name: random, grid: true}", "sampler.grid: write name: grid in its place, got True"),
        ("arms: {a: {}}", "arms: this is an ablation, not a study; run it with growlab ablate FILE"),
        ("sampler: [grid]", "sampler: must be a mapping, got ['grid']"),
        ("train:", "train: must be a mapping, got None"),
        ("growth:", "growth: must be true, false, the name of a preset or a mapping, got None"),
        ("train: {ler: 1}", "train.ler: unknown key. Did you mean 'lr'?"),
        ("train: {learning_rate: 1}", "train.learning_rate: unknown key. Did you mean 'lr'?"),
        ("train: {context-length: 64}", "train.context-length: unknown key. Did you mean 'seq_len'?"),
        ("train: {d_model: 64}", "train.d_model: unknown key. Did you mean 'layouts.d_model'?"),
        ("train: {n_layers: 6}", "train.n_layers: unknown key. Did you mean 'layouts.depth'?"),
        ("lr: 1e-3", "lr: unknown key. Did you mean 'train.lr'?"),
        ("epochs: 3", "epochs: unknown key. Did you mean 'budget.tokens'? (an epoch is as many tokens as the train"),
        ("train: {lr: [1, fast]}", "train.lr must be a number, got 'fast'"),
        ("train: {lr: {low: -1, high: 1}}", "train.lr must be greater than 0, got -1.0"),
        ("train: {dropout: [0, 1]}", "train.dropout must be at least 0 and below 1, got 1.0"),
        ("train: {precision: fp8}", "train.precision must be auto, fp32 or bf16, got 'fp8'"),
        ("train: {seq_len: search}", "train.seq_len: 'search' has no default range here; write {low: …, high: …}"),
        ("train: {warmup_fraction: 0.7}", "train.warmup_fraction + train.decay_fraction must be at most 1, got"),
        ("growth: {tau_crti: 1}", "growth.tau_crti: unknown key. Did you mean 'tau_crit'?"),
        (
            "growth: {operator: copy-lats}",
            "unknown growth operator 'copy-lats'; known: aiether, aiether-code, average, copy-last, copy-middle,",
        ),
        (
            "growth: {tau_crit: 1.5}",
            "growth.tau_crit is an option of trigger stagnation, which this section does not name; write "
            "growth: {trigger: {stagnation: {tau_crit: …}}}",
        ),
        ("growth: early-duoble", "growth.preset must be one of early-double, aiether, aiether-conservative,"),
        ("growth: {trigger: {at: {shares: 0}}}", "growth.trigger.at.shares must be between 0 and 1, got 0.0"),
        ("growth: {trigger: {at: {shares: '0.2 0.1'}}}", "growth.trigger.at.shares must be a number, or numbers that"),
        ("growth: {trigger: {at: {shares: soon}}}", "growth.trigger.at.shares must be a number, or numbers that rise"),
        ("growth: {preserve_function: 1}", "growth.preserve_function must be true or false, got 1; today's name is"),
        (
            "growth: {trigger: always}",
            "unknown growth trigger 'always'; known: at, corrected, never, probe, slope, stagnation.",
        ),
        ("growth: {history_window_size: [2, 5]}", "growth.history_window_size must be at least 3 (a curvature needs"),
        ("growth: {unit: 'conv['}", "growth.unit must be 'last' or blocks: layout 'conv[': cannot read '['"),
    ],
)
def test_a_slip_in_what_a_study_may_add_has_its_path(read_wrong, added, message):
    assert message in read_wrong(BASE + added)


def test_a_file_that_is_missing_or_is_no_text_says_so(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SpecError, match=r"gone\.yaml: no such file"):
        read_study_file(tmp_path / "gone.yaml")
    with pytest.raises(SpecError, match=r"binary\.yaml: cannot be read as text"):
        read_study_file(tmp_path / "binary.yaml")
    with pytest.raises(SpecError, match="cannot be read as text"):
        read_study_file(Path(tmp_path))


@st.composite
def mappings(draw):
    """What a sound file may hold."""
    raw = {
        "name": draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)),
        "n_trials": draw(st.integers(1, 10**6)),
        "seed": draw(st.integers(-(2**40), 2**40)),
        "budget": {draw(st.sampled_from(["flops", "tokens", "steps"])): draw(st.integers(1, 10**18))},
        "layouts": {
            "blocks": draw(st.dictionaries(st.text(min_size=1, max_size=4), option_lists, max_size=3)),
            "d_model": draw(st.lists(st.integers(1, 4096), min_size=1, max_size=3)),
            "depth": draw(st.tuples(st.integers(1, 9), st.integers(1, 9)).map(sorted)),
            "max_params": draw(st.integers(0, 10**12)),
        },
        "sampler": draw(st.fixed_dictionaries({}, optional={"tries": st.integers(1, 9)})),
    }
    for part in ("train", "growth"):
        keys = sorted(key.removeprefix(f"{part}.") for key in SEARCH_RANGES if key.startswith(part))
        raw[part] = dict.fromkeys(draw(st.sets(st.sampled_from(keys))), "search")
    raw["growth"].setdefault("trigger", "stagnation")
    raw["train"]["grad_clip"] = draw(st.floats(0.1, 9) | st.lists(st.floats(0.1, 9), min_size=1))
    return raw


option_lists = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.lists(st.booleans() | st.integers(0, 99) | st.floats(0, 9) | st.text(max_size=4), min_size=1, max_size=3),
    max_size=2,
)


@given(raw=mappings())
def test_a_study_survives_its_json_column(raw):
    study = study_from_mapping(raw)

    column = json.dumps(study_to_mapping(study))

    assert study_from_mapping(json.loads(column)) == study
    assert study_from_column(json.loads(column)) == study
    types = [type(value) for options in study.layouts.blocks.values() for each in options.values() for value in each]
    again = study_from_mapping(json.loads(column)).layouts.blocks
    assert types == [type(value) for options in again.values() for each in options.values() for value in each]


def test_a_stored_study_holds_its_defaults(read):
    column = study_to_mapping(read(BASE))

    assert set(column["train"]) == set(defaults_of(TrainSpec))
    assert column["growth"]["operator"]["aiether"]["beta0"] == 0.1
    assert column["sampler"] == {
        "name": "model",
        "startup_trials": 8,
        "population": 20,
        "tournament": 5,
        "tries": 200,
        "random_share": 0.05,
        "start_with": {},
    }


@pytest.mark.parametrize("written", ["sampler: grid", "sampler: {name: grid}", "sampler: {grid: true}"])
def test_a_sampler_is_a_word_or_a_name_with_options_and_a_grid_was_a_flag(read, written):
    study = read(BASE + written)

    assert study.sampler.name == "grid"
    assert study.sampler.options == {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200}


def test_a_row_from_before_samplers_had_names_is_read_as_what_it_meant(read):
    study = read(BASE + "sampler: evolution")
    row = study_to_mapping(study)
    old = {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200, "start_with": {}}

    assert study_from_column(row | {"sampler": old | {"grid": False}}) == study
    assert study_from_column(row | {"sampler": old | {"grid": True}}) == read(BASE + "sampler: grid")


def test_options_are_added_to_a_sampler_that_a_file_gives_as_a_word(read):
    assert read(BASE + "sampler: grid", "sampler.tries=5").sampler.options["tries"] == 5


def test_values_to_start_with_are_of_their_keys_kind_and_survive_the_json_column(read):
    study = read(
        BASE + "train: {lr: search, dropout: 0.1}\nsampler: {start_with: {train: {lr: 1e-3, dropout: 1e-1}}}",
        "sampler.start_with.growth.beta0=1",
    )

    assert study.sampler.start_with == {
        "train": {"lr": 0.001, "dropout": 0.1},
        "growth": {"operator.aiether.beta0": 1.0},
    }
    assert study.starts() == {"train.lr": 0.001}, "what is fixed is not started with"
    assert study_from_mapping(json.loads(json.dumps(study_to_mapping(study)))) == study


def test_scalars_have_a_fixed_order(read):
    study = read(BASE)
    shuffled = replace(study, train=dict(reversed(study.train.items())))

    assert list(study.scalars()) == list(shuffled.scalars())
    assert len(study.scalars()) == len(defaults_of(TrainSpec)) + len(growth_defaults())
