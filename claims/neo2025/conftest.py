"""What the paper's claims are held against: the shipped model, the paper's own models, or those
that --vlm-model names; recorded rows of any; and the paper's printed figures."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from claimlib import Claim, ClaimError, Figure, Subject, Trial
from claimlib.markdown import one_line
from claimlib.plugin import claim_of
from claimlib.plugin import subject_of as subject_of_item
from claimlib.report import origins_section
from claims.neo2025 import architectures, lens_pages, sample
from claims.neo2025.cases import Behind
from claims.neo2025.forecast import Forecast
from claims.neo2025.pages import (
    chosen_of,
    images_told,
    origins_of,
    origins_together,
    pages_of,
    rows_of,
)
from claims.neo2025.protocol import TEXT
from claims.neo2025.published import Published
from claims.neo2025.sensitivity import PROTOCOLS
from claims.neo2025.speed import Speed
from claims.neo2025.study import ASKED, Measured, Recorded, Study
from claims.neo2025.tables import Cells, looked_at
from fixtures.cluster import Cluster
from fixtures.models import MODELS, SHIPPED, SHIPPED_DATA, STAND_IN, Models, Run, label_of
from fixtures.plugin import RECORDING, data_of, handle_of, store_folder, tell, uncaptured
from fixtures.shards import SHARD, Gathering
from vlmlib import VLM, VLMError
from vlmlib.study import Bench, Recording, Store, coco
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
CLAIMS = pytest.StashKey[dict[Run, list[Claim]]]()  # that are held against a run by measuring it
LOOKED_AT = pytest.StashKey[set[str]]()  # the subjects whose pages of the lens are in the report


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    check_subjects(claim)
    named, protocols = config.option.vlm_model, config.option.vlm_protocol
    recording = config.stash.get(RECORDING, None)
    if "architectures" in claim.subjects:
        return [_architecture(each, named) for each in claim.subjects["architectures"]]
    if recording:
        asked = recorded_runs_of(claim, recording, named)
    else:
        own, limited = sample.are_the_papers(config.option.vlm_questions), config.option.vlm_limit
        asked = [
            run
            for run in runs_of(claim, named, protocols)
            # the shipped model is asked about its own scenes, whatever others are asked
            if _speaks_of(claim, own and not _on_shipped(run), limited is not None)
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


def _on_shipped(run: Run) -> bool:
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
        if not _speaks_of(claim, data.endswith(sample.THE_PAPERS), limited=True):
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


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Notes which claims are held against which run; of a shard those on one are one item, which
    measures (see `Gathering`)."""
    ours = [item for item in items if "study_of" in getattr(item, "fixturenames", ())]
    asking: dict[Run, list[pytest.Item]] = {}
    for item in ours:
        for run in _measured_by(item):
            asking.setdefault(run, []).append(item)
    config.stash[CLAIMS] = {run: list(map(claim_of, asked)) for run, asked in asking.items()}
    if config.stash[SHARD] is None:
        return
    items[:] = [item for item in items if item not in ours]
    items += [Gathering.of(first, _gathering(run)) for run, (first, *_) in asking.items()]


def _measured_by(item: pytest.Item) -> list[Run]:
    """The runs that a test measures."""
    subject = subject_of_item(item)
    asks_a_model = {"subject", "subjects"} & {*getattr(item, "fixturenames", ())}
    if subject and isinstance(subject.value, Run) and asks_a_model:
        return subject.value.each() if subject.value.kind == "measured" else []
    return []


def asked_of(run: Run, config: pytest.Config) -> list[str]:
    """What claims ask of a run, by the names of `ASKED`."""
    asked = {name for claim in config.stash[CLAIMS][run] for name in claim.subjects["asks"]}
    return [name for name in ASKED if name in asked]


def _gathering(run: Run) -> Callable[..., None]:
    def gather(study_of: Callable[[Run], Study], store: Store, pytestconfig: pytest.Config) -> None:
        study = study_of(run)
        assert isinstance(study, Measured)
        found = study.gather(asked_of(run, pytestconfig))
        if store.share[0] == 0 and store.shard:
            number, count = store.shard
            held = "; ".join(f"{name}: {len(images)}" for name, images in found.items())
            print(f"\n{run.label}, shard {number + 1} of {count}, images: {held}", file=sys.stderr)

    return gather


