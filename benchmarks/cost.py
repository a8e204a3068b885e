"""What the paper profile costs, computed and not measured.

`python benchmarks/cost.py` prints the tables of docs/scaling.md.

Counts are in F, one UNet forward of Stable Diffusion v1.4 on one 64 x 64 latent, 803 GFLOP. A pass backward
to the prompt embedding alone makes a step 2.08 F, to all UNet weights 3 F; decoding a picture is 3.13 F,
encoding 1.39 F. Cells that tables share are counted once; the pocket profile's recipes say which those are.
"""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.experiment.cells import Cell
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.preview import preview
from advunlearn_lib.profiles.schema import AttackKey, Profile
from advunlearn_lib.report.items import ITEMS, TABLES
from advunlearn_lib.report.reported import reported

# Of one F, batched; assumed of both: 26 % of the bf16 peak (312, 989 TFLOP/s), 21 % of TF32's (156, 495).
MILLISECONDS = {"A100": {"bf16": 10.0, "fp32": 25.0}, "H100": {"bf16": 3.1, "fp32": 7.7}}
PRICE = 2.0  # dollars of an A100 hour; assumed
TEXT, WEIGHTS, DECODE, ENCODE = 2.08, 3.0, 3.13, 1.39
PROMPTS = {"broad": 142, "style": 50, "object": 50}
UNBROKEN = 0.6  # the share of prompts that an attack works on to its end; assumed, the rest breaks half-way
BYTES = {"unet": 3.44e9, "text_encoder": 0.49e9}


def picture(steps: int) -> float:
    """F of one guided picture."""
    return 2 * steps + DECODE


def training(method: str, options: dict) -> float:
    """F of one training run, its sampling paths or pictures included."""
    o = defaultdict(int, options)
    step = TEXT if o["component"] == "text_encoder" else WEIGHTS
    paths = 2 * o["steps"] * (o["per_prompt"] + (243 * o["retain_per_prompt"] if o["retain_weight"] else 0))
    if method == "advunlearn":
        attacked = o["iterations"] - o["warm_up"]
        retained = step * o["retain_batch"] if o["retain_weight"] else 0
        return paths + attacked * o["attack_steps"] * TEXT + o["iterations"] * (step * o["batch"] + retained)
    if method == "esd":
        return paths + o["iterations"] * step * o["batch"]
    if method == "spm":
        return paths + o["iterations"] * (step * o["batch"] + 4 * (1 + WEIGHTS))
    if method == "uce":
        return 0.0
    kinds = 2 if method in ("salun", "erasediff", "scissorhands") else 1
    pictures = o["per_prompt"] * kinds * (picture(50) + ENCODE)
    passes = {"fmn": 3, "ac": 4, "salun": 7, "erasediff": 15, "scissorhands": 10}[method]
    return pictures + o["iterations"] * passes * o["batch"]


def attacking(profile: Profile, name: str, kind: str) -> float:
    """F of one attack on all of a concept's prompts."""
    usual = {"timesteps": profile.attack_timesteps, "steps": profile.attack_steps}
    budget = ATTACKS[name].BUDGET(**(usual | profile.attacks.get(AttackKey(name), {})))
    prompts, shown = min(PROMPTS[kind], profile.prompts), picture(profile.sampling_steps)
    if name == "none":
        return prompts * shown
    if name == "CCE":
        return budget.steps * 8 * TEXT + 2 * prompts * shown
    if name == "PEZ":
        return budget.steps * 0.07 * prompts + 2 * prompts * shown
    per_step = {"P4D": 3.08, "PH2P": 4 * TEXT, "random": 0.0}.get(name, TEXT)
    share = UNBROKEN + (1 - UNBROKEN) / 2
    return prompts * (shown + share * budget.timesteps * (budget.steps * per_step + shown))


def cost(profile: Profile, cell: Cell) -> tuple[float, str]:
    """F of a cell (its model apart) and the precision it runs in."""
    kind = profile.concepts[cell.row.concept].kind
    if cell.metric in ("asr", "pre_asr"):
        return attacking(profile, cell.attack, kind), profile.picture_precision
    return profile.fid_images * (picture(profile.quality_steps) + ENCODE), profile.picture_precision


def hours(profile: Profile, card: str) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Hours of each item by itself, hours of all shared cells by kind, bytes of the models."""
    milliseconds = MILLISECONDS[card]
    shared, full_size = Protocol(POCKET), Protocol(PAPER)
    items, seen, size = [], {}, 0.0
    for item in ITEMS:
        here: dict[tuple[str, str], tuple[str, float]] = {}
        for number in reported(TABLES[item]) if item in TABLES else []:
            cell = number.cell
            spec, trained = shared.cell(cell), shared.trained(cell.row)
            if trained is not None:
                method, options = full_size.options(trained)
                key = ("erase", shared.model(trained).key)
                here[key] = ("train", training(method, options.model_dump()) * milliseconds["bf16"])
                size += BYTES[options.component] if key not in seen else 0
            if spec.KIND in ("attack", "quality"):
                f, precision = cost(profile, cell)
                here[spec.KIND, spec.key] = (spec.KIND, f * milliseconds[precision])
            seen |= here
        if here:
            items.append({"item": item, **by_kind(here)})
    return pd.DataFrame(items), pd.DataFrame([{"item": "all, each cell once", **by_kind(seen)}]), size


def by_kind(costs: dict[tuple[str, str], tuple[str, float]]) -> dict[str, float]:
    """Hours of training, attacks and quality, and their sum."""
    total = dict.fromkeys(("train", "attack", "quality"), 0.0)
    for kind, milliseconds in costs.values():
        total[kind] += milliseconds / 3.6e6
    return total | {"hours": sum(total.values())}


def main() -> None:
    """Print the tables."""
    parts = {}
    profiles = {
        "": PAPER,
        "bf16, ": PAPER.model_copy(update={"picture_precision": "bf16"}),
        "preview, ": PAPER.model_copy(update=preview(PAPER)),
    }
    for tier, profile in profiles.items():
        for card in MILLISECONDS:
            items, everything, size = hours(profile, card)
            parts[f"{tier}{card}"] = pd.concat([items, everything], ignore_index=True)
    first = parts["A100"]
    table = first[["item", "train", "attack", "quality"]].assign(
        **{name: p.hours for name, p in parts.items()}
    )
    print(
        "Hours, the first three columns of an A100 (computed):\n\n" + table.round(1).to_markdown(index=False)
    )
    total = float(first.hours.iloc[-1])
    longest = 10_000 * (picture(100) + ENCODE) * MILLISECONDS["A100"]["fp32"] / 3.6e6
    rows = [{"GPUs": n, "hours": max(total / n, longest), "dollars": total * PRICE} for n in (1, 8, 64)]
    print(f"\nLongest cell: {longest:.1f} h. Models in the store: {size / 1e9:.0f} GB\n")
    print(pd.DataFrame(rows).round(0).to_markdown(index=False))


if __name__ == "__main__":
    main()
