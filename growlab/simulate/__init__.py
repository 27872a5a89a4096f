"""A study with any number of pretended workers, in virtual time: what a fleet, a sampler or rungs would come to.

run         a study from its first decision to its last trial; the real code decides
clock       time that goes from one event to the next
memory      the queue of trials, in memory
worker      what a worker does, and what happens to it
conditions  how many workers, how fast, how often they die or are asked to stop
course      what is known of a training, and when
table       a table of trainings, in which each trial has its nearest entry
table_file  such a table in a file
outcome     what came of it
"""
