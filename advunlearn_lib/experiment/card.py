"""What an erased model's folder says: how it was made, what was measured, and the lines that load it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.markdown import plain
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.metrics.estimate import Estimate, format_estimates

RECORD = "erased.json"
CARD = """---
{data}
---

# {concept} erased from {base}

{component} of `{base}`, trained by *{method}* so that {concepts} no longer gives its picture, also under
adversarial prompts where the method trains against them. Made by advunlearn_lib, commit {commit},
seed {seed}, in {precision}.

```python
{load}
image = pipe("a prompt").images[0]
```

## What was measured

{measured}

## How it was made

```json
{options}
```

Erasing is not a safety guarantee: an attack with more steps, or in embedding space, may succeed where the one
above failed.
"""
NOTHING = "Nothing: no prompts and judge were given."


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and how.

    ``protocol`` names the attack, its budget, the judge, the prompts, the pictures.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.estimates:
            return NOTHING
        lines = [
            f"- {name.replace('_', ' ')}: {plain(readable(value))}" for name, value in self.protocol.items()
        ]
        return "\n".join([format_estimates(self.estimates), "", "Measured with", "", *lines])


def readable(value: Any) -> str:
    """``tokens=3, steps=40`` of a mapping, ``a; b`` of a list, else the value. Empty entries are left out."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items() if one or one == 0)
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def quoted(text: str) -> str:
    """``text`` as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Made:
    """An erased model and how it was made: ``spec`` is its erasure's dump."""

    model: LatentDiffusion
    component: str
    spec: dict[str, Any]
    losses: list[float]

    def loading_lines(self, folder: str) -> str:
        """Plain diffusers' lines that load the base, with any revision it names, and the trained part."""
        classes = self.model.PARTS[self.component]
        parts = {
            subfolder or self.component: (cls, f"{folder}/{subfolder}" if subfolder else folder)
            for subfolder, cls in classes.items()
        }
        library, base = "diffusers" if self.component == "unet" else "transformers", self.model.name
        name, _, revision = (base, "", "") if Path(base).exists() else base.partition("@")
        loader = "from_single_file" if Path(base).is_file() else "from_pretrained"
        pipeline = type(self.model.pipeline).__name__
        arguments = [quoted(name)] + ([f"revision={quoted(revision)}"] if revision else [])
        loads = [f"{part}={cls}.from_pretrained({quoted(where)})" for part, (cls, where) in parts.items()]
        called = ",\n    ".join([*arguments, *loads])
        return f"""from diffusers import {pipeline}
from {library} import {", ".join(cls for cls, _ in parts.values())}

pipe = {pipeline}.{loader}(
    {called},
)"""


def card(made: Made, folder: Path, evaluation: Evaluation) -> str:
    """The README. What users name is escaped: nothing of it becomes code or another heading."""
    spec, base = made.spec, made.model.name
    name = base.partition("@")[0]
    hub_id = name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(base).exists() else None
    tags = ["text-to-image", "concept-erasure", "advunlearn"]
    data = ModelCardData(library_name="diffusers", tags=tags, base_model=hub_id)
    return CARD.format(
        data=data.to_yaml(),
        concept=plain(spec["concept"][0]),
        concepts=", ".join(f'"{plain(prompt)}"' for prompt in spec["concept"][:5]),
        component=made.component.replace("_", " ").capitalize(),
        load=made.loading_lines(folder.name),
        measured=evaluation,
        options=json.dumps(spec["options"], indent=1),
        base=plain(base),
        method=plain(spec["method"]),
        seed=spec["seed"],
        precision=spec["precision"],
        commit=commit(),
    )


def write_card(folder: Path, made: Made, evaluation: Evaluation) -> None:
    """``README.md``, the card, and ``erased.json``, beside the weights."""
    record = {
        "base": made.model.name,
        "component": made.component,
        "spec": made.spec,
        "commit": commit(),
        "measured": {name: estimate.model_dump() for name, estimate in evaluation.estimates.items()},
        "protocol": evaluation.protocol,
        "losses": made.losses,
    }
    texts = {
        "README.md": card(made, folder, evaluation),
        RECORD: json.dumps(record, indent=1, default=sorted),
    }
    for name, text in texts.items():
        with atomic(folder / name) as temporary:
            temporary.write_text(text)
