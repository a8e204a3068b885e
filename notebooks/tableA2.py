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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/tableA2.ipynb)

# %% [markdown]
# # Table A2: three more objects
#
# **The question.** Is *church* a lucky choice, or do other objects go the same way?
#
# **What the paper claims.** For *garbage truck*, *parachute* and *tench* AdvUnlearn is more robust than
# FMN, SPM, SalUn, ED and ESD, with image quality far above SH's.
#
# $$\mathrm{ASR} = \frac{1}{n} \sum_{i=1}^{n} \mathbf{1}\left[J(x_\theta(d_i, c_i))\right] \quad
# \mathrm{with} \quad d_i = \arg\min_{d}\; \mathbb{E}_{t, \epsilon}\, \|\epsilon - \epsilon_\theta(z_t, (d,
# c_i))\|_2^2$$
#
# **What is run.** Every method on the three objects, with the settings chosen once for objects.

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
import pandas as pd

from advunlearn_lib.report import Item, Run, cost

item = Item("tableA2", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: what an attack costs
# How many rounds of the attack does a prompt withstand? A round ends with a judged picture; round 0 is the
# plain prompt. What is unbroken at the end is censored: more rounds might have broken it. The curves are
# Kaplan-Meier estimates,
#
# $$\hat S(t) = \prod_{t_i \leq t} \left(1 - \frac{d_i}{n_i}\right)$$
#
# where $d_i$ of the $n_i$ prompts unbroken until then break in round $t_i$. The three concepts are taken
# apart: the curves are of the first, the table of all. The log-rank test compares each method with
# AdvUnlearn over all rounds.

# %%
outcomes = item.outcomes().assign(model=lambda all: all.model.str.split(" · ").str[-1])
parts = {concept: cost.lives(one) for concept, one in outcomes.groupby("concept", sort=False)}
compared = pd.concat({concept: cost.compared(lives) for concept, lives in parts.items()})
first = next(iter(parts))
title = f"{first}: {cost.finding(compared.loc[first])}\n{item.name}, {item.stamp}"
item.save(cost.curves(parts[first], outcomes.rounds.max(), title), "-cost")
compared.round(4).droplevel(1)

# %%
item.report()
