"""Whether arms may share work on a stimulus: what a run's extent decides is asked at each new
extent, its length and its largest position id, which in pictures are two (M-RoPE).

Masks (of chunks) and what layers are given are compared by one pass of the model per extent. What
happens inside of attention (the best k of many positions) no mask shows, and rotary values may
change past some position id: where a number of the configuration lies between two lengths, or two
largest ids, both are tried on either side of it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from transformers import DynamicCache, PreTrainedModel

from vlmlib import oracle
from vlmlib.architecture import fitting
from vlmlib.batched import describe_each
from vlmlib.cache import kept_otherwise
from vlmlib.decoder import Decoder
from vlmlib.decoding import Decoding, describe
from vlmlib.errors import VLMWarning
from vlmlib.interventions import GENERATED, Ablate, Arm, Block
from vlmlib.selfcheck import (
    Given,
    arms_apart,
    close,
    failure_of,
    given,
    more_than_a_causal_stack,
    prefix_alone,
    tolerance,
    turns_at,
)
from vlmlib.sides import Extent, Side, Sides
from vlmlib.stimulus import Stimulus


@dataclass(frozen=True, eq=False)
class Sharing:
    """What was found about one model, extent by extent. `VLM` holds one.

    - `probe`: what arms were tried on when the model was wrapped.
    - `sides`: which extents are alike.
    - `longer`: reads a small image with a question that makes it at least so long.

    !!! example

        >>> from vlmlib.sides import Sides
        >>> sides = Sides.of_model(vlm.model)
        >>> sharing = Sharing(vlm.model, vlm.decoder, stimulus, sides, lambda length: stimulus)
        >>> sharing.on(stimulus), sharing.prefix_alone(stimulus), sharing.in_batch(stimulus, 64)
        (True, True, True)
        >>> sharing.why_not(stimulus)
    """

    model: PreTrainedModel
    decoder: Decoder
    probe: Stimulus
    sides: Sides
    longer: Callable[[int], Stimulus]
    _extents: dict[Extent, str | None] = field(default_factory=dict, repr=False)
    # by side: whether a prefix may run by itself, what parts arms, and what parts their texts
    _prefixes: dict[Side, bool] = field(default_factory=dict, repr=False)
    _arms: dict[Side, str | None] = field(default_factory=dict, repr=False)
    _texts: dict[Side, str | None] = field(default_factory=dict, repr=False)
    _batches: dict[int, bool] = field(default_factory=dict, repr=False)
    _stimuli: dict[Side, Stimulus] = field(default_factory=dict, repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self):
        self._arms[self.sides.of(Extent.of(self.probe))] = None

    def on(self, stimulus: Stimulus) -> bool:
        """Whether arms share work on a stimulus."""
        return self.why_not(stimulus) is None

    def why_not(self, stimulus: Stimulus) -> str | None:
        """Why arms do not share work on a stimulus; None where they do."""
        extent = Extent.of(stimulus)
        if extent not in self._extents:
            reason = self._reason(stimulus)
            self._warn("arms cannot share work on prompts of this length", extent.length, reason)
            self._extents[extent] = reason
        return self._extents[extent]

    def prefix_alone(self, stimulus: Stimulus) -> bool:
        """Whether a prefix of a stimulus on which arms share work may run by itself."""
        return self.on(stimulus) and self._prefixes[self.sides.of(Extent.of(stimulus))]

    def in_texts(self, stimulus: Stimulus, decoding: Decoding) -> bool:
        """Whether arms share work while they describe a stimulus."""
        tried = [stimulus, *self.grown(stimulus, decoding.max_new_tokens)]
        return all(self.on(each) and self._speaks(each, decoding) for each in tried)

    def grown(self, stimulus: Stimulus, new_tokens: int) -> list[Stimulus]:
        """Stimuli like one after so many more tokens, where that is on another side."""
        begin, probe = Extent.of(stimulus), Extent.of(self.probe)
        end = begin.longer(by=new_tokens)
        if self.sides.of(end) == self.sides.of(begin):
            return []
        missing = {end.length - probe.length, end.ids - probe.ids}
        return [self._longer(probe.longer(by)) for by in sorted(missing)]

    def in_batch(self, stimulus: Stimulus, last: int) -> bool:
        """Whether a row's rotary values are its own beside one that has come to position id
        `last`."""
        if last not in self._batches:
            first = torch.ones_like(stimulus.position_ids[..., :1, :1])
            # the short one last: there are rotary values that a long run leaves changed
            rows = turns_at(self.decoder, stimulus, torch.cat([first, first * last], -2))
            alone = turns_at(self.decoder, stimulus, first)
            self._batches[last] = all(
                close(rows[each][..., :1, :, :], alone[each]) for each in alone
            )
        return self._batches[last]

    def _longer(self, extent: Extent) -> Stimulus:
        """One stimulus for all extents of a side."""
        side = self.sides.of(extent)
        if side not in self._stimuli:
            self._stimuli[side] = self.longer(extent.length)
        return self._stimuli[side]

    def _reason(self, stimulus: Stimulus) -> str | None:
        """Why arms cannot share work on a stimulus, if so."""
        side = self.sides.of(Extent.of(stimulus))
        with fitting(self.model):
            seen = given(self.decoder, self.model, {**stimulus.inputs, "logits_to_keep": 1})
        reason = more_than_a_causal_stack(self.decoder, stimulus, seen)
        if reason is not None:
            return reason
        if side not in self._prefixes:
            reason = failure_of(lambda: self._try_prefix(side, stimulus, seen))
            if reason is not None:
                return reason
        if side not in self._arms:
            able = replace(self.decoder, prefix_alone=self._prefixes[side])
            self._arms[side] = arms_apart(self.model, able, stimulus)
        return self._arms[side]

    def _try_prefix(self, side: Side, stimulus: Stimulus, seen: Given) -> None:
        self._prefixes[side] = prefix_alone(self.decoder, stimulus, seen)

    def _speaks(self, stimulus: Stimulus, decoding: Decoding) -> bool:
        side = self.sides.of(Extent.of(stimulus))
        if side not in self._texts:
            short = Decoding(decoding.tokenizer, decoding.stop_ids, max_new_tokens=2)
            self._texts[side] = failure_of(lambda: self._texts_apart(stimulus, short))
            what = "arms cannot share work while they describe prompts of this length"
            self._warn(what, len(stimulus.embeddings), self._texts[side])
        return self._texts[side] is None

    def _texts_apart(self, stimulus: Stimulus, decoding: Decoding) -> str | None:
        """How first tokens differ from those of the model's own `generate`, if they do."""
        cache = DynamicCache(config=self.model.config.get_text_config(decoder=True))
        if own := kept_otherwise(cache):
            return f"a cache of its own ({own}) decides what is attended to as texts grow"
        decoder = replace(self.decoder, prefix_alone=self.prefix_alone(stimulus))
        room = len(stimulus.embeddings) + decoding.max_new_tokens
        zeros = torch.zeros_like(stimulus.embeddings[0])
        unseen = Block(stimulus.visual, to=GENERATED, layers=decoder.attending)
        arms: list[Arm] = [[], [Ablate(stimulus.visual, zeros)], [unseen]]
        said = describe(decoder, stimulus, arms, decoding, len(arms) * room)
        said += describe_each(decoder, [stimulus], [decoding], room)
        for arm, ids in zip([*arms, arms[0]], said, strict=True):
            logits = oracle.spoken(self.model, decoder, stimulus, arm, decoding.max_new_tokens)
            if _parted(ids, logits, tolerance(decoder.dtype)):
                return f"they say {ids}, where generate says {logits.argmax(-1).tolist()}"
        return None

    def _warn(self, what: str, length: int, reason: str | None) -> None:
        if reason is None or what in self._warned:
            return
        self._warned.add(what)
        warnings.warn(
            f"{type(self.model).__name__}: {what} (the first is of {length} positions), since "
            f"{reason}. Each arm runs by itself there: exact, but slow.",
            VLMWarning,
            stacklevel=6,
        )


def _parted(ids: list[int], logits: torch.Tensor, tolerance: float) -> bool:
    """Whether ids leave those of the largest logits at a step where these are not as good as
    tied."""
    for token, row in zip(ids, logits, strict=False):
        if token != int(row.argmax()):
            return float(row.max() - row[token]) > tolerance * float(row.abs().max())
    return len(ids) != len(logits)
