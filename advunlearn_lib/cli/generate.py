"""``generate``: pictures of a model of one's own."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib import api
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.images import write_image
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.kept import once
from advunlearn_lib.cli.model_inputs import check_early, load_models, models_key, read_prompts, sampling_of
from advunlearn_lib.diffusion.pictures import generate_pictures, guidance_scales
from advunlearn_lib.diffusion.sampling import batches
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.spec import VERSIONS


def run(options: Namespace) -> int:
    """PNG files, numbered as the prompts are, each written as soon as its batch is drawn."""
    check_early(options)
    texts = [api.EvaluationPrompt(text, options.seed + number) for number, text in enumerate(options.prompt)]
    prompts = texts or read_prompts(options.prompts)
    base, model = load_models(options)
    sampling = sampling_of(options, resolve.sampling_of(resolve.profile_of(model)))
    files = [f"{number:05}.png" for number in range(len(prompts))]

    def draw(_: Store) -> str:
        with tqdm(total=len(prompts), desc="pictures", leave=False) as bar:
            for _scale, part in batches(guidance_scales(prompts, sampling), options.batch):
                if not all((options.out / files[i]).exists() for i in part):
                    images = generate_pictures(model, [prompts[i] for i in part], sampling)
                    for i, image in zip(part, images, strict=True):
                        with atomic(options.out / files[i]) as temporary:
                            write_image(temporary, image)
                bar.update(len(part))
        return f"written: {len(files)} pictures in {options.out}"

    made_by = {
        "version": VERSIONS["panel"],
        "models": models_key(options, base, model),
        "sampling": vars(sampling),
        "prompts": [vars(prompt) for prompt in prompts],
    }
    return once(options, made_by, files, draw)
