"""A profile by its name, with what the user changed: typed, checked, and refused by name."""

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.emoji import EmojiWorld
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.load import PROFILES, QUICK, SETTABLE, load_profile
from advunlearn_lib.profiles.paper import PUBLISHED
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import COMPONENTS, CheckpointKey, MethodKey


def test_overrides_are_typed():
    changed = load_profile("pocket", ["fid_images=300", "guidance_scale=4", "device=cpu"])
    assert (changed.fid_images, changed.guidance_scale, changed.device) == (300, 4.0, "cpu")
    assert changed == POCKET.model_copy(update={"fid_images": 300, "guidance_scale": 4.0, "device": "cpu"})
    assert load_profile() == POCKET and load_profile("paper").name == "paper"


def test_the_last_of_two_overrides_counts():
    assert load_profile("pocket", ["prompts=8", "prompts=9"]).prompts == 9
    assert load_profile("pocket", ["prompts=9"], quick=True).prompts == 9  # also over the quick run's


@pytest.mark.parametrize("name", ["concepts", "methods", "name", "source", "quick", "seed", "variants"])
def test_what_is_no_setting_is_refused(name):
    with pytest.raises(UserError, match=rf"unknown setting '{name}'"):
        load_profile("pocket", [f"{name}=1"])


@pytest.mark.parametrize(("override", "message"), [
    ("fid_images=39", "greater than or equal to 40"),
    ("precision=fp8", "input should be 'fp32' or 'bf16'"),
    ("sampler=euler", "input should be 'ddim', 'dpm\\+\\+' or 'lms'"),
    ("scale=0", "greater than 0"),
    ("batch=0", "greater than or equal to 1"),
    ("judges=/no/where", "setting judges='/no/where': no such folder"),
    ("clip=nonsense", "'nonsense' is neither a folder nor a hub id"),
    ("attack_clip=nonsense", "'nonsense' is neither a folder nor a hub id"),
])  # fmt: skip
def test_a_value_out_of_range_is_refused(override, message):
    with pytest.raises(UserError, match=message):
        load_profile("pocket", [override])


def test_the_seed_is_an_option_of_its_own():
    assert load_profile(seed=7).seed == 7 and load_profile(seed=0).seed == 0 == load_profile().seed
    assert "seed" not in SETTABLE
    with pytest.raises(UserError, match="seed=-1: input should be greater than or equal to 0"):
        load_profile(seed=-1)


@pytest.mark.parametrize("name", PROFILES)
def test_quick_changes_the_sizes_alone(name):
    plain, quick = (load_profile(name, quick=one).model_dump() for one in (False, True))
    assert {field for field in plain if plain[field] != quick[field]} == set(QUICK)


def test_every_concept_has_a_number_of_prompts_and_as_many_candidates():
    """As many as the paper for its category; more than its 50, which decide little, for any other."""
    counts = {name: POCKET.prompt_count(concept) for name, concept in POCKET.concepts.items()}
    broad = {name for name, concept in POCKET.concepts.items() if concept.kind == "broad"}
    assert counts == {name: 142 if name in broad else 100 for name in POCKET.concepts}
    for name, concept in POCKET.concepts.items():
        asked = Protocol(POCKET).prompts(name).count
        if name in ("nudity", "Van Gogh", "Church", "guitar"):  # one of each sort
            candidates = EmojiWorld(POCKET).evaluation(concept.kind, concept.labels, "", asked)
            assert len({prompt.text for prompt in candidates}) >= asked == counts[name]


def test_fewer_prompts_than_a_concept_has_are_what_is_asked_for():
    few, many = (load_profile("pocket", [f"prompts={n}"]) for n in (9, 120))
    assert {few.prompt_count(concept) for concept in few.concepts.values()} == {9}
    assert [many.prompt_count(many.concepts[name]) for name in ("nudity", "Church")] == [120, 100]
    quick = load_profile(quick=True)
    assert {quick.prompt_count(concept) for concept in quick.concepts.values()} == {8}
    paper = load_profile("paper")
    assert {paper.prompt_count(concept) for concept in paper.concepts.values()} == {142}  # files have fewer


def test_checkpoints_add_up():
    changed = load_profile("pocket", ["checkpoint=nudity:ESD:UNet=a=b.pt", "checkpoint=Church:FMN:UNet=o/n"])
    assert changed.checkpoints == {
        CheckpointKey("nudity", "ESD", "UNet"): "a=b.pt",
        CheckpointKey("Church", "FMN", "UNet"): "o/n",
    }
    assert load_profile("paper", ["checkpoint=published"]).checkpoints == PUBLISHED and len(PUBLISHED) == 6
    for text in ("ESD.pt", "nudity:ESD=a.pt", "nudity:ESD:UNet=", "a:b:c:d=e"):
        with pytest.raises(UserError, match="--checkpoint takes"):
            load_profile("pocket", [f"checkpoint={text}"])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profiles_methods_are_keyed_by_what_they_train_and_on_what(profile):
    """Keys are tuples of the paper's own names, not words to be taken apart again."""
    kinds = {concept.kind for concept in profile.concepts.values()}
    for key, settings in profile.methods.items():
        assert isinstance(key, MethodKey) and key.component in COMPONENTS and key.kind in kinds
        assert settings.options.get("component", COMPONENTS[key.component]) == COMPONENTS[key.component]
    assert str(MethodKey("ESD", "UNet", "style")) == "ESD (UNet), style"


def test_changed_settings_leave_the_profile_as_it_was():
    key = MethodKey("ESD", "UNet", "style")
    before = dict(POCKET.methods[key].options)
    changed = POCKET.methods[key].changed(lr=1.0, eta=9.0)
    assert changed.options == before | {"lr": 1.0, "eta": 9.0} and POCKET.methods[key].options == before
    assert changed.method == POCKET.methods[key].method == "esd"


def test_a_stand_in_is_named_where_there_is_one():
    concepts = load_profile().concepts
    assert {
        name: concept.here() for name, concept in concepts.items() if concept.paper and concept.here()
    } == {"nudity": "weapon"}
    assert not any(concept.here() for concept in load_profile("paper").concepts.values())
