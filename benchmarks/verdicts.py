"""How often is each claim supported, refuted and undecided in worlds whose truth is known?

python -m benchmarks.verdicts                 # a few draws of every world, minutes
python -m benchmarks.verdicts --draws 200     # docs/verdicts.md at bounds, hours; can be stopped

Runs the project's own claim tests on drawn results (benchmarks/worlds.py): the paper's world at its
own sample sizes and at others; instruments that do nothing; every claim at its bound; and images
that share categories. Draws are kept in build/verdicts.json, from where a run goes on.
"""

import argparse
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import worlds
from benchmarks.bounds import at_bounds
from benchmarks.worlds import CHANCE_LENS, DEAD_LENS, PAPER_LENS, World
from claimlib.claims import Subject, Trial, load_claims
from claimlib.errors import ClaimRefuted, ClaimUndecided
from claimlib.verdicts import tail
from claims import neo2025
from claims.neo2025 import (
    test_attention_flow,
    test_global_features,
    test_localization,
    test_logit_lens,
    test_setup,
)
from claims.neo2025.protocol import TASKS
from claims.neo2025.published import Published

KEPT = Path("build") / "verdicts.json"
CLAIMS = load_claims(Path(neo2025.__file__).parent / "claims.toml")
ROOMS = (test_setup, test_localization, test_logit_lens, test_global_features, test_attention_flow)
TESTS: dict[str, Callable[..., None]] = {
    marker.args[0]: function
    for room in ROOMS
    for function in vars(room).values()
    for marker in getattr(function, "pytestmark", ())
    if marker.name == "claim"
}
# What annotations or an architecture decide, and not a sample.
COUNTED = {id_ for id_, claim in CLAIMS.items() if "architectures" in claim.subjects}
COUNTED |= {"object-area", "lens-object-area", "images-left"}
BOUND_GROUPS = {"at its bound": 0.0, "at its bound, ICC 0.1": 0.1}
REPEAT = "table-2-repeat"  # of the very images that are printed, and of no others
LENS = {"llava-1.5-7b": 170, "llava-phi-3": 170, "qwen2-vl-2b": 253}
OWN = {
    "llava-1.5-7b": {"generative": 39, "polling": 39, "VQA": 90},
    "llava-phi-3": {"generative": 1140, "polling": 488, "VQA": 53},
}


def sizes(model: str, which: str | int) -> dict[str, int]:
    """How many images count: the paper's "own", the "realistic" mix, or as many for every task."""
    own = OWN.get(model, OWN["llava-1.5-7b"])
    if which == "own":
        chosen: Mapping[str, int] = own
    elif which == "realistic":
        chosen = {**dict.fromkeys(TASKS, 1000), "VQA": own["VQA"]}
    else:
        chosen = dict.fromkeys(TASKS, int(which))
    return {**chosen, "lens": LENS[model] if isinstance(which, str) else int(which)}


def paper(model: str, which: str | int, **more: Any) -> World:
    """The paper's world for one of its models."""
    lens = more.pop("lens", PAPER_LENS[model])
    effects = more.pop("effects", worlds.paper(model if model in OWN else "llava-1.5-7b"))
    return World(model, effects, sizes(model, which), lens, **more)


def of_interest(model: str) -> list[str]:
    """The sampled claims that speak of a model."""
    return [
        id_
        for id_, claim in CLAIMS.items()
        if id_ not in (*COUNTED, REPEAT)
        and any(model in each.split("+") for each in claim.subjects["models"])
    ]


def is_block(arm: str) -> bool:
    return "->" in arm


def paper_worlds() -> dict[str, World]:
    """(i) the paper's world."""
    found = {}
    for model in OWN:
        for which in ("own", 30, 100, 300, 1000, "realistic"):
            found[f"paper, {model}, {which}"] = paper(model, which)
        found[f"paper, {model}, realistic, ICC 0.1"] = paper(model, "realistic", icc=0.1)
    for which in ("own", 30, 100, 300, 1000):
        found[f"paper, qwen2-vl-2b, {which}"] = paper("qwen2-vl-2b", which)
    return found


def dead_worlds() -> dict[str, World]:
    """(ii) instruments that do nothing."""
    found = {}
    for model in OWN:
        for which in ("own", "realistic"):
            picture = paper(model, which, effects=worlds.nothing, lens=DEAD_LENS)
            dead = {
                "engine": replace(picture, alive=lambda arm: False),
                "blocks": paper(model, which, alive=lambda arm: not is_block(arm)),
                "ablations": paper(model, which, alive=is_block),
                "picture": picture,
            }
            found |= {f"dead {name}, {model}, {which}": world for name, world in dead.items()}
    for model in ("llava-1.5-7b", "qwen2-vl-2b"):
        broadcast = replace(PAPER_LENS[model], background=PAPER_LENS[model].share, auc=0.5)
        lenses = {"decodes nothing": DEAD_LENS, "by chance": CHANCE_LENS, "broadcasts": broadcast}
        for name, lens in lenses.items():
            lens = replace(lens, states=PAPER_LENS[model].states, best=PAPER_LENS[model].best)
            found[f"lens {name}, {model}"] = paper(model, "own", lens=lens)
    return found


def repeated_worlds() -> dict[str, World]:
    """The paper's own images once more, by the same engine and by one that does nothing."""
    model = "llava-1.5-7b"
    again = paper(model, "own", same_images=True)
    dead = replace(again, effects=worlds.nothing, alive=lambda arm: False)
    return {"the same images": again, "the same images, dead engine": dead}


