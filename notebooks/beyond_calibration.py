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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/beyond_calibration.ipynb)

# %% [markdown]
# # Beyond the paper: may the small world be trusted?
#
# **The question.** The pocket world is a thousand times smaller than Stable Diffusion. When it says that one
# method is better than another, is that what the paper found?
#
# **What is measured.** Decision accuracy (DataDecide, ICML 2025): of all pairs of models in one column of a
# table, the share that is ranked here as in the paper,
#
# $$\mathrm{accuracy} = \frac{1}{|P|} \sum_{(i, j) \in P} \mathbf{1}\left[\mathrm{sign}(y_i - y_j) =
# \mathrm{sign}(x_i - x_j)\right]$$
#
# with the paper's numbers $x$ and ours $y$; 50 % is a coin. The interval is a bootstrap over models, as
# pairs share them.
#
# **What is run.** Nothing: all tables that are computed whole are read.

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
from advunlearn_lib.report import Run, calibration

run = Run(profile, overrides, quick, seed, seeds, out)
found = calibration.pairs(calibration.results_at_hand(run), run.profile)
print("tables:", ", ".join(dict.fromkeys(found.table)))

# %% [markdown]
# ## All pairs

# %%
calibration.accuracy(found, ["metric"]).round(0)

# %% [markdown]
# ## By kind of concept
# The grey number behind an interval counts the pairs.

# %%
by_kind = calibration.accuracy(found, ["metric", "kind"])
run.save("beyond_calibration", calibration.plot(by_kind, "kind", run.stamp))
by_kind.round(0)

# %% [markdown]
# ## Methods against variants of one
# Methods were each set on concepts that are in no table, by a rule; variants (layers, K, gamma, layout) turn
# one knob around a setting, and nobody chose them. A small world may know which way a knob turns, and not
# which method wins.

# %%
by_choice = calibration.accuracy(found, ["metric", "tuned"])
by_choice.round(0)

# %% [markdown]
# ## A prediction, made before the numbers were there
# When this page was written, Tables 1 to 5 and 7 and Figure 8 were computed and no other. The prediction:
# in the tables computed later, each metric's accuracy lies in the interval that those had.

# %%
found["when"] = found.table.isin(calibration.AT_HAND).map({True: "at hand", False: "later"})
by_time = calibration.accuracy(found, ["metric", "when"])
run.write("beyond_calibration", by_time)
by_time.round(0)

# %% [markdown]
# ## The pairs

# %%
run.write("beyond_calibration-pairs", found)
wrong = found[found["right order"] < 1].sort_values("paper", key=abs, ascending=False)
wrong.head(20).round(2)
