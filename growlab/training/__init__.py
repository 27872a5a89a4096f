"""Training one trial.

trial        the story: from a TrialSpec to a result
reporting    rows and progress of a trial, told to its recorder
climbing     where a trial with rungs is read, what a reading is, and where it has to wait
stopping     where a stop rule ends a trial for good
averaging    the mean of its weights, which a reading may be of
saving       when a trial is saved, and what stays of it at its end
result       what a trial came to
run          the moving parts of a trial, and how they start or resume
feed         where the batch of a step comes from
engine       how a step is executed: eagerly, or as one CUDA graph; of blocks as they are, or compiled
recording    how that graph is recorded, and what an error in the middle of it leaves behind
compiled     one program for all blocks of one spec and shape
schedule     learning rate as a function of progress
optimizer    what adopts the parameters of new units and remembers by name
rules        how a parameter is updated: AdamW, Muon
timing       seconds that steps and other work take
evaluation   the full validation pass
sample       the text that a trained model writes
at_end       what a study asks of a completed trial's model
decode_speed one such metric: how fast it writes
checkpoint   everything a trial needs to go on, in one file; increments beside it, each written once
device       where and in which precision
recorder     where facts go
"""
