"""Measure the success of an attack for a verb, with what the rate rests on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from torch import Tensor

from advunlearn_lib.api import success_rates
from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.kept import PART
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.card import Evaluation


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
    options: Namespace, spec: AttackSpec, run: Attack, prompts: list[EvaluationPrompt], store: Store
) -> tuple[Evaluation, dict[str, Any]]:
    """Run an attack: the rates with their protocol, and every prompt's outcome.

    ``store`` keeps target pictures, and each batch's outcomes.
    """

    def draw() -> dict[str, Tensor]:
        return {"latents": spec.prompts.targets(run.original or run.model, prompts, run.batch)}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        return store.cell(PART, {PART: name}, lambda _: make())["result"]

    targets = store.tensors("targets", {}, draw)["latents"].to(run.model.device)
    run.keep = keep
    result = spec.run(run, prompts, targets)
    return Evaluation(success_rates(result), protocol_of(options, spec, prompts)), result.model_dump()
