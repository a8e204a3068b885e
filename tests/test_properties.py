"""Prompt surgery, projection, intervals for any input: examples that hypothesis draws, always the same."""

from contextlib import suppress

import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis")  # it stands in requirements-extras.lock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import binom

from advunlearn_lib.attacks.cce import with_token
from advunlearn_lib.attacks.unlearndiffatk import project_to_simplex
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.soft_tokens import soft_tokens
from advunlearn_lib.diffusion.token_edit import check_room, place, token_count
from advunlearn_lib.metrics.compare import compare_rates, joined
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean, proportion


def examples(number):
    return settings(max_examples=number, deadline=None, derandomize=True, database=None)


# -- prompt surgery ---------------------------------------------------------------------------------------


@st.composite
def prompts_with_room(draw):
    """Rows of ids: start, words, end and its padding; how many words each has; k rows beside them."""
    total = draw(st.integers(4, 14))
    counts = draw(st.lists(st.integers(1, total - 2), min_size=1, max_size=3))
    rows = [[1, *range(10, 10 + n), *range(900, 900 + total - 1 - n)] for n in counts]
    return torch.tensor(rows).float()[..., None], counts, draw(st.integers(1, total))


def beside(tokens, k):
    """``k`` rows a prompt that are no token's."""
    return -(torch.arange(len(tokens) * k).float() + 1).view(len(tokens), k, 1)


@examples(60)
@given(prompts_with_room(), st.sampled_from(["prefix", "suffix"]))
def test_tokens_put_in_leave_the_others_in_order(drawn, layout):
    tokens, counts, k = drawn
    d = beside(tokens, k)
    out = place(tokens, d, counts, layout)
    assert out.shape == tokens.shape and torch.equal(out[:, 0], tokens[:, 0])
    for row, was, mine, n in zip(out, tokens, d, counts):
        at = 1 if layout == "prefix" else 1 + n
        room = len(was) - at
        assert torch.equal(row[at : at + k], mine[:room])
        assert torch.equal(torch.cat([row[:at], row[at + k :]]), was[: len(was) - min(k, room)])
        if 1 + n + k < len(was):
            assert row[1 + n + k] == was[1 + n]  # the first end token is behind them


@examples(60)
@given(prompts_with_room())
def test_tokens_put_instead_end_where_they_end(drawn):
    tokens, counts, k = drawn
    d = beside(tokens, k)
    out = place(tokens, d, counts, "replace")
    assert out.shape == tokens.shape
    for row, was, mine, n in zip(out, tokens, d, counts):
        assert row[0] == was[0] and torch.equal(row[1 : 1 + k], mine[: len(was) - 1])
        behind, ends = row[1 + k :], was[1 + n :]
        assert torch.equal(behind[: len(ends)], ends[: len(behind)])
        assert (behind[len(ends) :] == was[-1]).all()


@examples(60)
@given(prompts_with_room())
def test_tokens_added_move_the_words_alone(drawn):
    tokens, counts, k = drawn
    d = beside(tokens, k + max(counts))
    moved = place(tokens, d, counts, "add") - tokens
    for row, mine, n in zip(moved, d, counts):
        assert torch.equal(row[1 : 1 + n], mine[:n]) and not row[0].any() and not row[1 + n :].any()


@examples(30)
@given(prompts_with_room(), st.sampled_from(["prefix", "suffix", "replace"]))
def test_prompts_of_a_batch_do_not_mix(drawn, layout):
    tokens, counts, k = drawn
    d = beside(tokens, k)
    alone = [place(tokens[i : i + 1], d[i : i + 1], counts[i : i + 1], layout) for i in range(len(counts))]
    assert torch.equal(place(tokens, d, counts, layout), torch.cat(alone))


@examples(30)
@given(prompts_with_room(), st.data())
def test_a_learned_token_pushes_the_last_out(drawn, data):
    tokens, _, _ = drawn
    places = [data.draw(st.integers(0, tokens.shape[1] - 1)) for _ in tokens]
    out = with_token(tokens, torch.full((1, 1), -7.0), places)
    for row, was, at in zip(out, tokens, places):
        assert row[at] == -7 and torch.equal(torch.cat([row[:at], row[at + 1 :]]), was[:-1])


@examples(40)
@given(st.lists(st.integers(5, 9), max_size=20), st.integers(1, 6))
def test_a_prompt_is_as_long_as_its_words(words, ends):
    assert token_count(torch.tensor([1, *words, *[0] * ends]), 0) == len(words)


@examples(25)
@given(st.integers(0, 40), st.integers(0, 30))
def test_a_prompt_is_refused_exactly_where_it_does_not_fit(model, count, extra):
    if 1 <= count <= model.tokenizer.model_max_length - 2 - extra:
        assert check_room(model, ["a " * count], extra) == [count]
    else:
        with pytest.raises(UserError, match="tokens"):
            check_room(model, ["a " * count], extra)


@examples(6)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "church", "dog", "night", "by"]), min_size=1, max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_the_tokens_own_rows_are_what_is_looked_up(model, words):
    encoder, ids = model.text_encoder, model.tokenize([" ".join(one) for one in words])
    rows = model.token_embeds(ids)
    with torch.no_grad():
        plain = encoder(ids)[0]
        with soft_tokens(encoder, rows):
            assert torch.equal(encoder(ids)[0], plain)
        with suppress(UserError), soft_tokens(encoder, rows + 1):
            assert not torch.equal(encoder(ids)[0], plain)
            raise UserError("stopped")
        assert torch.equal(encoder(ids)[0], plain)  # the hook is gone


