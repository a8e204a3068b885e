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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table1.ipynb)

# %% [markdown]
# # Table 1: does adversarial training, applied as it is, make erasing robust?
#
# **The question.** Is adversarial training, the usual way to make a classifier robust, all it takes?
#
# **What the paper claims.** ESD lowers the attack's success only a little. Training the same UNet against
# attacked prompts (AT-ESD) makes it more robust, and costs image quality.
#
# $$\min_\theta\; \max_{c'}\; \ell_{ESD}(\theta, c') \quad \mathrm{with} \quad \ell_{ESD} =
# \|\epsilon_\theta(z_t, c) - \left(\epsilon_{\theta_0}(z_t) - \eta\, (\epsilon_{\theta_0}(z_t, c) -
# \epsilon_{\theta_0}(z_t))\right)\|_2^2$$
#
# ESD's loss points the noise that $\theta$ predicts for the concept $c$ away from the concept; adversarial
# training takes the prompt $c'$ that brings most of it back.
#
# **What is run.** The original model, ESD, and AT-ESD: AdvUnlearn on the UNet with the retain weight at
# zero. Each is attacked with UnlearnDiffAtk and draws pictures of held-out captions.

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

from advunlearn_lib.report import Item, Run

item = Item("table1", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: the same prompts?
# Does AT-ESD withstand the prompts that ESD falls to, or others? Each prompt is counted by what became of
# it under attack on both models. Where adversarial training only adds, no prompt breaks AT-ESD alone.

# %%
after = item.outcomes().pivot(index=["prompt", "seed"], columns="model", values="after")
esd, at_esd = after["ESD"], after["AT-ESD"]
names = {True: "broken", False: "withstands"}
pd.crosstab(esd.map(names).rename("ESD"), at_esd.map(names).rename("AT-ESD"))

# %%
item.report()
