"""Description under many arms, against `generate` and against decoding without any sharing.

Fails if a text differs from `generate`'s by a token (where the two likeliest tokens are not as good
as tied), if an arm differs from itself run alone and hooked, or if ending early changes what was
said before.
"""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, Stimulus, VLMError, oracle
from vlmlib.decoding import Decoding, describe

FAMILIES = {
    "llava": tiny_vlm,
    "qwen2-vl": tiny_qwen,
    "sliding": lambda attention: tiny_qwen(attention, 0, 3, window=9),
}
EVERY = [(family, attention) for family in FAMILIES for attention in ("sdpa", "eager")]
VLMS = {each: FAMILIES[each[0]](each[1]) for each in EVERY}
STIMULI = {
    each: [vlm.read(picture(seed, (30, 24 + seed)), "Describe") for seed in range(4)]
    for each, vlm in VLMS.items()
}
NEW = 12


def arms_for(vlm, stimulus) -> list:
    zeros, visual = torch.zeros(vlm.d_model), stimulus.visual
    return [
        [],
        [Ablate(visual, zeros)],
        [Block(visual, to=stimulus.last, layers=vlm.layers)],
        [
            Ablate(visual[3:5], zeros, layer=1),
            Block([0, 1], to=range(int(visual[-1]), stimulus.last), layers=[0]),
        ],
        [Ablate([0], zeros)],
        [Block(visual[:4], to=stimulus.last, layers=[1], heads=[0])],
    ]


def said(vlm, stimulus, arms, until=None, max_tokens=10**5) -> list[list[int]]:
    return describe(
        vlm.decoder,
        stimulus,
        arms,
        Decoding(vlm.processor.tokenizer, vlm._stop_ids(), NEW, until),
        max_tokens,
    )


def generated(vlm: VLM, stimulus: Stimulus) -> list[int]:
    """The ids of the model's own greedy text."""
    generate = cast(Callable[..., Tensor], vlm.model.generate)
    out = generate(**stimulus.inputs, do_sample=False, max_new_tokens=NEW)
    return out[0, len(stimulus.input_ids) :].tolist()


def assert_same(vlm, stimulus, arm, ours: list[int], theirs: list[int]) -> None:
    """Equal, or parted at a token where the two likeliest are within 1e-4 of the logits' scale."""
    for step, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            settings = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True}
            with oracle.intervened(vlm.decoder, stimulus, arm):
                out = vlm.model.generate(**stimulus.inputs, max_new_tokens=step + 1, **settings)
            logits = out.logits[step][0]
            assert float(logits[other] - logits[one]) < 1e-4 * float(logits.abs().max()), (
                step,
                ours,
                theirs,
            )
            return
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("each", EVERY, ids=str)
def test_a_clean_description_is_generates_token_for_token(each):
    vlm, identical = VLMS[each], 0
    for stimulus in STIMULI[each]:
        theirs, ours = generated(vlm, stimulus), said(vlm, stimulus, [[]])[0]
        assert_same(vlm, stimulus, [], ours, theirs)
        identical += ours == theirs
    assert identical >= 3


