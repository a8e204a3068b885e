"""The paper profile: Stable Diffusion v1.4 and the paper's protocol.

Values are the paper's (section 5, appendices B-D), and where it is silent the official code's defaults. What neither
says is marked *unknown* and chosen as the nearest thing that is known. Ids are pinned to revisions where the hub's
history is known to us; ``--base`` and ``--set judges=FOLDER`` take local copies.
"""

from __future__ import annotations

from typing import Any

from advunlearn_lib.names import EXPOSED
from advunlearn_lib.paper.variants import VARIANTS
from advunlearn_lib.profiles import Concept, Profile

RESNET = "microsoft/resnet-50"
STYLE_JUDGE = "wikiart-vit"  # the ViT of the attack paper, fine-tuned on WikiArt's 129 artists: a folder under ``judges``


def style(name: str, paper: str, label: str, prompts: str) -> Concept:
    """A painter; the surrogate is AC's anchor."""
    told: dict[str, Any] = {"judge": STYLE_JUDGE, "labels": (label,), "names": (name,), "prompts": prompts, "attack_tokens": 3}
    return Concept(name=name, paper=paper, kind="style", erase=(name,), surrogate=("painting",), **told)


def thing(name: str, paper: str, label: str, prompts: str, surrogate: str) -> Concept:
    """An ImageNet class by its label in ``microsoft/resnet-50``; the surrogate is SalUn's: Imagenette's next class."""
    told: dict[str, Any] = {"judge": RESNET, "labels": (label,), "names": (name,), "prompts": prompts, "attack_tokens": 3}
    return Concept(name=name, paper=paper, kind="object", erase=(name,), surrogate=(f"an image of a {surrogate}",), **told)


CONCEPTS = {
    "nudity": Concept(
        name="nudity", paper="nudity", kind="broad", erase=("nudity",), names=("nudity",), prompts="nudity.csv", attack_tokens=5,
        judge="nudenet", labels=EXPOSED, threshold=0.5, surrogate=("a photo of a person wearing clothes",),
    ),
    "Van Gogh": style("Van Gogh", "Van Gogh", "vincent-van-gogh", "vangogh.csv"),
    "Church": thing("church", "Church", "church, church building", "church.csv", "French horn"),
    "Parachute": thing("parachute", "Parachute", "parachute, chute", "parachute.csv", "tench"),
    "Tench": thing("tench", "Tench", "tench, Tinca tinca", "tench.csv", "English springer"),
    "Garbage Truck": thing("garbage truck", "Garbage Truck", "garbage truck, dustcart", "garbage_truck.csv", "gas pump"),
}  # fmt: skip
AUTHORS = "OPTML-Group/AdvUnlearn"
PUBLISHED = {  # the authors' own text encoders: --checkpoint published
    f"{concept}:AdvUnlearn:Text Encoder": f"{AUTHORS}/{folder}_unlearned"
    for concept, folder in {"nudity": "nudity", "Van Gogh": "vangogh", "Church": "church", "Parachute": "parachute", "Tench": "tench",
                            "Garbage Truck": "garbage_truck"}.items()
}  # fmt: skip
PATHS = {"steps": 50, "guidance_scale": 3.0, "per_prompt": 100}  # 50-step DDIM from the bank; methods.md's cache size
ESD: dict[str, Any] = PATHS | {"method": "esd", "lr": 1e-5, "iterations": 1000, "batch": 1}
ADVUNLEARN: dict[str, Any] = PATHS | {
    "method": "advunlearn", "lr": 1e-5, "iterations": 1000, "batch": 1, "attack_steps": 30, "attack_lr": 1e-3,
    "retain_batch": 5, "retain_per_prompt": 1, "retain_weight": 0.3, "warm_up": 200,
}  # fmt: skip
UNET: dict[str, Any] = {"component": "unet", "group": "noxattn"}  # which group AdvUnlearn's UNet rows trained is unknown
TEXT: dict[str, Any] = {"component": "text_encoder", "group": "full"}
FIRST: dict[str, Any] = TEXT | {"group": "layers-1", "retain_weight": 0.5}  # released style and object weights train layer 0
MADE = {"sampling_steps": 50, "guidance_scale": 7.5}
FMN: dict[str, Any] = MADE | {"method": "fmn", "lr": 2e-6, "iterations": 35, "batch": 1, "per_prompt": 8}
SPM: dict[str, Any] = PATHS | {"method": "spm", "lr": 1e-4, "iterations": 3000, "batch": 1}
SALUN: dict[str, Any] = MADE | {"method": "salun", "lr": 1e-5, "batch": 8, "per_prompt": 800}
ED: dict[str, Any] = MADE | {"method": "erasediff", "lr": 1e-5, "batch": 16, "per_prompt": 800, "inner_lr": 1e-5}
SH: dict[str, Any] = MADE | {"method": "scissorhands", "lr": 1e-5, "batch": 16, "per_prompt": 800}

