from typing import get_args

import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.token_edit import (
    Layout,
    check_room,
    check_words,
    place,
    token_count,
    with_prefix,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [("church", 1), ("tench", 2), ("weapon", 2), ("garbage truck", 2), ("van gogh", 2), ("", 0)],
)
def test_lengths_come_from_the_tokenizer(model, text, count):
    assert token_count(model.tokenize([text])[0], model.tokenizer.eos_token_id) == count


@pytest.mark.parametrize("layout", get_args(Layout))
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


def test_each_prompt_needs_its_own_length():
    rows = torch.zeros(2, 9, 4)
    for lengths in ([3], [3, 3, 3]):
        with pytest.raises(ValueError, match="argument 3"):
            place(rows, rows[:, :1], lengths, "prefix")


def test_bad_prompts_are_named(model):
    with pytest.raises(UserError, match="has no tokens"):
        check_room(model, [""], 0)
    with pytest.raises(UserError, match="at most 25 fit"):
        check_room(model, ["church", "a " * 26], 5)
    assert check_room(model, ["a photo of a tench"], 5) == [6]


@pytest.mark.parametrize("extra", [0, 5])
def test_the_longest_prompt_that_fits_is_taken(model, extra):
    longest = model.tokenizer.model_max_length - 2 - extra  # start and end
    assert check_room(model, ["a", "a " * longest], extra) == [1, longest]
    with pytest.raises(UserError, match=f"has {longest + 1} tokens; at most {longest} fit"):
        check_room(model, ["a", "a " * (longest + 1)], extra)


@pytest.mark.parametrize("nothing", ["...", " ", "\t\n", "!? -", "«…»", "_"])
def test_a_prompt_of_no_word_is_refused(nothing):
    with pytest.raises(UserError, match="contains no word"):
        check_words(["a church", nothing])


def test_a_prompt_with_a_letter_a_digit_or_a_sign_is_taken():
    check_words(
        ["a church", "...a", "7", "+", "教堂", "a", ""]
    )  # the blank prompt is what a method erases to


def test_prefix_survives_as_text(model):
    ids = model.tokenizer("dog cat", add_special_tokens=False).input_ids
    text = with_prefix(model, ids, "a photo of a church")
    assert text == "dog cat a photo of a church"


PROMPTS = ["a photo of a church", ", a church", "'s church", "church's", "ornament", "!?", "a, b & c: d"]


def apart(model, prefix, prompt):
    """The prefix decoded by itself, a blank, the prompt as it stands."""
    return f"{model.tokenizer.decode(prefix).strip()} {prompt}"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prefix_and_prompt_are_decoded_together(model, prompt):
    own = model.tokenizer(prompt, add_special_tokens=False).input_ids
    words = model.tokenizer.get_vocab()
    inside = [index for word, index in sorted(words.items()) if not word.endswith("</w>") and word.isalpha()]
    for prefix in ([words["dog</w>"]], [words["cat</w>"], words[",</w>"]], inside[:2], inside[5:8]):
        text = with_prefix(model, prefix, prompt)
        assert text == model.tokenizer.decode([*prefix, *own]).strip()
        if prefix[-1] in inside:
            assert text != apart(model, prefix, prompt)  # no blank within a word


def test_a_token_without_a_words_end_runs_into_the_prompt(model):
    words = model.tokenizer.get_vocab()
    assert with_prefix(model, [words["ch"]], "urch") == "church"
    assert with_prefix(model, [words["dog</w>"], words["ch"]], "urch") == "dog church"
    assert apart(model, [words["ch"]], "urch") == "ch urch"
    assert with_prefix(model, [words["sun"]], "flower at night") == "sunflower at night"


def test_the_prompts_own_tokens_are_decoded_not_its_letters(model):
    assert (
        with_prefix(model, model.tokenizer("dog", add_special_tokens=False).input_ids, "A  CHURCH")
        == "dog a church"
    )
    ends = [model.tokenizer.bos_token_id, model.tokenizer.eos_token_id]
    assert with_prefix(model, ends, "church") == "church"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_whole_words_survive_the_round_trip(model, prompt):
    """Text of tokens that end words is tokenised into as many tokens again, and into the same."""
    own = model.tokenizer(prompt, add_special_tokens=False).input_ids
    vocabulary = sorted(model.tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    stable = [i for word, i in vocabulary if word.endswith("</w>") and round_trip(model, [i]) == [i]]
    assert len(stable) > 150
    for start in range(0, len(stable) - 2, 7):
        prefix = stable[start : start + 3]
        text = with_prefix(model, prefix, prompt)
        again = model.tokenizer(text, add_special_tokens=False).input_ids
        assert len(again) == len(prefix) + len(own), text
        assert again[:3] == prefix and again[3:] == round_trip(model, own), text


def round_trip(model, ids):
    return model.tokenizer(model.tokenizer.decode(ids), add_special_tokens=False).input_ids
