"""Integrated gradients: how much each visual token contributes to the logit of one token."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from vlmlib import oracle
from vlmlib.checks import check_range
from vlmlib.engine import positions_of, reading_the_last_position
from vlmlib.errors import LackingError, VLMError
from vlmlib.finite import check_finite
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus

# Fewer than a run without gradients computes at once: every activation is kept for the way back.
MAX_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Attributions:
    """What `integrated_gradients` returns, one number per visual token in the order of
    `Stimulus.visual`.

    - `signed`: contributions summed over d_model; together they are the change of the logit.
    - `absolute`: their absolute values summed over d_model, by which the paper's authors rank
        tokens.
    - `gap`: the completeness gap, |sum of `signed` - (F(x) - F(x'))| / sum of `absolute`. Large:
        take more steps.
    """

    signed: Float[Tensor, " token"]
    absolute: Float[Tensor, " token"]
    gap: float


def integrated_gradients(
    vlm: VLM,
    stimulus: Stimulus,
    token_id: int,
    baseline: Float[Tensor, " d_model"],
    steps: int = 50,
    rule: str = "midpoint",
    max_tokens: int = MAX_TOKENS,
) -> Attributions:
    """Integrated gradients of a token's logit at the last position (section 3; Sundararajan et al.,
    2017).

    IG_i = (x_i - x'_i) * 1/n * sum_k dF(x' + a_k (x - x')) / dx_i for every number x_i of the
    visual tokens, with F the logit and x' the baseline in place of every visual token. All other
    positions stay as they are. Where arms cannot share work, every step is one pass of the whole
    model, hooked, and its way back.

    **Arguments:** `token_id`: whose logit F is; `baseline`: the mean embedding, or zeros; `steps`:
    n; `rule`: "midpoint", a_k = (k - 1/2) / n for k = 1..n, or "ends", a_k = k / (n - 1) for k =
    0..n-1, the authors' variant; `max_tokens`: how many positions one forward pass may compute,
    which bounds memory.

    **Raises:** `LackingError` for a model that adds more of the image later (`vlm.injects`);
    `VLMError` for a token id outside the vocabulary, a baseline of another width or not finite,
    another rule, fewer than 1 step (2 for "ends"), and where `torch.inference_mode` is or was on,
    which leaves no gradients; `ImageError` for gradients that are not finite.

    !!! example

        >>> yes, mean = vlm.first_token(stimulus, "Yes"), mean_embedding(vlm, [image])
        >>> attributions = integrated_gradients(vlm, stimulus, yes, mean, steps=100)
        >>> attributions.absolute.shape, attributions.gap < 0.01
        (torch.Size([16]), True)
    """
    _check(vlm, token_id, baseline)
    _check_recorded(vlm, stimulus)
    x = stimulus.embeddings[stimulus.visual].float()
    start = baseline.to(x).expand_as(x)
    fractions = _fractions(steps, rule).to(x)
    shares = vlm.shares_on(stimulus)

    def summed(tokens: int) -> Float[Tensor, "token d_model"]:
        batches = fractions.split(max(1, tokens // len(stimulus.embeddings)) if shares else 1)
        shown = None if len(batches) > 1 else True
        total = torch.zeros_like(x)
        bar = tqdm(batches, desc="integrated gradients", unit="batch", leave=False, disable=shown)
        for some in bar:
            points = start + some[:, None, None] * (x - start)
            total += _gradients(vlm, stimulus, points, token_id)
        return total

    total = vlm.memory.within(summed, max_tokens, "gradients")
    contributions = (x - start) * total / steps
    with torch.no_grad():
        end, begin = (_logits(vlm, stimulus, each[None], token_id) for each in (x, start))
    absolute = contributions.abs().sum(-1)
    missing = (contributions.sum() - (end - begin)).abs()
    check_finite("The integrated gradients", torch.cat([absolute, missing])[None], [[]])
    gap = float(missing / absolute.sum().clamp_min(torch.finfo(absolute.dtype).tiny))
    return Attributions(contributions.sum(-1), absolute, gap)


def _gradients(
    vlm: VLM, stimulus: Stimulus, points: Float[Tensor, "row token d_model"], token_id: int
) -> Float[Tensor, "token d_model"]:
    """The gradient of the token's logit by the visual tokens, summed over points."""
    points = points.to(stimulus.embeddings).requires_grad_()
    with torch.enable_grad():
        logit = _logits(vlm, stimulus, points, token_id).sum()
        [gradients] = torch.autograd.grad(logit, points)
    return gradients.float().sum(0)


def _logits(
    vlm: VLM, stimulus: Stimulus, visual: Float[Tensor, "row token d_model"], token_id: int
) -> Float[Tensor, " row"]:
    """The token's logit at the last position, for each row of embeddings in the visual tokens'
    place."""
    rows, length, device = len(visual), len(stimulus.embeddings), visual.device
    embeddings = stimulus.embeddings.repeat(rows, 1, 1)
    embeddings[:, stimulus.visual] = visual.to(embeddings)
    if not vlm.shares_on(stimulus):
        alone = [oracle.logits_of(vlm.model, vlm.decoder, stimulus, row) for row in embeddings]
        return torch.stack(alone)[:, token_id].float()
    with reading_the_last_position(vlm.decoder):
        output = vlm.decoder.stack(
            inputs_embeds=embeddings,
            position_ids=positions_of(stimulus, torch.arange(length, device=device), rows),
            attention_mask=torch.ones(rows, length, dtype=torch.long, device=device),
            use_cache=False,
        )
    return vlm.decoder.logits(output.last_hidden_state[:, -1])[:, token_id].float()


def _fractions(steps: int, rule: str) -> Float[Tensor, " step"]:
    """How far from the baseline to the embeddings each step lies."""
    if rule not in ("midpoint", "ends"):
        raise VLMError(f'integrated_gradients knows no rule {rule!r}. Choose "midpoint" or "ends".')
    fewest = 2 if rule == "ends" else 1
    if steps < fewest:
        raise VLMError(
            f'integrated_gradients was asked for {steps} steps; "{rule}" needs at least {fewest}.'
        )
    if rule == "ends":
        return torch.linspace(0, 1, steps)
    return (torch.arange(steps) + 0.5) / steps


def _check(vlm: VLM, token_id: int, baseline: Float[Tensor, " d_model"]) -> None:
    check_range("integrated_gradients: token id", [token_id], vlm.decoder.vocab)
    if vlm.injects:
        raise LackingError(
            f"{type(vlm.model).__name__} adds features of the image to its tokens after the "
            "embeddings, which gradients of the embeddings do not see. Rank tokens otherwise on "
            "this model."
        )
    if baseline.shape != (vlm.d_model,):
        raise VLMError(
            f"integrated_gradients was given a baseline of shape {tuple(baseline.shape)}, but "
            f"this model's embeddings have width {vlm.d_model}. "
            "Compute it with this model (mean_embedding(vlm, images))."
        )
    if not bool(torch.isfinite(baseline).all()):
        raise VLMError(
            "integrated_gradients was given a baseline that is not finite. "
            "Look for NaN where it was made."
        )


def _check_recorded(vlm: VLM, stimulus: Stimulus) -> None:
    """Refuse tensors of `torch.inference_mode`, through which no gradient flows."""
    made = {
        "The stimulus was read": stimulus.embeddings.is_inference(),
        "The model was loaded": any(each.is_inference() for each in vlm.model.parameters()),
        "integrated_gradients was called": torch.is_inference_mode_enabled(),
    }
    for what, under_inference_mode in made.items():
        if under_inference_mode:
            raise VLMError(
                f"{what} under torch.inference_mode, which leaves no gradients. Do it outside of "
                "it; torch.no_grad does no harm."
            )
