"""Verbs on a model of one's own: ``erase``, ``attack``, ``evaluate``,
``generate``. Each checks all it can, then calls the API.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.files import atomic, check_disk, writable
from advunlearn_lib.cli.command import Command
from advunlearn_lib.cli.model_checks import check_early
from advunlearn_lib.cli.model_options import (
    add_attack_options,
    add_erase_options,
    add_evaluate_options,
    add_generate_options,
    device_of,
    judge_of,
    judge_settings,
    load_models,
    parse_options,
    read_prompts,
    retain_prompts,
    sampling_of,
)

if TYPE_CHECKING:
    from advunlearn_lib.attacks.attack import Attack
    from advunlearn_lib.attacks.records import EvaluationPrompt, Judge
    from advunlearn_lib.diffusion.model import LatentDiffusion
    from advunlearn_lib.model_card import Evaluation


def protocol_of(options: Namespace, attack: Attack, prompts: list[EvaluationPrompt]) -> dict[str, Any]:
    """What a success rate rests on."""
    from advunlearn_lib.attacks.registry import ATTACKS
    from advunlearn_lib.experiment import defaults

    judge, labels, threshold = judge_settings(options, attack.model)
    return {
        "attack": next(name for name, kind in ATTACKS.items() if kind is type(attack)),
        "budget": attack.budget.model_dump(),
        "judge": judge,
        "labels": labels,
        "threshold": threshold,
        "prompts": f"{len(prompts)} of {options.prompts.name}",
        "exempt prompts": sum(prompt.exempt for prompt in prompts),
        "pictures": vars(attack.sampling),
        "target pictures": vars(defaults.target_sampling(attack.model, attack.sampling)),
    }


def attack_of(
    options: Namespace,
    model: LatentDiffusion,
    base: LatentDiffusion,
    judge: Judge,
    attack: str = "UnlearnDiffAtk",
    clip: Any = None,
    **budget: Any,
) -> Attack:
    """The attack that the command line asks for."""
    from advunlearn_lib import api
    from advunlearn_lib.experiment import defaults

    sampling, kind = sampling_of(options, defaults.default_sampling(model)), options.kind
    return api.make_attack(
        model, judge, attack, base, sampling, options.seed, clip, options.batch, kind, **budget
    )


def measure_success(
    options: Namespace, run: Attack, prompts: list[EvaluationPrompt]
) -> tuple[Evaluation, dict[str, Any]]:
    """Run an attack: the rates with their protocol, and every prompt's outcome."""
    from advunlearn_lib.api import run_attack, success_rates
    from advunlearn_lib.model_card import Evaluation

    result = run_attack(run, prompts)
    return Evaluation(success_rates(result), protocol_of(options, run, prompts)), result.model_dump()


def run_erase(options: Namespace) -> int:
    """Erase, save, measure if there are prompts to attack, and write the card."""
    from advunlearn_lib import api, model_card
    from advunlearn_lib.diffusion.load import load_model
    from advunlearn_lib.diffusion.model import DTYPES
    from advunlearn_lib.erasure.registry import METHODS
    from advunlearn_lib.experiment import defaults
    from advunlearn_lib.metrics.estimate import format_estimates

    method, changes = METHODS[choose("method", options.method, METHODS)], parse_options(options.option)
    validated("option", method.OPTIONS, changes)
    check_early(options)
    prompts = read_prompts(options.prompts) if options.prompts else []
    base = load_model(options.base, device_of(options))
    precision = options.precision or defaults.profile_of(base).precision
    filled = api.check_erasure(base, options.method, options.kind, changes)
    needs = method.needs(method.OPTIONS(**filled))
    retain = retain_prompts(options, not {"retain_set", "remain_prompts"}.isdisjoint(needs))
    anchors = [prompt.text for prompt in read_prompts(options.anchors)] if options.anchors else []
    asked: dict[str, Any] = {"retain_set": retain, "surrogate": options.surrogate, "names": options.name}
    asked |= {"anchors": anchors}
    api.check_erasure_task(options.method, api.erasure_task(base, options.concept, **asked), filled)
    judge = judge_of(options, base) if prompts else None
    if judge is not None:
        prompts = api.attack_prompts(base, prompts)
        attack_of(options, base, base, judge).check_prompts(prompts)
    weights = sum(p.numel() for p in getattr(base, filled["component"]).parameters())
    check_disk("output folder", options.out, 4e-9 * weights)
    folder = writable("output folder", options.out)

    model = base.in_precision(DTYPES[precision])
    erased = api.erase(
        model, options.concept, options.method, options.kind, seed=options.seed, **asked, **changes
    )
    erased.save_pretrained(folder)
    made = model_card.Made(options.base, options.concept, options.method, filled, options.seed, precision)
    evaluation = model_card.Evaluation()
    model_card.save(erased, folder, made, evaluation)
    if judge is not None:
        evaluation, _ = measure_success(options, attack_of(options, erased.model, base, judge), prompts)
        model_card.save(erased, folder, made, evaluation)
    print(f"{format_estimates(evaluation.estimates)}\nwritten: {folder}".lstrip())
    return 0


