"""Bad input of every sort: one line, exit code 2, nothing written, before a model is loaded."""

import math
import re

import pytest

from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.seeds import derived_seed, generator
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET

OVER, HUGE = str(2**63), "1" + "0" * 30
JUDGES = POCKET.judges
BASE = f"--base={POCKET.base}"
JUDGE = [f"--judge={JUDGES}/judge-object", "--labels=church"]
VERBS = {
    "generate": ["--prompt=a church"],
    "attack": ["--prompts=FILE", *JUDGE],
    "evaluate": ["--prompts=FILE"],
    "erase": ["--concept=church", "--retain=FILE"],
}


def verb(name, *words):
    """A verb's command line that nothing is wrong with but ``words``."""
    return [name, BASE, "--out=OUT", *VERBS[name], *words]


def item(*words):
    return ["table3", "--quick", "--out=OUT", *words]


def drawn(*words):
    """A command line of each verb."""
    return [verb(name, *words) for name in VERBS]


CASES = [
    *((words, f"'{OVER}' is too large (allowed: 0 to {2**63 - 1})") for words in drawn(f"--seed={OVER}")),
    *((words, f"'{HUGE}' is too large") for words in drawn(f"--seed={HUGE}")),
    *((words, "'-1' is not a whole number of at least 0") for words in drawn("--seed=-1")),
    *((words, "'nan' is not a number from 0 to 100") for words in drawn("--guidance-scale=nan")),
    *((words, "'inf' is not a number from 0 to 100") for words in drawn("--guidance-scale=inf")),
    *((words, "'1e300' is not a number from 0 to 100") for words in drawn("--guidance-scale=1e300")),
    *((words, "'-1' is not a number from 0 to 100") for words in drawn("--guidance-scale=-1")),
    *((words, "'1001' is too large (allowed: 1 to 1000)") for words in drawn("--steps=1001")),
    *((words, f"'{HUGE}' is too large (allowed: 1 to 1000000)") for words in drawn(f"--batch={HUGE}")),
    *((words, "this machine has no device 'tpu'") for words in drawn("--device=tpu")),
    *((words, "this machine has no device 'cuda:99'") for words in drawn("--device=cuda:99")),
    *((words, "this machine has no device ''") for words in drawn("--device=")),
    (["table3", f"--seed={OVER}"], f"'{OVER}' is too large"),
    (["tune", f"--seed={OVER}"], f"'{OVER}' is too large"),
    (item(f"--seeds={HUGE}"), f"'{HUGE}' is too large"),
    (item("--processes=0"), "'0' is not a whole number of at least 1"),
    (item("--processes=-1"), "'-1' is not a whole number of at least 1"),
    (item(f"--processes={HUGE}"), f"'{HUGE}' is too large"),
    (["all", "--processes=0"], "'0' is not a whole number of at least 1"),
    *((item(f"--set={name}={value}"), f"setting {name}='{value}': ")
      for name in ("guidance_scale", "attack_lr", "scale", "disk_gb", "gpus", "gpu_gb")
      for value in ("nan", "inf", "-inf", "1e300")),
    *((item(f"--set={name}={HUGE}"), f"setting {name}='{HUGE}': input should be at most ")
      for name in ("fid_images", "prompts", "batch", "attack_steps", "attack_timesteps", "sampling_steps",
                   "quality_steps", "target_steps", "max_prompt_tokens")),
    (item("--set=sampling_steps=1001"), "input should be at most 1000"),
    (item("--set=device=tpu"), "setting device='tpu': string should match pattern '^(auto|(cpu|cuda"),
    (item("--set=device="), "setting device='': string should match pattern"),
    (item("--set=device=cuda:99"), "this machine has no device 'cuda:99'"),
    (["doctor", "--set=device=tpu"], "setting device='tpu'"),
    (item("--set=precision=fp16"), "setting precision='fp16': input should be 'fp32' or 'bf16'"),
    (verb("erase", "--precision=fp16"), "invalid choice: 'fp16'"),
    *((verb("erase", f"--option=lr={value}"), "option lr=") for value in ("NaN", "Infinity", "1e300")),
    *((verb("erase", f"--option={name}={HUGE}"), f"option {name}={HUGE}: input should be at most 1000")
      for name in ("iterations", "batch", "steps", "per_prompt", "attack_steps", "retain_weight")),
    (verb("erase", "--option=guidance_scale=101"), "input should be at most 100"),
    (verb("erase", "--option=lr=" + "9" * 5000), "option lr="),
    *((verb("attack", f"--option=lr={value}"), "budget lr=") for value in ("NaN", "-Infinity", "1e300", "0")),
    (verb("attack", f"--option=timesteps={HUGE}"), "input should be at most 1000000"),
    (verb("attack", "--option=weight_decay=NaN"), "budget weight_decay=nan: input should be a finite number"),
    *((verb(name, "--prompts=FILE", *JUDGE, f"--threshold={value}"), f"'{value}' is not a number from 0 to 1")
      for name in ("attack", "erase") for value in ("-0.1", "1.5", "nan", "inf", "much")),
    (["generate", BASE, "--out=OUT", "--prompt="], "--prompt is empty; a text is needed"),
    (["generate", BASE, "--out=OUT", "--prompt=a church", "--prompt= "], "--prompt is empty"),
    (verb("generate", "--prompts=FILE"), "--prompt and --prompts cannot be combined"),
    *((verb("erase", f"--concept={text}"), f"the prompt {text!r} contains no word; at least one is needed")
      for text in ("...", "?!", " ", "\u3002")),
    *((verb(name, "--clip=/no/where"), "'/no/where' is neither a folder") for name in ("attack", "evaluate")),
    *((verb(name, f"--clip={JUDGES}/judge-object"), "is not a CLIP model: its config.json says resnet")
      for name in ("attack", "evaluate")),
    *((verb(name, f"--clip={POCKET.base}"), "is not a CLIP model: no config.json")
      for name in ("attack", "evaluate")),
    (verb("evaluate", f"--clip={POCKET.base}/text_encoder"), "its config.json says clip_text_model"),
    *((verb(name, "--prompts=FILE", "--labels=x", "--judge=/no/where"), "'/no/where' is neither a folder")
      for name in ("attack", "erase")),
    *((verb(name, "--prompts=FILE", "--labels=x", f"--judge={POCKET.clip}"), "is not an image classifier: ")
      for name in ("attack", "erase")),
    (verb("attack", "--labels=x", "--judge=OUT.onnx"), "cannot get the nudity detector's weights"),
    (item(f"--set=clip={JUDGES}/judge-object"), "is not a CLIP model: its config.json says resnet"),
    (item(f"--set=attack_clip={POCKET.base}"), "is not a CLIP model: no config.json"),
    *((verb(name, "--prompts=SEED"), f"row 2: column 'seed' is '{OVER}'") for name in ("attack", "evaluate")),
    (["generate", BASE, "--out=OUT", "--prompts=SEED"], f"row 2: column 'seed' is '{OVER}'"),
]  # fmt: skip


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    def loaded(*_, **__):
        raise AssertionError("a model was loaded")

    for place in ("model_inputs.load_model", "erase.load_model", "items.execute"):
        monkeypatch.setattr(f"advunlearn_lib.cli.{place}", loaded)


