"""Dictionaries of latents: sparse autoencoders in the formats people have, directions and neurons."""
