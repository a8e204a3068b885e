"""The benchmark: its official side computes what the library computes, and what is measured is not lost."""

import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch
from tasks import RETAIN, generator

from advunlearn_lib.attacks import cce
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling, make_sampler
from advunlearn_lib.erasure.bank import Resampler
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.task import Task
from benchmarks import bench, official, official_attacks, official_cce
from benchmarks.commands import Timed
from benchmarks.floor import flops
from benchmarks.jobs import PRECISIONS, QUICK, Pair, pairs

OPTIONS = {"steps": 5, "resample": True, "attack_steps": 3, "attack_lr": 0.01, "attack_step": "sign"}
DRAWN = Sampling("dpm++", 2, 5.0)


def close(ours, theirs):
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture
def pipe(model):
    """The model's pipeline with the sampler of ``DRAWN``."""
    pipe = official.with_unet(model.pipeline, model.unet)
    pipe.scheduler = make_sampler(DRAWN.sampler, model.scheduler.config)
    return pipe


def point_of(batch, model, prompts):
    """What the official side takes: the library's own draw."""
    return batch.latents, batch.timesteps, model.encode_prompts(prompts)


def gradients(loss, trained):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trained.values()))])


def test_z_t_is_the_librarys(model):
    ours, options = Resampler(model, ["church"], 4, 5, 3.0, seed=1), official.ESDOptions(steps=5)
    noise, embeds = ours.start([2])
    for step in (0, 3):
        batch = ours.at(torch.tensor([2]), torch.tensor([step]))
        z, t = official.sample_till(
            model.unet, model.scheduler.config, noise, embeds, model.unconditional(), options, step
        )
        assert t == batch.timesteps and close(z, batch.latents)


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_esds_loss_is_the_librarys(model, component):
    group = {"unet": "noxattn", "text_encoder": "full"}[component]
    changes = {"component": component, "group": group, "steps": 5, "resample": True}
    ours = prepare("esd", Task(model, ["church"]), changes)
    theirs = official.ESD(model.pipeline, "church", ours.options)
    batch = ours.sample_points(torch.tensor([0]), generator())
    first = ours.erase_loss(batch, ours.model.encode(ours.ids))
    embeds = official.embedded(theirs.text_encoder, theirs.ids)
    second = theirs.erase_loss(point_of(batch, model, ["church"]), embeds)
    assert close(first, second) and list(ours.trained) == list(theirs.trained)
    assert close(gradients(first, ours.trained), gradients(second, theirs.trained))


@pytest.mark.parametrize("step", ["sign", "gradient"])
def test_advunlearns_attack_and_retain_loss_are_the_librarys(model, step, monkeypatch):
    changes = OPTIONS | {"attack_step": step} | ({"attack_lr": 2.0} if step == "gradient" else {})
    ours, batches = prepare("advunlearn", Task(model, ["church"], RETAIN), changes), []
    drawn = ours.points_on
    monkeypatch.setattr(ours, "points_on", lambda *given: batches.append(drawn(*given)) or batches[-1])
    found, table = ours.attack(torch.tensor([0]), generator()), model.embedding_table()

    theirs = official.AdvUnlearn(model.pipeline, "church", RETAIN, ours.options)
    start = table[torch.randint(len(table), (1, 1), generator=generator())].detach()
    points = iter([point_of(batch, model, ["church"]) for batch in batches])
    assert close(found, theirs.attack(lambda: next(points), start)) and next(points, None) is None
    assert not close(found[:, 1], start[:, 0])  # it has moved

    loss = ours.retain_loss(0, generator())
    prompts = [RETAIN[number] for number in batches[-1].prompt.tolist()]
    assert close(loss, theirs.retain_loss(prompts, point_of(batches[-1], model, prompts)))


@pytest.mark.parametrize("name", ["UnlearnDiffAtk", "P4D", "PEZ", "PH2P"])
def test_attacks_try_the_librarys_texts(model, pipe, clip, name, monkeypatch):
    prompt, tried = EvaluationPrompt("a photo of a church", 3), []
    single = name in ("PEZ", "PH2P")
    budget = Budget(tokens=3, timesteps=1 if single else 2, steps=1 if name == "PH2P" else 3, lr=0.1)
    z0 = model.encode_images(model.generate([prompt.text], [prompt.seed], DRAWN))
    attack = ATTACKS[name](model, lambda x: torch.zeros(len(x), dtype=torch.bool), budget, DRAWN,
                           original=model, clip=clip)  # fmt: skip
    ours = attack.run([prompt], z0).prompts[0].adversarial

    monkeypatch.setattr(official_attacks.Attacked, "shows", lambda self, text: tried.append(text))
    one = official_attacks.Attacked(pipe, attack.judge, prompt, z0, budget, DRAWN)
    more = {"UnlearnDiffAtk": (), "P4D": (model.pipeline,), "PEZ": (clip,), "PH2P": (clip,)}[name]
    assert not getattr(official_attacks, name.lower())(one, *more)
    assert tried[-1] == ours and len(tried) == (1 if single else 3)


def test_cces_token_is_the_librarys(model, pipe, monkeypatch):
    """Both draw alike where a step is one batch of four."""
    monkeypatch.setattr(cce, "SAMPLES", official_cce.MICRO_BATCH)
    monkeypatch.setattr(official_cce, "ACCUMULATED", 1)
    prompts = [EvaluationPrompt("a photo of a church", 1)]
    budget = cce.CCEBudget(word="church", pictures=2, steps=2, lr=0.02)
    ours = cce.CCE(model, None, budget, DRAWN, original=model)
    ours.prepare(prompts, None)
    pictures = official_cce.training_pictures(pipe, prompts, budget, DRAWN)
    theirs = official_cce.invert(pipe, pictures, budget)
    assert close(ours.v, theirs) and not close(ours.start(), theirs)


