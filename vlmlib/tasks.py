"""The paper's tasks: what a model is asked, and when its next token counts as right."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus


@dataclass(frozen=True)
class Polling:
    """Binary polling (section 3): "Is there a dog in this image?".

    Right if the next token says yes where the object is present, no where it is absent, in any case and spacing. A
    token that says neither is wrong.

    !!! example

        >>> Polling("dog").question
        'Is there a dog in this image?'
    """

    category: str
    present: bool = True

    @property
    def question(self) -> str:
        return f"Is there a {self.category} in this image?"

    def read(self, vlm: VLM, image: Image.Image) -> Stimulus:
        """The stimulus of this question about an image."""
        return vlm.read(image, self.question)

    def correct(self, vlm: VLM, stimulus: Stimulus, logits: Float[Tensor, "arm vocab"]) -> Bool[Tensor, " arm"]:
        """Whether each arm's most likely next token is the right one."""
        said = [text.strip().lower() for text in _decoded(vlm, logits)]
        return torch.tensor([text == ("yes" if self.present else "no") for text in said], dtype=torch.bool)


@dataclass(frozen=True)
class VQA:
    """Visual question answering (section 3): "What is on the bed?", the answer prefilled with "It is a".

    Right if the next token is the first piece of the answer. An empty piece is never right.

    !!! example

        >>> VQA("What is on the bed?", "dog").prefill
        'It is a'
    """

    question: str
    answer: str
    prefill: str = "It is a"

    def read(self, vlm: VLM, image: Image.Image) -> Stimulus:
        """The stimulus of this question about an image, prefill included."""
        return vlm.read(image, self.question, self.prefill)

    def correct(self, vlm: VLM, stimulus: Stimulus, logits: Float[Tensor, "arm vocab"]) -> Bool[Tensor, " arm"]:
        """Whether each arm's most likely next token is the right one."""
        right = vlm.first_token(stimulus, self.answer)
        says_something = torch.tensor([bool(text.strip()) for text in _decoded(vlm, logits)], dtype=torch.bool)
        return (logits.argmax(-1) == right).cpu() & says_something


def _decoded(vlm: VLM, logits: Float[Tensor, "arm vocab"]) -> list[str]:
    return [vlm.processor.tokenizer.decode([token]) for token in logits.argmax(-1).tolist()]
