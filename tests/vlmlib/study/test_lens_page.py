"""What a lens shows as plain data, and the page of it.

Fails if the data say another token, probability or area under the curve than the model does, if a
token is lost, stands twice or at another place of the picture than the model's processor has it,
if a page is too large, or if what a token or a title holds could be taken for the page's own.
"""

import base64
import json
import os
import re
import sys
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from tests.families import FAMILIES
from tests.shown import HOSTILE, as_large_as_a_models, made_up
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Stimulus, VLMError, logit_lens
from vlmlib.study import lens_page, lens_shown
from vlmlib.study.lens_page import PICTURE_BYTES, page_of
from vlmlib.study.lens_shown import LEAST, STEPS, LensShown, area_under_curve, packed

BY_NAME = {family.name: family for family in FAMILIES}
OWN = {"tiny": tiny_vlm, "Qwen2-VL": tiny_qwen}
# One view that is cropped, one of any shape, tiles with and without a padded whole, and none.
PLACED = ["tiny", "Qwen2-VL", "LLaVA-NeXT", "Idefics3", "Ovis2"]
SIZES = [(60, 40), (40, 60)]
EXACT = 0.002  # the most that packing changes a probability by, as a share of it


@cache
def read(name: str, size: tuple[int, int] = (60, 40)) -> tuple[VLM, Stimulus, Image.Image]:
    vlm = OWN[name]() if name in OWN else VLM(*BY_NAME[name].build())
    image = picture(0, size)
    return vlm, vlm.read(image, "Is there a dog in this image?"), image


def shown_of(name: str, size: tuple[int, int] = (60, 40), **more) -> LensShown:
    vlm, stimulus, _ = read(name, size)
    lens = logit_lens(vlm, stimulus, stimulus.visual)
    return lens_shown.lens_shown(vlm, stimulus, lens, **more)


def unpacked(packed: str) -> np.ndarray:
    """Packed probabilities as numbers again."""
    steps = np.frombuffer(base64.b64decode(packed), "<u2")
    return np.where(steps == LEAST, 0.0, 2.0 ** (-steps.astype(float) / STEPS))


def data_of(page: str) -> dict:
    """What the page's script is given."""
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PLACED, "BLIP-2"])
def test_what_is_kept_is_what_the_lens_reads(name):
    vlm, stimulus, _ = read(name)
    lens, shown = logit_lens(vlm, stimulus, stimulus.visual), shown_of(name)
    top = np.frombuffer(base64.b64decode(shown.top), "<u4").reshape(lens.top_ids.shape)
    assert (np.array(shown.ids)[top] == lens.top_ids.numpy()).all()
    kept = unpacked(shown.top_probabilities).reshape(top.shape)
    np.testing.assert_allclose(kept, lens.top_probabilities.numpy(), rtol=EXACT)
    decode = vlm.processor.tokenizer.decode
    assert shown.texts == [decode([each]) for each in shown.ids]


@pytest.mark.parametrize("ablated", [False, True])
def test_a_words_probability_is_the_models(ablated):
    vlm, stimulus, _ = read("tiny")
    arm = [Ablate(stimulus.visual[:4], torch.zeros(vlm.d_model), layer=1)] if ablated else []
    lens = logit_lens(vlm, stimulus, stimulus.visual, arm=arm)
    shown = lens_shown.lens_shown(vlm, stimulus, lens, ["book", "bookcase"], stimulus.visual[5:8])
    assert [(each.text, each.whole) for each in shown.words] == [
        ("book", True),
        ("bookcase", False),
    ]
    inside = np.isin(np.arange(16), [5, 6, 7])
    for word in shown.words:
        id_ = vlm.first_token(stimulus, word.text)
        exact = logit_lens(vlm, stimulus, stimulus.visual, token_id=id_, arm=arm).probability
        assert exact is not None
        kept = unpacked(word.probability).reshape(exact.shape)
        np.testing.assert_allclose(kept, exact.numpy(), rtol=EXACT)
        area = area_under_curve(exact.double().numpy(), inside)
        assert word.auc == pytest.approx(area.tolist(), abs=1e-6)


