"""Where the authors' code departs from the paper's text: one override each, and nothing else.

Two departures are not measured: 4-bit weights (LLaVA-1.5, description and polling), and a knockout
that writes False into an additive mask, which does nothing at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from claims.neo2025.protocol import Question, Text
from vlmlib import (
    VLM,
    Answer,
    Description,
    ImageError,
    LackingError,
    Polling,
    Stimulus,
    integrated_gradients,
)
from vlmlib.architecture import PHI3_PROMPT
from vlmlib.interventions import Arm
from vlmlib.lens import Lens
from vlmlib.study import Example
from vlmlib.tasks import answers, decoded


@dataclass(frozen=True)
class Authors(Text):
    """What the authors' code does where it departs from the text."""

    name: str = "authors"
    crowds: bool = True  # nothing looks at `iscrowd`
    vqa_gradients: bool = True  # LLaVA-Phi's script alone has them, see `asked_for_gradients`

    def painted_out(
        self, stimulus: Stimulus, example: Example, generator: np.random.Generator
    ) -> Image.Image:
        """The picture as the model sees it, cropped and resized; each of the target's patches is
        filled with the same random tile."""
        pixels, cols = _seen(stimulus, example.image), stimulus.grid[1]
        side = len(pixels) // cols
        tile = generator.integers(0, 256, size=(side, side, 3), dtype=np.uint8)
        targets = torch.isin(stimulus.visual, self.object_tokens(stimulus, example))
        for patch in targets.nonzero()[:, 0].tolist():
            top, left = side * (patch // cols), side * (patch % cols)
            pixels[top : top + side, left : left + side] = tile
        return Image.fromarray(pixels)

    def object_tokens(self, stimulus: Stimulus, example: Example) -> Int[Tensor, " token"]:
        """The crop's side is divided by the grid's with integer division, so the grid drifts
        towards the far edge, and polygons are cut by dropping the vertices outside the crop."""
        rows, cols = stimulus.grid
        if rows != cols:
            raise LackingError(
                "The authors' code knows square grids of visual tokens only. Use --vlm-protocol "
                "text."
            )
        height, width = stimulus.image_size
        side = min(height, width)
        left, top, patch = (width - side) // 2, (height - side) // 2, side // cols
        if patch == 0:
            raise ImageError(
                f"An image of {width} x {height} pixels has less than one pixel per visual token, "
                "which the authors' code cannot place. Use --vlm-protocol text."
            )
        pixels = _cut(example, left, top, side)
        on_grid = pixels[: rows * patch, : cols * patch].reshape(rows, patch, cols, patch)
        patches = on_grid.any((1, 3))
        return stimulus.visual[torch.from_numpy(patches.ravel()).to(stimulus.visual.device)]

    def read(self, vlm: VLM, question: Question, image: Image.Image) -> Stimulus:
        """The request is "Describe this image."."""
        if isinstance(question, Description):
            return vlm.read(image, "Describe this image.")
        return super().read(vlm, question, image)

    def ask(
        self, vlm: VLM, question: Question, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> list[Answer]:
        """Polling is right if "yes" occurs in ten generated tokens; VQA if the name's first piece
        begins with the token said, so that an empty one is right; the probability is that of the
        token that the clean run says."""
        if isinstance(question, Description):
            return super().ask(vlm, question, stimulus, arms)
        logits = vlm.next_token(stimulus, arms)
        if isinstance(question, Polling):
            texts = vlm.describe(stimulus, arms, 10, until=lambda text: "yes" in text.lower())
            rights = ["yes" in text.lower() for text in texts]
        else:
            piece = decoded(vlm, vlm.first_token(stimulus, question.answer))
            rights = [piece.startswith(decoded(vlm, token)) for token in logits.argmax(-1).tolist()]
        return answers(vlm, logits, rights, int(logits[0].argmax()))

    def asked_for_gradients(self, vlm: VLM, example: Example, task: str = "") -> Stimulus:
        """The question says "this image". On LLaVA-Phi, which is known by its prompt, VQA's
        gradients are taken on VQA's own prompt; its target stays "Yes"."""
        question = self.question(task, example) if task else None
        if question and vlm.prompt == PHI3_PROMPT:
            return self.read(vlm, question, example.image)
        return vlm.read(example.image, f"Is there a {example.category} in this image?")

    def attributions(
        self, vlm: VLM, stimulus: Stimulus, mean: Float[Tensor, " d_model"]
    ) -> list[float]:
        """The target is the first id that "Yes" is encoded to, the begin-of-sequence token where
        there is one; the baseline spans one token past the image; absolute values are summed; the
        50 steps include both ends."""
        spanned = _one_more(stimulus)
        target = vlm.processor.tokenizer.encode("Yes")[0]
        found = integrated_gradients(vlm, spanned, target, mean, self.steps, rule="ends")
        return found.absolute.tolist()

    def most_attributed(
        self, stimulus: Stimulus, scores: Sequence[float], k: int | Int[Tensor, " like"]
    ) -> Int[Tensor, " selected"]:
        """Ranked over all positions; only those that the baseline spans have attributions other
        than zero."""
        return super().most_attributed(_one_more(stimulus), scores, k)

    def lens(self, vlm: VLM, stimulus: Stimulus, token_id: int, arm: Arm = ()) -> Lens:
        """The last hidden state, which is normed already, is normed once more."""
        lens = super().lens(vlm, stimulus, token_id, arm)
        assert lens.rank is not None
        assert lens.probability is not None
        hidden = vlm.hidden_states(stimulus, stimulus.visual, arm)[-1]
        logits = vlm.head(vlm.decoder.norm(vlm.decoder.norm(hidden))).float()
        probabilities = logits.softmax(-1)
        lens.top_ids[-1] = logits.argmax(-1)[:, None]
        lens.top_probabilities[-1] = probabilities.amax(-1)[:, None]
        lens.rank[-1] = (logits > logits[:, [token_id]]).sum(-1)
        lens.probability[-1] = probabilities[:, token_id]
        return lens


AUTHORS = Authors()


def _seen(stimulus: Stimulus, image: Image.Image) -> UInt8[np.ndarray, "side side colour"]:
    """The pixels that the model sees of an image."""
    as_they_are = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    pixels = np.asarray(stimulus.image_processor(image, **as_they_are)["pixel_values"])
    if pixels.ndim != 4 or len(pixels) != 1 or pixels.shape[2] != pixels.shape[3]:
        raise LackingError(
            f"The authors' code paints on one square picture; this model's processor makes pixel "
            f"values of shape {pixels.shape}. Use --vlm-protocol text."
        )
    return pixels[0].transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)


def _cut(example: Example, left: int, top: int, side: int) -> Bool[np.ndarray, "side side"]:
    """The target's pixels in a square crop, its polygons without the vertices outside."""
    if not example.polygons:
        return example.mask[top : top + side, left : left + side]
    region = Image.new("1", (side, side))
    for polygon in example.polygons:
        corners = [(x - left, y - top) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        inside = [(x, y) for x, y in corners if 0 <= x < side and 0 <= y < side]
        if len(inside) > 1:
            ImageDraw.Draw(region).polygon(inside, fill=1)
    return np.array(region)


def _one_more(stimulus: Stimulus) -> Stimulus:
    """The stimulus as if one token past the image were visual, too."""
    return replace(stimulus, visual=torch.cat([stimulus.visual, stimulus.visual[-1:] + 1]))
