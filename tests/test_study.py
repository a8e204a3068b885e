from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import key_of
from advunlearn_lib.base.store import Store
from advunlearn_lib.data.emoji import evaluation_candidates, fresh_scenes, retain_set
from advunlearn_lib.data.official import SHA256
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.execute.pool import compute, plan
from advunlearn_lib.execute.preflight import preflight
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.paper.items import TABLES
from advunlearn_lib.profiles.load import profile
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world.render import STYLE_NAMES

RECIPES = Recipes(POCKET)
ESD = Row("nudity", "ESD", "UNet")


def test_what_is_unknown_or_undefined_is_named():
    with pytest.raises(UserError, match="unknown concept 'nudty'; did you mean 'nudity'"):
        RECIPES.cell(Cell(Row("nudty", BASE), "none", "asr"))
    with pytest.raises(UserError, match="unknown method 'ESDX'; did you mean 'ESD'"):
        RECIPES.erase(Row("nudity", "ESDX", "UNet"))
    with pytest.raises(
        UserError,
        match="the paper does not define AC \\(UNet\\) on a concept of the kind 'object' \\(Church\\)",
    ):
        RECIPES.erase(Row("Church", "AC"))
    with pytest.raises(UserError, match="unknown attack 'UnlearnDiffAttack'; did you mean 'UnlearnDiffAtk'"):
        RECIPES.attack(ESD, "UnlearnDiffAttack")
    with pytest.raises(UserError, match="unknown variant"):
        RECIPES.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "Suffix"))


def test_the_tables_models_have_recipes_of_their_own():
    rows = {cells.cell_of(record).row for table in ("1", "2", "3") for record in cells.reported(table)}
    assert len({key_of(RECIPES.erase(row)) for row in rows}) == len(rows) == 6


def test_a_recipe_says_everything_that_shapes_the_result():
    recipe = RECIPES.attack(ESD, "UnlearnDiffAtk")
    for change in ("seed=1", "sampling_steps=9", "attack_steps=3", "prompts=50", "scale=0.5"):
        assert key_of(Recipes(profile("pocket", [change])).attack(ESD, "UnlearnDiffAtk")) != key_of(recipe), (
            change
        )
    assert Recipes(profile("pocket", ["fid_images=400"])).attack(ESD, "UnlearnDiffAtk") == recipe


def test_every_option_of_the_profile_is_valid_and_retains_nothing_erased():
    for row, options in POCKET.methods.items():
        METHODS[options["method"]].OPTIONS(
            **{name: value for name, value in options.items() if name != "method"}
        )
        assert row.split()[-1] in {concept.kind for concept in POCKET.concepts.values()}
    for concept in POCKET.concepts.values():
        assert not any(
            prompt.endswith(f" {label}") for prompt in retain_set(concept.labels) for label in concept.labels
        )
        assert len(concept.surrogates()) == len(concept.erase)
    weapons = POCKET.concepts["nudity"].labels
    for source in ("coco", "imagenet"):
        extra = set(retain_set(weapons, source, filtered=False)) - set(retain_set(weapons, source))
        assert len(extra) == 3 and "a photo of a cleaver" in extra


def test_prompts_and_captions_of_a_style():
    prompts = evaluation_candidates("style", ["van gogh"], 60)
    assert len({prompt.text for prompt in prompts}) == 60 and all(
        "van gogh" in prompt.text for prompt in prompts
    )
    scenes = fresh_scenes(POCKET.sprites, 60, ["van gogh"])
    assert len(scenes.images) == 60 and "van gogh" not in {
        STYLE_NAMES[scene.style] for scene in scenes.scenes
    }
    plain = fresh_scenes(POCKET.sprites, 60)
    assert "van gogh" in {STYLE_NAMES[scene.style] for scene in plain.scenes}


def test_the_plan_trains_first_and_shrinks_as_cells_are_done(tmp_path):
    store, rows = Store(tmp_path), [ESD, Row("nudity", "AdvUnlearn"), Row("nudity", BASE)]
    tasks = [
        (POCKET, Cell(row, "UnlearnDiffAtk", metric)) for row in rows for metric in ("asr", "fid", "clip")
    ]
    todo = plan(tasks, store)
    assert [(cell.row.method, cell.metric) for _, cell in todo[:2]] == [
        ("AdvUnlearn", "model"),
        ("ESD", "model"),
    ]
    assert len(todo) == 2 + 2 * 3  # FID and CLIP score are one cell; the original is not trained
    store.cell("quality", RECIPES.quality(ESD), lambda _: {})
    assert len(plan(tasks, store)) == 7


def test_seconds_of_a_cell_come_from_its_training(tmp_path):
    study = Study(POCKET, Store(tmp_path))
    recipe = study.recipes.erase(ESD)
    study.store.cell("erase", recipe, lambda _: {"seconds": [1.0, 2.0, 3.0, 2.0]})
    study.model = lambda row: None
    estimate = study.seconds(ESD)
    assert estimate.value == 2 and 1 <= estimate.low < 2 < estimate.high <= 3 and estimate.n == 4


