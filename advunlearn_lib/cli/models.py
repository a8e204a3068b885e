"""Verbs on a model of one's own: each checks all it can, then makes a specification and runs it."""

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
    load_models,
    parse_options,
    read_prompts,
    retain_prompts,
    sampling_of,
)

if TYPE_CHECKING:
    from advunlearn_lib.attacks.attack import Attack
    from advunlearn_lib.attacks.records import EvaluationPrompt
    from advunlearn_lib.diffusion.model import LatentDiffusion
    from advunlearn_lib.experiment.attack_spec import AttackSpec
    from advunlearn_lib.experiment.card import Evaluation
    from advunlearn_lib.experiment.erasure_spec import ErasureSpec


def protocol_of(options: Namespace, spec: AttackSpec, prompts: list[EvaluationPrompt]) -> dict[str, Any]:
    """What a success rate rests on."""
    protocol = spec.prompts
    assert protocol.judge is not None
    return {
        "attack": spec.attack,
        "budget": spec.budget.model_dump(),
        "judge": protocol.judge.judge,
        "labels": list(protocol.judge.labels),
        "threshold": protocol.judge.threshold,
        "prompts": f"{len(prompts)} of {options.prompts.name}",
        "exempt prompts": sum(prompt.exempt for prompt in prompts),
        "pictures": vars(protocol.sampling),
        "target pictures": vars(protocol.target_sampling),
    }


def measure_success(
    options: Namespace, spec: AttackSpec, run: Attack, prompts: list[EvaluationPrompt]
) -> tuple[Evaluation, dict[str, Any]]:
    """Run an attack: the rates with their protocol, and every prompt's outcome."""
    from advunlearn_lib.api import success_rates
    from advunlearn_lib.experiment.card import Evaluation

    result = spec.run(run, prompts)
    return Evaluation(success_rates(result), protocol_of(options, spec, prompts)), result.model_dump()


def erasure_of(options: Namespace, model: LatentDiffusion, changes: dict[str, Any]) -> ErasureSpec:
    """The erasing that the command line asks for, its lists read."""
    from advunlearn_lib import api

    spec = api.erasure_spec(
        model,
        options.concept,
        options.method,
        options.kind,
        surrogate=options.surrogate,
        names=options.name,
        seed=options.seed,
        **changes,
    )
    needed = not {"retain_set", "remain_prompts"}.isdisjoint(spec.needs())
    return spec.with_retain_set(retain_prompts(options, needed))


def run_erase(options: Namespace) -> int:
    """Erase, save, measure if there are prompts to attack, and write the card."""
    from advunlearn_lib import api
    from advunlearn_lib.diffusion.load import load_model
    from advunlearn_lib.diffusion.model import DTYPES
    from advunlearn_lib.erasure.registry import METHODS
    from advunlearn_lib.experiment import resolve
    from advunlearn_lib.experiment.card import Evaluation
    from advunlearn_lib.metrics.estimate import format_estimates

    method, changes = METHODS[choose("method", options.method, METHODS)], parse_options(options.option)
    validated("option", method.OPTIONS, changes)  # before a model is loaded
    check_early(options)
    prompts = read_prompts(options.prompts) if options.prompts else []
    base = load_model(options.base, device_of(options))
    profile = resolve.profile_of(base)
    model = base.in_precision(DTYPES[options.precision or profile.precision])
    spec = erasure_of(options, model, changes)
    spec.check(base)
    sampling, evaluation = sampling_of(options, resolve.sampling_of(profile)), Evaluation()
    if prompts:
        judged = judge_of(options, base)
        attack = api.attack_spec(base, kind=options.kind, sampling=sampling, judge=judged, seed=options.seed)
        judge = judged.load(device_of(options))
        prompts = attack.prompts.choose(prompts, base, None, options.batch)
        attack.on(base, judge, base, None, options.batch).check_prompts(prompts)
    weights = sum(p.numel() for p in getattr(base, spec.options.component).parameters())
    check_disk("output folder", options.out, 4e-9 * weights)
    folder = writable("output folder", options.out)

    erased = spec.run(model)
    erased.save_pretrained(folder)
    if prompts:
        run = attack.on(erased.model, judge, base, None, options.batch)
        evaluation, _ = measure_success(options, attack, run, prompts)
        erased.save_card(folder, evaluation)
    print(f"{format_estimates(evaluation.estimates)}\nwritten: {folder}".lstrip())
    return 0


def run_attack(options: Namespace) -> int:
    """Attack; ``attack.json`` holds the rates, what they rest on, and every prompt's outcome."""
    from advunlearn_lib import api
    from advunlearn_lib.attacks.registry import ATTACKS
    from advunlearn_lib.experiment import resolve
    from advunlearn_lib.metrics.estimate import format_estimates

    kind, budget = ATTACKS[choose("attack", options.attack, ATTACKS)], parse_options(options.option)
    validated("budget", kind.BUDGET, budget)  # before a model is loaded
    check_early(options)
    prompts = read_prompts(options.prompts)
    base, model = load_models(options)
    profile, device = resolve.profile_of(model), device_of(options)
    sampling, judged = sampling_of(options, resolve.sampling_of(profile)), judge_of(options, model)
    spec = api.attack_spec(model, options.attack, options.kind, sampling, judged, options.seed, **budget)
    prompts = spec.prompts.choose(prompts, model, None, options.batch)
    clip = api.load_clip(options.clip or profile.attack_clip, device) if kind.NEEDS_CLIP else None
    run = spec.on(model, judged.load(device), base, clip, options.batch)
    run.check_prompts(prompts)
    folder = writable("output folder", options.out)
    evaluation, result = measure_success(options, spec, run, prompts)
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
    from advunlearn_lib.experiment import resolve
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
    profile = resolve.profile_of(model)
    network = options.clip or profile.clip
    clip = api.load_clip(network, device_of(options))
    if options.reference:
        features = load_features(profile.judge(profile.fid_features), device_of(options))
        real = read_reference(options.reference)
        reference = real if isinstance(real, Statistics) else features.features(real)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, resolve.quality_sampling(profile))
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
    from advunlearn_lib.experiment import resolve

    check_early(options)
    texts = [api.EvaluationPrompt(text, options.seed + number) for number, text in enumerate(options.prompt)]
    prompts = texts or read_prompts(options.prompts)
    _, model = load_models(options)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, resolve.sampling_of(resolve.profile_of(model)))
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
