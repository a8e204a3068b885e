"""``erase``: train a concept out of a model of one's own, and export the trained part."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.base.files import check_disk
from advunlearn_lib.base.keys import Recipe, fingerprint
from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.cli.kept import PART, once
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
from advunlearn_lib.diffusion.single_file import check_single_file
from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.card import Evaluation
from advunlearn_lib.experiment.erasure_spec import ErasureSpec, ModelSpec, load_erased
from advunlearn_lib.metrics.estimate import format_estimates

SINGLE_FILE = "single-file.safetensors"


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


def files_of(model: LatentDiffusion) -> list[str]:
    """Patterns of what an erased folder holds, whichever part was trained."""
    below = [f"{name}/*" for classes in model.PARTS.values() for name in classes if name]
    return ["README.md", "erased.json", "config.json", "*.safetensors*", *below]


def disk_needed(spec: ErasureSpec, model: LatentDiffusion) -> float:
    """Gigabytes: the weights in fp32, and a checkpoint with Adam's moments twice, the old one and the new."""
    module = getattr(model, spec.options.component)
    try:
        trained = list(select(module, spec.options.component, spec.options.group).values())
    except UserError:  # no group but a method's own parameters, as SPM's adapter, which is small
        trained = []
    weights, moving = (sum(p.numel() for p in some) for some in (module.parameters(), trained))
    return 4e-9 * (weights + 2 * 3 * moving * (spec.options.iterations > 0))


def single_file_size(options: Namespace, base: LatentDiffusion) -> float:
    """Gigabytes of the whole model in fp32, where it is asked for."""
    if options.format != "single-file":
        return 0.0
    modules = (base.unet, base.pipeline.vae, *base.text_encoders())
    return 4e-9 * sum(p.numel() for module in modules for p in module.parameters())


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
    if options.format == "single-file":
        check_single_file(base)
    sampling = sampling_of(options, resolve.sampling_of(profile))
    if prompts:
        judged = judge_of(options, base)
        attack = api.attack_spec(base, kind=options.kind, sampling=sampling, judge=judged, seed=options.seed)
        judge = judged.load(device_named(options.device))
        prompts = attack.prompts.choose(prompts, base, None, options.batch)
        attack.on(base, judge, base, None, options.batch).check_prompts(prompts)
    check_disk("output folder", options.out, disk_needed(spec, base) + single_file_size(options, base))
    made_by: Recipe = ModelSpec(base=options.base, erasure=spec).recipe
    if prompts:
        made_by |= {"attack": attack.recipe, "evaluation prompts": [vars(prompt) for prompt in prompts]}

    if options.format == "single-file":
        made_by |= {"format": options.format}

    def work(store: Store) -> str:
        def train(folder: Path) -> None:
            checkpoint = folder / "checkpoint.safetensors"
            cache = Cache(store, {"base": fingerprint(options.base)})
            spec.run(model, cache, checkpoint).save_pretrained(options.out)
            checkpoint.unlink(missing_ok=True)

        store.cell(PART, made_by, train)
        if options.format == "single-file":
            load_erased(options.out, base).save_single_file(options.out / SINGLE_FILE)
        evaluation = Evaluation()
        if prompts:
            erased = load_erased(options.out, base)
            run = attack.on(erased.model, judge, base, None, options.batch)
            evaluation, _ = measure_success(options, attack, run, prompts, store)
            erased.save_card(options.out, evaluation)
        return f"{format_estimates(evaluation.estimates)}\nwritten: {options.out}".lstrip()

    return once(options, made_by, files_of(base), work)
