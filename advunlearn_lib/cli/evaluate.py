"""``evaluate``: CLIP score, and with real pictures FID, of a model of one's own."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from advunlearn_lib import api
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.kept import PART, once
from advunlearn_lib.cli.model_inputs import (
    check_early,
    load_models,
    models_key,
    read_prompts,
    sampling_of,
    write_json,
)
from advunlearn_lib.data.reference import read_reference, reference_files, reference_key
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.clip_score import check_count, count_cut
from advunlearn_lib.metrics.estimate import format_estimates
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.quality import Split, load_features


def in_kept_parts(store: Store) -> Split:
    """All of the work in this process; each part goes into ``store`` as soon as it is done."""

    def split(count: int, work: Callable[[Sequence[int]], list[Any]]) -> list[Any]:
        def one(number: int) -> dict[str, Tensor]:
            return dict(work([number])[0])

        parts = tqdm(range(count), desc="parts", leave=False)
        return [store.tensors(PART, {PART: number}, partial(one, number)) for number in parts]

    return split


def reference_of(real: Any, features: Any, store: Store) -> Tensor | Statistics | None:
    """What FID compares with: statistics, or the features [n, d] of pictures, which ``store`` keeps."""
    if real is None or isinstance(real, Statistics):
        return real
    return store.tensors("reference", {}, lambda: {"features": features.features(real)})["features"]


def run(options: Namespace) -> int:
    """CLIP score, and FID with --reference; ``evaluate.json``."""
    check_early(options)
    captions = read_prompts(options.prompts)
    check_count(len(captions))
    features = real = None
    if options.reference:
        reference_files(options.reference)
    base, model = load_models(options)
    profile = resolve.profile_of(model)
    network = options.clip or profile.clip
    clip = api.load_clip(network, device_named(options.device))
    if options.reference:
        features = load_features(profile.judge(profile.fid_features), device_named(options.device))
        real = read_reference(options.reference)
    sampling = sampling_of(options, resolve.quality_sampling(profile))
    spec = api.quality_spec(model, sampling, options.seed)
    cut = count_cut(clip, [caption.text for caption in captions])
    protocol = {"captions": f"{len(captions)} of {options.prompts.name}", "clip": network}
    protocol["captions that CLIP cuts"] = cut
    protocol |= {"features": profile.fid_features if options.reference else "", "pictures": vars(sampling)}
    warning = [f"warning: CLIP cuts {cut} of {len(captions)} captions, which are too long for it"] * (cut > 0)

    def work(store: Store) -> str:
        split, reference = in_kept_parts(store), reference_of(real, features, store)
        estimates = spec.run(model, captions, clip, features, reference, options.batch, split)
        rates = {name: estimate.model_dump() for name, estimate in estimates.items()}
        path = options.out / "evaluate.json"
        write_json(path, rates | {"protocol": protocol})
        return "\n".join([format_estimates(estimates), *warning, f"written: {path}"])

    made_by = {
        **spec.recipe,
        "clip": fingerprint(network),
        "features": fingerprint(profile.judge(profile.fid_features)) if options.reference else "",
        "reference": reference_key(options.reference) if options.reference else "",
        "models": models_key(options, base, model),
        "captions": [vars(caption) for caption in captions],
    }
    return once(options, made_by, ["evaluate.json"], work)
