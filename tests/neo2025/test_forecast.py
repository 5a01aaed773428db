"""What a run tells before it measures: is it what the run then is?

Fails if a run measures another number of images than it was told, if what is in the store is told
as missing or the reverse, if a claim is called decidable that so few images never decided, or if
the files of costs and power are not those that their programs write.
"""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import costs, power, rehearsal
from benchmarks.rehearsal import Table1
from claims.neo2025.forecast import MEAN, Expected, Forecast, Part, papers_share
from claims.neo2025.power import POWER, decided
from claims.neo2025.protocol import TEXT
from claims.neo2025.sensitivity import PROTOCOLS
from claims.neo2025.speed import Speed
from claims.neo2025.study import ASKED, FILTER_2, GRADIENTS, IN_FULL, LENS, Measured
from tests.neo2025 import NEO2025 as CLAIMS
from tests.neo2025 import planted
from vlmlib import ImageError
from vlmlib.study import Store

IMAGES = 6
QUICK = replace(TEXT, steps=2)
EVERY = [name for name in ASKED if name != "numbers"]  # the planted ones decode to none


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return planted.write_data(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture
def study_of(folder, tmp_path):
    def study(shard: tuple[int, int] | None = None, most=1000, **more: Any) -> Measured:
        stores.append(Store(tmp_path / f"store {shard}", shard=shard))
        vlm = planted.planted(*planted.LOCAL)
        return planted.study_of(vlm, folder, stores[-1], IMAGES, IMAGES, most=most, **more)

    stores: list[Store] = []
    yield study
    for store in stores:
        store.close()


def parts_of(study: Measured, asked=EVERY) -> dict[str, Part]:
    return {part.name: part for part in Forecast.of(study, asked).parts}


@pytest.mark.slow
@pytest.mark.parametrize("most", [1000, 3])
@pytest.mark.parametrize("shard", [None, (0, 2)])
@pytest.mark.parametrize("protocol", [QUICK, replace(PROTOCOLS["authors"], steps=2)])
def test_a_run_is_of_as_many_images_as_is_told(study_of, protocol, shard, most):
    """Once filter 2 is known."""
    study = study_of(protocol=protocol, shard=shard, most=most)
    assert all(part.held == 0 for part in parts_of(study).values())
    assert study.described
    told = parts_of(study)
    found = study.gather(EVERY)
    for name, part in told.items():
        if name in found:
            assert part.images == sum(bool(each.rows) for each in found[name]), name
    for part in parts_of(study).values():
        assert (part.missing, part.held) == (0, part.images), part
        assert part.told.endswith(", all in the store")


def test_only_what_claims_ask_is_told(study_of):
    assert [*parts_of(study_of(), ["lens"])] == [MEAN, LENS]
    assert GRADIENTS not in parts_of(study_of(), ["knockouts", "flips"])
    assert GRADIENTS in parts_of(study_of(), ["ablations"])


@pytest.mark.slow
@pytest.mark.parametrize("shard", [None, (0, 2)])
def test_pages_of_the_lens_are_told_and_timed(study_of, shard):
    study = study_of(shard=shard, pages=2)
    assert IN_FULL not in parts_of(study, ["flips"])
    told = parts_of(study, ["lens"])[IN_FULL]
    assert f", {IN_FULL} " in Forecast.of(study, ["lens"]).time(speed(launch=1.0))
    assert (told.held, told.images) == (0, sum(bool(each.rows) for each in study.in_full))
    assert parts_of(study, ["lens"])[IN_FULL].missing == 0


def test_what_filter_2_is_not_asked_yet_passes_it_as_in_the_paper(study_of):
    expected = Expected(study_of(most=1))
    assert papers_share("llava-1.5-7b") == 39 / 4318
    assert papers_share("llava-phi-3") == papers_share("any") == 1140 / 4318
    assert expected.more == pytest.approx(4318 / 1140)  # until one passes
    assert expected.passed == pytest.approx(1)


def test_a_run_that_has_enough_asks_no_more(study_of):
    study = study_of(most=2)
    assert study.described
    expected = Expected(study)
    assert (expected.more, expected.passed) == (0, 2)
    assert Forecast.of(study, EVERY).passing is None
    assert expected.sizes(["ablations"])["images"] == 2


@pytest.mark.parametrize(("model", "kept"), [("llava-1.5-7b", 0), ("llava-phi-3", 0), ("any", 999)])
def test_as_many_are_named_as_the_rehearsal_assumes(model, kept):
    options = rehearsal.parsed(["--kept", str(kept)])
    table, many = Table1.of(model, options), rehearsal.reached(model, options)
    told: Any = SimpleNamespace(
        reached=range(many), more=0, passed=table.passing, of={"generative": table.measured}.get
    )
    share = table.named / table.measured
    assert Expected.costing.__get__(told) == pytest.approx(
        share, abs=1e-3
    )  # whole images are named


@pytest.mark.slow
def test_shards_are_parts_of_the_images_and_claims_have_all(study_of):
    whole, parts = Expected(study_of()), [Expected(study_of((part, 3))) for part in range(3)]
    for name in (LENS, "VQA"):
        assert sum(part.of(name) for part in parts) == whole.of(name)
        assert all(part.of(name) == int(part.of(name)) for part in parts)
    for part in parts:
        assert part.sizes(["lens", "knockouts"]) == whole.sizes(["lens", "knockouts"])
    told = Forecast.of(parts[0].study, ["lens"]).told([CLAIMS["visual-norms"]])
    assert any("of the lens in all shards" in line for line in told)


def test_filter_2_is_asked_in_groups(study_of, monkeypatch):
    monkeypatch.setattr("claims.neo2025.forecast.TOGETHER", 4)
    assert Expected(study_of(most=1)).of(FILTER_2) == 4  # 3.8 are needed
    monkeypatch.setattr("claims.neo2025.forecast.TOGETHER", 3)
    assert Expected(study_of(most=1)).of(FILTER_2) == 6


def test_it_is_told_once_more_when_filter_2_is_known(study_of):
    told: list[float] = []
    study = study_of()
    study.at_filtered = lambda: told.append(Expected(study).passed)
    assert study.described
    assert told == [len(study.kept)]


@pytest.mark.slow
def test_an_image_that_fails_is_not_missing(study_of, monkeypatch):
    study = study_of()
    monkeypatch.setattr("vlmlib.study.store.MOST_BAD", 1)
    read = planted.VLM.read

    def refusing(vlm, image, *asked):
        if image.tobytes() == broken:
            raise ImageError("it is refused")
        return read(vlm, image, *asked)

    broken = study.examples[2].image.tobytes()
    monkeypatch.setattr(planted.VLM, "read", refusing)
    assert study.described[2].failed
    assert parts_of(study)[FILTER_2].missing == 0


@pytest.mark.parametrize("model", ["llava-1.5-7b", "llava-phi-3", "any"])
def test_more_images_decide_no_less(model):
    claim = CLAIMS["object-beats-gradient"]
    found = [
        decided(claim, model, dict.fromkeys(("images", "questions"), count))
        for count in (20, 40, 99, 180, 700, 2000)
    ]
    assert found == sorted(found, key=lambda share: share or 0)
    assert (found[0], found[-1]) == (0, 100)


def test_which_claims_are_decided_is_as_drawn():
    """The numbers are those of docs/verdicts.md."""
    claim = CLAIMS["object-beats-gradient"]  # 0, 5, 88, 100; 97 of 1,000 with the paper's questions
    asked = {300: 1000 / 3, 100: 111.2, 30: 33.4}
    for images, share in ((300, 88), (100, 5), (30, 0)):
        sizes = {"images": images, "questions": asked[images]}
        assert decided(claim, "llava-1.5-7b", sizes) == share
    between = decided(claim, "llava-1.5-7b", {"images": 173, "questions": 1000})
    assert between == pytest.approx((5 + 88) / 2, abs=1)
    assert decided(claim, "llava-1.5-7b", {"images": 1000, "questions": 100}) == 97
    assert decided(claim, "llava-1.5-7b", {"images": 999, "questions": 100}) == 5
    lens = CLAIMS["numbers-on-background"]  # 95 already of 30
    assert decided(lens, "llava-1.5-7b", {"lens": 30}) == 95
    assert decided(lens, "llava-1.5-7b", {"lens": 29}) == 0
    assert decided(CLAIMS["object-area"], "llava-1.5-7b", {}) is None
    assert decided(CLAIMS["sliding-peak"], "any", {"questions": 2000}) == 100  # LLaVA-Phi-3's


@pytest.mark.slow
def test_the_files_are_those_that_their_programs_write():
    assert POWER.read_text() == power.written(power.PAGE.read_text())
    model = "qwen2-vl-2b"
    assert f"{costs.section(model)}" in costs.COSTS.read_text()


def speed(**more: float) -> Speed:
    still: dict[str, Any] = dict.fromkeys(("picture", "launch", "position", "graded"), 0.0)
    return Speed(**{**still, "prompt": 589, "length": 80, **more})


def test_what_a_measurement_takes_is_the_sum_of_what_it_does():
    """By the costs of LLaVA-1.5, whose prompt has 589 positions and whose texts 80 tokens."""
    model, name = "llava-1.5-7b", "VQA, knockouts"
    assert speed(picture=3.0).seconds(model, name) == 2 * 3
    assert speed(launch=0.5).seconds(model, name) == 13 * 0.5
    assert speed(position=0.1).seconds(model, name) == pytest.approx(449.9)
    assert speed(position=0.1, prompt=2 * 589).seconds(model, name) == pytest.approx(899.8)
    texts = [speed(launch=1.0, length=each).seconds(model, FILTER_2) for each in (80, 160)]
    assert texts[1] - texts[0] == pytest.approx(4.203)
    gradients = speed(graded=1.0).seconds(model, GRADIENTS)
    assert gradients == pytest.approx(50 * 593, rel=0.01)
    again = speed(launch=0.5).seconds(model, "VQA, knockouts_again")
    assert again == speed(launch=0.5).seconds("any", name)


def test_speed_is_measured_on_the_model(study_of):
    study = study_of()
    vlm = planted.planted(*planted.LOCAL)
    found = Speed.of(vlm, study.examples[0])
    assert min(found.launch, found.position, found.graded) >= 0  # as a clock tells, which jitters
    assert min(found.picture, found.launch + found.position) > 0
    assert found.prompt > len(vlm.read(study.examples[0].image, "").visual)
    assert found.weights == sum(4 * each.numel() for each in vlm.model.parameters())
    assert found.passes == 0  # which only a GPU tells


def test_time_is_shared_and_named(study_of):
    forecast = Forecast.of(study_of(), EVERY)
    slow = speed(launch=3600.0)
    alone, two = forecast.time(slow), forecast.time(slow, processes=2)
    assert " left for 2 processes (" in two
    [hours], [half] = (re.findall(r"about ([\d.]+) h", told) for told in (alone, two))
    assert float(half) == pytest.approx(float(hours) / 2, rel=0.01)
    assert "VQA, knockouts 78.0 h" in alone  # 13 passes for each of 6 questions


def test_it_is_told_whose_passes_are_counted(study_of):
    mine = Forecast.of(study_of(), EVERY)
    own = replace(mine, model="qwen2-vl-2b")
    assert "), with the passes of llava-1.5-7b; its weights" in mine.time(speed(launch=1.0))
    assert "with the passes" not in own.time(speed(launch=1.0))
