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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/figure8.ipynb)

# %% [markdown]
# # Figure 8: how many layers of the text encoder must be trained?
#
# **The question.** A text encoder has twelve layers. Must all of them be trained?
#
# **What the paper claims.** The more of the first layers are trained, the more robust the model, at some
# cost in text alignment.
#
# $$T_\theta = B_{12} \circ \ldots \circ B_{N+1} \circ \theta_N \circ \ldots \circ \theta_1$$
#
# Of the text encoder's twelve blocks the first $N$ are trained, the others stay as they were.
#
# **What is run.** AdvUnlearn on the first N of the twelve layers; N = 12 is the whole encoder.

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
import re
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch

from advunlearn_lib.report import Item, Run, plots

item = Item("figure8", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: where do the weights change?
# How much of each layer's weights training has changed: the norm of the change, in % of the norm of the
# weights. A layer that is free and does not change is not needed.


# %%
def layers(model):
    """All weights of each layer of the text encoder as one vector, by its number from 1."""
    parts = {}
    for name, weight in model.text_encoder.named_parameters():
        if found := re.search(r"layers\.(\d+)\.", name):
            parts.setdefault(int(found[1]) + 1, []).append(weight.detach().flatten())
    return {layer: torch.cat(weights) for layer, weights in parts.items()}


def changed(row):
    """By how many per cent of its length each layer moved."""
    before, after = layers(item.study.base()), layers(item.study.model(row))
    return {"changed": torch.stack([100 * (after[k] - w).norm() / w.norm() for k, w in before.items()])}


rows = {item.variant_labels()[row.variant]: row for row in item.rows() if row.method == "AdvUnlearn"}
changes = {}
for trained, row in rows.items():
    recipe = item.study.protocol.model(row).recipe
    kept = item.study.store.tensors("layers", recipe, partial(changed, row))["changed"]  # computed once
    changes[trained] = {layer: float(share) for layer, share in enumerate(kept, 1)}
table = pd.DataFrame(changes).T.rename_axis("layers trained").rename_axis("layer", axis=1)
figure, axis = plt.subplots(figsize=(6.4, 3.4))
sns.heatmap(table, cmap="Greys", annot=True, fmt=".1f", annot_kws={"size": 7}, ax=axis)
layer = table.iloc[-1].idxmax()
finding = f"With {table.index[-1]} layers free, layer {layer} changes most ({table.iloc[-1][layer]:.1f} %)"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-layers")

# %%
item.report()
