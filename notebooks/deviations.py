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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/deviations.ipynb)

# %% [markdown]
# # Deviations: what the official codes do otherwise, and what it costs
#
# **The question.** The official codes differ from the papers: a concept's second token is lost, the last step
# of the inner attack is dropped, gradients pile up, noise levels do not fit timesteps. How much of the
# published robustness rests on that? `docs/deviations.md` lists all differences and their switches.
#
# **What is run.** The category of Table 5, one change at a time, against the method's usual row. The last
# change of AdvUnlearn is no deviation but a choice of whoever deploys an erased encoder: which encoder the
# empty prompt of guidance goes through.

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
from advunlearn_lib.report import Run, deviations

run = Run(profile, overrides, quick, seed, seeds, out)
run.stamp

# %% [markdown]
# ## Effects
# Success without and with attack, FID and CLIP score, with 95 % intervals (over several seeds: of the mean).

# %%
table = deviations.effects(run)
table

# %%
run.write("deviations", table)

# %% [markdown]
# ## Against the usual row
# The same prompts and captions are before both models, so each change is compared pair by pair. Of so many
# comparisons one in twenty is apart from 0 by chance alone, and another seed of training moves a row as well:
# a single filled dot near 0 is no finding.

# %%
changes = deviations.differences(run)
run.write("deviations-differences", changes)
run.save("deviations-differences", deviations.plot_differences(changes, run.profile.fid_features))

# %% [markdown]
# ## EraseDiff's multiplier
# Forgetting is weighed by $\lambda = \max(0, \eta q - \nabla l_r \cdot \nabla q) / |\nabla q|^2$, where the
# barrier $q$ is what K inner steps would still gain. Where $\lambda$ is 0 the model only remembers.

# %%
multipliers = deviations.erasediff_multipliers(run)
share = (multipliers["lambda"] > 0).groupby(multipliers.seed).mean()
print("share of iterations with lambda > 0, by seed:", share.round(2).to_dict())
run.save("deviations-lambda", deviations.plot_multipliers(multipliers))
