"""How fast a model is on its device, and so how long a measurement takes of one image."""

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from claims.neo2025.power import INSTEAD
from vlmlib import VLM, Description, LackingError, Stimulus, gradients, integrated_gradients
from vlmlib.study import Example

COSTS = Path(__file__).with_name("costs.toml")
# Measurements that take what another does.
AS = {"VQA, knockouts_again": "VQA, knockouts", "integrated gradients, VQA": "integrated gradients"}


@dataclass(frozen=True)
class Cost:
    """What a measurement takes of one image, as costs.toml has it.

    - `pictures`: encoded. `passes` over prompts, of `positions` in all; `steps` of decoding, of
      `tokens` in all; `graded`: positions of passes with gradients.
    """

    pictures: float = 0.0
    passes: float = 0.0
    positions: float = 0.0
    steps: float = 0.0
    tokens: float = 0.0
    graded: float = 0.0


@dataclass(frozen=True)
class Speed:
    """How fast a model is on its device, in seconds, by one image.

    - `picture`: to open and encode one. A pass takes `launch` and, of each position, `position`;
      with gradients `graded`.
    - `prompt`, `length`: positions of a prompt and tokens of a description.
    - `weights`, `passes`: bytes of the model, and of the largest passes at most; `memory`: of all
      cards that hold it; 0: not known.
    """

    picture: float
    launch: float
    position: float
    graded: float
    prompt: int
    length: int
    weights: int = 0
    passes: int = 0
    memory: int = 0

    @classmethod
    def of(cls, vlm: VLM, example: Example) -> "Speed":
        """Measured by reading, answering and describing one image, and by a few gradients."""
        task = Description(example.category)
        stimulus = task.read(vlm, example.image)
        vlm.next_token(stimulus, [[]])  # what comes first is slower
        picture = _seconds(vlm, lambda: task.read(vlm, example.image))
        prompt = _seconds(vlm, lambda: vlm.next_token(stimulus, [[]]))
        vlm.describe(stimulus, [[]], until="")  # the first text is tried against generate's
        said: list[str] = []
        text = _seconds(vlm, lambda: said.extend(vlm.describe(stimulus, [[]])))
        length = 1 + len(vlm.processor.tokenizer(said[0], add_special_tokens=False)["input_ids"])
        positions = len(stimulus.embeddings)
        step = max(0.0, text - prompt) / length
        position = max(0.0, prompt - step) / positions
        graded, held = _gradients(vlm, stimulus, prompt)
        return cls(
            picture=picture,
            launch=max(0.0, step - position),
            position=position,
            graded=graded,
            prompt=positions,
            length=length,
            weights=sum(each.numel() * each.element_size() for each in vlm.model.parameters()),
            passes=held,
            memory=sum(torch.cuda.get_device_properties(card).total_memory for card in _cards(vlm)),
        )

    def seconds(self, model: str, name: str) -> float:
        """What a measurement takes of one image, with the passes of `INSTEAD` where the model's are
        not counted."""
        costs = _costs()[model if has_costs(model) else INSTEAD]
        cost = Cost(**costs[AS.get(name, name)])
        longer, said = self.prompt / costs["prompt"], self.length / costs["length"]
        return (
            cost.pictures * self.picture
            + (cost.passes + cost.steps * said) * self.launch
            + (cost.positions * longer + cost.tokens * said) * self.position
            + cost.graded * longer * self.graded
        )


def has_costs(model: str) -> bool:
    """Whether costs.toml has a model's own."""
    return model in _costs()


def _gradients(vlm: VLM, stimulus: Stimulus, prompt: float) -> tuple[float, int]:
    """What a position takes with gradients, in seconds, and bytes of the largest such pass.

    **Arguments:** a model, a stimulus, and the seconds of a pass over it without gradients.
    """
    positions, cards = len(stimulus.embeddings), _cards(vlm)
    zero = torch.zeros(vlm.d_model, device=vlm.device)
    compute = partial(integrated_gradients, vlm, stimulus, 0, zero, steps=1)
    before = sum(map(torch.cuda.memory_allocated, cards))
    for card in cards:
        torch.cuda.reset_peak_memory_stats(card)
    try:
        compute()  # what comes first is slower
    except LackingError:
        return 0.0, 0
    peak = sum(map(torch.cuda.max_memory_allocated, cards)) - before
    ends = 2 * prompt  # which are computed beside the one step
    taken = max(0.0, _seconds(vlm, compute) - ends)
    return taken / positions, peak * max(1, gradients.MAX_TOKENS // positions)


def _seconds(vlm: VLM, run: Callable[[], Any]) -> float:
    _wait(vlm)
    start = time.perf_counter()
    run()
    _wait(vlm)
    return time.perf_counter() - start


def _wait(vlm: VLM) -> None:
    for card in _cards(vlm):
        torch.cuda.synchronize(card)


def _cards(vlm: VLM) -> list[torch.device]:
    return [each for each in vlm.devices if each.type == "cuda"]


@cache
def _costs() -> dict[str, Any]:
    return tomllib.loads(COSTS.read_text())
