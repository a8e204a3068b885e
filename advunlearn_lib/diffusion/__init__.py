"""One view over diffusers' text-to-image pipelines: load,
encode, predict, sample, edit prompts token by token, save parts.
"""
