"""Keys of a study file by the names that the field uses for them, and where a key belongs that stands elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from growlab.errors import did_you_mean
from growlab.samplers import SAMPLERS
from growlab.scalar import scalars_of
from growlab.specs import DataSpec, GrowthSpec, TrainSpec
from growlab.study.flat_keys import FLAT_KEYS
from growlab.study.study import LayoutSpace, SamplerSpec, Study

_SECTIONS: Mapping[str, type] = {
    "": Study,
    "train": TrainSpec,
    "growth": GrowthSpec,
    "layouts": LayoutSpace,
    "data": DataSpec,
    "sampler": SamplerSpec,
}


def _known_in(section: str, spec: type) -> set[str]:
    """The keys of a section, also those that stand there for what was declared elsewhere."""
    known = {key.name for key in fields(spec)} - {"options", "limits", "transferred"}
    if section == "":
        known |= {"stop_when", "objective"}
    if section == "growth":
        known |= set(FLAT_KEYS)
    if section == "sampler":
        known |= {option for sampler in SAMPLERS.values() for option in scalars_of(sampler.options)}
    return known


# What is meant, to what it is called elsewhere.
_OTHER_NAMES = {
    "n_trials": "trials max_trials num_trials",
    "seed": "random_seed rng_seed",
    "budget.steps": "max_steps n_steps num_steps train_steps iterations iters max_iters num_iterations",
    "budget.tokens": "max_tokens n_tokens num_tokens train_tokens epochs n_epochs num_epochs num_train_epochs",
    "budget.flops": "max_flops compute n_flops",
    "budget.study.hours": "hours max_hours max_time time_limit time_budget walltime wall_clock wallclock timeout",
    "budget.study.gpu_hours": "gpu_hours max_gpu_hours worker_hours gpu_time",
    "stop_when": "target stop_at",
    "stop.median": "pruner pruning prune median_pruner",
    "stop.patience": "patience early_stop early_stopping",
    "objectives": "metrics directions",
    "constraints": "constraint bounds",
    "data.path": "dataset corpus file files filename data_path text_path",
    "data.vocab_size": "vocab n_vocab",
    "data.val_fraction": "val_split validation_split val_ratio",
    "data.test_fraction": "test_split test_ratio",
    "layouts.d_model": "hidden_size hidden_dim n_embd embed_dim embedding_dim model_dim dim width d n_embed",
    "layouts.depth": "n_layer n_layers num_layers num_hidden_layers layers n_blocks num_blocks",
    "layouts.blocks": "block_types kinds layer_types",
    "layouts.blocks.attn.n_heads": "n_head n_heads num_heads num_attention_heads heads",
    "train.lr": "learning_rate max_lr peak_lr max_learning_rate",
    "train.min_lr_ratio": "min_lr final_lr end_lr",
    "train.batch_size": "batch bs batchsize train_batch_size micro_batch_size per_device_train_batch_size",
    "train.seq_len": "context_length context_len context ctx_len n_ctx block_size max_seq_len seq_length seqlen "
    "sequence_length max_length max_position_embeddings",
    "train.weight_decay": "wd l2",
    "train.grad_clip": "clip clip_grad gradient_clip grad_clip_norm gradient_clipping max_grad_norm clip_norm",
    "train.dropout": "dropout_rate dropout_p p_drop drop_rate",
    "train.warmup_fraction": "warmup warmup_ratio warmup_iters lr_warmup_steps num_warmup_steps",
    "train.decay_fraction": "decay_ratio lr_decay_iters cooldown_fraction",
    "train.decay_shape": "schedule lr_schedule scheduler lr_scheduler lr_scheduler_type",
    "train.beta1": "beta_1 adam_beta1 b1",
    "train.beta2": "beta_2 adam_beta2 b2",
    "train.precision": "dtype mixed_precision fp16 bf16 amp",
    "train.eval_every": "eval_interval eval_steps eval_freq val_every val_interval eval_iters",
    "train.recompute": "gradient_checkpointing activation_checkpointing checkpointing",
    "growth.max_depth": "max_layers max_n_layers",
}
_MEANT = {name: meant for meant, names in _OTHER_NAMES.items() for name in names.split()}

_REMARKS = {"epochs": "an epoch is as many tokens as the train split has"}


def hint(section: str, key: str, known: Iterable[str]) -> str:
    """' Did you mean 'lr'?' for a key that `section` has not, or nothing: a tail for a message.

    A synonym of the field comes first, then a key of another section, then what is spelt alike among `known`.
    """
    meant = _MEANT.get(key.lower().replace("-", "_")) or _elsewhere(section, key)
    if meant is None:
        return did_you_mean(key, known)
    place, _, name = meant.rpartition(".")
    remark = next((f" ({words})" for part, words in _REMARKS.items() if part in key.lower()), "")
    return f" Did you mean {name if place == section else meant!r}?{remark}"


def _elsewhere(section: str, key: str) -> str | None:
    """The full name of a key that another section has."""
    for other, spec in _SECTIONS.items():
        if other != section and key in _known_in(other, spec):
            return f"{other}.{key}" if other else key
    return None
