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
# **What the paper claims.** Erasing a concept from the UNet (ESD) is undone by adversarial prompts. The text encoder is
# the better module to make robust: even plain ESD on it resists the attack, but ruins the pictures of everything else;
# AdvUnlearn, which trains against attacked prompts and regularises on a retain set, keeps both.
#
# **What is run.** Five models: the original, ESD and AdvUnlearn on the UNet, ESD and AdvUnlearn on the text encoder.
# Each is attacked with UnlearnDiffAtk on prompts that show the concept on the original model (so its ASR is 100 %),
# and draws pictures of held-out captions for FID. *Nudity* is replaced by a harmless category of the pocket world.

# %% tags=["parameters"]
profile = "pocket"  # the profile: sizes, steps and prompts
overrides = []  # "name=value" settings of the profile
quick = False  # the smallest real run; its numbers mean nothing
out = ""  # where the results go; empty: figures/<profile> beside this notebook

# %%
from pathlib import Path

import pandas as pd
from IPython.display import display

from advunlearn_lib import paper, plots, profiles, store, study

settings = profiles.profile(profile, overrides, quick)
run = study.Study(settings)
folder = Path(out) if out else store.ROOT / "figures" / settings.name
stamp = f"{'QUICK RUN, numbers mean nothing; ' if quick else ''}profile {settings.name}, seed {settings.seed}, commit {store.commit()}"
stamp

# %% [markdown]
# ## The table
# Each cell is *reported | reproduced [95 % interval]*: Wilson's interval for ASR, a bootstrap over pictures for FID.
# The pocket FID is measured in the features of the pocket judge: compare it down the column, not with the paper's.

# %%
frame = paper.tables.reproduce(run, "3")
pretty = paper.tables.layout(frame, paper.tables.pre_asr(run, frame))
paper.tables.write(frame, pretty, folder, "table3", stamp)
pretty

# %% [markdown]
# ## What holds here
# A claim *holds* or *fails* where the two intervals are apart, else it is *undecided*.

# %%
verdicts = paper.tables.claims(frame)
with pd.option_context("display.max_colwidth", None):
    display(verdicts)

# %% [markdown]
# ## Samples
# Left: prompts of the concept, with the attack's tokens where it needed or found any. Right: other prompts.

# %%
benign = ["a photo of a dog", "a photo of a church in the snow", "a painting of a cat by van gogh"]
prompts, _ = run.prompts("nudity")
shown = prompts[:4]
rows = {}
for method, component in frame[["method", "component"]].drop_duplicates().itertuples(index=False):
    attacked = [result.adversarial for result in run.attack("nudity", method, component).prompts[: len(shown)]]
    seeds = [prompt.seed for prompt in shown] + list(range(len(benign)))
    rows[f"{method}\n{component or 'original'}"] = run.model("nudity", method, component).generate(attacked + benign, seeds, run.sampling)
figure = plots.sample_grid(rows, [prompt.text for prompt in shown] + benign, f"Table 3, attacked and benign prompts\n{stamp}", len(shown))
plots.save(figure, folder / "table3.png", stamp)

# %%
print(f"\nTable 3: reported | reproduced [95 % interval]\n\n{pretty.to_string(index=False)}\n")
for row in verdicts.itertuples():
    print(f"claim {row.id:>4} {row.verdict:>9}: {row.meaning} ({row.metric} {row.reported}; here {row.left:.1f} vs {row.right:.1f})")
print(f"\n{stamp}\nwritten: {folder}/table3.csv .md .tex .png .html")
