"""Worlds in which the truth is known, each drawn once: benchmarks/worlds.py says how.

- "paper": every figure is the paper's own, and every control does what the paper prints of it.
- "nothing": no intervention does anything, and the lens shows nothing.
- "everywhere": as the paper's, but whatever is a control does as much as what it is the control of.
- "opposite": every effect has the other sign, and every absence is an effect.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from benchmarks import worlds
from benchmarks.worlds import DEAD_LENS, PAPER_LENS, SLIDING, Effects, Lens, World
from claims.neo2025 import arms
from claims.neo2025.architectures import build
from claims.neo2025.arms import COUNTS, REGIONS, REGISTER, TO_ROW, TO_TEXT
from claims.neo2025.protocol import TASKS
from claims.neo2025.published import load_figures
from tests.tiny import tiny_vlm

N = 400  # images


def everywhere(model: str) -> Effects:
    paper = worlds.paper(model)

    def lost(task: str, arm: str) -> float:
        if "->" in arm:
            return paper(task, _effect_of(arm))
        for word in ("elsewhere ", "random = ", "gradient = "):
            if arm.startswith(word):
                region = arm.removeprefix(word)
                return paper(task, "+1 buffer" if region == REGISTER else region)
        first, _, count = arm.partition(" ")
        if first in ("gradient", "random") and count.isdecimal():
            return paper(task, REGIONS[sum(int(count) > bound for bound in (20, 40))])
        return paper(task, "object" if REGISTER in arm else arm)

    return lost


def _effect_of(arm: str) -> str:
    """The knockout of which one is the control, or the absence."""
    row, _, window = arm.removeprefix("random = ").partition(", ")
    if row in TO_ROW:
        return arms.knockout("O+1 -> LTP", "all")
    if row in TO_TEXT:
        return arms.knockout("O+1 -> LTP", window)
    if row == "I-(O+1) -> LTP" and window == "late":
        return arms.knockout(row, "early")
    if row != "I-(O+1) -> LTP" and window == "early":
        return arms.knockout(row, "mid-late")
    return arms.knockout(row, window)


def opposite(task: str, arm: str) -> float:
    head, _, window = arm.partition(", ")
    if arm in REGIONS:
        return (0.03, 0.01, 0.0)[REGIONS.index(arm)]
    if head == TO_TEXT[1]:
        return 0.99
    if head in (*TO_ROW, TO_TEXT[0]) or head == REGISTER:
        return 0.98 if head == TO_TEXT[0] else 0.6
    if head.startswith(("random", "elsewhere", "gradient =")):
        return 0.2 if head == arms.random(REGISTER) else 0.6
    if head.startswith("gradient "):
        return 0.9 - 0.1 * COUNTS.index(int(head.removeprefix("gradient ")))
    if head == arms.of_object(REGISTER) or arm == "clean":
        return 0.0
    if window in SLIDING:
        return 0.5 - 0.02 * list(SLIDING).index(window)
    early, late = (0.0, 0.3) if head.startswith("I-") else (0.5, 0.0)
    return {"early": early, "all": 0.8}.get(window, late)


def lens_of(name: str, model: str) -> Lens:
    """What the lens shows in a world."""
    paper = PAPER_LENS[model]
    fallen = Lens(
        share=0.01,
        background=0.3,
        absent=0.9,
        best=1.0,
        states=paper.states,
        auc=0.2,
        whole=0.6,
        cases=0.0,
        numbers=0.3,
        numbers_first=0.9,
        persist=0.1,
        persist_by_random=0.9,
        changed=0.9,
        norm=0.9,
        inside=0.0,
        foreign=0.5,
    )
    shown = replace(paper, absent=3 * paper.share, background=paper.share, foreign=paper.cases)
    shown = replace(shown, numbers_first=paper.numbers, absent_auc=paper.auc)
    shown = replace(shown, persist_by_random=paper.persist)
    dead = replace(DEAD_LENS, states=paper.states, norm=0.9, inside=0.0)
    return {"paper": paper, "nothing": dead, "everywhere": shown, "opposite": fallen}[name]


def world(name: str, model: str, n: int = N, same_images: bool = False) -> SimpleNamespace:
    """What claims ask a study of a model for, in this world, of so many images."""
    effects = {
        "paper": worlds.paper(_tabled(model)),
        "nothing": worlds.nothing,
        "everywhere": everywhere(_tabled(model)),
        "opposite": opposite,
    }
    small = name in ("nothing", "opposite")
    drawn = World(
        model,
        effects[name],
        {**dict.fromkeys(TASKS, n), "lens": n},
        lens_of(name, model),
        lambda arm: name != "nothing",
        same_images=same_images,
        tokens=dict.fromkeys(load_figures().tokens, 0.5) if small else {},
    ).draw(np.random.default_rng(0))
    drawn.architecture = tiny_vlm().model if small else build("llava-1.5-7b")
    return drawn


def _tabled(model: str) -> str:
    return model if model != "qwen2-vl-2b" else "llava-1.5-7b"
