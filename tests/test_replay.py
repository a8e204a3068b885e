"""Steps that are played back: what is recorded, and what is called. Real graphs: test_gpu."""

import weakref

import pytest
import torch
from tasks import church

from advunlearn_lib.diffusion.replay import MOST, Replayed
from advunlearn_lib.erasure.loop import prepare


class Graph:
    """What a CUDA graph does, by calling again."""

    def __init__(self, run):
        self.replay = run


class Recorder(Replayed):
    """Records on the CPU."""

    fails = differs = False

    @staticmethod
    def can_record(inputs):
        return True

    def record(self, inputs, static):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        held = tuple(one.detach().clone() for one in inputs)
        result = torch.empty_like(self.function(*held, **static))
        again = 1.2 if self.differs else 1.0
        return held, Graph(lambda: result.copy_(again * self.function(*held, **static))), result


@pytest.fixture
def calls():
    return []


@pytest.fixture
def scaled(calls):
    def function(a, b, times=1):
        calls.append(times)
        return times * a * weight + b

    weight = torch.ones(1)
    function.weight = weight
    return function


def test_on_a_cpu_it_is_called(scaled, calls):
    replayed = Replayed(scaled)
    assert replayed(torch.ones(2), torch.zeros(2), times=3).tolist() == [3, 3]
    assert calls == [3] and not replayed.recorded


def test_it_is_recorded_once_a_shape_and_sees_new_inputs_and_weights(scaled):
    replayed = Recorder(scaled)
    first = replayed(torch.ones(2), torch.zeros(2), times=3)
    scaled.weight.fill_(2)
    given = torch.full((2,), 5.0, requires_grad=True)
    assert replayed(given, torch.ones(2), times=3).tolist() == [31, 31]
    assert first.tolist() == [3, 3] and len(replayed.recorded) == 1  # a result is the caller's own
    assert replayed(torch.ones(2), torch.zeros(2), times=4).tolist() == [8, 8]
    assert replayed(torch.ones(1), torch.zeros(1), times=3).tolist() == [6]
    assert len(replayed.recorded) == 3


def test_graphs_are_few(scaled, calls):
    replayed = Recorder(scaled)
    for size in range(1, MOST + 3):
        assert replayed(torch.ones(size), torch.zeros(size)).tolist() == [1] * size
    assert len(replayed.recorded) == MOST


@pytest.mark.parametrize("fault", ["fails", "differs"])
def test_what_cannot_be_recorded_or_gives_something_else_is_called(scaled, calls, fault):
    replayed = Recorder(scaled)
    replayed(torch.ones(1), torch.zeros(1))
    setattr(replayed, fault, True)
    for _ in range(2):
        assert replayed(torch.ones(2), torch.zeros(2)).tolist() == [1, 1]
    assert replayed.gave_up and not replayed.recorded  # its memory too
    assert replayed(torch.ones(1), torch.zeros(1)).tolist() == [1]


def test_a_method_that_is_done_with_is_gone(model):
    """Its weights' memory is another's: no cycle holds it until the garbage is collected."""
    method = prepare("advunlearn", church(model), {"iterations": 1, "steps": 2, "per_prompt": 1})
    gone = weakref.ref(method)
    del method
    assert gone() is None


def test_the_model_that_is_there_is_attacked(model):
    """Whatever model stood there when steps were recorded: Table 4's notebook puts another in its place."""
    method = prepare("advunlearn", church(model), {"steps": 2, "per_prompt": 1, "attack_steps": 1})
    method.gradient = Recorder(method.gradient.function)
    which, generator = torch.tensor([0]), torch.Generator().manual_seed(0)
    first = method.attack(which, generator)
    method.model = model.copy_of("text_encoder")
    with torch.no_grad():
        for weight in method.model.text_encoder.encoder.parameters():
            weight.mul_(1.1)
    moved = method.attack(which, generator.manual_seed(0)) - first
    plain = prepare("advunlearn", church(model), {"steps": 2, "per_prompt": 1, "attack_steps": 1})
    plain.model = method.model
    assert moved.abs().max() > 0
    assert torch.allclose(plain.attack(which, generator.manual_seed(0)) - first, moved, atol=1e-7)


def test_where_memory_ran_out_no_step_is_recorded(model):
    method = prepare("advunlearn", church(model), {"steps": 2, "per_prompt": 1, "attack_steps": 1})
    method.gradient = Recorder(method.gradient.function)
    which, generator = torch.tensor([0]), torch.Generator().manual_seed(0)
    first = method.attack(which, generator)
    assert len(method.gradient.recorded) == 1 and not method.gradient.gave_up
    assert torch.equal(method.attack(which, generator.manual_seed(0)), first)  # played back
    method.model.micro_batch = 1
    assert torch.allclose(method.attack(which, generator.manual_seed(0)), first, atol=1e-6)
    assert not method.gradient.recorded
