"""Greedy description under many arms at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig

from vlmlib.cache import Branches
from vlmlib.decoder import Decoder
from vlmlib.engine import clean_run, generating, pass_size, suffixes
from vlmlib.errors import VLMError
from vlmlib.finite import NOT_FINITE, likeliest
from vlmlib.interventions import Arm, first_affected
from vlmlib.plan import plan
from vlmlib.stimulus import Stimulus

Hidden = Float[Tensor, "row d_model"]
# A text ends once it holds this string, or once this function of it is true.
Until = str | Callable[[str], bool] | None

# Settings of generation that change a greedy text, each with the values that leave it plain, as
# None does. A model that has others is not described; tests/vlmlib/test_greedy.py has the rest.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    # what else than the likeliest token is taken
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "constraints": ([],),
    "force_words_ids": ([],),
    # what is done to the logits first
    "guidance_scale": (1.0,),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "bad_words_ids": ([],),
    "sequence_bias": ([], {}),
    "watermarking_config": ({},),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    # where a text begins and ends, apart from eos_token_id
    "token_healing": (False,),
    "stop_strings": ([], ""),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "exponential_decay_length_penalty": (),
    "max_time": (),
    # in how many bits keys and values are kept
    "cache_implementation": (
        "dynamic",
        "static",
        "sliding_window",
        "hybrid",
        "offloaded",
        "offloaded_static",
    ),
}


@dataclass(frozen=True)
class Decoding:
    """When a greedy text ends: at a stop id, at `max_new_tokens`, once `until` holds, or where the
    logits are not finite."""

    tokenizer: Any
    stop_ids: set[int]
    max_new_tokens: int
    until: Until = None

    def text(self, ids: list[int]) -> str:
        """The text of new tokens, without special ones.

        !!! example

            >>> tokenizer = vlm.processor.tokenizer
            >>> Decoding(tokenizer, set(), 5).text(tokenizer("a dog")["input_ids"])
            'a dog'
        """
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def ended(self, ids: list[int]) -> bool:
        """Whether no further token is wanted."""
        if ids[-1] in self.stop_ids or ids[-1] == NOT_FINITE or len(ids) >= self.max_new_tokens:
            return True
        if self.until is None:
            return False
        if isinstance(self.until, str):
            return self.until in self.text(ids)
        return self.until(self.text(ids))


def check_greedy(settings: GenerationConfig | None) -> None:
    """Raise a `VLMError` where a model's own generation settings change a text, as plain greedy
    decoding does not.

    !!! example

        >>> check_greedy(GenerationConfig(repetition_penalty=1.0))
    """
    for name, value in settings_that_count(settings).items():
        raise VLMError(
            f"The model's generation_config has {name}={value}, which greedy description does not "
            f"apply. Set vlm.model.generation_config.{name} = None, or take it out of "
            "generation_config.json, to describe without it."
        )


def settings_that_count(settings: GenerationConfig | None) -> dict[str, str]:
    """A model's own generation settings that change a greedy text, as they are written.

    !!! example

        >>> settings_that_count(GenerationConfig(num_beams=4, temperature=0.7))
        {'num_beams': '4'}
    """
    values = {name: getattr(settings, name, None) for name in NEUTRAL}
    return {
        name: repr(value)
        for name, value in values.items()
        if value is not None and value not in NEUTRAL[name]
    }


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
        >>> arms = [[], [Ablate([9], torch.zeros(16))]]
        >>> [len(ids) for ids in describe(vlm.decoder, stimulus, arms, decoding, max_tokens=1000)]
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
    capacity = len(stimulus.embeddings) + decoding.max_new_tokens
    order, hidden, cache = _read(decoder, stimulus, arms, capacity, max_tokens)
    said = _speak(decoder, stimulus, [arms[arm] for arm in order], hidden, cache, decoding)
    return [said[order.index(arm)] for arm in range(len(arms))]


def _read(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], capacity: int, max_tokens: int
) -> tuple[list[int], Hidden, Branches]:
    """Run every arm over the prompt.

    **Returns:** the arms in the order of their rows, and for each row the last position's hidden
    states and the keys and values, with room for up to `capacity` positions.
    """
    length = len(stimulus.embeddings)
    # an arm that changes nothing recomputes the last position, whose output the clean prefix may
    # not have
    starts = [min(first_affected(arm, length), length - 1) for arm in arms]
    made = plan(starts, length, pass_size(decoder, max_tokens), pack=False)
    clean, _ = clean_run(decoder, stimulus, max(made.shared, 1))
    cache = Branches(clean, len(arms), capacity)
    order: list[int] = []
    lasts = []
    for run in made.passes:
        cache.begin(slice(len(order), len(order) + run.rows), run.starts[0])
        lasts.append(suffixes(decoder, stimulus, [arms[arm] for arm in run.arms], run, cache))
        order += run.arms
    cache.resume(length)
    return order, torch.cat(lasts), cache


def _speak(
    decoder: Decoder,
    stimulus: Stimulus,
    arms: Sequence[Arm],
    hidden: Hidden,
    cache: Branches,
    decoding: Decoding,
) -> list[list[int]]:
    """What each arm says after its prompt, token by token; arms that have ended leave the batch."""
    said: list[list[int]] = [[] for _ in arms]
    running = list(range(len(arms)))
    for step in count(1):
        new = likeliest(decoder.logits(hidden))
        for arm, token in zip(running, new.tolist(), strict=True):
            said[arm].append(token)
        going = [row for row, arm in enumerate(running) if not decoding.ended(said[arm])]
        if not going:
            break
        if len(going) < len(running):
            kept = torch.tensor(going, device=new.device)
            cache.keep(kept)
            new, running = new[kept], [running[row] for row in going]
        with generating(decoder, [arms[arm] for arm in running], cache.get_seq_length()):
            hidden = _next(decoder, stimulus, new, step, cache)
    return said


def _next(
    decoder: Decoder, stimulus: Stimulus, new: Int[Tensor, " row"], step: int, cache: Branches
) -> Hidden:
    """The hidden states of each row's new token, which stands `step` positions past the prompt."""
    position_ids = stimulus.position_ids[..., -1:] + step
    output = decoder.stack(
        inputs_embeds=decoder.embed(new)[:, None],
        position_ids=position_ids.expand(*position_ids.shape[:-2], len(new), 1),
        past_key_values=cache,
        use_cache=True,
    )
    return output.last_hidden_state[:, -1]
