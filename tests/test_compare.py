"""Two models' numbers compared: paired on the same prompts or captions, else by their two intervals."""

from math import comb, sqrt

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from advunlearn_lib.metrics.compare import Difference, compare_means, compare_rates, joined
from advunlearn_lib.metrics.estimate import Estimate, proportion
from advunlearn_lib.metrics.fid import Statistics, contributions


def outcomes(both, left_alone, right_alone, neither):
    """Two models' successes on the same prompts, from how often which succeeded."""
    left = [True] * (both + left_alone) + [False] * (right_alone + neither)
    right = [True] * both + [False] * left_alone + [True] * right_alone + [False] * neither
    return np.array(left), np.array(right)


def test_pairs_are_compared_as_in_the_literature():
    """Bentur et al. 2009 as analysed by Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014)."""
    found = compare_rates(*outcomes(1, 1, 7, 12))
    assert found.rule == "McNemar" and found.p == pytest.approx(0.0703, abs=5e-5)
    assert (found.value, found.low, found.high) == pytest.approx((-28.6, -50.7, -2.6), abs=0.05)


@pytest.mark.parametrize("counts", [(20, 9, 2, 11), (0, 6, 0, 10), (3, 1, 12, 40), (30, 0, 5, 1)])
def test_mcnemars_p_is_a_fair_coins(counts):
    _, left, right, _ = counts
    n, fewer = left + right, min(left, right)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    assert compare_rates(*outcomes(*counts)).p == pytest.approx(min(1, 2 * tail))


@pytest.mark.parametrize("counts", [(20, 9, 2, 11), (0, 6, 0, 10), (9, 0, 0, 9), (7, 0, 0, 0), (0, 9, 9, 0)])
def test_the_other_way_round_is_the_mirror_image(counts):
    left, right = outcomes(*counts)
    one, other = compare_rates(left, right), compare_rates(right, left)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p == other.p and one.low <= one.value <= one.high


def test_pairing_tells_apart_what_two_intervals_do_not():
    """The second model breaks on ten more of the same prompts and on none fewer."""
    left, right = outcomes(60, 0, 10, 30)
    paired, apart = compare_rates(left, right), joined(proportion(60, 100), proportion(70, 100), "Newcombe")
    assert paired.verdict("<") == "holds" and apart.verdict("<") == "undecided"
    assert paired.high - paired.low < apart.high - apart.low


def test_unpaired_rates_are_newcombes_hybrid_score():
    """56/70 against 48/80: 0.20 [0.0524, 0.3339], Newcombe 1998, Table II (a), method 10."""
    found = joined(proportion(56, 70), proportion(48, 80), "Newcombe")
    assert (found.value, found.low, found.high) == pytest.approx((20, 5.24, 33.39), abs=0.006)


def test_other_intervals_are_joined_by_squares():
    left, right = Estimate(value=10, low=7, high=11, n=5), Estimate(value=4, low=3, high=8, n=5)
    found = joined(left, right, "MOVER")
    assert found[:4] == (6, 6 - 5, 6 + sqrt(2), "MOVER") and found.p is None


def test_the_same_captions_are_resampled_for_both():
    """Pictures differ much, the two models' little: pairing sees it."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0.5, 0.2, 400)
    left, right = hard + rng.normal(0, 0.02, 400), hard + rng.normal(0.01, 0.02, 400)
    found = compare_means(left, right)
    half = 1.96 * np.std(left - right) / 20
    assert found.rule == "paired bootstrap" and found.value == pytest.approx(np.mean(left) - np.mean(right))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1) and found.verdict("<") == "holds"
    assert compare_means(left, right) == found
    assert compare_means(left, rng.permutation(right)).verdict("<") == "undecided"


@pytest.mark.parametrize(("low", "high", "p", "less", "more"), [
    (-2, -1, None, "holds", "fails"),
    (1, 2, None, "fails", "holds"),
    (-1, 2, None, "undecided", "undecided"),
    (0, 2, None, "undecided", "undecided"),  # 0 is no difference
    (-2, -1, 0.06, "undecided", "undecided"),  # where there is an exact test, it decides
    (-2, 0.1, 0.04, "holds", "fails"),
])  # fmt: skip
def test_verdicts(low, high, p, less, more):
    found = Difference((low + high) / 2, low, high, "McNemar", p)
    assert (found.verdict("<"), found.verdict(">")) == (less, more)


@pytest.fixture(scope="module")
def features():
    """Of real pictures, and of two models' pictures of the same captions: alike, and rank-deficient."""
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(12, 12)) * 0.6 ** np.arange(12)
    real, scene = rng.gamma(2, size=(600, 12)) @ mix, rng.gamma(2, size=(500, 12))
    left = (scene + rng.normal(0.1, 0.4, size=(500, 12))) @ mix
    right = (1.15 * scene + rng.normal(0.0, 0.4, size=(500, 12))) @ mix
    return [torch.tensor(np.concatenate([part, part[:, :1]], 1)) for part in (real, left, right)]


def fid(real, generated):
    """The formula."""
    s, t = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    apart = ((real.mean(0) - generated.mean(0)) ** 2).sum()
    return apart + np.trace(s + t) - 2 * np.trace(np.real(sqrtm(s @ t)))


def test_what_pictures_add_has_the_fid_as_its_mean(features):
    real, left, _ = features
    parts = contributions(real, left)
    assert parts.shape == (500,) and parts.mean() == pytest.approx(fid(real.numpy(), left.numpy()), rel=1e-4)
    told = contributions(Statistics(real.mean(0), torch.cov(real.T)), left)
    np.testing.assert_allclose(told, parts, rtol=1e-6, atol=1e-9)


def test_what_a_picture_adds_is_the_derivative(features):
    """A picture that counts 1 % more moves FID as far as its part is from the mean."""
    real, left, _ = (part.numpy() for part in features)
    parts, n, more = contributions(*map(torch.tensor, (real, left))), len(left), 0.01
    for which in (0, 17, 400):
        weights = np.full(n, 1.0)
        weights[which] += more
        mean = np.average(left, 0, weights)
        covariance = (left - mean).T * weights @ (left - mean) / weights.sum() * n / (n - 1)
        s = np.cov(real, rowvar=False)
        moved = ((real.mean(0) - mean) ** 2).sum() + np.trace(s + covariance)
        moved -= 2 * np.trace(np.real(sqrtm(s @ covariance)))
        change = (moved - fid(real, left)) / (more / n)
        assert change == pytest.approx(parts[which] - parts.mean(), rel=0.02, abs=1e-3)


def test_the_bootstrap_of_parts_is_the_bootstrap_of_fids(features):
    """One model's interval, and that of two models' difference, against 300 FIDs of resampled pictures."""
    real, left, right = (part.numpy() for part in features)
    rng, n = np.random.default_rng(2), len(left)
    draws = np.array([
        (fid(real, left[which]), fid(real, right[which])) for which in rng.integers(n, size=(300, n))
    ])  # fmt: skip
    parts = [contributions(*map(torch.tensor, (real, one))) for one in (left, right)]
    for spread, found in (
        (draws[:, 0], compare_means(parts[0], np.zeros(n))),
        (draws[:, 0] - draws[:, 1], compare_means(*parts)),
    ):
        wide = np.diff(np.quantile(spread, (0.025, 0.975))).item()
        assert found.high - found.low == pytest.approx(wide, rel=0.15)
    unpaired = np.hypot(*(2 * 1.96 * part.std() / n**0.5 for part in parts))
    assert found.high - found.low < 0.8 * unpaired  # on the same captions
