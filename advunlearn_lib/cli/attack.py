"""``attack``: attack a model of one's own."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib import api
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.kept import once
from advunlearn_lib.cli.model_inputs import (
    check_early,
    judge_of,
    load_models,
    models_key,
    parse_options,
    read_prompts,
    sampling_of,
    write_json,
)
from advunlearn_lib.cli.success import measure_success
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.estimate import format_estimates


def run(options: Namespace) -> int:
    """Attack; ``attack.json`` holds the rates, what they rest on, and every prompt's outcome."""
    cls, budget = ATTACKS[choose("attack", options.attack, ATTACKS)], parse_options(options.option)
    validated("budget", cls.BUDGET, budget)  # before a model is loaded
    check_early(options)
    prompts = read_prompts(options.prompts)
    base, model = load_models(options)
    profile, device = resolve.profile_of(model), device_named(options.device)
    sampling, judged = sampling_of(options, resolve.sampling_of(profile)), judge_of(options, model)
    spec = api.attack_spec(model, options.attack, options.kind, sampling, judged, options.seed, **budget)
    prompts = spec.prompts.choose(prompts, model, None, options.batch)
    network = (options.clip or profile.attack_clip) if cls.NEEDS_CLIP else ""
    clip = api.load_clip(network, device) if network else None
    run = spec.on(model, judged.load(device), base, clip, options.batch)
    run.check_prompts(prompts)

    def work(store: Store) -> str:
        evaluation, result = measure_success(options, spec, run, prompts, store)
        rates = {name: estimate.model_dump() for name, estimate in evaluation.estimates.items()}
        path = options.out / "attack.json"
        write_json(path, rates | {"protocol": evaluation.protocol} | result)
        warnings = [f"warning: {flag}" for flag in result["flags"]]
        return "\n".join([format_estimates(evaluation.estimates), *warnings, f"written: {path}"])

    made_by = {
        **spec.recipe,
        "clip": fingerprint(network) if network else "",
        "models": models_key(options, base, model),
        "evaluation prompts": [vars(prompt) for prompt in prompts],
    }
    return once(options, made_by, ["attack.json"], work)
