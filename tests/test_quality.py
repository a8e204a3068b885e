"""FID and CLIP score of a model's pictures, looked at in parts."""

import numpy as np
import pytest
import torch
from frechet import frechet_distance
from safetensors.torch import load_file

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics import quality
from advunlearn_lib.metrics.clip_score import clip_scores
from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.metrics.quality import AT_ONCE, measure_quality
from advunlearn_lib.profiles.pocket import POCKET

QUICK = Sampling("ddim", 2, 1.0)
HELD = 40


@pytest.fixture(autouse=True)
def _held(monkeypatch):
    """Pictures that are held in memory at once: fewer, for time."""
    monkeypatch.setattr(quality, "AT_ONCE", HELD)


@pytest.fixture(scope="module")
def captions():
    """More than are held in memory at once."""
    texts = [scene.caption for scene in fresh_scenes(POCKET.sprites, 60).scenes]
    assert HELD < len(texts) < 2 * HELD < AT_ONCE
    return [EvaluationPrompt(text, 7 * seed) for seed, text in enumerate(texts)]


@pytest.fixture(scope="module")
def judge():
    return Classifier(POCKET.judge("judge-object"))


@pytest.fixture(scope="module")
def pictures(model, captions):
    return model.generate([p.text for p in captions], [p.seed for p in captions], QUICK, 40)


@pytest.fixture(scope="module")
def real(judge):
    images = torch.from_numpy(fresh_scenes(POCKET.sprites, 200).images).permute(0, 3, 1, 2) / 255
    return judge.features(images)


def test_parts_measure_as_the_whole_does(model, clip, captions, judge, pictures, real):
    ours = measure_quality(model, captions, QUICK, clip, judge, real, batch=20, seed=3)
    fid = frechet_distance(real, judge.features(pictures), seed=3)
    score = bootstrap_mean(clip_scores(clip, pictures, [p.text for p in captions]), 3)
    assert set(ours) == {"fid", "clip"} and ours["fid"].n == ours["clip"].n == 60
    for field in ("value", "low", "high"):
        assert getattr(ours["fid"], field) == pytest.approx(getattr(fid, field), rel=1e-3)
        assert getattr(ours["clip"], field) == pytest.approx(getattr(score, field), abs=1e-4)
    assert ours["fid"].low < ours["fid"].value < ours["fid"].high


@pytest.mark.parametrize(("batch", "threads"), [(7, 1), (20, 2)])
def test_other_batches_and_threads_give_the_same_numbers(model, clip, captions, judge, real, batch, threads):
    """Sums in another order differ by the last bits of single precision: by 8e-7 of the FID here.

    On a processor without AVX-512 by 3e-6.
    """
    ours = measure_quality(model, captions, QUICK, clip, judge, real, batch=20)
    torch.set_num_threads(threads)
    try:
        other = measure_quality(model, captions, QUICK, clip, judge, real, batch=batch)
    finally:
        torch.set_num_threads(1)
    for name, estimate in ours.items():
        assert other[name].value == pytest.approx(estimate.value, rel=1e-5)


def test_only_what_is_asked_for_is_measured(model, clip, captions, judge, real):
    few = captions[:40]
    assert set(measure_quality(model, few, QUICK, clip, batch=20)) == {"clip"}
    assert set(measure_quality(model, few[:33], QUICK, None, judge, real, batch=20)) == {"fid"}


def test_parts_may_be_shared_out(model, captions, clip):
    """Several workers, each with some of the parts, give the parts back in order."""
    asked = []

    def split(count, work):
        asked.append(count)
        apart = [work([number])[0] for number in reversed(range(count))]
        return apart[::-1]

    alone = measure_quality(model, captions, QUICK, clip, batch=20)
    assert measure_quality(model, captions, QUICK, clip, batch=20, split=split) == alone and asked == [2]


def test_each_pictures_share_is_kept(model, clip, captions, judge, real, tmp_path):
    """Means of what was kept are the numbers; features are kept as they were seen, in half precision."""
    few, kept = captions[:30], tmp_path / "kept.safetensors"
    ours = measure_quality(model, few, QUICK, clip, judge, real, batch=30, seed=3, keep=kept)
    shares = load_file(kept)
    assert {name: tuple(value.shape) for name, value in shares.items()} == {
        "clip": (30,), "fid": (30,), "features": (30, real.shape[1]),
    }  # fmt: skip
    for name in ("clip", "fid"):
        assert bootstrap_mean(shares[name].numpy(), 3) == ours[name]
    assert shares["features"].dtype == torch.float16
    again = frechet_distance(real, shares["features"])
    assert again.value == pytest.approx(ours["fid"].value, rel=0.01)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_captions_are_refused_before_drawing(model, clip, captions, monkeypatch, count):
    monkeypatch.setattr(LatentDiffusion, "generate", None)
    with pytest.raises(UserError, match=f"at least 2 captions, not {count}"):
        measure_quality(model, captions[:count], QUICK, clip)


def test_statistics_stand_for_their_features(real):
    """FID from a mean and covariance is FID from features that have them, by this package and by numpy."""
    rng = np.random.default_rng(0)
    features, fake = (torch.tensor(rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))) for _ in range(2))
    statistics = Statistics(features.mean(0), torch.cov(features.T))
    whole = frechet_distance(features, fake, seed=1)
    told = frechet_distance(statistics, fake, seed=1)
    for field in ("value", "low", "high"):
        assert getattr(told, field) == pytest.approx(getattr(whole, field), rel=1e-6)
    other = frechet_distance(Statistics(statistics.mu + 1, statistics.sigma), features)
    assert other.value == pytest.approx(6, rel=1e-5)  # six coordinates moved by one
    own = Statistics(real.mean(0), torch.cov(real.double().T))
    assert frechet_distance(own, real).value == pytest.approx(0, abs=1e-2)
