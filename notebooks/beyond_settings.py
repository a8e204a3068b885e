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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/beyond_settings.ipynb)

# %% [markdown]
# # Beyond the paper: would another setting have changed the verdict?
#
# **The question.** Some of the paper's claims fail here. A method's rate and work were chosen once, on a
# *validation* concept, from a grid of four settings. Does a claim fail by that choice, or by the method?
#
# **What is measured.** Claims of Tables 5, 7 and A2 that failed, and what else they say of the same models,
# at all four settings of the method: FMN and SalUn on the category, AdvUnlearn on three objects. A setting is
# a multiple of the table's own rate and work (iterations). The other side of a claim stays as it is in its
# table; a verdict is the paired test of the claims:
#
# $$\mathrm{left} - \mathrm{right} \neq 0 \quad \text{on the same prompts (McNemar) or captions (bootstrap)}$$
#
# **What it may be used for.** It was made after the tables had been seen. It finds causes; no table's setting
# follows from it.

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
from advunlearn_lib.report import Run, other_settings

run = Run(profile, overrides, quick, seed, seeds, out)
run.stamp

# %% [markdown]
# ## Every setting
# With 95 % intervals, and what the claims come to: ✓ holds, ✗ fails, ? undecided.

# %%
table = other_settings.summary(run)
run.write("beyond_settings", table)
table

# %% [markdown]
# ## Where each setting stands
# Down and left is better: fewer prompts broken, pictures nearer to real ones.

# %%
run.save("beyond_settings", other_settings.plot(run))
