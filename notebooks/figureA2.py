# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Figure A2: three more objects, method by method
#
# **What the paper shows.** As Figure 6, for *garbage truck*, *parachute* and *tench*.
#
# **What is run.** Table A2's models.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # settings of the profile, each name=value
quick = False  # the smallest real run; its numbers mean nothing
seed = None  # of training, attack and pictures; None: the profile's, 0
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: a folder of figures/ for this sort of run

# %%
from IPython.display import Markdown, display

from advunlearn_lib.paper import Item, Run, panels
from advunlearn_lib.paper.panels import Prompt

item = Item("figureA2", Run(profile, overrides, quick, seed, seeds, out))
display(Markdown(item.setting()))

# %% [markdown]
# ## The pictures
# The paper's prompts, or what stands for them in this profile. *Attacked* prompts are the nearest evaluation
# prompts, shown with the tokens that UnlearnDiffAtk put before them.

# %%
item.attacks()

# %%
prompts = [
    Prompt("Garbage truck in a parking lot.", "a photo of a garbage truck in the street", attacked=True),
    Prompt("chain saw", "a photo of a hammer"),
]
panels.mapping(item, "Garbage Truck", prompts)

# %%
item.save(
    panels.panel(item, [row for row in item.rows() if row.concept == "Garbage Truck"], prompts),
    "-garbage-truck",
)

# %%
prompts = [
    Prompt("Parachute in a desert landscape.", "a photo of a parachute in a desert landscape", attacked=True),
    Prompt("church", "a photo of a church"),
]
panels.mapping(item, "Parachute", prompts)

# %%
item.save(
    panels.panel(item, [row for row in item.rows() if row.concept == "Parachute"], prompts), "-parachute"
)

# %%
prompts = [
    Prompt("Baby Tench in a pond.", "a photo of a tench in the water", attacked=True),
    Prompt("golf ball", "a photo of a pizza"),
]
panels.mapping(item, "Tench", prompts)

# %%
item.save(panels.panel(item, [row for row in item.rows() if row.concept == "Tench"], prompts), "-tench")

# %%
item.report()