def test_the_area_under_the_curve_counts_pairs():
    draw = np.random.default_rng(3)
    values, inside = draw.integers(0, 4, (2, 9)).astype(float), np.arange(9) < 4
    pairs = list(product(range(4), range(4, 9)))
    counted = [
        np.mean([(row[a] > row[b]) + (row[a] == row[b]) / 2 for a, b in pairs]) for row in values
    ]
    assert area_under_curve(values, inside) == pytest.approx(counted)
    assert area_under_curve(np.ones((1, 9)), inside) == [0.5]
    assert area_under_curve(values, np.ones(9, bool)).tolist() == [0.5, 0.5]


def test_without_an_object_there_is_no_area_under_the_curve():
    _, stimulus, _ = read("tiny")
    assert [each.auc for each in shown_of("tiny", words=["dog"]).words] == [None]
    whole = shown_of("tiny", words=["dog"], object=stimulus.visual)
    assert [each.auc for each in whole.words] == [None]


@pytest.mark.parametrize("p", [1.0, 0.123, 1e-9, 1e-38, 1e-45])
def test_packing_keeps_three_digits_and_makes_nothing_zero(p):
    assert unpacked(packed(np.array([p]))) == pytest.approx([p], rel=EXACT)
    assert unpacked(packed(np.zeros(1))) == [0.0]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*PLACED, "BLIP-2"])
def test_every_token_has_one_place(name, size):
    shown = shown_of(name, size)
    placed = [at for view in shown.views for at in view.cells]
    assert sorted([*placed, *(at for at, _ in shown.beside)]) == list(range(len(shown.tokens)))
    assert all(view.rows * view.cols == len(view.cells) for view in shown.views)
    assert bool(shown.unplaced) == (not shown.views) == (name == "BLIP-2")


