"""What the clean arm costs more than the bare model: `vlm.next_token(stimulus, [[]])` against one
forward pass."""

import statistics

import torch
from torch import Tensor

from benchmarks import common


def main() -> None:
    options = common.arguments(rounds=40)
    vlm = common.random_vlm(options.layers)
    stimulus = common.read(vlm)

    def ours() -> Tensor:
        return vlm.next_token(stimulus, [[]])

    @torch.no_grad()
    def bare() -> Tensor:
        embeddings, positions = stimulus.embeddings[None], stimulus.position_ids
        return vlm.model(inputs_embeds=embeddings, position_ids=positions, logits_to_keep=1).logits[
            :, -1
        ]

    measured = common.measure(options.rounds, ours=ours, bare=bare)
    pairs = zip(measured["ours"].rounds, measured["bare"].rounds, strict=True)
    over = statistics.median(own / other for own, other in pairs) - 1
    common.show(
        measured,
        "ours",
        {"ours": f"overhead < 3 %: {'met' if over < 0.03 else 'MISSED'}, {over:+.1%}"},
    )
    print(f"\nOverhead, median of {options.rounds} paired ratios: {over:+.2%}")


if __name__ == "__main__":
    main()
