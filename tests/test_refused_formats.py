"""What cannot load is refused by name, in one line, with the way out."""

import re

import pytest
import torch
from weight_files import ALPHA, RANK, adapter, added, original, scaled, weights

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.single_file import unet_state
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.profiles.pocket import POCKET


def cyclic():
    state = {}
    state["state_dict"] = state
    return state


def with_conv_in(model, change):
    return weights(model.unet) | {"conv_in.weight": change(weights(model.unet)["conv_in.weight"])}


def both(model, tmp_path):
    parts = {part: scaled(getattr(model, part)) for part in ("unet", "text_encoder")}
    return original(model.with_parts(**parts), tmp_path)


def of_text(model):
    """A kohya LoRA of one layer of the text encoder, of rank one, that adds 0.5 to each weight."""
    rows, columns = model.text_encoder.state_dict()["encoder.layers.0.mlp.fc1.weight"].shape
    layer = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    return {
        f"{layer}.lora_down.weight": torch.ones(1, columns),
        f"{layer}.lora_up.weight": torch.full((rows, 1), 0.5),
    }


REFUSED = {
    "empty": (lambda m, t: {}, "hold no tensor"),
    "no names": (lambda m, t: {0: torch.ones(1)}, r"not a state dict \(a mapping of names to tensors\)"),
    "cyclic": (lambda m, t: cyclic(), "not a state dict"),
    "two parts": (
        lambda m, t: {"unet": weights(m.unet), "text_encoder": weights(m.text_encoder)},
        r"several state dicts \(unet, text_encoder\); save one of them alone",
    ),
    "sparse": (lambda m, t: with_conv_in(m, torch.Tensor.to_sparse), "weight is sparse, .*allowed: dense"),
    "no values": (lambda m, t: with_conv_in(m, lambda w: w.to("meta")), "conv_in.weight is .*without values"),
    "integers": (lambda m, t: with_conv_in(m, torch.Tensor.int), r"weight is int32 \(allowed: dense"),
    "complex": (lambda m, t: with_conv_in(m, lambda w: w + 0j), "conv_in.weight is complex"),
    "foreign names": (
        lambda m, t: {f"transformer.{i}.weight": torch.ones(1) for i in range(9)},
        r"this unet: none of their 9 names \(transformer\.0\.weight, .*\) is one of its \d+ \(conv_in",
    ),
    "half a layer": (
        lambda m, t: {"conv_in.weight": weights(m.unet)["conv_in.weight"]},
        r"do not fit this unet: 1 missing \(conv_in\.bias\)",
    ),
    "a name more in CompVis' style": (
        lambda m, t: unet_state(m.unet) | {"model.diffusion_model.output_blocks.99.0.bias": torch.ones(1)},
        r"1 unexpected \(output_blocks\.99\.0\.bias\)",
    ),
    "another whole model": (both, "is a whole model, in which more than one part differs.*give it as --base"),
    "a whole XL": (
        lambda m, t: unet_state(m.unet) | {"conditioner.embedders.1.model.ln_final.bias": torch.ones(1)},
        r"is a whole model of Stable Diffusion 2\.x or XL: give it as --base",
    ),
    "the base itself": (original, "whole model, in which neither .* differs"),
    "textual inversion": (
        lambda m, t: {"<church>": torch.ones(m.embedding_table().shape[1])},
        r"textual inversion \(vectors of <church>\), no .*load_textual_inversion.*OUT as the base",
    ),
    "LoRA of text too": (
        lambda m, t: adapter(m, "kohya")[1] | of_text(m),
        "changes a text encoder too.*fuse_lora.*OUT as the base",
    ),
    "LoRA of another UNet": (
        lambda m, t: adapter(m, "diffusers")[1] | {
            f"unet.down_blocks.7.attentions.0.proj_in.lora_{way}.weight": torch.ones(2, 2) for way in "AB"
        },
        "changes 6 layers, of which the base has 5",
    ),
    "DoRA": (
        lambda m, t: adapter(m, "kohya")[1] | {"lora_unet_conv_in.dora_scale": torch.ones(1)},
        r"is a DoRA \(allowed: LoRA\)",
    ),
    "LoHa": (
        lambda m, t: {f"lora_unet_mid_block_resnets_1_conv1.hada_w1_{way}": torch.ones(2, 2) for way in "ab"},
        "cannot merge the adapter .*hada_w1_a",
    ),
    "peft without its configuration": (
        lambda m, t: adapter(m, "peft")[1], r"needs a readable adapter_config\.json, which peft saves",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_load_is_refused_in_one_line(model, tmp_path, name):
    make, message = REFUSED[name]
    torch.save(make(model, tmp_path), tmp_path / "given.pt")
    with pytest.raises(UserError, match=message) as error:
        load_part(tmp_path / "given.pt", model)
    assert "given.pt" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["textual inversion", "LoRA of text too"])
def test_the_way_out_that_a_refusal_names_leads_out(model, tmp_path, name):
    torch.save(REFUSED[name][0](model, tmp_path), tmp_path / "given.pt")
    with pytest.raises(UserError) as error:
        load_part(tmp_path / "given.pt", model)
    command = re.search(r'python -c "(.*?)" and give', str(error.value))[1]
    exec(command.replace("BASE", POCKET.base).replace("OUT", str(tmp_path / "out")), {})
    made = load_model(tmp_path / "out")
    if name == "textual inversion":
        token = made.tokenizer.convert_tokens_to_ids("<church>")
        assert token in made.tokenize(["a <church>"]) and (made.embedding_table()[token] == 1).all()
        return
    fc1 = "encoder.layers.0.mlp.fc1.weight"
    torch.testing.assert_close(weights(made.text_encoder)[fc1], weights(model.text_encoder)[fc1] + 0.5)
    torch.testing.assert_close(weights(made.unet), added(model, ALPHA / RANK), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("file", ["text.pt", "text.safetensors", "none.safetensors"])
def test_what_is_no_file_of_weights_is_refused(tmp_path, model, file):
    (tmp_path / file).write_text("hello") if file.startswith("text") else None
    with pytest.raises(
        UserError, match=f"cannot read the weights .*{file}': \\w+: ." if "text" in file else "neither"
    ):
        load_part(tmp_path / file, model)


# -- bases -------------------------------------------------------------------------------------------------
