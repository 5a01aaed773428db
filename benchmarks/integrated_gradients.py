"""Integrated gradients in 50 steps: `integrated_gradients` against one step after another on an
unfrozen model."""

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import common
from vlmlib import VLM
from vlmlib.gradients import integrated_gradients
from vlmlib.stimulus import Stimulus


def plain_loop(vlm: VLM, stimulus: Stimulus, token_id: int, baseline: Tensor, steps: int) -> Tensor:
    """Signed attributions `[token]` by the midpoint rule, with every parameter's gradient computed
    along the way."""
    start = stimulus.embeddings.clone()
    start[stimulus.visual] = baseline
    total, difference = torch.zeros_like(start), stimulus.embeddings - start
    vlm.model.requires_grad_(True)
    try:
        for step in tqdm(range(steps), "plain loop", leave=False):
            vlm.model.zero_grad()
            point = (start + (step + 0.5) / steps * difference)[None].requires_grad_(True)
            output = vlm.model(
                inputs_embeds=point,
                position_ids=stimulus.position_ids,
                use_cache=False,
                logits_to_keep=1,
            )
            output.logits[0, -1, token_id].backward()
            assert point.grad is not None
            total += point.grad[0]
    finally:
        vlm.model.zero_grad(set_to_none=True)
        vlm.model.requires_grad_(False)
    return (total / steps * difference).sum(-1)[stimulus.visual]


def main() -> None:
    options = common.arguments(rounds=3, steps=50)
    vlm = common.random_vlm(options.layers)
    stimulus = common.read(vlm)
    token_id = 7
    baseline = stimulus.embeddings[stimulus.visual].mean(0)

    def naive() -> Tensor:
        return plain_loop(vlm, stimulus, token_id, baseline, options.steps)

    def assert_frozen(*_) -> None:
        held = [
            name
            for name, each in vlm.model.named_parameters()
            if each.requires_grad or each.grad is not None
        ]
        if held:
            raise AssertionError(
                f"Gradients of {len(held)} parameters are computed, the first of {held[0]}."
            )

    def ours() -> Tensor:
        with common.attached(vlm.decoder.stack.register_forward_hook(assert_frozen)):
            return integrated_gradients(
                vlm, stimulus, token_id, baseline, steps=options.steps, rule="midpoint"
            ).signed

    measured = common.measure(options.rounds, ours=ours, plain_loop=naive)
    ratio = measured["plain_loop"].seconds / measured["ours"].seconds
    common.show(measured, "ours", {"plain_loop": common.verdict(("seconds", ratio, 1.3))})


if __name__ == "__main__":
    main()
