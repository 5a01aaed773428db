"""The 36 knockout arms of table 2: `vlm.next_token` against one hooked forward pass of the language
model per arm."""

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import common
from claims.neo2025.windows import RUN
from vlmlib import VLM, Block, reach, select, windows
from vlmlib.interventions import causal_blocks
from vlmlib.stimulus import Stimulus


def knockout_arms(stimulus: Stimulus, layers: int) -> list[list[Block]]:
    bare = common.object_tokens(stimulus)
    one, two = select.buffer(stimulus, bare, 1), select.buffer(stimulus, bare, 2)
    row = select.last_row(stimulus)
    edges = [
        (source, stimulus.last) for source in (bare, one, two, select.complement(stimulus, one))
    ]
    edges += [(one, row), (select.complement(stimulus, row), row)]
    return [
        causal_blocks(source, target, window)
        for source, target in edges
        for window in windows.named(layers, RUN).values()
    ]


@torch.no_grad()
def hooked(vlm: VLM, stimulus: Stimulus, arm: list[Block]) -> Tensor:
    """The logits of one forward pass of the language model alone, under hooks on the layers that
    the arm edits."""
    seq = len(stimulus.embeddings)
    mask = torch.ones(seq, seq, dtype=torch.bool).tril()
    for block in arm:
        mask[torch.tensor(block.targets)[:, None], torch.tensor(block.source)] = False
    mask = mask[None, None]

    def edit(_module, args, kwargs):
        return args, {**kwargs, "attention_mask": mask}

    handles = [
        vlm.decoder.attending[layer].register_forward_pre_hook(edit, with_kwargs=True)
        for layer in arm[0].layers
    ]
    with common.attached(*handles):
        output = vlm.model(
            inputs_embeds=stimulus.embeddings[None],
            position_ids=stimulus.position_ids,
            use_cache=False,
            logits_to_keep=1,
        )
    return output.logits[0, -1]


def main() -> None:
    options = common.arguments(rounds=5)
    vlm = common.random_vlm(options.layers)
    stimulus = common.read(vlm)
    arms = knockout_arms(stimulus, options.layers)
    print(f"{len(arms)} arms, {len(stimulus.embeddings)} positions, {options.layers} layers")

    def one_by_one() -> Tensor:
        return torch.stack(
            [hooked(vlm, stimulus, arm) for arm in tqdm(arms, "hooked", leave=False)]
        )

    def ours() -> Tensor:
        return vlm.next_token(stimulus, arms)

    measured = common.measure(options.rounds, ours=ours, hooked=one_by_one)
    own, other = measured["ours"], measured["hooked"]
    met = common.verdict(
        ("operations", other.operations / own.operations, 15),
        ("seconds", other.seconds / own.seconds, 12),
    )
    common.show(measured, "ours", {"hooked": met})
    print("\nWith what each arm reaches, beside the same without:")
    watched = common.measure(
        options.rounds,
        lambda **_: None,
        ours=ours,
        watched=lambda: reach(vlm, stimulus, arms),
    )
    common.show(watched, "ours")


if __name__ == "__main__":
    main()
