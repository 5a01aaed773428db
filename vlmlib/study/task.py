"""Tasks over examples: what each is asked, and what counts as an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vlmlib.interventions import Arm
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus
from vlmlib.study.example import Example
from vlmlib.tasks import VQA, Answer, Description, Polling


@runtime_checkable
class Task(Protocol):
    """What `measure` asks of every example. Any value with these three parts is one."""

    @property
    def name(self) -> str:
        """The name under which results are kept."""
        ...

    def read(self, vlm: VLM, example: Example) -> Stimulus | None:
        """What the model is asked; None for an example that is not asked."""
        ...

    def ask(
        self, vlm: VLM, example: Example, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> Sequence[Answer]:
        """What the model answers under every arm."""
        ...


@dataclass(frozen=True)
class Asking:
    """The task of asking each example a question of `vlmlib.tasks`.

    **Arguments:** a name; the question about an example, or None where it is not asked.

    !!! example

        >>> task = Asking("polling", lambda example: Polling(example.category))
        >>> example = Example("7", image, category="dog")
        >>> [answer.right for answer in task.ask(vlm, example, task.read(vlm, example), [[]])]
        [False]
    """

    name: str
    question: Callable[[Example], Description | Polling | VQA | None]

    def read(self, vlm: VLM, example: Example) -> Stimulus | None:
        question = self.question(example)
        return question.read(vlm, example.image) if question else None

    def ask(
        self, vlm: VLM, example: Example, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> list[Answer]:
        question = self.question(example)
        return question.ask(vlm, stimulus, arms) if question else []


def _first_question(example: Example) -> VQA | None:
    return VQA(example.questions[0], example.category) if example.questions else None


generative = Asking("generative", lambda example: Description(example.category))
polling = Asking("polling", lambda example: Polling(example.category))
vqa = Asking("VQA", _first_question)