def measured(
    run: Run,
    option: Any,
    models: Models,
    store: Callable[[], Store],
    at_load: Callable[[VLM], None] | None = None,
    at_filtered: Callable[[], None] | None = None,
) -> Measured:
    """What answers a run's questions by measuring, in whatever process.

    **Arguments:** a run; the options; what loads models; what opens the store; what is to happen
    once the model is loaded, and once filter 2 is known.
    """
    most = option.vlm_limit or sample.MOST_IMAGES
    folder, limit = data_of(run.model, option)
    protocol = PROTOCOLS[run.protocol]
    questions = None if _on_shipped(run) else option.vlm_questions
    common = {"limit": limit, "crowds": protocol.crowds, "most_bad": option.vlm_bad}
    purpose = sample.IDENTIFICATION
    images = sample.filter_1(folder, purpose, questions, store=store(), **common)
    lens_images = sample.filter_1(folder, sample.LENS, store=store(), **common)
    mean, averaged = sample.mean_of(option.vlm_mean, images, store())
    handle = handle_of(run.model, option, models)
    bench = Bench(
        model=replace(handle, load=_once_loaded(handle.load, at_load)) if at_load else handle,
        store=store(),
        mean=mean,
        data=images.data,
        protocol=run.protocol,
        seed=SEED,
        label=run.label,
        annotations=_annotations(folder, store()),
        bad=sum(step.all_bad for step in (*images.steps, *lens_images.steps, averaged)),
    )
    images = replace(images, steps=[*images.steps, averaged])
    return Measured(
        bench,
        images,
        lens_images,
        protocol,
        run.label,
        most,
        at_filtered,
        option.vlm_lens_page,
        option.vlm_lens_words or (),
    )


def _once_loaded(load: Callable[[], VLM], at_load: Callable[[VLM], None]) -> Callable[[], VLM]:
    """What loads a model, and at the first time does something with it."""
    tell = cache(at_load)

    def loading() -> VLM:
        vlm = load()
        tell(vlm)
        return vlm

    return loading


@pytest.fixture(scope="session")
def study_of(
    request: pytest.FixtureRequest, models: Models, workers: Cluster | None
) -> Callable[[Run], Study]:
    """Makes what answers a run's questions, once; nothing is loaded or opened before it must be."""
    config, option = request.config, request.config.option
    most = option.vlm_limit or sample.MOST_IMAGES
    told: list[list[str]] = []

    def recorded(run: Run) -> Study:
        subject = (run.model, run.data, run.protocol)
        return Recorded(config.stash[RECORDING], subject, run.label, most)

    def measuring(run: Run) -> Study:
        foretelling = Foretelling(config, run)
        store = partial(request.getfixturevalue, "store")
        with uncaptured(config):
            study = measured(run, option, models, store, foretelling.at_load, foretelling.again)
        head = one_line(f"{label_of(run.model)} on {study.images.data}")
        lines = images_told(head, study.images, study.lens_images)
        if lines not in told:
            told.append(lines)
            tell(config, lines)
        foretelling.begin(study)
        if workers:
            gather = partial(workers.gather, measured, run, study.bench, asked_of(run, config))
            models.once(("measured", run), gather)
        return study

    def published(run: Run) -> Study:
        return Published(run.model)

    make = {"measured": measuring, "recorded": recorded, "published": published}
    return cache(lambda run: make[run.kind](run))


class Foretelling:
    """Tells what a run will take: before it measures, once its model is loaded, and once more when
    filter 2 has told how many images the rest is of."""

    def __init__(self, config: pytest.Config, run: Run):
        self.config, self.run = config, run
        self.study: Measured | None = None
        self.forecast: Forecast | None = None
        self.speed: Speed | None = None

    def begin(self, study: Measured) -> None:
        """Tells how much there is to measure; nothing where there are no images, as the claims will
        say."""
        self.study, self.forecast = study, self._made(study)
        if self.forecast:
            tell(self.config, self.forecast.told(self.config.stash[CLAIMS][self.run]))

    def at_load(self, vlm: VLM) -> None:
        """Tells how long it will take, by how fast the model is; of several processes the first."""
        if self.study is None or self.forecast is None or self.study.bench.store.share[0]:
            return
        images = [*self.study.images.examples, *self.study.lens_images.examples]
        try:
            self.speed = Speed.of(vlm, images[0])
        except VLMError as error:  # such as an image that the model refuses, which is then left out
            self._tell(f"{self.run.label}: how long it takes is not known: {error}")
        else:
            self._tell_time(self.forecast)

    def again(self) -> None:
        """The time once more, where filter 2 was not known."""
        if self.study and self.speed and self.forecast and self.forecast.passing is not None:
            self.forecast = self._made(self.study)
            if self.forecast:
                self._tell_time(self.forecast)

    def _made(self, study: Measured) -> Forecast | None:
        try:
            return Forecast.of(study, asked_of(self.run, self.config))
        except VLMError:
            return None

    def _tell_time(self, forecast: Forecast) -> None:
        assert self.study
        assert self.speed
        self._tell(forecast.time(self.speed, self.study.bench.store.share[1]))

    def _tell(self, line: str) -> None:
        tqdm.write(f"\n{one_line(line)}", file=sys.stderr)  # beside a bar that is there


