"""The paper's tasks (section 3): what a model is asked about an image, and when what it says counts
as right.

Every task has a `question`, makes the stimulus of an image with `read`, and judges with `correct`:
`Polling` and `VQA` the next token of every arm (`VLM.next_token`), `Description` its text
(`VLM.describe`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from vlmlib.errors import VLMError
from vlmlib.interventions import Arm
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus


@dataclass(frozen=True)
class Answer:
    """What a model answers under one arm.

    - `right`: whether it counts as right; None where a task has no right answer.
    - `probability`: of the right answer's first token; None where texts are compared.
    - `lead`: by how much the likeliest token's logit is above the next one's; None for texts.
    """

    text: str
    right: bool | None = None
    probability: float | None = None
    lead: float | None = None


@dataclass(frozen=True)
class Description:
    """Generative description: "Describe the image." Right if the text names the category.

    The paper prints the request without a period; its authors' code ends theirs with one.

    - `match="verbatim"`, the paper's: the name occurs in the text as it is written, even within
        another word.
    - `match="word"`: of all names in `categories` that end somewhere in the text, the longest is
      this one. So a "teddy bear" is no "bear", and a "beard" none either. Names begin and end where
      words do (letters, digits and underscores make a word, so "bears" is no "bear"), in upper or
      lower case.

    **Raises:** `VLMError` for another way to match.

    !!! example

        >>> Description("bear").correct(["A teddy bear."]).tolist()
        [True]
        >>> task = Description("bear", categories=("bear", "teddy bear"), match="word")
        >>> task.correct(["A teddy bear.", "A bear."]).tolist()
        [False, True]
        >>> texts = vlm.describe(task.read(vlm, image), [[]], max_new_tokens=5, until=task.decided)
    """

    category: str
    categories: Sequence[str] = ()
    match: str = "verbatim"

    def __post_init__(self) -> None:
        if self.match not in ("verbatim", "word"):
            raise VLMError(
                f'Description was asked to match {self.match!r}. Ask for "verbatim" or "word".'
            )

    @property
    def question(self) -> str:
        return "Describe the image."

    def read(self, vlm: VLM, image: Image.Image) -> Stimulus:
        """The stimulus of this question about an image."""
        return vlm.read(image, self.question)

    def correct(self, texts: Sequence[str]) -> Bool[Tensor, " arm"]:
        """Whether each arm's text names the category."""
        return torch.tensor([self._names(text, r"(?!\w)") for text in texts], dtype=torch.bool)

    def ask(
        self, vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm], max_new_tokens: int = 200
    ) -> list[Answer]:
        """What the model says under every arm, up to where its answer is decided."""
        texts = vlm.describe(stimulus, arms, max_new_tokens, until=self.decided)
        return [self.answer(text) for text in texts]

    def answer(self, text: str) -> Answer:
        """A text as an answer."""
        return Answer(text, bool(self.correct([text])))

    def decided(self, text: str) -> bool:
        """Whether a text names the category however it goes on: when to stop, for
        `VLM.describe(until=...)`."""
        # a word may go on where the text breaks off, also within a letter's bytes, which then
        # decode to U+FFFD
        return self._names(text, r"(?=[^\w\ufffd])")

    def _names(self, text: str, end: str) -> bool:
        if self.match == "verbatim":
            return self.category in text
        longer = [each for each in self.categories if len(each) > len(self.category)]
        unless = "".join(rf"(?<!(?<!\w){re.escape(each)})" for each in longer)
        return bool(
            re.search(rf"(?<!\w){re.escape(self.category)}{unless}{end}", text, re.IGNORECASE)
        )


def describe_each(
    vlm: VLM, asked: Sequence[tuple[Description, Stimulus]], max_new_tokens: int = 200
) -> list[Answer]:
    """What the model says about each of many stimuli, decoded in one batch, each up to where its
    answer is decided.

    !!! example

        >>> task = Description("dog")
        >>> describe_each(vlm, [(task, task.read(vlm, image))], max_new_tokens=5)[0].right
        False
    """
    untils = [task.decided for task, _ in asked]
    texts = vlm.describe_each([each for _, each in asked], max_new_tokens, untils)
    return [task.answer(text) for (task, _), text in zip(asked, texts, strict=True)]


