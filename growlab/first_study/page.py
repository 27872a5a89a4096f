"""A first study as a commented YAML file, and what was found, in words."""

from growlab import amounts
from growlab.first_study.machine import Machine
from growlab.first_study.plan import Plan
from growlab.first_study.text import MUCH_COPIED, TextFacts
from growlab.specs import DataSpec
from growlab.yaml_file import yaml_text

_PAGE = """\
# A first study of {label}, written by growlab init for a machine with {machine}.
{commands}
# A value is fixed (3), one of a list ([1, 2, 3]), or drawn from a range ({{low: 1e-3, high: 1e-2, log: true}}).
# All keys, with what they mean: growlab study keys
{name}
seed: 0
n_trials: {n_trials}                 # models; each trains for one budget
{data}
layouts:                     # what a model may be made of; growlab blocks lists all kinds
  blocks:
    attn: {{n_heads: [2, 4]}}
    conv: {{kernel: [3, 4]}}
    mlp: {{}}
  d_model: [{d_model}]
  depth: {{low: {low}, high: {high}}}   # blocks; about {n_params} parameters, a twentieth of what is read or less
  start_with:                # the first trials
    - d={d_model} (attn mlp)x{pairs}
    - d={d_model} (conv mlp)x{pairs}

train:
  batch_size: {batch_size}
  seq_len: {seq_len}                # tokens that a model sees at once
  lr: {{low: {lr_low:g}, high: {lr_high:g}, log: true}}
{dropout}  eval_every: {eval_every}            # steps; some ten validations in a trial

{budget}

sampler:
  startup_trials: {startup}          # random ones, before the search has learnt enough to choose

# Models may grow while they train; whether that pays in so short trainings, growlab ablate tells:
# growth: true
"""


def study_page(name: str, facts: TextFacts, data: DataSpec, plan: Plan, machine: Machine, file: str, run: str) -> str:
    """Write the study as YAML. `file` is what commands call it, `run` the command that runs it."""
    pairs = (plan.depth[0] + plan.depth[1]) // 4
    commands = [f"growlab study preview {file}", run, f"growlab report {name}", f"growlab export {name} -o {name}-best"]
    return _PAGE.format(
        label=_one_line(facts.path),
        machine=describe_machine(machine),
        commands="\n".join(f"#   {line}" for line in commands),
        name=yaml_text({"name": name}).strip(),
        n_trials=plan.n_trials,
        data=_data_section(data, plan),
        d_model=plan.d_model,
        low=plan.depth[0],
        high=plan.depth[1],
        n_params=amounts.count(plan.n_params),
        pairs=pairs,
        batch_size=plan.batch_size,
        seq_len=plan.seq_len,
        lr_low=plan.lr[0],
        lr_high=plan.lr[1],
        dropout="  dropout: [0.0, 0.1, 0.2]   # the text is read more than once\n" if plan.searches_dropout else "",
        eval_every=plan.eval_every,
        budget=_budget_line(plan),
        startup=min(3, plan.n_trials // 3),
    )


def in_words(facts: TextFacts, machine: Machine, plan: Plan) -> list[str]:
    """What was found and what was made of it, a line each."""
    partly = "" if facts.is_whole else f"; looked at: the first {facts.n_chars:,} characters"
    files = f"{facts.n_files:,} files" if facts.n_files > 1 else "1 file"
    lines = [
        f"text: {files}, {_size(facts.n_bytes)} of {facts.encoding}, {len(facts.alphabet):,} different characters"
        f"{partly}",
        f"language: {facts.language}",
        f"lines: {facts.n_lines:,}, half of those with text have up to {facts.line_median:,} characters, "
        f"the longest {facts.line_longest:,}",
    ]
    if facts.n_files > 1:
        lines.append(f"files: half have up to {_size(facts.file_median)}, the largest {_size(facts.file_longest)}")
    if facts.copied >= MUCH_COPIED:
        lines.append(
            f"note: {facts.copied:.0%} of the text is in long lines that came before; copies that land in val make "
            "val_loss look better than it is: remove them"
        )
    if facts.unread:
        lines.append(f"note: {facts.unread}")
    lines.append(
        f"machine: {describe_machine(machine)}; {amounts.flops(plan.pace.flops_per_s)} per second in training, measured"
    )
    lines.append(
        f"study: {plan.n_trials} trials of about {amounts.count(plan.n_params)} parameters and "
        f"{amounts.flops(plan.flops)}; each reads {amounts.count(plan.tokens)} tokens, the text "
        f"{_times(plan.readings)}; done in about {amounts.duration(plan.seconds)}"
    )
    return lines


def describe_machine(machine: Machine) -> str:
    """Name the device with its memory: '2 cores of …, 7.8 GiB'."""
    memory = "" if machine.memory is None else f", {amounts.gib(machine.memory)} of memory"
    if machine.device.type == "cpu":
        return f"{machine.n_cores} CPU cores{memory}"
    return f"{machine.name}, {machine.n_cores} CPU cores{memory}"


def _data_section(data: DataSpec, plan: Plan) -> str:
    notes = {
        "char": "a token is a character",
        "byte": "a token is a byte: there are too many different characters to give each its own",
        "bpe": "a token is a frequent piece of text; pieces are learnt from the training part",
    }
    written: dict[str, object] = {"source": data.source, "path": data.path, "tokenizer": data.tokenizer}
    if data.vocab_size:
        written["vocab_size"] = data.vocab_size
    lines = yaml_text(written).splitlines()
    lines[2] = f"{lines[2]}            # {notes[data.tokenizer]}"
    lines.append(
        f"val_fraction: {plan.val_fraction:g}         # of the training part, from its end; trials are ranked by it"
    )
    return "\n".join(["data:", *(f"  {line}" for line in lines), ""])


def _budget_line(plan: Plan) -> str:
    amount = f"{plan.budget.amount:.1e}".replace("e+0", "e").replace("e+", "e")
    why = f"of each trial, who reads the text {_times(plan.readings)}"
    if plan.budget.unit == "flops":
        why = (
            f"of each trial: a smaller model reads more for it; one of middle size {amounts.count(plan.tokens)} tokens"
        )
    return f"budget: {{{plan.budget.unit}: {amount}}}      # {why}"


def _times(times: float) -> str:
    return f"{times:.1f} times" if times >= 1 else f"{times:.2g} times"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


def _one_line(text: str) -> str:
    return " ".join(text.split())
