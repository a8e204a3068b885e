"""How a model is made: a concept erased from another, or weights from elsewhere put into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PlainSerializer, SerializeAsAny

from advunlearn_lib.base import views
from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.base.registry import code_of
from advunlearn_lib.base.settings import Precision
from advunlearn_lib.base.store import Cache
from advunlearn_lib.diffusion.device import DTYPES
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.single_file import save_single_file
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.erasure.loop import Trained, check_options, check_task, prepare, train
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment.card import RECORD, Evaluation, Made, write_card
from advunlearn_lib.experiment.spec import Frozen, Spec, Where


class ErasureSpec(Frozen):
    """A method, all its options, and what it is given.

    ``code`` is the key of the method's file, where it is not one of this package's own.
    """

    method: str
    options: SerializeAsAny[Options]
    concept: tuple[str, ...]
    names: tuple[str, ...] = ()
    forget_prompts: tuple[str, ...] = ()
    remain_prompts: tuple[str, ...] = ()
    surrogate: tuple[str, ...] = ()
    retain_set: tuple[str, ...] = ()
    precision: Precision = "fp32"
    seed: int = 0
    code: str = ""

    @classmethod
    def read(cls, values: dict[str, Any]) -> ErasureSpec:
        """The spec whose dump is ``values``.

        Raises :class:`UserError` for what is none, and for a method that another file defines today.
        """
        method = METHODS[choose("method", values.get("method", ""), METHODS)]
        if values.get("code", "") != code_of(method):
            raise UserError(f"the method {values['method']!r} is not the one that this model was made by")
        options = check_options(values["method"], values.get("options", {}))
        return validated("erasure", cls, values | {"options": options})

    def task(self, frozen: LatentDiffusion, cache: Cache | None = None) -> Task:
        """What is to be erased from ``frozen``."""
        return Task(
            frozen,
            concept=list(self.concept),
            names=list(self.names),
            forget_prompts=list(self.forget_prompts),
            remain_prompts=list(self.remain_prompts),
            surrogate=list(self.surrogate),
            retain_set=list(self.retain_set),
            seed=self.seed,
            cache=cache,
        )

    def with_retain_set(self, retain_set: Sequence[str]) -> ErasureSpec:
        """The same with other prompts to be kept."""
        return self.model_copy(update={"retain_set": tuple(retain_set)})

    def needs(self) -> tuple[str, ...]:
        """The names of the lists that the method cannot do without."""
        return METHODS[self.method].needs(self.options)

    def check(self, model: LatentDiffusion) -> None:
        """:class:`UserError` where the method lacks something, or a prompt does not fit ``model``."""
        check_task(self.method, self.task(model), self.options)

    def run(
        self, model: LatentDiffusion, cache: Cache | None = None, checkpoint: Path | None = None
    ) -> Erased:
        """The erased model; ``model`` is left untouched.

        ``cache`` keeps sampling paths and pictures for other runs; a stopped run goes on from ``checkpoint``.
        """
        frozen = model.in_precision(DTYPES[self.precision])
        method = prepare(self.method, self.task(frozen, cache), self.options)
        return Erased(**vars(train(method, self.seed, checkpoint)), spec=self)


@dataclass(kw_only=True)
class Erased(Trained):
    """An erased model: ``model`` to generate with, and the ``spec`` that made it.

    ``losses`` and ``seconds``: one an iteration; ``numbers``: what else the method logs, by name.
    """

    spec: ErasureSpec

    def _repr_html_(self) -> str:
        """What was erased, how, and every setting."""
        what = f"{', '.join(self.spec.concept)} erased by {self.spec.method} from the {self.component}"
        took = f"{len(self.losses)} iterations in {sum(self.seconds):.0f} s" if self.seconds else "loaded"
        options = self.spec.options.model_dump(mode="json").items()
        return f"<p>{escape(what)}: {took}</p>{views.table(('option', 'value'), options)}"

    def save_pretrained(self, folder: str | Path, evaluation: Evaluation | None = None) -> None:
        """Write the trained part, which ``CLIPTextModel`` or ``UNet2DConditionModel`` loads, with a card.

        The card has the lines that load it and what was measured; ``erased.json`` holds the spec.
        """
        self.save_weights(folder)
        self.save_card(folder, evaluation or Evaluation())

    def save_single_file(self, path: str | Path) -> None:
        """Write the whole erased model as one .safetensors file, as A1111 and ComfyUI read it."""
        save_single_file(self.model, path)

    def save_card(self, folder: str | Path, evaluation: Evaluation) -> None:
        """The card and ``erased.json`` alone."""
        made = Made(self.model, self.component, self.spec.dump(), self.losses)
        write_card(Path(folder), made, evaluation)


def load_erased(folder: str | Path, base: LatentDiffusion | None = None) -> Erased:
    """What :meth:`Erased.save_pretrained` wrote, in ``base`` or in the model that the folder names.

    Raises :class:`UserError` for a folder without a readable ``erased.json`` or its weights.
    """
    path = Path(folder) / RECORD
    try:
        record = json.loads(path.read_text())
        name, losses, spec = record["base"], list(record["losses"]), dict(record["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(folder)!r} has no readable {RECORD}, as erase writes it") from error
    erasure = ErasureSpec.read(spec)
    model = base or load_model(name)
    part, module = load_part(folder, model, erasure.options.component)
    return Erased(model=model.with_parts(**{part: module}), component=part, losses=losses, spec=erasure)


class ModelSpec(Spec):
    """A model: ``base`` as it is, or with a part of its own.

    The part is trained by ``erasure``, comes from ``checkpoint``, or is that of another model, ``donor``.
    """

    KIND: ClassVar[str] = "erase"
    base: Where
    erasure: ErasureSpec | None = None
    checkpoint: Where = ""
    donor: ModelKey | None = None

    def name(self) -> str:
        """What a line of progress calls it: "church erased by esd from the unet"."""
        erasure = (self.donor or self).erasure
        if erasure is None:
            return Path(self.checkpoint or self.base).name
        where = f" in {Path(self.base).name}" if self.donor else ""
        return f"{erasure.concept[0]} erased by {erasure.method} from the {erasure.options.component}{where}"

    def trained(self) -> ModelSpec | None:
        """The model that has to be trained for this one: itself, its donor, or none."""
        if self.donor is not None:
            return self.donor.trained()
        return self if self.erasure is not None else None


ModelKey = Annotated[ModelSpec, PlainSerializer(lambda model: model.key)]
"""A model, which stands in another's recipe by its key."""
ModelSpec.model_rebuild()
