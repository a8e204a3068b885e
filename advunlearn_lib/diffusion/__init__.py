"""One view over diffusers' text-to-image pipelines.

Load, encode, predict, sample, edit prompts token by token, save parts.
"""
