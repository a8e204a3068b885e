"""``erase``: train a concept out of a model of one's own, and export the trained part."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from advunlearn_lib import api
from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.files import check_disk, writable
from advunlearn_lib.cli.model_inputs import (
    check_early,
    judge_of,
    parse_options,
    read_prompts,
    retain_prompts,
    sampling_of,
)
from advunlearn_lib.cli.success import measure_success
from advunlearn_lib.diffusion.device import DTYPES, device_named
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.card import Evaluation
from advunlearn_lib.experiment.erasure_spec import ErasureSpec
from advunlearn_lib.metrics.estimate import format_estimates


def erasure_of(options: Namespace, model: LatentDiffusion, changes: dict[str, Any]) -> ErasureSpec:
    """The erasing that the command line asks for, its lists read."""
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


def run(options: Namespace) -> int:
    """Erase, save, measure if there are prompts to attack, and write the card."""
    method, changes = METHODS[choose("method", options.method, METHODS)], parse_options(options.option)
    validated("option", method.OPTIONS, changes)  # before a model is loaded
    check_early(options)
    prompts = read_prompts(options.prompts) if options.prompts else []
    base = load_model(options.base, device_named(options.device))
    profile = resolve.profile_of(base)
    model = base.in_precision(DTYPES[options.precision or profile.precision])
    spec = erasure_of(options, model, changes)
    spec.check(base)
    sampling, evaluation = sampling_of(options, resolve.sampling_of(profile)), Evaluation()
    if prompts:
        judged = judge_of(options, base)
        attack = api.attack_spec(base, kind=options.kind, sampling=sampling, judge=judged, seed=options.seed)
        judge = judged.load(device_named(options.device))
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
