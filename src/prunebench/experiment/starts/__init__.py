"""Starts: where the dense model of an experiment starts from, and what its data is prepared for.

start        what is known before the data is prepared, and how the model is made then; fresh weights
checkpoints  a step of a run, and whatever else is a checkpoint
files        weight files of others, and files of `prunebench export`
library      weights that a library has of its own models
bert         weights of BERT by a name or folder of Hugging Face
folder       models of transformers, by their folder
opening      which of these it is
"""
