"""Optuna's side of a search. Importing this room loads Optuna: the others do so only once they ask something of it.

layout_sampler  growlab's samplers in anybody's Optuna study
finished        a stored study as one of Optuna's
whole           Optuna's samplers in a study of growlab's
memory          the past as Optuna's trials, kept from one decision to the next
distributions   parameters as Optuna's distributions
samplers        Optuna's samplers over such a past
"""
