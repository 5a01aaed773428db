"""Arms block the edges that their names say, and questions are patched from the picture that they
should be.

Fails if parts of the text do not make it up, if a route ends elsewhere, if a donor shows what it
should not, or if a margin is not that of the model's own logits.
"""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from claims.route_by_task import arms
from claims.route_by_task.asked import ABSENT, NAMING, SCALE, SHOWN, Told
from claims.route_by_task.sample import WITH, WITHOUT, asked_of, with_donors
from fixtures.models import SHIPPED
from tests.tiny import deep_vlm, picture, tiny_vlm
from vlmlib import VLM, Ablate, Block, LackingError
from vlmlib.study import Example, Object, Scene

SIZE = picture().height, picture().width
CORNER = [[0, 0, 9, 0, 9, 9, 0, 9]]


def example(id: str, category: str = "dog", size: tuple[int, int] = SIZE) -> Example:
    shown = picture(int(id))
    target = Object(category, CORNER, size, 81)
    asked = ("What is on the bed?",)
    return Example(id, shown, [target], category, asked, known={"absent": "cat"})


def scene(one: Example, task: str, depth: int = 2) -> Scene:
    vlm = tiny_vlm() if depth == 2 else deep_vlm(depth)
    stimulus = Told(task).read(vlm, one)
    assert stimulus is not None
    none = stimulus.visual[:0]
    return Scene(vlm, stimulus, one, none, torch.zeros(vlm.width), (0, one.number))


@pytest.mark.parametrize("task", [NAMING, SHOWN])
def test_the_parts_make_up_the_text_after_the_image_and_share_nothing(task):
    one = scene(example("1"), task)
    parts = [arms.part(one, name) for name in arms.PARTS]
    text = range(one.stimulus.image.stop, one.stimulus.last + 1)
    assert sorted(at for part in parts for at in part) == [*text]
    assert parts[2] == [one.stimulus.last]
    assert all(parts)


class Ending:
    """A prompt that ends with its question, right after the image."""

    image, last = range(16), 19
    spans = {"question": torch.tensor([16, 17, 18, 19])}  # noqa: RUF012
    visual = torch.arange(16)


def test_a_question_that_ends_the_prompt_leaves_the_last_position():
    one = scene(example("1"), SHOWN)
    object.__setattr__(one, "stimulus", Ending())
    assert [arms.part(one, name) for name in arms.PARTS] == [[16, 17, 18], [], [19]]
    made = arms.routes(one)
    assert made[arms.knockout(arms.QUESTION)]()
    with pytest.raises(LackingError, match="no 'image -> other text', for 'image -> text'"):
        made[arms.knockout(arms.TEXT)]()


@pytest.mark.parametrize("depth", [2, 16])
def test_routes_lead_from_the_whole_image_to_the_parts_that_they_name(depth):
    one = scene(example("1"), NAMING, depth)
    before, after = {2: (0, 1), 16: (1, 1)}[depth]
    for name, make in arms.routes(one).items():
        route, where = name.split(", ")
        within = range(depth)
        if where != arms.ALL:
            at = int(where.split()[-1])
            within = range(max(0, at - before), min(depth, at + after))
        targets = {at for part in arms.ROUTES[route] for at in arms.part(one, part)}
        arm = make()
        assert {at for block in arm for at in block.targets} == targets
        assert all([*block.source] == one.stimulus.visual.tolist() for block in arm)
        assert all([*block.layers] == [*within] for block in arm)
    assert len(arms.routes(one)) == 7 + 4 * depth


@pytest.mark.parametrize(("depth", "layers"), [(2, [0]), (16, [0, 1])])
def test_the_first_layers_are_blocked_but_for_one_token_of_background(depth, layers):
    one = scene(example("1"), SHOWN, depth)
    made = arms.early(one)
    [every], [but_one] = made[arms.BLOCKED](), made[arms.ONE_LEFT]()
    assert isinstance(every, Block)
    assert isinstance(but_one, Block)
    assert {*every.source} == {*one.stimulus.visual.tolist()}
    [left] = {*every.source} - {*but_one.source}
    assert left not in one.stimulus.tokens_of(one.example.shown)
    assert [*every.layers] == [*but_one.layers] == layers


def test_blocking_all_needs_no_places():
    """Of a model that does not tell where its tokens look, one arm is left out, and not two."""
    one = scene(example("1"), SHOWN)
    with patch.object(type(one.stimulus), "tokens_of", side_effect=LackingError("no places")):
        assert arms.early(one)[arms.BLOCKED]()
        with pytest.raises(LackingError, match="no places"):
            arms.early(one)[arms.ONE_LEFT]()


def test_an_image_full_of_objects_leaves_no_token_open():
    whole = Object("dog", [[0, 0, SIZE[1], 0, SIZE[1], SIZE[0], 0, SIZE[0]]], SIZE)
    one = scene(replace(example("1"), objects=[whole]), SHOWN)
    with pytest.raises(LackingError, match="are an object's"):
        arms.early(one)[arms.ONE_LEFT]()


