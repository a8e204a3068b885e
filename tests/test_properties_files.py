"""Keys and files for any input: examples that hypothesis draws, always the same."""

import csv
import json
import math
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("hypothesis")  # it stands in requirements-extras.lock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.images import from_arrays, read_image, to_arrays, write_image
from advunlearn_lib.base.keys import key_of
from advunlearn_lib.base.settings import LARGEST_SEED, STRONGEST
from advunlearn_lib.data.prompt_files import read_prompts


def examples(number):
    return settings(max_examples=number, deadline=None, derandomize=True, database=None)


# -- keys -------------------------------------------------------------------------------------------------

ALIKE = (
    0, 0.0, -0.0, False, "0", "0.0", "False", "false", None, "null", "None", "", 1, 1.0, True, "1",
    [], [0], [[]], {}, {"0": 0}, 10**22, 1e22, "é", "e\u0301",
)  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(ALIKE), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def exact(value):
    """A value with its types, whatever the order of its names."""
    if isinstance(value, dict):
        return ("dict", frozenset((name, exact(one)) for name, one in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(exact, value)))
    return (type(value).__name__, repr(value))


def turned(value):
    """The same, with every mapping's names in the opposite order."""
    if isinstance(value, dict):
        return {name: turned(one) for name, one in reversed(value.items())}
    return [turned(one) for one in value] if isinstance(value, list) else value


@examples(120)
@given(VALUES, VALUES)
def test_two_recipes_have_one_key_exactly_where_they_are_the_same(one, other):
    assert key_of({"x": one}) == key_of({"x": turned(one)})
    assert (key_of({"x": one}) == key_of({"x": other})) == (exact(one) == exact(other))


def test_what_looks_alike_has_keys_of_its_own():
    assert len({key_of({"x": value}) for value in ALIKE}) == len(ALIKE)
    assert key_of({"x": [1, 2]}) != key_of({"x": [2, 1]})
    assert key_of({"x": (1, 2)}) == key_of({"x": [1, 2]})  # a tuple is read back as a list


# -- files ------------------------------------------------------------------------------------------------


@examples(20)
@given(old=st.binary(max_size=40), new=st.binary(max_size=40))
def test_a_file_is_the_new_one_or_the_old_one(tmp_path_factory, old, new):
    folder = tmp_path_factory.mktemp("files")
    file = folder / "file.bin"
    for content in (old, new):
        with atomic(file) as temporary:
            temporary.write_bytes(content)
        assert file.read_bytes() == content
    with suppress(UserError), atomic(file) as temporary:
        temporary.write_bytes(old[:5])
        raise UserError("stopped")
    assert file.read_bytes() == new and list(folder.iterdir()) == [file]


@examples(20)
@given(arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7), st.just(3))))
def test_a_picture_of_8_bits_is_read_as_it_was_written(tmp_path_factory, array):
    file = tmp_path_factory.mktemp("pictures") / "a.png"
    write_image(file, from_arrays(array[None])[0])
    (again,) = to_arrays([read_image(file)])
    assert np.array_equal(again, array)


LETTERS = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff")
TEXTS = st.text(LETTERS, min_size=1, max_size=12).filter(str.strip)
PROMPTS = st.lists(
    st.tuples(TEXTS, st.integers(0, LARGEST_SEED), st.floats(0, STRONGEST)), min_size=1, max_size=4
)


@examples(40)
@given(PROMPTS, st.sampled_from(["csv", "tsv", "jsonl"]))
@example([('a "dog", a cat', 0, 7.5), (" 'x;y' ", LARGEST_SEED, 0.1)], "csv")
def test_prompts_are_read_as_they_were_written(tmp_path_factory, prompts, kind):
    file = tmp_path_factory.mktemp("prompts") / f"prompts.{kind}"
    head = ("prompt", "seed", "guidance_scale")
    with file.open("w", newline="", encoding="utf-8") as out:
        if kind == "jsonl":
            out.writelines(json.dumps(dict(zip(head, one)), ensure_ascii=False) + "\n" for one in prompts)
        else:
            csv.writer(out, delimiter="," if kind == "csv" else "\t").writerows([head, *prompts])
    read = read_prompts(file)
    assert [(one.text, one.seed) for one in read] == [one[:2] for one in prompts]
    assert all(math.isclose(one.guidance_scale, was[2]) for one, was in zip(read, prompts))


@examples(30)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_a_prompt_a_line(tmp_path_factory, texts, ending):
    file = tmp_path_factory.mktemp("lines") / "prompts.txt"
    file.write_text(ending.join(texts), newline="", encoding="utf-8")
    assert [(one.text, one.seed) for one in read_prompts(file)] == [
        (text.strip(), number) for number, text in enumerate(texts)
    ]
