"""The command line's verbs for a model of one's own: ``erase``, ``attack``, ``evaluate``, ``generate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advunlearn_lib.errors import UserError, choose, validated
from advunlearn_lib.files import check_disk, writable

if TYPE_CHECKING:
    import torch

    from advunlearn_lib.attacks import AttackedPrompt, Judge
    from advunlearn_lib.model import LatentDiffusion, Sampling

VERBS = {
    "erase": "train a concept out of a model: --base --concept [--method --retain --surrogate --option] --out",
    "attack": "attack a model: --base [--checkpoint] --prompts --judge --labels [--attack --option] --out",
    "evaluate": "CLIP score and FID of a model: --base [--checkpoint] --prompts [--reference] --out",
    "generate": "pictures of a model: --base [--checkpoint] --prompts FILE or --prompt TEXT, --out",
}
RESNET = "microsoft/resnet-50"


def add_options(p: argparse.ArgumentParser, verb: str) -> None:
    """The options of ``verb``."""
    p.add_argument("--base", required=True, metavar="ID_OR_DIR", help="a Stable Diffusion 1.x, 2.x or XL pipeline: folder or hub id")
    p.add_argument("--out", required=True, type=Path, help="folder for what is made")
    p.add_argument("--seed", type=at_least(0), default=0)
    p.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    p.add_argument("--sampler", default="lms", help="ddim, dpm++ or lms (default)")
    p.add_argument("--steps", type=at_least(1), default=50, help="denoising steps of a picture (default: 50)")
    p.add_argument("--guidance-scale", type=float, default=7.5)
    p.add_argument(
        "--prompts", type=Path, metavar="FILE", help="a CSV with a column prompt (evaluation_seed, evaluation_guidance), or a prompt a line"
    )
    p.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the method (erase) or the budget (attack)")
    if verb in ("erase", "attack"):
        p.add_argument("--judge", default=RESNET, help=f"nudenet, or an image classifier's folder or hub id (default: {RESNET})")
        p.add_argument("--labels", default="", help="the judge's labels that mean success, separated by ';'")
        p.add_argument("--threshold", type=float, default=0.0, help="the least probability of those labels together")
    if verb == "erase":
        p.add_argument("--concept", required=True, action="append", help="a prompt that names it; may be repeated")
        p.add_argument("--method", default="advunlearn")
        p.add_argument("--retain", default="coco", help="retain prompts: coco or imagenet (fetched once), or a file like --prompts")
        p.add_argument("--surrogate", help="the prompt whose picture should come instead, for methods that relabel")
        p.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    else:
        p.add_argument("--checkpoint", help="an erased text encoder or UNet: folder, owner/name/subfolder, .pt or .safetensors")
    if verb == "attack":
        p.add_argument("--attack", default="UnlearnDiffAtk")
    if verb == "evaluate":
        p.add_argument("--clip", default="openai/clip-vit-base-patch32")
        p.add_argument("--reference", type=Path, help="real pictures for FID: a folder, or an .npz of mu and sigma")
    if verb == "generate":
        p.add_argument("--prompt", action="append", default=[])


def run_verb(verb: str, options: argparse.Namespace) -> int:
    """Carry out ``verb``; everything is checked before the folder is made."""
    return {"erase": run_erase, "attack": run_attack, "evaluate": run_evaluate, "generate": run_generate}[verb](options)


def device_of(options: argparse.Namespace) -> torch.device:
    """Where to run."""
    from advunlearn_lib.device import device_named

    return device_named(options.device)


def at_least(least: int) -> Callable[[str], int]:
    """The argument type of whole numbers from ``least`` on."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return parse


def sampling_of(options: argparse.Namespace) -> Sampling:
    """How pictures are made."""
    from advunlearn_lib.model import SAMPLERS, Sampling

    return Sampling(choose("sampler", options.sampler, SAMPLERS), options.steps, options.guidance_scale)


def loaded(options: argparse.Namespace) -> tuple[LatentDiffusion, LatentDiffusion]:
    """The model before erasing and the one to look at."""
    from advunlearn_lib.model import LatentDiffusion
    from advunlearn_lib.weights import load_part

    base = LatentDiffusion.load(options.base, device_of(options))
    if not options.checkpoint:
        return base, base
    part, module = load_part(options.checkpoint, base)
    return base, base.with_parts(**{part: module})


def prompts_in(file: Path | None) -> list[AttackedPrompt]:
    """The prompts of a file. Raises :class:`UserError` where it is missing, empty or lacks its column."""
    from advunlearn_lib.attacks import AttackedPrompt
    from advunlearn_lib.paper.prompts import attacked_prompts, read

    if file is None:
        raise UserError("no prompts given; add --prompts FILE")
    if file.suffix == ".csv":
        return attacked_prompts(read(file, ("prompt",)))
    if not file.is_file():
        raise UserError(f"no such prompts file: {str(file)!r}")
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    if not lines:
        raise UserError(f"the prompts file {str(file)!r} has no prompts")
    return [AttackedPrompt(line, seed) for seed, line in enumerate(lines)]


