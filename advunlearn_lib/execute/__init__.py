"""How many cells are computed at once, and whether the machine can.

They are computed on cores, on GPUs, by accelerate, on a Ray cluster.
"""
