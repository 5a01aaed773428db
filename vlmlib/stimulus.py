"""One prompt with one image, as the language model receives it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vlmlib.errors import ImageError, LackingError, VLMError
from vlmlib.geometry import Grid, covered_patches
from vlmlib.spans import Run, as_tokens, found, runs, spans_of


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What `VLM.read` returns: the input of the language model and where the image stands in it.

    - `prompt`: the text, with one image token standing for the image.
    - `inputs`: what the processor made of image and prompt, as the model is called with it.
    - `embeddings`: `[seq, d_model]`, text embeddings and the adapter's output.
    - `position_ids`: as the language model received them, a leading batch axis of one included.
    - `visual`: `[token]`, positions of the visual tokens, in row-major order of the grid, view by
        view.
    - `grids`: (rows, columns) of the visual tokens of each view; `unplaced`: why it is not known
        where they are, "" where it is.
    - `injected`: by layer what the model adds to the hidden states before it, beside what the layer
        below gives: features of the image, in some models.
    - `image_size`: (height, width) of the original image, in pixels.
    - `question`: the part of the prompt that was asked; `suffix`: an instruction after it.
    - `tokenizer`: what turned the prompt into tokens.
    """

    prompt: str
    inputs: Mapping[str, Tensor] = field(repr=False)
    embeddings: Float[Tensor, "seq d_model"] = field(repr=False)
    position_ids: Int[Tensor, "*axes seq"] = field(repr=False)
    visual: Int[Tensor, " token"]
    grids: Sequence[Grid]
    image_size: tuple[int, int]
    image_processor: Callable[..., Any] = field(repr=False)
    unplaced: str = field(default="", repr=False)
    injected: Mapping[int, Float[Tensor, "seq d_model"]] = field(default_factory=dict, repr=False)
    question: str = ""
    suffix: str = ""
    tokenizer: Any = field(default=None, repr=False)

    @property
    def input_ids(self) -> Int[Tensor, " seq"]:
        """The token of every position, the image token once per visual token."""
        return self.inputs["input_ids"][0]

    @property
    def image(self) -> range:
        """The positions from the first visual token to the last, with all that marks rows, tiles
        and views between them."""
        held = (self.input_ids == self.input_ids[self.visual[0]]).nonzero()[:, 0].tolist()
        return range(held[0], held[-1] + 1)

    @property
    def last(self) -> int:
        """The last token position, whose logits predict the next token."""
        return len(self.embeddings) - 1

    @property
    def views(self) -> list[Int[Tensor, "_ _"]]:
        """The positions of the visual tokens of each view on its grid: of the picture, or of the
        tiles that the model sees of it.

        **Raises:** `LackingError` where it is not known where this model's visual tokens are.

        !!! example

            >>> [whole] = stimulus.views
            >>> whole.shape
            torch.Size([4, 4])
        """
        if self.unplaced:
            raise LackingError(self.unplaced)
        sizes = [rows * cols for rows, cols in self.grids]
        parts = self.visual.split(sizes)
        return [part.unflatten(0, grid) for part, grid in zip(parts, self.grids, strict=True)]

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the visual tokens of a picture that is seen in one view.

        **Raises:** `LackingError` where there are several, and as `views`.
        """
        shapes = [tuple(view.shape) for view in self.views]
        if len(shapes) != 1:
            raise LackingError(
                f"This image is seen in {len(shapes)} views, each with a grid of visual tokens of "
                "its own. Ask for stimulus.views."
            )
        return self.grids[0]

    def tokens_of(self, mask: Bool[np.ndarray, "height width"]) -> Int[Tensor, " token"]:
        """The visual tokens that a region of the original image falls on.

        In every view that shows it. The mask runs through the model's own image processor, so that
        resizing and cropping need no second implementation; a token belongs to the region if some
        processed pixel of its patch is at least half covered.

        **Arguments:** `mask`: bool `[height, width]` of the original image.

        **Returns:** ascending positions in the sequence; none where the region was empty or cropped
        away.

        **Raises:** `VLMError` if the mask is not of the image's size, and as `views`.

        !!! example

            >>> import numpy as np
            >>> whole = np.ones(stimulus.image_size, bool)
            >>> len(stimulus.tokens_of(whole)) == len(stimulus.visual)
            True
        """
        if mask.shape != self.image_size or mask.dtype != np.bool_:
            raise ImageError(
                f"tokens_of was given a mask of shape {mask.shape} and type {mask.dtype}; this "
                f"image needs a boolean mask [height, width] of shape {self.image_size}, one "
                "entry per pixel of the original image."
            )
        views = self.views
        covered = covered_patches(self.image_processor, mask, self.grids)
        return torch.cat(
            [
                view[torch.from_numpy(part).to(view.device)]
                for view, part in zip(views, covered, strict=True)
            ]
        )

    def words(self, text: str, nth: int = 0) -> Int[Tensor, " token"]:
        """The tokens of some words of the prompt: those that hold any of their characters.

        Words begin and end where words do: "hat" is not in "What".

        **Arguments:** a text, in the letters in which it was asked; which of its occurrences, from
        0; -1 is the last.

        **Returns:** ascending positions in the sequence.

        **Raises:** `VLMError` where the prompt does not hold it so often.

        !!! example

            >>> stimulus.tokenizer.decode(stimulus.input_ids[stimulus.words("dog")])
            'dog'
        """
        every = list(found(text, self._runs))
        if not text.strip() or not -len(every) <= nth < len(every):
            before, after = self._runs
            raise VLMError(
                f"{text!r} is {len(every)} times in the prompt, {before.text!r}, the image, "
                f"{after.text!r}; number {nth} of its occurrences was asked for, from 0. Ask for "
                "whole words as the prompt has them."
            )
        return as_tokens(every[nth], self.visual)

    @property
    def spans(self) -> dict[str, Int[Tensor, " token"]]:
        """The parts of the prompt, which together are all of its positions, each once: "before" the
        image (system text, and whose turn it is), "image" (see `image`), "between" it and the
        question, "question", "suffix" and "after" these (whose turn it is, and a prefill).

        **Raises:** `VLMError` where the question is not found in the prompt as it was asked.

        !!! example

            >>> {name: len(tokens) for name, tokens in stimulus.spans.items()}
            {'before': 4, 'image': 16, 'between': 2, 'question': 8, 'suffix': 0, 'after': 2}
        """
        parts = spans_of(len(self.embeddings), self.image, self._runs, self.question, self.suffix)
        return {name: as_tokens(each, self.visual) for name, each in parts.items()}

    @property
    def _runs(self) -> tuple[Run, Run]:
        return runs(self.input_ids, self.image, self.tokenizer)
