"""The jobs that the benchmark times: each whole, set-up included, the official way and the library's.

Both sides of a pair get the same networks, options, budget, prompts and seeds. Where the official whole job
would take hours, both do fewer iterations or prompts; ``work`` says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import torch

from advunlearn_lib.attacks.cce import CCEBudget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.settings import Precision
from advunlearn_lib.data.emoji import EmojiWorld, evaluation_candidates, retain_set
from advunlearn_lib.diffusion.device import DTYPES, multiplies_bf16
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.pictures import generate_pictures, target_latents
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.esd import ESDOptions
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import MethodKey
from benchmarks import official, official_attacks, official_cce

CONCEPT = POCKET.concepts["nudity"]
SAMPLING = Sampling(POCKET.sampler, POCKET.sampling_steps, POCKET.guidance_scale)
PAPER_ITERATIONS, PAPER_RETAIN_SET = 1000, 243
PRECISIONS: tuple[Precision, ...] = (
    ("fp32", "bf16") if multiplies_bf16(torch.device("cpu")) else ("fp32",)
)  # of our side of UnlearnDiffAtk and of pictures
BATCH = 32  # prompts under attack at once, as in the tables


@dataclass(frozen=True)
class Sizes:
    """How much is done: a few minutes on two cores."""

    advunlearn: int = 3  # iterations
    fast_at: int = 16
    esd: int = 60
    attack_steps: int = 30  # K
    steps: int = 50  # of DDIM
    prompts: int = 32  # of UnlearnDiffAtk, P4D and CCE
    pez: int = 16
    ph2p: int = 12
    pictures: int = 128
    repeats: int = 3
    budgets: dict[str, dict[str, Any]] = field(default_factory=lambda: SHORTER)


SHORTER = {"P4D": {"timesteps": 3}, "PEZ": {"steps": 75}, "PH2P": {"steps": 2}, "CCE": {"steps": 60}}
SMALLEST = {name: {"timesteps": 1, "steps": 1} for name in ATTACKS}
QUICK = Sizes(1, 1, 1, 2, 2, 2, 1, 1, 2, 1, SMALLEST)


@dataclass(frozen=True)
class Pair:
    """A job both ways; each returns what became of every prompt, nothing where there is nothing to tell.

    ``count`` pieces of work, of the kind ``unit``; ``goal``: the ratio of seconds that was aimed at;
    ``ours``: the library's way, by the name of its row; in other settings it has further rows.
    ``before``: what all rest on, made before the clock starts.
    """

    work: str
    count: int
    unit: str
    goal: float
    official: Callable[[], list[bool]]
    ours: dict[str, Callable[[], list[bool]]]
    before: Callable[[], object] = bool


def pairs(sizes: Sizes) -> Iterator[Pair]:
    """All of them. The goals were set before anything was measured."""
    inner: dict[str, Any] = {"warm_up": 0, "steps": sizes.steps}
    slow = AdvUnlearnOptions(**inner, attack_steps=sizes.attack_steps)
    fast = AdvUnlearnOptions(**inner, attack_steps=1, attack_step="sign")
    yield advunlearn(f"AdvUnlearn, text encoder, K = {sizes.attack_steps}", slow, sizes.advunlearn, 14)
    yield advunlearn("AdvUnlearn, text encoder, Fast AT", fast, sizes.fast_at, 10)
    yield esd("ESD, UNet", ESDOptions(steps=sizes.steps), sizes.esd, 8)
    yield attack("UnlearnDiffAtk", sizes.prompts, sizes.budgets, 6, PRECISIONS)
    counts = {"P4D": sizes.prompts, "PEZ": sizes.pez, "PH2P": sizes.ph2p, "CCE": sizes.prompts}
    yield from (attack(name, count, sizes.budgets, 4) for name, count in counts.items())
    yield pictures(sizes.pictures, 5)


def advunlearn(name: str, options: AdvUnlearnOptions, iterations: int, goal: float) -> Pair:
    """AdvUnlearn, its sampling paths and retain prompts cut as its iterations are."""
    share = iterations / PAPER_ITERATIONS
    options = options.scaled(share)
    kept = max(options.retain_batch, round(share * PAPER_RETAIN_SET))
    retain = retain_set(CONCEPT.labels)[:kept]

    def plainly() -> list[bool]:
        official.AdvUnlearn(official.load(POCKET.base), CONCEPT.name, retain, options).train()
        return []

    def ours() -> list[bool]:
        train(prepare("advunlearn", Task(load_model(POCKET.base), [CONCEPT.name], retain), options))
        return []

    work = f"{iterations} iterations, {options.steps} DDIM steps, {len(retain)} retain prompts"
    return Pair(work, iterations, "iterations", goal, plainly, {name: ours})


def esd(name: str, options: ESDOptions, iterations: int, goal: float) -> Pair:
    """ESD likewise."""
    options = options.scaled(iterations / PAPER_ITERATIONS)

    def plainly() -> list[bool]:
        official.ESD(official.load(POCKET.base), CONCEPT.name, options).train()
        return []

    def ours() -> list[bool]:
        train(prepare("esd", Task(load_model(POCKET.base), [CONCEPT.name]), options))
        return []

    work = f"{iterations} iterations, {options.steps} DDIM steps"
    return Pair(work, iterations, "iterations", goal, plainly, {name: ours})


@cache
def victim() -> Any:
    """A UNet that UCE has erased the concept from, which takes seconds: what is attacked."""
    settings = POCKET.methods[MethodKey("UCE", "UNet", CONCEPT.kind)]
    task = Task(load_model(POCKET.base), list(CONCEPT.erase), retain_set(CONCEPT.labels))
    return train(prepare(settings.method, task, {"component": "unet"} | settings.options)).model.unet


def judge() -> Judge:
    """Who tells success."""
    return load_judge(POCKET.judge(CONCEPT.judge), list(CONCEPT.labels), CONCEPT.threshold)


def named(name: str, precision: Precision) -> str:
    """A job's name, with the setting where ours is not the protocol's fp32."""
    return name if precision == "fp32" else f"{name}, picture_precision={precision}"


def attack(
    name: str,
    count: int,
    budgets: dict[str, dict[str, Any]],
    goal: float,
    ours_in: Sequence[Precision] = ("fp32",),
) -> Pair:
    """An attack on ``victim``, the pictures that it aims at included; ``budgets`` change the profile's."""
    cls, budget = ATTACKS[name], resolve.attack_budget(POCKET, name, CONCEPT, budgets.get(name, {}))
    prompts = evaluation_candidates(CONCEPT.kind, CONCEPT.labels, count)

    def plainly() -> list[bool]:
        original = official.load(POCKET.base, SAMPLING)
        erased, says = official.with_unet(original, victim()), judge()
        if isinstance(budget, CCEBudget):
            pictures = official_cce.training_pictures(original, prompts, budget, SAMPLING)
            v = official_cce.invert(erased, pictures, budget)
            return [official_cce.shown_with(erased, says, prompt, v, SAMPLING) for prompt in prompts]
        clip, outcomes = load_clip(POCKET.attack_clip) if cls.NEEDS_CLIP else (None, None), []
        for prompt in prompts:
            z0 = official_attacks.encoded(original, official.draw(original, prompt, SAMPLING))
            one = official_attacks.Attacked(erased, says, prompt, z0, budget, SAMPLING)
            outcomes.append(OFFICIAL[name](one, original, clip))
        return outcomes

    def ours(precision: Precision) -> list[bool]:
        sampling = replace(SAMPLING, precision=precision)
        model = load_model(POCKET.base).in_precision(DTYPES[precision])
        clip = load_clip(POCKET.attack_clip) if cls.NEEDS_CLIP else None
        aims = target_latents(model, prompts, sampling, BATCH)
        erased = model.with_parts(unet=victim())
        run = cls(erased, judge(), budget, sampling, original=model, clip=clip, batch=BATCH)
        return [one.after for one in run.run(prompts, aims).prompts]

    work = f"{count} prompts, {budget.timesteps} x {budget.steps} steps, {budget.tokens} tokens"
    sides = {named(name, precision): partial(ours, precision) for precision in ours_in}
    return Pair(work, count, "prompts", goal, plainly, sides, before=victim)


