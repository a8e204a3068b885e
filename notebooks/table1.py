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
# # Table 1: does adversarial training, applied as it is, make erasing robust?
#
# **What the paper claims.** ESD lowers the attack's success only a little. Training the same UNet against
# attacked prompts (AT-ESD) makes it more robust, and costs image quality.
#
# **What is run.** The original model, ESD, and AT-ESD: AdvUnlearn on the UNet with the retain weight at zero.
# Each is attacked with UnlearnDiffAtk and draws pictures of held-out captions.

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

item = Item("table1", Run(profile, overrides, quick, seed, seeds, out))
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
