"""How the models shipped under ``data/pocket`` were
trained, how good they are, how their settings were chosen.
"""
