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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figureA3.ipynb)

# %% [markdown]
# # Figure A3: the retain weight
#
# **The question.** How much should be kept, at what cost in robustness?
#
# **What the paper claims.** A larger weight of the retain loss costs robustness and buys text alignment.
#
# $$\min_\theta\; \ell_{ESD}(\theta, c^*) + \gamma\, \mathbb{E}_{r}\, \|\epsilon_\theta(z_t, r) -
# \epsilon_{\theta_0}(z_t, r)\|_2^2$$
#
# where $c^*$ is the attacked prompt of the concept, $r$ a prompt of the retain set and $\theta_0$ the
# original model.
#
# **What is run.** AdvUnlearn with gamma from 0.1 to 0.7.

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
import matplotlib.pyplot as plt
import pandas as pd

from advunlearn_lib.report import Item, Run, drift, plots

item = Item("figureA3", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: which retain prompts moved most?
# How far each encoder has moved the prompts of its retain set, as it reads them: 1 - cosine of all tokens'
# states before and after. Below the eight prompts that moved most: what is near to the concept costs most
# to keep.

# %%
rows = [row for row in item.rows() if row.method == "AdvUnlearn"]
retain = item.study.protocol.erasure(rows[0]).retain_set
labels = item.variant_labels()
moved = pd.DataFrame({labels[row.variant]: drift.readings(item.study, row, retain) for row in rows})
figure, axis = plt.subplots(figsize=(5.6, 3))
moved.plot.box(ax=axis, color="0.2", showfliers=False)
axis.set(xlabel="retain weight gamma", ylabel="retain prompts moved (1 - cosine)")
least, most = moved.median().idxmin(), moved.median().idxmax()
finding = f"The retain prompts move least with gamma = {least}, most with {most}"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-moved")
top = moved.loc[moved.mean(axis=1).nlargest(8).index]
top.round(3)

# %%
item.report()
