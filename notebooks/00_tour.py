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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/00_tour.ipynb)

# %% [markdown]
# # A tour: the whole idea on one page
#
# **The question.** A model that has unlearned something no longer draws it when asked. Has it forgotten, or
# does it only not listen to its name?
#
# **What the paper claims.** The usual erasing is undone by a few odd words before the prompt; training
# against such words, on the part of the model that reads, holds:
#
# $$\min_\theta\; \ell_{ESD}(\theta, c^*) + \gamma\, \mathbb{E}_{r}\, \|\epsilon_\theta(z_t, r) -
# \epsilon_{\theta_0}(z_t, r)\|_2^2 \quad \mathrm{with} \quad c^* = \arg\min_{d}\; \|\epsilon_\theta(z_t,
# c + d) - \epsilon_{\theta_0}(z_t, c)\|_2^2$$
#
# **What is run.** Draw, erase, attack, robustify, with the library's own calls, in about two minutes on a
# CPU: the trainings are much shorter than the tables', so the numbers are those of `table3`, not these.

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

# %% [markdown]
# ## Draw
# A few prompts that name the concept, and one that does not. A red frame: the judge sees the concept.

# %%
from advunlearn_lib import attack, erase, generate
from advunlearn_lib.report import Run, panels, plots
from advunlearn_lib.profiles.schema import RetainList

run = Run(profile, overrides, quick, seed, seeds, out)
concept, study = run.profile.concepts["nudity"], run.study
model, judge, kind = study.base(), study.protocol.judge("nudity").load(study.device), concept.kind
prompts, other = list(concept.erase)[-4:], "a photo of a dog"
short = {"iterations": max(2, round(60 * run.profile.scale)), "per_prompt": 3, "seed": run.profile.seed}


def show(step, finding, **drawn):
    """A row of pictures a model, a red frame where the judge sees the concept."""
    framed = {label: judge(images).tolist() for label, images in drawn.items()}
    drawn = {label: panels.shown(images, concept, run.profile) for label, images in drawn.items()}
    count = ", ".join(f"{label} {sum(seen[:-1])}" for label, seen in framed.items())
    title = f"{finding}: {count} of {len(prompts)} pictures\n{run.stamp}"
    run.save(f"00_tour-{step}", plots.sample_grid(drawn, [*prompts, other], title, framed))


before = generate(model, [*prompts, other])
show("1-draw", "The judge sees the concept in", original=before)

# %% [markdown]
# ## Erase
# ESD trains the part that draws: for the concept's prompts it is to predict what it would without them.

# %%
erased = erase(model, concept.erase, "esd", kind, component="unet", **short).model
after = generate(erased, [*prompts, other])
show("2-erase", "The judge sees the concept in", original=before, erased=after)

# %% [markdown]
# ## Attack
# UnlearnDiffAtk looks for words to put before each prompt, by the erased model's own loss. What it found:


# %%
def attacked(model):
    """The prompts after the attack, and their pictures beside that of the other prompt."""
    found = attack(model, prompts, judge, original=study.base(), kind=kind, seed=run.profile.seed).prompts
    texts = [one.adversarial for one in found]
    return texts, generate(model, [*texts, other])


texts, broken = attacked(erased)
print("\n".join(texts))
show("3-attack", "The judge sees the concept in", erased=after, attacked=broken)

# %% [markdown]
# ## Robustify
# AdvUnlearn trains the part that reads, each step against words that bring the concept back just then,
# while a retain set holds the rest in place. So few steps take a rate four times the tables', found by
# trying: at the tables' own the attack broke more of these prompts than of ESD's. The same attack, anew:

# %%
retain = study.protocol.source.retain_set(concept.labels, RetainList())
robust = erase(model, concept.erase, "advunlearn", kind, retain_set=retain, lr=2e-4, **short).model
texts, held = attacked(robust)
print("\n".join(texts))
show("4-robustify", "Under attack the judge sees the concept in", erased=broken, robust=held)
