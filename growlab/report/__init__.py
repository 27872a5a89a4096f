"""Studies and trials, for a person at a terminal or a program at the end of a pipe. Knows no torch.

Reading, which knows no terminal: a page, a notebook and JSON take it from here.

study_report  a study whole: overview, leaderboard, front, workers, failures
overview      how a study stands, and what it has spent
leaderboard   which trial is best: rows in order
columns       what a row holds, and every column of it, for terminals and programs
selection     which rows and which columns somebody wants
where         the language of a condition on rows
overfitting   since when a trial learns its training text by heart
front         who is on the front, for a program
failures      why trials failed, by cause
comparison    trials side by side
groups        trials by one of their values: means, and differences on the same seeds
confirmation  winners on fresh seeds, and what the search had claimed
trial_facts   everything that is stored of one trial, and as JSON
trial_steps   what it said at each step
trial_values  the values of a trial by their keys
pace          finished trials per hour, and how many ran at once
extent        how large a study's space is
why           which changes help, which parts matter, what would be tried next
short_layouts layouts without what all of them have in common
shapes        names and versions of what --json prints
study_mapping a study's report as JSON
json_values   values as JSON can hold them
frames        the leaderboard for pandas
trainings     a study's trainings as a table

Writing, for people and for pipes:

formats       rows as a table, TSV, CSV or JSON
study_page    a study on a terminal
live_report   the same, redrawn while the study goes on
live          the table that is redrawn while workers are followed
table         the leaderboard that people read
group_table   groups as a table, TSV, CSV or JSON
comparison_page  trials side by side, likewise
trial_page    one trial in full: what it was, what came out
trial_courses how its numbers went: losses, lr, experts' load, paths
trial_events  what happened to it: growths, probes, rungs, attempts
trial_rungs   what it came to at rungs or marks
title         the line above a leaderboard
terminal_table, plain_tables   tables of any rows: those with a rule below the head, those of a page
curve         losses over FLOPs, drawn with characters
sparkline     a row of numbers in a row of characters
terminal      a console that cuts nothing and interprets nothing

rich and plotille are imported where they are used: importing a module of this room costs nothing.
"""