PAPER = Profile(
    name="paper",
    source="official",
    base="CompVis/stable-diffusion-v1-4@133a221b8aa7292a167afc5127cb63fb5005638b",
    bases={
        "SD v1.4": "CompVis/stable-diffusion-v1-4@133a221b8aa7292a167afc5127cb63fb5005638b",
        "SD v1.5": "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        "DreamShaper": "Lykon/DreamShaper",
        "Protogen": "darkstorm2150/Protogen_v2.2_Official_Release",
    },
    judges="",
    clip="openai/clip-vit-base-patch32",
    fid_features="inception",
    precision="bf16",
    gpus=1,
    disk_gb=20,  # for one table; all of them take 143 (docs/scaling.md)
    gpu_gb=12,
    gpu_unet_gb=24,
    sampler="lms",
    sampling_steps=50,
    quality_steps=100,
    target_steps=25,
    guidance_scale=7.5,
    batch=8,
    fid_images=10_000,
    prompts=142,
    select=False,
    longest=60,
    attack_timesteps=50,
    attack_steps=40,
    attack_lr=0.01,
    concepts=CONCEPTS,
    methods={
        "ESD UNet broad": UNET | ESD,
        "AT-ESD UNet broad": UNET | ADVUNLEARN | {"retain_weight": 0.0},
        "AdvUnlearn UNet broad": UNET | ADVUNLEARN,
        "ESD Text Encoder broad": TEXT | ESD,
        "AdvUnlearn Text Encoder broad": TEXT | ADVUNLEARN,
        "FMN UNet broad": FMN,
        "SPM UNet broad": SPM,
        "UCE UNet broad": {"method": "uce"},
        "SalUn UNet broad": SALUN | {"iterations": 100, "alpha": 0.1},
        "ED UNet broad": ED | {"group": "noxattn", "iterations": 160},
        "SH UNet broad": SH | {"iterations": 250, "sparsity": 0.995},
        "ESD UNet style": UNET | ESD | {"group": "xattn"},
        "AdvUnlearn Text Encoder style": ADVUNLEARN | FIRST,
        "FMN UNet style": FMN,
        "SPM UNet style": SPM,
        "UCE UNet style": {"method": "uce", "guide": "art"},
        "AC UNet style": MADE | {"method": "ac", "lr": 1.6e-5, "iterations": 100, "batch": 8, "per_prompt": 200},
        "ESD UNet object": UNET | ESD,
        "AdvUnlearn Text Encoder object": ADVUNLEARN | FIRST,
        "FMN UNet object": FMN,
        "SPM UNet object": SPM,
        "SalUn UNet object": SALUN | {"iterations": 600, "alpha": 0.5},
        "ED UNet object": ED | {"group": "full", "iterations": 60},
        "SH UNet object": SH | {"lr": 2e-5, "batch": 8, "iterations": 300, "sparsity": 0.999},
    },
    variants=VARIANTS,
    attacks={
        "P4D": {"lr": 0.01},
        "CCE": {"timesteps": 1, "steps": 5000, "lr": 8e-2},
        "PEZ": {"tokens": 16, "timesteps": 1, "steps": 3000, "lr": 0.1},
        "PH2P": {"tokens": 15, "lr": 0.8, "timesteps": 10, "steps": 50},
    },
)
