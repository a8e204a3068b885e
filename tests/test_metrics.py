import math

import numpy as np
import pytest
import torch
from frechet import frechet_distance
from pydantic import ValidationError
from scipy.linalg import sqrtm
from torchmetrics.functional.multimodal.clip_score import clip_score
from torchmetrics.image.fid import _compute_fid

from advunlearn_lib.attacks.records import PromptResult
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_uint8
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import check_count, clip_scores, count_cut, load_clip
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean, format_estimates, proportion
from advunlearn_lib.metrics.judges import Classifier, LabelJudge
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world.things import OBJECTS


def test_wilson_is_the_closed_form():
    k, n, z = 30, 142, 1.959963984540054
    centre, half = (k / n + z * z / 2 / n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / 4 / n / n)
    estimate = proportion(k, n)
    assert estimate.value == pytest.approx(100 * k / n)
    assert estimate.low == pytest.approx(100 * (centre - half) / (1 + z * z / n))
    assert estimate.high == pytest.approx(100 * (centre + half) / (1 + z * z / n))


def test_a_means_interval_is_the_percentiles_of_a_thousand_resamples():
    values = np.random.default_rng(1).gamma(2, size=40)
    for seed, found in ((0, bootstrap_mean(values)), (3, bootstrap_mean(values, 3))):
        means = values[np.random.default_rng(seed).integers(0, 40, (1000, 40))].mean(1)
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))))
        assert found.value == pytest.approx(values.mean()) and found.n == 40


def test_estimates_are_shown_a_line_each_and_stay_as_they_are():
    fid = Estimate(value=12.34567, low=1.5, high=1234.5, n=300)
    shown = format_estimates({"ASR (%)": proportion(8, 40), "FID": fid})
    assert shown == "- ASR (%): 20 [10.5, 34.76], n = 40\n- FID: 12.35 [1.5, 1234], n = 300"
    with pytest.raises(ValidationError, match="frozen"):
        fid.value = 0


def test_asr_counts_successes_without_and_with_attack():
    rows = [(True, True), (False, True), (False, False), (False, False)]
    results = [PromptResult(prompt="p", seed=0, before=b, after=a, adversarial="p", step=0) for b, a in rows]
    asr, before = attack_success_rate(results)
    assert (asr.value, before.value, asr.n) == (50, 25, 4)


def test_fid_is_the_formula():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(300, 5)), rng.normal(0.3, 1.4, size=(250, 5))
    s, t = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    estimate = frechet_distance(torch.tensor(real), torch.tensor(fake))
    assert estimate.value == pytest.approx(expected, rel=1e-9)
    theirs = _compute_fid(*map(torch.tensor, (real.mean(0), s, fake.mean(0), t)))  # torchmetrics'
    assert estimate.value == pytest.approx(float(theirs), rel=1e-9)
    assert estimate.low < estimate.value < estimate.high and estimate.n == 250
    assert frechet_distance(torch.tensor(real), torch.tensor(real)).value == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def scenes():
    return fresh_scenes(POCKET.sprites, 96)


@pytest.fixture(scope="module")
def images(scenes):
    return torch.from_numpy(scenes.images).permute(0, 3, 1, 2).float() / 255


def test_clip_score_is_the_cosine(scenes, images):
    model, processor = clip = load_clip(POCKET.clip)
    captions = [scene.caption for scene in scenes.scenes][:6]
    with torch.no_grad():
        pictures = model.get_image_features(images[:6] * 2 - 1)
        texts = torch.cat(
            [model.get_text_features(**processor(text=[c], return_tensors="pt")) for c in captions]
        )
    expected = torch.cosine_similarity(pictures, texts).clamp(min=0)
    ours = clip_scores(clip, images[:6], captions)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-3)
    told = [
        float(clip_score(to_uint8(image), text, lambda: clip)) for image, text in zip(images[:6], captions)
    ]
    np.testing.assert_allclose(ours, np.array(told) / 100, atol=1e-6)  # torchmetrics', picture by picture
    every = [scene.caption for scene in scenes.scenes][:80]
    right, wrong = (
        bootstrap_mean(clip_scores(clip, images[:80], texts)) for texts in (every, every[1:] + every[:1])
    )
    assert right.low > wrong.high and right.n == 80


def test_a_caption_longer_than_clip_reads_is_cut(clip, images):
    longest = clip[0].config.text_config.max_position_embeddings
    captions = ["a church " * longest, "a photo of a church"]
    scores, alone = clip_scores(clip, images[:2], captions), clip_scores(clip, images[1:2], captions[1:])
    assert scores.shape == (2,) and scores[1] == pytest.approx(alone[0], abs=1e-5)
    assert count_cut(clip, captions) == 1 and count_cut(clip, captions[1:] * 3) == 0


def test_what_is_left_of_a_long_caption_keeps_its_end_token(clip, scenes, images):
    """Without it CLIP pools another token."""
    model, processor = clip
    longest, caption = model.config.text_config.max_position_embeddings, scenes.scenes[0].caption
    text = f"{caption} and {caption} and {caption} and {caption}"
    ids = torch.tensor(
        [[*processor.tokenizer(text).input_ids[: longest - 1], processor.tokenizer.eos_token_id]]
    )
    with torch.no_grad():
        told = model.get_text_features(ids, torch.ones_like(ids))
        picture = model.get_image_features(images[:1] * 2 - 1)
    expected = float(torch.cosine_similarity(picture, told))
    assert count_cut(clip, [text]) == 1 and expected > 0.4
    assert clip_scores(clip, images[:1], [text])[0] == pytest.approx(expected, abs=1e-3)


def test_one_picture_has_no_spread():
    check_count(2)
    with pytest.raises(UserError, match="need at least 2 captions, not 1"):
        check_count(1)


def test_judges_know_the_world(scenes, images):
    judge = Classifier(POCKET.judge("judge-object"))
    guesses = judge.probabilities(images).argmax(-1)
    photos = [i for i, scene in enumerate(scenes.scenes) if scene.style == 0]
    assert np.mean([judge.labels[guesses[i]] == OBJECTS[scenes.scenes[i].thing] for i in photos]) > 0.9
    weapon = LabelJudge(judge, list(POCKET.concepts["nudity"].labels))
    assert weapon(images).tolist() == [judge.labels[g] in POCKET.concepts["nudity"].labels for g in guesses]
    assert judge.features(images).shape == (96, 192)


def test_unknown_labels_and_folders_are_named(tmp_path):
    judge = Classifier(POCKET.judge("judge-object"))
    with pytest.raises(UserError, match="has no label 'dragon'"):
        LabelJudge(judge, ["dragon"])
    with pytest.raises(UserError, match="cannot load an image classifier"):
        Classifier(tmp_path)


def test_a_judge_wants_the_labels_on_top_and_sure_enough():
    class Fixed:
        labels = ("bow", "axe", "cat")

        def probabilities(self, images):
            return torch.tensor([[0.5, 0.45, 0.05], [0.45, 0.4, 0.15], [0.2, 0.3, 0.5]])

    pictures = torch.zeros(3, 3, 4, 4)
    assert LabelJudge(Fixed(), ["bow", "axe"])(pictures).tolist() == [True, True, False]
    assert LabelJudge(Fixed(), ["bow", "axe"], 0.9)(pictures).tolist() == [True, False, False]
    assert LabelJudge(Fixed(), ["bow"], 0.5)(pictures).tolist() == [True, False, False]
