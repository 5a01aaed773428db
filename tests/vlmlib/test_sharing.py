"""What a run's length decides, against the slow oracle and against plain hooks written out here.

Fails if a short probe speaks for longer prompts: if arms share work past the length at which masks,
rotary values or what attention picks are others, if they share none where they may, if a model is
asked twice about one length, or if a description leaves what `generate` says.
"""

import dataclasses
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests import texts
from tests.texts import llava_around
from tests.tiny import PLAIN_ROPE, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, Stimulus, VLMError, engine, oracle
from vlmlib.reach import reach
from vlmlib.sharing import Extent

QUESTION = "Is there a dog in this image? "
NEW = 16


def read(vlm: VLM, times: int = 6) -> Stimulus:
    return vlm.read(picture(), QUESTION * times)


def arms_of(vlm: VLM, stimulus: Stimulus) -> list:
    zeros, visual = torch.zeros(vlm.d_model), stimulus.visual
    late = int(visual[-1]) + 5
    return [
        [Ablate([late, late + 1], zeros)],
        [Ablate([late], zeros + 3)],
        [Ablate(visual[8:], zeros)],
        [Block(visual, to=stimulus.last, layers=vlm.layers)],
    ]


def by_plain_hooks(vlm: VLM, stimulus: Stimulus, tokens: list[int], value: float) -> Tensor:
    """The last logits of the whole model with some embeddings set to a number."""

    def put(_module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        embeddings = kwargs["inputs_embeds"].clone()
        embeddings[:, tokens] = value
        return args, {**kwargs, "inputs_embeds": embeddings}

    hook = vlm.decoder.stack.register_forward_pre_hook(put, with_kwargs=True)
    with torch.no_grad():
        logits = vlm.model(**stimulus.inputs, use_cache=False).logits[0, -1]
    hook.remove()
    return logits


def off(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def assert_exact(vlm: VLM, stimulus: Stimulus) -> None:
    """Together, and each beside no clean run, arms give what each gives alone."""
    arms = arms_of(vlm, stimulus)
    slow = [oracle.next_token(vlm.model, vlm.decoder, stimulus, arm) for arm in arms]
    together = vlm.next_token(stimulus, [[], *arms])[1:]
    assert off(together, torch.stack(slow)) < 1e-5
    for arm, expected in zip(arms, slow, strict=True):
        assert off(vlm.next_token(stimulus, [arm] * 3)[2], expected) < 1e-5
    late = list(arms[0][0].tokens)
    assert off(together[0], by_plain_hooks(vlm, stimulus, late, 0.0)) < 1e-5
    assert off(together[1], by_plain_hooks(vlm, stimulus, late[:1], 3.0)) < 1e-5


def generated(vlm: VLM, stimulus: Stimulus, new: int = NEW) -> str:
    generate = cast(Callable[..., Tensor], vlm.model.generate)
    out = generate(**stimulus.inputs, do_sample=False, max_new_tokens=new)
    ids = out[0, len(stimulus.input_ids) :]
    return vlm.processor.tokenizer.decode(ids, skip_special_tokens=True)


def passes_of(vlm: VLM, run: Callable[[], object]) -> int:
    """How often the whole model is called meanwhile."""
    calls: list[int] = []
    hook = vlm.model.register_forward_pre_hook(lambda *_: calls.append(1))
    run()
    hook.remove()
    return len(calls)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "text", [texts.LONGROPE, texts.WINDOWED, texts.COMPRESSED, texts.MULTIPLIED], ids=str
)
def test_arms_share_work_at_any_length_where_that_is_exact(text, attention):
    vlm = llava_around(text, attention)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for times in (1, 6):
            stimulus = read(vlm, times)
            assert vlm.shares_on(stimulus)
            assert_exact(vlm, stimulus)


def test_rotary_values_of_a_prefix_are_the_whole_runs():
    """The planted fault, a prefix that runs by itself, is what the test above would find."""
    vlm = llava_around(texts.LONGROPE)
    short, long = read(vlm, 1), read(vlm)
    assert len(short.embeddings) <= 40 < len(long.embeddings)
    assert vlm._decoder_on(short).prefix_alone
    assert not vlm._decoder_on(long).prefix_alone
    arm = arms_of(vlm, long)[0]
    slow = oracle.next_token(vlm.model, vlm.decoder, long, arm)
    parted = engine.next_token(vlm.decoder, long, [arm] * 3, 10**5)[0]
    assert off(parted, slow) > 1e-3


# Rotary angles of other rates past position id 40.
SWITCHING = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [8.0] * 4,
    "original_max_position_embeddings": 40,
    "factor": 4.0,
}


