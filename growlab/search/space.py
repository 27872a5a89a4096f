"""The space of a study: is it sound, and is it wise?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from growlab.domains import Domain, Fixed, Range, corners, highest, lowest
from growlab.errors import LayoutError, NotRegistered, UsageError, require
from growlab.escapes import quoted
from growlab.kinds import KINDS, Kind, check_block, complete, complete_block, complete_part
from growlab.layout import MAX_BLOCKS, BlockSpec, Layout, n_held, parse, parse_blocks, parse_part, skeleton, walk
from growlab.recipes import NEVER, OPERATORS, PARTS
from growlab.search.growing import curriculum_warnings, grows, growth_warnings, most_steps, options_at
from growlab.search.limits import LIMITS, Excess, Limits, Measure
from growlab.search.menu import Menu, read_entry
from growlab.search.repair import PLACES, Place
from growlab.search.sampling import sampler_options
from growlab.study import PLAIN, FromLayer, LayoutSpace, Study

# ---- is it sound? --------------------------------------------------------------------------------------------


def check_space(study: Study, kinds: Mapping[str, Kind]) -> None:
    """Refuse a study that could propose what cannot run, before anything is spent.

    `kinds` are the registered block kinds.
    Raises UsageError, or one of its kin, with the key and what it got.
    """
    _check_transfer(study)
    sampler_options(study).check(study)
    _check_layouts(study.layouts, kinds)
    if study.n_proposals > sampler_options(study).n_first(
        study
    ):  # else nothing is drawn, as in growlab train's study of one
        _check_menu(Menu(study.layouts, kinds))
    starts = [_start_layout(at, text, kinds) for at, text in enumerate(study.layouts.start_with)]
    _check_patches(study, starts, kinds)
    _check_schedule(study.train)
    _check_growth(study, starts, kinds)


def _check_transfer(study: Study) -> None:
    if study.sampler.transfer_from and not sampler_options(study).transfers:
        raise UsageError(
            f"sampler.transfer_from {quoted(study.sampler.transfer_from)}: sampler {study.sampler.name} has no model "
            "that could begin with what another study found; leave it out, or write name: model"
        )


def check_layouts(space: LayoutSpace, kinds: Mapping[str, Kind]) -> None:
    """Refuse a space of which some layout could not be drawn. Raises UsageError, or one of its kin."""
    _check_layouts(space, kinds)
    _check_menu(Menu(space, kinds))


def check_limits(study: Study, kinds: Mapping[str, Kind], measure: Measure) -> None:
    """Refuse layouts to start with that exceed a limit, before a worker meets them. Raises UsageError."""
    for at, excess in starts_beyond(study, kinds, measure).items():
        raise UsageError(f"layouts.start_with[{at}] {excess}")


def starts_beyond(study: Study, kinds: Mapping[str, Kind], measure: Measure) -> dict[int, Excess]:
    """The first limit that a layout to start with exceeds in a trial that the study may draw, by its place in the list.

    Batch and length are the largest that their trials may have.
    """
    starts = study.starts()
    sizes = {name: study.scalars()[name] for name in ("train.batch_size", "train.seq_len")}
    params = {name: int(highest(domain)) for name, domain in sizes.items() if not isinstance(domain, Fixed)} | starts
    limits = Limits(study=study, kinds=kinds, measure=measure, params=params)
    layouts = [complete(parse(text), kinds) for text in study.layouts.start_with]
    return {at: excess for at, layout in enumerate(layouts) if (excess := limits.excess(layout))}


def _check_layouts(space: LayoutSpace, kinds: Mapping[str, Kind]) -> None:
    low, high = space.depth
    expected = f"{{low: …, high: …}} with 1 <= low <= high <= {MAX_BLOCKS}"
    require(1 <= low <= high <= MAX_BLOCKS, "layouts.depth", expected, f"{low} to {high}")
    require(len(space.d_model) > 0, "layouts.d_model", "a width or a list of widths", "none")
    require(min(space.d_model) >= 1, "layouts.d_model", "at least 1", min(space.d_model))
    for key in LIMITS:
        limit = getattr(space, key)
        require(limit >= 0, f"layouts.{key}", "at least 0 (0: no limit)", limit)
    for name, options in space.blocks.items():
        _known_kinds([read_entry(name)], kinds)
        check_block(read_entry(name), kinds)
        for option, values in options.items():
            require(len(values) > 0, f"layouts.blocks.{name}.{option}", "a value or a list of values", "none")


def _check_menu(menu: Menu) -> None:
    """Whether a layout can be drawn at every width."""
    if not menu.of_role("sequence"):
        known = ", ".join(sorted(name for name, kind in menu.kinds.items() if kind.role == "sequence"))
        got = ", ".join(menu.values) or "no blocks"
        raise UsageError(f"layouts.blocks needs a sequence mixer to tell tokens of each other ({known}), got {got}")
    for d_model in menu.space.d_model:
        for name in menu.values:
            _check_fits(menu, name, d_model)
        for place in PLACES:
            _check_parts(menu, place, d_model)
    if menu.rule:
        _check_rule(menu, menu.rule)
    _check_weights(menu)
    _check_required(menu)


def _check_weights(menu: Menu) -> None:
    for key, weight in menu.space.weights.items():
        name = str(skeleton(read_entry(key)))
        require(name in menu.entries, f"layouts.weights.{key}", f"of layouts.blocks: {', '.join(menu.entries)}", key)
        require(0 < weight < inf, f"layouts.weights.{key}", "above 0; what shall not be drawn is no block", weight)


def _check_required(menu: Menu) -> None:
    """Whether every layout can have a block of layouts.at_least_one_of: in its first layer, which each has."""
    if not (kinds := menu.space.at_least_one_of):
        return
    for kind in kinds:
        if kind not in menu.kinds:
            raise NotRegistered("block kind", kind, menu.kinds)
    first = set(menu.of_role("sequence")) & set(menu.required)
    asked = f"a sequence mixer of layouts.blocks that is or holds one of {', '.join(kinds)}"
    require(bool(first), "layouts.at_least_one_of", asked, f"only {', '.join(menu.entries)}")
    for k in menu.rule.layer if menu.rule else ():
        allowed = menu.allowed(0, k)
        where = f"layouts.from_layer at layer {k}"
        require(bool(first & set(allowed)), where, f"{asked}, in its first layer", ", ".join(allowed))


def _check_parts(menu: Menu, place: Place, d_model: int) -> None:
    for text in getattr(menu.space, place):
        try:
            if text != PLAIN:
                complete_part(parse_part(text), place, d_model, menu.kinds)
        except UsageError as error:
            raise LayoutError(f"layouts.{place} {text!r}: {error}") from None
    require(len(getattr(menu.space, place)) > 0, f"layouts.{place}", f"a list such as [{PLAIN}]", "none")


def _check_rule(menu: Menu, rule: FromLayer) -> None:
    require(len(rule.layer) > 0, "layouts.from_layer.layer", "a layer or a list of layers", "none")
    require(min(rule.layer) >= 0, "layouts.from_layer.layer", "at least 0", min(rule.layer))
    for side in ("below", "above"):
        names, known = getattr(rule, side), menu.of_role("sequence")
        require(len(names) > 0, f"layouts.from_layer.{side}", "a list of sequence mixers of layouts.blocks", "none")
        for name in names:
            require(name in known, f"layouts.from_layer.{side}", f"of the sequence mixers {', '.join(known)}", name)


def _check_fits(menu: Menu, kind: str, d_model: int) -> None:
    if next(menu.fitting(kind, d_model), None) is None:
        offered = "; ".join(f"{name}: {', '.join(map(str, each))}" for name, each in menu.values[kind].items())
        raise LayoutError(f"layouts: no {kind} fits d_model {d_model}; its options offer {offered}")


def _known_kinds(blocks: Iterable[BlockSpec], kinds: Mapping[str, Kind]) -> None:
    """Of blocks and of all that they hold."""
    for block in blocks:
        for each in walk(block):
            if each.kind not in kinds:
                raise NotRegistered("block kind", each.kind, kinds)


def _check_patches(study: Study, starts: Sequence[Layout], kinds: Mapping[str, Kind]) -> None:
    """A patch informs the next one, so that there must be two in the shortest window."""
    shortest = int(lowest(study.train["seq_len"]))
    drawn = [parse_part(text) for text in study.layouts.front if text != PLAIN]
    for front in [*drawn, *(layout.front for layout in starts if layout.front)]:
        options = kinds[front.kind].read_options(front, max(study.layouts.d_model))
        fewest = 2 * options.size
        require(shortest >= fewest, "train.seq_len", f"at least {fewest}, two patches of front={front}", shortest)


def _start_layout(at: int, text: str, kinds: Mapping[str, Kind]) -> Layout:
    """Any registered kind may stand in a layout to start with, also one that the study does not draw."""
    try:
        layout = parse(text)
        _known_kinds([*layout.blocks, *filter(None, (layout.front, layout.head))], kinds)
        return complete(layout, kinds)
    except UsageError as error:
        raise LayoutError(f"layouts.start_with[{at}]: {error}") from None


def _check_schedule(train: Mapping[str, Domain]) -> None:
    warmup, decay = (highest(train[name]) for name in ("warmup_fraction", "decay_fraction"))
    require(
        warmup + decay <= 1,
        "train.warmup_fraction + train.decay_fraction",
        "at most 1 whatever is drawn",
        f"up to {warmup:g} + {decay:g}",
    )


def _check_growth(study: Study, starts: Sequence[Layout], kinds: Mapping[str, Kind]) -> None:
    for sort, parts in PARTS.items():
        for name in corners(study.growth[sort]):
            parts[str(name)]
    widths = {*study.layouts.d_model, *(layout.d_model for layout in starts)}
    for unit in corners(study.growth["unit"]):
        _check_unit(str(unit), sorted(widths), kinds)
    if not grows(study):
        return
    deepest = max([study.layouts.depth[1], *(n_held(layout.blocks) for layout in starts)])
    for max_depth in map(int, corners(study.growth["max_depth"])):
        require(
            not 0 < max_depth < deepest,
            "growth.max_depth",
            f"at least the layout's {deepest} blocks",
            max_depth,
        )
        if not max_depth:
            _check_growths_known(study)
    _check_copies(study)


def _check_growths_known(study: Study) -> None:
    """Raise UsageError where a trigger does not say how often it grows, and so not how deep."""
    for name in map(str, corners(study.growth["trigger"])):
        if name != NEVER and options_at("trigger", name, study, highest).n_growths() is None:
            raise UsageError(
                f"growth.max_depth 0 leaves the depth to the trigger, and {name} does not say how often it grows; "
                "write the most blocks that a model may have"
            )


def _check_copies(study: Study) -> None:
    """Raise UsageError where an operator copies units and the study says what else they are made of."""
    made_of = [unit for unit in corners(study.growth["unit"]) if unit != "last"]
    for name in map(str, corners(study.growth["operator"])):
        if made_of and OPERATORS[name].options.copies_origin:
            raise UsageError(
                f"growth.operator {name} copies units as they are, so growth.unit must be 'last', got {made_of[0]!r}"
            )


def _check_unit(unit: str, widths: Sequence[int], kinds: Mapping[str, Kind]) -> None:
    if unit == "last":
        return
    try:
        _known_kinds(parse_blocks(unit), kinds)
        for block in parse_blocks(unit):
            for d_model in widths:
                complete_block(block, d_model, kinds)
    except UsageError as error:
        raise LayoutError(f"growth.unit {unit!r}: {error}") from None


# ---- is it wise? ---------------------------------------------------------------------------------------------


def warnings_for(study: Study, kinds: Mapping[str, Kind] = KINDS, n_steps: int | None = None) -> list[str]:
    """What can run but will hardly be what was meant, a line each, with the value and what to change.

    `n_steps` are the most steps of a trial, where a budget in FLOPs leaves them open.
    """
    n_steps = most_steps(study) if n_steps is None else n_steps
    return [
        *_dead_terms(study),
        *growth_warnings(study, kinds, n_steps),
        *curriculum_warnings(study, n_steps),
        *sampler_options(study).warnings(study),
        *_nothing_plastic(study, kinds),
        *_plasticity_drawn_in_vain(study, kinds),
        *_guesses_forgotten(study),
    ]


def _guesses_forgotten(study: Study) -> Iterator[str]:
    """Of best guesses that TPE does not know."""
    if study.sampler.name in ("random", "model"):
        return
    for name, domain in study.scalars().items():
        if isinstance(domain, Range) and domain.best_guess is not None:
            yield (
                f"{name}.best_guess is followed by random draws alone: once sampler {study.sampler.name} has "
                "learnt, its TPE does not know it; sampler model does"
            )


def _dead_terms(study: Study) -> Iterator[str]:
    """Of operators that a window too small leaves without a term."""
    if not grows(study):
        return
    window = int(highest(study.growth["history_window_size"]))
    drawn = {key.rpartition(".")[2] for key, domain in study.growth.items() if not isinstance(domain, Fixed)}
    for name in corners(study.growth["operator"]):
        if dead := options_at("operator", str(name), study, lowest).fitted(window, drawn).dead_terms(window):
            yield dead
            return


def _nothing_plastic(study: Study, kinds: Mapping[str, Kind]) -> Iterator[str]:
    if not any(stage.plasticity for stage in study.curriculum):
        return
    blocks = [read_entry(name) for name in study.layouts.blocks]
    blocks += [block for text in study.layouts.start_with for block in parse(text).blocks]
    blocks += [block for unit in corners(study.growth["unit"]) if unit != "last" for block in parse_blocks(str(unit))]
    names = sorted({each.kind for block in blocks for each in walk(block)})
    if not any("plasticity" in kinds[name].option_fields() for name in names):
        yield f"curriculum sets a plasticity, which none of this study's blocks has: {', '.join(names)}"


def _plasticity_drawn_in_vain(study: Study, kinds: Mapping[str, Kind]) -> Iterator[str]:
    draws = study.n_proposals > sampler_options(study).n_first(study)
    if not (draws and any(stage.plasticity for stage in study.curriculum)):
        return
    for name, options in Menu(study.layouts, kinds).values.items():
        for path, values in options.items():
            if path.rpartition(".")[2] == "plasticity" and len(values) > 1:
                yield f"curriculum sets the plasticity of {name}, so drawing {path} changes nothing; fix its value"
