"""The store behind claims, end to end on a tiny model: asked again, interrupted, measured afresh,
several workers.

Fails if a measurement that is finished is made once more, if an interrupted one is lost or mixed
up, if --vlm-fresh believes what the store holds, or if workers count an image twice or lose a
verdict.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.tiny import tiny_vlm
from vlmlib import VLM
from vlmlib.study import coco

pytest_plugins = ["tests.inner"]

MEASURED = "subject.measure(('generative',), lambda scene: {})"
MEASURE = f"trial.check(exceeds({MEASURED}.lost('generative', 'clean'), 0.5))"
ALL = "subject.ablations, subject.knockouts, subject.lens, subject.numbers"
# Filter 2 makes two of each of the three scenes, and the tiny model keeps one, for two more.
DESCRIPTIONS = 8


class Asked(Counter[str]):
    """How many scenes were opened, and how often the model described one or was polled. `fail`
    makes one an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__()
        self.failing: tuple[str, int] | None = None
        self.error: type[BaseException] = RuntimeError
        monkeypatch.setattr(coco, "open_image", self._counted("scene", coco.open_image))
        for name in ("describe", "next_token"):
            monkeypatch.setattr(VLM, name, self._counted(name, getattr(VLM, name)))

    def fail(self, name: str, at: int, error: type[BaseException]) -> None:
        self.failing, self.error = (name, at), error

    def restart(self) -> None:
        self.clear()
        self.failing = None

    def _counted(self, name: str, function: Callable) -> Callable:
        def counted(*args, **kwargs):
            self[name] += 1
            if (name, self[name]) == self.failing:
                raise self.error
            return function(*args, **kwargs)

        return counted


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def test_what_was_measured_is_not_measured_again(inner, asked, monkeypatch):
    first = inner.body(f"{ALL}; {MEASURE}", *inner.without_mean)
    assert min(asked["scene"], asked["describe"], asked["next_token"]) > 0
    rows = inner.query("SELECT * FROM results")
    asked.restart()

    def never(*_):
        raise AssertionError

    monkeypatch.setattr("claims.neo2025.study.mean_embedding", never)
    again = inner.body(f"{ALL}; {MEASURE}", *inner.without_mean)
    assert asked == {}
    assert verdicts(again) == verdicts(first) != []
    assert inner.query("SELECT * FROM results") == rows


@pytest.mark.parametrize(
    ("error", "ending"), [(RuntimeError, 1), (KeyboardInterrupt, pytest.ExitCode.INTERRUPTED)]
)
def test_an_interrupted_run_keeps_what_it_had_and_goes_on(inner, asked, error, ending):
    asked.fail("describe", 5, error)  # the first one of the third scene
    assert inner.body(MEASURE, *inner.own).ret == ending
    images = [
        image
        for (image,) in inner.query(
            "SELECT image FROM units WHERE task = 'filter 2' ORDER BY image"
        )
    ]
    assert len(images) == 2
    before = inner.query("SELECT * FROM results")

    asked.restart()
    resumed = inner.body(MEASURE, *inner.own)
    assert asked["describe"] == DESCRIPTIONS - 4
    after = inner.query("SELECT * FROM results")
    assert set(before) < set(after)

    whole = inner.body(MEASURE, *inner.own, f"--vlm-store={inner.folder / 'whole'}")
    assert verdicts(resumed) == verdicts(whole) != []


def test_more_images_add_to_the_ones_that_are_there(inner, asked):
    inner.body(MEASURE, *inner.own, "--vlm-limit=2")
    assert 0 < asked["describe"] < DESCRIPTIONS
    inner.body(MEASURE, *inner.own)
    assert asked["describe"] == DESCRIPTIONS


def test_another_mean_token_another_model_and_another_protocol_are_measured_anew(inner, mean_file):
    second = inner.checkpoint_named("second/my-llava")
    tiny_vlm(seed=1).model.save_pretrained(second)
    another_mean = mean_file(16)
    another_mean.write_bytes(another_mean.read_bytes().replace(b"my-llava", b"another."))
    for number, options in enumerate(
        [
            inner.own,
            (*inner.without_mean, f"--vlm-mean={another_mean}"),
            (*inner.own, "--vlm-protocol=reference"),
            (f"--vlm-model={second}", *inner.on_scenes, inner.own[-1]),
        ]
    ):
        inner.body(MEASURE, *options)
        assert inner.query("SELECT count(*) FROM units WHERE task = 'filter 2'") == [
            (3 * (number + 1),)
        ]


@pytest.mark.parametrize("times", [1, 2])
def test_a_fresh_run_measures_again_even_under_the_process_id_of_the_last(inner, asked, times):
    """In a container every run may have the same process id; here all runs have."""
    inner.body(MEASURE, *inner.own)
    units = inner.query("SELECT key FROM units ORDER BY key")
    for _ in range(times):
        asked.restart()
        inner.body(MEASURE, *inner.own, "--vlm-fresh")
        assert asked["describe"] == DESCRIPTIONS
        assert inner.query("SELECT key FROM units ORDER BY key") == units
    asked.restart()
    inner.body(MEASURE, *inner.own)
    assert asked == {}


WORKERS = """
import pytest
from claimlib.shares import Totals, exceeds, negligible

@pytest.mark.claim("object-buffer-polling")
def test_one(trial, subject):
    assert len(subject.lens.norms["mean"]) == 3
    trial.check(exceeds(Totals(90, 100), 0.5))

@pytest.mark.claim("visual-norms")
def test_two(trial, subject):
    assert len(subject.lens.norms["mean"]) == 3
    trial.check(exceeds(Totals(55, 100), 0.5))

@pytest.mark.claim("last-visual-row-vqa")
def test_three(trial, subject):
    assert len(subject.lens.norms["mean"]) == 3
    trial.check(negligible(Totals(90, 100), 0.1))
"""


def test_workers_find_what_one_process_finds_and_share_the_store_and_one_fresh_run(inner):
    alone = inner.code(WORKERS, *inner.own, f"--claims-report={inner.folder / '1'}")
    rows = "SELECT image, task, arm, tokens FROM results"
    before = inner.query(rows)
    together = inner.code(
        WORKERS, *inner.own, "-n", "2", "--vlm-fresh", f"--claims-report={inner.folder / '2'}"
    )
    expected = {"passed": 1, "failed": 1, "undecided": 1}
    assert alone.parseoutcomes() == together.parseoutcomes() == expected
    assert verdicts(together) == verdicts(alone)
    assert len(verdicts(alone)) == 8
    assert inner.query(rows) == before
    assert inner.query(
        "SELECT count(*), count(DISTINCT image), count(DISTINCT run) FROM units"
    ) == [(3, 3, 1)]
    assert inner.query("SELECT count(*) FROM units WHERE run = ''") == [(0,)]
    pages = [
        {file.name: file.read_text() for file in (inner.folder / name).iterdir()} for name in "12"
    ]
    assert pages[0] == pages[1]
    assert pages[0].keys() == {"verdicts.md", "findings.md", "my-llava.lens.md"}


def verdicts(result: pytest.RunResult) -> list[str]:
    """The lines of the verdict section."""
    start = next(
        index for index, line in enumerate(result.outlines) if line.strip("= ") == "verdicts"
    )
    section = result.outlines[start + 1 :]
    return [line for line in section if not line.startswith(("=", "report: ")) and line]
