"""The variants of the paper's tables and figures, each as the options it changes; of both profiles."""

from __future__ import annotations

from advunlearn_lib.profiles.schema import RetainList, Variant

# Figure 8: the first N layers of the text encoder are trained; N = 12 is the whole
LAYERS = (1, 2, 3, 4, 5, 9)  # fmt: skip
GAMMAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # Figure A3: the retain weight
USUAL = ("AT (30 steps)", "Prefix", "COCO object, LLM filter", "Original", "Transfer")

VARIANTS: dict[str, Variant] = {
    **{name: Variant() for name in USUAL},
    "N=12": Variant(label="12"),
    "Fast AT (1 step)": Variant(options={"attack_steps": 1, "attack_step": "sign"}),  # FGSM
    "Replace": Variant(options={"layout": "replace"}),
    "Add": Variant(options={"layout": "add"}),
    "ImageNet, no filter": Variant(retain=RetainList("imagenet", False)),
    "ImageNet, LLM filter": Variant(retain=RetainList("imagenet", True)),
    "COCO object, no filter": Variant(retain=RetainList("coco", False)),
    **{f"N={n}": Variant(label=str(n), options={"group": f"layers-{n}"}) for n in LAYERS},
    **{f"gamma={gamma}": Variant(label=str(gamma), options={"retain_weight": gamma}) for gamma in GAMMAS},
}