OFFICIAL: dict[str, Callable[[official_attacks.Attacked, Any, Any], bool]] = {
    "UnlearnDiffAtk": lambda one, original, clip: official_attacks.unlearndiffatk(one),
    "P4D": lambda one, original, clip: official_attacks.p4d(one, original),
    "PEZ": lambda one, original, clip: official_attacks.pez(one, clip),
    "PH2P": lambda one, original, clip: official_attacks.ph2p(one, clip),
}


def pictures(count: int, goal: float) -> Pair:
    """Pictures for FID."""
    captions, seeds = EmojiWorld(POCKET).captions(count, CONCEPT.labels)
    prompts = [EvaluationPrompt(*row) for row in zip(captions, seeds, strict=True)]

    def plainly() -> list[bool]:
        pipe = official.load(POCKET.base, SAMPLING)
        for prompt in prompts:
            official.draw(pipe, prompt, SAMPLING)
        return []

    def ours(precision: Precision) -> list[bool]:
        sampling = replace(SAMPLING, precision=precision)
        generate_pictures(load_model(POCKET.base), prompts, sampling, batch=POCKET.batch)
        return []

    work = f"{count} pictures, {SAMPLING.sampler}, {SAMPLING.steps} steps"
    sides = {named("pictures for FID", precision): partial(ours, precision) for precision in PRECISIONS}
    return Pair(work, count, "pictures", goal, plainly, sides)
