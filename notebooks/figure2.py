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
# # Figure 2: robustness against image quality
#
# **What the paper claims.** Most methods keep image quality and fall to the attack, or resist it and ruin
# quality; AdvUnlearn has both.
#
# **What is run.** Table 5's models, as points: down and left is better.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # settings of the profile, each name=value
quick = False  # the smallest real run; its numbers mean nothing
seed = None  # of training, attack and pictures; None: the profile's, 0
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: a folder of figures/ for this sort of run

# %%
from IPython.display import Markdown, display

from advunlearn_lib.paper import Item, Run, plots

item = Item("figure2", Run(profile, overrides, quick, seed, seeds, out))
display(Markdown(item.setting()))

# %%
item.table()

# %%
item.save(plots.scatter(item.results, item.profile.fid_features, f"{item.name}, {item.stamp}"))

# %%
item.report()
