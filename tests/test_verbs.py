"""The verbs on a model of one's own, through the command line, and what their folders hold."""

import ast
import json
import re
from collections import namedtuple

import pytest
import torch
from PIL import Image

from advunlearn_lib.api import load_erased
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.experiment.erasure_spec import ErasureSpec
from advunlearn_lib.profiles.pocket import POCKET

BASE = f"--base={POCKET.base}"
JUDGE = [f"--judge={POCKET.judges}/judge-object", "--labels=church"]
FAST = ["--sampler=dpm++", "--steps=4", "--guidance-scale=5"]
TINY = ["iterations=3", "per_prompt=2", "attack_steps=1", "retain_per_prompt=1", "steps=4"]


@pytest.fixture(scope="module")
def erased(tmp_path_factory):
    """A folder made by ``erase``, with prompts beside it."""
    root = tmp_path_factory.mktemp("own")
    (root / "prompts.csv").write_text(
        "prompt,evaluation_seed\na photo of a church,3\na photo of a church on the beach,4\n"
    )
    retain = [f"a photo of a {word}" for word in ("dog", "cat", "train", "chair")]
    (root / "retain.txt").write_text("\n".join(retain))
    files = [f"--retain={root}/retain.txt", f"--out={root}/out", f"--prompts={root}/prompts.csv"]
    budget = [f"--option={option}" for option in TINY]
    concept = ["--concept=church", "--concept=a photo of a church", "--kind=object", "--seed=5"]
    assert main(["erase", BASE, *concept, *files, *JUDGE, *FAST, *budget]) == 0
    return root


def test_erase_leaves_weights_a_card_and_a_record(erased, model):
    part, _ = load_part(erased / "out", model)
    record = json.loads((erased / "out" / "erased.json").read_text())
    assert part == "text_encoder" == record["component"]
    spec = record["spec"]
    assert spec["concept"] == ["church", "a photo of a church"] and len(record["losses"]) == 3
    assert record["measured"]["ASR (%)"]["n"] == 2 and spec["seed"] == 5
    assert spec["options"]["iterations"] == 3 and spec["options"]["retain_weight"] == 0.5  # an object's
    card = (erased / "out" / "README.md").read_text()
    assert "ASR (%)" in card and '"iterations": 3' in card


def test_a_saved_folder_loads_back_with_its_specification(erased, model, tmp_path):
    loaded = load_erased(erased / "out")
    again = load_erased(erased / "out", model)
    assert loaded.spec == again.spec and loaded.losses == again.losses and loaded.model.name == POCKET.base
    assert (loaded.spec.method, loaded.spec.options.iterations, loaded.spec.seed) == ("advunlearn", 3, 5)
    trained = loaded.model.text_encoder.state_dict()
    assert all(
        torch.equal(trained[key], value) for key, value in again.model.text_encoder.state_dict().items()
    )
    again.save_pretrained(tmp_path / "copy")
    assert load_erased(tmp_path / "copy", model).spec == loaded.spec
    repeated = loaded.spec.run(model)
    assert repeated.losses == loaded.losses


