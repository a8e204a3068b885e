"""How many cells are computed at once: on cores, on GPUs, by
accelerate, on a Ray cluster; and whether the machine can.
"""
