"""Is the instrument right on a model? Every family of `tests/families`, on pictures of four
shapes, held against plain hooks on the whole model (`tests/hooked.py`).

A cell is "right", "refused" with the reason, "WRONG" with by how much, or "CRASH" with what was
raised; "unjudged" where the oracle itself cannot say.
"""

import argparse
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.families import FAMILIES
from tests.families.building import Family
from tests.hooked import Cut, Edit, Hooked, Replaced, each_alone
from vlmlib import (
    GENERATED,
    VLM,
    Ablate,
    Block,
    Stimulus,
    VLMError,
    integrated_gradients,
    logit_lens,
)
from vlmlib.interventions import Arm, Intervention

# (width, height) in pixels; no patch divides the last.
SHAPES = {"square": (32, 32), "wide": (56, 24), "tall": (20, 48), "odd": (37, 29)}
QUESTION = "Is a dog there?"
TOLERANCE, STEPS, NEW_TOKENS = 1e-4, 4, 4
# An arm that moves logits by less than this share of them tells nothing.
FELT = 1e-3
# What moves a token by less than this share of the farthest is a fringe of its neighbour's pixels.
FRINGE = 0.1
# How much more a region's own tokens must move than others where all move a little.
BETTER_THAN_CHANCE = 0.75


@dataclass(frozen=True)
class Row:
    """How a family comes out on pictures of one shape: of each primitive what was found."""

    family: str
    shape: str
    cells: dict[str, str]

    @property
    def faults(self) -> dict[str, str]:
        return {
            name: cell for name, cell in self.cells.items() if cell.startswith(("WRONG", "CRASH"))
        }


