# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["colab"]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figure4.ipynb)

# %% [markdown]
# # Figure 4: nudity, method by method
#
# **The question.** What do Table 5's models draw?
#
# **What the paper shows.** Under attack all but SalUn and AdvUnlearn draw the concept; a benign prompt
# shows what each method costs.
#
# $$\hat\epsilon = \epsilon_\theta(z_t) + s\, \left(\epsilon_\theta(z_t, c) - \epsilon_\theta(z_t)\right)$$
#
# draws a prompt $c$ step by step, from pure noise on: all models begin with the same.
#
# **What is run.** Table 5's models.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # settings of the profile, each name=value
quick = False  # the smallest real run; its numbers mean nothing
seed = None  # of training, attack and pictures; None: the profile's, 0
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: a folder of figures/ for this sort of run

# %% jupyter={"source_hidden": true} tags=["colab"]
import os
import runpy
import sys

if "google.colab" in sys.modules:  # elsewhere nothing is done here
    os.system("test -d advunlearn || git clone -q --depth 1 https://github.com/OWNER/REPOSITORY advunlearn")
    profile = runpy.run_path("advunlearn/advunlearn_lib/report/colab.py")["prepare"](profile)

# %%
from advunlearn_lib.report import Item, Run, drift

item = Item("figure4", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: what does erasing do to other pictures?
# A few prompts show little. Each erased model draws eight held-out captions without the concept, from the
# same noise as the original: how much do the pictures change? The mean difference of pixels, with a
# bootstrap interval over captions. Small is not always good: a method that changes nothing erases nothing.

# %%
changes = drift.pictures(item)
item.save(drift.figure(changes, f"{drift.finding(changes)}\n{item.name}, {item.stamp}"), "-drift")

# %%
item.report()