def bound_worlds(which: str | int = 1000, icc: float = 0.0) -> dict[str, World]:
    """(iii) every claim at its bound, and (iv) so with images that share categories."""

    def world(model: str, **more: Any) -> World:
        return paper(model, which, icc=icc, **more)

    return at_bounds(CLAIMS, world)


@cache
def printed(model: str) -> Published:
    return Published(model)


def outcome(claim: str, subject: Any, subjects: Iterable[Any] = ()) -> tuple[str, Any]:
    """How a claim comes out on a drawn study, and its verdict."""
    trial = Trial(CLAIMS[claim], Subject("drawn"))
    given = {"trial": trial, "subject": subject, "subjects": subjects}
    asked = inspect.signature(TESTS[claim]).parameters
    if "printed" in asked:
        given["printed"] = printed(subject.name)
    try:
        TESTS[claim](**{name: given[name] for name in asked})
    except ClaimRefuted:
        return "refuted", trial.verdicts[-1]
    except ClaimUndecided:
        return "undecided", trial.verdicts[-1]
    return "supported", trial.verdicts[-1]


def draw(world: World, ids: Iterable[str], seed: Iterable[int]) -> dict[str, str]:
    """How claims come out on one draw of a world, and beside it those that tell an average over
    settings. Claims on several models see a draw of the others as they are printed."""
    rng = np.random.default_rng([*seed])
    study, others, found = world.draw(rng), {}, {}

    def of(model: str) -> Any:
        if model == world.model:
            return study
        if model not in others:
            effects, lens = worlds.paper(_tabled(model)), PAPER_LENS[model]
            other = replace(world, model=model, effects=effects, lens=lens, tokens={})
            others[model] = other.draw(rng)
        return others[model]

    for id_ in ids:
        models = next(
            (each for each in CLAIMS[id_].subjects["models"] if world.model in each.split("+")), ""
        )
        said, verdict = outcome(id_, study, [of(each) for each in models.split("+")])
        found[id_] = said
        if verdict.on_average:
            found[f"{id_}, on average"] = str(verdict.on_average.outcome)
    return found


def _tabled(model: str) -> str:
    return model if model in OWN else "llava-1.5-7b"


def tried(name: str, world: World, draws: int, ids: Iterable[str], kept: dict[str, Any]) -> None:
    """Add draws of a world to those that are kept, up to so many."""
    counts = kept.setdefault(name, {"draws": 0, "claims": {}})
    for number in tqdm(range(counts["draws"], draws), name, leave=False):
        for id_, found in draw(world, ids, (number,)).items():
            tally = counts["claims"].setdefault(id_, {})
            tally[found] = tally.get(found, 0) + 1
        counts["draws"] = number + 1


def shares(kept: Mapping[str, Any], name: str, claim: str) -> str:
    tally = Counter(kept.get(name, {}).get("claims", {}).get(claim, {}))
    if not tally:
        return ""
    total = sum(tally.values())
    return " / ".join(f"{100 * tally[each] / total:.0f}" for each in ("supported", "refuted"))


def table(kept: Mapping[str, Any], names: Iterable[str]) -> str:
    """Supported / refuted in per cent of draws, by claim (rows) and world (columns)."""
    names = list(names)
    lines = ["| claim | " + " | ".join(names) + " |", "|:--|" + "--:|" * len(names)]
    for claim in CLAIMS:
        found = [shares(kept, name, claim) for name in names]
        if any(found):
            lines.append(f"| `{claim}` | " + " | ".join(found) + " |")
    return "\n".join(lines) + "\n"


def bound_table(kept: Mapping[str, Any]) -> str:
    """The same of worlds at bounds, a column for each degree of clustering; the level is what a
    verdict may be false in."""
    lines = [
        "| claim at its bound | level | " + " | ".join(BOUND_GROUPS) + " |",
        "|:--|--:|--:|--:|",
    ]
    for name in bound_worlds():
        claim = name.split()[0]
        found = [shares(kept, f"{name}, {group}", claim) for group in BOUND_GROUPS]
        level = CLAIMS[claim].level
        if any(found) and level:
            lines.append(f"| `{name}` | {100 * tail(level):g} | " + " | ".join(found) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--only", default="", help="worlds whose names contain this")
    parser.add_argument("--kept", type=Path, default=KEPT)
    options = parser.parse_args()
    kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    for group, found in groups().items():
        chosen = {name: each for name, each in found.items() if options.only in name}
        for name, (ids, world) in chosen.items():
            tried(name, world, options.draws, ids, kept)
            options.kept.parent.mkdir(parents=True, exist_ok=True)
            options.kept.write_text(json.dumps(kept, indent=1))
        if chosen and group not in BOUND_GROUPS:
            print(f"\n{group}: supported / refuted, % of {options.draws} draws\n")
            print(table(kept, chosen))
    print("\nat its bound: supported / refuted, % of draws\n")
    print(bound_table(kept))


def groups() -> dict[str, dict[str, tuple[list[str], World]]]:
    """All worlds by name, each with the claims that are tried in it."""
    bounds = {
        group: {
            f"{name}, {group}": ([name.split()[0]], world)
            for name, world in bound_worlds(icc=icc).items()
        }
        for group, icc in BOUND_GROUPS.items()
    }
    return {
        "the paper's world": _with_claims(paper_worlds()),
        "doing nothing": _with_claims(dead_worlds()),
        "the paper's own images": {
            name: ([REPEAT], world) for name, world in repeated_worlds().items()
        },
        **bounds,
    }


def _with_claims(found: Mapping[str, World]) -> dict[str, tuple[list[str], World]]:
    return {name: (of_interest(world.model), world) for name, world in found.items()}


if __name__ == "__main__":
    main()
