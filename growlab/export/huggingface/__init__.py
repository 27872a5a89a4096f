"""A trial as a folder that the package transformers loads, without growlab: `AutoModelForCausalLM.from_pretrained`.

trial_folder    the whole folder of a trial, checked before it appears
model_folder    what `from_pretrained` reads: configuration, weights, tokenizer, code
tokenizer_file  growlab's tokenizers as tokenizer.json
checking        loaded as a stranger would, has it the logits of the trained model?
single_file     the code: all that a layout needs, in one file
source          growlab's files as definitions, each with its text and what it needs
names           which names in a definition are those of its module
modeling        the model as transformers wants it, over growlab's own blocks   (a text: nobody imports it)
plain           plain forms of what growlab computes by operators of its own
"""