def run_attack(options: Namespace) -> int:
    """Attack; ``attack.json`` holds the rates, what they rest on, and every prompt's outcome."""
    from advunlearn_lib import api
    from advunlearn_lib.attacks.records import Budget
    from advunlearn_lib.attacks.registry import ATTACKS
    from advunlearn_lib.experiment import defaults
    from advunlearn_lib.metrics.estimate import format_estimates

    kind, budget = ATTACKS[choose("attack", options.attack, ATTACKS)], parse_options(options.option)
    validated("budget", Budget, budget)
    check_early(options)
    prompts = read_prompts(options.prompts)
    base, model = load_models(options)
    judge, prompts = judge_of(options, model), api.attack_prompts(model, prompts)
    network = options.clip or defaults.profile_of(model).attack_clip
    clip = api.load_clip(network, device_of(options)) if kind.NEEDS_CLIP else None
    run = attack_of(options, model, base, judge, options.attack, clip, **budget)
    run.check_prompts(prompts)
    folder = writable("output folder", options.out)
    evaluation, result = measure_success(options, run, prompts)
    rates = {name: estimate.model_dump() for name, estimate in evaluation.estimates.items()}
    write_json(folder / "attack.json", rates | {"protocol": evaluation.protocol} | result)
    warnings = [f"warning: {flag}" for flag in result["flags"]]
    print(
        "\n".join([format_estimates(evaluation.estimates), *warnings, f"written: {folder / 'attack.json'}"])
    )
    return 0


def run_evaluate(options: Namespace) -> int:
    """CLIP score, and FID with --reference; ``evaluate.json``."""
    from advunlearn_lib import api
    from advunlearn_lib.data.reference import read_reference, reference_files
    from advunlearn_lib.experiment import defaults
    from advunlearn_lib.metrics.clip_score import check_count, count_cut
    from advunlearn_lib.metrics.estimate import format_estimates
    from advunlearn_lib.metrics.fid import Statistics
    from advunlearn_lib.metrics.quality import load_features

    check_early(options)
    captions = read_prompts(options.prompts)
    check_count(len(captions))
    features = reference = None
    if options.reference:
        reference_files(options.reference)
    _, model = load_models(options)
    profile = defaults.profile_of(model)
    network = options.clip or profile.clip
    clip = api.load_clip(network, device_of(options))
    if options.reference:
        features = load_features(profile.judge(profile.fid_features), device_of(options))
        real = read_reference(options.reference)
        reference = real if isinstance(real, Statistics) else features.features(real)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, defaults.quality_sampling(model))
    estimates = api.evaluate(
        model, captions, clip, features, reference, sampling, options.seed, options.batch
    )
    cut = count_cut(clip, [caption.text for caption in captions])
    protocol = {"captions": f"{len(captions)} of {options.prompts.name}", "clip": network}
    protocol["captions that CLIP cuts"] = cut
    protocol |= {"features": profile.fid_features if options.reference else "", "pictures": vars(sampling)}
    rates = {name: estimate.model_dump() for name, estimate in estimates.items()}
    write_json(folder / "evaluate.json", rates | {"protocol": protocol})
    warning = [f"warning: CLIP cuts {cut} of {len(captions)} captions, which are too long for it"] * (cut > 0)
    print("\n".join([format_estimates(estimates), *warning, f"written: {folder / 'evaluate.json'}"]))
    return 0


def run_generate(options: Namespace) -> int:
    """PNG files, numbered as the prompts are."""
    from advunlearn_lib import api
    from advunlearn_lib.base.images import write_image
    from advunlearn_lib.experiment import defaults

    check_early(options)
    texts = [api.EvaluationPrompt(text, options.seed + number) for number, text in enumerate(options.prompt)]
    prompts = texts or read_prompts(options.prompts)
    _, model = load_models(options)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, defaults.default_sampling(model))
    images = api.generate(model, prompts, sampling, options.batch)
    for number, image in enumerate(images):
        write_image(folder / f"{number:05}.png", image)
    print(f"written: {len(images)} pictures in {folder}")
    return 0


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


POCKET = "--base data/pocket/v1-4"
JUDGE = "--judge data/pocket/judge-object --labels church --kind object"
COMMANDS = (
    Command("erase", "train a concept out of a model of your own, and export the trained part",
            f"erase {POCKET} --concept church --kind object --retain retain.txt --out church_unlearned",
            add_erase_options, run_erase),
    Command("attack", "attack a model of your own",
            f"attack {POCKET} --checkpoint church_unlearned --prompts church.txt {JUDGE} --out attacked",
            add_attack_options, run_attack),
    Command("evaluate", "CLIP score, and with --reference FID, of a model of your own",
            f"evaluate {POCKET} --clip data/pocket/clip --prompts captions.txt --out quality",
            add_evaluate_options, run_evaluate),
    Command("generate", "pictures of a model of your own",
            f"generate {POCKET} --prompt 'a photo of a church' --out pictures",
            add_generate_options, run_generate),
)  # fmt: skip
