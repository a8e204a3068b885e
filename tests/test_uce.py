"""UCE: its closed form, the tokens that stand for a text, what it preserves, what else it edits."""

import pytest
import torch
from tasks import CHURCH, RETAIN, church, generator, task_on

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import check_options, prepare
from advunlearn_lib.erasure.uce import change
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.schema import MethodKey

NEW = {"version": 2025}


def uce(model, options=(), **changes):
    return prepare("uce", church(model, **{"concept": [CHURCH]} | changes), dict(options))


def weights(method):
    return {name: parameter.detach() for name, parameter in method.trained.items()}


def answers(model, matrix, embeds):
    """What keys or values [n, out] the matrix gives to token embeddings [n, d]."""
    return embeds.double() @ matrix.double().T


def last_token(model, text):
    """The embedding [d] of a text's last token; of the start token where it has none."""
    return model.encode_prompts([text])[0, len(model.tokenizer(text, add_special_tokens=False).input_ids)]


def test_it_solves_its_least_squares_problem():
    rng = generator(0)
    w, c, g, p = (torch.randn(shape, generator=rng).double() for shape in ((5, 7), (2, 7), (2, 7), (3, 7)))

    def objective(v):
        old = (w - v).square().sum() * 0.5
        return old + 2.0 * (c @ v.T - g @ w.T).square().sum() + 0.7 * (p @ v.T - p @ w.T).square().sum()

    solved = (w @ change(c, g, p, 0.5, 2.0, 0.7)).requires_grad_(True)
    (slope,) = torch.autograd.grad(objective(solved), solved)
    assert slope.abs().max() < 1e-9


def test_tokens(model):
    prompt, length = "a photo of a church", model.tokenizer.model_max_length
    embeds = model.encode_prompts([prompt])[0]
    new, old = uce(model, NEW), uce(model)
    assert torch.equal(new.tokens(prompt), embeds[5:6])
    assert torch.equal(new.kept_tokens([prompt, "church"])[0], embeds[5])
    assert torch.equal(old.tokens(prompt), embeds[5:])
    assert torch.equal(old.kept_tokens(["", prompt])[length:], embeds)


def test_2023_is_the_default_and_the_paper_profiles():
    for key, guide in ((MethodKey("UCE", "UNet", "broad"), ""), (MethodKey("UCE", "UNet", "style"), "art")):
        options = check_options("uce", PAPER.methods[key].options)
        assert (options.version, options.guide, options.preserve_scale) == (2023, guide, None)
        assert ("Claude Monet" in options.preserved) == (key.kind == "style")
        assert not any("gogh" in artist.lower() for artist in options.preserved)
    with pytest.raises(UserError, match="option version=2024: input should be 2023 or 2025"):
        check_options("uce", {"version": 2024})


@pytest.mark.parametrize(
    ("artists", "scale"),
    [((), 1.0), (("monet",), 0.5), (("monet", "picasso"), 1 / 3), (("monet",) * 11, 0.1)],
)
def test_2023_preserves_the_empty_prompt_at_all_positions_and_the_artists(model, artists, scale):
    ours = weights(uce(model, {"preserved": (*artists, "CHURCH", CHURCH)}))
    c, g = model.encode_prompts(["a photo of a church", ""])
    count = len(c) - 5
    kept = model.encode_prompts(["", *artists])
    for name, made in ours.items():
        factor = change(c[5:], g[:count], kept.flatten(0, 1), 0.5, 1.0, scale)
        wanted = dict(model.unet.named_parameters())[name].detach().double() @ factor
        assert torch.allclose(made.double(), wanted, atol=1e-5), name


def test_the_empty_prompt_answers_as_before_in_2023(model):
    before = dict(model.unet.named_parameters())
    kept, lost = (weights(uce(model, options)) for options in ({}, {"preserve_scale": 0.0}))
    blank = model.encode_prompts([""])[0]
    for name in kept:
        wanted = answers(model, before[name], blank)
        near, far = (answers(model, made[name], blank) - wanted for made in (kept, lost))
        assert near.norm() < 0.5 * far.norm(), name


