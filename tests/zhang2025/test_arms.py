"""Arms block the edges that their names say, of as many tokens as they say.

Fails if a route begins or ends elsewhere, if the parts of an image do not make it up, if a control
has another number of sources, or if a prompt without such edges is measured all the same.
"""

from collections.abc import Sequence

import pytest
import torch

from claims.zhang2025 import arms
from claims.zhang2025.asked import Box, FirstSaid, question
from tests.tiny import picture, tiny_vlm
from vlmlib import LackingError
from vlmlib.study import Scene


def scene(boxes: Sequence[tuple[str, Box]] = (("dog", (0, 0, 6, 6)),)) -> Scene:
    vlm, shown = tiny_vlm(), picture()
    size = shown.height, shown.width
    text = ("Is it so?", " Say", "It is")
    example = question("1", shown, "1", size, boxes, text, "dog", False)
    stimulus = FirstSaid("task").read(vlm, example)
    return Scene(vlm, stimulus, example, stimulus.visual[:0], torch.zeros(vlm.width), (0, 1))


def test_routes_begin_and_end_where_they_say():
    one = scene()
    spans, visual = one.stimulus.spans, one.stimulus.visual.tolist()
    last, asked = [one.stimulus.last], spans["question"].tolist()
    ends = {
        route: tuple(each.tolist() for each in arms.ends(one, route))
        for route in (*arms.WINDOWED, *arms.THROUGHOUT)
    }
    assert ends[arms.QUESTION] == (asked, last)
    assert ends[arms.IMAGE] == (visual, last)
    assert ends[arms.LAST] == (last, last)
    assert ends[arms.INTO_QUESTION] == (visual, asked)
    related, other = ends[arms.RELATED][0], ends[arms.OTHER][0]
    assert sorted(related + other) == visual
    assert related
    assert {*ends[arms.AS_MANY][0]} < {*other}
    assert len(ends[arms.AS_MANY][0]) == len(related)
    assert len(ends[arms.RANDOM][0]) == len(asked)
    suffix, text = ends[arms.SUFFIX][1], ends[arms.TEXT][1]
    assert sorted([*suffix, *asked, *last]) == text
    assert {*spans["suffix"].tolist()} <= {*suffix}


def test_every_arm_removes_attention_and_no_other_edge_is_there():
    one = scene()
    for name, make in arms.flow(one).items():
        arm, (route, window) = make(), name.split(", ")
        source, target = ({*each.tolist()} for each in arms.ends(one, route))
        assert {each for block in arm for each in block.source} == source
        assert {each for block in arm for each in block.targets} <= target
        layers = range(len(one.vlm.layers)) if window == arms.ALL else [int(window.split()[-1])]
        assert all([*block.layers] == [*layers] for block in arm)
        one.vlm.check(one.stimulus, [arm])


def test_an_image_without_what_is_asked_about_lacks_its_arms_alone():
    one = scene(boxes=())
    made = arms.flow(one)
    with pytest.raises(LackingError, match="no token at one of its ends"):
        made[arms.knockout(arms.RELATED, arms.ALL)]()
    assert made[arms.knockout(arms.OTHER, arms.ALL)]()


def test_more_tokens_than_there_are_others_cannot_be_drawn():
    one = scene()
    height, width = one.stimulus.image_size
    whole = scene(boxes=[("dog", (0, 0, width, height))])
    with pytest.raises(LackingError, match=r"only 0 are no object's"):
        arms.ends(whole, arms.AS_MANY)


def test_an_answer_is_right_by_its_first_token_or_as_a_whole():
    vlm, shown = tiny_vlm(), picture()
    asked, text = (shown.height, shown.width), ("Is it so?", "", "")
    stimulus = vlm.read(shown, "Is it so?")
    said = int(vlm.next_token(stimulus, [[]])[0].argmax())
    [whole] = vlm.describe(stimulus, [[]], 10)
    for answer, is_whole, right in (
        (whole.strip().lower(), True, True),
        (whole.strip().lower() + " no", True, False),
        ("dog", False, said == vlm.first_token(stimulus, "dog")),
    ):
        example = question("1", shown, "1", asked, [], text, answer, is_whole)
        [clean] = FirstSaid("task").ask(vlm, example, stimulus, [[]])
        assert clean.right == right
        probabilities = vlm.next_token(stimulus, [[]])[0].softmax(-1)
        assert clean.probability == pytest.approx(float(probabilities[said]))
