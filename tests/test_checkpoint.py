"""A checkpoint is gone on from as it was written, or not at all: it is named, and training begins anew."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tasks import flat

from advunlearn_lib.base import checkpoint
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from tools.pocket_model.loop import Plan, fit


def trained(seed=0):
    """A layer and its Adam after one step."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return layer, optimizer


def saved(path: Path) -> bytes:
    layer, optimizer = trained()
    checkpoint.save(path, "mine", {"layer": layer}, optimizer, step=1, losses=[0.25, 0.5])
    return path.read_bytes()


def state_of(layer, optimizer):
    moments = optimizer.state_dict()["state"].values()
    values = [state[name] for state in moments for name in ("step", "exp_avg", "exp_avg_sq")]
    return [value.clone() for value in (*layer.parameters(), *values)]


def loaded(path, of="mine"):
    """What is read, and whether it changed another layer and its Adam."""
    layer, optimizer = trained(seed=1)
    before = state_of(layer, optimizer)
    meta = checkpoint.load(path, of, {"layer": layer}, optimizer)
    same = all(torch.equal(a, b) for a, b in zip(before, state_of(layer, optimizer), strict=True))
    return meta, same


def test_weights_moments_and_numbers_come_back(tmp_path):
    path = tmp_path / "c.safetensors"
    assert loaded(path) == (None, True)
    saved(path)
    layer, optimizer = trained(seed=1)
    meta = checkpoint.load(path, "mine", {"layer": layer}, optimizer)
    assert meta == {"step": 1, "losses": [0.25, 0.5]}
    ours, theirs = state_of(layer, optimizer), state_of(*trained())
    assert len(ours) == 8 and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_no_flipped_bit_is_gone_on_from(tmp_path, capsys):
    """One bit of every byte of the file in turn."""
    path = tmp_path / "c.safetensors"
    content = saved(path)
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert loaded(path) == (None, True), at
        said, aside = capsys.readouterr().out, tmp_path / "c.safetensors.damaged-1"
        assert said.startswith(f"the checkpoint {path} is damaged (") and said.count("\n") == 1
        assert said.endswith("); set aside as c.safetensors.damaged-1, beginning again\n")
        assert not path.exists()
        aside.unlink()


def resaved(path, change, **more):
    """The checkpoint with its tensors changed, or with more to say."""
    with safe_open(path, "pt") as file:
        said = file.metadata()
    save_file(change(load_file(path)), path, said | more)


def without_hash(path):
    save_file(load_file(path), path, {"meta": '{"step": 1}'})


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"garbage"),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: save_file(load_file(path), path),
    without_hash,
    lambda path: resaved(path, lambda state: state | {"layer.bias": state["layer.bias"] + 1}),
    lambda path: resaved(path, lambda state: state | {"layer.bias": state["layer.bias"].double()}),
    lambda path: resaved(path, lambda state: state | {"layer.weight": state["layer.weight"].view(3, 2)}),
    lambda path: resaved(path, lambda state: {k: v for k, v in state.items() if k != "optimizer.0.step"}),
    lambda path: resaved(path, dict, meta='{"step": 2, "losses": [0.25, 0.5]}'),
    lambda path: resaved(path, dict, of="yours"),
])  # fmt: skip
def test_other_damage_is_not_gone_on_from(tmp_path, capsys, damage):
    path = tmp_path / "c.safetensors"
    saved(path)
    damage(path)
    assert loaded(path) == (None, True)
    assert f"the checkpoint {path} is damaged (" in capsys.readouterr().out and not path.exists()
    assert path.with_name("c.safetensors.damaged-1").exists()


def test_another_trainings_checkpoint_is_not_gone_on_from(tmp_path, capsys):
    path = tmp_path / "c.safetensors"
    saved(path)
    assert loaded(path, "yours") == (None, True)
    assert "it is of another training, 'mine'" in capsys.readouterr().out


class Stop(Exception):
    """A run that is stopped."""


OPTIONS = {"component": "text_encoder", "group": "layers-1", "lr": 1e-3}
OPTIONS |= {"steps": 2, "per_prompt": 1, "iterations": 2, "batch": 1}


def stopped(model, path, seed):
    """ESD up to its second iteration, with a checkpoint in ``path``."""
    method = prepare("esd", Task(model, ["church"]), OPTIONS)
    plain = method.loss

    def stopping(iteration, generator):
        if iteration == 1:
            raise Stop
        return plain(iteration, generator)

    method.loss = stopping
    with pytest.raises(Stop):
        train(method, seed=seed, path=path, save_every=-1)
    return path


def test_a_training_with_a_damaged_checkpoint_begins_anew(model, tmp_path, capsys):
    """Another run's checkpoint is not gone on from, though it is whole."""
    whole = train(prepare("esd", Task(model, ["church"]), OPTIONS), seed=3)
    mine, other = (tmp_path / f"erase-{name}.partial" / "checkpoint.safetensors" for name in "ab")
    stopped(model, mine, 3)
    content = mine.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 64]) + content[-8:]
    for damaged in (flipped, stopped(model, other, 4).read_bytes()):
        mine.write_bytes(damaged)
        again = train(prepare("esd", Task(model, ["church"]), OPTIONS), seed=3, path=mine)
        assert again.losses == whole.losses and len(again.seconds) == 2
        ours, theirs = (flat(one.model.text_encoder.parameters()) for one in (again, whole))
        assert torch.equal(ours, theirs)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and all(f"the checkpoint {mine} is damaged (" in line for line in said)
    assert "of another training, 'erase-b.partial'" in said[1]


def test_the_pocket_models_training_begins_anew_too(tmp_path, capsys):
    def run(folder):
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)

        def loss(rng, generator):
            return module(torch.randn(4, 3, generator=generator)).square().mean(), {}

        plan = Plan(steps=4, batch=4, lr=0.1)
        fit("part", {"m": module}, loss, plan, tmp_path / folder, tmp_path / folder / "log")
        return module.weight.detach().clone()

    whole = run("a")
    path = tmp_path / "a" / "part.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert torch.equal(run("a"), whole) and f"the checkpoint {path} is damaged" in capsys.readouterr().out
    assert len((tmp_path / "a" / "log" / "part.jsonl").read_text().splitlines()) == 1
