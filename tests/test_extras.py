"""What needs another package; skipped without it.

NudeNet's real detector, CLIP's real vocabulary, statsmodels' tests and intervals.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from advunlearn_lib.base.images import from_arrays, write_image
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.diffusion.token_edit import place, token_count
from advunlearn_lib.metrics.compare import compare_rates, joined
from advunlearn_lib.metrics.estimate import proportion
from advunlearn_lib.metrics.nudenet import NudeNetJudge, PackagedDetector
from advunlearn_lib.metrics.nudenet_classes import EXPOSED
from advunlearn_lib.profiles.pocket import POCKET


@pytest.mark.slow
def test_nudenet_sees_pictures_as_it_sees_their_files(tmp_path):
    """Of a file with red and blue exchanged: cv2 reads a file's channels the other way round."""
    pytest.importorskip("nudenet")
    images = from_arrays(fresh_scenes(POCKET.sprites, 96).images)
    detector = PackagedDetector()
    ours = detector.detections(images)
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        write_image(path, image.flip(0))
        theirs = detector.package.detect(str(path))
        assert [(d["class"], d["box"]) for d in ours[number]] == [(d["class"], d["box"]) for d in theirs]
        assert [d["score"] for d in ours[number]] == pytest.approx([d["score"] for d in theirs], abs=1e-4)
    assert any(ours) and NudeNetJudge(detector, list(EXPOSED))(images).shape == (96,)


@pytest.mark.parametrize(
    "counts", [(20, 9, 2, 11), (1, 1, 7, 12), (0, 6, 0, 10), (9, 0, 0, 9), (30, 25, 41, 46)]
)
def test_rates_are_compared_as_statsmodels_does(counts):
    """Both successful, the left alone, the right alone, neither."""
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    proportions = pytest.importorskip("statsmodels.stats.proportion")
    left, right = (
        np.repeat(which, counts) for which in ([True, True, False, False], [True, False, True, False])
    )
    paired = compare_rates(left, right)
    assert paired.p == pytest.approx(tables.mcnemar(np.reshape(counts, (2, 2)), exact=True).pvalue)
    n, rates = len(left), [proportion(int(side.sum()), len(side)) for side in (left, right)]
    apart = joined(*rates, "Newcombe")
    successes = [side.sum() for side in (left, right)]
    told = proportions.confint_proportions_2indep(successes[0], n, successes[1], n, method="newcomb")
    assert (apart.low, apart.high) == pytest.approx([100 * end for end in told])
    for rate, count in zip(rates, successes, strict=True):
        wilson = proportions.proportion_confint(count, n, method="wilson")
        assert (rate.low, rate.high) == pytest.approx([100 * end for end in wilson], abs=1e-9)


@pytest.fixture(scope="module")
def clip_tokenizer():
    """CLIP's own vocabulary, from the file that a PyPI package ships.

    It has its 49,408 tokens in the published order.
    """
    found = importlib.util.find_spec("open_clip")
    if found is None:
        pytest.skip("open_clip_torch is not installed")
    lines = (
        gzip.decompress((Path(found.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes())
        .decode()
        .split("\n")
    )
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    characters = list(bytes_to_unicode().values())
    words = [
        *characters,
        *(f"{c}</w>" for c in characters),
        *("".join(pair) for pair in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, pad_token="<|endoftext|>")


def test_nudity_and_tench_are_two_tokens_and_are_kept_whole(clip_tokenizer):
    assert len(clip_tokenizer) == 49408
    pieces = {
        word: clip_tokenizer.tokenize(word)
        for word in ("nudity", "tench", "church", "parachute", "garbage truck", "Van Gogh")
    }
    assert pieces["nudity"] == ["nu", "dity</w>"] and pieces["tench"] == ["ten", "ch</w>"]
    assert [len(pieces[word]) for word in ("church", "parachute", "garbage truck", "Van Gogh")] == [
        1,
        1,
        2,
        2,
    ]
    ids = torch.tensor(clip_tokenizer("nudity", padding="max_length").input_ids)
    assert token_count(ids, clip_tokenizer.eos_token_id) == 2
    prompt = place(ids[None, :, None].float(), torch.full((1, 1, 1), -1.0), [2], "prefix")[0, :5, 0]
    assert prompt.tolist() == [49406, -1, *ids[1:3].tolist(), 49407]
