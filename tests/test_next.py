"""The next profile: the second world's model, language and judges belong together, apart from the first's."""

import pytest
import torch

from advunlearn_lib.data.emoji import NextWorld
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.next import NEXT
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world.things import OBJECTS, plain_prompt


@pytest.fixture(scope="module")
def base():
    return load_model(NEXT.base)


def test_every_evaluation_prompt_leaves_room_for_the_attack(base):
    profile = load_profile("next")
    source = NextWorld(profile)
    for concept in profile.concepts.values():
        prompts = source.evaluation(concept, profile.prompt_count(concept))
        assert len(prompts) >= profile.prompt_count(concept) == (142 if concept.kind == "broad" else 100)
        lengths = [len(ids) for ids in base.tokenizer([prompt.text for prompt in prompts]).input_ids]
        assert (
            max(lengths)
            <= base.tokenizer.model_max_length - concept.attack_tokens
            == 32 - concept.attack_tokens
        )


def test_the_judges_know_every_label_and_other(base):
    labels = {name: Classifier(NEXT.judge(name)).labels for name in ("judge-object", "judge-style")}
    assert labels["judge-object"] == [*OBJECTS, "other"]
    for concept in NEXT.concepts.values():
        assert set(concept.labels) <= set(labels[concept.judge])


def test_the_model_draws_what_plain_prompts_name_amid_words_of_any_kind(base):
    """As the world needs it: at any position, with junk before; 24 things, one picture each."""
    texts = [f"sold out read more {plain_prompt(name)}" for name in OBJECTS[::2]]
    images = base.generate(texts, list(range(len(texts))), Recipes(NEXT).sampling, 24)
    seen = Classifier(NEXT.judge("judge-object")).probabilities(images).argmax(-1)
    assert (seen == torch.arange(0, len(OBJECTS), 2)).float().mean() > 0.8


def test_results_of_the_two_worlds_have_keys_of_their_own():
    changed = NEXT.model_copy(update={"base": POCKET.base, "judges": POCKET.judges, "clip": POCKET.clip})
    changed = changed.model_copy(update={"concepts": POCKET.concepts})
    one, other = Recipes(changed), Recipes(POCKET)
    assert one.prompts("Church") != other.prompts("Church")
