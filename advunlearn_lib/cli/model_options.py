"""The options of the verbs on a model of one's own."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from advunlearn_lib.base.paths import shipped
from advunlearn_lib.base.settings import MOST_STEPS, STRONGEST
from advunlearn_lib.cli.command import at_least, between, seed

RESNET = "microsoft/resnet-50@34c2154c194f829b11125337b98c8f5f9965ff19"
KINDS = ("broad", "style", "object")
OPTION = "of the {}; NAME=@FILE takes the texts of a file like --prompts"


def add_model_options(parser: ArgumentParser) -> None:
    """The model, how it draws, where what is made goes."""
    add = parser.add_argument
    add(
        "--base",
        required=True,
        type=shipped,
        metavar="ID_OR_DIR",
        help="a Stable Diffusion 1.x, 2.x or XL pipeline: folder, hub id, or (not 2.x) a single file",
    )
    add("--out", required=True, type=Path, help="folder for what is made")
    add("--seed", type=seed, default=0)
    add("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    add(
        "--batch",
        type=at_least(1),
        default=8,
        help="pictures, and prompts under attack, at once (default: 8)",
    )
    add("--sampler", help="ddim, dpm++ or lms (default: the paper's lms; dpm++ for a small model)")
    add(
        "--steps",
        type=at_least(1, MOST_STEPS),
        help="denoising steps of a picture (default: the paper's 50, 100 to evaluate; 8)",
    )
    add("--guidance-scale", type=between(0, STRONGEST), help="(default: the paper's 7.5; 5)")
    add("--prompts", type=Path, metavar="FILE",
        help="a .csv, .tsv or .jsonl with prompt (and seed, guidance_scale, or I2P's), or lines")  # fmt: skip


def add_checkpoint_option(parser: ArgumentParser) -> None:
    """Weights instead of the base's own."""
    parser.add_argument(
        "--checkpoint",
        help="an erased text encoder or UNet: folder, owner/name/subfolder, .pt or .safetensors; "
        "some layers of it or a LoRA, too (docs/formats.md)",
    )


def add_judge_options(parser: ArgumentParser) -> None:
    """What tells success."""
    add = parser.add_argument
    add(
        "--judge",
        default=RESNET,
        type=shipped,
        help="nudenet (the benchmark's), a local best.onnx, nudenet-320n (the package's), or an image "
        f"classifier's folder or hub id (default: {RESNET})",
    )
    add("--labels", default="", help="the judge's labels that mean success, separated by ';'")
    add(
        "--threshold",
        type=between(0, 1),
        help="the least probability of those labels together (default: the tables' 0; 0.9 for a small model; "
        "nudenet: 0.5)",
    )


def add_kind_option(parser: ArgumentParser) -> None:
    """The kind of concept."""
    parser.add_argument(
        "--kind", default="broad", choices=KINDS, help="whose settings: nudity's, a style's, an object's"
    )


def add_erase_options(parser: ArgumentParser) -> None:
    """The options of ``erase``."""
    add_model_options(parser)
    add = parser.add_argument
    add("--concept", required=True, action="append", help="a prompt that names it; may be repeated")
    add_kind_option(parser)
    add("--method", default="advunlearn", help="(default: advunlearn; ./reproduce.sh list methods)")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help=OPTION.format("method"))
    add(
        "--retain",
        help="retain prompts: coco, imagenet (fetched once), or a file like --prompts (default: coco)",
    )
    add(
        "--surrogate",
        default="",
        help="the prompt whose picture should come instead, for methods that relabel",
    )
    add(
        "--name",
        action="append",
        default=[],
        help="the concept's own words within its prompts (default: the shortest prompt)",
    )
    add(
        "--precision",
        choices=("fp32", "bf16"),
        help="of training (default: the tables' bf16; fp32 for a small model); pictures are made in fp32",
    )
    add(
        "--format",
        choices=("folder", "single-file"),
        default="folder",
        help="the trained part as a folder; single-file: besides, the whole model for A1111 and ComfyUI",
    )
    add_judge_options(parser)


def add_attack_options(parser: ArgumentParser) -> None:
    """The options of ``attack``."""
    add_model_options(parser)
    add_checkpoint_option(parser)
    add_judge_options(parser)
    add_kind_option(parser)
    parser.add_argument("--attack", default="UnlearnDiffAtk", help="(./reproduce.sh list attacks)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help=OPTION.format("budget")
    )
    parser.add_argument("--clip", type=shipped, help="the CLIP model of PEZ and PH2P (default: the tables')")


def add_evaluate_options(parser: ArgumentParser) -> None:
    """The options of ``evaluate``."""
    add_model_options(parser)
    add_checkpoint_option(parser)
    parser.add_argument(
        "--clip", type=shipped, help="the CLIP model of the CLIP score (default: the tables')"
    )
    parser.add_argument(
        "--reference", type=Path, help="real pictures for FID: a folder, or an .npz of mu and sigma"
    )


def add_generate_options(parser: ArgumentParser) -> None:
    """The options of ``generate``."""
    add_model_options(parser)
    add_checkpoint_option(parser)
    parser.add_argument("--prompt", action="append", default=[], help="a text; may be repeated")
