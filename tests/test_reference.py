"""The library against plain re-implementations of the official algorithms (tests/reference)."""

import pytest
from reference import compare

RESEEDED = ("reseeded_evaluation",)
TWO = (1, 2)  # of the concept's prompts: one of a word in two tokens, one of three words


def test_the_text_encoder_with_soft_tokens(model):
    assert compare.text_encoder(model) < 2e-5


def test_the_sampling_path(model):
    assert compare.sampling_path(model) < 1e-4


def test_lms(model):
    assert compare.lms(model) < 2e-3


@pytest.mark.parametrize("layout", compare.LAYOUTS)
def test_erasing_loss_and_gradient_in_every_layout(model, layout):
    loss, gradient = compare.erasing_loss(model, layout)
    assert loss < 1e-5 and gradient < 1e-3


@pytest.mark.parametrize("quirks", compare.QUIRKS)
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_inner_attack(model, quirks, steps):
    """Tokens that moved by K steps of 0.01; Adam's go as far where a gradient is little but rounding."""
    smooth = compare.GRADIENT if quirks == ("noise_level_mismatch",) else {}  # some gradients are 0 there
    least = 1e-4 if "adam_attack" in quirks else 1e-5
    assert compare.inner_attack(model, quirks, steps, TWO, **smooth) < least


@pytest.mark.parametrize("changes", [compare.GRADIENT, {"same_path": True}], ids=["gradient", "same_path"])
def test_the_inner_attacks_options(model, changes):
    assert compare.inner_attack(model, (), 3, TWO, **changes) < 1e-5


@pytest.mark.parametrize("quirks", [(), compare.OFFICIAL, ("separate_retain_step",)])
def test_the_whole_training_loop(model, quirks):
    losses, weights = compare.training(model, quirks, iterations=3)  # the retain set once, and again
    assert losses < 1e-4 and weights < 1e-4  # Adam steps by lr = 1e-4 even where g is noise


@pytest.mark.parametrize("version", [2023, 2025])
@pytest.mark.parametrize(("preserved", "guide"), [((), ""), (compare.RETAIN, "dog")])
def test_uce(model, version, preserved, guide):
    assert compare.uce(model, version, preserved, guide) < 1e-5


def test_fmn(model):
    loss, gradient = compare.fmn(model)
    assert loss < 1e-4 and gradient < 1e-3


@pytest.mark.parametrize("quirks", [(), ("blank_anchors",), ("told_timestep", "blank_anchors")])
def test_spm(model, quirks):
    difference, erase, stay = compare.spm(model, quirks)
    assert difference < 1e-4 * (erase + stay) and min(erase, stay) > 1e-3


@pytest.mark.parametrize("quirks", [(), RESEEDED])
def test_unlearndiffatk(model, quirks):
    texts, variable = compare.attack(model, "UnlearnDiffAtk", quirks)
    assert texts == 0 and variable < 1e-4


@pytest.mark.parametrize("quirks", [(), RESEEDED])
def test_p4d(model, quirks):
    texts, variable = compare.attack(model, "P4D", quirks, compare.changed(model))
    assert texts == 0 and variable < 1e-4
