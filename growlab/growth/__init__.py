"""Growth in depth, of any module that is Growable.

growable   what growth needs to know of a model
window     the last snapshots of one unit, as owned increments, and their Gram matrices
trigger    when to grow: the seed's stagnation rule
operators  what the new unit's weights are
protocol   freeze, insert, warm up, unfreeze, cool down

Growth knows no model: a LanguageModel is one Growable among others.
"""
