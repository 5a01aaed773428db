"""What the lens shows at the last position is the model's own, with its final norm and without.

Fails if a layer is decoded otherwise than it says, if the last one is not the model's prediction,
if two forms of an answer that begin alike are told apart, or if what is not finite is kept.
"""

import pytest
import torch

from claims.zhang2025 import lens
from claims.zhang2025.asked import FirstSaid, question
from tests.tiny import picture, tiny_vlm
from vlmlib import ImageError, logit_lens


def asked(vlm, answer="dog"):
    shown = picture()
    text, size = ("Is it so?", "", ""), (shown.height, shown.width)
    example = question("1", shown, "1", size, [], text, answer, False)
    [row] = lens.shown(vlm, torch.zeros(vlm.width), example, FirstSaid("task"))
    return row, FirstSaid("task").read(vlm, example)


def test_each_layer_is_decoded_as_it_says():
    vlm = tiny_vlm()
    row, stimulus = asked(vlm)
    said = int(vlm.next_token(stimulus, [[]])[0].argmax())
    expected = logit_lens(vlm, stimulus, stimulus.last, token_id=said).probability
    assert expected is not None
    own = {how: torch.tensor(row.detail[how][lens.OWN]) for how in lens.READOUTS}
    torch.testing.assert_close(own[lens.NORMED], expected[:, 0])
    hidden = vlm.hidden_states(stimulus, stimulus.last)[:, 0]
    raw = vlm.model.lm_head(hidden[:-1]).softmax(-1)[:, said]
    torch.testing.assert_close(own[lens.RAW][:-1], raw)
    torch.testing.assert_close(own[lens.RAW][-1], expected[-1, 0])
    assert not torch.allclose(raw, expected[:-1, 0])
    assert row.probability == pytest.approx(float(expected[-1, 0]))


@pytest.mark.parametrize(("answer", "both"), [("dog", True), ("7", False)])
def test_forms_are_told_apart_where_they_begin_otherwise(answer, both):
    vlm = tiny_vlm()
    row, stimulus = asked(vlm, answer)
    first = [vlm.first_token(stimulus, each) for each in (answer, answer.capitalize())]
    assert (first[0] != first[1]) == both
    for how in lens.READOUTS:
        assert (row.detail[how].keys() >= {lens.LOWER, lens.CAPITAL}) == both


def test_what_is_not_finite_is_an_error(monkeypatch):
    vlm = tiny_vlm()
    row, stimulus = asked(vlm)
    assert row.detail
    hidden = vlm.hidden_states(stimulus, stimulus.last)
    hidden[1, 0, 0] = torch.nan
    monkeypatch.setattr(type(vlm), "hidden_states", lambda *_: hidden)
    with pytest.raises(ImageError, match="The logits of the lens"):
        asked(vlm)
