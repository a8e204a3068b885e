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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table9.ipynb)

# %% [markdown]
# # Table 9: AdvUnlearn under other attacks
#
# **The question.** Training saw one attack. Does it hold against others?
#
# **What the paper claims.** CCE, which learns a continuous token, is the strongest attack on AdvUnlearn;
# PEZ and PH2P, which search whole prompts for a picture, are weaker than UnlearnDiffAtk.
#
# $$\mathrm{UnlearnDiffAtk:}\; \min_{d \in V^k} \ell(d, c) \qquad \mathrm{CCE:}\; \min_{v \in R^n} \ell(v)
# \qquad \mathrm{PEZ, PH2P:}\; \min_{d \in V^k} \ell(d)$$
#
# Tokens $d$ of the vocabulary $V$ before the concept's prompt $c$; a free embedding $v$ for one new word; a
# whole prompt $d$ of its own.
#
# **What is run.** AdvUnlearn's text encoders for all six concepts under four attacks.

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
from advunlearn_lib.report import Item, Run

item = Item("table9", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: what did they find?
# The words that the attacks put into the prompts they broke, the most frequent of each concept first. The
# concept's own words among them would mean that its name was unlearned, and no more; CCE's word has no
# spelling.

# %%
found = item.outcomes().query("after and step > 0")
words = [sorted(set(a.split()) - set(p.split())) for a, p in zip(found.adversarial, found.prompt)]
found = found.assign(word=words).explode("word").dropna(subset="word")
counts = found.groupby(["attack", "concept"]).word.value_counts()
most = counts.groupby(["attack", "concept"]).head(5).reset_index()
most["found"] = most.word + " " + most["count"].astype(str)
most.pivot_table(index="concept", columns="attack", values="found", aggfunc=", ".join).fillna("–")

# %%
item.report()
