"""Which runs and models a claim is held against, and as what pytest and reports know them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from claimlib import Claim, ClaimError, Subject
from claims.neo2025 import sample
from claims.neo2025.protocol import TEXT
from claims.neo2025.sensitivity import PROTOCOLS
from claims.neo2025.study import ASKED, Recorded
from fixtures import filtered
from fixtures.models import MODELS, SHIPPED, SHIPPED_DATA, STAND_IN, Run, label_of
from fixtures.plugin import RECORDING, store_folder
from vlmlib.study import Recording
from vlmlib.study.recording import Missing

INFERRED = (
    "As published: verdicts from the paper's printed figures alone. It prints no sample sizes; "
    "they are inferred from the fractions (claims/neo2025/figures.toml says how). Their rules "
    "differ from those of measured results: which images two counts share is not known, so that a "
    "comparison holds only if it holds for every pairing; images count as independent; a control "
    "that is not printed is replaced by the nearest random row, or missing; and nothing says "
    "whether an intervention did anything."
)
PUBLISHED, ARCHITECTURE = "As published", "By the architecture"
SHIPPED_GROUP = "Shipped stand-in, measured"
GROUPS = {"measured": "Measured", "recorded": "Recorded"}
LISTS = ("models", "published", "architectures")
# On which images a claim means something: others than the paper's, its own, or all that there are.
OTHERS, THE_PAPERS, ALL = IMAGES = "others", "the paper's", "all"
SEED = 0


def subjects_of(config: pytest.Config, claim: Claim) -> list[Subject]:
    """All that a claim is held against; what it is not, this time, with `asked=False`.

    **Raises:** `ClaimError` as `check_subjects` and `runs_of`.
    """
    check_subjects(claim)
    named, protocols = config.option.vlm_model, config.option.vlm_protocol
    recording = config.stash.get(RECORDING, None)
    if "architectures" in claim.subjects:
        return [_architecture(each, named) for each in claim.subjects["architectures"]]
    if recording:
        asked = recorded_runs_of(claim, recording, named)
    else:
        own, limited = filtered.are_the_papers(config.option.vlm_questions), config.option.vlm_limit
        asked = [
            run
            for run in runs_of(claim, named, protocols)
            # the shipped model is asked about its own scenes, whatever others are asked
            if _speaks_of(claim, own and not on_shipped(run), limited is not None)
        ]
    others = [run for run in runs_of(claim, None, list(PROTOCOLS)) if run not in asked]
    others += _not_printed(claim)
    known = (replace(subject_of(run, config), asked=False) for run in others)
    return [*(subject_of(run, config) for run in asked), *known]


def check_subjects(claim: Claim) -> None:
    """**Raises:** `ClaimError` for an entry in `subjects` that means nothing here."""
    where = f"claims.toml, [{claim.id}]: subjects"
    unknown = claim.subjects.keys() - {*LISTS, "models_only", "images", "asks"}
    if unknown:
        raise ClaimError(f"{where}: key {min(unknown)!r} is unknown.")
    only = claim.subjects.get("models_only", True)
    if only is not True:
        raise ClaimError(f"{where}: models_only is {only!r}; expected true, or no such key.")
    images = claim.subjects.get("images", OTHERS)
    if images not in IMAGES:
        raise ClaimError(f"{where}: images is {images!r}; expected one of {', '.join(IMAGES)}.")
    if not claim.subjects.get("models") and not claim.subjects.get("architectures"):
        raise ClaimError(f"{where}: has neither models nor architectures; name what it speaks of.")
    for key in LISTS:
        for name in _names(f"{where}: {key}", claim.subjects.get(key, [])):
            _check_models(f"{where}: {key}", name)
    asks = _names(f"{where}: asks", claim.subjects.get("asks", []))
    if bool(asks) != bool(claim.subjects.get("models")) or not {*asks} <= ASKED.keys():
        raise ClaimError(
            f"{where}: asks is {asks!r}; expected what its test asks of the models, of "
            f"{', '.join(ASKED)}."
        )


def _names(where: str, names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ClaimError(f"{where} is {names!r}; expected a list of names.")
    return names


def _check_models(where: str, names: str) -> None:
    for name in names.split("+"):
        if name not in MODELS:
            raise ClaimError(f"{where}: model {name!r} is none of {', '.join(MODELS)}.")


def runs_of(claim: Claim, named: list[str] | None, protocols: list[str] | None) -> list[Run]:
    """What a claim is held against: the models named, or the shipped one, the published figures and
    its own models.

    A claim that means nothing on other models runs on its own alone.

    **Raises:** `ClaimError` for a protocol that there is not.
    """
    protocols = list(dict.fromkeys(protocols or ["text"]))
    for name in protocols:
        if name not in PROTOCOLS:
            raise ClaimError(f"--vlm-protocol {name}: expected one of {', '.join(PROTOCOLS)}.")
    models = _models_of(claim, named)
    published = [] if named else claim.subjects.get("published", [])
    beside = tuple(named or ())
    return [
        *(Run(model, kind="published") for model in published),
        *(Run(model, protocol, beside=beside) for model in models for protocol in protocols),
    ]


def _not_printed(claim: Claim) -> list[Run]:
    """The models of a claim for which the paper prints no figures of it."""
    printed = claim.subjects.get("published", [])
    models = [model for model in claim.subjects["models"] if model not in printed]
    return [Run(model, kind="published") for model in models]


def on_shipped(run: Run) -> bool:
    """Whether a run measures the shipped model, which is asked about its own scenes."""
    return run.model == SHIPPED and run.kind == "measured"


def _speaks_of(claim: Claim, own_images: bool, limited: bool = False) -> bool:
    """Whether a claim means something on the paper's own images, or on others, or on a part."""
    images = claim.subjects.get("images")
    if images in (None, ALL):
        return images is None or not limited
    return (images == THE_PAPERS) == own_images