def test_in_2025_nothing_is_preserved_unless_it_is_asked_for(model):
    bare = weights(uce(model, NEW, retain_set=[]))
    full = weights(uce(model, NEW | {"preserved": ["monet"]}))
    assert all(torch.equal(bare[name], full[name]) for name in bare)
    kept = weights(uce(model, NEW | {"preserve": True}))
    assert all(not torch.equal(bare[name], kept[name]) for name in bare)
    for version in (NEW, {}):
        with pytest.raises(UserError, match="UCE needs a retain set"):
            uce(model, version | {"preserve": True}, retain_set=[])

    before = dict(model.unet.named_parameters())
    words = torch.stack([last_token(model, prompt) for prompt in RETAIN])
    for name in kept:
        wanted = answers(model, before[name], words)
        off = [(answers(model, made[name], words) - wanted).norm() for made in (bare, kept)]
        assert off[1] < 0.5 * off[0], name


def test_concept_and_guide_are_aligned_at_their_last_words(model):
    concept, guide, lam, length = "a photo of a church", "dog", 0.5, model.tokenizer.model_max_length
    c, g = model.encode_prompts([concept, guide])
    count = length - 5  # the concept's last word is token 5, the guide's token 1: the shorter tail counts
    c, g = c[5 : 5 + count].double(), g[1 : 1 + count].double()
    ours = weights(uce(model, {"guide": guide, "lam": lam, "preserve_scale": 0.0}))
    before = dict(model.unet.named_parameters())
    for name, made in ours.items():
        w = before[name].detach().double()
        left, right = lam * w, lam * torch.eye(w.shape[1], dtype=torch.double)
        for one, other in zip(c, g, strict=True):
            left = left + torch.outer(w @ other, one)
            right = right + torch.outer(one, one)
        assert torch.allclose(made.double(), left @ torch.linalg.inv(right), atol=1e-5), name


def test_a_guide_longer_than_the_concept_ends_the_alignment(model):
    guide = "a photo of a dog at night"  # 7 tokens: from its last word on 25 are left, of the concept's 27
    ours = weights(uce(model, {"guide": guide, "preserve_scale": 0.0}))
    c, g = (row.double() for row in model.encode_prompts(["a photo of a church", guide]))
    w = dict(model.unet.named_parameters())
    for name, made in ours.items():
        wanted = w[name].detach().double() @ change(c[5:30], g[7:32], c[:0], 0.5, 1.0, 1.0)
        assert torch.allclose(made.double(), wanted, atol=1e-5), name


def test_other_texts_are_edited_too(model):
    also, guide = ("a photo of a castle", "fortress"), "a dog"
    plain, more = (
        weights(uce(model, NEW | {"guide": guide, "lam": 1e-3, "also": texts})) for texts in ((), also)
    )
    before = dict(model.unet.named_parameters())
    assert any(name.endswith("to_k.weight") for name in more)
    for text in also:
        word, wanted = last_token(model, text)[None], last_token(model, guide)[None]
        for name in more:
            target = answers(model, before[name], wanted)
            old, unedited, edited = (
                (answers(model, made[name], word) - target).norm() for made in (before, plain, more)
            )
            assert edited < 0.02 * old and edited < 0.1 * unedited, (text, name)
    concept = last_token(model, "a photo of a church")[None]
    for name in more:
        gap = answers(model, more[name], concept) - answers(model, before[name], wanted)
        assert gap.norm() < 0.02 * answers(model, before[name], wanted).norm()


@pytest.mark.parametrize("version", [2023, 2025])
def test_another_text_is_edited_as_a_second_concept_prompt_is(model, version):
    task = task_on(model, ["a photo of a church", "fortress"])
    both = weights(prepare("uce", task, {"version": version}))
    one = weights(uce(model, {"version": version, "also": ["fortress"]}))
    assert all(torch.allclose(both[name], one[name], atol=1e-6) for name in one)
