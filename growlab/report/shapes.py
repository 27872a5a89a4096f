"""The shapes of what `growlab report --json` prints: a name and a version, the first key of each.

A version rises when a key goes or means something else; a new key leaves it. docs/report-json.md describes every one.
"""

STUDY = "growlab.report.study/1"
TRIAL = "growlab.report.trial/1"
COMPARISON = "growlab.report.comparison/1"
GROUPS = "growlab.report.groups/1"
WHY = "growlab.report.why/1"

SHAPES = (STUDY, TRIAL, COMPARISON, GROUPS, WHY)