ROWS = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-50, 50))


def by_bisection(row):
    """The t at which max(row - t, 0) sums to 1, halving."""
    low, high = row.min() - 1, row.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(row - low, 0)


@examples(60)
@given(ROWS)
def test_projection_onto_the_simplex_is_found_by_bisection(rows):
    ours = project_to_simplex(torch.tensor(rows)).numpy()
    np.testing.assert_allclose(ours, [by_bisection(row) for row in rows], atol=1e-9)
    np.testing.assert_allclose(project_to_simplex(torch.tensor(rows).float()).numpy(), ours, atol=1e-4)


@examples(40)
@given(ROWS, st.floats(-20, 20))
def test_projection_keeps_order_and_forgets_a_shift(rows, shift):
    ours = project_to_simplex(torch.tensor(rows))
    assert (ours >= 0).all() and torch.allclose(ours.sum(-1), torch.ones(len(rows), dtype=torch.float64))
    assert torch.allclose(project_to_simplex(ours), ours, atol=1e-12)
    assert torch.allclose(project_to_simplex(torch.tensor(rows + shift)), ours, atol=1e-9)
    order = np.argsort(rows, -1)
    assert (np.diff(np.take_along_axis(ours.numpy(), order, -1)) >= -1e-12).all()


# -- intervals --------------------------------------------------------------------------------------------

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@examples(80)
@given(COUNTS)
@example((0, 1))
@example((400, 400))
def test_a_rates_interval_is_around_it_and_has_a_mirror_image(counts):
    k, n = counts
    one, other = proportion(k, n), proportion(n - k, n)
    assert -1e-9 <= one.low <= one.value + 1e-9 and one.value - 1e-9 <= one.high <= 100 + 1e-9
    assert (other.low, other.high) == pytest.approx((100 - one.high, 100 - one.low), abs=1e-9)
    if k < n:
        more = proportion(k + 1, n)
        assert more.low > one.low and more.high > one.high
    tenfold = proportion(10 * k, 10 * n)
    assert tenfold.high - tenfold.low < one.high - one.low


@examples(12)
@given(st.integers(20, 60), st.floats(0.1, 0.9))
def test_a_rates_interval_covers_it_as_often_as_it_says(n, p):
    """Exactly, by the binomial distribution; Wilson's is near 95 % where few successes are expected, too."""
    found = [proportion(k, n) for k in range(n + 1)]
    covered = np.array([one.low <= 100 * p <= one.high for one in found])
    assert 0.91 < binom.pmf(np.arange(n + 1), n, p)[covered].sum() < 0.99


@examples(40)
@given(COUNTS)
def test_a_rates_interval_is_statsmodels(counts):
    theirs = pytest.importorskip("statsmodels.stats.proportion").proportion_confint(*counts, method="wilson")
    ours = proportion(*counts)
    assert (ours.low, ours.high) == pytest.approx([100 * end for end in theirs], abs=1e-7)


FLAGS = arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 40)))


@examples(60)
@given(FLAGS)
def test_two_rates_differ_by_what_they_differ(flags):
    left, right = flags
    one, other = compare_rates(left, right), compare_rates(right, left)
    assert one.value == pytest.approx(100 * (left.mean() - right.mean()))
    assert one.low - 1e-9 <= one.value <= one.high + 1e-9
    assert one.low >= -100 - 1e-6 and one.high <= 100 + 1e-6
    assert (one.low, one.high, one.p) == pytest.approx((-other.high, -other.low, other.p))
    assert compare_rates(left, left).verdict("<") == compare_rates(left, left).verdict(">") == "undecided"
    order = np.argsort(right, kind="stable")
    assert compare_rates(left[order], right[order]) == one  # of the prompts


ENDS = st.tuples(st.floats(-50, 50), st.floats(0, 20), st.floats(0, 20))


@examples(60)
@given(ENDS, ENDS)
def test_joined_intervals_hold_their_difference(left, right):
    one, other = (Estimate(value=v, low=v - a, high=v + b, n=9) for v, a, b in (left, right))
    found, back = joined(one, other, "MOVER"), joined(other, one, "MOVER")
    assert found.low <= found.value <= found.high
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))
    widest = (one.high - one.low) + (other.high - other.low)
    assert max(one.high - one.low, other.high - other.low) - 1e-9 <= found.high - found.low <= widest + 1e-9


@examples(15)
@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(-9, 9)), st.floats(0.1, 9), st.floats(-9, 9))
def test_a_means_interval_moves_with_the_values(values, scale, shift):
    one, other = bootstrap_mean(values), bootstrap_mean(scale * values + shift)
    assert values.min() - 1e-9 <= one.low <= one.high <= values.max() + 1e-9
    assert one.low - 1e-9 <= one.value <= one.high + 1e-9 and one.n == len(values)
    expected = [scale * end + shift for end in (one.value, one.low, one.high)]
    assert [other.value, other.low, other.high] == pytest.approx(expected, abs=1e-6)
