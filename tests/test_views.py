"""What a notebook shows of an erased model, an attack, pictures."""

import base64
import copy
import io
import pickle
import re

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save

from advunlearn_lib import erase, generate
from advunlearn_lib.attacks.records import AttackResult, PromptResult
from advunlearn_lib.base.images import to_arrays
from advunlearn_lib.base.views import SHOWN, Pictures

NASTY = "<script>alert('a')</script> & \"b\""


def test_an_attack_shows_its_counts_and_every_prompt_escaped():
    one = PromptResult(prompt=NASTY, seed=0, before=True, after=True, adversarial=NASTY, step=0)
    other = PromptResult(
        prompt="a church", seed=1, before=False, after=False, adversarial="x y church", step=-1
    )
    page = AttackResult(prompts=[one, other, other], flags=["the gradient is zero"])._repr_html_()
    assert "1 of 3 prompts show the concept after the attack, 1 before it" in page
    assert "warning: the gradient is zero" in page and page.count("<tr>") == 4
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "x y church" in page


def test_an_erased_model_shows_every_setting(model):
    erased = erase(model, NASTY, "esd", iterations=2, per_prompt=1, lr=3e-5)
    page = erased._repr_html_()
    assert "<script>" not in page and "erased by esd from the unet: 2 iterations in" in page
    rows = dict(re.findall(r"<tr><td[^>]*>(\w+)</td>\s*<td[^>]*>([^<]*)</td></tr>", page))
    assert rows == {k: str(v) for k, v in erased.spec.options.model_dump(mode="json").items()}


def test_drawn_pictures_are_shown_and_are_a_tensor_like_any_other(model):
    drawn = generate(model, ["a photo of a church", "a photo of a dog"])
    assert type(drawn) is Pictures and drawn.shape[:2] == (2, 3)
    files = re.findall(r"base64,([^']+)'", drawn._repr_html_())
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
    assert len(shown) == 2 and all(np.array_equal(a, b) for a, b in zip(shown, to_arrays(drawn)))
    for computed in (drawn[0], drawn * 0.5, drawn.mean((1, 2, 3)), torch.cat([drawn, drawn]), drawn.clone()):
        assert type(computed) is torch.Tensor
    plain = drawn.as_subclass(torch.Tensor)
    assert torch.equal(load(save({"pictures": drawn}))["pictures"], plain)
    assert torch.equal(copy.deepcopy(drawn), plain) and torch.equal(pickle.loads(pickle.dumps(drawn)), plain)


def test_a_notebook_is_not_filled_with_hundreds_of_pictures():
    page = Pictures.of(torch.rand(SHOWN + 5, 3, 4, 4))._repr_html_()
    assert page.count("<img") == SHOWN and "and 5 more" in page
