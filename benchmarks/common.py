"""What the benchmarks share: one random model of LLaVA's layout, contenders timed in turns, one
table."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from fixtures.emoji_llava.architecture import Sizes, llava, llava_processor
from vlmlib import VLM, Ablate, select
from vlmlib.stimulus import Stimulus

SIDE, PATCH, VOCABULARY = 336, 14, 32_000  # 24 x 24 visual tokens
QUESTION = "Is there a dog on the left side of the sofa in this image ? Answer with yes or no ."
# the attention that FlopCounterMode does not know by itself
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *qkv, **_: sdpa_flop(
        *qkv[:3]
    )
}


def random_vlm(layers: int = 16) -> VLM:
    """LLaVA's layout with random weights: 576 visual tokens, about 600 in all. Every id is a word
    of its own."""
    words = ["<unk>", "<image>", *(f"w{index}" for index in range(2, VOCABULARY))]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>")
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    processor = llava_processor(fast, SIDE, PATCH)
    vision = Sizes(width=256, mlp=1024, layers=6, heads=4)
    text = Sizes(width=512, mlp=1376, layers=layers, heads=8)
    torch.manual_seed(0)
    model = llava(processor, vision, text, max_position_embeddings=2048)
    with torch.no_grad():  # larger than the default, so that every intervention shows in the logits
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.05 if "language_model" in name else 0.03)
    return VLM(model, processor)


def read(vlm: VLM) -> Stimulus:
    pixels = np.random.default_rng(0).integers(0, 256, size=(SIDE, SIDE, 3), dtype=np.uint8)
    return vlm.read(Image.fromarray(pixels), QUESTION)


def object_tokens(stimulus: Stimulus) -> Tensor:
    """A region of 3 x 4 tokens in the middle of the grid: the paper's mean is 12.6."""
    rows, cols = stimulus.grid
    return stimulus.visual.view(rows, cols)[
        rows // 2 - 1 : rows // 2 + 2, cols // 2 - 2 : cols // 2 + 2
    ].flatten()


def ablation_arms(stimulus: Stimulus) -> list[list[Ablate]]:
    """The 18 rows of table 1. What a row costs depends on where its tokens lie: gradient rows are
    random ones here."""
    generator = np.random.default_rng(0)
    drawn = [
        select.random(stimulus, k, generator)
        for _ in range(2)
        for k in (5, 10, 20, 40, 60, 100, 250)
    ]
    near = [select.buffer(stimulus, object_tokens(stimulus), n) for n in (0, 1, 2)]
    mean = stimulus.embeddings[stimulus.visual].mean(0)
    return [
        [Ablate(tokens, mean)] for tokens in (*near, select.random(stimulus, 3, generator), *drawn)
    ]


@dataclass(frozen=True)
class Measured:
    """Operations of one run, and the seconds of every round."""

    operations: int
    rounds: Sequence[float]

    @property
    def seconds(self) -> float:
        return statistics.median(self.rounds)


def measure(
    rounds: int, check: Callable[..., None] | None = None, /, **contenders: Callable[[], Any]
) -> dict[str, Measured]:
    """Run all contenders in turns, `rounds` times: only runs next to one another may be compared.

    With one thread, seconds are the processor's, which other programs on the machine disturb less;
    else the wall's. A warm-up comes first, which counts operations. `check(**results)` of it raises
    where the contenders' answers differ; by default all are compared to the last one's.
    """
    operations, results = {}, {}
    for name, run in tqdm(contenders.items(), "warm-up"):
        with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
            results[name] = run()
        operations[name] = counter.get_total_flops()
    if check:
        check(**results)
    else:
        *others, last = results.values()
        for other in others:
            assert_same(other, last)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in tqdm(range(rounds), "rounds"):
        order = list(contenders)
        for name in order if number % 2 == 0 else order[::-1]:
            start = clock()
            contenders[name]()
            seconds[name].append(clock() - start)
    return {name: Measured(operations[name], seconds[name]) for name in contenders}


def assert_same(got: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Raise unless two results agree up to `tolerance` of their scale: a faster wrong answer is
    none."""
    off = float((got - expected).abs().max() / expected.abs().max())
    if not off < tolerance:
        raise AssertionError(
            f"The contenders' results differ by {off:.1e} of their scale, {tolerance:.0e} is "
            "allowed."
        )
    apart = float((expected - expected[:1]).abs().max() / expected.abs().max())
    print(
        f"The contenders differ by at most {off:.1e} of the scale; within one, results differ by "
        f"{apart:.1e}."
    )


def show(
    measured: Mapping[str, Measured], ours: str, required: Mapping[str, str] | None = None
) -> None:
    """Print a Markdown table. `required`: for a contender, what is demanded of the ratios in its
    row."""
    own = measured[ours]
    print(
        "\n| contender | operations | seconds | operations, ratio to ours | seconds, ratio to ours "
        "| required |"
    )
    print("|---|---|---|---|---|---|")
    for name, each in measured.items():
        operations = f"{each.operations / own.operations:.2f}" if own.operations else ""
        seconds = f"{each.seconds / own.seconds:.2f}"
        count = f"{each.operations / 1e9:.1f} G" if own.operations else ""
        met = (required or {}).get(name, "")
        print(
            f"| {name.replace('_', ' ')} | {count} | {each.seconds:.3f} | {operations} | {seconds} "
            f"| {met} |"
        )


def verdict(*demands: tuple[str, float, float]) -> str:
    """What is demanded of (name, observed, at least), and whether it is met."""
    return ", ".join(
        f"{name} >= {least:g}: {'met' if observed >= least else 'MISSED'}"
        for name, observed, least in demands
    )


def arguments(**defaults: Any) -> argparse.Namespace:
    """Command line options with these defaults, `--layers` and `--threads` among them."""
    parser = argparse.ArgumentParser()
    for name, default in {"layers": 16, "threads": 2, **defaults}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


@contextmanager
def attached(*handles: Any) -> Iterator[None]:
    """Remove these hooks when the context ends."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
