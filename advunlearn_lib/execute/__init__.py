"""How many cells are computed at once.

They are computed on cores, on GPUs, by accelerate, on a Ray cluster.
"""