def named(pairs: list[str]) -> dict[str, Any]:
    """``["lr=1e-5"]`` as a mapping; values are JSON where they can be."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise UserError(f"--option takes name=value, not {pair!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def judge_of(options: argparse.Namespace) -> Judge:
    """The judge of the command line."""
    from advunlearn_lib.metrics.judges import load_judge
    from advunlearn_lib.names import EXPOSED

    labels = [label.strip() for label in options.labels.split(";") if label.strip()]
    if not labels and options.judge != "nudenet":
        raise UserError("the judge needs --labels, the names that mean success, separated by ';'")
    return load_judge(
        options.judge, labels or list(EXPOSED), options.threshold or (0.5 if options.judge == "nudenet" else 0.0), device_of(options)
    )


def retain_of(options: argparse.Namespace) -> list[str]:
    """The retain prompts of the command line."""
    from advunlearn_lib.paper.prompts import RETAIN, table

    if options.retain in ("coco", "imagenet"):
        return list(dict.fromkeys(map(str, table(RETAIN[options.retain, True], None)["prompt"])))
    return [prompt.text for prompt in prompts_in(Path(options.retain))]


def run_erase(options: argparse.Namespace) -> int:
    """Erase, measure if there are prompts to attack, save with a card."""
    from advunlearn_lib.card import save, told
    from advunlearn_lib.erasure import METHODS, erase
    from advunlearn_lib.model import DTYPES, LatentDiffusion
    from advunlearn_lib.verbs import attack, rates
    from advunlearn_lib.weights import LOADERS

    method, chosen = METHODS[choose("method", options.method, METHODS)], named(options.option)
    validated("option", method.OPTIONS, chosen)
    needs_retain = "retain_weight" in method.OPTIONS.model_fields and chosen.get("retain_weight", 1) != 0
    retain = retain_of(options) if needs_retain or options.method in ("uce", "salun", "erasediff", "scissorhands") else None
    prompts, judge = (prompts_in(options.prompts), judge_of(options)) if options.prompts else ([], None)
    base = LatentDiffusion.load(options.base, device_of(options), DTYPES[options.precision])
    part = choose("component", chosen.get("component", method.OPTIONS.model_fields["component"].default), LOADERS)
    check_disk("output folder", options.out, 4e-9 * sum(p.numel() for p in getattr(base, part).parameters()))
    folder = writable("output folder", options.out)
    erased = erase(base, options.concept, options.method, retain, options.surrogate, options.seed, **chosen)
    measured = {}
    if judge is not None:
        measured = rates(attack(erased.model, prompts, judge, original=base, sampling=sampling_of(options), seed=options.seed))
    save(erased, folder, options.base, options.concept, options.method, chosen, options.seed, measured)
    print(f"{told(measured)}\nwritten: {folder}".lstrip())
    return 0


def run_attack(options: argparse.Namespace) -> int:
    """Attack; ``attack.json`` holds every prompt's outcome."""
    from advunlearn_lib.attacks import ATTACKS, Budget
    from advunlearn_lib.card import told
    from advunlearn_lib.metrics.clip_score import load_clip
    from advunlearn_lib.verbs import attack, rates

    choose("attack", options.attack, ATTACKS)
    budget = validated("budget", Budget, named(options.option)).model_dump()
    prompts, judge, sampling = prompts_in(options.prompts), judge_of(options), sampling_of(options)
    base, model = loaded(options)
    clip = load_clip("openai/clip-vit-large-patch14") if options.attack == "PEZ" else None
    folder = writable("output folder", options.out)
    result = attack(model, prompts, judge, options.attack, base, sampling, options.seed, clip, **budget)
    found = rates(result)
    record = {name: estimate.model_dump() for name, estimate in found.items()} | result.model_dump()
    (folder / "attack.json").write_text(json.dumps(record, indent=1))
    print("\n".join([told(found), *(f"warning: {flag}" for flag in result.flags), f"written: {folder / 'attack.json'}"]))
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """CLIP score, and FID with --reference; ``evaluate.json``."""
    from advunlearn_lib.card import told
    from advunlearn_lib.metrics.clip_score import load_clip
    from advunlearn_lib.metrics.fid import Statistics
    from advunlearn_lib.metrics.inception import Inception
    from advunlearn_lib.paper.prompts import real_pictures
    from advunlearn_lib.verbs import evaluate

    prompts, sampling = prompts_in(options.prompts), sampling_of(options)
    features = Inception(device_of(options)) if options.reference else None
    clip, (_, model) = load_clip(options.clip), loaded(options)
    reference = None
    if features is not None:
        real = real_pictures(options.reference)
        reference = real if isinstance(real, Statistics) else features.features(real)
    folder = writable("output folder", options.out)
    found = evaluate(model, prompts, clip, features, reference, sampling, options.seed)
    (folder / "evaluate.json").write_text(json.dumps({name: estimate.model_dump() for name, estimate in found.items()}, indent=1))
    print(f"{told(found)}\nwritten: {folder / 'evaluate.json'}")
    return 0


def run_generate(options: argparse.Namespace) -> int:
    """PNG files, numbered as the prompts are."""
    from PIL import Image

    from advunlearn_lib.attacks import AttackedPrompt
    from advunlearn_lib.verbs import generate

    texts = [AttackedPrompt(text, options.seed + number) for number, text in enumerate(options.prompt)]
    prompts, sampling = texts or prompts_in(options.prompts), sampling_of(options)
    _, model = loaded(options)
    folder = writable("output folder", options.out)
    images = (generate(model, prompts, sampling) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05}.png")
    print(f"written: {len(images)} pictures in {folder}")
    return 0
