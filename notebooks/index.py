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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/index.ipynb)

# %% [markdown]
# # All notebooks, and what there is of them
#
# *computed*: by a run here, `figures/pocket/`; *published*: committed, `figures/published/pocket/`. Both lead
# to the executed page, or to a picture where a notebook was run in JupyterLab. A notebook that is *not yet*
# computed is computed by *Run > Run All Cells*, or by `./reproduce.sh NAME`; what another item has computed
# is not computed again. The success of the attack (ASR) is that on AdvUnlearn's models, from the least to the
# most of the table.

# %% tags=["parameters"]
profile = "pocket"  # whose results: pocket or paper

# %% jupyter={"source_hidden": true} tags=["colab"]
import os
import runpy
import sys

if "google.colab" in sys.modules:  # elsewhere nothing is done here
    os.system("test -d advunlearn || git clone -q --depth 1 https://github.com/OWNER/REPOSITORY advunlearn")
    profile = runpy.run_path("advunlearn/advunlearn_lib/report/colab.py")["prepare"](profile)

# %%
from IPython.display import Markdown

from advunlearn_lib.report.index import index

Markdown(index(profile))
