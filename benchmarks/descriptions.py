"""19 descriptions of 60 tokens: `vlm.describe` against one `model.generate` per arm, with the arm
in a hook."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import common
from vlmlib import VLM, Ablate, oracle
from vlmlib.stimulus import Stimulus

# Of the logits' scale: two tokens this close are a tie, which the order of additions decides.
MARGIN = 1e-4


@torch.no_grad()
def generated(
    vlm: VLM,
    stimulus: Stimulus,
    arm: Sequence[Ablate],
    tokens: int,
    gaps: list[Tensor] | None = None,
) -> list[int]:
    """The ids of a greedy text. `gaps` collects, per step, how far the two best logits are apart,
    of the largest."""
    seq = len(stimulus.embeddings)
    embeddings = oracle.ablated(stimulus.embeddings, arm)[None]

    def prefill(_module, args, kwargs):
        # later steps receive one position, and stay as they are
        is_prefill = kwargs["inputs_embeds"].shape[1] == seq
        return (args, {**kwargs, "inputs_embeds": embeddings}) if is_prefill else (args, kwargs)

    handles = [vlm.decoder.stack.register_forward_pre_hook(prefill, with_kwargs=True)]
    if gaps is not None:

        def keep(_module, _args, logits):
            best = logits[0, -1].topk(2).values
            gaps.append((best[0] - best[1]) / logits.abs().max())

        handles.append(vlm.decoder.unembed.register_forward_hook(keep))
    generate = cast(Callable[..., Tensor], vlm.model.generate)
    with common.attached(*handles):
        ids = generate(
            **stimulus.inputs, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens
        )
    return ids[0, seq:].tolist()


def assert_greedy(
    vlm: VLM,
    stimulus: Stimulus,
    arms: Sequence[Sequence[Ablate]],
    said: list[str],
    expected: list[str],
) -> None:
    """Raise where a text leaves generate's at a step that is no tie."""
    apart = [
        arm for arm, (ours, theirs) in enumerate(zip(said, expected, strict=True)) if ours != theirs
    ]
    for arm in apart:
        pairs = zip(said[arm].split(), expected[arm].split(), strict=True)
        step = next(step for step, (ours, theirs) in enumerate(pairs) if ours != theirs)
        gaps: list[Tensor] = []
        generated(vlm, stimulus, arms[arm], step + 1, gaps)
        if gaps[step] > MARGIN:
            raise AssertionError(
                f"Text {arm} leaves generate's at step {step}, by a gap of {float(gaps[step]):.1e}."
            )
    print(
        f"{len(said) - len(apart)} of {len(said)} texts are generate's, {len(apart)} leave it at "
        f"a tie; {len(set(expected))} differ from one another."
    )


def ending(said: list[list[str]]) -> tuple[str, list[int]]:
    """The word of the first text's middle that most texts hold, as they would an object's name, and
    where they end."""
    middle = said[0][10:31] or said[0]
    word = max(dict.fromkeys(middle), key=lambda word: sum(word in text for text in said))
    return word, [text.index(word) + 1 if word in text else len(text) for text in said]


def main() -> None:
    options = common.arguments(rounds=3, tokens=60, max_tokens=16384)
    vlm = common.random_vlm(options.layers)
    stimulus = common.read(vlm)
    arms: list[list[Ablate]] = [[], *common.ablation_arms(stimulus)]

    def generate() -> list[str]:
        decode = vlm.processor.tokenizer.decode
        return [
            decode(generated(vlm, stimulus, arm, options.tokens))
            for arm in tqdm(arms, "generate", leave=False)
        ]

    def ours(until=None) -> list[str]:
        return vlm.describe(stimulus, arms, options.tokens, until, options.max_tokens)

    word, stops = ending([text.split() for text in ours()])
    print(f"Early end at {word!r}: after {stops} tokens")

    def ours_early_end() -> list[str]:
        return ours(lambda text: word in text.split())

    def check(ours: list[str], ours_early_end: list[str], generate: list[str]) -> None:
        assert_greedy(vlm, stimulus, arms, ours, generate)
        begun = [text.split()[:stop] for text, stop in zip(ours, stops, strict=True)]
        if begun != [text.split() for text in ours_early_end]:
            raise AssertionError("A text with an early end is not the beginning of the whole one.")

    measured = common.measure(
        options.rounds, check, ours=ours, ours_early_end=ours_early_end, generate=generate
    )
    ratio = measured["generate"].seconds / measured["ours"].seconds
    aim = f"3 to aim for: {'met' if ratio >= 3 else 'missed'}"
    common.show(measured, "ours", {"generate": f"{common.verdict(('seconds', ratio, 2.2))}; {aim}"})


if __name__ == "__main__":
    main()
