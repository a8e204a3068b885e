"""What can be said of the verbs' options before a model is loaded."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.cli.model_options import labels_of


def check_early(options: Namespace) -> None:
    """Raise :class:`UserError` for a sampler, device, text, CLIP or judge that cannot be."""
    from advunlearn_lib.diffusion import hub
    from advunlearn_lib.diffusion.device import device_named
    from advunlearn_lib.diffusion.sampling import SAMPLERS
    from advunlearn_lib.diffusion.token_edit import check_words
    from advunlearn_lib.metrics.judges import check_judge

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