def pixels(shown: LensShown, view: lens_shown.View, cell: int) -> np.ndarray:
    """The part of the picture that lies under a cell, as the page draws it."""
    assert view.box
    top, left, high, wide = view.box
    (row, col), (height, width) = divmod(cell, view.cols), shown.size
    mask = np.zeros((height, width), bool)
    ends = [
        (
            height * (top + high * (row + share) / view.rows),
            width * (left + wide * (col + share) / view.cols),
        )
        for share in (0, 1)
    ]
    (first, start), (last, stop) = np.clip(np.round(ends).astype(int), 0, None)
    mask[first:last, start:stop] = True
    return mask


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PLACED)
def test_a_cell_lies_where_the_model_sees_it(name, size):
    """What is under it becomes its token; what is under a cell far off does not."""
    _, stimulus, _ = read(name, size)
    shown = shown_of(name, size)
    for view in shown.views:
        for cell in {0, view.cols - 1, len(view.cells) // 2, len(view.cells) - 1}:
            mask = pixels(shown, view, cell)
            if mask.sum() < 9:  # padding
                continue
            seen = stimulus.tokens_of(mask).tolist()
            assert shown.tokens[view.cells[cell]] in seen
            if abs(cell % view.cols - (view.cols - 1 - cell % view.cols)) > 1:
                other = cell - cell % view.cols + view.cols - 1 - cell % view.cols
                assert shown.tokens[view.cells[other]] not in seen


def test_positions_of_the_text_stand_beside_the_picture():
    vlm, stimulus, _ = read("tiny")
    lens = logit_lens(vlm, stimulus, [*stimulus.visual.tolist()[:3], stimulus.last])
    shown = lens_shown.lens_shown(vlm, stimulus, lens)
    [view] = shown.views
    assert view.cells == [0, 1, 2, *[-1] * 13]
    last = vlm.processor.tokenizer.decode([int(stimulus.input_ids[-1])])
    assert shown.beside == [[3, last]]


def test_plain_data_survive_json():
    _, stimulus, image = read("LLaVA-NeXT")
    shown = shown_of("LLaVA-NeXT", words=["dog"], object=stimulus.visual[:5])
    again = LensShown.of_plain(json.loads(json.dumps(shown.plain)))
    assert again == shown
    assert page_of(again, image) == page_of(shown, image)


def test_words_are_kept_while_there_is_room(monkeypatch):
    monkeypatch.setattr(lens_shown, "MOST_BYTES", 2 * 3 * 16 * 2)
    shown = shown_of("tiny", words=["dog", "book", "dog", "cat", "bus"])
    assert [each.text for each in shown.words] == ["dog", "book"]
    assert shown.left_out == ["cat", "bus"]
    assert "no room for the exact probabilities of these words: cat, bus." in page_of(shown)
    assert "no room" not in page_of(shown_of("tiny", words=["dog"]))


def test_a_page_as_large_as_a_models_is_below_five_megabytes():
    """Of noise, with a picture of noise: no picture packs worse."""
    shown = as_large_as_a_models()
    layers_and_tokens = shown.states * len(shown.tokens)
    assert len(shown.words) == lens_shown.MOST_BYTES // (2 * layers_and_tokens)
    image = picture(0, (640, 480))
    page = page_of(shown, image)
    assert image.size == (640, 480)
    assert 4e6 < len(page.encode()) < 5e6
    assert data_of(page)["tokens"] == shown.tokens


def test_a_large_picture_is_made_smaller_and_stays_whole():
    shown, image = shown_of("tiny"), picture(0, (60, 40)).resize((3000, 2000))
    large = replace(shown, size=[2000, 3000])
    assert len(data_of(page_of(large, image))["picture"]) < 4 / 3 * PICTURE_BYTES + 50
    assert image.size == (3000, 2000)


def test_what_tokens_hold_stays_data():
    likeliest = [[HOSTILE, HOSTILE[::-1]]] * 2
    shown = made_up(likeliest, np.full((2, 2, len(HOSTILE)), 0.05), (1, 2))
    page = page_of(shown, None, "a <b> \u202e & 'c'", ["note <i>"])
    assert data_of(page)["texts"] == shown.texts
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "a &lt;b&gt; \N{REPLACEMENT CHARACTER} &amp; &#39;c&#39;" in page
    assert "note &lt;i&gt;" in page


def test_a_page_asks_for_nothing():
    """No address is in it but what it carries itself, and the browser is told to ask for none."""
    page = page_of(shown_of("tiny"), read("tiny")[2])
    asked = re.findall(r"""(?:src|href)=["'](?!data:|#)|url\(|@import|fetch\(""", page)
    assert asked == []
    assert "default-src 'none'; img-src data:" in page


def test_a_page_is_a_file(tmp_path):
    vlm, stimulus, image = read("tiny")
    lens, file = logit_lens(vlm, stimulus, stimulus.visual), tmp_path / "lens.html"
    lens_page(vlm, stimulus, lens, file, image=image, words=["dog"], title="mine")
    data = data_of(file.read_text())
    assert data["picture"].startswith("data:image/jpeg;base64,")
    assert [each["text"] for each in data["words"]] == ["dog"]
    assert os.listdir(tmp_path) == ["lens.html"]
    lens_page(vlm, stimulus, lens, str(file))
    assert data_of(file.read_text())["picture"] == ""
    assert "The picture is not at hand" in file.read_text()


def test_where_it_cannot_be_written_what_stood_there_stays(tmp_path):
    vlm, stimulus, _ = read("tiny")
    lens = logit_lens(vlm, stimulus, stimulus.visual)
    with pytest.raises(VLMError, match=r"nowhere/lens.html' could not be written.*Name a file"):
        lens_page(vlm, stimulus, lens, tmp_path / "nowhere" / "lens.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(VLMError, match="folder' could not be written"):
        lens_page(vlm, stimulus, lens, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_without_jinja_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(VLMError, match=r"pip install 'vlm-claims\[page\]'"):
        page_of(shown_of("tiny"))


def test_what_does_not_belong_together_is_refused():
    vlm, stimulus, _ = read("tiny")
    lens = logit_lens(vlm, stimulus, stimulus.visual)
    with pytest.raises(VLMError, match="22 wide; what the lens read was 40 by 60"):
        page_of(shown_of("tiny"), picture())
    for word in ("", " ", "a\nb", "a\u202eb"):
        with pytest.raises(VLMError, match="is no word"):
            lens_shown.lens_shown(vlm, stimulus, lens, [word])
    short = vlm.read(picture(), "A?")
    with pytest.raises(VLMError, match="Pass the stimulus that it read"):
        lens_shown.lens_shown(vlm, short, logit_lens(vlm, stimulus, stimulus.last))
    with pytest.raises(VLMError, match="The lens has 3 states and the model 4 layers"):
        lens_shown.lens_shown(*read("LLaVA-NeXT")[:2], lens)
