"""What the paper profile costs: counts of its protocol times the seconds of ``h100.csv``.

`python benchmarks/cost.py` prints the tables of docs/scaling.md. ``h100.csv`` was measured on that card
(`benchmarks/gpu.py`); an A100 is computed from it. F is one UNet forward of Stable Diffusion v1.4 on one
64 x 64 latent, 803 GFLOP; decoding a picture is 3.13 F, encoding 1.39. Cells that tables share are counted
once; the pocket profile's recipes say which those are.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.preview import preview
from advunlearn_lib.profiles.schema import AttackKey, Profile
from advunlearn_lib.report.items import ITEMS, TABLES
from advunlearn_lib.report.reported import reported

TABLE = pd.read_csv(Path(__file__).with_name("h100.csv"))
MEASURED = TABLE.set_index(["what", "setting", "batch"]).seconds.to_dict()
SLOWER = {"H100": 1.0, "A100": 3.2}  # 989 of 312 TFLOP/s in bf16, 495 of 156 in TF32, 67 of 19.5 in fp32
PRICE = 2.0  # dollars of an A100 hour; assumed
DECODE, ENCODE = 3.13, 1.39
PROMPTS = {"broad": 142, "style": 50, "object": 50}
UNBROKEN = 0.6  # the share of prompts that an attack works on to its end; assumed, the rest breaks half-way
BYTES = {"unet": 3.44e9, "text_encoder": 0.49e9}


def forward(precision: str, compiled: bool = False) -> float:
    """Seconds of F, of eight pictures under guidance at once."""
    return MEASURED["UNet, forward", precision + ", compiled" * compiled, 16]


def picture(steps: int) -> float:
    """F of one guided picture."""
    return 2 * steps + DECODE


def iteration(row: Row, options: dict[str, object]) -> float:
    """Seconds of an iteration of the method that a row is trained by.

    AdvUnlearn's is ESD's, K attack steps and the retain loss. AC was not measured: FMN's.
    """
    if row.method not in ("AdvUnlearn", "AT-ESD"):
        name = {"AC": "FMN"}.get(row.method, row.method)
        sizes = [size for what, _, size in MEASURED if what == f"{name}, {row.trained_component()}"]
        return MEASURED[f"{name}, {row.trained_component()}", "bf16", sizes[0]] if sizes else 0.0  # UCE's
    erase, attacked, whole = (
        MEASURED[f"{name}, UNet", "bf16", 1] for name in ("ESD", "AT-ESD", "AdvUnlearn")
    )
    retain = whole - attacked if options["retain_weight"] else 0.0
    return erase + retain + int(str(options["attack_steps"])) * (attacked - erase) / 30


def training(row: Row, options: dict[str, object]) -> float:
    """Seconds of one training run, its sampling paths or pictures included."""
    o = {name: value for name, value in options.items() if isinstance(value, int | float)}
    if "per_prompt" not in o:  # UCE
        return 0.0
    if "steps" in o:
        retained = 243 * o["retain_per_prompt"] if o.get("retain_weight") else 0
        made = 2 * o["steps"] * (o["per_prompt"] + retained)
    else:
        kinds = 2 if row.method in ("SalUn", "ED", "SH") else 1
        made = o["per_prompt"] * kinds * (picture(50) + ENCODE)
    calm = o.get("warm_up", 0)  # iterations without attack
    seconds = calm * iteration(row, options | {"attack_steps": 0})
    return made * forward("bf16") + seconds + (o["iterations"] - calm) * iteration(row, options)


def step(name: str, precision: str) -> float:
    """Seconds of an attack's step, a prompt's or CCE's."""
    return MEASURED[name, precision, {"UnlearnDiffAtk": 32, "CCE": 16}.get(name, 8)]


