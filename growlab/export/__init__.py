"""A trained trial, to take away: a folder that needs neither the database nor growlab's study to be understood.

targets    what a trial can be exported as: for growlab, for transformers, as a program; a whole front
bundle     write that folder
huggingface  the same trial as a folder that transformers loads, without growlab
programs   the same trial as one program, of ONNX or of torch.export
agreement  whether logits of an exported model are the trained one's
trained    the model and the tokenizer that a trial's training left
record     what is on record of a trial
card       the model card
load       read it back: a model that writes text (needs torch; import it by its name)
configs    the best trials of a study as configurations
held_out   the test split: what it says of a trial's final model, once, on record
ranking    which completed trial is best
contents   what lies in the folder, and its config.yaml
folder     whole or absent
"""
