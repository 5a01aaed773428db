"""Blocks of `GENERATED`, against reading the prompt and all that was said again for every token.

Fails if an edge into a generated token stays, or another one goes, at any step, layer or head; if
an arm without such a block says something else beside one that has it; or if a block is taken that
would be felt by nothing.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import texts
from tests.families import FAMILIES
from tests.hooked import Cut, Edit, Hooked, Replaced
from tests.texts import llava_around
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import (
    GENERATED,
    VLM,
    Ablate,
    Block,
    LackingError,
    Stimulus,
    VLMError,
    causal_blocks,
    decoding,
    engine,
    first_said,
    oracle,
    reach,
    windows,
)
from vlmlib.decoding import Decoding
from vlmlib.interventions import Arm, by_kind, first_affected, is_empty, numbers, touched
from vlmlib.reach import Reach, Watching

quiet = pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
FEW = {**texts.SPARSE, "index_topk": 64}
NEW = 10


def of_tests(name: str) -> VLM:
    return VLM(*next(each for each in FAMILIES if each.name == name).build())


MADE: dict[str, Any] = {
    "llava": tiny_vlm,
    "qwen2-vl": tiny_qwen,
    "sliding": lambda attention: tiny_qwen(attention, 0, 3, window=9),
    "windows": lambda attention: llava_around({**texts.WINDOWED, "sliding_window": 9}, attention),
    "compressed": lambda attention: llava_around(texts.COMPRESSED, attention),
    "later ones seen": lambda attention: texts.tiny_gemma3(attention, seed=1),
}
EVERY = [(name, attention) for name in MADE for attention in ("sdpa", "eager")]


@cache
def read(name: str, attention: str) -> tuple[VLM, Stimulus]:
    vlm = MADE[name](attention)
    return vlm, vlm.read(picture(0, (30, 24)), "Describe")


def said(vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm], stops: Sequence[int] = ()) -> list:
    """The ids of every arm, however the model runs."""
    wanted = Decoding(vlm.processor.tokenizer, {*stops}, NEW)
    return vlm._said(stimulus, arms, wanted, max_tokens=10**5)


def edits_of(arm: Arm, length: int) -> list[Edit]:
    """An arm on the prompt and what was said, for the oracle."""
    ablations, blocks, generated = by_kind(arm)
    edits: list[Edit] = [Replaced(each.tokens, each.value, each.layer) for each in ablations]
    edits += [
        Cut(each.source, to, layer, each.heads)
        for each in blocks
        for to in each.targets
        for layer in each.layers
    ]
    later = slice(length, None)
    edits += [
        Cut(each.source, later, layer, each.heads) for each in generated for layer in each.layers
    ]
    return edits


def parted(vlm: VLM, stimulus: Stimulus, arm: Arm, ids: Sequence[int]) -> int | None:
    """The first step at which a text's token is not the likeliest, or as good as tied with it, when
    all before it is read again in one pass of the whole model; which cannot read a placeholder that
    was said."""
    plain = Hooked(vlm.model, vlm.decoder.stack, dict(stimulus.inputs))
    edits = edits_of(arm, plain.length)
    for step, token in enumerate(ids):
        if vlm.image_token in ids[:step]:
            break
        logits = plain.after(ids[:step]).logits(edits)[-1]
        if float(logits.max() - logits[token]) > 1e-4 * float(logits.abs().max()):
            return step
    return None


def arms_for(vlm: VLM, stimulus: Stimulus) -> list[list[Ablate | Block]]:
    visual, last, layers = stimulus.visual, stimulus.last, list(vlm.decoder.attending)
    unseen = Block(visual, GENERATED, layers)
    return [
        [],
        [unseen],
        [Block(range(last + 1), GENERATED, layers)],
        [Block(visual, last, layers), unseen],
        [Block(visual, last, layers)],
        [Ablate([int(visual[-1]) + 1], torch.zeros(vlm.d_model)), Block([0, 3], GENERATED, [0])],
        [Block(visual, GENERATED, layers[-1:], heads=[1]), Block(range(4), GENERATED, layers[:1])],
    ]


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_arms_say_what_reading_all_again_says(name, attention):
    vlm, stimulus = read(name, attention)
    arms = arms_for(vlm, stimulus)
    texts_of_arms = said(vlm, stimulus, arms)
    for arm, ids in zip(arms, texts_of_arms, strict=True):
        assert len(ids) == NEW
        assert parted(vlm, stimulus, arm, ids) is None
    assert len({tuple(ids) for ids in texts_of_arms}) > 3


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(
    "name",
    ["LLaVA of Gemma 2", "LLaVA of Falcon-H1", pytest.param("Idefics3", marks=pytest.mark.newer)],
)
def test_other_families_say_what_reading_all_again_says(name):
    vlm = of_tests(name)
    stimulus = vlm.read(picture(0, (30, 24)), "Describe")
    for arm in ([], [Block(stimulus.visual, GENERATED, list(vlm.decoder.attending))]):
        [ids] = said(vlm, stimulus, [arm])
        assert parted(vlm, stimulus, arm, ids) is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attention"), [("llava", "sdpa"), ("sliding", "eager")])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_sources_layers_and_heads(name, attention, data):
    vlm, stimulus = read(name, attention)
    length, heads = len(stimulus.input_ids), range(vlm.decoder.heads)
    arms = []
    for _ in range(data.draw(st.integers(1, 4))):
        sources = data.draw(st.sets(st.integers(0, length - 1), max_size=length))
        layers = data.draw(st.sets(st.sampled_from(vlm.layers)))
        of_heads = data.draw(st.none() | st.sets(st.sampled_from(heads)))
        arms.append([Block(sources, GENERATED, layers, of_heads)])
    for arm, ids in zip(arms, said(vlm, stimulus, arms), strict=True):
        assert parted(vlm, stimulus, arm, ids) is None
        assert not is_empty(arm) or [ids] == said(vlm, stimulus, [[]])


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_the_slow_oracle_gives_the_logits_of_reading_all_again(name, attention):
    vlm, stimulus = read(name, attention)
    plain = Hooked(vlm.model, vlm.decoder.stack, dict(stimulus.inputs))
    for arm in arms_for(vlm, stimulus)[1:]:
        logits = oracle.spoken(vlm.model, vlm.decoder, stimulus, arm, NEW, least=NEW)
        # generate says no end before the least number of tokens
        logits[:, sorted(vlm._stop_ids())] = -torch.inf
        ids, edits = logits.argmax(-1).tolist(), edits_of(arm, plain.length)
        for step in range(NEW):
            if vlm.image_token in ids[:step]:
                break
            again = plain.after(ids[:step]).logits(edits)[-1]
            again[sorted(vlm._stop_ids())] = -torch.inf
            bound = 1e-4 * float(again[again.isfinite()].abs().max())
            torch.testing.assert_close(logits[step], again, rtol=0, atol=bound)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attention"), EVERY[:6])
def test_rows_end_apart_and_the_others_go_on_as_before(name, attention):
    vlm, stimulus = read(name, attention)
    arms = arms_for(vlm, stimulus)
    whole = said(vlm, stimulus, arms)
    for row, step in ((0, 2), (1, 4), (6, 1)):
        stop = whole[row][step]
        expected = [ids[: ids.index(stop) + 1] if stop in ids else ids for ids in whole]
        found = said(vlm, stimulus, arms, [stop])
        assert found == expected
        assert len({len(ids) for ids in found}) > 1


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_an_arm_without_such_a_block_says_the_same_beside_one(name, attention):
    vlm, stimulus = read(name, attention)
    arms = arms_for(vlm, stimulus)
    together = said(vlm, stimulus, arms)
    for arm, ids in zip(arms, together, strict=True):
        assert said(vlm, stimulus, [arm]) == [ids]


@pytest.mark.parametrize(("name", "attention"), EVERY[:4])
def test_nothing_blocked_is_the_clean_run_and_everything_is_not(name, attention):
    vlm, stimulus = read(name, attention)
    visual, layers = stimulus.visual, vlm.layers
    nothing = [[Block([], GENERATED, layers)], [Block(visual, GENERATED, [])]]
    nothing += [[Block(visual, GENERATED, layers, heads=[])]]
    everything = [Block(range(stimulus.last + 1), GENERATED, layers)]
    clean, *same, other = vlm.describe(stimulus, [[], *nothing, everything], NEW)
    assert same == [clean] * 3
    assert other != clean


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_steps_are_masked_only_where_some_arm_blocks(attention, monkeypatch):
    vlm, stimulus = read("llava", attention)
    layer, made = 1, []
    monkeypatch.setattr(
        engine,
        "_masking",
        lambda masks, at: made.append(at) or (lambda args, kwargs: (args, kwargs)),
    )
    prompt = [[], [Ablate(stimulus.visual, torch.zeros(vlm.d_model))]]
    said(vlm, stimulus, prompt)
    of_prompts = len(made)
    made.clear()
    said(vlm, stimulus, [*prompt, [Block([1], GENERATED, [layer])]])
    assert made[-(NEW - 1) :] == [layer] * (NEW - 1)
    assert len(made) - (NEW - 1) <= of_prompts + len(vlm.layers)


@pytest.mark.parametrize(("name", "attention"), EVERY)
@quiet
def test_what_generates_nothing_is_the_clean_run(name, attention):
    vlm, stimulus = read(name, attention)
    arm = [Block(stimulus.visual, GENERATED, list(vlm.decoder.attending))]
    blocked = [Block(stimulus.visual, stimulus.last, list(vlm.decoder.attending))]
    clean, alike, one, both = vlm.next_token(stimulus, [[], arm, blocked, blocked + arm])
    assert torch.equal(clean, alike)
    torch.testing.assert_close(one, both, rtol=0, atol=1e-5 * float(one.abs().max()))
    found = vlm.hidden_states(stimulus, [stimulus.last], arm)
    assert torch.equal(found, vlm.hidden_states(stimulus, [stimulus.last]))
    assert [each.margin for each in first_said(vlm, stimulus, [arm])] == [
        each.margin for each in first_said(vlm, stimulus, [[]])
    ]


def test_reach_tells_of_the_prompt_alone(vlm, stimulus):
    arm = [Block(stimulus.visual, GENERATED, vlm.layers)]
    blocked = [Block(stimulus.visual, stimulus.last, vlm.layers)]
    alone, one, both = reach(vlm, stimulus, [arm, blocked, blocked + arm])
    assert (alone.attention, alone.reached) == (None, None)
    assert one == both


def test_what_an_arm_of_generated_tokens_is():
    arm = [Block([5, 3], GENERATED, [0])]
    assert repr(arm[0]) == "Block(source=(3, 5), to=GENERATED, layers=(0,), heads=None)"
    assert not is_empty(arm)
    assert is_empty([Block([], GENERATED, [0])])
    assert first_affected(arm, 10) == 10
    assert touched(arm) == {3, 5}
    assert causal_blocks([5, 3], GENERATED, [0]) == arm
    assert causal_blocks([], GENERATED, [0]) == []
    assert windows.knockouts([5, 3], GENERATED, [[0]]) == [arm]
    assert arm[0] != Block([5, 3], [], [0])
    for other in (copy.copy(arm), copy.deepcopy(arm)):
        assert other == arm
        assert by_kind(other) == ([], [], arm)


@pytest.mark.parametrize("given_", [[GENERATED], [3, GENERATED], GENERATED])
def test_generated_is_no_position(given_):
    with pytest.raises((VLMError, TypeError), match=r"it stands alone|Type-check error"):
        numbers(given_)


def test_what_makes_no_sense_is_refused(vlm, stimulus):
    length = len(stimulus.input_ids)
    with pytest.raises(VLMError, match=f"Block: source {length} is outside"):
        vlm.describe(stimulus, [[Block([length], GENERATED, [0])]], 3)
    with pytest.raises(VLMError, match="Block: layer 9 is outside"):
        vlm.describe(stimulus, [[Block([1], GENERATED, [9])]], 3)
    with pytest.raises(VLMError, match="Block: head 9 is outside"):
        vlm.describe(stimulus, [[Block([1], GENERATED, [0], heads=[9])]], 3)


@quiet
def test_a_layer_without_attention_is_refused():
    vlm = tiny_vlm()
    vlm.decoder = replace(vlm.decoder, attentions=[None, vlm.decoder.attentions[1]])
    stimulus = vlm.read(picture(0, (30, 24)), "Describe")
    with pytest.raises(LackingError, match=r"has no self-attention\. Choose among"):
        vlm.describe(stimulus, [[Block(stimulus.visual, GENERATED, vlm.layers)]], 3)


@quiet
def test_attention_that_gets_sparse_while_a_text_grows_is_refused():
    """At its last token, if not at the prompt."""
    vlm = llava_around(FEW)
    stimulus = vlm.read(picture(), "Describe")
    arm = [Block(stimulus.visual, GENERATED, [0])]
    assert not vlm.sparse_on(stimulus)
    vlm.describe(stimulus, [arm], 2)
    with pytest.raises(LackingError, match="takes others in their place"):
        vlm.describe(stimulus, [arm], 100)


def test_attention_that_ignores_its_mask_at_single_queries_is_refused():
    """Planted: nothing but steps of a description shows it."""
    vlm = tiny_vlm()
    for attention in vlm.decoder.attending.values():
        own = attention.forward

        def forward(*args: Any, _own: Any = own, **kwargs: Any) -> Any:
            if kwargs["hidden_states"].shape[1] == 1:
                kwargs["attention_mask"] = None
            return _own(*args, **kwargs)

        attention.forward = forward
    stimulus = vlm.read(picture(), "Describe")
    with pytest.raises(VLMError, match="changes nothing at tokens that it generates"):
        vlm.describe(stimulus, [[Block(stimulus.visual, GENERATED, vlm.layers)]], 3)


@pytest.mark.parametrize("forget", ["later steps", "rows that moved", "heads"])
def test_a_planted_fault_is_found(forget, monkeypatch):
    """What `parted` is for, seen to fail."""
    vlm, stimulus = read("llava", "sdpa")
    own, length = decoding.generating, len(stimulus.input_ids)

    def faulty(decoder: Any, arms: Sequence[Arm], position: int) -> Any:
        if forget == "later steps" and position > length + 1:
            arms = [[] for _ in arms]
        if forget == "rows that moved":
            arms = arms[::-1]
        if forget == "heads":
            arms = [[Block(range(length), GENERATED, vlm.layers)] if arm else [] for arm in arms]
        return own(decoder, arms, position)

    monkeypatch.setattr(decoding, "generating", faulty)
    heads = [0] if forget == "heads" else None
    arms = [[], [Block(range(length), GENERATED, vlm.layers, heads)]]
    found = [
        parted(vlm, stimulus, arm, ids)
        for arm, ids in zip(arms, said(vlm, stimulus, arms), strict=True)
    ]
    assert any(step is not None for step in found)


def test_the_slow_oracle_refuses_a_model_that_keeps_no_keys(vlm, stimulus):
    arm = [Block(stimulus.visual, GENERATED, vlm.layers)]
    with (
        oracle.intervened(vlm.decoder, stimulus, arm),
        pytest.raises(VLMError, match="keeps no keys"),
    ):
        vlm.model.generate(**stimulus.inputs, do_sample=False, use_cache=False, max_new_tokens=3)


def test_a_watched_description_tells_of_such_an_arm(vlm, stimulus):
    """Its first token is the clean run's, and what it reaches is not in the prompt."""
    arms = [[Block(stimulus.visual, GENERATED, vlm.layers)]]
    watching = Watching(vlm, stimulus, arms)
    asked = [[], *watching.repeats, *arms]
    clean, blind = watching.model.describe(stimulus, asked, NEW)
    assert clean != blind
    first = watching.first_token(asked)
    assert first is not None
    assert first[1] == pytest.approx(first[0], rel=1e-5)
    assert watching.reaches() == [Reach()]


@quiet
@pytest.mark.newer
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_blocks_are_refused_where_a_model_keeps_keys_its_own_way(attention):
    """Those of the prompt stay first, whatever of what was said is let go."""
    vlm = texts.of_pages(attention, window=3)
    stimulus = vlm.read(picture(), "Describe")
    arm = [Block(stimulus.visual, GENERATED, vlm.layers)]
    [ids] = vlm._said(stimulus, [arm], Decoding(vlm.processor.tokenizer, set(), 4), 10**5)
    assert len(ids) == 4
    assert parted(vlm, stimulus, arm, ids) is None
    with pytest.raises(VLMError, match=r"known where they stand .*ReferenceSlidingWindowLayer"):
        said(vlm, stimulus, [arm])
