"""Many stimuli described in one batch, against each one alone.

Fails if a text is not `describe`'s, token for token; if any bit of a text's logits depends on which
others stand beside it; if rows that have ended are not given to others; or if what fills idle room
reaches a text.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Stimulus, VLMError, batched
from vlmlib.batched import COLUMNS, describe_each
from vlmlib.cache import Slots
from vlmlib.decoding import Decoding, describe

FAMILIES = {
    "llava": tiny_vlm,
    "qwen2-vl": tiny_qwen,
    "sliding": lambda attention: tiny_qwen(attention, 0, 3, window=9),
}
EVERY = [(family, attention) for family in FAMILIES for attention in ("sdpa", "eager")]
VLMS = {each: FAMILIES[each[0]](each[1]) for each in EVERY}
# of many sizes, so that Qwen2-VL's prompts are of several lengths
STIMULI = {
    each: [vlm.read(picture(seed, (30 + 9 * seed, 24 + seed)), "Describe") for seed in range(6)]
    for each, vlm in VLMS.items()
}
NEW = 10


def decoding(vlm: VLM, until=None, new: int = NEW) -> Decoding:
    return Decoding(vlm.processor.tokenizer, vlm._stop_ids(), new, until)


def said(vlm: VLM, stimuli: list[Stimulus], rows: int = 4, untils=None) -> list[list[int]]:
    ends = [decoding(vlm, until) for until in untils or [None] * len(stimuli)]
    return describe_each(vlm.decoder, stimuli, ends, rows * COLUMNS)


def alone(vlm: VLM, stimulus: Stimulus, until=None) -> list[int]:
    [ids] = describe(vlm.decoder, stimulus, [[]], decoding(vlm, until), 10**5)
    return ids


def logits_of(vlm: VLM, stimuli: list[Stimulus], rows: int) -> set[bytes]:
    """Every row of logits of a batch, idle rows apart, which stand at position 0."""
    seen: list[bytes] = []
    live = torch.ones(1, dtype=torch.bool)

    def position(_module, _args, kwargs) -> None:
        is_step = kwargs["inputs_embeds"].shape[1] == 1
        live.resize_(len(kwargs["inputs_embeds"])).fill_(True)
        if is_step:
            live.copy_(kwargs["position_ids"][..., 0].reshape(-1, len(live))[0] > 0)

    def keep(_module, _args, logits) -> None:
        chosen = logits.reshape(len(live), -1)[live]
        seen.extend(row.numpy().tobytes() for row in chosen)

    hooks = [
        vlm.decoder.stack.register_forward_pre_hook(position, with_kwargs=True),
        vlm.decoder.unembed.register_forward_hook(keep),
    ]
    try:
        texts = said(vlm, stimuli, rows)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(seen) == sum(map(len, texts))
    return set(seen)


@pytest.mark.slow
@pytest.mark.parametrize("each", EVERY, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_every_text_is_the_one_alone(each, rows):
    vlm, stimuli = VLMS[each], STIMULI[each]
    texts = said(vlm, stimuli, rows)
    assert texts == [alone(vlm, stimulus) for stimulus in stimuli]
    assert len(set(map(tuple, texts))) > 2


def test_prompts_are_of_several_lengths():
    assert len({len(stimulus.embeddings) for stimulus in STIMULI["qwen2-vl", "sdpa"]}) > 2


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rows_end_at_different_steps_and_others_enter(data):
    each = data.draw(st.sampled_from(EVERY))
    vlm = VLMS[each]
    chosen = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=9))
    stimuli = [STIMULI[each][number] for number in chosen]
    stops = data.draw(st.lists(st.integers(1, NEW), min_size=len(chosen), max_size=len(chosen)))
    untils = [_after(vlm, stimulus, stop) for stimulus, stop in zip(stimuli, stops, strict=True)]
    texts = said(vlm, stimuli, data.draw(st.integers(1, 5)), untils)
    both = zip(stimuli, untils, strict=True)
    assert texts == [alone(vlm, stimulus, until) for stimulus, until in both]


def _after(vlm: VLM, stimulus: Stimulus, stop: int):
    """Ends a text once it holds the first tokens of the whole one."""
    whole = decoding(vlm)
    begun = whole.text(alone(vlm, stimulus)[:stop])
    return lambda text: text.startswith(begun)


@pytest.mark.slow
@pytest.mark.parametrize("each", EVERY, ids=str)
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_no_bit_depends_on_the_neighbours(each, rows):
    vlm, stimuli = VLMS[each], STIMULI[each]
    together = logits_of(vlm, stimuli, rows)
    assert together == logits_of(vlm, stimuli[::-1], rows)
    for stimulus in stimuli[::2]:
        assert logits_of(vlm, [stimulus], rows) <= together


def test_ended_texts_make_room_for_others():
    """16 texts in 4 rows take as many steps as 4 rows need, and not as many as one by one."""
    vlm, stimuli = VLMS["llava", "sdpa"], STIMULI["llava", "sdpa"]
    many, steps = [stimuli[number % 6] for number in range(16)], []
    hook = vlm.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args: steps.append(args[0].shape)
    )
    try:
        said(vlm, many, rows=4)
    finally:
        hook.remove()
    decoded = [shape for shape in steps if shape[1] == 1]
    # the first token comes from the prompt
    assert len(steps) - len(decoded) == 16
    assert len(decoded) == 16 * (NEW - 1) / 4
    assert {tuple(shape[:2]) for shape in decoded} == {(4, 1)}


def test_a_text_that_ends_at_once_takes_no_row():
    vlm, stimuli = VLMS["llava", "sdpa"], STIMULI["llava", "sdpa"][:3]
    assert [len(ids) for ids in said(vlm, stimuli, 2, [lambda text: True] * 3)] == [1, 1, 1]


def test_idle_room_reaches_no_text(monkeypatch):
    """What stands in columns that a mask hides may be anything finite."""
    vlm, stimuli = VLMS["sliding", "eager"], STIMULI["sliding", "eager"]
    expected = said(vlm, stimuli)
    before = Slots.__init__

    def noisy(self, *args):
        before(self, *args)
        for layer in self.slots:
            for room in layer.room:
                room.normal_(std=100)

    monkeypatch.setattr(batched.Slots, "__init__", noisy)
    assert said(vlm, stimuli) == expected


def test_a_row_that_was_anothers_forgets_it():
    vlm, stimuli = VLMS["qwen2-vl", "sdpa"], STIMULI["qwen2-vl", "sdpa"]
    longest = sorted(stimuli, key=lambda stimulus: -len(stimulus.embeddings))
    assert said(vlm, longest, rows=1) == [alone(vlm, stimulus) for stimulus in longest]


def test_the_handle_describes_each_and_says_what_is_wrong(vlm):
    stimuli = [vlm.read(picture(seed), "Describe") for seed in range(3)]
    expected = [vlm.describe(stimulus, [[]], 5)[0] for stimulus in stimuli]
    assert vlm.describe_each(stimuli, 5) == expected
    assert vlm.describe_each([], 5) == []
    with pytest.raises(VLMError, match="3 stimuli and 2 ends"):
        vlm.describe_each(stimuli, 5, [None, None])
    with pytest.raises(VLMError, match="0 new tokens"):
        vlm.describe_each(stimuli, 0)
    with pytest.raises(VLMError, match="max_tokens is 0"):
        vlm.describe_each(stimuli, 5, max_tokens=0)


def test_an_early_end_is_each_texts_own(vlm):
    stimuli = [vlm.read(picture(seed), "Describe") for seed in range(3)]
    whole = vlm.describe_each(stimuli, 8)
    untils = [whole[0][:2], None, whole[2][:1]]
    texts = vlm.describe_each(stimuli, 8, untils)
    assert texts == [vlm.describe(s, [[]], 8, u)[0] for s, u in zip(stimuli, untils, strict=True)]
    assert texts[1] == whole[1] != texts[0]


def test_a_model_whose_arms_run_one_by_one_describes_each(vlm, monkeypatch):
    stimuli = [vlm.read(picture(seed), "Describe") for seed in range(2)]
    expected = vlm.describe_each(stimuli, 5)
    monkeypatch.setattr(vlm, "unshared", "it was asked not to")
    monkeypatch.setattr(batched, "clean_run", None)
    assert vlm.describe_each(stimuli, 5) == expected