@pytest.mark.parametrize("rope", [PLAIN_ROPE, SWITCHING], ids=["plain", "switching"])
def test_pictures_of_one_length_may_end_at_different_ids(rope):
    """The longer prompt has the smaller position ids, and is asked first."""
    vlm = tiny_qwen(rope=rope)
    square, wide = vlm.read(picture(size=(48, 48)), "Hi?"), vlm.read(picture(size=(160, 16)), "Hi?")
    (longer, below), (shorter, past) = Extent.of(square), Extent.of(wide)
    assert longer >= shorter
    assert below <= 40 < past
    assert_exact(vlm, square)
    assert_exact(vlm, wide)
    assert vlm._decoder_on(square).prefix_alone
    assert vlm._decoder_on(wide).prefix_alone == (rope is PLAIN_ROPE)


def test_descriptions_are_generates_across_a_largest_position_id():
    vlm = tiny_qwen(rope=SWITCHING)
    stimuli = [vlm.read(picture(size=size), "Hi?") for size in ((48, 48), (100, 16), (160, 16))]
    expected = [generated(vlm, each) for each in stimuli]
    assert [vlm.describe(each, [[]], NEW)[0] for each in stimuli] == expected
    assert vlm.describe_each(stimuli, NEW) == expected


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_past_a_chunk_arms_run_one_by_one_and_it_is_said_once(attention):
    vlm = llava_around(texts.CHUNKED, attention)
    assert vlm.shares
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vlm.shares_on(read(vlm, 1))
        assert_exact(vlm, read(vlm, 1))
    with pytest.warns(UserWarning, match=r"of this length \(the first is of 79.* earlier"):
        assert not vlm.shares_on(read(vlm))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not vlm.shares_on(read(vlm, 7))
        assert_exact(vlm, read(vlm))
        assert_exact(vlm, read(vlm, 7))
    assert vlm.shares_on(read(vlm, 1))


def picking(vlm: VLM, most: int) -> None:
    """Past `most` positions attention adds the mean of what its call holds, which no mask shows."""
    for layer in vlm.decoder.layers:
        own = layer.self_attn.forward  # pyright: ignore

        def forward(hidden_states: Tensor, *args: Any, own: Any = own, **kwargs: Any) -> Any:
            output, *rest = own(hidden_states, *args, **kwargs)
            last = int(kwargs["position_ids"].max())
            more = hidden_states.mean(1, keepdim=True) if last >= most else 0
            return (output + more, *rest)

        layer.self_attn.forward = forward  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize(("most", "shares"), [(40, False), (400, True)])
def test_what_attention_picks_past_a_number_of_the_configuration(most, shares):
    vlm = tiny_vlm()
    picking(vlm, most)
    vlm.model.config.text_config.index_topk = most
    vlm = VLM(vlm.model, vlm.processor)
    assert vlm.shares_on(read(vlm, 1))
    stimulus = read(vlm)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert vlm.shares_on(stimulus) == shares
    assert [str(each.message).count("would be off by") for each in said] == [1] * (not shares)
    assert_exact(vlm, stimulus)


