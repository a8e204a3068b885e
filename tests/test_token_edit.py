import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.token_edit import check_room, place, token_count, with_prefix


@pytest.mark.parametrize(
    ("text", "count"),
    [("church", 1), ("tench", 2), ("weapon", 2), ("garbage truck", 2), ("van gogh", 2), ("", 0)],
)
def test_lengths_come_from_the_tokenizer(model, text, count):
    assert token_count(model.tokenize([text])[0], model.tokenizer.eos_token_id) == count


@pytest.mark.parametrize("layout", ["prefix", "suffix", "replace", "add"])
@pytest.mark.parametrize("rows", [1, 3])
def test_place_is_list_surgery(layout, rows):
    length, total, width = 3, 9, 4
    concept, adversarial = (
        torch.randn(1, total, width),
        torch.randn(1, length if layout == "add" else rows, width),
    )
    s, c, e = list(concept[0, :1]), list(concept[0, 1:4]), list(concept[0, 4:])
    d = list(adversarial[0])
    expected = {
        "prefix": s + d + c + e,
        "suffix": s + c + d + e,
        "replace": s + d + e + [e[-1]] * 3,
        "add": s + [a + b for a, b in zip(c, d)] + e if layout == "add" else [],
    }[layout][:total]
    ours = place(concept.expand(2, -1, -1), adversarial.expand(2, -1, -1), [length, length], layout)
    assert torch.equal(ours[0], torch.stack(expected)) and torch.equal(ours[1], ours[0])


def test_bad_prompts_are_named(model):
    with pytest.raises(UserError, match="has no tokens"):
        check_room(model, [""], 0)
    with pytest.raises(UserError, match="at most 17 fit"):
        check_room(model, ["church", "a " * 18], 5)
    assert check_room(model, ["a photo of a tench"], 5) == [6]


def test_prefix_survives_as_text(model):
    ids = model.tokenizer("dog cat", add_special_tokens=False).input_ids
    text = with_prefix(model, ids, "a photo of a church")
    assert text == "dog cat a photo of a church"
