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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figure2.ipynb)

# %% [markdown]
# # Figure 2: robustness against image quality
#
# **The question.** Is there a method that is robust and still draws well?
#
# **What the paper claims.** Most methods keep image quality and fall to the attack, or resist it and ruin
# quality; AdvUnlearn has both. A method $m$ is on the front of what can be had together where no other is
# at least as good in both:
#
# $$m \in F \quad \mathrm{where} \quad \forall m' \neq m:\; \mathrm{ASR}_{m'} > \mathrm{ASR}_m
# \;\;\mathrm{or}\;\; \mathrm{FID}_{m'} > \mathrm{FID}_m$$
#
# **What is run.** Table 5's models, as points: down and left is better.

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
import numpy as np
import pandas as pd

from advunlearn_lib.experiment.samples import read_samples
from advunlearn_lib.report import Item, Run, plots

item = Item("figure2", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: who is on the front?
# A thousand times the prompts and the captions are drawn anew, the same for all methods. In how many of
# these samples is a method on the front of FID and ASR? The untouched model always is: it is left out.

# %%
erased = [result for result in item.results if result.method != "SD v1.4" and result.metric != "clip"]
samples = {(one.method, one.metric): read_samples(item.study, one.cell).values for one in erased}
methods = list(dict.fromkeys(one.method for one in erased))
rng = np.random.default_rng(item.profile.seed)
means = {}  # metric -> [1000, methods]
for metric in ("asr", "fid"):
    values = np.stack([samples[method, metric] for method in methods], 1)
    draws = [rng.integers(len(values), size=len(values)) for _ in range(1000)]
    means[metric] = np.stack([values[draw].mean(0) for draw in draws])
asr, fid = (means[metric][:, :, None] for metric in ("asr", "fid"))
better = (asr >= asr.mT) & (fid >= fid.mT) & ((asr > asr.mT) | (fid > fid.mT))  # [1000, method, by another]
front = 100 * pd.Series(1 - better.any(2).mean(0), methods).sort_values()
figure, axis = plt.subplots(figsize=(5.6, 2.6))
axis.barh(front.index, front, color=[plots.look(method)["color"] for method in front.index])
axis.set(xlabel="samples in which the method is on the front (%)", xlim=(0, 100))
finding = f"On the front in more than half of the samples: {', '.join(front[front > 50].index[::-1])}"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-front")

# %%
item.report()