@pytest.mark.parametrize(("depth", "layer"), [(2, 1), (16, 2)])
def test_a_question_is_patched_from_the_picture_of_the_named_answer(depth, layer):
    pool = [example("1"), example("2", "cat"), example("3", "bed"), example("4"), example("5")]
    shown, absent = (
        with_donors(each, pool) for each in (pool[0], replace(pool[0], category="cat"))
    )
    for asked, task, other, same in (
        (shown, SHOWN, WITHOUT, WITH),
        (absent, ABSENT, WITH, WITHOUT),
    ):
        one = scene(asked, task, depth)
        span = one.stimulus.spans["question"].tolist()
        for arm, donor in ((arms.OTHER_ANSWER, other), (arms.SAME_ANSWER, same)):
            [patched] = arms.early(one)[arm]()
            read = one.vlm.read(asked.known[donor].image, one.stimulus.question)
            assert isinstance(patched, Ablate)
            assert [*patched.tokens] == span
            assert patched.layer == layer
            assert torch.equal(patched.value, one.vlm.hidden_states(read, span)[layer])
    assert shown.known[WITH].id == "4"
    assert shown.known[WITHOUT].id == "2"
    assert absent.known[WITH].id == "2"
    assert absent.known[WITHOUT].id == "3"


def test_a_donor_is_another_picture_of_the_same_size_if_there_is_one():
    pool = [example("1"), example("2", size=(9, 9)), example("3"), example("4", "cat", (9, 9))]
    found = with_donors(pool[0], pool)
    assert found.known[WITH].id == "3"
    assert found.known[WITHOUT].id == "4"


def test_a_donor_that_should_not_show_a_category_shows_none_of_it():
    cat = example("2", "cat")
    beside = replace(cat, objects=[*cat.objects, *example("1").objects])
    found = with_donors(example("1"), [example("1"), beside, example("3", "bed")])
    assert found.known[WITHOUT].id == "3"
    assert WITH not in found.known
    with pytest.raises(LackingError, match="No other picture shows it, a dog"):
        arms.early(scene(found, SHOWN))[arms.SAME_ANSWER]()


def of_task(task: str) -> Example:
    return replace(example("1"), category="cat" if task == ABSENT else "dog")


@pytest.mark.parametrize("task", [NAMING, SHOWN, ABSENT])
def test_the_margin_is_that_of_the_models_own_logits(task):
    one = scene(of_task(task), task)
    chosen = [[], *(make() for make in arms.routes(one).values())]
    found = Told(task).ask(one.vlm, one.example, one.stimulus, chosen)
    logits = one.vlm.next_token(one.stimulus, chosen).double()
    right, wrong = {NAMING: ("dog", ""), SHOWN: ("Yes", "No"), ABSENT: ("No", "Yes")}[task]
    token = one.vlm.first_token(one.stimulus, right)
    for answer, row in zip(found, logits, strict=True):
        others = [value for at, value in enumerate(row.tolist()) if at != token]
        other = float(row[one.vlm.first_token(one.stimulus, wrong)]) if wrong else max(others)
        assert answer.probability is not None
        kept = float(torch.tensor(answer.probability, dtype=torch.double).logit())
        assert SCALE * kept == pytest.approx(float(row[token]) - other, abs=1e-9)


@pytest.mark.parametrize(("task", "says"), [(NAMING, "dog"), (SHOWN, "Yes"), (ABSENT, "No")])
def test_the_right_answer_is_that_of_the_task(task, says):
    one = scene(of_task(task), task)
    vlm = one.vlm
    logits = torch.zeros(2, vlm.next_token(one.stimulus, [[]]).shape[-1])
    logits[0, vlm.first_token(one.stimulus, says)] = 30.0
    logits[1, vlm.first_token(one.stimulus, "Yes" if says == "No" else "No")] = 30.0
    with patch.object(VLM, "next_token", lambda *_: logits):
        first, second = Told(task).ask(vlm, one.example, one.stimulus, [[], []])
    assert (first.right, second.right) == (True, False)


def test_every_task_is_asked_about_the_same_images():
    option = SimpleNamespace(vlm_limit=4, vlm_questions=None, vlm_bad=0.01)
    asked = asked_of(SHIPPED, option)
    named, shown, absent = (asked.examples[task] for task in (NAMING, SHOWN, ABSENT))
    for one, other, third in zip(named, shown, absent, strict=True):
        assert one.id == other.id == third.id
        assert one.category == other.category
        assert one.targets
        assert one.questions
        assert other.targets
        assert third.category
        assert not third.targets
    assert len(named) == 4
    assert asked.steps[-1].left > 4


def test_no_category_is_asked_about_where_none_is_known():
    assert Told(ABSENT).read(tiny_vlm(), replace(example("1"), category="")) is None
