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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figure1.ipynb)

# %% [markdown]
# # Figure 1: an erased concept comes back
#
# **The question.** Is a concept gone when its prompt no longer shows it?
#
# **What the paper shows.** ESD removes nudity from a plain prompt's picture; UnlearnDiffAtk brings it back.
#
# $$\hat\epsilon = \epsilon_\theta(z_t) + s\, \left(\epsilon_\theta(z_t, c) - \epsilon_\theta(z_t)\right)$$
#
# draws a prompt $c$ step by step, from pure noise on: all models begin with the same.
#
# **What is run.** The original model and ESD, on a prompt as it is and attacked.

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
from advunlearn_lib.report import Item, Run

item = Item("figure1", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: what brought it back?
# The words that the attack put before the prompts that ESD had erased, those first that it found for the
# most prompts; and how many rounds it took.

# %%
found = item.outcomes().query("model == 'ESD' and after and step > 0")
words = [sorted(set(a.split()) - set(p.split())) for a, p in zip(found.adversarial, found.prompt)]
found = found.assign(word=words).explode("word").dropna(subset="word")
table = found.groupby("word").agg(prompts=("prompt", "nunique"), rounds=("step", "mean"))
table.sort_values("prompts", ascending=False).head(8).round(1)

# %%
item.report()
