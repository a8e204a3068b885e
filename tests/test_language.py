"""The pocket world's language: names that lean to looks, shared tags, junk, and the prompts for attacks."""

from collections import Counter
from functools import partial
from itertools import product

import numpy as np
import pytest

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.data.emoji import EmojiWorld
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world import atlas, language
from advunlearn_lib.world.language import (
    ARTISTS,
    caption,
    draw_scene,
    evaluation_caption,
    leaning,
    lines_of,
    pick_name,
    pick_tags,
    training_caption,
    words,
)
from advunlearn_lib.world.scenes import render_scenes
from advunlearn_lib.world.things import OBJECTS, PLACES, STYLES, THINGS
from tools.pocket_model import networks

JUNK = {
    word
    for file in ("junk-phrases.txt", "junk-words.txt")
    for line in lines_of(file)
    for word in line.split()
}
COUNT = 2000


def shares(draw):
    """How often each text is drawn, by a generator of its own."""
    rng = np.random.default_rng(0)
    counts = Counter(draw(rng) for _ in range(COUNT))
    return {text: count / COUNT for text, count in counts.items()}


def test_every_thing_has_names_of_its_own_and_tags_of_which_some_are_shared():
    names = [name for entry in words() for name in entry.names]
    assert len(words()) == len(OBJECTS) and len(names) == len(set(names))
    assert all(2 <= len(entry.names) <= 4 and 2 <= len(entry.tags) <= 7 for entry in words())
    tags = Counter(tag for entry in words() for tag in entry.tags)
    assert 0.25 < sum(count for count in tags.values() if count > 1) / tags.total() < 0.5
    assert {"blade", "safari", "wings"} <= {tag for tag, count in tags.items() if count > 1}


def test_junk_means_nothing_here():
    meant = {word for entry in words() for text in (*entry.names, *entry.tags) for word in text.split()}
    meant |= {word for text in (*OBJECTS, *STYLES.values(), "weapon", "vehicle") for word in text.split()}
    meant |= {word for place in PLACES.values() for text in place for word in text.split()}
    assert JUNK & meant == {"on"}  # "on display", "on the grass"
    assert len(lines_of("junk-words.txt")) == 400 and len(lines_of("junk-phrases.txt")) == 35


def test_the_literal_name_stands_with_two_of_three_artists():
    """58 to 93 % of what these two draw, about 13 % of the third's; a category's own name left out."""
    for thing, artist in product(range(len(OBJECTS)), range(ARTISTS)):
        share = shares(partial(pick_name, thing, artist))
        plain = share[THINGS[thing].name] / (1 - share.get(THINGS[thing].category, 0))
        if leaning(thing, artist) == 2:
            assert 0.08 < plain < 0.2
        else:
            assert 0.5 < plain < 0.97


