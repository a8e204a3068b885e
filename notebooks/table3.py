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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks/table3.ipynb)

# %% [markdown]
# # Table 3: which module should be made robust, the UNet or the text encoder?
#
# **The question.** A concept can be erased from the UNet, which draws, or from the text encoder, which
# reads. Where does erasing withstand adversarial prompts?
#
# **What the paper claims.** Erasing a concept from the UNet (ESD) is undone by adversarial prompts. The
# text encoder is the better module to make robust: even plain ESD on it resists the attack, but ruins the
# pictures of everything else; AdvUnlearn, which trains against attacked prompts and regularises on a retain
# set, keeps both:
#
# $$\min_\theta\; \ell_{ESD}(\theta, c^*) + \gamma\, \mathbb{E}_{r}\, \|\epsilon_\theta(z_t, r) -
# \epsilon_{\theta_0}(z_t, r)\|_2^2 \quad \mathrm{with} \quad c^* = \arg\min_{d}\; \|\epsilon_\theta(z_t,
# c + d) - \epsilon_{\theta_0}(z_t, c)\|_2^2$$
#
# Here $c$ is the concept's prompt, $d$ adversarial tokens before it, $r$ a prompt of the retain set and
# $\theta_0$ the original model; $\theta$ are the weights of one module.
#
# **What is run.** Five models: the original, ESD and AdvUnlearn on the UNet, ESD and AdvUnlearn on the text
# encoder. Each is attacked with UnlearnDiffAtk on prompts that show the concept on the original model (so
# its ASR is 100 %), and draws pictures of held-out captions for FID.

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

item = Item("table3", Run(profile, overrides, quick, seed, seeds, out))
item.show()

# %% [markdown]
# ## Beyond the paper: does a falling loss mean robustness?
# The training loss of each model, as a share of its beginning (mean of a tenth of the training), beside the
# success of the attack afterwards. ESD's loss is that of erasing alone; AdvUnlearn's is of erasing against
# an attack that answers each step, and of retaining.

# %%
asr = 100 * item.outcomes().groupby("model", sort=False).after.mean()
left = {}
figure, axis = plt.subplots(figsize=(6.5, 3.4))
for (model, run), style in zip(item.training().groupby("model", sort=False), ("-", "--", "-.", ":")):
    loss = run.loss.rolling(len(run) // 10 + 1).mean().dropna()
    loss = 100 * loss / loss.iloc[0]
    left[model] = loss.iloc[-1]
    colour = plots.look(model.split(" · ")[0])["color"]
    label = f"{model}: ASR {asr[model]:.1f} %"
    axis.plot(100 * (1 + run.iteration[loss.index]) / len(run), loss, style, color=colour, label=label)
axis.set(xlabel="training done (%)", ylabel="loss (% of its beginning)", ylim=(0, None))
axis.legend(fontsize=8, frameon=False)
lowest, robust = min(left, key=left.get), asr[list(left)].idxmin()
finding = f"Least loss is left for {lowest} ({left[lowest]:.0f} %); the lowest ASR has {robust}"
item.save(plots.titled(figure, f"{finding}\n{item.name}, {item.stamp}"), "-training")

# %%
item.report()
