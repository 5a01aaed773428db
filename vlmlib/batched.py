"""Greedy description of many stimuli in one batch, whose rows leave when their texts end, and are
entered by others.

Every step has the same shape, all rows and all columns, whether a text stands in them or not: what
a row says then depends, bit for bit, on nothing but itself. So a run that was interrupted and goes
on among other neighbours says the same.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from vlmlib.cache import KeysAndValues, Slots
from vlmlib.decoder import Decoder
from vlmlib.decoding import Decoding
from vlmlib.engine import clean_run, reading_the_last_position
from vlmlib.finite import likeliest
from vlmlib.hooks import Edit, before
from vlmlib.masks import Mask, typed
from vlmlib.stimulus import Stimulus

# A row's columns are a multiple of this, so that prompts of nearly one length share a batch.
COLUMNS = 128


@torch.no_grad()
def describe_each(
    decoder: Decoder,
    stimuli: Sequence[Stimulus],
    decodings: Sequence[Decoding],
    max_tokens: int,
) -> list[list[int]]:
    """The ids that the model says about each stimulus when nothing is changed, greedily.

    Every prompt is read by itself; then texts go on together. A batch has as many rows as hold
    `max_tokens` positions, which the length of its prompts decides alone, not their number.

    !!! example

        >>> decoding = Decoding(vlm.processor.tokenizer, stop_ids=set(), max_new_tokens=5)
        >>> both = describe_each(vlm.decoder, [stimulus] * 2, [decoding] * 2, max_tokens=1000)
        >>> len(both[0]), both[0] == both[1]
        (5, True)
    """
    of_capacity = defaultdict(list)
    for text, (stimulus, decoding) in enumerate(zip(stimuli, decodings, strict=True)):
        of_capacity[_capacity(stimulus, decoding)].append(text)
    said: dict[int, list[int]] = {}
    for capacity, texts in of_capacity.items():
        batch = _Batch(decoder, max(1, max_tokens // capacity), capacity)
        with batch.masked():
            found = batch.stream([(stimuli[text], decodings[text]) for text in texts])
        said |= {texts[number]: ids for number, ids in found.items()}
    return [said[text] for text in range(len(stimuli))]


def _capacity(stimulus: Stimulus, decoding: Decoding) -> int:
    room = len(stimulus.embeddings) + decoding.max_new_tokens
    return -(-room // COLUMNS) * COLUMNS


class _Batch:
    """The rows in which texts are said, some of them idle; an idle row repeats its first column."""

    def __init__(self, decoder: Decoder, rows: int, capacity: int):
        self.decoder, self.capacity = decoder, capacity
        self.free = list(reversed(range(rows)))
        self.cache: Slots | None = None
        self.new = torch.zeros(rows, dtype=torch.long, device=decoder.device)
        self.at = torch.zeros_like(self.new)
        self.position_ids = self.new[:, None]
        self.masks: dict[int | None, Mask] = {}  # of the step that is under way

    def stream(self, asked: Sequence[tuple[Stimulus, Decoding]]) -> dict[int, list[int]]:
        """The ids of each text, by its number."""
        said: dict[int, list[int]] = {}
        waiting, speaking = list(reversed(range(len(asked)))), dict[int, int]()
        while waiting or speaking:
            while waiting and self.free:
                text = waiting.pop()
                stimulus, decoding = asked[text]
                first, clean = self._read(stimulus)
                said[text] = [first]
                if not decoding.ended(said[text]):
                    speaking[self._enter(stimulus, first, clean)] = text
            new = self._step() if speaking else []
            for row, text in list(speaking.items()):
                said[text].append(new[row])
                if asked[text][1].ended(said[text]):
                    self._leave(row)
                    del speaking[row]
        return said

    @contextmanager
    def masked(self) -> Iterator[None]:
        """While the context lasts, every layer gets the mask of its own window."""
        with ExitStack() as hooks:
            if any(self.decoder.windows):
                for layer, attention in self.decoder.attending.items():
                    masking = self._masking(self.decoder.windows[layer])
                    hooks.enter_context(before(attention, masking))
            yield

    def _masking(self, window: int | None) -> Edit:
        def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            # a prompt is read by itself, with the model's own masks
            return args, {**kwargs, "attention_mask": self.masks[window]} if self.masks else kwargs

        return edit

    def _mask(self, window: int | None) -> Mask:
        at, columns = self.at[:, None], torch.arange(self.capacity, device=self.at.device)
        allowed = columns <= at
        if window is not None:
            allowed &= columns > at - window
        return typed(allowed[:, None, None], self.decoder.dtype if self.decoder.eager else None)

    def _read(self, stimulus: Stimulus) -> tuple[int, list[KeysAndValues]]:
        """The first token after a prompt, and the keys and values that the prompt leaves."""
        with reading_the_last_position(self.decoder):
            clean, hidden = clean_run(self.decoder, stimulus, len(stimulus.embeddings))
        return int(likeliest(self.decoder.logits(hidden[:, -1]))), clean

    def _enter(self, stimulus: Stimulus, first: int, clean: list[KeysAndValues]) -> int:
        """Gives a text a row: its number."""
        row = self.free.pop()
        last = stimulus.position_ids[..., 0, -1:]
        if self.cache is None:
            rows = len(self.new)
            self.cache = Slots(clean, rows, self.capacity)
            self.position_ids = torch.zeros_like(last)[..., None, :].repeat_interleave(rows, -2)
        self.cache.enter(row, clean)
        self.new[row], self.at[row] = first, len(stimulus.embeddings)
        self.position_ids[..., row, :] = last + 1
        return row

    def _leave(self, row: int) -> None:
        self.free.append(row)
        self.new[row] = self.at[row] = 0
        self.position_ids[..., row, :] = 0

    def _step(self) -> list[int]:
        """Every row's next token."""
        assert self.cache is not None
        self.cache.at = self.at
        self.masks = {window: self._mask(window) for window in {*self.decoder.windows}}
        output = self.decoder.stack(
            inputs_embeds=self.decoder.embed(self.new)[:, None],
            position_ids=self.position_ids,
            attention_mask=self.masks[self.decoder.windows[0]],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.masks.clear()
        self.new = likeliest(self.decoder.logits(output.last_hidden_state[:, -1]))
        live = self.at > 0
        self.new, self.at = self.new * live, self.at + live
        self.position_ids = self.position_ids + live[:, None]
        return self.new.tolist()
