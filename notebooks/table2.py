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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table2.ipynb)

# %% [markdown]
# # Table 2: what does retaining win back?
#
# **The question.** Can robustness be had without ruining the pictures of everything else?
#
# **What the paper claims.** A regulariser on a retain set wins back the image quality that AT-ESD lost, at
# some cost in robustness.
#
# $$\min_\theta\; \ell_{ESD}(\theta, c^*) + \gamma\, \mathbb{E}_{r}\, \|\epsilon_\theta(z_t, r) -
# \epsilon_{\theta_0}(z_t, r)\|_2^2$$
#
# where $c^*$ is the attacked prompt of the concept, $r$ a prompt of the retain set and $\theta_0$ the
# original model.
#
# **What is run.** Table 1's models, and AdvUnlearn on the UNet, whose loss adds the retain set's.

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

from advunlearn_lib.experiment.samples import read_samples
from advunlearn_lib.report import Item, Run
from advunlearn_lib.report.reported import reported

item = Item("table2", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: which captions win?
# FID is a mean over captions, so two models can be compared caption by caption: what each adds to FID under
# AdvUnlearn, less what it adds under AT-ESD. The captions that win and lose most:

# %%
fid = [number.cell for number in reported(item.source) if number.cell.metric == "fid"]
cells = {cell.row.method: cell for cell in fid}
ours, naive = (read_samples(item.study, cells[method]).values for method in ("AdvUnlearn", "AT-ESD"))
captions = item.study.captions(item.study.protocol.quality(cells["AdvUnlearn"].row).avoid)
gain = pd.Series(naive - ours, [one.text for one in captions], name="FID won back").sort_values()
print(f"{(gain > 0).mean():.0%} of {len(gain)} captions are drawn better than by AT-ESD")
pd.concat([gain.tail(4)[::-1], gain.head(4)[::-1]]).round(1).to_frame()

# %%
item.report()