@dataclass(frozen=True)
class Polling:
    """Binary polling: "Is there a dog in this image?".

    Right if the next token says yes where the object is present, no where it is absent, in any case
    and spacing. A token that says neither is wrong.

    !!! example

        >>> task = Polling("dog")
        >>> task.question
        'Is there a dog in this image?'
        >>> stimulus = task.read(vlm, image)
        >>> task.answers(vlm, vlm.next_token(stimulus, [[]]))
        ['neither']
    """

    category: str
    present: bool = True

    @property
    def question(self) -> str:
        return f"Is there a {self.category} in this image?"

    def read(self, vlm: VLM, image: Image.Image) -> Stimulus:
        """The stimulus of this question about an image."""
        return vlm.read(image, self.question)

    def answers(self, vlm: VLM, logits: Float[Tensor, "arm vocab"]) -> list[str]:
        """What each arm's most likely next token says: "yes", "no" or "neither"."""
        said = [text.strip().lower() for text in _decoded(vlm, logits)]
        return [text if text in ("yes", "no") else "neither" for text in said]

    def correct(
        self, vlm: VLM, stimulus: Stimulus, logits: Float[Tensor, "arm vocab"]
    ) -> Bool[Tensor, " arm"]:
        """Whether each arm's most likely next token is the right one."""
        right = "yes" if self.present else "no"
        return torch.tensor([said == right for said in self.answers(vlm, logits)], dtype=torch.bool)

    def ask(self, vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm]) -> list[Answer]:
        """The likeliest next token under every arm, and the probability of the right one."""
        logits = vlm.next_token(stimulus, arms)
        right = vlm.first_token(stimulus, "Yes" if self.present else "No")
        return answers(vlm, logits, self.correct(vlm, stimulus, logits).tolist(), right)


@dataclass(frozen=True)
class VQA:
    """Visual question answering: "What is on the bed?", the answer prefilled with "It is a".

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

    def correct(
        self, vlm: VLM, stimulus: Stimulus, logits: Float[Tensor, "arm vocab"]
    ) -> Bool[Tensor, " arm"]:
        """Whether each arm's most likely next token is the right one."""
        right = vlm.first_token(stimulus, self.answer)
        says_something = torch.tensor(
            [bool(text.strip()) for text in _decoded(vlm, logits)], dtype=torch.bool
        )
        return (logits.argmax(-1) == right).cpu() & says_something

    def ask(self, vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm]) -> list[Answer]:
        """The likeliest next token under every arm, and the probability of the right one."""
        logits = vlm.next_token(stimulus, arms)
        right = vlm.first_token(stimulus, self.answer)
        return answers(vlm, logits, self.correct(vlm, stimulus, logits).tolist(), right)


def answers(
    vlm: VLM, logits: Float[Tensor, "arm vocab"], rights: Sequence[bool], token: int
) -> list[Answer]:
    """The likeliest token of each arm as an answer, with the probability of one token.

    !!! example

        >>> logits = vlm.next_token(stimulus, [[]])
        >>> answers(vlm, logits, [True], int(logits[0].argmax()))[0].right
        True
    """
    probabilities = logits.float().softmax(-1)[:, token].tolist()
    texts = [decoded(vlm, token) for token in logits.argmax(-1).tolist()]
    first, second = logits.float().topk(2).values.T
    leads = (first - second).tolist()
    return [Answer(*each) for each in zip(texts, rights, probabilities, leads, strict=True)]


def decoded(vlm: VLM, token: int) -> str:
    """The text of one token, without space around it.

    !!! example

        >>> decoded(vlm, vlm.first_token(stimulus, "book"))
        'book'
    """
    return vlm.processor.tokenizer.decode([token]).strip()


def _decoded(vlm: VLM, logits: Float[Tensor, "arm vocab"]) -> list[str]:
    return [vlm.processor.tokenizer.decode([token]) for token in logits.argmax(-1).tolist()]
