"""Integrated gradients: do they equal closed forms, captum, and the change of the logit that they
explain?

Fails if a step lies elsewhere on the path, if the baseline or the embeddings are another, if a
contribution belongs to another token, if gradients of parameters are kept, or if the number of
steps in a batch changes the result.
"""

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.texts import tiny_gemma3, tiny_paligemma2
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Stimulus, VLMError, mean_embedding
from vlmlib.gradients import integrated_gradients

FAMILIES = {"sdpa": tiny_vlm, "eager": lambda: tiny_vlm("eager"), "qwen": tiny_qwen}
TOKEN = 7


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request):
    return FAMILIES[request.param]()


@pytest.fixture(scope="module")
def stimulus(vlm):
    return vlm.read(picture(), "Is there a dog in this image?")


@pytest.fixture(scope="module")
def mean(vlm):
    return mean_embedding(vlm, [picture(seed) for seed in range(1, 5)])


def own_logit(vlm: VLM, stimulus, visual: torch.Tensor) -> torch.Tensor:
    """The logit with other visual tokens, by a plain forward of the whole model with its adapter's
    output replaced."""
    embeddings = stimulus.embeddings.index_put((stimulus.visual,), visual)[None]
    put = lambda _module, _args, kwargs: (_args, {**kwargs, "inputs_embeds": embeddings})  # noqa: E731
    hook = vlm.decoder.stack.register_forward_pre_hook(put, with_kwargs=True)
    logits = vlm.model(**stimulus.inputs, use_cache=False).logits
    hook.remove()
    return logits[0, -1, TOKEN]


class Planted(nn.Module):
    """A language model whose last position sums weight * embedding ** power over all positions."""

    def __init__(self, weight: torch.Tensor, power: int):
        super().__init__()
        self.weight, self.power = weight, power

    def forward(self, inputs_embeds, **_):
        return SimpleNamespace(
            last_hidden_state=(self.weight * inputs_embeds**self.power).cumsum(1)
        )


def planted(power: int) -> tuple[VLM, Stimulus, torch.Tensor]:
    """A model with logit 0 = the sum of weight * embedding ** power, and what it reads."""
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Hi?")
    weight = torch.randn(stimulus.embeddings.shape, generator=torch.Generator().manual_seed(1))
    unembed = nn.Linear(16, 1, bias=False).requires_grad_(False)
    unembed.weight.fill_(1)
    planted = copy.copy(vlm)
    planted.decoder = dataclasses.replace(
        vlm.decoder, stack=Planted(weight, power), unembed=unembed
    )
    return planted, stimulus, weight[stimulus.visual]


def close(seen: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(
        seen, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max())
    )


@pytest.mark.slow
def test_contributions_sum_to_the_change_of_the_logit_under_mean_ablation(vlm, stimulus, mean):
    clean, ablated = vlm.next_token(stimulus, [[], [Ablate(stimulus.visual, mean)]])[:, TOKEN]
    explained = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=200)
    assert explained.gap < 0.01
    missing = (explained.signed.sum() - (clean - ablated)).abs() / explained.absolute.sum()
    assert float(missing) == pytest.approx(explained.gap, abs=1e-5)


def test_more_steps_close_the_gap_and_few_leave_it_open(vlm, stimulus, mean):
    gaps = [integrated_gradients(vlm, stimulus, TOKEN, mean, steps).gap for steps in (1, 200)]
    assert gaps[0] > 0.01 > gaps[1]


@pytest.mark.parametrize(
    ("rule", "fraction"), [("midpoint", lambda k: (k + 0.5) / 4), ("ends", lambda k: k / 3)]
)
def test_a_rule_is_the_mean_gradient_at_its_points_of_the_path(vlm, stimulus, mean, rule, fraction):
    x = stimulus.embeddings[stimulus.visual]
    expected = torch.zeros_like(x)
    for k in range(4):
        point = (mean + fraction(k) * (x - mean)).requires_grad_()
        own_logit(vlm, stimulus, point).backward()
        expected += (x - mean) * point.grad / 4
    explained = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=4, rule=rule)
    close(explained.signed, expected.sum(-1))
    close(explained.absolute, expected.abs().sum(-1))


def test_the_two_rules_differ(vlm, stimulus, mean):
    midpoint, ends = (
        integrated_gradients(vlm, stimulus, TOKEN, mean, 4, rule).absolute
        for rule in ("midpoint", "ends")
    )
    assert ((midpoint - ends).abs() > 0.01 * midpoint.max()).any()


