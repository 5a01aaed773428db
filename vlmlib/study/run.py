"""One example under all arms of a design: what a measurement does."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from vlmlib.errors import VLMError
from vlmlib.interventions import Arm, touched
from vlmlib.model import VLM
from vlmlib.study.example import Example
from vlmlib.study.row import Row
from vlmlib.study.scene import Design, Scene
from vlmlib.study.task import Task
from vlmlib.tasks import Answer

Keep = Callable[[Row], bool | None]


def is_right(clean: Row) -> bool | None:
    """Whether the clean run is right: only then has an example something to lose.

    !!! example

        >>> is_right(Row("clean", right=True))
        True
    """
    return clean.right


def run(
    vlm: VLM,
    mean: Float[Tensor, " d_model"],
    example: Example,
    task: Task,
    design: Design,
    keep: Keep,
    seed: int,
) -> list[Row]:
    """The rows of an example: the clean run, then every arm of the design.

    None where the task does not ask about it; the clean run alone where `keep` is false of that.

    **Raises:** `VLMError` for a design that calls an arm of its own "clean".

    !!! example

        >>> from vlmlib.study import polling
        >>> nothing = lambda scene: {"nothing": []}
        >>> example = Example("7", image, category="dog")
        >>> rows = run(vlm, torch.zeros(16), example, polling, nothing, lambda clean: True, seed=0)
        >>> [row.arm for row in rows]
        ['clean', 'nothing']
    """
    stimulus = task.read(vlm, example)
    if stimulus is None:
        return []
    [clean] = task.ask(vlm, example, stimulus, [[]])
    visual = len(stimulus.visual)
    rows = [Row("clean", clean.right, clean.probability, 0, clean.text, {"visual": visual})]
    if not keep(rows[0]):
        return rows
    tokens = stimulus.tokens_of(example.mask) if example.targets else stimulus.visual[:0]
    arms = design(Scene(vlm, stimulus, example, tokens, mean, (seed, example.number)))
    if "clean" in arms:
        raise VLMError(
            f"The design of {task.name} has an arm 'clean', which is the name of the run that "
            "changes nothing. Give the arm another name."
        )
    answers = task.ask(vlm, example, stimulus, [[], *arms.values()])[1:]
    return rows + [_row(*each) for each in zip(arms, arms.values(), answers, strict=True)]


def _row(name: str, arm: Arm, answer: Answer) -> Row:
    return Row(name, answer.right, answer.probability, len(touched(arm)), answer.text)
