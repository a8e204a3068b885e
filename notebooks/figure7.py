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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figure7.ipynb)

# %% [markdown]
# # Figure 7: the erased text encoder in other models
#
# **The question.** What do Table 8's models draw?
#
# **What the paper shows.** The text encoder erased with SD v1.4 works in SD v1.5, DreamShaper and Protogen.
#
# $$x = D(\epsilon_{\phi}(z_t, T_{\theta}(c))) \quad \mathrm{with\; another\; UNet}\; \phi,\; \mathrm{the\;
# erased\; encoder}\; T_\theta$$
#
# Only the text encoder is exchanged.
#
# **What is run.** Table 8's models, original and with the erased text encoder.

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
from advunlearn_lib.report import Item, Run, cost

item = Item("figure7", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: does the attack get harder?
# The share of prompts not yet broken after each round of the attack, for each model as it is and with the
# erased encoder. Round 0 is the plain prompt.

# %%
outcomes = item.outcomes()
lives = cost.lives(outcomes)
ends = 100 * (1 - outcomes[outcomes.model.isin(lives)].groupby("model").after.mean())
most, fewest = (f"{model} ({ends[model]:.0f} %)" for model in (ends.idxmax(), ends.idxmin()))
finding = f"Most prompts withstand {most}, fewest {fewest}"
item.save(cost.curves(lives, outcomes.rounds.max(), f"{finding}\n{item.name}, {item.stamp}"), "-cost")

# %%
item.report()
