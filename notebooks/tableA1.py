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
# # Table A1: SH and ED on nudity
#
# **What the paper claims.** ScissorHands and EraseDiff resist the attack because little is left of the model:
# FID and CLIP score collapse.
#
# **What is run.** Both, as their papers describe them.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # settings of the profile, each name=value
quick = False  # the smallest real run; its numbers mean nothing
seed = None  # of training, attack and pictures; None: the profile's, 0
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: a folder of figures/ for this sort of run

# %%
from IPython.display import Markdown, display

from advunlearn_lib.paper import Item, Run

item = Item("tableA1", Run(profile, overrides, quick, seed, seeds, out))
display(Markdown(item.setting()))

# %% [markdown]
# ## The table
# Each cell is *reported | reproduced [95 % interval]*: Wilson's interval for ASR, a bootstrap over pictures
# for FID and CLIP score.

# %%
item.table()

# %% [markdown]
# ## What holds here
# A claim *holds* or *fails* where the difference is apart from 0, else it is *undecided*. Below: the best
# explanation found, of the committed results.

# %%
display(Markdown(item.verdicts()))
display(Markdown(item.explanations()))

# %%
item.report()
