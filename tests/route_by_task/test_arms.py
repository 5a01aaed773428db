"""Arms block the edges that their names say, and questions are patched from the picture that they
should be.

Fails if parts of the text do not make it up, if a route ends elsewhere, if a donor shows what it
should not, or if a margin is not that of the model's own logits.
"""

from dataclasses import replace

import pytest
import torch

from claims.route_by_task import arms
from claims.route_by_task.asked import ABSENT, NAMING, SHOWN, Told
from claims.route_by_task.sample import WITH, WITHOUT, Donors
from tests.tiny import picture, tiny_vlm
from vlmlib import Ablate, Block, LackingError
from vlmlib.study import Example, Object, Scene

SIZE = picture().height, picture().width
CORNER = [[0, 0, 9, 0, 9, 9, 0, 9]]


def example(id: str, category: str = "dog", size: tuple[int, int] = SIZE) -> Example:
    shown = picture(int(id))
    target = Object(category, CORNER, size, 81)
    asked = ("What is on the bed?",)
    return Example(id, shown, [target], category, asked, known={"absent": "cat"})


def scene(one: Example, task: str) -> Scene:
    vlm = tiny_vlm()
    stimulus = Told(task).read(vlm, one)
    assert stimulus is not None
    none = stimulus.visual[:0]
    return Scene(vlm, stimulus, one, none, torch.zeros(vlm.width), (0, one.number))


@pytest.mark.parametrize("task", [NAMING, SHOWN])
def test_the_parts_make_up_the_text_after_the_image(task):
    one = scene(example("1"), task)
    parts = [arms.part(one, name).tolist() for name in arms.PARTS]
    text = range(one.stimulus.image.stop, one.stimulus.last + 1)
    assert sorted(at for part in parts for at in part) == [*text]
    assert parts[2] == [one.stimulus.last]
    assert all(parts)


def test_routes_lead_from_the_whole_image_to_the_parts_that_they_name():
    one = scene(example("1"), NAMING)
    layers = len(one.vlm.layers)
    for name, make in arms.routes(one).items():
        route, where = name.split(", ")
        within = range(layers) if where == arms.ALL else [int(where.split()[-1])]
        targets = {at for part in arms.ROUTES[route] for at in arms.part(one, part).tolist()}
        arm = make()
        assert {at for block in arm for at in block.targets} == targets
        assert all([*block.source] == one.stimulus.visual.tolist() for block in arm)
        assert all([*block.layers] == [*within] for block in arm)
    assert len(arms.routes(one)) == 7 + 4 * layers


def test_the_first_layers_are_blocked_but_for_one_token_of_background():
    one = scene(example("1"), SHOWN)
    made = arms.early(one)
    [every], [but_one] = made[arms.BLOCKED](), made[arms.ONE_LEFT]()
    assert isinstance(every, Block)
    assert isinstance(but_one, Block)
    assert {*every.source} == {*one.stimulus.visual.tolist()}
    [left] = {*every.source} - {*but_one.source}
    assert left not in one.stimulus.tokens_of(one.example.shown)
    assert [*every.layers] == [*but_one.layers] == [0]


def test_an_image_full_of_objects_leaves_no_token_open():
    whole = Object("dog", [[0, 0, SIZE[1], 0, SIZE[1], SIZE[0], 0, SIZE[0]]], SIZE)
    one = scene(replace(example("1"), objects=[whole]), SHOWN)
    with pytest.raises(LackingError, match="are an object's"):
        arms.early(one)[arms.ONE_LEFT]()


def test_a_question_is_patched_from_the_picture_of_the_named_answer():
    pool = [example("1"), example("2", "cat"), example("3", "bed"), example("4"), example("5")]
    donors = Donors.of(pool)
    shown, absent = donors.given(pool[0]), donors.given(replace(pool[0], category="cat"))
    for asked, task, other, same in (
        (shown, SHOWN, WITHOUT, WITH),
        (absent, ABSENT, WITH, WITHOUT),
    ):
        one = scene(asked, task)
        span = one.stimulus.spans["question"].tolist()
        for arm, donor in ((arms.OTHER_ANSWER, other), (arms.SAME_ANSWER, same)):
            [patched] = arms.early(one)[arm]()
            read = one.vlm.read(asked.known[donor].image, one.stimulus.question)
            assert isinstance(patched, Ablate)
            assert [*patched.tokens] == span
            assert patched.layer == 1
            assert torch.equal(patched.value, one.vlm.hidden_states(read, span)[1])
    assert shown.known[WITH].id == "4"
    assert shown.known[WITHOUT].id == "2"
    assert absent.known[WITH].id == "2"
    assert absent.known[WITHOUT].id == "3"


def test_a_donor_is_another_picture_of_the_same_size_or_there_is_none():
    pool = [example("1"), example("2", size=(9, 9))]
    found = Donors.of(pool).given(pool[0])
    assert {WITH, WITHOUT}.isdisjoint(found.known)
    with pytest.raises(LackingError, match="No other picture of this size shows it, a dog"):
        arms.early(scene(found, SHOWN))[arms.SAME_ANSWER]()


@pytest.mark.parametrize("task", [NAMING, SHOWN, ABSENT])
def test_the_margin_is_that_of_the_models_own_logits(task):
    one = scene(example("1"), task)
    chosen = [[], *(make() for make in arms.routes(one).values())]
    found = Told(task).ask(one.vlm, one.example, one.stimulus, chosen)
    logits = one.vlm.next_token(one.stimulus, chosen).double()
    said = int(logits[0].argmax())
    for answer, row in zip(found, logits, strict=True):
        best = max(value for at, value in enumerate(row.tolist()) if at != said)
        assert answer.probability is not None
        assert torch.tensor(answer.probability).logit() == pytest.approx(
            float(row[said]) - best, abs=1e-5
        )
        assert (answer.probability > 0.5) == (int(row.argmax()) == said)


def test_no_category_is_asked_about_where_none_is_known():
    assert Told(ABSENT).read(tiny_vlm(), replace(example("1"), category="")) is None