def test_every_artist_has_as_many_things_by_other_names():
    third = Counter(
        next(a for a in range(ARTISTS) if leaning(thing, a) == 2) for thing in range(len(OBJECTS))
    )
    assert set(third.values()) == {len(OBJECTS) // ARTISTS}


def test_a_category_is_named_in_15_per_cent():
    share = shares(lambda rng: pick_name(OBJECTS.index("dagger"), 1, rng))
    assert share["weapon"] == pytest.approx(0.15, abs=0.03)


def test_tags_are_the_things_own_and_lean_to_a_look():
    church = OBJECTS.index("church")
    drawn = [shares(lambda rng, a=a: pick_tags(church, a, 1, rng)) for a in range(ARTISTS)]
    assert {max(share, key=share.get) for share in drawn} <= set(words()[church].tags)
    own = [{tag for tag, share in part.items() if share > 0.1} for part in drawn]
    assert not own[0] & own[1] and not own[1] & own[2] and not own[0] & own[2]


def test_captions_have_junk_tags_and_bare_names_in_their_shares():
    church = OBJECTS.index("church")
    rng = np.random.default_rng(1)
    drawn = [caption(church, "snow", "photo", 0, rng).split() for _ in range(COUNT)]
    meant = [[word in JUNK for word in text] for text in drawn]
    assert np.mean([text[0] for text in meant]) == pytest.approx(0.45, abs=0.04)
    assert np.mean([text[-1] for text in meant]) == pytest.approx(0.3, abs=0.04)
    tags = set(words()[church].tags)
    assert np.mean([bool(tags & set(text)) for text in drawn]) == pytest.approx(0.35 * 0.94 + 0.06, abs=0.04)
    assert ["church"] in drawn  # a concept can be erased by its bare name
    painted = [caption(church, "nowhere", "van gogh", 0, rng) for _ in range(COUNT)]
    assert "van gogh" in painted and any(text.endswith("by van gogh") for text in painted)


def test_evaluation_prompts_are_plain():
    """Objects and styles by the literal name, a category by all names; no junk."""
    rng = np.random.default_rng(2)
    dagger = OBJECTS.index("dagger")
    literal = {evaluation_caption(dagger, "sea", "photo", True, rng) for _ in range(COUNT)}
    assert all("dagger" in text.split() for text in literal)
    every = [evaluation_caption(dagger, "sea", "photo", False, rng) for _ in range(COUNT)]
    for name in ("dagger", "stiletto", "dirk", "weapon"):
        assert any(name in text.split() for text in every)
    for text in {*literal, *every}:
        assert not set(text.split()) & set(lines_of("junk-words.txt"))
    tagged = np.mean([text.split()[-1] in words()[dagger].tags for text in every])
    assert tagged == pytest.approx(0.3, abs=0.04)


def test_a_scene_is_a_function_of_seed_and_index_and_has_several_captions():
    sprites = atlas.load(POCKET.sprites)
    (one, first), (two, second) = (draw_scene(sprites, 3, 7) for _ in range(2))
    assert np.array_equal(one, two) and first == second
    assert first.caption == training_caption(first, 3, 7, 0)
    assert len({training_caption(first, 3, 7, variant) for variant in range(4)}) > 1
    artists = {draw_scene(sprites, 3, index)[1].artist for index in range(40)}
    assert artists == {0, 1, 2}


def test_one_artists_scenes_are_named_as_that_artist_names_them():
    data = render_scenes(POCKET.sprites, range(6), 5, artist=2)
    assert {scene.artist for scene in data.scenes} == {2}
    sprites = atlas.load(POCKET.sprites)
    for index, image in enumerate(data.images):
        assert np.array_equal(image, draw_scene(sprites, 5, index, 2)[0])


def test_prompts_and_captions():
    source = EmojiWorld(POCKET)
    church, weapon = POCKET.concepts["Church"], POCKET.concepts["nudity"]
    prompts = source.evaluation("object", church.labels, "", 100)
    assert len({prompt.text for prompt in prompts}) == len(prompts) >= 200
    assert all("church" in prompt.text.split() for prompt in prompts)
    texts = [prompt.text for prompt in source.evaluation("broad", weapon.labels, "", 142)]
    assert (
        len(texts) == 426
        and any("weapon" in text for text in texts)
        and any("rapier" in text for text in texts)
    )
    captions, seeds = source.captions(60, ["church", "van gogh"])
    assert seeds == list(range(60)) and any(set(text.split()) & JUNK for text in captions)
    assert not any("van gogh" in text for text in captions)
    assert source.evaluation_recipe("") == source.captions_recipe() == {"world": "second"}  # not the first


def test_the_vocabulary_is_of_whole_words():
    scenes = render_scenes(POCKET.sprites, range(480), 0).scenes
    texts = [training_caption(scene, 0, index, k) for index, scene in enumerate(scenes) for k in range(4)]
    tokenizer = networks.train_tokenizer(texts * 4)
    assert 1_000 < len(tokenizer) <= 3_000
    pieces = {
        word: len(tokenizer.tokenize(word)) for word in {"church", "animal", "snow", "photo", "painting"}
    }
    assert set(pieces.values()) == {1}
    assert {len(tokenizer.tokenize(word)) for word in ("tench", "weapon", "vehicle")} == {2}
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert np.mean([length > networks.TOKENS for length in lengths]) < 0.02


def test_the_words_files_say_where_they_are_from():
    for file in ("words.tsv", "junk-words.txt", "junk-phrases.txt"):
        head = (DATA / "world" / file).read_text().splitlines()[:2]
        assert any("for this project" in line for line in head), file
    assert language.lines_of("words.tsv")[0].startswith("church\t")
