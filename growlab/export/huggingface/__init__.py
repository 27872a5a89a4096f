"""A trial as a folder that the package transformers loads, without growlab: `AutoModelForCausalLM.from_pretrained`.

modeling     the model as transformers wants it, over growlab's own blocks
plain        plain forms of what growlab computes by operators of its own
names        which names of a definition are those of its module
source       growlab's files as definitions, each with its text and what it needs
single_file  all that a layout needs, from these, in one file
"""
