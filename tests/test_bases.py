"""Table 8's base models: drawn alike whatever their folders say, and pinned; what no hub has is said."""

import pytest
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, LMSDiscreteScheduler

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.diffusion.sampling import Sampling, make_sampler
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.preflight import preflight
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OWN = {"timestep_spacing": "trailing", "steps_offset": 1, "use_karras_sigmas": True}
OTHER = Row("nudity", "DreamShaper")


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_lms_has_its_own_grid_on_every_base(kind):
    """As the official evaluation, which builds it from the betas alone."""
    official = LMSDiscreteScheduler(**BETAS)
    ours = make_sampler("lms", kind(**BETAS, **OWN, prediction_type="v_prediction").config)
    for scheduler in (official, ours):
        scheduler.set_timesteps(50)
    assert ours.timesteps.tolist() == official.timesteps.tolist() and ours.timesteps[0] == 999
    assert ours.sigmas.tolist() == official.sigmas.tolist()
    assert ours.config.prediction_type == "v_prediction"


def test_every_base_draws_at_the_profiles_size(model, tmp_path):
    unet = model.copy_of("unet").unet
    unet.register_to_config(sample_size=24)
    other = model.with_parts(unet=unet)
    other.pipeline.save_pretrained(tmp_path / "other")
    profile = load_profile("pocket", [f"bases=DreamShaper={tmp_path}/other"])
    drawn = Study(profile, Store(tmp_path / "store")).model(OTHER)
    assert drawn.latent_shape() == model.latent_shape() != other.latent_shape()
    assert drawn.generate(["a dog"], [0], Sampling("lms", 1, 5.0)).shape == (1, 3, 64, 64)


def test_a_bases_revision_is_a_setting_and_part_of_the_key():
    pinned = load_profile("paper", ["bases=DreamShaper=Lykon/DreamShaper@abc"])
    assert pinned.bases == PAPER.bases | {"DreamShaper": "Lykon/DreamShaper@abc"}
    keys = [Protocol(profile).model(OTHER).key for profile in (PAPER, pinned)]
    assert keys[0] != keys[1]
    both = load_profile("pocket", [f"bases={name}={POCKET.base}" for name in ("DreamShaper", "Protogen")])
    assert both.bases == POCKET.bases | dict.fromkeys(("DreamShaper", "Protogen"), POCKET.base)


@pytest.mark.parametrize(("setting", "message"), [
    ("bases=Dreamshaper=a/b", "unknown base model 'Dreamshaper'; did you mean 'DreamShaper'?"),
    ("bases=DreamShaper", "--set bases takes NAME=WHERE, not 'DreamShaper'"),
    ("bases=DreamShaper=nowhere", "'nowhere' is neither a folder nor a hub id"),
])  # fmt: skip
def test_bad_bases_are_named(setting, message):
    with pytest.raises(UserError) as error:
        load_profile("paper", [setting])
    assert str(error.value).startswith(message)


def test_a_base_of_ones_own_is_the_original_model_too():
    own = PAPER.model_copy(update={"base": POCKET.base})
    assert Protocol(own).base(Row("nudity", BASE)) == POCKET.base


def test_hub_ids_whose_history_is_known_are_pinned():
    judges = {concept.judge for concept in PAPER.concepts.values()} - {"nudenet", "wikiart-vit"}
    pinned = {PAPER.base, PAPER.bases["SD v1.5"], PAPER.clip, PAPER.attack_clip, *judges}
    assert all(len(name.partition("@")[2]) == 40 for name in pinned) and len(pinned) == 5


def test_a_local_judge_needs_no_revision_in_its_name(tmp_path):
    (tmp_path / "microsoft" / "resnet-50").mkdir(parents=True)
    profile = PAPER.model_copy(update={"judges": str(tmp_path)})
    assert Protocol(profile).judge("Church").judge == str(tmp_path / "microsoft" / "resnet-50")


def test_where_the_style_judge_is_to_be_had_is_said_before_anything_is_made(tmp_path):
    """It said that the name is no folder and no hub id."""
    message = r"the judge of 'Van Gogh' is not here: get .*README.*drive\.google\.com.*--set judges=FOLDER"
    profile = PAPER.model_copy(update={"disk_gb": 0})
    protocol = Protocol(profile)
    protocol.source.fingerprint = lambda *names: {}
    with pytest.raises(UserError, match=message):
        preflight([Job(profile, protocol.attack(Row("Van Gogh", BASE), "none"))], Store(tmp_path))
    with pytest.raises(UserError, match=message):
        protocol.judge("Van Gogh").load("cpu")