def _models_of(claim: Claim, named: Sequence[str] | None) -> list[str]:
    own = claim.subjects["models"]
    if claim.subjects.get("models_only"):
        return [model for model in own if not named or set(model.split("+")) <= set(named)]
    return [model for model in named or [SHIPPED, *own] if label_of(model) not in claim.not_on]


def recorded_runs_of(claim: Claim, recording: Recording, named: list[str] | None) -> list[Run]:
    """The runs in a recording to which a claim applies, of the models named or of all."""
    wanted = [label_of(model, named or ()) for model in named or []]
    sets = {data for _, data, _ in recording.subjects}
    by_setting: dict[tuple[str, str], list[str]] = {}
    for model, data, protocol in recording.subjects:
        # how many images were asked for is not recorded
        if not _speaks_of(claim, data.endswith(filtered.THE_PAPERS), limited=True):
            continue
        if protocol in PROTOCOLS and (not wanted or model in wanted):
            by_setting.setdefault((data, protocol), []).append(model)
    return [
        Run(model, protocol, "recorded", data, one_of_several=len(sets) > 1)
        for (data, protocol), models in by_setting.items()
        for model in _models_of(claim, models)
    ]


def subject_of(run: Run, config: pytest.Config) -> Subject:
    """What a claim is held against, as reports and pytest are to know it; nothing is loaded."""
    shipped = run.model == SHIPPED
    order = int("+" in run.model)  # those of several last, when each model has had its turn
    note = STAND_IN if shipped else ""
    match run.kind:
        case "published":
            source = "the paper's printed figures"
            return Subject(run.label, run, source, INFERRED, group=PUBLISHED, missing="not printed")
        case "recorded":
            recording = config.stash[RECORDING]
            source = f"recorded on {run.data}; rows: {', '.join(map(str, recording.paths))}"
            missing = _missing(recording, run, config.option.vlm_limit or sample.MOST_IMAGES)
            note = " ".join(filter(None, [note, _told(run, missing)]))
            known_as = Run(run.model, run.protocol).label
            group, beside = GROUPS["recorded"], _beside_recorded(run, config)
            return Subject(
                run.label, run, source, note, known_as, beside, group, toy=shipped, order=order
            )
    return Subject(
        label=run.label,
        value=run,
        source=_source(run, config),
        note=note,
        toy=shipped,
        beside="" if run.protocol == TEXT.name else replace(run, protocol=TEXT.name).label,
        group=SHIPPED_GROUP if shipped else GROUPS["measured"],
        marks=() if shipped else (pytest.mark.gpu,),
        order=order,
    )


@cache
def _missing(recording: Recording, run: Run, most: int) -> list[Missing]:
    return Recorded(recording, (run.model, run.data, run.protocol), most=most).missing


def _told(run: Run, missing: Sequence[Missing]) -> str:
    """What is missing in a recording, in a note."""
    return f"{run.label}: {' '.join(map(str, missing))}" if missing else ""


def _beside_recorded(run: Run, config: pytest.Config) -> str:
    """What a recording under another protocol than the text's is compared with: the text's own, or
    the model itself, where that was not recorded."""
    if run.protocol == TEXT.name:
        return ""
    both = (run.model, run.data, TEXT.name) in config.stash[RECORDING].subjects
    return (replace(run, protocol=TEXT.name) if both else Run(run.model)).label


def _architecture(model: str, named: list[str] | None) -> Subject:
    return Subject(
        label=f"{model}, architecture",
        value=Run(model),
        source="the architecture's published dimensions",
        group=ARCHITECTURE,
        missing="not counted",
        asked=not named or model in named,
    )


def _source(run: Run, config: pytest.Config) -> str:
    folder = SHIPPED_DATA if run.model == SHIPPED else config.option.vlm_coco
    data = folder.name if folder else "no data set"
    return f"measured on {data}, seed {SEED}; rows: {store_folder(config) / 'rows.sqlite'}"
