"""Growth in depth, of any module that is Growable.

growable    what growth needs to know of a model
window      the last snapshots of one unit, as owned increments, and their Gram matrices
path        one tensor's part of it
telemetry   from a window to rows
moment      what a trigger sees
triggers/   when to grow
source      what an operator sees, and what it gives
operators/  what the new unit's weights are
positions/  where it enters
identity    names of parameters that stay when a unit enters below them
protocol    freeze, insert, warm up, unfreeze, cool down

Growth knows no model: a LanguageModel is one Growable among others. Nothing outside names a trigger, an operator or a
position: growlab.recipes has their tables.
"""