def test_attention_to_the_best_positions_runs_one_arm_at_a_time():
    with pytest.warns(
        UserWarning, match="cannot share work on this model, since it raised ValueError"
    ):
        vlm = llava_around(texts.SPARSE)
    assert_exact(vlm, read(vlm, 1))
    long = read(vlm)
    ablations = arms_of(vlm, long)[:3]
    slow = [oracle.next_token(vlm.model, vlm.decoder, long, arm) for arm in ablations]
    assert torch.equal(vlm.next_token(long, ablations), torch.stack(slow))
    assert vlm.describe(read(vlm, 1), [[]], 4) == [generated(vlm, read(vlm, 1), 4)]


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_a_later_source_is_refused_where_no_position_sees_it(attention):
    """Whether arms share work or not; and removed where positions do see it."""
    for text, times in ((texts.WINDOWED, 1), (texts.CHUNKED, 6), (texts.SPARSE, 1)):
        vlm = llava_around(text, attention)
        stimulus = read(vlm, times)
        assert vlm.causal
        assert vlm.shares_on(stimulus) == (text is texts.WINDOWED)
        later = [Block(stimulus.visual[5:], to=stimulus.visual[:5], layers=[0])]
        for ask in (vlm.next_token, vlm.describe, partial(reach, vlm)):
            with pytest.raises(VLMError, match="no position attends to a later one"):
                ask(stimulus, [later])
    vlm = texts.tiny_gemma3(attention)
    stimulus = read(vlm, 1)
    assert not vlm.causal
    later = [Block(stimulus.visual[5:], to=stimulus.visual[:5], layers=[0])]
    clean, blocked = vlm.next_token(stimulus, [[], later])
    assert off(blocked, clean) > 1e-4


def test_rotary_values_that_remember_longer_runs_are_refused():
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    text = {"model_type": "llama", "max_position_embeddings": 40, "rope_parameters": rope}
    vlm = llava_around(text)
    assert_exact(vlm, read(vlm, 1))
    with pytest.raises(VLMError, match=r"depend on what it ran before.* 79 positions are others"):
        vlm.next_token(read(vlm), [[]])
    assert_exact(vlm, read(vlm, 1))


def test_a_new_length_costs_one_pass_and_a_known_one_none():
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), QUESTION * 3)
    vlm.shares_on(vlm.read(picture(), QUESTION * 4))  # beyond the same numbers
    assert passes_of(vlm, lambda: vlm.shares_on(stimulus)) == 1
    assert passes_of(vlm, lambda: vlm.shares_on(stimulus)) == 0
    assert passes_of(vlm, lambda: vlm.next_token(stimulus, [[]])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "text",
    [texts.LONGROPE, texts.CHUNKED, texts.WINDOWED, texts.COMPRESSED, texts.MULTIPLIED],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_descriptions_are_generates_across_every_length(text, attention):
    """One begins below the length at which something changes and ends past it."""
    vlm = llava_around(text, attention)
    stimuli = [vlm.read(picture(), "Hi?"), read(vlm, 1), read(vlm, 6)]
    assert len(stimuli[1].embeddings) < 40 < len(stimuli[1].embeddings) + NEW
    expected = [generated(vlm, each) for each in stimuli]
    assert [vlm.describe(each, [[]], NEW)[0] for each in stimuli] == expected
    assert vlm.describe_each(stimuli, NEW) == expected
    zero = [Ablate(stimuli[1].visual, torch.zeros(vlm.d_model))]
    blind = vlm.describe(stimuli[1], [[], zero], NEW)[1]
    ablated = dataclasses.replace(stimuli[1])
    logits = oracle.spoken(vlm.model, vlm.decoder, ablated, zero, NEW).argmax(-1).tolist()
    assert blind == vlm.processor.tokenizer.decode(logits, skip_special_tokens=True)


def test_a_batch_shares_no_rotary_values_that_neighbours_decide():
    plain, longrope = tiny_vlm(), llava_around(texts.LONGROPE)
    for vlm, far in ((plain, True), (longrope, False)):
        stimulus = vlm.read(picture(), "Hi?")
        assert vlm._sharing.in_batch(stimulus, 35)
        assert vlm._sharing.in_batch(stimulus, 80) == far


def forgetting(vlm: VLM) -> None:
    """A stack that reads other embeddings where keys and values are kept for many."""
    own = vlm.decoder.stack.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if type(kwargs.get("past_key_values")).__name__ in ("Branches", "Slots"):
            kwargs["inputs_embeds"] = -kwargs["inputs_embeds"]
        return own(*args, **kwargs)

    vlm.decoder.stack.forward = forward


def crashing(vlm: VLM) -> None:
    """A layer that takes no cache but transformers' own."""
    own = vlm.decoder.layers[0].forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if type(kwargs.get("past_key_values")).__name__ in ("Branches", "Slots"):
            raise AttributeError("no conv_states")
        return own(*args, **kwargs)

    vlm.decoder.layers[0].forward = forward  # pyright: ignore


@pytest.mark.parametrize(
    ("plant", "reason"), [(forgetting, "where generate says"), (crashing, "no conv_states")]
)
def test_where_texts_leave_generates_they_are_generated(plant, reason):
    vlm = tiny_vlm()
    stimulus = read(vlm, 1)
    own = generated(vlm, stimulus)
    plant(vlm)
    arms = [[], [Ablate(stimulus.visual, torch.zeros(16))]]
    with pytest.warns(UserWarning, match=f"while they describe.*{reason}") as said:
        clean, blind = vlm.describe(stimulus, arms, NEW)
    assert len(said) == 1
    assert vlm.describe_each([stimulus], NEW) == [own]
    assert (clean, blind == clean) == (own, False)
    assert_exact(vlm, stimulus)


def test_where_texts_are_generates_nothing_is_said():
    vlm = tiny_vlm()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vlm.describe(read(vlm, 1), [[]], NEW) == [generated(vlm, read(vlm, 1))]


@pytest.mark.newer
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_texts_that_forget_what_was_said_are_generated(attention):
    """Its own cache, in which tokens said are few, decides what later ones see."""
    vlm = texts.of_pages(attention)
    stimulus = read(vlm, 1)
    zero = [Ablate(stimulus.visual, torch.zeros(16))]
    arms = [[], zero, [Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)]]
    with pytest.warns(UserWarning, match="while they describe.*a cache of its own"):
        clean, blind, _ = vlm.describe(stimulus, arms, NEW)
    assert (clean, blind == clean) == (generated(vlm, stimulus), False)
    assert vlm.describe_each([stimulus], NEW) == [clean]
    assert vlm.shares_on(stimulus)
    assert_exact(vlm, stimulus)


