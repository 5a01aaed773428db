"""python -m benchmarks.costs: writes claims/neo2025/costs.toml, what each measurement takes of one
image, by which a run tells beforehand how long it takes (claims/neo2025/speed.py).

Counted as `benchmarks.rehearsal` counts, under what it assumes: on narrow stand-ins of the paper's
models, which takes a minute.
"""

from benchmarks.cost import Pass
from benchmarks.rehearsal import BEFORE, Counted, Step, count, parsed, steps_of
from benchmarks.stand_ins import examples, vlm_like
from claims.neo2025 import lens_pages
from claims.neo2025.architectures import CONFIGS
from claims.neo2025.protocol import TEXT
from claims.neo2025.speed import COSTS, Cost
from claims.neo2025.study import FILTER_2, GRADIENTS, IN_FULL, LENS, NUMBERS
from vlmlib import VLM, Description
from vlmlib.study import Row
from vlmlib.study.store import table_of

HEAD = """\
# What each measurement takes of one image (VQA: of one question): see `Cost` in speed.py.
# `python -m benchmarks.costs` counts it and writes this file. A prompt has `prompt` positions, and
# a text `length` tokens, as is assumed.
"""
NAMES = {
    "mean token": "mean token",
    "filter 2": FILTER_2,
    "integrated gradients": GRADIENTS,
    "table 1, generative": table_of("generative", "ablations"),
    "table 1, polling": table_of("polling", "ablations"),
    "table 1, VQA": table_of("VQA", "ablations"),
    "table 2, twice": table_of("VQA", "knockouts"),
    "logit lens": LENS,
    "numbers": NUMBERS,
    IN_FULL: IN_FULL,
}


def main() -> None:
    COSTS.write_text("\n".join([HEAD, *map(section, CONFIGS)]))


def costs_of(model: str) -> dict[str, Cost]:
    """What each measurement takes of one image."""
    deep, shallow, options = vlm_like(model), vlm_like(model, layers=2), parsed([])
    steps = [each for each in steps_of(model, deep, shallow, options) if each.name != BEFORE]
    steps.append(_in_full(deep, options.images))
    return {NAMES[step.name]: _cost(count(step, deep, shallow)) for step in steps}


def _in_full(vlm: VLM, images: int) -> Step:
    """What pages of the lens take, which are no part of the paper's run."""
    shown = examples(images)

    def run() -> list[Row]:
        return [row for each in shown for row in lens_pages.in_full(vlm, None, each, TEXT)]

    return Step(IN_FULL, "image", images, images, images, run)


def _cost(found: Counted) -> Cost:
    def mean(passes: list[Pass]) -> float:
        return len(passes) / found.step.done

    decoder = [each for each in found.passes if each.part == "decoder"]
    decoding = [each for each in decoder if each.decodes]
    graded = [each for each in decoder if each.graded]
    prompts = [each for each in decoder if not each.decodes and not each.graded]

    def positions(passes: list[Pass]) -> float:
        return sum(each.computed for each in passes) / found.step.done

    return Cost(
        pictures=mean([each for each in found.passes if each.part == "encoder"]),
        passes=mean(prompts),
        positions=positions(prompts),
        steps=mean(decoding),
        tokens=positions(decoding),
        graded=positions(graded),
    )


def section(model: str) -> str:
    prompt = vlm_like(model, layers=2).read(examples(1)[0].image, Description("dog").question)
    head = f'["{model}"]\nprompt = {len(prompt.embeddings)}\nlength = {parsed([]).length}\n'
    return head + "\n".join(_line(name, cost) for name, cost in costs_of(model).items()) + "\n"


def _line(name: str, cost: Cost) -> str:
    kept = ", ".join(f"{key} = {value:.4g}" for key, value in vars(cost).items() if value)
    return f'"{name}" = {{ {kept} }}'


if __name__ == "__main__":
    main()
