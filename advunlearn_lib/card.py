"""What an erased model's folder says: a model card with what was measured, and the lines of plain diffusers that load it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advunlearn_lib.erasure.train import Erased
from advunlearn_lib.files import atomic
from advunlearn_lib.metrics.asr import Estimate
from advunlearn_lib.store import commit


def told(estimates: dict[str, Estimate]) -> str:
    """``ASR (%): 20.0 [10.1, 35.2], n = 40`` a line."""
    return "\n".join(f"- {name}: {e.value:.4g} [{e.low:.4g}, {e.high:.4g}], n = {e.n}" for name, e in estimates.items())


CARD = """---
library_name: diffusers
tags: [text-to-image, concept-erasure, advunlearn]
base_model: {base}
---

# {concept} erased from {base}

{component_name} of `{base}`, trained by *{method}* so that {concept_list} no longer gives its picture, also under adversarial
prompts where the method trains against them. Made by advunlearn_lib, commit {commit}, seed {seed}.

```python
from diffusers import {pipeline}
{load}
image = pipe("a prompt").images[0]
```

## What was measured

{measured}

## How it was made

```json
{options}
```

Erasing is not a safety guarantee: an attack with more steps, or in embedding space, may succeed where the one above failed.
"""
LOAD = {
    "text_encoder": (
        "from transformers import CLIPTextModel\n"
        'pipe = {pipeline}.from_pretrained("{base}", text_encoder=CLIPTextModel.from_pretrained("{folder}"))'
    ),
    "unet": (
        "from diffusers import UNet2DConditionModel\n"
        'pipe = {pipeline}.from_pretrained("{base}", unet=UNet2DConditionModel.from_pretrained("{folder}"))'
    ),
}
LOAD_XL = (
    "from transformers import CLIPTextModel, CLIPTextModelWithProjection\n"
    'parts = {{"text_encoder": CLIPTextModel.from_pretrained("{folder}/text_encoder"),\n'
    '         "text_encoder_2": CLIPTextModelWithProjection.from_pretrained("{folder}/text_encoder_2")}}\n'
    'pipe = {pipeline}.from_pretrained("{base}", **parts)'
)


def save(erased: Erased, folder: Path, base: str, concept: Sequence[str], method: str, options: dict[str, Any], seed: int,
         measured: dict[str, Estimate]) -> None:  # fmt: skip
    """The trained part's weights, a README with the lines of diffusers that load it, and ``erased.json``."""
    erased.save_pretrained(folder)
    pipeline = type(erased.model.pipeline).__name__
    load = LOAD_XL if erased.component == "text_encoder" and "XL" in pipeline else LOAD[erased.component]
    names = {"base": base, "pipeline": pipeline, "folder": folder.name}
    card = CARD.format(
        concept=concept[0], concept_list=", ".join(f'"{prompt}"' for prompt in concept[:5]), method=method, commit=commit(), seed=seed,
        component_name=erased.component.replace("_", " ").capitalize(), load=load.format(**names),
        measured=told(measured) or "Nothing: no judge was given.", options=json.dumps(options, indent=1), base=base, pipeline=pipeline,
    )  # fmt: skip
    record = {"base": base, "concept": list(concept), "method": method, "component": erased.component, "options": options, "seed": seed,
              "commit": commit(), "measured": {name: e.model_dump() for name, e in measured.items()}, "losses": erased.losses}  # fmt: skip
    for name, text in (("README.md", card), ("erased.json", json.dumps(record, indent=1))):
        with atomic(folder / name) as temporary:
            temporary.write_text(text)
