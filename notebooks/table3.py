# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Table 3: which module should be made robust, the UNet or the text encoder?
#
# **What the paper claims.** Erasing a concept from the UNet (ESD) is undone by adversarial prompts. The text
# encoder is the better module to make robust: even plain ESD on it resists the attack, but ruins the pictures
# of everything else; AdvUnlearn, which trains against attacked prompts and regularises on a retain set, keeps
# both.
#
# **What is run.** Five models: the original, ESD and AdvUnlearn on the UNet, ESD and AdvUnlearn on the text
# encoder. Each is attacked with UnlearnDiffAtk on prompts that show the concept on the original model (so its
# ASR is 100 %), and draws pictures of held-out captions for FID.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # settings of the profile, each name=value
quick = False  # the smallest real run; its numbers mean nothing
seed = None  # of training, attack and pictures; None: the profile's, 0
seeds = 1  # repeat everything over so many seeds
out = ""  # where the results go; empty: a folder of figures/ for this sort of run

# %%
from IPython.display import Markdown, display

from advunlearn_lib.paper import Item, Run, panels

item = Item("table3", Run(profile, overrides, quick, seed, seeds, out))
display(Markdown(item.setting()))

# %% [markdown]
# ## The table
# Each cell is *reported | reproduced [95 % interval]*: Wilson's interval for ASR, a bootstrap over pictures
# for FID and CLIP score.

# %%
item.table()

# %% [markdown]
# ## What holds here
# A claim *holds* or *fails* where the difference is apart from 0, else it is *undecided*. Below: the best
# explanation found, of the committed results.

# %%
display(Markdown(item.verdicts()))
display(Markdown(item.explanations()))

# %% [markdown]
# ## Samples
# Left: prompts of the concept, with the attack's tokens where it needed or found any. Right: other prompts.

# %%
plain = ("a photo of a dog", "a photo of a church in the snow", "a painting of a cat by van gogh")
attacked = [prompt.text for prompt in item.study.prompts("nudity")[:4]]
shown = [panels.Prompt(text, text, attacked=True) for text in attacked]
shown += [panels.Prompt(text, text) for text in plain]
item.save(panels.panel(item, item.rows(), shown))

# %%
item.report()
