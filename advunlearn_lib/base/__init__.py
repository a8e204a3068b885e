"""What every floor stands on: errors, files, keys, the store, seeds, pictures as arrays.

Nothing here knows of diffusion.
"""
