import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from tasks import task_on
from transformers import CLIPTextModel

from advunlearn_lib.api import erase
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.parameters import UNET_GROUPS, select

SMALL = {"steps": 4, "per_prompt": 4, "iterations": 4, "batch": 8, "lr": 1e-4}


def changed(model, other, component):
    before, after = (dict(getattr(m, component).named_parameters()) for m in (model, other))
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_esd_loss_is_the_formula(model):
    method = prepare("esd", task_on(model, ["church"]), SMALL | {"batch": 3, "eta": 0.7})
    ours = method.loss(0, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    total = 0.0
    batch = method.sample_points(method.choose_paths(generator), generator)
    for z, t, e0, ep in zip(batch.latents, batch.timesteps, batch.eps_empty, batch.eps_prompt):
        predicted = model.predict_noise(z[None], t[None], model.encode_prompts(["church"]))[0]
        total += F.mse_loss(predicted, e0 - 0.7 * (ep - e0)).item() / 3
    assert ours.item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(
    ("component", "group"),
    [("unet", "xattn"), ("unet", "noxattn"), ("text_encoder", "layers-2"), ("text_encoder", "full")],
)
def test_only_the_group_is_trained(model, component, group):
    erased = erase(model, "church", "esd", component=component, group=group, **SMALL | {"lr": 1e-3})
    wanted = set(select(getattr(model, component), component, group))
    moved = changed(model, erased.model, component)
    assert moved <= wanted and len(moved) > 0.9 * len(wanted)
    other = "unet" if component == "text_encoder" else "text_encoder"
    assert getattr(erased.model, other) is getattr(model, other)


def test_groups(model):
    assert {n.split(".")[2] for n in select(model.text_encoder, "text_encoder", "layers-3")} <= {
        "0",
        "1",
        "2",
    }
    prefix = select(model.text_encoder, "text_encoder", "layers-2", prefix_match=True)
    assert {n.split("layers.")[1].split(".")[0] for n in prefix} == {"0", "1", "10", "11"}
    full = set(select(model.text_encoder, "text_encoder", "full"))
    assert not any("embed" in name for name in full) and any("final_layer_norm" in name for name in full)
    with pytest.raises(UserError, match="'xattn' selects no parameter"):
        select(model.text_encoder, "unet", "xattn")
    with pytest.raises(UserError, match="unknown UNet group 'xlayer'"):
        select(model.unet, "unet", "xlayer")


def test_unet_groups_on_stable_diffusions_own_architecture():
    with torch.device("meta"):  # UNet2DConditionModel's defaults are SD v1.x but for the text width
        unet = UNet2DConditionModel(cross_attention_dim=768)
    chosen = {group: select(unet, "unet", group) for group in UNET_GROUPS}
    assert sum(p.numel() for p in chosen["full"].values()) == 859_520_964
    assert len(chosen["xattn"]) == 16 * 5  # q, k, v, out and its bias
    assert not set(chosen["xattn"]) & set(chosen["noxattn"])
    left_out = set(chosen["full"]) - set(chosen["noxattn"]) - set(chosen["xattn"])
    assert {name.split(".")[0] for name in left_out} == {"conv_norm_out", "conv_out", "time_embedding"}


def test_erased_parts_load_in_plain_libraries(model, tmp_path):
    for component, loader in (("text_encoder", CLIPTextModel), ("unet", UNet2DConditionModel)):
        group = "full" if component == "text_encoder" else "xattn"
        erased = erase(model, "church", "esd", component=component, group=group, **SMALL | {"lr": 1e-3})
        erased.save_pretrained(tmp_path / component)
        loaded = loader.from_pretrained(tmp_path / component)
        ours = getattr(erased.model, component).state_dict()
        assert all(torch.equal(value, ours[name]) for name, value in loaded.state_dict().items())


def test_bad_input(model):
    with pytest.raises(UserError, match="unknown method 'esdd'; did you mean 'esd'"):
        erase(model, "church", "esdd")
    with pytest.raises(UserError, match="unknown quirk"):
        erase(model, "church", "esd", quirks={"nope"})
    with pytest.raises(UserError, match="AdvUnlearn needs a retain set"):
        erase(model, "church", "advunlearn", **SMALL)
    with pytest.raises(UserError, match="unknown option 'lrr'; did you mean 'lr'"):
        erase(model, "church", "esd", lrr=1e-3)
    with pytest.raises(UserError, match="option lr=-1: input should be greater than 0"):
        erase(model, "church", "esd", lr=-1)
    with pytest.raises(UserError, match="unknown UNet group"):
        erase(model, "church", "esd", group="everything", **SMALL)
    with pytest.raises(UserError, match="no tokens"):
        erase(model, "", "esd", **SMALL)
