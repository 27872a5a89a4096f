"""The mathematics of an honest comparison: pure functions of plain numbers, no torch, no database.

intervals   a mean with Student's interval; differences of what two sides did on the same seeds
gains       what a decision is made of: one number per seed, positive where the candidate is better, or a bound of it
envelope    the compute that un-grown models need for a loss; the speed-up of an arm against it
holm        several questions asked at once
repeats     how many repeats would tell
verdict     better, worse, equal within a margin, or cannot tell: the one procedure that decides
confirm     the winners of a search again, on seeds that chose nothing
pareto      several objectives: the front, ranks, hypervolume and what each trial adds to it

scipy is loaded inside functions, so that commands which compare nothing do not wait for it; pareto alone needs NumPy.
"""
