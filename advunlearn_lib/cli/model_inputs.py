"""What the options of the verbs stand for: models, prompts, judges; what can be said of them early."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from advunlearn_lib.base.checkpoint import sha256_of_tensors
from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.keys import Recipe, fingerprint
from advunlearn_lib.data import official, prompt_files
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import SAMPLERS, Sampling
from advunlearn_lib.diffusion.token_edit import check_words
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.experiment.attack_spec import JudgeSpec
from advunlearn_lib.experiment.resolve import profile_of, usual_threshold
from advunlearn_lib.metrics.judges import check_judge
from advunlearn_lib.metrics.nudenet_classes import EXPOSED, is_nudenet
from advunlearn_lib.profiles.schema import RetainList


def check_early(options: Namespace) -> None:
    """Raise :class:`UserError` for a sampler, device, text, CLIP or judge that cannot be."""
    given = {name: value for name, value in vars(options).items() if value}
    if "sampler" in given:
        choose("sampler", options.sampler, SAMPLERS)
    device_named(options.device)
    check_words(given.get("concept", []))
    if "prompt" in given and "prompts" in given:
        raise UserError("--prompt and --prompts cannot be combined")
    if not all(text.strip() for text in given.get("prompt", [])):
        raise UserError("--prompt is empty; a text is needed")
    if "clip" in given:
        hub.check_clip(options.clip)
    if "judge" in given and "prompts" in given:
        labels_of(options)
        check_judge(options.judge)


def sampling_of(options: Namespace, usual: Sampling) -> Sampling:
    """How pictures are made: as usual, where the options do not say otherwise."""
    changes = {"sampler": options.sampler, "steps": options.steps, "guidance_scale": options.guidance_scale}
    return replace(usual, **{name: value for name, value in changes.items() if value is not None})


def load_models(options: Namespace) -> tuple[LatentDiffusion, LatentDiffusion]:
    """The model before erasing and the one to look at."""
    base = load_model(options.base, device_named(options.device))
    if not options.checkpoint:
        return base, base
    part, module = load_part(options.checkpoint, base)
    return base, base.with_parts(**{part: module})


def models_key(options: Namespace, base: LatentDiffusion, model: LatentDiffusion) -> Recipe:
    """The keys of what :func:`load_models` gave: the base's, and the SHA-256 of each part that is not its."""
    parts = [part for part in base.PARTS if getattr(model, part) is not getattr(base, part)]
    states = {part: getattr(model, part).state_dict() for part in parts if model is not base}
    own = {part: sha256_of_tensors(state, part) for part, state in states.items()}
    return {"base": fingerprint(options.base), "checkpoint": own}


def read_prompts(file: Path | None) -> list[EvaluationPrompt]:
    """The prompts of ``--prompts``. Raises :class:`UserError` where there are none."""
    if file is None:
        raise UserError("no prompts given; add --prompts FILE")
    return prompt_files.read_prompts(file)


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """``["lr=1e-5", "anchors=@FILE"]`` as a mapping; values are a file's texts, or JSON where they can be."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise UserError(f"--option takes name=value, not {pair!r}")
        if value.startswith("@"):
            values[name] = [prompt.text for prompt in read_prompts(Path(value[1:]))]
            continue
        try:
            values[name] = json.loads(value)
        except ValueError:  # no JSON, or too many digits
            values[name] = value
    return values


def labels_of(options: Namespace) -> list[str]:
    """The labels that mean success. Raises :class:`UserError` where there are none."""
    given = [label.strip() for label in options.labels.split(";") if label.strip()]
    labels = given or (list(EXPOSED) if is_nudenet(options.judge) else [])
    if not labels:
        raise UserError("the judge needs --labels, the names that mean success, separated by ';'")
    return labels


def judge_of(options: Namespace, model: LatentDiffusion) -> JudgeSpec:
    """The judge, its labels and threshold, as the options or the tables have them."""
    given = options.threshold
    threshold = usual_threshold(profile_of(model), options.judge) if given is None else given
    return JudgeSpec(judge=options.judge, labels=tuple(labels_of(options)), threshold=threshold)


def retain_prompts(options: Namespace, needed: bool) -> list[str]:
    """The retain prompts of the command line; COCO's where the method needs some and none are named."""
    name = options.retain or ("coco" if needed else "")
    if name in ("coco", "imagenet"):
        return official.retain_prompts(RetainList(name))
    return [prompt.text for prompt in read_prompts(Path(name))] if name else []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
