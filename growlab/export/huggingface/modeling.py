"""A model for the package transformers: growlab's own blocks behind `AutoModelForCausalLM`.

What a text leaves behind in a growlab model is a state for each block: keys and values, the last tokens of a filter,
a matrix of memories. Tokens that the attention mask leaves out are never read: sequences that have read equally many
tokens are computed together, others by themselves, so that padding, on whichever side, changes nothing.

Legend: B sequences, T tokens, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from growlab.blocks.base import NORM_EPS, Block, Mixer, State
from growlab.export.huggingface.plain import BlockSpec
from growlab.model.causal_model import CausalModel


class Kind(NamedTuple):
    """How a kind of block, of front end or of head is built."""

    mixer: type[Any]
    options: type[Any]
    block: Callable[..., Block] = Block  # around its mixer
    holds_blocks: bool = False  # of a nest: whole blocks, with norms of their own; else their mixers alone


KINDS: dict[str, Kind] = {}


class GrowlabConfig(PreTrainedConfig):
    """What the weights cannot be read without."""

    model_type = "growlab"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(
        self,
        *,
        layout: str = "",  # for people: what `units`, `front` and `head` say
        d_model: int = 1,
        vocab_size: int = 1,
        units: Sequence[Sequence[Mapping[str, Any]]] = (),
        front: Mapping[str, Any] | None = None,
        head: Mapping[str, Any] | None = None,
        start_token_id: int = 0,  # read where an id is none of the vocabulary, such as that of <|endoftext|>
        use_cache: bool = True,
        tie_word_embeddings: bool = False,  # there is one matrix, not two that are tied
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.layout = layout
        self.d_model, self.vocab_size = d_model, vocab_size
        self.units, self.front, self.head = units, front, head
        self.start_token_id = start_token_id
        self.use_cache = use_cache
        self.tie_word_embeddings = tie_word_embeddings
        self.hidden_size, self.num_hidden_layers = d_model, sum(map(len, units))  # names that tools ask for


def build_mixer(spec: BlockSpec, d_model: int) -> Mixer:
    kind = KINDS[spec.kind]
    options = kind.options(**spec.options)
    if not spec.branches:
        return kind.mixer(d_model, options)
    build = build_block if kind.holds_blocks else build_mixer
    return kind.mixer(d_model, options, [[build(held, d_model) for held in branch] for branch in spec.branches])


def build_block(spec: BlockSpec, d_model: int) -> Block:
    return KINDS[spec.kind].block(spec, build_mixer(spec, d_model), d_model, dropout=0.0)


def build_part(raw: Mapping[str, Any] | None, config: GrowlabConfig) -> Any:
    """Build a front end or a head, or None where the model has none of its own."""
    if raw is None:
        return None
    spec = BlockSpec.read(raw)
    kind = KINDS[spec.kind]
    return kind.mixer(config.d_model, kind.options(**spec.options), config.vocab_size)


class GrowlabModel(CausalModel):
    """The modules of a configuration."""

    def __init__(self, config: GrowlabConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(0.0)
        self.front = build_part(config.front, config)
        self.units = nn.ModuleList(
            nn.ModuleList(build_block(BlockSpec.read(raw), config.d_model) for raw in unit) for unit in config.units
        )
        self.norm = nn.RMSNorm(config.d_model, eps=NORM_EPS)
        self.head = build_part(config.head, config)


@dataclass
class Group:
    """Sequences of a batch that have read equally many tokens, and their states; None where nobody goes on."""

    rows: list[int]
    states: list[State] | None

    def select(self, rows: list[int]) -> "Group":
        """Take some of its sequences, each as often as it is named."""
        if rows == self.rows or self.states is None:
            return Group(rows, self.states)
        at = [self.rows.index(row) for row in rows]
        return Group(rows, [tuple(tensor[at] for tensor in state) for state in self.states])


class GrowlabCache(Cache):
    """The states that sequences have left, for the tokens that follow. It cannot be cropped: what was read stays."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.groups: list[Group] = []
        self.n_columns = 0  # of the batches that were read, padding included

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.n_columns

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let sequence i go on from what sequence beam_idx[i] has read."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        n_rows = sum(len(group.rows) for group in self.groups)
        self.batch_select_indices(torch.arange(n_rows).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        chosen: list[int] = indices.tolist()
        groups = []
        for group in self.groups:
            if after := [row for row, before in enumerate(chosen) if before in group.rows]:
                groups.append(Group(after, group.select([chosen[row] for row in after]).states))
        self.groups = groups

    def crop(self, tokens_to_remove: int) -> None:
        raise NotImplementedError("a state of this model cannot forget its last tokens: read the others again")

    def reset(self) -> None:
        self.groups, self.n_columns = [], 0


class GrowlabForCausalLM(PreTrainedModel, GenerationMixin):
    """A language model; its loss is the mean negative log-likelihood of `labels`, nats per token, and nothing else."""

    config_class = GrowlabConfig
    base_model_prefix = "model"
    _is_stateful = True  # decoding that takes tokens back, as with an assistant, is refused

    def __init__(self, config: GrowlabConfig) -> None:
        super().__init__(config)
        self.model = GrowlabModel(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Fill what was not loaded: tensors that follow from the layout, and the embedding of a new model."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif (fill := getattr(module, "set_plasticity", None)) is not None:
            fill(module.plasticity)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.model.embedding = value

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *others: Any, **more: Any
    ) -> None:
        """Put a cache of this model's own where `generate` would put one of keys and values."""
        if generation_config.cache_implementation is not None:
            raise ValueError("this model has a cache of its own; leave cache_implementation out")
        if generation_config.use_cache is not False and model_kwargs.get("past_key_values") is None:
            model_kwargs["past_key_values"] = GrowlabCache()

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return super().prepare_inputs_for_generation(*args, **kwargs) | {"for_generation": True}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: GrowlabCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        inputs_embeds: Tensor | None = None,
        return_dict: bool | None = None,
        for_generation: bool = False,  # with a logit for the id after the vocabulary, which is never drawn
        **of_loss: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Logits (B, T, V) for the token after each of `input_ids`, going on from `past_key_values` where given.

        Positions are counted from the mask, (B, T) or with the past before it. Where it is 0 the logits are those of
        the last token before, or 0. Raises ValueError for what this model cannot do.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ValueError("this model reads input_ids, not inputs_embeds: its head may need to know the tokens")
        cache = _own(past_key_values)
        if cache is None and (self.config.use_cache and not self.training if use_cache is None else use_cache):
            cache = GrowlabCache()
        ids_BT = torch.where(input_ids < self.config.vocab_size, input_ids, self.config.start_token_id)
        logits_BTV = self._read(ids_BT, _present(attention_mask, ids_BT), cache)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits_BTV = logits_BTV[:, kept]
        loss = None
        if labels is not None:
            loss = self.loss_function(logits_BTV, labels, vocab_size=self.config.vocab_size, **of_loss)
        if for_generation:
            logits_BTV = nn.functional.pad(logits_BTV, (0, 1), value=torch.finfo(logits_BTV.dtype).min)
        output = CausalLMOutputWithPast(loss=loss, logits=logits_BTV, past_key_values=cache)
        return output.to_tuple() if return_dict is False else output

    def _read(self, ids_BT: Tensor, present_BT: Tensor | None, cache: GrowlabCache | None) -> Tensor:
        """Read the tokens that are present, each sequence after what the cache says it has read; update the cache."""
        B, T = ids_BT.shape
        if cache is None and present_BT is None:
            return self.model(ids_BT)
        n_new = [T] * B if present_BT is None else present_BT.sum(1).tolist()
        read, after = [], []
        for group in self._groups(cache, B):
            for n in sorted({n_new[row] for row in group.rows}):
                part = group.select([row for row in group.rows if n_new[row] == n])
                if n:
                    present_PT = None if present_BT is None or n == T else present_BT[part.rows]
                    logits_PTV, part.states = self._read_together(ids_BT[part.rows], present_PT, part.states)
                    read.append((part.rows, logits_PTV))
                after.append(part)
        if cache is not None:
            cache.groups, cache.n_columns = after, cache.n_columns + T
        return _in_one(read, ids_BT.new_zeros(B, T, self.config.vocab_size, dtype=self.dtype))

    def _groups(self, cache: GrowlabCache | None, n_rows: int) -> list[Group]:
        """What each sequence has read; without a cache nothing, and nothing is to be remembered."""
        if cache is None or not cache.groups:
            return [Group(list(range(n_rows)), None if cache is None else self.model.initial_state(n_rows))]
        if (n_read := sum(len(group.rows) for group in cache.groups)) != n_rows:
            raise ValueError(f"past_key_values is of {n_read} sequences, input_ids of {n_rows}")
        return cache.groups

    def _read_together(
        self, ids_PT: Tensor, present_PT: Tensor | None, states: list[State] | None
    ) -> tuple[Tensor, list[State] | None]:
        """Read equally many tokens of each sequence."""
        read_PN = ids_PT if present_PT is None else ids_PT[present_PT].view(len(ids_PT), -1)
        logits_PNV, states = (self.model(read_PN), None) if states is None else self.model.advance(read_PN, states)
        if present_PT is None:
            return logits_PNV, states
        last_PT1 = present_PT.cumsum(1)[..., None] - 1  # of the tokens that were read; -1 before the first
        logits_PTV = logits_PNV.gather(1, last_PT1.clamp(min=0).expand(-1, -1, logits_PNV.shape[2]))
        return logits_PTV.masked_fill(last_PT1 < 0, 0.0), states


def _in_one(read: list[tuple[list[int], Tensor]], logits_BTV: Tensor) -> Tensor:
    """Logits of all sequences from those of some of them each; the rest as they are."""
    for rows, logits_PTV in read:
        if rows == list(range(len(logits_BTV))):
            return logits_PTV
        at_P = torch.tensor(rows, device=logits_BTV.device)
        logits_BTV = logits_BTV.to(logits_PTV.dtype).index_copy(0, at_P, logits_PTV)
    return logits_BTV


def _own(cache: Cache | None) -> GrowlabCache | None:
    """The cache, or None for an empty one of another sort, which holds nothing. Raises ValueError for one that does."""
    if cache is None or isinstance(cache, GrowlabCache):
        return cache
    if cache.get_seq_length():
        raise ValueError(f"past_key_values must be what this model returned, got a {type(cache).__name__}")
    return GrowlabCache()


def _present(attention_mask: Tensor | None, ids_BT: Tensor) -> Tensor | None:
    """The tokens that are there; None for all of them."""
    if attention_mask is None:
        return None
    if attention_mask.dim() != 2:
        raise ValueError(f"attention_mask must be (batch, tokens), got {tuple(attention_mask.shape)}")
    present_BT = attention_mask[:, -ids_BT.shape[1] :].bool()
    return None if bool(present_BT.all()) else present_BT
