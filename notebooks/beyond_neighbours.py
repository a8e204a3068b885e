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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/beyond_neighbours.ipynb)

# %% [markdown]
# # Beyond the paper: what else was lost
#
# **The question.** Users of erased models complain that erasing one thing erases others. FID and CLIP score
# look at pictures of everything at once. Which other things does each method take away?
#
# **What is measured.** The emoji world's judges name every object and style. Each is asked for by its plain
# prompt, and
#
# $$\mathrm{kept} = \frac{1}{n} \sum_{i=1}^{n} \mathbf{1}\left[\arg\max J(x_\theta(c_i)) = y_i\right]$$
#
# where $y_i$ is what prompt $c_i$ asks for and $J$ the judge. An object is *near* if it shares a tag with
# what was erased ("blade", "building"), else *far*. Every model gets the same prompts and seeds as the
# untouched one.
#
# **What is run.** The models of Tables 5, 6 and 7, each as trained there; only pictures are drawn.

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
from advunlearn_lib.report import Run, neighbours

run = Run(profile, overrides, quick, seed, seeds, out)
lines = neighbours.drawn(run.study, neighbours.models(run))

# %% [markdown]
# ## What is kept
# With 95 % intervals, and the change from the untouched model in points; a star where it is apart from 0.

# %%
table = neighbours.summary(lines)
run.write("beyond_neighbours", table)
table

# %% [markdown]
# ## Which objects are gone

# %%
run.save("beyond_neighbours", neighbours.plot(lines, run.stamp))
