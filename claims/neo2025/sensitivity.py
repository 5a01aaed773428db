"""Protocols that change one thing each of the text's, to see which verdicts hang on it; and all
protocols by name."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import TEXT, Question, Text
from claims.neo2025.windows import ONE_BASED
from fixtures.filtered import Images
from vlmlib import VLM, VQA, Description, Polling, Stimulus, VLMError
from vlmlib.study import Example, Scene


@dataclass(frozen=True)
class Zero(Text):
    """A token that is ablated becomes the zero vector."""

    name: str = "zero"

    def stand_in(self, scene: Scene) -> Float[Tensor, "*position d_model"]:
        return torch.zeros_like(scene.mean)


@dataclass(frozen=True)
class AnotherImage(Text):
    """A token that is ablated becomes the one at the same place of another image.

    That is the next image of the data set that does not show the target's category, the first one
    after the last; it is stretched to the size of this one, so that their grids agree.
    """

    name: str = "another-image"

    def prepared(self, images: Images) -> list[Example]:
        """**Raises:** `VLMError` where every image shows the target's category."""
        examples = images.examples
        return [
            example.knowing(other=_other(example, [*examples[at + 1 :], *examples[:at]]))
            for at, example in enumerate(examples)
        ]

    def stand_in(self, scene: Scene) -> Float[Tensor, "*position d_model"]:
        """**Raises:** `VLMError` for an example that knows of no other."""
        example, stimulus = scene.example, scene.stimulus
        if "other" not in example.known:
            raise VLMError(
                f"Nothing is known of an image beside {example.id!r}, whose tokens would take the "
                "place of its own. Give it one: example.knowing(other=...)."
            )
        stretched = example.known["other"].image.resize(example.image.size)
        read = scene.vlm.read(stretched, "")
        value = stimulus.embeddings.clone()
        value[stimulus.visual] = read.embeddings[read.visual]
        return value


@dataclass(frozen=True)
class Rewording(Text):
    """Every question is asked in other words; the user's own, of VQA, after an introduction."""

    name: str = "rewording"

    def read(self, vlm: VLM, question: Question, image: Image.Image) -> Stimulus:
        match question:
            case Description():
                return vlm.read(image, "What does this picture show?")
            case Polling():
                return vlm.read(image, _polled(question.category))
            case VQA():
                asked = f"Look at this picture. {question.question}"
                return vlm.read(image, asked, question.prefill)

    def asked_for_gradients(self, vlm: VLM, example: Example, task: str = "") -> Stimulus:
        return vlm.read(example.image, _polled(example.category))


@dataclass(frozen=True)
class Word(Text):
    """A description names a category where it holds its name as a word of its own, which is no part
    of another category's, in any case: "bed" not in "described", "bear" not in "teddy bear"."""

    name: str = "word"

    def prepared(self, images: Images) -> list[Example]:
        return [each.knowing(categories=list(images.categories)) for each in images.examples]

    def question(self, task: str, example: Example) -> Question | None:
        if task != "generative":
            return super().question(task, example)
        return Description(example.category, example.known["categories"], match="word")


ONE_CHANGED: tuple[Text, ...] = (
    Text("one-based", windows=ONE_BASED),
    Zero(),
    AnotherImage(),
    Text("three-draws", draws=3),
    Rewording(),
    Word(),
)
PROTOCOLS: dict[str, Text] = {each.name: each for each in (TEXT, AUTHORS, *ONE_CHANGED)}


def _other(example: Example, others: list[Example]) -> Example:
    for other in others:
        if all(each.category != example.category for each in other.objects):
            return other
    raise VLMError(
        f"No other image is without {example.category!r}, which image {example.id} shows, so none "
        "can lend it tokens. Use a data set with more categories, or more images of it."
    )


def _polled(category: str) -> str:
    return f"Does this picture show a {category}?"
