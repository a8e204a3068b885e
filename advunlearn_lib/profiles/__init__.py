"""Profiles: every size, step count and hyper-parameter as data, and nothing else."""
