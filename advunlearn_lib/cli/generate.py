"""``generate``: pictures of a model of one's own."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib import api
from advunlearn_lib.base.files import writable
from advunlearn_lib.base.images import write_image
from advunlearn_lib.cli.model_inputs import check_early, load_models, read_prompts, sampling_of
from advunlearn_lib.experiment import resolve


def run(options: Namespace) -> int:
    """PNG files, numbered as the prompts are."""
    check_early(options)
    texts = [api.EvaluationPrompt(text, options.seed + number) for number, text in enumerate(options.prompt)]
    prompts = texts or read_prompts(options.prompts)
    _, model = load_models(options)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, resolve.sampling_of(resolve.profile_of(model)))
    images = api.generate(model, prompts, sampling, options.batch)
    for number, image in enumerate(images):
        write_image(folder / f"{number:05}.png", image)
    print(f"written: {len(images)} pictures in {folder}")
    return 0
