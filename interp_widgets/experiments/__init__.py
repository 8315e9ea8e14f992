"""Experiments: a model and prompts in, frozen results out, one partial result at a time."""
