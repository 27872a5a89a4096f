"""A first study of somebody's own text, written for the machine at hand: `growlab init`.

begin.py      from a text to a study file: looks, measures, plans, writes
text.py       what the text is: how much of it, how it is cut, how much comes twice
language.py   in which letters and in which language
machine.py    device, cores, memory, and how fast a few real steps of training go
plan.py       sizes and budgets that are done in time and read no text too often
page.py       the plan as a commented YAML file, and in words
"""