@pytest.mark.parametrize(("text", "message"), [
    (None, "has no readable erased.json"), ("{", "has no readable erased.json"),
    ("[]", "unknown method ''"),
    ('{"method": "esd", "concept": ["x"], "options": {"lr": -1}}', "option lr=-1"),
    ('{"method": "esd"}', "erasure concept"),
    ('{"method": "esd", "concept": ["x"], "more": 1}', "unknown erasure 'more'"),
])  # fmt: skip
def test_a_folder_that_erase_did_not_write_is_one_line(tmp_path, text, message):
    if text is not None:
        whole = text if text == "{" else f'{{"base": "x", "losses": [], "spec": {text}}}'
        (tmp_path / "erased.json").write_text(whole)
    with pytest.raises(UserError) as error:
        load_erased(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_card_says_what_its_success_rate_rests_on(erased):
    """A number without attack, budget, judge and prompts cannot be compared with another."""
    protocol = json.loads((erased / "out" / "erased.json").read_text())["protocol"]
    budget, pictures, aim = (protocol.pop(name) for name in ("budget", "pictures", "target pictures"))
    assert protocol == {
        "attack": "UnlearnDiffAtk",
        "judge": f"{POCKET.judges}/judge-object",
        "labels": ["church"],
        "threshold": 0.9,
        "prompts": "2 of prompts.csv",
        "exempt prompts": 0,
    }
    assert aim == pictures
    assert budget.items() >= {"tokens": 3, "timesteps": 6, "steps": 4, "lr": 0.01}.items()
    assert pictures.items() >= {"sampler": "dpm++", "steps": 4, "guidance_scale": 5.0}.items()
    card = (erased / "out" / "README.md").read_text()
    section = card.partition("## What was measured")[2].partition("##")[0]
    for line in ("attack: UnlearnDiffAtk\n", "labels: church\n", "prompts: 2 of prompts.csv\n",
                 "threshold: 0.9\n", f"judge: {POCKET.judges}/judge-object\n",
                 "budget: tokens=3, timesteps=6, steps=4, lr=0.01",
                 "pictures: sampler=dpm++, steps=4, guidance_scale=5.0"):  # fmt: skip
        assert f"- {line}" in section


def test_the_cards_lines_load_it_with_plain_diffusers(erased, monkeypatch):
    monkeypatch.chdir(erased)
    lines = re.search(r"```python\n(.*?)```", (erased / "out" / "README.md").read_text(), re.S)[1]
    assert len(ast.parse(lines).body) <= 4 and "advunlearn" not in lines.replace(POCKET.base, "")
    scope = {}
    exec(lines.replace('pipe("a prompt")', 'pipe("a photo of a dog", num_inference_steps=2)'), scope)
    assert isinstance(scope["image"], Image.Image)
    assert torch.equal(
        scope["pipe"].text_encoder.final_layer_norm.weight,
        load_part(erased / "out", load_model(POCKET.base))[1].final_layer_norm.weight,
    )


def test_attack_evaluate_and_generate(erased, capsys):
    common = [BASE, f"--checkpoint={erased}/out", *FAST]
    prompts, budget = f"--prompts={erased}/prompts.csv", ["--option=timesteps=1", "--option=steps=1"]
    assert main(["attack", *common, prompts, *JUDGE, f"--out={erased}/attack", *budget]) == 0
    result = json.loads((erased / "attack" / "attack.json").read_text())
    assert [row["seed"] for row in result["prompts"]] == [3, 4] and result["ASR (%)"]["n"] == 2
    assert result["protocol"]["budget"]["timesteps"] == 1
    assert main(["generate", *common, "--prompt=a photo of a dog", f"--out={erased}/pictures"]) == 0
    assert Image.open(erased / "pictures" / "00000.png").size == (64, 64)
    captions = erased / "captions.txt"
    captions.write_text("\n".join(f"a photo of a {word}" for word in ("dog", "cat") * 4))
    clip = [f"--clip={POCKET.clip}", f"--prompts={captions}", f"--out={erased}/quality"]
    assert main(["evaluate", *common, *clip]) == 0
    assert 0 < json.loads((erased / "quality" / "evaluate.json").read_text())["clip"]["value"] < 1
    assert "clip: " in capsys.readouterr().out


def test_an_option_takes_the_texts_of_a_file(erased, capsys):
    (erased / "anchors.txt").write_text("a dog\na bus\n")
    words = ["erase", BASE, "--concept=monet", "--kind=style", "--method=ac", f"--out={erased}/ac"]
    options = ["--option=iterations=1", "--option=per_prompt=1", "--option=sampling_steps=1"]
    assert main([*words, *options, "--option=anchors=[]"]) == 2
    assert "AC needs anchors" in capsys.readouterr().err and not (erased / "ac").exists()
    assert main([*words, *options, "--option=anchors=@nowhere.txt"]) == 2
    assert "no such prompts file: 'nowhere.txt'" in capsys.readouterr().err and not (erased / "ac").exists()
    assert main([*words, *options, f"--option=anchors=@{erased}/anchors.txt"]) == 0
    spec = load_erased(erased / "ac").spec
    assert spec.method == "ac" and spec.options.anchors == ("a dog", "a bus")


@pytest.mark.parametrize("method", ["advunlearn", "salun", "erasediff", "scissorhands"])
def test_who_needs_retain_prompts_gets_cocos(method, erased, monkeypatch):
    asked, begun = [], []
    monkeypatch.setattr(
        "advunlearn_lib.data.official.retain_prompts", lambda wanted: asked.append(wanted.source) or ["a dog"]
    )
    monkeypatch.setattr(ErasureSpec, "run", lambda self, *_: begun.append(self) or 1 / 0)
    words = ["erase", BASE, "--concept=church", f"--method={method}", "--surrogate=a dog"]
    with pytest.raises(ZeroDivisionError):
        main([*words, f"--out={erased}/{method}"])
    assert asked == ["coco"] and begun[0].retain_set == ("a dog",)


@pytest.mark.parametrize("attack", ["random", "none"])
def test_the_record_names_the_attack_as_the_user_did(erased, attack):
    words = [BASE, *FAST, *JUDGE, f"--prompts={erased}/prompts.csv", f"--out={erased}/{attack}"]
    assert main(["attack", *words, f"--attack={attack}", "--option=timesteps=1"]) == 0
    assert json.loads((erased / attack / "attack.json").read_text())["protocol"]["attack"] == attack


@pytest.mark.parametrize(("words", "message"), [
    (["erase", BASE, "--out=OUT"], "the following arguments are required: --concept"),
    (["erase", BASE, "--out=OUT", "--concept=x", "--method=advunlern"],
     "unknown method 'advunlern'; did you mean 'advunlearn'?"),
    (["erase", BASE, "--out=OUT", "--concept=church", "--method=esd", "--option=rate=1"],
     "unknown option 'rate'"),
    (["erase", BASE, "--out=OUT", "--concept=church", "--retain=nothing.txt"],
     "no such prompts file: 'nothing.txt'"),
    (["erase", BASE, "--out=OUT", "--concept=church", "--retain=FILE", "--option=component=vae"],
     "unknown component 'vae'"),
    (["erase", BASE, "--out=OUT", "--concept=church", "--kind=thing"], "invalid choice: 'thing'"),
    (["generate", "--base=/no/where", "--out=OUT", "--prompt=x"],
     "'/no/where' is neither a folder nor a hub id"),
    (["generate", "--base=nobody/nothing", "--out=OUT", "--prompt=x"], "nobody/nothing"),
    (["generate", BASE, "--out=OUT"], "no prompts given"),
    (["generate", BASE, "--out=OUT", "--prompt=x", "--sampler=dddim"],
     "unknown sampler 'dddim'; did you mean 'ddim'?"),
    (["generate", BASE, "--out=OUT", "--prompt=x", "--checkpoint=/no/where"], "is neither a folder nor a"),
    (["generate", BASE, "--out=OUT", "--prompt=x", "--steps=0"], "'0' is not a whole number of at least 1"),
    (["generate", BASE, "--out=OUT", "--prompt=x", "--device=cuda:99"],
     "this machine has no device 'cuda:99'"),
    (["attack", BASE, "--out=OUT", "--prompts=FILE"], "the judge needs --labels"),
    (["attack", BASE, "--out=OUT", "--prompts=FILE", "--labels=chruch", JUDGE[0]],
     "the judge has no label 'chruch'"),
    (["attack", BASE, "--out=OUT", "--prompts=FILE", *JUDGE, "--option=stepz=3"],
     "unknown budget 'stepz'; did you mean 'steps'?"),
    (["attack", BASE, "--out=OUT", "--prompts=FILE", *JUDGE, "--attack=CEC"],
     "unknown attack 'CEC'; did you mean 'CCE'?"),
])  # fmt: skip
def test_one_line_exit_code_2_and_nothing_written(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "prompts.csv").write_text("prompt\na photo of a church\n")
    places = {"OUT": str(tmp_path / "out"), "FILE": str(tmp_path / "prompts.csv")}
    filled = [re.sub("OUT|FILE", lambda found: places[found[0]], word) for word in words]
    assert main(filled) == 2
    *bars, error = capsys.readouterr().err.strip().splitlines()  # in a process of its own bars are off
    assert error.startswith("error: ") and message in error
    assert all("Loading" in bar or "100%" in bar for bar in bars if bar.strip())
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: namedtuple("Usage", "free")(2e6))
    (tmp_path / "retain.txt").write_text("a photo of a dog\n")
    words = ["--concept=church", f"--retain={tmp_path}/retain.txt", f"--out={tmp_path}/new/out"]
    assert main(["erase", BASE, *words]) == 2
    message = r"0\.0 GB are free for the output folder .*; about 0\.0\d+ GB are needed"
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "new").exists()
