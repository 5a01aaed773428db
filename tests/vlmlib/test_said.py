"""What a model says first, and what arms leave of it: against a softmax written out here.

Fails if the probability is another token's, if the margin forgets a rival, or if a clean arm is not
the model's own word.
"""

import torch

from tests.tiny import picture, tiny_vlm
from vlmlib import Ablate, first_said


def test_it_is_the_softmax_of_the_models_own_word():
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Is it?")
    arms = [[], [Ablate(stimulus.visual, torch.zeros(vlm.d_model))]]
    logits = vlm.next_token(stimulus, arms)
    token = int(logits[0].argmax())
    for found, own in zip(first_said(vlm, stimulus, arms), logits, strict=True):
        exp = (own - own.max()).exp()
        rivals = torch.cat([own[:token], own[token + 1 :]])
        assert found.token == token
        assert abs(found.probability - float(exp[token] / exp.sum())) < 1e-6
        assert abs(found.log_probability - float(exp[token].log() - exp.sum().log())) < 1e-5
        assert abs(found.margin - float(own[token] - rivals.max())) < 1e-6
    clean, blind = first_said(vlm, stimulus, arms)
    assert clean.says
    assert blind.says == (int(logits[1].argmax()) == token)


def test_another_token_may_be_asked_about():
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Is it?")
    dog = vlm.first_token(stimulus, "dog")
    [found] = first_said(vlm, stimulus, [[]], dog)
    assert (found.token, found.text, found.says) == (dog, "do", False)
    assert found.margin < 0