@dataclass(frozen=True)
class Trial:
    """A model that is asked about one picture, by the instrument and by the oracle."""

    family: Family
    vlm: VLM
    image: Image.Image
    stimulus: Stimulus

    @cached_property
    def plain(self) -> Hooked:
        return self.hooked(self.stimulus)

    def hooked(self, stimulus: Stimulus) -> Hooked:
        model = self.vlm.model
        stack = reduce(getattr, self.family.stack.split("."), model)
        return Hooked(model, stack, dict(stimulus.inputs))

    @cached_property
    def states(self) -> Tensor:
        with judging():
            return self.plain.states()

    @cached_property
    def clean(self) -> Tensor:
        with judging():
            return self.plain.logits()

    @property
    def visual(self) -> list[int]:
        return self.stimulus.visual.tolist()

    @property
    def last(self) -> int:
        return self.plain.length - 1

    @property
    def half(self) -> list[int]:
        return self.visual[len(self.visual) // 2 :]

    @property
    def middle(self) -> int:
        return len(self.states) // 2

    @cached_property
    def attending(self) -> int:
        """The first layer from the middle on in which something attends."""
        with judging():
            layers = self.plain.attending()
        return next((each for each in layers if each >= self.middle), layers[-1])

    def value(self, layer: int) -> Tensor:
        return self.states[layer, self.visual].mean(0)

    def ablation(self, layer: int) -> tuple[list[Intervention], list[Edit]]:
        value = self.value(layer)
        return [Ablate(self.half, value, layer)], [Replaced(self.half, value, layer)]

    def knockout(self, heads: Sequence[int] | None) -> tuple[list[Intervention], list[Edit]]:
        layer = self.attending
        return (
            [Block(self.visual, to=self.last, layers=[layer], heads=heads)],
            [Cut(self.visual, self.last, layer, heads)],
        )

    def next_token(self, arm: Arm, edits: Sequence[Edit]) -> float:
        ours = self.vlm.next_token(self.stimulus, [arm])[0]
        with judging():
            plain = self.plain.logits(edits)[-1]
        return apart(ours, plain, felt=self.clean[-1] if edits else None)

    def describe(self) -> float:
        """How many of three arms say something else."""
        pairs = [([], []), self.ablation(0), self.ablation(self.middle)]
        ours = self.vlm.describe(self.stimulus, [arm for arm, _ in pairs], NEW_TOKENS)
        tokenizer = self.vlm.processor.tokenizer
        with judging():
            said = [self.plain.said(edits, NEW_TOKENS) for _, edits in pairs]
        plain = [tokenizer.decode(ids, skip_special_tokens=True) for ids in said]
        return sum(map(operator.ne, ours, plain))

    def generated(self) -> float:
        """Whether a text is another that its tokens write without the picture, in one layer."""
        later, layer = slice(self.plain.length, None), self.attending
        arm = [Block(self.visual, to=GENERATED, layers=[layer])]
        [ours] = self.vlm.describe(self.stimulus, [arm], NEW_TOKENS)
        with judging():
            grown = self.plain.after(self.plain.inputs["input_ids"][0, -1:].tolist())
            if apart(grown.logits()[self.last], self.clean[-1]) > TOLERANCE:
                raise UnjudgedError("read again, the prompt sees what was said")
            plain = self.read_again([Cut(self.visual, later, layer)])
        return float(ours != plain)

    def read_again(self, edits: Sequence[Edit]) -> str:
        """The greedy text, for each token of which all before it is read as one prompt."""
        ids: list[int] = []
        while len(ids) < NEW_TOKENS and not {*ids} & self.vlm._stop_ids():
            ids.append(int(self.plain.after(ids).logits(edits)[-1].argmax()))
        return self.vlm.processor.tokenizer.decode(ids, skip_special_tokens=True)

    def hidden_states(self) -> float:
        at = [*self.visual, self.last]
        return apart(self.vlm.hidden_states(self.stimulus, at), self.states[:, at])

    def logit_lens(self) -> float:
        """The probability of a token in every layer, as the model's own head gives it."""
        at, token = [self.visual[0], self.last], int(self.clean[-1].argmax())
        ours = logit_lens(self.vlm, self.stimulus, at, token_id=token).probability
        assert ours is not None
        with judging():
            logits = torch.stack([self.plain.read_out(state)[at] for state in self.states])
        return float((ours - logits.softmax(-1)[..., token]).abs().max())

    def integrated_gradients(self) -> float:
        token = int(self.clean[-1].argmax())
        with judging():
            x = self.plain.embeddings()[self.visual]
        baseline = x.mean(0)
        ours = integrated_gradients(self.vlm, self.stimulus, token, baseline, STEPS).signed
        fractions = (torch.arange(STEPS) + 0.5) / STEPS
        with judging():
            gradients = [
                self.plain.gradient(self.visual, baseline + each * (x - baseline), token)
                for each in fractions
            ]
        return apart(ours, (torch.stack(gradients).mean(0) * (x - baseline)).sum(-1))

    def blindness(self) -> float:
        """What of two pictures of noise is left when all visual tokens are the same."""
        seen = [self.vlm.read(noise(seed, self.image.size), QUESTION) for seed in (1, 2)]
        value = self.value(0)
        logits = [self.vlm.next_token(each, [[Ablate(each.visual, value)]])[0] for each in seen]
        return apart(*logits)

    def prompt(self) -> float:
        """How many ids are other than those of the processor's own chat template."""
        content = [{"type": "image", "image": self.image}, {"type": "text", "text": QUESTION}]
        with judging():
            ids = self.vlm.processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )["input_ids"][0]
        ours = self.stimulus.input_ids
        return abs(len(ours) - len(ids)) or float((ours != ids).sum())

    def places(self) -> float:
        """How many tokens are marked wrongly, as a share: those that a region never touches, and
        those that nothing else touches and that are left out."""
        wrong, total, told = 0, 0, False
        for region in regions(self.image.size):
            marked = self.marked(region)
            moved = self.moved(region)
            touched, elsewhere = moved > FELT, self.moved(~region) > FELT
            left_out = (moved > FRINGE) & ~elsewhere & ~marked
            wrong += int((marked & ~touched).sum() + left_out.sum())
            total += len(marked)
            told |= not bool((touched & elsewhere).all())
        return wrong / total if told else self.places_by_chance()

    def places_by_chance(self) -> float:
        """Where every token sees everything: do those marked move more than others?"""
        ranks = []
        for region in regions(self.image.size):
            marked, moved = self.marked(region), self.moved(region, alone=False)
            if bool(marked.any()) and not bool(marked.all()):
                more = moved[marked][:, None] > moved[~marked]
                ranks.append(float(more.float().mean()))
        return 0.0 if ranks and float(np.mean(ranks)) > BETTER_THAN_CHANCE else 1.0

    def marked(self, region: np.ndarray) -> Tensor:
        return torch.isin(self.stimulus.visual, self.stimulus.tokens_of(region))

    def moved(self, region: np.ndarray, alone: bool = True) -> Tensor:
        """How far each visual token moves when a region is inverted, 1 for the farthest."""
        pixels = np.array(self.image)
        pixels[region] = 255 - pixels[region]
        embeddings = []
        for image in (self.image, Image.fromarray(pixels)):
            plain = self.hooked(self.vlm.read(image, QUESTION))
            with judging(), each_alone() if alone else nullcontext():
                embeddings.append(plain.states()[0, self.visual])
        far = (embeddings[0] - embeddings[1]).norm(dim=-1)
        return far / far.max().clamp_min(1e-12)


class UnjudgedError(Exception):
    """The oracle cannot say."""


@contextmanager
def judging() -> Iterator[None]:
    """What the oracle raises is no fault of the instrument."""
    try:
        yield
    except (UnjudgedError, VLMError):
        raise
    except Exception as error:
        raise UnjudgedError(f"the oracle raised {type(error).__name__}: {error}") from error


