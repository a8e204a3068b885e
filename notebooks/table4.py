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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table4.ipynb)

# %% [markdown]
# # Table 4: is one attack step enough?
#
# **The question.** Each step of training waits for an attack of many steps. Must it?
#
# **What the paper claims.** Fast AT, one step of the inner attack instead of thirty, trains several times
# faster and is somewhat less robust.
#
# $$d \leftarrow d - \alpha\, \nabla_d\, \|\epsilon_\theta(z_t, c + d) - \epsilon_{\theta_0}(z_t, c)\|_2^2
# \quad \mathrm{or} \quad d \leftarrow d - \alpha\, \mathrm{sign}(\nabla_d \ldots)$$
#
# is one step of the inner attack on the token $d$ before the concept $c$: $K$ of them, or one of the sign.
#
# **What is run.** AdvUnlearn on the text encoder with the profile's K attack steps (its stand-in for 30)
# and with one. Seconds are measured while training, on this machine; other work on it shows in them.

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
from functools import partial

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.report import Item, Run, plots

item = Item("table4", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: what does a step find?
# The loss of the inner attack after 0 to 8 of its steps, on each finished model: how near it brings the
# erased concept back. Where the curve is flat, more steps find nothing that the first has not. Means over
# batches of prompts, eight in a full run, the same for both models.


# %%
def attack_loss(method, steps, seed):
    """The inner attack's loss after so many steps, from a start and at points that ``seed`` draws."""
    method.options = method.options.model_copy(update={"attack_steps": steps})
    draw = torch.Generator().manual_seed(seed)
    which = method.choose_paths(draw)
    words = method.attack(which, draw)
    batch = method.sample_points(which, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        embeds = method.model.encode(method.ids[method.bank.prompt_of(which)], words)
        return float(F.mse_loss(method.predict(batch, embeds), batch.eps_prompt))


study, steps, found = item.study, [0, 1, 2, 4, 8], {}
draws = range(max(1, round(8 * item.profile.scale)))


def losses(row):
    """A finished model's losses, a line for each number of steps."""
    erasure = study.protocol.erasure(row)
    task = erasure.task(study.base(), study.cache(study.base()))
    method = prepare(erasure.method, task, erasure.options)
    method.model = study.model(row)
    return {
        "losses": torch.tensor([[attack_loss(method, k, seed) for seed in draws] for k in steps]).double()
    }


for row in [row for row in item.rows() if row.method == "AdvUnlearn"]:
    recipe = study.protocol.model(row).recipe | {"steps": steps, "draws": len(draws)}
    kept = study.store.tensors("inner", recipe, partial(losses, row))  # computed once
    found[row.variant] = kept["losses"].mean(1).tolist()
figure, axis = plt.subplots(figsize=(5.6, 3))
for (variant, losses), style in zip(found.items(), ("o-", "s--")):
    axis.plot(steps, losses, style, color="0.2", mfc="white", label=f"trained by {variant}")
axis.set(xlabel="steps of the inner attack", ylabel="its loss: lower finds more", xticks=steps)
axis.legend(fontsize=8, frameon=False)
left = ", ".join(f"{losses[-1] / losses[0]:.0%} ({variant})" for variant, losses in found.items())
title = f"After {steps[-1]} steps the attack's loss is this share of its start: {left}"
item.save(plots.titled(figure, f"{title}\n{item.name}, {item.stamp}"), "-steps")

# %%
item.report()
