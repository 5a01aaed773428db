"""Greedy description under many arms at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from vlmlib.cache import Branches
from vlmlib.decoder import Decoder
from vlmlib.engine import clean_run, pass_size, suffixes
from vlmlib.errors import VLMError
from vlmlib.interventions import Arm, first_affected
from vlmlib.plan import plan
from vlmlib.stimulus import Stimulus

NEUTRAL = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "min_length": 0,
    "min_new_tokens": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "bad_words_ids": None,
    "sequence_bias": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
}


@dataclass(frozen=True)
class Decoding:
    """When a greedy text ends: at a stop id, at `max_new_tokens`, or once `until` holds."""

    tokenizer: Any
    stop_ids: set[int]
    max_new_tokens: int
    until: str | Callable[[str], bool] | None = None

    def text(self, ids: list[int]) -> str:
        """The text of new tokens, without special ones.

        !!! example

            >>> Decoding(vlm.processor.tokenizer, set(), 5).text(vlm.processor.tokenizer("a dog")["input_ids"])
            'a dog'
        """
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def ended(self, ids: list[int]) -> bool:
        """Whether no further token is wanted."""
        if ids[-1] in self.stop_ids or len(ids) >= self.max_new_tokens:
            return True
        if self.until is None:
            return False
        return (
            self.until in self.text(ids)
            if isinstance(self.until, str)
            else self.until(self.text(ids))
        )


def check_greedy(settings: GenerationConfig | None) -> None:
    """Raise a `VLMError` where a model's own generation settings change logits, as plain greedy
    decoding does not.

    !!! example

        >>> check_greedy(GenerationConfig(repetition_penalty=1.0))
    """
    for name, neutral in NEUTRAL.items():
        value = getattr(settings, name, None)
        if value not in (None, [], neutral):
            raise VLMError(
                f"The model's generation_config has {name}={value!r}, which greedy description "
                "does not apply. Set "
                f"vlm.model.generation_config.{name} = {neutral!r} to describe without it."
            )


@torch.no_grad()
def describe(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], decoding: Decoding, max_tokens: int
) -> list[list[int]]:
    """The ids that each arm says, greedily.

    Arms share the clean run up to their first change, then have keys and values of their own, and
    go on token by token as the rows of one batch, which arms that have ended leave. At most
    `max_tokens` positions are held at a time.

    !!! example

        >>> decoding = Decoding(vlm.processor.tokenizer, stop_ids=set(), max_new_tokens=5)
        >>> [len(ids) for ids in describe(vlm.decoder, stimulus, [[], [Ablate([9], torch.zeros(16))]], decoding, 1000)]
        [5, 5]
    """
    room = len(stimulus.embeddings) + decoding.max_new_tokens
    rows = max(1, max_tokens // room)
    said: list[list[int]] = []
    for begin in range(0, len(arms), rows):
        said += _together(decoder, stimulus, arms[begin : begin + rows], decoding, max_tokens)
    return said


def _together(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], decoding: Decoding, max_tokens: int
) -> list[list[int]]:
    length = len(stimulus.embeddings)
    # an arm that changes nothing recomputes the last position, whose output the clean prefix may
    # not have
    starts = [min(first_affected(arm, length), length - 1) for arm in arms]
    made = plan(starts, length, pass_size(decoder, max_tokens), pack=False)
    clean, _ = clean_run(decoder, stimulus, max(made.shared, 1))
    cache = Branches(clean, len(arms), length + decoding.max_new_tokens)
    order = [arm for run in made.passes for arm in run.arms]
    lasts, row = [], 0
    for run in made.passes:
        cache.begin(slice(row, row + len(run.arms)), run.starts[0])
        lasts.append(suffixes(decoder, stimulus, [arms[arm] for arm in run.arms], run, cache))
        row += len(run.arms)
    del clean
    cache.resume(length)
    said: list[list[int]] = [[] for _ in arms]
    logits, running = decoder.unembed(torch.cat(lasts)), order
    while True:
        new = logits.argmax(-1)
        for arm, token in zip(running, new.tolist(), strict=True):
            said[arm].append(token)
        going = [row for row, arm in enumerate(running) if not decoding.ended(said[arm])]
        if not going:
            return said
        if len(going) < len(running):
            kept = torch.tensor(going, device=new.device)
            cache.keep(kept)
            new, running = new[kept], [running[row] for row in going]
        step = len(said[running[0]])
        hidden = decoder.stack(
            inputs_embeds=decoder.embed(new)[:, None],
            position_ids=(stimulus.position_ids[..., -1:] + step).expand(
                *stimulus.position_ids.shape[:-2], len(new), 1
            ),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        logits = decoder.unembed(hidden[:, -1])