def _annotations(folder: Path, store: Store) -> str:
    """The hashes of the files that say what the pictures show."""
    splits = (sample.IDENTIFICATION.split, sample.LENS.split)
    files = dict.fromkeys(coco.annotation_file(folder, split) for split in splits)
    return ", ".join(f"{file.name} {store.file_key(file)}" for file in files)


@pytest.fixture
def subject(claim_subject: Subject, study_of: Callable[[Run], Study]) -> Study:
    """The model of this test on its data set, its recorded rows, or the paper's figures of it."""
    return study_of(claim_subject.value)


@pytest.fixture
def subjects(claim_subject: Subject, study_of: Callable[[Run], Study]) -> Iterator[Study]:
    """The models of this test one after the other."""
    return map(study_of, claim_subject.value.each())


@pytest.fixture
def architecture(claim_subject: Subject) -> Any:
    """The model of this test without weights, from its published dimensions."""
    return architectures.build(claim_subject.value.model)


@pytest.fixture
def printed(claim_subject: Subject) -> Published:
    """What the paper prints about the model of this test."""
    return Published(claim_subject.value.model)


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, trial: Trial, study_of: Callable[[Run], Study]
) -> Iterator[Trial]:
    """The claim of this test; a page of each measurement that was made goes into the report."""
    made = request.node.funcargs  # which an interrupted test no longer has
    with looked_at() as cells:
        yield trial
    if "subject" in made:
        study = made["subject"]
        trial.origins |= origins_of(study)
        trial.chosen |= chosen_of(study)
        how = origins_section(trial.origins)
        trial.pages |= {name: page + how for name, page in pages_of(study).items()}
        if request.config.option.claims_report:
            _show_images(trial, study, cells)
            trial.figures |= drawn(study)
            trial.files |= rows_of(study) | lens_files(study, request.config)
    elif "subjects" in made:
        studies = list(map(study_of, trial.subject.value.each()))
        for each in studies:
            trial.origins |= origins_of(each)
            trial.chosen |= chosen_of(each)
            if request.config.option.claims_report:
                _show_images(trial, each, cells, f", {each.label}")
        trial.origins |= origins_together(trial.label, studies)


def _show_images(trial: Trial, study: Study, cells: Cells, of: str = "") -> None:
    """Put the images behind a verdict into the report; `of`: which of several models' they are."""
    decided_by = trial.verdicts[-1].decided_by if trial.verdicts else ""
    behind = Behind.of(study, cells, trial.claim.subjects.get("asks", ()), decided_by)
    trial.cases += [replace(each, setting=each.setting + of) for each in behind.cases]
    trial.compared += behind.compared


def drawn(study: Study) -> dict[str, Figure]:
    """The figures of a study; none where nothing can draw."""
    if not find_spec("matplotlib"):
        return {}
    from claims.neo2025.figures import figures_of

    return figures_of(study)


def lens_files(study: Study, config: pytest.Config) -> dict[str, str]:
    """Pages on which to look around in what the lens shows, where a report asks for them and it was
    measured; of a run the first test that can has them, as they are large."""
    option, given = config.option, config.stash.setdefault(LOOKED_AT, set())
    most = option.vlm_lens_page
    if not most or "lens" not in study.made or study.label in given:
        return {}
    assert isinstance(study, Measured | Recorded)
    given.add(study.label)
    found = [each for each in study.in_full if each.rows][:most]
    notes = [STAND_IN] if study.name == SHIPPED else []
    return lens_pages.files(study.label, study.data, found, study.picture, notes)