def apart(ours: Tensor, plain: Tensor, felt: Tensor | None = None) -> float:
    """The largest difference, as a share of the largest number.

    **Raises:** `UnjudgedError` if the oracle's numbers are all but those of `felt`, the clean run.
    """
    scale = float(plain.abs().max())
    if felt is not None and float((plain - felt).abs().max()) < FELT * scale:
        raise UnjudgedError("the arm is not felt")
    return float((ours - plain).abs().max()) / scale


def noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """Blocks of noise, of (width, height): resizing leaves some of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)


def regions(size: tuple[int, int]) -> list[np.ndarray]:
    """The halves and the quarters of a picture."""
    width, height = size
    rows, cols = np.mgrid[:height, :width]
    left, upper = cols < width // 2, rows < height // 2
    halves = [left, ~left, upper, ~upper]
    return [*halves, left & upper, left & ~upper, ~left & upper, ~left & ~upper]


def cell(measure: Callable[[], float]) -> str:
    """What one comparison says."""
    try:
        off = measure()
    except VLMError as error:
        return f"refused: {few_words(error)}"
    except UnjudgedError as error:
        return f"unjudged: {few_words(error)}"
    except Exception as error:
        return f"CRASH: {type(error).__name__}: {few_words(error)}"
    if np.isnan(off):
        return "WRONG by nan"
    return "right" if off < TOLERANCE else f"WRONG by {off:.0e}"


def few_words(error: Exception) -> str:
    return " ".join(str(error).replace("|", "/").split()[:14])


def rows_of(family: Family, shapes: Sequence[str] = tuple(SHAPES)) -> list[Row]:
    """A family on each shape; one row where it cannot be wrapped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, processor, prompt = family.build()
        wrapped: list[VLM] = []
        said = cell(lambda: wrapped.append(VLM(model, processor, prompt)) or 0.0)
        if not wrapped:
            return [Row(family.name, "any", {"wrapped": said})]
        return [row_of(family, wrapped[0], shape) for shape in shapes]


def row_of(family: Family, vlm: VLM, shape: str) -> Row:
    image, read = noise(0, SHAPES[shape]), []
    said = cell(lambda: read.append(vlm.read(image, QUESTION)) or 0.0)
    how = "arms share" if vlm.shares else "one by one"
    if not read:
        return Row(family.name, shape, {"wrapped": how, "read": said})
    trial = Trial(family, vlm, image, read[0])
    measures: dict[str, Callable[[], float]] = {
        "clean": lambda: trial.next_token([], []),
        "ablate at 0": lambda: trial.next_token(*trial.ablation(0)),
        "ablate later": lambda: trial.next_token(*trial.ablation(trial.middle)),
        "block": lambda: trial.next_token(*trial.knockout(None)),
        "block a head": lambda: trial.next_token(*trial.knockout([0])),
        "describe": trial.describe,
        "block generated": trial.generated,
        "hidden states": trial.hidden_states,
        "lens": trial.logit_lens,
        "gradients": trial.integrated_gradients,
        "places": trial.places,
        "blind": trial.blindness,
    }
    if vlm.processor.tokenizer.chat_template:
        measures["prompt"] = trial.prompt
    found = {name: cell(measure) for name, measure in measures.items()}
    return Row(family.name, shape, {"wrapped": how, "read": said, **found})


def table(rows: Sequence[Row]) -> str:
    """In Markdown: a row per family and shape, a column per primitive."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    lines = [["family", "shape", *names], ["---"] * (len(names) + 2)]
    lines += [[row.family, row.shape, *(row.cells.get(name, "") for name in names)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(rows: Sequence[Row]) -> str:
    counts = Counter(
        said.partition(" ")[0].rstrip(":")
        for row in rows
        for name, said in row.cells.items()
        if name not in ("wrapped", "read") or ":" in said
    )
    families = {row.family for row in rows}
    faulty = {row.family for row in rows if row.faults}
    refused = {row.family for row in rows if row.shape == "any" and not row.faults}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return (
        f"{len(families)} families: {len(refused)} refused, {len(faulty)} with a fault, "
        f"{len(families - refused - faulty)} without. Cells: {told}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of families, or parts of names; none: all")
    wanted = parser.parse_args().names
    rows = []
    for family in FAMILIES:
        if wanted and not any(each.lower() in family.name.lower() for each in wanted):
            continue
        if family.missing:
            print(f"{family.name}: left out, {' and '.join(family.missing)} not installed")
            continue
        rows += rows_of(family)
    print(table(rows), summary(rows), sep="\n\n")


if __name__ == "__main__":
    main()
