"""``evaluate``: CLIP score, and with real pictures FID, of a model of one's own."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib import api
from advunlearn_lib.base.files import writable
from advunlearn_lib.cli.model_inputs import check_early, load_models, read_prompts, sampling_of, write_json
from advunlearn_lib.data.reference import read_reference, reference_files
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.clip_score import check_count, count_cut
from advunlearn_lib.metrics.estimate import format_estimates
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.quality import load_features


def run(options: Namespace) -> int:
    """CLIP score, and FID with --reference; ``evaluate.json``."""
    check_early(options)
    captions = read_prompts(options.prompts)
    check_count(len(captions))
    features = reference = None
    if options.reference:
        reference_files(options.reference)
    _, model = load_models(options)
    profile = resolve.profile_of(model)
    network = options.clip or profile.clip
    clip = api.load_clip(network, device_named(options.device))
    if options.reference:
        features = load_features(profile.judge(profile.fid_features), device_named(options.device))
        real = read_reference(options.reference)
        reference = real if isinstance(real, Statistics) else features.features(real)
    folder = writable("output folder", options.out)
    sampling = sampling_of(options, resolve.quality_sampling(profile))
    estimates = api.evaluate(
        model, captions, clip, features, reference, sampling, options.seed, options.batch
    )
    cut = count_cut(clip, [caption.text for caption in captions])
    protocol = {"captions": f"{len(captions)} of {options.prompts.name}", "clip": network}
    protocol["captions that CLIP cuts"] = cut
    protocol |= {"features": profile.fid_features if options.reference else "", "pictures": vars(sampling)}
    rates = {name: estimate.model_dump() for name, estimate in estimates.items()}
    write_json(folder / "evaluate.json", rates | {"protocol": protocol})
    warning = [f"warning: CLIP cuts {cut} of {len(captions)} captions, which are too long for it"] * (cut > 0)
    print("\n".join([format_estimates(estimates), *warning, f"written: {folder / 'evaluate.json'}"]))
    return 0
