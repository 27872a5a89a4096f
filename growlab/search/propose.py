"""The next trial of a study, as a function of the study, its past and the trial's number.

What is kept between calls saves time alone, and nothing is random but by the number's seed: the same past gives the
same proposal on any machine.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from operator import attrgetter

from growlab.domains import Value
from growlab.kinds import Kind, complete, shorten
from growlab.layout import Layout, n_held, n_run, parse
from growlab.plan import final_layout
from growlab.proposal import Proposal
from growlab.recipes import OPERATORS
from growlab.records import Decision, PastTrial, TrialState
from growlab.search.draw import Draw
from growlab.search.judging import judged, with_values
from growlab.search.limits import Limits, Measure
from growlab.search.measured import memory_ratio
from growlab.search.menu import menu_of
from growlab.search.past import grouped, unfinished
from growlab.search.rungs.halving import climbs_of
from growlab.search.rungs.standing import projected
from growlab.search.sampling import Ask, Suggestion, sampler_options, suggested
from growlab.search.sections import growth_of, train_of
from growlab.seeds import derived_seed
from growlab.specs import GrowthSpec, TrialSpec
from growlab.study import Study

_NUMBER = attrgetter("number")


def propose(
    study: Study, past: Sequence[PastTrial], number: int, kinds: Mapping[str, Kind], measure: Measure
) -> Proposal:
    """Trial `number`, as the study's sampler suggests it, or as another repeat of the same proposal was.

    The study is one that `check_space` accepts; `past` holds every trial known, also queued and running ones,
    in any order. Raises UsageError when no layout is within the limits of the study.
    """
    past = [trial if trial.state.is_final else unfinished(trial) for trial in sorted(past, key=_NUMBER)]
    ask, repeat = ask_for(study, past, number, kinds, measure, learns=sampler_options(study).learns)
    suggestion = _again(ask, past, number) or suggested(ask)
    draw, params = suggestion.draw, dict(suggestion.params)
    trial_seed = derived_seed(study.seed, number if study.repeats == 1 else repeat, "trial")
    return Proposal(
        spec=trial_spec(study, draw.layout, kinds, params, suggestion.given, trial_seed),
        layout=str(shorten(draw.layout, kinds)),
        depth=n_run(draw.layout.blocks),
        params=params,
        decision=Decision(
            number=number,
            seed=ask.seed,
            origin=draw.origin,
            parent=None if draw.parent is None else draw.parent * study.repeats,
            mutation=draw.words,
            finished=tuple([trial.number for trial in past if trial.state.is_final]),
            running=tuple([trial.number for trial in past if not trial.state.is_final]),
            predicted=suggestion.predicted,
            climbs=climbs_of(past),
        ),
    )


def ask_for(
    study: Study,
    past: Sequence[PastTrial],
    number: int,
    kinds: Mapping[str, Kind],
    measure: Measure,
    *,
    learns: bool = True,
) -> tuple[Ask, int]:
    """What the study's sampler is asked for trial `number` after `past`, by number; and which repeat the trial is.

    One that does not learn is not told what trials at rungs would come to: that takes longer than all the rest.
    """
    n_added = sum([trial.number < number for trial in past if trial.added])  # none of a study with repeats
    group, repeat = divmod(number - n_added, study.repeats)
    limit = Limits(study=study, kinds=kinds, measure=measure)
    past = judged(limit, grouped(past, study.repeats))
    if learns and (study.rungs or any(trial.state is TrialState.STOPPED for trial in past)):
        n_rungs = len(study.read_at.shares) if study.read_at else 0
        past = with_values(study, projected(past, n_rungs, study.loss))
    ask = Ask(
        study=study,
        past=past,
        number=group,
        seed=derived_seed(study.seed, number // study.repeats, "proposal"),
        menu=menu_of(study.layouts, kinds),
        limit=replace(limit, memory_ratio=memory_ratio(limit, past)),
    )
    return ask, repeat


def _again(ask: Ask, past: Sequence[PastTrial], number: int) -> Suggestion | None:
    """What another repeat of this proposal was; None where this is the first."""
    repeats = ask.study.repeats
    at = bisect_left(past, number // repeats * repeats, key=_NUMBER)
    if at == len(past) or past[at].number // repeats != number // repeats:
        return None
    first = past[at]
    given = ask.study.starts() if ask.number < sampler_options(ask.study).n_first(ask.study) else {}
    draw = Draw(layout=complete(parse(first.layout), ask.menu.kinds), origin="repeat", words=f"trial {first.number}")
    return Suggestion(draw=draw, params=dict(first.params), given=given)


def preview(study: Study, kinds: Mapping[str, Kind], measure: Measure, n: int = 10) -> list[Proposal]:
    """The first n proposals of a study of which nothing has finished yet."""
    proposals: list[Proposal] = []
    for number in range(n):
        past = [
            PastTrial(number=at, state=TrialState.QUEUED, layout=each.spec.layout, params=dict(each.params))
            for at, each in enumerate(proposals)
        ]
        proposals.append(propose(study, past, number, kinds, measure))
    return proposals


def trial_spec(
    study: Study,
    layout: Layout,
    kinds: Mapping[str, Kind],
    params: Mapping[str, Value],
    given: Mapping[str, Value],
    seed: int,
) -> TrialSpec:
    """The trial of a layout, every option written out, and of searched scalars, of which a person gave some."""
    return TrialSpec(
        layout=str(layout),
        data=study.data,
        train=train_of(study, params),
        growth=_growth(study, layout, kinds, params, drawn=params.keys() - given.keys()),
        budget=study.budget,
        curriculum=study.curriculum,
        seed=seed,
    )


def _growth(
    study: Study, layout: Layout, kinds: Mapping[str, Kind], params: Mapping[str, Value], drawn: Collection[str]
) -> GrowthSpec:
    """The operator's options are cut to the window where they, or it, were drawn; what is given is as good as fixed.

    A max_depth of 0 becomes the depth that the plan ends with: a trial's row says all that it needs.
    The sampler's raw draws stay in `params`: they are what TPE is told later, and its ranges do not depend on each
    other.
    """
    spec = growth_of(study, params)
    operator, before = spec.operator, f"growth.operator.{spec.operator.name}."
    keys = {name.removeprefix(before).removeprefix("growth.") for name in drawn if name.startswith("growth.")}
    options = OPERATORS[operator.name].read(operator.options)
    fitted = asdict(options.fitted(spec.history_window_size, keys))
    spec = replace(spec, operator=replace(operator, options=fitted))
    if spec.max_depth or not spec.grows:
        return spec
    return replace(spec, max_depth=n_held(final_layout(spec, layout, kinds).blocks))