def test_damaged_weights_are_named_and_made_again(tmp_path, capsys):
    store, row = Store(tmp_path), Row("nudity", "UCE")
    first = Study(profile("pocket", quick=True), store)
    made = first.model(row).unet.state_dict()
    weights = next((store.folder("erase", first.recipes.erase(row)) / "weights").glob("*.safetensors"))
    weights.unlink()  # the old file is mapped into memory
    weights.write_bytes(b"garbage")
    again = Study(profile("pocket", quick=True), store).model(row).unet.state_dict()
    assert all(torch.equal(made[name], value) for name, value in again.items())
    assert str(weights.parent.parent) in capsys.readouterr().out


def test_a_base_folder_may_be_a_unet_alone(tmp_path):
    study = Study(POCKET, Store(tmp_path))
    derived = study.base(POCKET.bases["SD v1.5"])
    assert derived.text_encoder is study.base().text_encoder and derived.unet is not study.base().unet


def test_weights_from_elsewhere_are_evaluated_instead(model, tmp_path):
    changed = model.copy_of("unet")
    with torch.no_grad():
        changed.unet.conv_in.bias.add_(1)
    torch.save(changed.unet.state_dict(), tmp_path / "ESD.pt")
    settings = profile("pocket", [f"checkpoint=nudity:ESD:UNet={tmp_path}/ESD.pt"])
    study = Study(settings, Store(tmp_path / "store"))
    assert torch.equal(study.model(ESD).unet.conv_in.bias, changed.unet.conv_in.bias)
    assert study.recipes.cell(Cell(ESD, "", "model")) == ("", {})
    assert key_of(study.recipes.attack(ESD, "none")) != key_of(RECIPES.attack(ESD, "none"))
    with pytest.raises(UserError, match="was not trained here"):
        study.seconds(ESD)
    with pytest.raises(UserError, match="--checkpoint takes 'concept:method:component=WHERE' or 'published'"):
        profile("pocket", ["checkpoint=ESD.pt"])


def test_the_paper_profile_has_a_recipe_for_every_cell_of_the_paper(tmp_path):
    for name in SHA256:
        columns = {
            "prompt": ["a photo of x", "a photo of y"],
            "evaluation_seed": [1, 2],
            "evaluation_guidance": [7.5, 7],
        }
        pd.DataFrame(columns).to_csv(tmp_path / name)
    np.savez(tmp_path / "coco.npz", mu=np.zeros(2), sigma=np.eye(2))
    settings = [f"prompts_dir={tmp_path}", f"reference={tmp_path}/coco.npz"]
    recipes = Recipes(profile("paper", settings))
    found = [
        recipes.cell(cells.cell_of(record)) for table in TABLES.values() for record in cells.reported(table)
    ]
    pocket = [
        RECIPES.cell(cells.cell_of(record))[0]
        for table in TABLES.values()
        for record in cells.reported(table)
    ]
    assert [kind for kind, _ in found] == pocket
    for row, options in recipes.profile.methods.items():
        METHODS[options["method"]].OPTIONS(
            **{name: value for name, value in options.items() if name != "method"}
        )
        assert row in POCKET.methods
    published = Recipes(profile("paper", [*settings, "checkpoint=published"]))
    recipe = published.erase(Row("nudity", "AdvUnlearn", "Text Encoder"))
    assert recipe["checkpoint"] == "OPTML-Group/AdvUnlearn/nudity_unlearned"
    assert published.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "N=12")) == recipe
    assert "checkpoint" not in published.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "N=1"))


def test_prompts_too_long_to_attack_are_marked(tmp_path):
    settings = POCKET.model_copy(update={"prompts": 4, "longest": 8, "sampling_steps": 2, "select": False})
    study = Study(settings, Store(tmp_path))
    prompts, _ = study.prompts("Church")
    lengths = [len(study.base().tokenizer(prompt.text).input_ids) for prompt in prompts]
    assert [prompt.exempt for prompt in prompts] == [length > 8 for length in lengths] and len(
        set(lengths)
    ) > 1


def test_a_machine_too_small_says_so_first(tmp_path):
    tasks = [(POCKET.model_copy(update={"disk_gb": 1e9}), Cell(ESD, "", "model"))]
    with pytest.raises(UserError, match="GB are free for the store"):
        compute(tasks, Store(tmp_path), "test")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="needs a GPU of 12 GB and torch sees none"):
            compute(
                [(POCKET.model_copy(update={"gpu_gb": 12}), Cell(ESD, "", "model"))], Store(tmp_path), "test"
            )


def test_a_gpu_too_small_to_train_a_unet_says_so_first(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=16e9))
    small = POCKET.model_copy(update={"gpu_gb": 12, "gpu_unet_gb": 24})
    preflight([(small, Cell(Row("nudity", "AdvUnlearn", "Text Encoder"), "", "model"))], Store(tmp_path))
    with pytest.raises(UserError, match="the GPU has 16 GB; 24 GB are needed"):
        preflight([(small, Cell(ESD, "", "model"))], Store(tmp_path))
