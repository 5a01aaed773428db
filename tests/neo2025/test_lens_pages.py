"""Pages of the logit lens on single images: are they of the images and rows that claims are judged
on?

Fails if a page is of another image, object or class than the lens's rows are, if asking for pages
changes what else is measured, if recorded rows give other pages, or if one page takes the place of
another.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from claimlib.markdown import own_file_name
from claims.neo2025 import lens_pages
from claims.neo2025.protocol import TEXT
from claims.neo2025.study import IN_FULL, LENS, Measured, Recorded
from tests.neo2025 import planted
from vlmlib import VLM
from vlmlib.study import Finished, Recording, Row, Store
from vlmlib.study.lens_shown import LensShown

IMAGES, PAGES = 4, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return planted.write_data(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture
def study(folder, tmp_path):
    """A planted model of which pages of the first images are asked for."""
    store = Store(tmp_path / "store")
    made = planted.study_of(planted.planted(*planted.LOCAL), folder, store, IMAGES, IMAGES)
    images = made.images, made.lens_images
    yield Measured(made.bench, *images, made.protocol, pages=PAGES, words=("grass", "dog"))
    store.close()


def shown(found: list[Finished]) -> dict[str, LensShown]:
    return {each.example: LensShown.of_plain(each.rows[0].detail) for each in found}


def measured(study: Measured) -> dict[str, int]:
    """What the store has, and of how many images."""
    query = "SELECT task, COUNT(*) FROM units JOIN measurements ON id = measurement GROUP BY task"
    return dict(study.bench.store.database.execute(query))


def test_the_first_images_are_kept_with_what_the_claims_are_judged_on(study):
    """The area under the curve of the class is the one of the lens's row."""
    lens = study.lens
    assert measured(study) == {LENS: IMAGES, IN_FULL: PAGES}
    kept = shown(study.in_full)
    assert list(kept) == [each.id for each in study.lens_examples[:PAGES]]
    for of_claims, each in zip(lens.images, kept.values(), strict=False):
        assert each.words[0].text == of_claims.of_class.category == "Yes"
        assert each.words[0].auc == pytest.approx(of_claims.of_class.auc, abs=1e-6)
        assert len(each.object) == of_claims.tokens == 9
        assert each.states == planted.LAYERS + 1


def test_words_come_before_the_data_sets_classes(study):
    [first, *_] = shown(study.in_full).values()
    words = [word.text for word in first.words]
    assert words[:3] == ["Yes", "grass", "dog"]
    assert {*study.lens_images.categories} <= {*words}
    assert len(words) == len({*words})


def test_without_pages_nothing_else_is_measured_and_rows_are_the_same(study):
    """The rows of the lens are there for a run that asks for no page."""

    def refuse() -> VLM:
        raise AssertionError("The model was loaded.")

    found = study.rows(LENS)
    bench = replace(study.bench, model=replace(study.bench.model, load=refuse))
    plain = Measured(bench, study.images, study.lens_images, study.protocol)
    assert [each.rows for each in plain.rows(LENS)] == [each.rows for each in found]
    assert plain.in_full == []


def test_a_shard_gathers_them_with_the_lens(study):
    assert list(study.gather(["lens"])) == [LENS]
    assert measured(study) == {LENS: IMAGES, IN_FULL: PAGES}


def test_recorded_rows_give_the_same_without_pictures(study):
    _ = study.lens
    subject = ("planted", study.data, TEXT.name)
    recorded = Recorded(Recording(study.bench.store.path), subject)
    assert shown(recorded.in_full) == shown(study.in_full)
    [first, *_] = study.lens_examples
    assert recorded.picture(first.id) is None
    picture = study.picture(first.id)
    assert picture is not None
    assert picture.tobytes() == first.image.tobytes()


def test_a_recording_without_them_has_none(folder, tmp_path):
    store = Store(tmp_path / "store")
    study = planted.study_of(planted.planted(*planted.LOCAL), folder, store, 1, 1)
    _ = study.lens
    store.close()
    subject = ("planted", study.data, TEXT.name)
    assert Recorded(Recording(store.path), subject).in_full == []


def test_a_page_tells_its_image_and_has_its_picture(study):
    pages = lens_pages.files("a/b", "data", study.in_full, study.picture, ["A stand-in."])
    [first, _] = study.lens_examples[:PAGES]
    folder = f"lens/{own_file_name('a/b')}"  # no other label's
    assert list(pages) == [f"{folder}/{each.id}.html" for each in study.lens_examples[:PAGES]]
    page = pages[f"{folder}/{first.id}.html"]
    assert f"<h1><bdi>Logit lens of a/b on data: image {first.id}, Yes</bdi></h1>" in page
    assert "A stand-in." in page
    [data] = re.findall(r'id="data">(.*?)</script>', page)
    assert json.loads(data)["picture"]


def test_ids_that_would_share_a_file_do_not(study):
    [first, *_] = study.in_full
    alike = [replace(first, example=name) for name in ("x/1", "x-1", "X-1", "2")]
    pages = lens_pages.files("m", "data", alike, lambda image: None)
    assert len({name.casefold() for name in pages}) == 4
    assert "lens/m/2.html" in pages


def test_a_model_without_places_has_its_tokens_beside_the_picture(study, monkeypatch):
    vlm, [example, *_] = study.bench.model.load(), study.lens_examples
    read = vlm.read
    monkeypatch.setattr(vlm, "read", lambda *asked: replace(read(*asked), unplaced="It is so."))
    [row] = lens_pages.in_full(vlm, None, example, TEXT)
    assert isinstance(row, Row)
    found = LensShown.of_plain(row.detail)
    assert (found.views, found.object, found.unplaced) == ([], [], "It is so.")
    assert len(found.beside) == len(found.tokens) == planted.GRID**2
    assert found.words[0].auc is None
