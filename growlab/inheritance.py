"""What a trial takes over from a trained model of another layout, from the two layouts alone.

Blocks are alike when kind and every option are. As many as can be are matched in order, those nearest to the input
first, so that what was put on top, below or between is new and the rest keeps its weights. Width and vocabulary must be
the same; a front end or a head is taken over where it is the same.
"""

from collections.abc import Iterator

from growlab.layout import Layout


def matched_blocks(layout: Layout, source: Layout) -> dict[int, int]:
    """Places of the blocks that are taken over: in the layout, and in the source. A longest common subsequence."""
    new, old = layout.blocks, source.blocks
    longest = [[0] * (len(old) + 1) for _ in range(len(new) + 1)]  # of what begins at these two places
    for at in reversed(range(len(new))):
        for of in reversed(range(len(old))):
            alike = new[at] == old[of]
            longest[at][of] = 1 + longest[at + 1][of + 1] if alike else max(longest[at + 1][of], longest[at][of + 1])
    matched, at, of = dict[int, int](), 0, 0
    while at < len(new) and of < len(old):
        if new[at] == old[of]:
            matched[at] = of
            at, of = at + 1, of + 1
        elif longest[at + 1][of] >= longest[at][of + 1]:
            at += 1
        else:
            of += 1
    return matched


def inherited_in_words(layout: Layout, source: Layout) -> str:
    """Name what of a layout is new, and what of the source is left behind: 'new: block 4 attn; left behind: …'.

    'nothing is new' of equal ones. Blocks are counted from 0, the input side.
    """
    matched = matched_blocks(layout, source)
    new = [f"block {at} {block.kind}" for at, block in enumerate(layout.blocks) if at not in matched]
    left = [f"block {at} {block.kind}" for at, block in enumerate(source.blocks) if at not in matched.values()]
    new += _parts(layout, source)
    left += _parts(source, layout)
    words = [f"new: {', '.join(new)}" if new else "nothing is new"]
    return "; ".join([*words, f"left behind: {', '.join(left)}"] if left else words)


def _parts(layout: Layout, other: Layout) -> Iterator[str]:
    """Front end and head of the one that are not the other's."""
    for place in ("front", "head"):
        part = getattr(layout, place)
        if part is not None and part != getattr(other, place):
            yield f"{place} {part.kind}"
