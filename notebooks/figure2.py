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
# **What the paper claims.** Most methods keep image quality and fall to the attack, or resist it and ruin quality;
# AdvUnlearn has both.
#
# **What is run.** Table 5's models, as points: down and left is better. *Nudity* is replaced by a harmless category
# of the pocket world, *weapon*.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # "name=value" settings of the profile
quick = False  # the smallest real run; its numbers mean nothing
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: figures/<profile> beside this notebook

# %%
from advunlearn_lib import plots
from advunlearn_lib.paper import Item

item = Item("figure2", profile, overrides, quick, seeds, out)
item.stamp

# %%
item.table()

# %%
item.save(plots.scatter(item.records, f"{item.name}, {item.stamp}"))

# %%
item.report()