def test_captum_agrees(vlm, stimulus, mean):
    x = stimulus.embeddings[stimulus.visual][None]
    plain = lambda rows: torch.stack([own_logit(vlm, stimulus, row) for row in rows])  # noqa: E731
    theirs = IntegratedGradients(plain).attribute(
        x, baselines=mean.expand_as(x), n_steps=20, method="riemann_middle"
    )[0]
    ours = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=20)
    close(ours.signed, theirs.sum(-1).float())
    close(ours.absolute, theirs.abs().sum(-1).float())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "steps"), [("midpoint", 1), ("midpoint", 7), ("ends", 2), ("ends", 7)]
)
def test_on_a_linear_model_they_are_weight_times_difference(rule, steps):
    """On a linear model they are weight times difference at any number of steps."""
    vlm, stimulus, weight = planted(power=1)
    baseline = torch.linspace(-1, 1, 16)
    expected = weight * (stimulus.embeddings[stimulus.visual] - baseline)
    explained = integrated_gradients(vlm, stimulus, 0, baseline, steps, rule)
    close(explained.signed, expected.sum(-1), 1e-5)
    close(explained.absolute, expected.abs().sum(-1), 1e-5)
    assert explained.gap < 1e-5


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(steps=st.integers(2, 60))
def test_on_a_cubic_model_the_gap_is_the_quadrature_error_of_the_rule(steps):
    """From zero, 3 w x^3 times the mean of a_k^2: 1/3 - 1/12n^2 (midpoint), (2n-1) / (6n-6)
    (ends)."""
    vlm, stimulus, weight = planted(power=3)
    cubes = weight * stimulus.embeddings[stimulus.visual] ** 3
    for rule, squares in {
        "midpoint": 1 / 3 - 1 / (12 * steps**2),
        "ends": (2 * steps - 1) / (6 * steps - 6),
    }.items():
        explained = integrated_gradients(vlm, stimulus, 0, torch.zeros(16), steps, rule)
        close(explained.signed, 3 * squares * cubes.sum(-1))
        close(explained.absolute, 3 * squares * cubes.abs().sum(-1))
        expected = (3 * squares - 1) * cubes.sum() / (3 * squares * cubes.abs().sum())
        assert explained.gap == pytest.approx(abs(float(expected)), abs=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 100, 170])
def test_how_many_steps_share_a_pass_does_not_matter(vlm, stimulus, mean, max_tokens):
    whole = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=7)
    passes = []
    hook = vlm.decoder.stack.register_forward_pre_hook(
        lambda _module, _args, kwargs: passes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    parts = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=7, max_tokens=max_tokens)
    hook.remove()
    rows = max(1, max_tokens // len(stimulus.embeddings))
    assert max(passes) == rows
    assert sum(passes) == 7 + 2
    close(parts.signed, whole.signed)
    close(parts.absolute, whole.absolute)


def test_a_token_that_is_the_baseline_contributes_nothing(vlm, stimulus):
    explained = integrated_gradients(
        vlm, stimulus, TOKEN, stimulus.embeddings[stimulus.visual[2]], steps=5
    )
    assert (explained.absolute == 0).nonzero()[:, 0].tolist() == [2]
    assert explained.signed[2] == 0


def test_where_all_tokens_are_the_baseline_there_is_no_gap(vlm, stimulus, mean):
    same = dataclasses.replace(
        stimulus,
        embeddings=stimulus.embeddings.index_put(
            (stimulus.visual,), mean.expand(len(stimulus.visual), -1)
        ),
    )
    explained = integrated_gradients(vlm, same, TOKEN, mean, steps=5)
    assert not explained.absolute.any()
    assert explained.gap == 0


def test_no_parameter_keeps_a_gradient(vlm, stimulus, mean):
    """No parameter keeps a gradient and callers without gradients get the same."""
    explained = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=5)
    with torch.no_grad():
        again = integrated_gradients(vlm, stimulus, TOKEN, mean, steps=5)
    assert torch.equal(explained.signed, again.signed)
    assert all(each.grad is None and not each.requires_grad for each in vlm.model.parameters())
    assert not any(
        each.requires_grad
        for each in (explained.signed, explained.absolute, stimulus.embeddings, mean)
    )


def test_half_precision_agrees_roughly():
    full = tiny_vlm()
    half = VLM(tiny_vlm().model.bfloat16(), full.processor)
    signed = []
    for vlm in (full, half):
        stimulus = vlm.read(picture(), "Hi?")
        signed.append(
            integrated_gradients(
                vlm, stimulus, TOKEN, torch.zeros(16, dtype=vlm.model.dtype)
            ).signed
        )
    close(signed[1], signed[0], 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_id": 586}, "token id 586 is outside 0 to 585"),
        ({"token_id": -1}, "token id -1 is outside"),
        ({"steps": 0}, r'0 steps; "midpoint" needs at least 1'),
        ({"steps": 1, "rule": "ends"}, r'1 steps; "ends" needs at least 2'),
        ({"rule": "trapezoid"}, "no rule 'trapezoid'"),
        (
            {"baseline": torch.zeros(15)},
            r"shape \(15,\), but this model's embeddings have width 16",
        ),
        ({"baseline": torch.full((16,), torch.nan)}, "not finite"),
    ],
)
def test_what_cannot_be_integrated_is_refused_before_the_model_runs(change, message):
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Hi?")
    hook = vlm.decoder.stack.register_forward_pre_hook(
        lambda _module, _args: pytest.fail("the model ran")
    )
    with pytest.raises(VLMError, match=message):
        integrated_gradients(
            vlm, stimulus, **({"token_id": TOKEN, "baseline": torch.zeros(16)} | change)
        )
    hook.remove()


