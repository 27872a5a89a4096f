"""Does growth, or a block, really help? Arms that are tuned alike and repeated, against un-grown training.

file       an ablation's YAML file
arms       an arm's training, as a trial to run
cells      which trainings there are: tuning, then repeats; what tuning found
queue      into the database, and what became of them
verdicts   what the results say, and what they do not
table      for a person, and for a program

It makes a study whose trials it queues (sampler `given`), and reads their rows; who trains is the workers' business.
All that it knows is in these rows, so an interrupted one goes on, and its table can be made again at any time.
"""
