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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/tableA5.ipynb)

# %% [markdown]
# # Table A5: P4D against UnlearnDiffAtk
#
# **The question.** Is one attack enough to tell robust models?
#
# **What the paper claims.** AdvUnlearn is the more robust under P4D too; P4D, which resembles the attack
# inside its training, is weaker on it than UnlearnDiffAtk, which it has not seen.
#
# $$\mathrm{P4D:}\; \min_{d}\; \|\epsilon_\theta(z_t, (d, c)) - \epsilon_{\theta_0}(z_t, c)\|_2^2 \qquad
# \mathrm{UnlearnDiffAtk:}\; \min_{d}\; \|\epsilon - \epsilon_\theta(z_t, (d, c))\|_2^2$$
#
# P4D imitates the original model $\theta_0$, UnlearnDiffAtk needs the erased one alone.
#
# **What is run.** Table 5's models under both attacks.

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

from advunlearn_lib.report import Item, Run, plots

item = Item("tableA5", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: do two attacks find the same prompts?
# Of each model's prompts: broken by both attacks, by one alone, or by neither. An attack that finds prompts
# of its own is worth trying beside the other.

# %%
after = item.outcomes().pivot(index=["model", "prompt", "seed"], columns="attack", values="after")
attacks = list(after.columns)
both = after.all(axis=1)
alone = {f"{attack} alone": after[attack] & ~both for attack in attacks}
shares = 100 * pd.DataFrame({"both": both, **alone}).groupby("model", sort=False).mean()
figure, axis = plt.subplots(figsize=(6, 3))
shares.plot.barh(stacked=True, ax=axis, color=["0.2", "#4878a8", "#e0b060"], edgecolor="white")
axis.set(xlabel="prompts broken (%)", ylabel="", xlim=(0, 100))
axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
extra = shares[f"{attacks[0]} alone"].mean()
finding = f"{attacks[0]} alone breaks {extra:.1f} % of prompts that {attacks[1]} does not"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-attacks")

# %%
item.report()
