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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/tableA4.ipynb)

# %% [markdown]
# # Table A4: where does the attack put its token in training?
#
# **The question.** A token can stand before the concept, replace it, or be added to it. Does it matter?
#
# **What the paper claims.** Training against prefixed tokens is more robust than against replaced or added
# ones.
#
# $$d \leftarrow d - \alpha\, \nabla_d\, \|\epsilon_\theta(z_t, c + d) - \epsilon_{\theta_0}(z_t, c)\|_2^2
# \quad \mathrm{or} \quad d \leftarrow d - \alpha\, \mathrm{sign}(\nabla_d \ldots)$$
#
# is one step of the inner attack on the token $d$ before the concept $c$: $K$ of them, or one of the sign.
#
# **What is run.** AdvUnlearn with the three layouts of the inner attack.

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

from advunlearn_lib.report import Item, Run, plots

item = Item("tableA4", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: how hard is each to learn?
# The training loss with each layout (mean of a tenth of the training): an attack that is free to do more
# leaves more to unlearn.

# %%
figure, axis = plt.subplots(figsize=(5.6, 3))
last = {}
for (model, run), style in zip(item.training().groupby("model", sort=False), ("-", "--", "-.", ":")):
    loss = run.loss.rolling(len(run) // 10 + 1).mean().dropna()
    last[model] = loss.iloc[-1]
    axis.plot(run.iteration[loss.index], loss, style, color="0.2", label=model)
axis.set(xlabel="iteration", ylabel="loss", ylim=(0, None))
axis.legend(fontsize=8, frameon=False)
finding = f"Most loss is left with {max(last, key=last.get)}, least with {min(last, key=last.get)}"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-training")

# %%
item.report()
