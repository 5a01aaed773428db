"""The paper's own run, counted before it is run: passes, positions, decode steps, bytes,
operations, hours, memory and disk, step by step.

The suite's own code runs on narrow stand-ins of the three models (`stand_ins.py`) for a few images
of each step; every pass is recorded, and priced by the sizes of the real architecture, which is
built on the meta device (`cost.py`). What a text says cannot be counted without weights: how long
texts are, and how many name the object, is assumed, and every assumption is an option. Answers
count as right, so that arms run on all that are asked; what the host does (opening pictures and
the like) is not counted.

With `--measure` the same runs are timed, too: on a GPU with random weights of the real size.
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.cost import BYTES, Card, Pass, Rate, Sizes, recorded
from benchmarks.stand_ins import CATEGORY, examples, vlm_like
from claims.neo2025 import arms, lens, sample
from claims.neo2025.architectures import CONFIGS, build
from claims.neo2025.forecast import NAMED
from claims.neo2025.protocol import DESCRIBED, TEXT, Identification, attributed, described
from claims.neo2025.study import TOGETHER
from fixtures import filtered
from vlmlib import VLM, Description, engine, mean_embedding
from vlmlib import model as handle
from vlmlib.decoding import Decoding
from vlmlib.sharing import Sharing
from vlmlib.sparse import Sparse
from vlmlib.study import Example, Row
from vlmlib.study.run import run

# Of the data sheets of NVIDIA RTX 4090, L40S and A100 80 GB SXM: without sparsity.
CARDS = (
    Card("24 GB (RTX 4090)", 24 * 2**30, 165e12, 1008e9),
    Card("48 GB (L40S)", 48 * 2**30, 362e12, 864e9),
    Card("80 GB (A100)", 80 * 2**30, 312e12, 2039e9),
)
SPARE = 1e9  # bytes that the driver and libraries take of a card
# Images that pass both filters, by table 1's denominators; Qwen2-VL is not in it and taken as the
# other small model. Images of the lens, by figure 7; LLaVA-Phi-3 is not in it.
KEPT = {"llava-1.5-7b": 39, "llava-phi-3": 1140, "qwen2-vl-2b": 1140}
LENS = {"llava-1.5-7b": 170, "llava-phi-3": 253, "qwen2-vl-2b": 253}
# GB, by the pages from which they are downloaded: cocodataset.org and image-net.org.
DISK = {
    "COCO train2017, zip": 18.0,
    "COCO val2017, zip": 1.0,
    "COCO annotations, zip": 0.24,
    "ImageNet validation pictures": 6.7,
}
BEFORE = "filter 2, one by one"
# Assumptions: what is not counted, and stands in no paper where nothing else is said.
ASSUMED: dict[str, tuple[int | float, str]] = {
    "candidates": (filtered.CANDIDATES, "images that pass filter 1, as the paper says"),
    "kept": (0, "of them, images that pass filter 2; 0: by table 1's denominators"),
    "named": (NAMED, "of clean descriptions, the share that names the object"),
    "still": (0.65, "of descriptions under an arm, the same; table 1's rows have 0.62 and 0.69"),
    "length": (80, "tokens of a description; one that names the object ends at a third"),
    "questions": (filtered.QUESTIONS, "of VQA, as the paper says"),
    "lens": (0, "images of the lens; 0: by figure 7"),
    "mean": (50_000, "images of the mean token, as the paper says"),
    "operations": (0.4, "of a card's peak operations a second, the share that a pass has"),
    "bandwidth": (0.7, "of a card's bandwidth, the same"),
    "launch": (30.0, "milliseconds of launching 32 layers from plain PyTorch"),
    "images": (2, "rehearsed of each step"),
    "together": (TOGETHER, "images that filter 2 is rehearsed with in one go"),
    "threads": (1, "of the CPU"),
}
LAYERS = 32  # of the model of which the launch overhead is told
SPREAD = 0.4  # texts are up to so much shorter or longer than the mean
NUMBERS = (3, 30, 300)  # visual tokens that stand for those which decode to numbers


@dataclass(frozen=True)
class Said(Decoding):
    """Ends texts at lengths that were assumed, whatever their tokens; one that is cut to a third
    names the object. The texts of one batch take their lengths as they begin."""

    lengths: Iterator[int] = field(default_factory=lambda: iter(()), kw_only=True)
    whole: int = field(default=0, kw_only=True)
    running: deque[int] = field(default_factory=deque, kw_only=True)

    def ended(self, ids: list[int]) -> bool:
        # texts that go on are asked about in turns, those that have ended no more
        length = next(self.lengths) if len(ids) == 1 else self.running.popleft()
        if len(ids) < length:
            self.running.append(length)
        return len(ids) >= length

    def text(self, ids: list[int]) -> str:
        return CATEGORY if 2 * len(ids) < self.whole else "nothing"


@contextmanager
def saying(lengths: Iterable[int], whole: int) -> Iterator[None]:
    """While the context lasts, texts are so long."""
    made = partial(Said, lengths=iter(lengths), whole=whole)
    with mock.patch.object(handle, "Decoding", made):
        yield


def lengths_of(count: int, naming: float, whole: int, generator: np.random.Generator) -> list[int]:
    """The lengths of so many texts, of which a share is cut to a third."""
    lengths = whole * generator.uniform(1 - SPREAD, 1 + SPREAD, count)
    lengths[generator.permutation(count)[: round(naming * count)]] /= 3
    return [max(1, round(each)) for each in lengths]


@dataclass(frozen=True)
class Step:
    """A part of the run: what `run` does `done` times here, the paper's run does `total` times;
    `kept` times were it without the images that filter 2 drops."""

    name: str
    unit: str
    total: float
    kept: float
    done: float
    run: Callable[[], Sequence[Row]]


@dataclass(frozen=True)
class Measured:
    """How long a step took here, and how many bytes of a GPU it held at most (0 on a CPU)."""

    seconds: float
    peak: int


@dataclass(frozen=True, eq=False)
class Counted:
    """What a step took here: its passes, and the bytes of its rows. All else is of the paper's
    run."""

    step: Step
    passes: Sequence[Pass]
    row_bytes: int
    measured: Measured | None = None

    @property
    def times(self) -> float:
        return self.step.total / self.step.done

    def sum(self, of: Callable[[Pass], float]) -> float:
        return self.times * sum(map(of, self.passes))

    @property
    def forward_passes(self) -> float:
        return self.sum(lambda each: each.part == "decoder")

    @property
    def pictures(self) -> float:
        return self.sum(lambda each: each.part == "encoder")

    @property
    def positions(self) -> float:
        return self.sum(lambda each: each.computed if each.part == "decoder" else 0)

    @property
    def decode_steps(self) -> float:
        return self.sum(lambda each: each.decodes)

    def hours(self, rate: Rate, sizes: Sizes, card: Card) -> float:
        return self.times * rate.seconds(self.passes, sizes, card) / 3600


def count(step: Step, *vlms: VLM, timed: bool = False) -> Counted:
    """Run a step and record its passes, as large as a GPU's are; once more, to time it.

    What is asked once of each length of prompts is no image's, and left out.
    """
    with mock.patch.object(engine, "CPU_PASS", handle.MAX_TOKENS), _every_length_known():
        with ExitStack() as records:
            recordings = [records.enter_context(recorded(vlm)) for vlm in vlms]
            rows = step.run()
        measured = _measured(step.run) if timed else None
    passes = [each for recording in recordings for each in recording]
    kept = sum(len(json.dumps(asdict(row))) for row in rows)
    return Counted(step, passes, kept, measured)


@contextmanager
def _every_length_known() -> Iterator[None]:
    asked = ("on", "prefix_alone", "in_texts", "in_batch")
    all_shared = mock.patch.multiple(Sharing, **dict.fromkeys(asked, lambda *_: True))
    with all_shared, mock.patch.object(Sparse, "on", return_value={}):
        yield


def _measured(run: Callable[[], Any]) -> Measured:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return Measured(seconds, torch.cuda.max_memory_allocated() if on_gpu else 0)


def reached(model: str, options: argparse.Namespace) -> int:
    """How many candidates filter 2 asks about until enough are kept."""
    share = kept(model, options)
    return min(options.candidates, round(sample.MOST_IMAGES / share))


def kept(model: str, options: argparse.Namespace) -> float:
    """Of the candidates, the share that passes filter 2."""
    return min(options.named, (options.kept or KEPT[model]) / options.candidates)


@dataclass(frozen=True)
class Table1:
    """Of how many images table 1 is: so many that pass filter 2, with one in `sample.UNFILTERED` of
    all others so many as are `measured`, and of these so many as are `named`."""

    passing: int
    measured: int
    named: int

    @classmethod
    def of(cls, model: str, options: argparse.Namespace) -> "Table1":
        many = reached(model, options)
        passing = round(kept(model, options) * many)
        others, named = many - passing, options.named * many - passing
        return cls(
            passing,
            measured=passing + round(others / sample.UNFILTERED),
            named=passing + round(named / sample.UNFILTERED),
        )


def steps_of(model: str, deep: VLM, vlm: VLM, options: argparse.Namespace) -> list[Step]:
    """The run of one model, in the order of its steps.

    **Arguments:** its name; a stand-in with all layers, for what asks about single ones; one of any
    depth for the rest, which takes as many passes on it; the assumptions.
    """
    shown = [
        each.knowing(attributions=_noise(vlm, each), numbers=NUMBERS, **{DESCRIBED: CATEGORY})
        for each in examples(options.images)
    ]
    step = partial(_of_each, shown, options)
    table, asked = Table1.of(model, options), options.questions
    passing, measured, named = table.passing, table.measured, table.named
    in_lens = options.lens or LENS[model]
    gradients, seen = (partial(each, protocol=TEXT) for each in (attributed, lens.shown))
    without = partial(lens.without_numbers, protocol=TEXT, seed=0)
    generative, polling = (_identified(task, arms.ablations) for task in ("generative", "polling"))
    answers, knockouts = (_identified("VQA", each) for each in (arms.ablations, arms.knockouts))
    return [
        _mean_token(vlm, shown, options.mean),
        *filter_2(model, vlm, options),
        step("integrated gradients", "image", measured + asked, passing + asked, gradients, vlm),
        step("table 1, generative", "image named", named, passing, generative, vlm),
        step("table 1, polling", "image", measured, passing, polling, vlm),
        step("table 1, VQA", "question", asked, asked, answers, vlm),
        step("table 2, twice", "question", 2 * asked, 2 * asked, knockouts, deep),
        step("logit lens", "image", in_lens, in_lens, seen, deep),
        step("numbers", "image", in_lens, in_lens, without, deep),
    ]


def _of_each(
    shown: Sequence[Example],
    options: argparse.Namespace,
    name: str,
    unit: str,
    total: float,
    kept: float,
    compute: Callable[..., Iterable[Row]],
    vlm: VLM,
) -> Step:
    """A step that computes the same of each example, while texts are as is assumed."""
    mean = torch.zeros(vlm.d_model, device=vlm.device, dtype=vlm.model.dtype)

    def run_all() -> list[Row]:
        texts = lengths_of(10_000, options.still, options.length, np.random.default_rng(0))
        with saying(texts, options.length):
            return [row for each in shown for row in compute(vlm, mean, each)]

    return Step(name, unit, total, kept, len(shown), run_all)


def _identified(task: str, design: Callable[..., Any]) -> Callable[..., Iterable[Row]]:
    """A task under the arms of a design, where every answer counts as right."""
    under, arms_of = Identification(task, TEXT), partial(design, protocol=TEXT)
    return partial(run, task=under, design=arms_of, keep=lambda clean: True, seed=0)


def _mean_token(vlm: VLM, shown: Sequence[Example], total: int) -> Step:
    def averaged() -> list[Row]:
        mean_embedding(vlm, (each.image for each in shown))
        return []

    return Step("mean token", "image", total, total, len(shown), averaged)


def filter_2(model: str, vlm: VLM, options: argparse.Namespace) -> list[Step]:
    """Filter 2 as it is, and as it was: each picture by itself, with and without its target."""
    asked, whole = examples(options.together), options.length
    generator = np.random.default_rng(0)
    clean = lengths_of(len(asked), options.named, whole, generator)
    named = sum(2 * each < whole for each in clean)
    still = 1 - kept(model, options) / options.named
    painted = lengths_of(named, still, whole, generator)
    unnamed = lengths_of(len(asked) - named, 0, whole, generator)
    mean, many = torch.zeros(vlm.d_model), reached(model, options)

    def together() -> list[Row]:
        with saying([*clean, *painted], whole):
            found = list(described(vlm, mean, asked, TEXT, seed=0))
        return [row for _, rows in found if isinstance(rows, list) for row in rows]

    few = [*clean[:2], *painted[:1], *unnamed[:1]]

    def one_by_one() -> list[Row]:
        task = Description(CATEGORY)
        with saying(few, whole):
            for each, _ in zip(asked, few, strict=False):
                vlm.describe(task.read(vlm, each.image), [[]], TEXT.max_new_tokens)
        return []

    tokens = sum([*clean, *painted, *unnamed]) * many / len(asked)
    return [
        Step("filter 2", "image", many, many, len(asked), together),
        Step(BEFORE, "token said", tokens, tokens, sum(few), one_by_one),
    ]


def _noise(vlm: VLM, example: Example) -> list[float]:
    tokens = len(vlm.read(example.image, "").visual)
    return np.random.default_rng(0).normal(size=tokens).tolist()


def show(found: Sequence[Counted], sizes: Sizes, rate: Rate) -> None:
    """Print a table of the steps."""
    cards = " | ".join(f"h, {card.name}" for card in CARDS)
    print(
        "\n| step | how often | pictures encoded | forward passes | positions | decode steps "
        f"| read | operations | peak memory | {cards} |"
    )
    print("|---|---" + "|---:" * (7 + len(CARDS)) + "|")
    for each in found:
        weights, held, beside = (part / 1e9 for part in sizes.peak(each.passes))
        hours = " | ".join(f"{each.hours(rate, sizes, card):.2f}" for card in CARDS)
        print(
            f"| {each.step.name} | {each.step.total:,.0f} x {each.step.unit} "
            f"| {each.pictures:,.0f} | {each.forward_passes:,.0f} | {each.positions / 1e6:,.2f} M "
            f"| {each.decode_steps:,.0f} | {each.sum(sizes.read) / 1e12:,.1f} TB "
            f"| {each.sum(sizes.operations) / 1e15:,.1f} P "
            f"| {weights:.1f} + {held:.1f} + {beside:.1f} GB | {hours} |"
        )


def tell(found: Sequence[Counted], sizes: Sizes, rate: Rate) -> None:
    """Print what the steps that are run come to: hours and memory by card, disk."""
    now = [each for each in found if each.step.name != BEFORE]
    needed = {each.step.name: sum(sizes.peak(each.passes)) for each in now}
    for card in CARDS:
        hours = {each: each.hours(rate, sizes, card) for each in now}
        passed = sum(each.step.kept / each.step.total * taken for each, taken in hours.items())
        too_large = [name for name, most in needed.items() if most > card.memory - SPARE]
        fits = f"in smaller passes: {', '.join(too_large)}" if too_large else "all steps fit"
        print(
            f"- {card.name}: {sum(hours.values()):.1f} hours, {passed:.1f} without the images that "
            f"filter 2 drops; {fits}."
        )
    rows = sum(each.times * each.row_bytes for each in now)
    print(f"- Disk: weights {BYTES * sizes.total / 1e9:.1f} GB, rows {rows / 1e9:.2f} GB.")
    before, after = (
        next(each for each in found if each.step.name == name).decode_steps
        for name in (BEFORE, "filter 2")
    )
    print(
        f"- Decode steps of filter 2: {before:,.0f} one by one, {after:,.0f} now, "
        f"{before / after:.1f} times fewer."
    )


def compare(found: Sequence[Counted], sizes: Sizes, rate: Rate, card: Card, device: str) -> None:
    """Print what steps took on a device, beside what they should take on a card."""
    print(
        f"\n| step | seconds, counted for {card.name} | measured on {device} | ratio "
        "| peak memory, counted | measured |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for each in found:
        counted, most = rate.seconds(each.passes, sizes, card), sum(sizes.peak(each.passes))
        measured = each.measured or Measured(0.0, 0)
        what = f"{each.step.name}, {each.step.done:g} x {each.step.unit}"
        print(
            f"| {what} | {counted:.3f} | {measured.seconds:.3f} | {measured.seconds / counted:.2f} "
            f"| {most / 1e9:.1f} GB | {measured.peak / 1e9:.1f} GB |"
        )


def rehearse(model: str, options: argparse.Namespace) -> list[float]:
    """Count the run of one model and print it. Returns its hours by card."""
    whole = options.measure and options.device != "cpu"
    deep = vlm_like(model, whole, options.device)
    shallow = deep if whole else vlm_like(model, layers=2)
    sizes, rate = Sizes.of(build(model)), rate_of(options)
    steps = steps_of(model, deep, shallow, options)
    vlms = {id(each): each for each in (deep, shallow)}.values()
    found = [count(each, *vlms, timed=options.measure) for each in steps]
    prompt = deep.read(examples(1)[0].image, Description(CATEGORY).question)
    print(f"\n## {model}\n")
    print(
        f"A prompt has {len(prompt.embeddings)} positions, {len(prompt.visual)} of them visual "
        "tokens."
    )
    show(found, sizes, rate)
    print()
    tell(found, sizes, rate)
    if options.measure:
        card = next(card for card in CARDS if card.name == options.card)
        compare(found, sizes, rate, card, options.device)
    now = [each for each in found if each.step.name != BEFORE]
    return [sum(each.hours(rate, sizes, card) for each in now) for card in CARDS]


def rate_of(options: argparse.Namespace) -> Rate:
    return Rate(options.operations, options.bandwidth, options.launch / 1000 / LAYERS)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The assumptions, by their names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, (default, meaning) in ASSUMED.items():
        parser.add_argument(
            f"--{name}", type=type(default), default=default, help=f"{meaning} ({default})"
        )
    parser.add_argument("--models", nargs="+", default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument("--measure", action="store_true", help="time the same runs, too")
    parser.add_argument("--device", default="cpu", help="where: with weights of the real size")
    cards = [card.name for card in CARDS]
    parser.add_argument("--card", default=cards[-1], choices=cards, help="to compare it with")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    assumed = (f"{name} {getattr(options, name):g}" for name in ASSUMED)
    print(f"Assumed: {', '.join(assumed)}.")
    for card in CARDS:
        print(f"{card.name}: {card.operations / 1e12:g} T a second, {card.bandwidth / 1e9:g} GB/s")
    hours = [rehearse(model, options) for model in options.models]
    print("\n## All of them\n")
    for card, of_models in zip(CARDS, zip(*hours, strict=True), strict=True):
        print(f"- {card.name}: {sum(of_models):.1f} hours.")
    pictures = ", ".join(f"{name} {size:g} GB" for name, size in DISK.items())
    print(f"- Pictures, once for all models: {pictures}.\n")
    print(f"Counted in {time.process_time():.0f} seconds of the processor.")


if __name__ == "__main__":
    main()
