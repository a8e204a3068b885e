"""What an erased model's folder says: what was measured and
how, and the lines of plain diffusers that load it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.erasure.loop import Erased
from advunlearn_lib.metrics.estimate import Estimate, format_estimates

CARD = """---
library_name: diffusers
tags: [text-to-image, concept-erasure, advunlearn]
base_model: {base}
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
    """What was measured, and how: ``protocol`` names the
    attack, its budget, the judge, the prompts, the pictures.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.estimates:
            return NOTHING
        lines = [f"- {name.replace('_', ' ')}: {readable(value)}" for name, value in self.protocol.items()]
        return "\n".join([format_estimates(self.estimates), "", "Measured with", "", *lines])


def readable(value: Any) -> str:
    """``tokens=3, steps=40`` of a mapping, ``a; b`` of a list, else the value. Empty entries are left out."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items() if one or one == 0)
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class Made:
    """How an erased model was made."""

    base: str
    concept: list[str]
    method: str
    options: dict[str, Any]
    seed: int
    precision: str = "fp32"


def loading_lines(erased: Erased, base: str, folder: str) -> str:
    """Plain diffusers' lines that load the model: ``base``
    (with its revision, if it names one) and the trained part.
    """
    model, component = erased.model, erased.component
    classes = model.PARTS[component]
    parts = {
        subfolder or component: (cls.__name__, f"{folder}/{subfolder}" if subfolder else folder)
        for subfolder, cls in classes.items()
    }
    library = "diffusers" if component == "unet" else "transformers"
    name, _, revision = (base, "", "") if Path(base).exists() else base.partition("@")
    pipeline = type(model.pipeline).__name__
    arguments = [json.dumps(name)] + ([f"revision={json.dumps(revision)}"] if revision else [])
    loads = [f"{part}={cls}.from_pretrained({json.dumps(where)})" for part, (cls, where) in parts.items()]
    called = ",\n    ".join([*arguments, *loads])
    return f"""from diffusers import {pipeline}
from {library} import {", ".join(cls for cls, _ in parts.values())}

pipe = {pipeline}.from_pretrained(
    {called},
)"""


def save(erased: Erased, folder: Path, made: Made, evaluation: Evaluation) -> None:
    """A README with the lines of diffusers that load the model, and ``erased.json``, beside its weights."""
    card = CARD.format(
        concept=made.concept[0],
        concepts=", ".join(f'"{prompt}"' for prompt in made.concept[:5]),
        component=erased.component.replace("_", " ").capitalize(),
        load=loading_lines(erased, made.base, folder.name),
        measured=evaluation,
        options=json.dumps(made.options, indent=1, default=sorted),
        base=made.base,
        method=made.method,
        seed=made.seed,
        precision=made.precision,
        commit=commit(),
    )
    record = vars(made) | {
        "component": erased.component,
        "commit": commit(),
        "measured": {name: estimate.model_dump() for name, estimate in evaluation.estimates.items()},
        "protocol": evaluation.protocol,
        "losses": erased.losses,
    }
    for name, text in (("README.md", card), ("erased.json", json.dumps(record, indent=1, default=sorted))):
        with atomic(folder / name) as temporary:
            temporary.write_text(text)