def running_no_position_alone(past: int = 0) -> VLM:
    """Layers raise where a position id, past a number of the configuration, is larger than what
    they are given has positions."""
    model = tiny_vlm().model
    model.config.text_config.most_alone = past

    def look(_module, _args, given):
        if int(given["position_ids"].max()) >= max(past, given["hidden_states"].shape[1]):
            raise IndexError("no such key")

    model.model.language_model.layers[0].register_forward_pre_hook(
        lambda module, args, given: look(module, args, {"hidden_states": args[0], **given}),
        with_kwargs=True,
    )
    return VLM(model, tiny_processor())


@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_where_a_long_prompt_runs_no_position_alone_nothing_is_shared():
    vlm = running_no_position_alone(past=80)
    assert vlm.shares_on(read(vlm, 1))
    stimulus = read(vlm, 8)
    assert vlm.unshared_on(stimulus) == "it raised IndexError: no such key"
    own = vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    assert torch.equal(vlm.next_token(stimulus, [[]])[0], own)


@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_a_model_that_runs_no_position_alone_shares_nothing():
    vlm = running_no_position_alone()
    assert vlm.unshared == "it raised IndexError: no such key"
    stimulus = read(vlm)
    own = vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    assert torch.equal(vlm.next_token(stimulus, [[]])[0], own)


def test_a_prompt_may_fill_more_than_half_of_a_table_of_positions():
    vlm = llava_around({"model_type": "opt", "max_position_embeddings": 100, "ffn_dim": 32})
    stimulus = read(vlm, 5)
    assert 50 < len(stimulus.embeddings) < 100
    assert vlm.shares_on(stimulus)
    assert_exact(vlm, stimulus)


def test_a_prompt_that_a_table_of_positions_does_not_hold_is_told():
    vlm = llava_around({"model_type": "opt", "max_position_embeddings": 100, "ffn_dim": 32})
    stimulus = read(vlm, 12)
    assert len(stimulus.embeddings) > 100
    with pytest.raises(VLMError, match=r"cannot run .*IndexError.* a prompt that it has positions"):
        vlm.next_token(stimulus, [[]])