@pytest.mark.slow
@pytest.mark.parametrize("each", EVERY, ids=str)
@pytest.mark.parametrize("max_tokens", [10**5, 150, 1])
def test_every_arm_says_what_it_says_alone_and_hooked(each, max_tokens):
    vlm, stimulus = VLMS[each], STIMULI[each][0]
    arms = arms_for(vlm, stimulus)
    decoding = Decoding(vlm.processor.tokenizer, vlm._stop_ids(), NEW)
    texts = said(vlm, stimulus, arms, max_tokens=max_tokens)
    for arm, ours in zip(arms, texts, strict=True):
        assert_same(
            vlm,
            stimulus,
            arm,
            ours,
            oracle.describe(vlm.model, vlm.decoder, stimulus, arm, decoding),
        )
    assert len({tuple(text) for text in texts}) > 2


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ending_early_leaves_out_what_follows_the_wanted_text(data):
    """The ids are the first ones of the whole text's, and no more than hold what is waited for."""
    each = data.draw(st.sampled_from(EVERY))
    vlm, stimulus = VLMS[each], STIMULI[each][data.draw(st.integers(0, 3))]
    arms, text = arms_for(vlm, stimulus), Decoding(vlm.processor.tokenizer, set(), NEW).text
    whole = said(vlm, stimulus, arms)
    some = text(whole[data.draw(st.integers(0, len(arms) - 1))])
    begin = data.draw(st.integers(0, len(some) - 1))
    wanted = some[begin : begin + data.draw(st.integers(1, 3))]
    expected = []
    for ids in whole:
        holding = [stop for stop in range(1, len(ids)) if wanted in text(ids[:stop])]
        expected.append(ids[: min(holding, default=len(ids))])
    assert said(vlm, stimulus, arms, until=wanted) == expected
    early = vlm.describe(stimulus, arms, NEW, until=lambda said: wanted in said)
    assert early == [text(ids) for ids in expected]


def test_arms_that_ended_cost_nothing_more():
    vlm, stimulus = VLMS["llava", "sdpa"], STIMULI["llava", "sdpa"][0]
    arms, computed = arms_for(vlm, stimulus), []
    ids = said(vlm, stimulus, arms)
    other = ids[1][: next(step for step in range(NEW) if ids[0][step] != ids[1][step]) + 1]
    other = vlm.processor.tokenizer.decode(other, skip_special_tokens=True)
    module = vlm.decoder.layers[0]
    hook = module.register_forward_pre_hook(
        lambda _module, args: computed.append(args[0].shape[:2].numel())
    )
    try:
        said(vlm, stimulus, arms)
        all_of_it, computed[:] = sum(computed), []
        early = said(vlm, stimulus, arms, until=other)
        some_of_it = sum(computed)
    finally:
        hook.remove()
    saved = sum(len(whole) - len(short) for whole, short in zip(ids, early, strict=True))
    assert all_of_it - some_of_it == saved > 0


def test_a_stop_token_ends_a_text_and_is_not_in_it():
    vlm, stimulus = tiny_vlm(), STIMULI["llava", "sdpa"][0]
    [ids] = said(vlm, stimulus, [[]])
    vlm.model.generation_config.eos_token_id = [ids[4]]
    stop = ids.index(ids[4])
    assert said(vlm, stimulus, [[]]) == [ids[: stop + 1]]
    assert generated(vlm, stimulus) == ids[: stop + 1]


def test_rows_are_bounded_by_the_token_budget():
    vlm, stimulus, rows = VLMS["llava", "sdpa"], STIMULI["llava", "sdpa"][0], []
    room = len(stimulus.input_ids) + NEW
    vlm.describe(stimulus, [[]], NEW)  # for the first time, which tries more
    hook = vlm.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args: rows.append(args[0].shape[0])
    )
    try:
        vlm.describe(stimulus, arms_for(vlm, stimulus), NEW, max_tokens=2 * room)
    finally:
        hook.remove()
    assert max(rows) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("repetition_penalty", 1.05), ("suppress_tokens", [3]), ("num_beams", 2)]
)
def test_settings_that_are_not_greedy_are_refused_by_name(name, value):
    vlm = tiny_vlm()
    setattr(vlm.model.generation_config, name, value)
    with pytest.raises(VLMError, match=rf"generation_config has {name}="):
        vlm.describe(vlm.read(picture(), "Describe"), [[]], 3)


def test_no_arms_say_nothing_and_no_token_is_an_error(vlm, stimulus):
    assert vlm.describe(stimulus, []) == []
    with pytest.raises(VLMError, match="0 new tokens were asked for"):
        vlm.describe(stimulus, [[]], max_new_tokens=0)
