"""Filter 2 on the shipped model: decode steps of one picture at a time, always with and without its
target, against many in one batch, without the target where it was named."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.cost import recorded
from claims.neo2025.protocol import TEXT, described
from fixtures import filtered
from fixtures.models import MODELS, SHIPPED, SHIPPED_DATA
from vlmlib import VLM, Description
from vlmlib.batched import COLUMNS
from vlmlib.study import Example

SEED = 0


def steps_of(vlm: VLM, run: Callable[[], Any]) -> tuple[int, Any]:
    """How many steps of decoding a run takes, and what it returns."""
    with recorded(vlm) as passes:
        found = run()
    return sum(each.decodes for each in passes), found


def alone(vlm: VLM, example: Example, painted: bool = False) -> str:
    """What the model says about a picture by itself, or about the same without its target."""
    task = Description(example.category)
    stimulus = task.read(vlm, example.image)
    if painted:
        generator = np.random.default_rng([SEED, example.number])
        stimulus = task.read(vlm, TEXT.painted_out(stimulus, example, generator))
    [text] = vlm.describe(stimulus, [[]], TEXT.max_new_tokens, until=task.decided)
    return text


def clean_texts(vlm: VLM, images: Sequence[Example], rows: int) -> list[str]:
    """What the model says about each picture, so many at a time."""
    asked = [(task := Description(each.category), task.read(vlm, each.image)) for each in images]
    longest = max(len(stimulus.embeddings) for _, stimulus in asked) + TEXT.max_new_tokens
    capacity = -(-longest // COLUMNS) * COLUMNS
    untils = [task.decided for task, _ in asked]
    stimuli = [stimulus for _, stimulus in asked]
    return vlm.describe_each(stimuli, TEXT.max_new_tokens, untils, max_tokens=rows * capacity)


def counts(images: int, rows: int) -> dict[str, int]:
    """Steps of decoding by what they are for. Raises where a text differs."""
    vlm = VLM.load(MODELS[SHIPPED])
    shown = filtered.filter_1(SHIPPED_DATA, filtered.IDENTIFICATION, limit=images).examples
    single, expected = steps_of(vlm, lambda: [alone(vlm, each) for each in shown])
    joint, texts = steps_of(vlm, lambda: clean_texts(vlm, shown, rows))
    again, without = steps_of(vlm, lambda: [alone(vlm, each, painted=True) for each in shown])
    mean = torch.zeros(vlm.d_model)
    whole, found = steps_of(vlm, lambda: list(described(vlm, mean, shown, TEXT, SEED)))
    said = [[row.answer for row in rows] for _, rows in found if isinstance(rows, list)]
    both = zip(expected, without, strict=True)
    same = all(now == list(before)[: len(now)] for now, before in zip(said, both, strict=True))
    if texts != expected or not same:
        raise AssertionError("Texts of a batch are not those of one picture at a time.")
    return {
        "clean, one by one": single,
        f"clean, {rows} rows": joint,
        "filter 2, one by one": single + again,
        "filter 2, as it is": whole,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"| {options.images} images | decode steps |\n|---|---:|")
    for name, steps in counts(options.images, options.rows).items():
        print(f"| {name} | {steps:,} |")


if __name__ == "__main__":
    main()
