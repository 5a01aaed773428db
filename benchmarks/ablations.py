"""The 18 ablation arms of table 1, polled: `vlm.next_token` against one plain batch, and against
one hooked forward pass of the whole model per arm. Each contender's peak memory is taken in a
process of its own."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import common
from vlmlib import VLM, oracle
from vlmlib.stimulus import Stimulus


def contenders(vlm: VLM, stimulus: Stimulus, max_tokens: int) -> dict[str, Callable[[], Tensor]]:
    arms = common.ablation_arms(stimulus)

    def ours() -> Tensor:
        return vlm.next_token(stimulus, arms, max_tokens)

    @torch.no_grad()
    def plain_batch() -> Tensor:
        embeddings = torch.stack([oracle.ablated(stimulus.embeddings, arm) for arm in arms])
        positions = stimulus.position_ids.expand(len(arms), -1)
        return vlm.model(
            inputs_embeds=embeddings, position_ids=positions, use_cache=False, logits_to_keep=1
        ).logits[:, -1]  # fmt: skip

    def hooked() -> Tensor:
        return torch.stack(
            [oracle.next_token(vlm.model, vlm.decoder, stimulus, arm) for arm in arms]
        )

    return {"ours": ours, "plain_batch": plain_batch, "hooked": hooked}


def resident(which: str) -> float:
    """MiB of this process, on Linux: `VmRSS` now, `VmHWM` the most since `forget_peak`."""
    [kib] = re.findall(rf"{which}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(kib) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def print_peak(run: Callable[[], Tensor]) -> None:
    """Print by how many MiB the process grows at most in a run, and in the run after it."""
    for _ in range(2):
        before = resident("VmRSS")
        forget_peak()
        run()
        print(f"peak {resident('VmHWM') - before:.1f}")


def peak_of(name: str, options: list[str]) -> float:
    """The first run's peak in a fresh process: later ones find memory that the allocator kept."""
    command = [sys.executable, "-m", "benchmarks.ablations", "--memory", name, *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"peak ([\d.]+)", output)[0])


def main() -> None:
    options = common.arguments(rounds=5, memory="", max_tokens=16384)
    vlm = common.random_vlm(options.layers)
    stimulus = common.read(vlm)
    runs = contenders(vlm, stimulus, options.max_tokens)
    if options.memory:
        print_peak(runs[options.memory])
        return
    measured = common.measure(options.rounds, **runs)
    own, batch, slow = (measured[name] for name in ("ours", "plain_batch", "hooked"))
    common.show(
        measured,
        "ours",
        {
            "plain_batch": common.verdict(
                ("operations", batch.operations / own.operations, 1.05),
                ("seconds", batch.seconds / own.seconds, 1),
            ),
            "hooked": common.verdict(("seconds", slow.seconds / own.seconds, 1.3)),
        },
    )
    shared = [f"--{name}={getattr(options, name)}" for name in ("layers", "threads", "max_tokens")]
    peaks = {name: peak_of(name, shared) for name in runs}
    met = "met" if peaks["ours"] <= 1.3 * peaks["plain_batch"] else "MISSED"
    print("\n| contender | peak memory above the model, MiB | ratio to plain batch | required |")
    print("|---|---|---|---|")
    for name, peak in peaks.items():
        required = f"<= 1.3: {met}" if name == "ours" else ""
        print(
            f"| {name.replace('_', ' ')} | {peak:.0f} | {peak / peaks['plain_batch']:.2f} | "
            f"{required} |"
        )


if __name__ == "__main__":
    main()
