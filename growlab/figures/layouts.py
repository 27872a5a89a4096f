"""Layouts as coloured stacks: of the best trials beside one another, and of one that grows, over its compute."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from growlab.figures import style
from growlab.figures.curves import flops_at
from growlab.frames.stacks import blocks_of, stacks_of

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

_MOST_STACKS = 40
_CHANNEL = {"mlp": "#C9CDD3", "moe": "#8A919B"}  # what most units have: quiet, so that the others are seen


def layouts(study: "StudyTables") -> Any:
    """The layouts of the best trials, by rank, as they ended; None where none has a loss."""
    import pandas as pd

    trials = study.trials()
    best = trials[trials.val_loss.notna()].sort_values(["rank", "val_loss"]).head(_MOST_STACKS)
    ends = best.layout_end.where(best.layout_end.notna(), best.layout)
    rows = [
        {
            "trial": number,
            "place": place,
            "label": str(number),
            "block": at + 1,
            "kind": block.kind,
            "spec": str(block),
            "layout": layout,
            "val_loss": loss,
        }
        for place, (number, layout, end, loss) in enumerate(
            zip(best.trial, best.layout, ends, best.val_loss, strict=True)
        )
        for at, block in enumerate(blocks_of(end))
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    chart = (
        alt.Chart(frame)
        .mark_rect(stroke="white", strokeWidth=1, cornerRadius=2)
        .encode(
            x=alt.X(
                "label:N",
                sort=alt.EncodingSortField("place"),
                title="trial, the best first",
                axis=alt.Axis(labelAngle=0, grid=False, labelOverlap=True),
                scale=alt.Scale(paddingInner=0.12),
            ),
            y=alt.Y("block:O", sort="descending", title="block, from the input up", axis=alt.Axis(grid=False)),
            color=_colour(study),
            opacity=style.emphasised(1, 0.2),
            tooltip=[
                *style.TRIAL_TOOLTIP,
                alt.Tooltip("block:O", title="block"),
                alt.Tooltip("spec:N", title="is"),
                alt.Tooltip("val_loss:Q", format=".4f"),
            ],
        )
        .add_params(style.focus())
    )
    height = max(160, 22 * int(frame.block.max()))
    return style.finished(
        chart,
        "Layouts of the best trials",
        "As they ended, growth included; those that have not ended as they began.",
        height,
    )


def growth_stack(study: "StudyTables", number: int) -> Any:
    """The stack of one trial over its compute; None of one that did not grow, or whose kinds are not known.

    Loads torch, for the table of kinds, and the plugins that the study was loaded with.
    """
    frame = stack_frame(study, number)
    if frame.empty or frame.growth.max() == 0:
        return None
    trial: Any = study.trials().set_index("trial").loc[number]
    base = alt.Chart(frame)
    rects = base.mark_rect(stroke="white", strokeWidth=1).encode(
        x=alt.X("flops_from:Q", title="training FLOPs", axis=style.FLOPS_AXIS, scale=alt.Scale(nice=False)),
        x2="flops_to:Q",
        y=alt.Y("bottom:Q", title="block, from the input up", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
        y2="top:Q",
        color=_colour(study),
        opacity=alt.condition("datum.growth > 0", alt.value(1), alt.value(0.62)),
        tooltip=[
            alt.Tooltip("spec:N", title="block"),
            alt.Tooltip("block:Q", title="place"),
            alt.Tooltip("came:N", title="entered"),
        ],
    )
    marks = base.transform_filter("datum.first").mark_rule(strokeDash=[4, 3], strokeWidth=1.5, color=style.RED)
    chart = alt.layer(rects, marks.encode(x="flops_from:Q"))
    loss = "" if trial.val_loss != trial.val_loss else f", val_loss {trial.val_loss:.4f}"
    subtitle = f"{int(trial.depth_start)} → {int(frame.block.max())} blocks{loss}; full colour: grown"
    return style.finished(chart, f"Trial {number} as it grew", subtitle, max(140, 16 * int(frame.block.max())))


def stack_frame(study: "StudyTables", number: int) -> "pd.DataFrame":
    """A row for each block while the stack stays the same: from and to which FLOPs, its place, what it is."""
    import pandas as pd

    study.load_kinds()
    trial: Any = study.trials().set_index("trial").loc[number]
    events = study.growth_events()
    events = events[events.trial == number]
    stacks = stacks_of(trial.layout, events)
    starts = pd.DataFrame({"trial": number, "step": [stack.step for stack in stacks]})
    spent = [0.0, *flops_at(study, starts)[1:]]
    end = max([trial.flops if trial.flops == trial.flops else 0.0, *_last_flops(study, number), spent[-1] * 1.02])
    rows = []
    for at, stack in enumerate(stacks):
        until = spent[at + 1] if at + 1 < len(stacks) else end
        for place, (block, growth) in enumerate(zip(stack.blocks, stack.entered, strict=True)):
            rows.append(
                {
                    "flops_from": spent[at],
                    "flops_to": until,
                    "bottom": place,
                    "top": place + 1,
                    "block": place + 1,
                    "kind": block.kind,
                    "spec": str(block),
                    "growth": growth,
                    "came": f"with growth {growth}" if growth else "from the start",
                    "first": at > 0 and place == 0,
                }
            )
    return pd.DataFrame(rows)


def _last_flops(study: "StudyTables", number: int) -> Iterable[float]:
    spent = study.metrics("flops", split="train")
    return spent[spent.trial == number].value.tail(1)


def _colour(study: "StudyTables") -> alt.Color:
    """The same colour for a kind in all figures of a study: the most frequent first."""
    kinds = kinds_of(study)
    own = [kind for kind in kinds if kind not in _CHANNEL]
    palette = [*style.CATEGORIES, style.YELLOW]
    colours = {kind: palette[at % len(palette)] for at, kind in enumerate(own)} | _CHANNEL
    return alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[colours[kind] for kind in kinds]),
        legend=style.legend(symbolType="square"),
    )


def kinds_of(study: "StudyTables") -> Sequence[str]:
    """The block kinds of a study's trials, the most frequent first; those of nests as the nests that hold them."""
    counted = Counter(block.kind for layout in study.trials().layout for block in blocks_of(layout))
    return [kind for kind, _ in sorted(counted.items(), key=lambda item: (item[0] in _CHANNEL, -item[1], item[0]))]
