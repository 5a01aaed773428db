"""Where the words of a prompt stand: token sets from text.

A tokenizer does not tell which characters a position of a prompt holds once its image stands there
as hundreds of tokens. So positions are read back, text by text: what the ids up to each of them
decode to, as far as it agrees with the whole, is where its own characters begin.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vlmlib.errors import LackingError

# In the order in which most prompts have them.
SPANS = ("before", "image", "between", "question", "suffix", "after")


@dataclass(frozen=True)
class Run:
    """Positions that follow each other and are text.

    - `first`: the first of them; `text`: what all of them say; `starts`: where each one's own
      characters begin in it, and where the last one's end.

    !!! example

        >>> Run(4, "a dog", (0, 1, 5)).holding(2, 5)
        [5]
    """

    first: int
    text: str
    starts: Sequence[int]

    @classmethod
    def of(cls, first: int, ids: Sequence[int], tokenizer: Any) -> "Run":
        """What ids say that begin at a position.

        !!! example

            >>> tokenizer = vlm.processor.tokenizer
            >>> ids = tokenizer("a dog", add_special_tokens=False)["input_ids"]
            >>> Run.of(4, ids, tokenizer).text
            'a dog'
        """
        said = [_decoded(tokenizer, ids[:count]) for count in range(len(ids) + 1)]
        # until the last byte of a character is there it decodes to others, and takes along bytes
        # before it
        starts = accumulate((_alike(each, said[-1]) for each in said), max)
        return cls(first, said[-1], tuple(starts))

    def holding(self, start: int, end: int) -> list[int]:
        """The positions that hold any of the characters from one place in the text to another."""
        return [
            self.first + at
            for at, begins in enumerate(self.starts[:-1])
            if begins < end and self._end(at) > start
        ]

    def _end(self, at: int) -> int:
        """Where a position's characters end: of some bytes of one, where that does."""
        later = bisect_left(self.starts, self.starts[at] + 1, at + 1)
        return self.starts[later] if later < len(self.starts) else len(self.text)


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return (
        tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if len(ids)
        else ""
    )


def runs(ids: Int[Tensor, " seq"], image: range, tokenizer: Any) -> tuple[Run, Run]:
    """The text before an image and the text after it.

    !!! example

        >>> image = range(int(stimulus.visual[0]), int(stimulus.visual[-1]) + 1)
        >>> [each.text for each in runs(stimulus.input_ids, image, vlm.processor.tokenizer)]
        ['<s> USER: ', '\\nIs there a dog in this image? ASSISTANT:']
    """
    listed = ids.tolist()
    before = Run.of(0, listed[: image.start], tokenizer)
    return before, Run.of(image.stop, listed[image.stop :], tokenizer)


def found(text: str, within: Sequence[Run]) -> Iterator[list[int]]:
    """The positions of each occurrence of a text, in its order: where words begin and end, so that
    "hat" is not in "What".

    !!! example

        >>> list(found("a", [Run(4, "a cat, a", (0, 1, 5, 6, 8))]))
        [[4], [7]]
    """
    begin, end = (r"\b" if re.match(r"\w", side) else "" for side in (text[:1], text[-1:]))
    for run in within:
        for match in re.finditer(begin + re.escape(text) + end, run.text):
            yield run.holding(*match.span())


def spans_of(
    length: int, image: range, within: tuple[Run, Run], question: str, suffix: str
) -> dict[str, list[int]]:
    """The parts of a prompt by name, which make up all of its positions (see `Stimulus.spans`).

    **Raises:** `LackingError` where the question is not found as it was asked.

    !!! example

        >>> one, other = Run(0, "", (0,)), Run(2, "Hi? So", (0, 2, 3, 6))
        >>> parts = spans_of(5, range(2), (one, other), "Hi?", "")
        >>> parts["image"], parts["question"], parts["after"]
        ([0, 1], [2, 3], [4])
    """
    before, after = within
    run, at = after, after.text.find(question)
    if at < 0:
        run, at = before, before.text.rfind(question)
    if at < 0 or not question:
        raise LackingError(
            f"The question {question!r} is not in the prompt as its tokens say it: "
            f"{before.text!r}, the image, {after.text!r}. Ask for its words one by one, with "
            "stimulus.words, or ask it in letters that the tokenizer does not change."
        )
    asked, taken = run.holding(at, at + len(question)), {*image}
    own = {"image": [*image], "question": asked, "suffix": []}
    taken |= {*asked}
    if suffix:
        start = run.text.find(suffix, at + len(question))
        if start < 0:
            raise LackingError(
                f"The suffix {suffix!r} does not follow the question in {run.text!r}."
            )
        own["suffix"] = [
            each for each in run.holding(start, start + len(suffix)) if each not in taken
        ]
        taken |= {*own["suffix"]}
    ends = min(image.start, asked[0]), max(image.stop - 1, *asked, *own["suffix"])
    rest = [each for each in range(length) if each not in taken]
    own["before"] = [each for each in rest if each < ends[0]]
    own["after"] = [each for each in rest if each > ends[1]]
    own["between"] = [each for each in rest if ends[0] < each < ends[1]]
    return {name: own[name] for name in SPANS}


def as_tokens(found: Sequence[int], like: Int[Tensor, " token"]) -> Int[Tensor, " found"]:
    """Positions as a token set.

    !!! example

        >>> as_tokens([5, 3], stimulus.visual)
        tensor([3, 5])
    """
    return torch.tensor(sorted(found), dtype=like.dtype, device=like.device)
