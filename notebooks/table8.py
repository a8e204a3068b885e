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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table8.ipynb)

# %% [markdown]
# # Table 8: does the erased text encoder plug into other models?
#
# **The question.** Must every model be erased anew?
#
# **What the paper claims.** AdvUnlearn's text encoder, trained with SD v1.4, lowers the attack's success in
# SD v1.5, DreamShaper and Protogen as well, if less in the latter two.
#
# $$x = D(\epsilon_{\phi}(z_t, T_{\theta}(c))) \quad \mathrm{with\; another\; UNet}\; \phi,\; \mathrm{the\;
# erased\; encoder}\; T_\theta$$
#
# An erased text encoder can stand before any UNet that was trained with the original one.
#
# **What is run.** In the pocket profile the other models are UNets trained further from v1.4: on more of
# the same data (v1.5), and on one artist's pictures under a look of their own (DreamShaper, Protogen).
# *Original* is each model as it is, *Transfer* the same with the erased text encoder.

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
import seaborn as sns

from advunlearn_lib.report import Item, Run, plots

item = Item("table8", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: do the same prompts break?
# The correlation (phi) over prompts of being broken, for each two models. Where it is high, what breaks is
# the encoder, which they share; where it is low, the UNets differ in what they draw of it.

# %%
after = item.outcomes().pivot(index=["prompt", "seed"], columns="model", values="after")
after = after.loc[:, after.nunique() > 1].astype(float)  # all or none say nothing
agree = after.corr()
figure, axis = plt.subplots(figsize=(6, 4.6))
sns.heatmap(agree, vmin=-1, vmax=1, cmap="PuOr", annot=True, fmt=".2f", annot_kws={"size": 7}, ax=axis)
axis.set(xlabel="", ylabel="")
pairs = agree.where(np.triu(np.ones(agree.shape, bool), 1)).stack()
finding = f"Two models agree on which prompts break by phi = {pairs.median():.2f} (median of {len(pairs)})"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-agreement")

# %%
item.report()
