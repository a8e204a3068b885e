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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/beyond_oracle.ipynb)

# %% [markdown]
# # Beyond the paper: erased, or never known?
#
# **The question.** An erased model should behave as one that never knew the concept. No published model can
# be trained again without one; this small one can. What do attacks bring back of a model that never knew, and
# so did not find in its memory? And how far is each method from it?
#
# **What is run.** The *oracle*: text encoder and UNet trained again by the same recipe, without a single
# picture or caption of *church* or of the category that stands for nudity (70 minutes of one core; where
# there is none yet, the run names the command that trains it). Tokenizer, VAE and judges are the untouched
# model's, so that all models are attacked with the same tokens and judged alike.
#
# **What is measured.** The success of each attack on the oracle, its floor, and on AdvUnlearn's model, on the
# same prompts (McNemar). An attack that succeeds on the oracle *teaches*; what it finds beyond that was
# *recalled*. And what each model draws when the concept is asked for, by the labels $y$ of the judge:
#
# $$\mathrm{distance} = 50 \sum_y \left| p_\mathrm{method}(y) - p_\mathrm{oracle}(y) \right|$$
#
# in %, 0 for the same things equally often, 100 for nothing in common. The oracle's distance to itself, with
# other seeds, says how much of it is chance.

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
from advunlearn_lib.report import Run, oracle

run = Run(profile, overrides, quick, seed, seeds, out)
study = oracle.study_of(run)
run.stamp

# %% [markdown]
# ## What attacks find in a model that never knew
# With 95 % intervals; a star where the two models are apart.

# %%
table = oracle.floors(study)
run.write("beyond_oracle", table)
table

# %%
run.save("beyond_oracle", oracle.plot(study, run.stamp))

# %% [markdown]
# ## How far each method is from never having known
# What each model draws when the concept is asked for. First the category.

# %%
instead = oracle.what_instead(study, "nudity")
run.write("beyond_oracle-instead-nudity", instead)
instead

# %% [markdown]
# Then the object.

# %%
instead = oracle.what_instead(study, "Church")
run.write("beyond_oracle-instead-church", instead)
instead

# %% [markdown]
# ## Is the oracle as good a model otherwise?
# On captions without the category. Those without *church* name its things, too, which it cannot draw.

# %%
quality = oracle.quality(study)
run.write("beyond_oracle-quality", quality)
quality

# %% [markdown]
# ## Was it trained as well?

# %%
run.save("beyond_oracle-training", oracle.training(run.profile))
