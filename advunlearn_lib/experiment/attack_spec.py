"""How a model is attacked: on which prompts, with which budget, and who tells success."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, PlainSerializer, SerializeAsAny, field_serializer
from torch import Tensor

from advunlearn_lib.attacks.attack import BATCH, Attack
from advunlearn_lib.attacks.records import AttackResult, Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import Recipe, fingerprint
from advunlearn_lib.diffusion.device import DTYPES
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import judge_prompts, target_latents
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.experiment.erasure_spec import ModelKey
from advunlearn_lib.experiment.spec import Frozen, PictureSampling, Spec, Where
from advunlearn_lib.metrics import nudenet_official
from advunlearn_lib.metrics.judges import check_judge, load_judge
from advunlearn_lib.metrics.nudenet_classes import is_official
from advunlearn_lib.metrics.quality import Split


def whole(count: int, work: Callable[[Sequence[int]], list[Any]]) -> list[Any]:
    """All of the work in this process."""
    return work(range(count))


class JudgeSpec(Frozen):
    """What tells success: the judge's top label is one of ``labels``, with at least ``threshold``.

    ``sha256`` pins NudeNet's file; ``remedy`` says where the judge is to be had, if it is not here.
    """

    judge: str
    labels: tuple[str, ...]
    threshold: float
    sha256: str = Field("", exclude=True)
    remedy: str = Field("", exclude=True)

    @field_serializer("judge")
    def told_from_others(self, judge: str) -> str:
        """The judge's key; of NudeNet's best.onnx the SHA-256 asked for, or found."""
        if not is_official(judge):
            return fingerprint(judge)
        return f"best.onnx {self.sha256 or nudenet_official.sha256_of(nudenet_official.locate(judge))}"

    def check(self) -> None:
        """:class:`UserError` for a judge that is neither here nor on a hub."""
        if self.remedy:
            raise UserError(self.remedy)
        check_judge(self.judge)

    def load(self, device: torch.device) -> Judge:
        """The judge itself."""
        self.check()
        return load_judge(self.judge, list(self.labels), self.threshold, device, self.sha256)


class PromptsSpec(Spec):
    """Which prompts a concept is evaluated on, how their pictures are made, and who judges them.

    ``count`` of the candidates are taken (0: all); with ``select`` those that ``base`` shows the concept on.
    Prompts of more than ``max_prompt_tokens`` are judged and not attacked (0: no limit). ``source``, ``kind``
    and ``file`` say where the candidates of a table come from; a user's own have none.
    """

    KIND: ClassVar[str] = "prompts"
    base: Where = ""
    judge: JudgeSpec | None = None
    sampling: PictureSampling
    target_sampling: PictureSampling
    max_prompt_tokens: int
    count: int = 0
    select: bool = False
    kind: str = ""
    file: str = ""
    source: Recipe = Field({})
    seed: int = 0

    def choose(
        self, candidates: Sequence[EvaluationPrompt], base: LatentDiffusion, judge: Judge | None, batch: int
    ) -> list[EvaluationPrompt]:
        """The prompts; those too long to attack are marked.

        Raises :class:`UserError` where ``base`` shows the concept on too few.
        """
        count = self.count or len(candidates)
        chosen = list(candidates[:count])
        if self.select:
            assert judge is not None
            chosen = shown_prompts(candidates, count, base, judge, self.sampling, batch)
        if len(chosen) < min(count, len(candidates)):
            shown = f"the base model shows the concept on {len(chosen)} of {len(candidates)} prompts"
            raise UserError(f"{shown}; {count} are needed")
        lengths = [len(base.tokenizer(prompt.text).input_ids) for prompt in chosen]
        limit = self.max_prompt_tokens
        return [
            replace(prompt, exempt=prompt.exempt or 0 < limit < length)
            for prompt, length in zip(chosen, lengths, strict=True)
        ]

    def targets(self, base: LatentDiffusion, prompts: Sequence[EvaluationPrompt], batch: int) -> Tensor:
        """Latents z_0 [n, c, h, w] of the pictures that attacks aim at."""
        return target_latents(base, prompts, self.target_sampling, batch)


def shown_prompts(
    candidates: Sequence[EvaluationPrompt],
    count: int,
    base: LatentDiffusion,
    judge: Judge,
    sampling: Sampling,
    batch: int,
) -> list[EvaluationPrompt]:
    """The first ``count`` candidates on which ``base`` shows the concept."""
    shown: list[EvaluationPrompt] = []
    for start in range(0, len(candidates), batch):
        part = candidates[start : start + batch]
        success = judge_prompts(base, judge, part, sampling, batch).tolist()
        shown += [prompt for prompt, good in zip(part, success, strict=True) if good]
        if len(shown) >= count:
            break
    return shown[:count]


class AttackSpec(Spec):
    """An attack with its budget, on the prompts of ``prompts``; of a table on the model ``model``.

    ``clip`` is the network that PEZ and PH2P search with; ``code`` the key of the attack's file, where it is
    not one of this package's own.
    """

    KIND: ClassVar[str] = "attack"
    attack: str
    budget: SerializeAsAny[Budget]
    prompts: Annotated[PromptsSpec, PlainSerializer(lambda prompts: prompts.recipe)]
    clip: Where = ""
    seed: int = 0
    code: str = ""
    model: ModelKey | None = None

    def on(
        self,
        model: LatentDiffusion,
        judge: Judge,
        original: LatentDiffusion | None = None,
        clip: tuple[Any, Any] | None = None,
        batch: int = BATCH,
    ) -> Attack:
        """The attack on ``model``, computed as its pictures are, whatever training computes in.

        Raises :class:`UserError` where it lacks something.
        """
        sampling = self.prompts.sampling
        after, before = (computing_as(sampling, one) for one in (model, original or model))
        return ATTACKS[self.attack](after, judge, self.budget, sampling, self.seed, before, clip, batch)

    def run(
        self,
        attack: Attack,
        prompts: Sequence[EvaluationPrompt],
        targets: Tensor | None = None,
        split: Split = whole,
    ) -> AttackResult:
        """Each prompt's outcome. Without ``targets`` the original model draws them.

        Raises :class:`UserError` for a prompt too long, before anything is drawn.
        """
        attack.check_prompts(prompts)
        if targets is None:
            targets = self.prompts.targets(attack.original or attack.model, prompts, attack.batch)
        parts = split(len(prompts), lambda numbers: [attack.run(prompts, targets, numbers)])
        flags = sorted({flag for part in parts for flag in part.flags})
        return AttackResult(prompts=[one for part in parts for one in part.prompts], flags=flags)


def computing_as(sampling: Sampling, model: LatentDiffusion) -> LatentDiffusion:
    """``model`` in the precision of ``sampling``, compiled where that says so."""
    wanted = DTYPES[sampling.precision], sampling.compiled
    return model if (model.dtype, model.compiled) == wanted else model.in_precision(*wanted)
