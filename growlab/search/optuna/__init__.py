"""Optuna's side of a search. Importing this room loads Optuna: the others do so only once they ask something of it.

memory         the past as Optuna's trials, kept from one decision to the next
distributions  our domains as Optuna's distributions
samplers       Optuna's samplers over such a past
"""