def test_pictures_are_the_librarys(model, pipe):
    prompt = EvaluationPrompt("a photo of a church", 3)
    ours = model.generate([prompt.text], [prompt.seed], DRAWN)
    assert close(ours, official.draw(pipe, prompt, DRAWN))
    z0 = official_attacks.encoded(pipe, ours)
    assert close(z0, model.encode_images(ours))


def test_bisection_projects_to_the_simplex():
    row = official_attacks.to_simplex(torch.tensor([0.9, 0.5, -0.3, 0.0]))
    assert row.tolist() == pytest.approx([0.7, 0.3, 0.0, 0.0], abs=1e-4)  # by hand: the shift is 0.2


def test_operations_are_counted():
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(4, 5)
    assert flops(lambda: a @ b) == 2 * 3 * 4 * 5
    assert flops(lambda: (a @ b).sum().backward()) == 2 * 2 * 3 * 4 * 5


@pytest.fixture
def jobs(monkeypatch):
    """Three jobs of no work, and what was called of them."""
    monkeypatch.setattr(bench, "commit", lambda: "0123456789")
    monkeypatch.setattr(bench, "matmul_rate", lambda: 1.0)
    called = []

    def side(name, outcome):
        return lambda: called.append(name) or outcome

    two = [
        Pair(
            "little",
            4,
            "prompts",
            0.0,
            side(f"{name} official", [True, False]),
            {name: side(f"{name} ours", []), f"{name}, bf16": side(f"{name} ours in bf16", [])},
        )
        for name in ("one", "two")
    ]
    return [*two, Timed("three", "nothing", ("-c", "pass"), note="not measured: nothing is there")], called


def test_the_sides_alternate_and_a_finished_row_is_kept(tmp_path, jobs, monkeypatch):
    (first, second, third), called = jobs
    file = tmp_path / "bench" / "bench.csv"
    stopped = replace(second, ours={"two": lambda: (_ for _ in ()).throw(KeyboardInterrupt)})
    with pytest.raises(KeyboardInterrupt):
        bench.measured(file, [first, stopped, third], 2)
    ours = ["one ours", "one ours in bf16"]
    assert called[:8] == [*ours, *["one official", *ours] * 2]  # the first count operations
    assert pd.read_csv(file)["row"].tolist() == ["one", "one, bf16"]

    called.clear()
    table = bench.measured(file, [first, second, third], 2)
    assert not [name for name in called if name.startswith("one")] and "two ours" in called
    names = ["one", "one, bf16", "two", "two, bf16", "three"]
    assert table.row.tolist() == names == pd.read_csv(file)["row"].tolist()
    assert table.official_success.iloc[0] == "50.0 [9.5, 90.5]" and table.met.tolist()[:2] == ["yes", "yes"]
    page = bench.page(table)
    assert "not measured: nothing is there" in page and "0123456789" in page and "| one " in page

    called.clear()
    assert bench.page(bench.measured(file, [first, second, third], 2)) == page
    assert called == []
    for other in ("9876543210", "0123456789+"):  # a changed tree is nobody's commit
        monkeypatch.setattr(bench, "commit", lambda other=other: other)
        bench.measured(file, [first], 1)
        bench.measured(file, [first], 1)
    assert called.count("one official") == 1 + 2


def test_a_command_that_fails_is_no_time():
    with pytest.raises(UserError, match=r"^it failed: ValueError: no$"):
        Timed("it", "", ("-c", "raise ValueError('no')")).seconds()


def test_what_does_not_go_together_and_what_is_not_installed(monkeypatch, capsys):
    assert main(["bench", "--publish", "--quick"]) == 2
    assert "--publish sets the folder" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "advunlearn_lib.cli.bench")
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["bench"]) == 2
    assert "bench needs a clone of the repository" in capsys.readouterr().err


@pytest.mark.slow
def test_the_smallest_run_has_every_row(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))  # which has no Table 3
    assert main(["bench", "--quick", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "bench" / "bench.csv", keep_default_na=False)
    names = [name for pair in pairs(QUICK) for name in pair.ours]
    processes = ["import advunlearn_lib", "--help", "list", "list methods", "table3"]
    left_out = [] if "bf16" in PRECISIONS else ["picture_precision=bf16"]
    assert table["row"].tolist() == [*names, *processes, *left_out]
    notes = table.set_index("row").note
    assert notes["table3"].startswith("not measured: the store lacks")
    assert [name for name in left_out if "no instructions" in notes[name]] == left_out
    rows = table[table["row"].isin(names)]
    assert (rows.ratio.astype(float) > 0).all() and (rows.floor_s.astype(float) > 0).all()
    assert (tmp_path / "bench" / "bench.md").read_text() in capsys.readouterr().out


@pytest.mark.slow
def test_growth_has_every_series(tmp_path):
    assert main(["bench", "--growth", "--quick", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "bench" / "growth.csv")
    assert set(table.series) == {"prompts", "K", "concepts", "seeds", "threads", "workers"}
    assert table.machine.nunique() == table.commit.nunique() == 1
    assert (table.seconds > 0).all() and (tmp_path / "bench" / "growth.png").stat().st_size > 10_000
