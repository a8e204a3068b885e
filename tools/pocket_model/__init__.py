"""How the models shipped under ``data/pocket`` were trained.

And how good they are, and how their settings were chosen.
"""