def attacking(profile: Profile, name: str, kind: str) -> float:
    """Seconds of one attack on all of a concept's prompts."""
    precision = profile.picture_precision
    usual = {"timesteps": profile.attack_timesteps, "steps": profile.attack_steps}
    budget = ATTACKS[name].BUDGET(**(usual | profile.attacks.get(AttackKey(name), {})))
    prompts = min(PROMPTS[kind], profile.prompts)
    shown = picture(profile.sampling_steps) * forward(precision, profile.compiled)
    if name == "none":
        return prompts * shown
    if name == "CCE":
        return budget.steps * step(name, precision) + 2 * prompts * shown
    if name == "PEZ":
        return budget.steps * step(name, precision) * prompts + 2 * prompts * shown
    per_step = 0.0 if name == "random" else step(name, precision)
    share = UNBROKEN + (1 - UNBROKEN) / 2
    return prompts * (shown + share * budget.timesteps * (budget.steps * per_step + shown))


def cost(profile: Profile, cell: Cell) -> float:
    """Seconds of a cell, its model apart."""
    if cell.metric in ("asr", "pre_asr"):
        return attacking(profile, cell.attack, profile.concepts[cell.row.concept].kind)
    shown = picture(profile.quality_steps) + ENCODE
    return profile.fid_images * shown * forward(profile.picture_precision, profile.compiled)


def hours(profile: Profile, card: str) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Hours of each item by itself, hours of all shared cells by kind, bytes of the models."""
    slower = SLOWER[card]
    shared, full_size = Protocol(POCKET), Protocol(PAPER)
    items, seen, size = [], {}, 0.0
    for item in ITEMS:
        here: dict[tuple[str, str], tuple[str, float]] = {}
        for number in reported(TABLES[item]) if item in TABLES else []:
            cell = number.cell
            spec, trained = shared.cell(cell), shared.trained(cell.row)
            if trained is not None:
                _, options = full_size.options(trained)
                key = ("erase", shared.model(trained).key)
                here[key] = ("train", slower * training(trained, options.model_dump()))
                size += BYTES[options.component] if key not in seen else 0
            if spec.KIND in ("attack", "quality"):
                here[spec.KIND, spec.key] = (spec.KIND, slower * cost(profile, cell))
            seen |= here
        if here:
            items.append({"item": item, **by_kind(here)})
    return pd.DataFrame(items), pd.DataFrame([{"item": "all, each cell once", **by_kind(seen)}]), size


def by_kind(costs: dict[tuple[str, str], tuple[str, float]]) -> dict[str, float]:
    """Hours of training, attacks and quality, and their sum."""
    total = dict.fromkeys(("train", "attack", "quality"), 0.0)
    for kind, seconds in costs.values():
        total[kind] += seconds / 3600
    return total | {"hours": sum(total.values())}


def main() -> None:
    """Print the tables."""
    parts = {}
    profiles = {
        "": PAPER,
        "bf16, compiled, ": PAPER.model_copy(update={"picture_precision": "bf16", "compiled": True}),
        "preview, ": PAPER.model_copy(update=preview(PAPER)),
    }
    for tier, profile in profiles.items():
        for card in SLOWER:
            items, everything, size = hours(profile, card)
            parts[f"{tier}{card}"] = pd.concat([items, everything], ignore_index=True)
    first = parts["H100"]
    table = first[["item", "train", "attack", "quality"]].assign(
        **{name: p.hours for name, p in parts.items()}
    )
    print("Hours, the first three columns of an H100:\n\n" + table.round(1).to_markdown(index=False))
    total = float(parts["A100"].hours.iloc[-1])
    longest = SLOWER["A100"] * 10_000 * (picture(100) + ENCODE) * forward("fp32") / 3600
    rows = [{"A100s": n, "hours": max(total / n, longest), "dollars": total * PRICE} for n in (1, 8, 64)]
    print(f"\nLongest cell: {longest:.1f} h. Models in the store: {size / 1e9:.0f} GB\n")
    print(pd.DataFrame(rows).round(0).to_markdown(index=False))


if __name__ == "__main__":
    main()
