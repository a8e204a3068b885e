"""A profile's whole code path at full size, timed and its memory counted: what it covers and says."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from advunlearn_lib.diagnose import dry_run as module
from advunlearn_lib.diagnose.dry_run import dry_run, print_dry_run, trained_parts
from advunlearn_lib.diagnose.memory import account, size
from advunlearn_lib.diffusion.random_weights import build_unet, build_vae, full_tokenizer, text_config
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET


def test_the_dry_run_covers_every_method_of_both_profiles():
    assert trained_parts(PAPER) == trained_parts(POCKET)
    methods = {"advunlearn", "esd", "fmn", "uce", "ac", "spm", "salun", "erasediff", "scissorhands"}
    assert {method for method, _ in trained_parts(PAPER)} >= methods
    assert {("esd", "unet"), ("esd", "text_encoder")} <= set(trained_parts(PAPER))


def test_it_draws_as_few_pictures_as_it_can():
    for method in METHODS.values():
        smallest = method.OPTIONS.marked("smallest")
        assert {name for name in method.OPTIONS.model_fields if name.endswith("per_prompt")} <= set(smallest)
        assert {"iterations", "batch"} <= set(smallest) and all(
            value in (0, 1, 2) for value in smallest.values() if isinstance(value, int)
        )
        method.OPTIONS(**smallest)  # within each one's range: UCE has no iterations


SORTS = {("advunlearn", "text_encoder"), ("esd", "unet"), ("scissorhands", "unet"), ("uce", "unet")}


@pytest.mark.parametrize(("method", "part"), [
    one if one in SORTS else pytest.param(*one, marks=pytest.mark.slow) for one in trained_parts(POCKET)
])  # fmt: skip
def test_every_method_works_in_it(method, part, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert module.run_method(POCKET.base, method, part, "fp32")["sum_gb"] > 0


@pytest.fixture(scope="module", params=["here", pytest.param("processes", marks=pytest.mark.slow)])
def table(request):
    """A dry run of one method that works, one that there is not, one attack; each in a process, or here."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "here":
            patch.setattr(module, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
            patch.setattr(torch, "set_num_threads", lambda count: None)
        patch.setenv("OMP_WAIT_POLICY", "passive")  # threads that wait for a busy core do not spin
        patch.setattr(module, "ATTACKS", {"UnlearnDiffAtk": module.ATTACKS["UnlearnDiffAtk"]})
        patch.setattr(module, "trained_parts", lambda _: [("no such method", "unet"), ("esd", "unet")])
        return dry_run(POCKET, POCKET.base)


def test_the_dry_run_reports_time_and_peak(table):
    worked = table[table.error.isna()]
    assert worked.what.tolist() == ["generate", "esd unet", "attack UnlearnDiffAtk"]
    assert (worked.seconds > 0).all() and worked.peak_gb.between(0.1, 8).all()


def test_where_memory_is_not_counted_time_is(monkeypatch):
    assert set(module.measured(0.0)) == {"seconds", "peak_gb"}
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert set(module.measured(0.0)) == {"seconds"}


def test_the_dry_run_goes_on_past_what_fails_and_says_so(table, monkeypatch, tmp_path, capsys):
    failed = table[table.error.notna()]
    assert failed.index.tolist() == [1] and failed.error.item() == "KeyError: 'no such method'"
    monkeypatch.setattr(module, "dry_run", lambda *_: table)
    assert not print_dry_run(POCKET, tmp_path)
    page = capsys.readouterr().out
    assert "KeyError: 'no such method'" in page
    assert "1 of 4 do not work here: no such method unet" in page


def test_the_dry_run_is_content_where_all_works(table, monkeypatch, tmp_path, capsys):
    works = table[table.error.isna()].drop(columns="error")
    monkeypatch.setattr(module, "dry_run", lambda *_: works)
    assert print_dry_run(POCKET, tmp_path) and "do not work" not in capsys.readouterr().out


def test_full_size_is_the_published_size(model):
    with torch.device("meta"):
        unet, vae = build_unet(), build_vae()
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    tokenizer = full_tokenizer(model.tokenizer)
    assert len(tokenizer) == text_config().vocab_size and tokenizer.model_max_length == 77
    words = model.tokenizer("a photo of a church").input_ids[1:-1]
    assert tokenizer("a photo of a church").input_ids == [49406, *words, 49407]
    assert "<30000>" in tokenizer.decode([30000])


def test_the_account_counts_each_tensor_once(model):
    options = {"component": "text_encoder", "group": "full", "iterations": 1, "steps": 2, "per_prompt": 1}
    run = prepare("esd", Task(model, ["church"]), options)
    with account() as ledger:
        train(run)
    told = ledger.of(run)
    parts = [model.unet, model.pipeline.vae, model.text_encoder, run.model.text_encoder]
    weights = sum(size(p for p in part.parameters()) for part in parts)
    assert told["weights_gb"] * 1e9 == weights
    trained = sum(p.numel() for p in run.trained.values())
    assert told["moments_gb"] * 1e9 == 8 * trained
    assert ledger.now == 0 < told["activations_gb"] * 1e9 == ledger.most


def test_a_tensor_saved_twice_is_held_once():
    a, b = torch.ones(1000, requires_grad=True), torch.ones(1000)
    with account() as ledger:
        c = (a * b) * b  # saves b twice; the product is not needed
        assert ledger.now == 4000
        del c
    assert ledger.now == 0