def text_alone(vlm: VLM, stimulus: Stimulus, rows: torch.Tensor) -> torch.Tensor:
    """The logit with other visual tokens, by the model called with embeddings and no picture."""
    kept = ("attention_mask", "token_type_ids")
    inputs = {name: stimulus.inputs[name] for name in kept}
    found = []
    for row in rows:
        embeddings = stimulus.embeddings.index_put((stimulus.visual,), row)[None]
        # plain autograd: no hook, no stack called by itself
        logits = vlm.model(**inputs, inputs_embeds=embeddings, use_cache=False).logits
        found.append(logits[0, -1, TOKEN])
    return torch.stack(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
@pytest.mark.parametrize("make", [tiny_gemma3, tiny_paligemma2])
@pytest.mark.parametrize(("rule", "steps"), [("midpoint", 20), ("ends", 3)])
def test_a_model_whose_tokens_see_later_ones_agrees_with_captum(make, rule, steps):
    """And with plain autograd, one row at a time."""
    vlm = make()
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    assert not vlm.shares
    baseline = torch.linspace(-0.5, 0.5, 16)
    x = stimulus.embeddings[stimulus.visual]
    plain = lambda rows: text_alone(vlm, stimulus, rows)  # noqa: E731
    ours = integrated_gradients(vlm, stimulus, TOKEN, baseline, steps, rule)
    total = torch.zeros_like(x)
    ends = torch.linspace(0, 1, steps)
    middles = (torch.arange(steps) + 0.5) / steps
    for fraction in ends if rule == "ends" else middles:
        point = (baseline + fraction * (x - baseline)).requires_grad_()
        total += torch.autograd.grad(plain(point[None])[0], point)[0]
    close(ours.signed, ((x - baseline) * total / steps).sum(-1))
    close(ours.absolute, ((x - baseline) * total / steps).abs().sum(-1))
    if rule == "midpoint":
        theirs = IntegratedGradients(plain).attribute(
            x[None], baselines=baseline.expand_as(x)[None], n_steps=steps, method="riemann_middle"
        )[0]
        close(ours.signed, theirs.sum(-1).float())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
@pytest.mark.parametrize("make", [tiny_gemma3, tiny_paligemma2])
def test_where_arms_run_alone_steps_close_the_gap_and_cost_a_pass_each(make):
    vlm = make()
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    mean = mean_embedding(vlm, [picture(1)])
    clean, ablated = vlm.next_token(stimulus, [[], [Ablate(stimulus.visual, mean)]])[:, TOKEN]
    passes = []
    hook = vlm.model.register_forward_pre_hook(lambda *_: passes.append(1))
    few, many = (integrated_gradients(vlm, stimulus, TOKEN, mean, steps) for steps in (1, 200))
    hook.remove()
    assert len(passes) == 1 + 2 + 200 + 2
    assert few.gap > 0.01 > many.gap
    missing = (many.signed.sum() - (clean - ablated)).abs() / many.absolute.sum()
    assert float(missing) == pytest.approx(many.gap, abs=1e-5)


def test_a_model_that_may_share_work_gives_the_same_without():
    vlm = tiny_vlm()
    stimulus, zeros = vlm.read(picture(), "Hi?"), torch.zeros(16)
    shared = integrated_gradients(vlm, stimulus, TOKEN, zeros, 5)
    vlm.unshared = "it was asked not to"
    close(integrated_gradients(vlm, stimulus, TOKEN, zeros, 5).signed, shared.signed)


@torch.inference_mode()
def read_without_gradients() -> tuple[VLM, Stimulus]:
    """A model and what it reads, both made where no gradient is ever to flow."""
    vlm = tiny_vlm()
    return vlm, vlm.read(picture(), "Hi?")


@pytest.mark.slow
def test_what_inference_mode_made_says_so(vlm, stimulus, mean):
    """Instead of torch's error from the middle of the way back."""
    frozen, asked = read_without_gradients()
    zeros = torch.zeros(frozen.d_model)
    with pytest.raises(VLMError, match=r"^The stimulus was read under torch.inference_mode"):
        integrated_gradients(tiny_vlm(), asked, TOKEN, zeros)
    with pytest.raises(VLMError, match=r"^The model was loaded under torch.inference_mode"):
        integrated_gradients(frozen, frozen.read(picture(), "Hi?"), TOKEN, zeros)
    with (
        torch.inference_mode(),
        pytest.raises(VLMError, match=r"was called under torch.inference_mode.* no harm\.$"),
    ):
        integrated_gradients(vlm, stimulus, TOKEN, mean)


def test_a_stimulus_read_without_gradients_has_them_all_the_same(vlm, mean):
    with torch.no_grad():
        asked = vlm.read(picture(), "Is there a dog in this image?")
        attributions = integrated_gradients(vlm, asked, TOKEN, mean, steps=2)
    assert float(attributions.absolute.sum()) > 0
