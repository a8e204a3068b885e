"""The variants of the paper's tables and figures, each as the options it changes; the same for both profiles."""

from __future__ import annotations

from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("AT (30 steps)", "Prefix", "COCO object, LLM filter", "N=12", "Original", "Transfer")},
    "Fast AT (1 step)": {"attack_steps": 1},
    "Replace": {"layout": "replace"},
    "Add": {"layout": "add"},
    "ImageNet, no filter": {"retain": ("imagenet", False)},
    "ImageNet, LLM filter": {"retain": ("imagenet", True)},
    "COCO object, no filter": {"retain": ("coco", False)},
    **{f"N={n}": {"group": f"layers-{n}"} for n in (1, 2, 3, 4, 5, 9)},
    **{f"gamma={gamma}": {"retain_weight": gamma} for gamma in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)},
}