@pytest.mark.parametrize(("words", "message"), CASES, ids=lambda value: str(value)[-60:])
def test_one_line_exit_code_2_and_nothing_written(words, message, tmp_path, capsys, nothing_is_loaded):
    (tmp_path / "file.csv").write_text("prompt\na church\na dog\n")
    (tmp_path / "seed.csv").write_text(f"prompt,seed\na church,7\na dog,{OVER}\n")
    places = {"OUT": tmp_path / "out", "FILE": tmp_path / "file.csv", "SEED": tmp_path / "seed.csv"}
    assert main([re.sub("OUT|FILE|SEED", lambda found: str(places[found[0]]), word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1 and len(error) < 6000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "seed.csv"]


@pytest.mark.parametrize(("call", "message"), [
    (lambda model: api.generate(model, [api.EvaluationPrompt("a church", 2**63)]), f"seed {2**63} is out of"),
    (lambda model: api.generate(model, [api.EvaluationPrompt("a church", -1)]), "seed -1 is out of range"),
    (lambda model: api.generate(model, [api.EvaluationPrompt("a church", 0, math.nan)]), "guidance scale na"),
    (lambda model: Sampling("ddim", 0, 5.0), "0 denoising steps are out of range (allowed: 1 to 1000)"),
    (lambda model: Sampling("ddim", 1001, 5.0), "1001 denoising steps"),
    (lambda model: Sampling("ddim", 4, math.inf), "guidance scale inf is out of range (allowed: 0 to 100)"),
    (lambda model: Sampling("dddim", 4, 5.0), "unknown sampler 'dddim'"),
    (lambda model: api.erase(model, "church", retain_set=["a dog"], seed=2**63), f"seed {2**63} is out of"),
    (lambda model: api.erase(model, "church", retain_set=["a dog"], lr=math.nan), "option lr=nan"),
    (lambda model: api.erase(model, "church", retain_set=["a dog"], iterations=10**9), "at most 1000000"),
    (lambda model: api.erase(model, "...", retain_set=["a dog"]), "the prompt '...' contains no word"),
    (lambda model: api.attack(model, ["a church"], bool, seed=2**63), f"seed {2**63} is out of range"),
    (lambda model: api.attack(model, ["a church"], bool, lr=math.inf), "budget lr=inf"),
    (lambda model: api.attack(model, ["a church"], bool, steps=10**9), "at most 1000000"),
    (lambda model: api.evaluate(model, ["a church", "a dog"], seed=-1), "seed -1 is out of range"),
    (lambda model: api.load_judge(f"{JUDGES}/judge-object", ["church"], 1.5), "threshold 1.5 is out of"),
    (lambda model: api.load_judge(f"{JUDGES}/judge-object", ["church"], math.nan), "threshold nan is out of"),
    (lambda model: load_profile("pocket", seed=2**63), f"setting seed={2**63}: input should be at most"),
    (lambda model: load_profile("pocket", ["guidance_scale=nan"]), "input should be a finite number"),
])  # fmt: skip
def test_python_refuses_it_in_one_line(call, message, model, monkeypatch):
    def made(*_, **__):
        raise AssertionError("something was made")

    for name in ("generate", "encode_images", "predict", "copy_of"):
        monkeypatch.setattr(type(model), name, made)
    with pytest.raises(UserError) as refused:
        call(model)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_the_largest_seed_draws(model):
    """What is derived from it wraps round."""
    assert model.noise([2**63 - 1]).shape == (1, *model.latent_shape())
    assert generator(derived_seed(2**63 - 1, 7)).initial_seed() >= 0
