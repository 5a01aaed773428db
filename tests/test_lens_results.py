"""What the lens shows on images: is every number that of the hidden states, and of the tokens it is
said to be of?

Oracles: hidden states decoded one by one, pairs of tokens counted one by one, hand-made curves.
Fails if a share is of other tokens than the object's, if numbers on the object or anything
annotated count as background, if a layer is off by one, or if an image without a match pulls the
best layer anywhere.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from claimlib.samples import Totals
from claims.neo2025.lens import LensResults, Reader, _auc
from claims.neo2025.protocol import PROTOCOLS, TEXT
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, mean_embedding, select
from vlmlib.study.coco import Example
from vlmlib.study.store import Row

FAMILIES = {"llava": tiny_vlm, "qwen": lambda **more: tiny_qwen(layers=3, **more)}
SIZE = (24, 24)
MEAN_NORM = 2.5
OBJECT, LARGE = (1, 9, 7, 15), (0, 0, 13, 13)  # top, left, bottom, right


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request) -> VLM:
    """A random model that says numbers and some words often; its last norm is no identity."""
    vlm = FAMILIES[request.param]()
    vlm.decoder.norm.weight.data.copy_(torch.linspace(0.5, 2, vlm.d_model))
    words = vlm.processor.tokenizer.get_vocab()
    often = [
        index
        for word, index in words.items()
        if word.isdigit() or word[1:] in ("car", "book", "dog", "a", "is")
    ]
    vlm.model.lm_head.weight.data[often] *= 4
    return vlm


def text_of(vlm: VLM, token: int) -> str:
    return vlm.processor.tokenizer.decode([int(token)]).strip().casefold()


def is_number(text: str) -> bool:
    return text.isnumeric() or text in [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
    ]


def probabilities_of(vlm: VLM, stimulus, arm=()) -> torch.Tensor:
    """[layer, token, vocab] at the visual tokens: what enters each layer and what leaves the last,
    normed once."""
    hidden = vlm.hidden_states(stimulus, stimulus.visual, arm)
    eps, weight = vlm.decoder.norm.variance_epsilon, vlm.decoder.norm.weight
    normed = weight * hidden / (hidden.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return (normed @ vlm.model.lm_head.weight.T).softmax(-1).double()


def box_mask(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[top:bottom, left:right] = True
    return mask


class Shown(Example):
    """An example whose picture is noise of its mask's size."""

    @property
    def image(self):
        return picture(3, self.mask.shape[::-1])


def example(category: str, absent: str = "a", mask: np.ndarray | None = None) -> Shown:
    return Shown(1, category, absent, (), box_mask(*OBJECT) if mask is None else mask, (), Path())


@pytest.fixture(scope="module")
def mean(vlm) -> torch.Tensor:
    return mean_embedding(vlm, [picture(1, SIZE)])


@pytest.fixture(scope="module")
def stimulus(vlm):
    return vlm.read(picture(3, SIZE), "Describe the image.")


def inside(stimulus, mask: np.ndarray) -> np.ndarray:
    return torch.isin(stimulus.visual, stimulus.tokens_of(mask)).numpy()


def said_somewhere(vlm: VLM, stimulus, mask: np.ndarray) -> str:
    """A word that some of the object's tokens decode to in some layers, and not all in all."""
    top = probabilities_of(vlm, stimulus).argmax(-1)[:, inside(stimulus, mask)]
    texts = [[text_of(vlm, token) for token in row] for row in top]
    for text in sorted({each for row in texts for each in row}):
        if text.isalnum() and text_of(vlm, vlm.first_token(stimulus, text)) == text:
            return text
    pytest.fail("this model's object says no word")


def pairs_auc(scores: np.ndarray, of_object: np.ndarray) -> float:
    """Each token of the object against each other one, a tie half a win."""
    wins = [(a > b) + (a == b) / 2 for a in scores[of_object] for b in scores[~of_object]]
    return sum(wins) / len(wins) if wins else 0.5


def test_class_and_absent_class_are_counted_on_the_objects_tokens_layer_by_layer(
    vlm, stimulus, mean
):
    mask = box_mask(*LARGE)
    of_object = inside(stimulus, mask)
    word = said_somewhere(vlm, stimulus, mask)
    rows = {row.arm: row for row in Reader(vlm, TEXT).read(example(word, "b", mask), mask, mean)}
    probabilities = probabilities_of(vlm, stimulus)
    assert 0 < of_object.sum() < len(of_object)
    for arm, name in (("class", word), ("absent class", "b")):
        token = vlm.first_token(stimulus, name)
        said = [
            [text_of(vlm, each) == text_of(vlm, token) for each in layer]
            for layer in probabilities.argmax(-1)
        ]
        assert rows[arm].detail["matches"] == [
            int(np.sum(np.array(row) & of_object)) for row in said
        ]
        auc = [pairs_auc(scores, of_object) for scores in probabilities[..., token].float().numpy()]
        assert rows[arm].detail["auc"] == pytest.approx(
            auc, abs=0.02
        )  # where rounding makes or breaks a tie
        assert (rows[arm].tokens, rows[arm].answer) == (of_object.sum(), name)
    assert sum(rows["class"].detail["matches"]) > 0
    assert len(rows["class"].detail["matches"]) == len(vlm.layers) + 1


def test_words_are_what_the_objects_tokens_decode_to_in_the_later_half_of_the_states(
    vlm, stimulus, mean
):
    mask = box_mask(*LARGE)
    top = probabilities_of(vlm, stimulus).argmax(-1)[:, inside(stimulus, mask)]
    late = top[(len(vlm.layers) + 1) // 2 :]
    rows = {row.arm: row for row in Reader(vlm, TEXT).read(example("a", mask=mask), mask, mean)}
    assert rows["words"].detail == sorted(
        {vlm.processor.tokenizer.decode([int(token)]) for token in late.flatten()}
    )


@pytest.mark.parametrize(
    "shown", [OBJECT, (0, 6, 24, 24), (0, 0, 4, 4)], ids=["the object", "more", "something else"]
)
def test_numbers_are_those_of_background_tokens_late_and_first(vlm, stimulus, mean, shown):
    mask, annotated = box_mask(*OBJECT), box_mask(*shown)
    row = {row.arm: row for row in Reader(vlm, TEXT).read(example("a"), annotated, mean)}["numbers"]
    background = ~inside(stimulus, mask) & ~inside(stimulus, annotated)
    top = probabilities_of(vlm, stimulus).argmax(-1)
    number = np.array([[is_number(text_of(vlm, token)) for token in layer] for layer in top])
    late = number[(len(vlm.layers) + 1) // 2 :].any(0)
    assert row.detail["late"] == np.flatnonzero(late & background).tolist()
    assert row.detail["first"] == np.flatnonzero(number[0] & background).tolist()
    assert row.tokens == len(row.detail["late"])
    assert (late & ~background).any()  # which would be counted, were they background


def test_an_image_shown_whole_has_no_background(vlm, mean):
    whole = np.ones((SIZE[1], SIZE[0]), bool)
    row = {row.arm: row for row in Reader(vlm, TEXT).read(example("a"), whole, mean)}["numbers"]
    assert row.detail == {"late": [], "first": []}


def test_some_background_token_says_a_number(vlm, mean):
    row = {row.arm: row for row in Reader(vlm, TEXT).read(example("a"), box_mask(*OBJECT), mean)}[
        "numbers"
    ]
    assert row.detail["late"]


def test_norms_are_medians_of_visual_and_of_text_tokens_and_the_range_of_the_visual_ones(
    vlm, stimulus
):
    mean = torch.zeros(vlm.d_model)
    mean[1] = MEAN_NORM
    row = {
        row.arm: row for row in Reader(vlm, TEXT).read(example("a"), box_mask(0, 0, 9, 9), mean)
    }["norms"]
    norms = np.linalg.norm(stimulus.embeddings.double().numpy(), axis=1)
    at = stimulus.visual.tolist()
    text = [norm for position, norm in enumerate(norms) if position not in at]
    low, high = np.percentile(norms[at], [2.5, 97.5])
    expected = {"low": low, "high": high, "mean": MEAN_NORM}
    assert {name: row.detail[name] for name in expected} == pytest.approx(expected)
    for name, of in (("visual", norms[at]), ("text", text)):
        middle = sorted(of)[
            (len(of) - 1) // 2 : len(of) // 2 + 1
        ]  # of an even number either, or what lies between
        assert middle[0] - 1e-9 <= row.detail[name] <= middle[-1] + 1e-9
    assert set(row.detail) == {*expected, "visual", "text"}


def test_what_is_read_can_be_stored_and_comes_in_one_order(vlm, mean):
    rows = Reader(vlm, TEXT).read(example("a"), box_mask(*OBJECT), mean)
    assert [row.arm for row in rows] == ["class", "absent class", "words", "numbers", "norms"]
    for row in rows:
        assert json.loads(json.dumps(row.detail, allow_nan=False)) == row.detail


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_an_image_whose_object_was_cropped_away_is_not_read(protocol):
    vlm, wide = tiny_vlm(), np.zeros((16, 40), bool)
    wide[3:6, :5] = True

    assert Reader(vlm, protocol).read(example("dog", "cat", wide), wide, torch.zeros(16)) == []


def test_the_protocols_own_tokens_and_lens_are_read():
    vlm = tiny_vlm()
    vlm.decoder.norm.weight.data.copy_(torch.linspace(0.5, 2, 16))
    mask = np.zeros((22, 22), bool)
    mask[:11] = True  # half of the rows; the code's third row of patches begins at pixel 10
    shown = example("a", mask=mask)
    rows = [
        Reader(vlm, each).read(shown, shown.mask, torch.zeros(16)) for each in PROTOCOLS.values()
    ]
    text, reference = ({row.arm: row for row in each} for each in rows)
    assert (text["class"].tokens, reference["class"].tokens) == (8, 12)
    stimulus = vlm.read(shown.image, "Describe the image.")
    token = vlm.first_token(stimulus, "a")
    for protocol, found in zip(PROTOCOLS.values(), (text, reference), strict=True):
        of_object = torch.isin(stimulus.visual, protocol.object_tokens(stimulus, shown)).numpy()
        scores = protocol.lens(vlm, stimulus, token).probability.numpy()
        auc = [pairs_auc(layer, of_object) for layer in scores]
        assert found["class"].detail["auc"] == pytest.approx(auc)


def scripted_reader(*texts: str) -> Reader:
    reader = Reader(tiny_vlm(), TEXT)
    reader.__dict__["vocabulary"] = list(texts)
    return reader


def test_numbers_are_digits_of_any_script_and_the_words_one_to_ten():
    texts = ["7", "42", "½", "四", "two", "ten", "", "a", "eleven", "4x", "tw", "-", "3.5", "٣"]
    found = scripted_reader(*texts)._numbers(np.arange(len(texts))[None])[0]
    assert [text for text, number in zip(texts, found, strict=True) if number] == [
        "7",
        "42",
        "½",
        "四",
        "two",
        "ten",
        "٣",
    ]


def test_tokens_of_one_text_are_the_same_but_for_empty_ones():
    reader = scripted_reader("dog", "dogs", "dog", "", "")
    top = np.array([[0, 1, 2], [3, 4, 2]])
    assert reader._same_text(top, 0).tolist() == [[True, False, True], [False, False, True]]
    assert not reader._same_text(top, 3).any()


def test_the_vocabulary_is_read_without_spaces_and_case(vlm):
    vocabulary, words = Reader(vlm, TEXT).vocabulary, vlm.processor.tokenizer.get_vocab()
    assert len(vocabulary) == vlm.decoder.vocab
    spaced = "▁Yes" if "▁Yes" in words else "\u0120Yes"
    assert {vocabulary[words[word]] for word in ("yes", spaced)} == {"yes"}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_ablating_numbers_is_described_and_read_beside_ablating_the_object(protocol):
    vlm = tiny_vlm()
    words = vlm.processor.tokenizer.get_vocab()
    vlm.model.lm_head.weight.data[[index for word, index in words.items() if word.isdigit()]] *= 2
    # a mean that says a number itself, and so little that layers make something else of some of its
    # tokens
    shown, mean = example("a"), 0.01 * vlm.model.lm_head.weight[words["0"]]
    chosen = [0, 3, 7, 14]
    rows = Reader(vlm, protocol).ablate_numbers(shown, chosen, mean)
    stimulus = vlm.read(
        shown.image, "Describe the image." if protocol is TEXT else "Describe this image."
    )
    ablate = Ablate(stimulus.visual[chosen], mean)
    region = Ablate(select.buffer(stimulus, protocol.object_tokens(stimulus, shown), 1), mean)
    texts = vlm.describe(stimulus, [[], [ablate], [region]])
    assert [(row.arm, row.answer, row.right) for row in rows] == [
        (name, text, text == texts[0])
        for name, text in zip(("clean", "numbers", "+1 buffer"), texts, strict=True)
    ]
    assert rows[0].right
    assert not rows[2].right
    assert [row.tokens for row in rows] == [None, 4, None]
    top = protocol.lens(vlm, stimulus, 0, [ablate]).top_ids[:, chosen, 0]
    says = np.array([[is_number(text_of(vlm, token)) for token in layer] for layer in top])
    assert rows[1].detail == {"still": says[1:].any(0).sum()}
    assert says[0].all()
    assert 0 < says[1:].any(0).sum() < 4
    assert rows[0].detail is None


small = arrays(np.float64, (3, 6), elements=st.integers(0, 3).map(float))


@given(scores=small, of_object=arrays(bool, 6))
def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_in_order(scores, of_object):
    if of_object.any():
        assert _auc(scores, of_object).tolist() == pytest.approx(
            [pairs_auc(row, of_object) for row in scores]
        )


@given(scores=small, of_object=arrays(bool, 6))
def test_the_area_is_turned_round_with_the_scores_and_knows_only_their_order(scores, of_object):
    if of_object.any():
        np.testing.assert_allclose(_auc(-scores, of_object), 1 - _auc(scores, of_object))
        np.testing.assert_allclose(_auc(np.exp(scores), of_object), _auc(scores, of_object))


def rows_of(
    matches, absent=None, tokens=4, words=(), late=(), first=(), names=("dog", "cat"), norm=1.0
) -> list[Row]:
    absent = [0] * len(matches) if absent is None else absent
    curve = [float(each) / 8 for each in range(len(matches))]
    return [
        Row(
            "class", tokens=tokens, answer=names[0], detail={"matches": list(matches), "auc": curve}
        ),
        Row(
            "absent class",
            tokens=tokens,
            answer=names[1],
            detail={"matches": list(absent), "auc": curve[::-1]},
        ),
        Row("words", detail=list(words)),
        Row("numbers", tokens=len(late), detail={"late": list(late), "first": list(first)}),
        Row("norms", detail={"visual": norm, "text": norm / 2}),
    ]


IMAGES = [
    rows_of([0, 1, 4, 4, 0], tokens=4, words=["puppy", "grass"], late=[3, 5], first=[5], norm=3.0),
    [],
    rows_of([0, 0, 0, 0, 0], [0, 0, 1, 0, 0], tokens=2, words=["sky"], names=("cat", "bed")),
    rows_of(
        [1, 0, 0, 0, 1],
        [0, 1, 0, 0, 0],
        tokens=10,
        words=["cats"],
        late=[0],
        names=("cup", "cat"),
        norm=2.0,
    ),
    rows_of([0, 0, 3, 5, 2], tokens=5, words=[], names=("bed", "dog")),
]


@pytest.fixture(scope="module")
def found() -> LensResults:
    return LensResults.of(IMAGES, 5)


def test_shares_are_of_each_images_own_tokens_and_images_without_an_object_are_left_out(found):
    np.testing.assert_allclose(
        found.share, [[0, 0.25, 1, 1, 0], [0] * 5, [0.1, 0, 0, 0, 0.1], [0, 0, 0.6, 1, 0.4]]
    )
    np.testing.assert_allclose(
        found.absent_share, [[0] * 5, [0, 0, 0.5, 0, 0], [0, 0.1, 0, 0, 0], [0] * 5]
    )
    np.testing.assert_allclose(found.auc, [[0, 0.125, 0.25, 0.375, 0.5]] * 4)
    np.testing.assert_allclose(found.absent_auc, [[0.5, 0.375, 0.25, 0.125, 0]] * 4)
    assert found.states == 5


def test_what_is_said_of_each_image_stays_in_its_order(found):
    assert (found.categories, found.absent) == (
        ["dog", "cat", "cup", "bed"],
        ["cat", "bed", "cat", "dog"],
    )
    assert found.words == [["puppy", "grass"], ["sky"], ["cats"], []]
    assert found.numbers.tolist() == [2, 0, 1, 0]
    assert found.first_numbers.tolist() == [1, 0, 0, 0]
    assert {name: each.tolist() for name, each in found.norms.items()} == {
        "visual": [3.0, 1.0, 2.0, 1.0],
        "text": [1.5, 0.5, 1.0, 0.5],
    }


def test_the_best_layer_is_the_largest_share_and_the_middle_of_equals_of_images_with_a_match(found):
    assert found.best.tolist() == [1.0, 0.0, 0.1, 1.0]
    assert found.absent_best.tolist() == [0.0, 0.5, 0.1, 0.0]
    assert found.best_depth.tolist() == [2.5 / 4, 2 / 4, 3 / 4]


def test_the_total_counts_each_image_as_one_draw(found):
    assert found.best_total == Totals(2, 4)  # of a sum of 2.1
    assert LensResults.of([rows_of([0, 3])] * 7, 2).best_total == Totals(5, 7)  # of 5.25


def test_naming_says_on_which_images_a_word_names_the_category_and_the_absent_one(found):
    asked = []

    def names(category: str, word: str) -> bool:
        asked.append((category, word))
        return (category, word) in {("dog", "puppy"), ("cat", "cats"), ("cat", "grass")}

    present, absent = found.naming(names)
    assert present.tolist() == [True, False, False, False]
    assert absent.tolist() == [True, False, True, False]
    assert present.dtype == absent.dtype == bool
    assert ("bed", "cats") not in asked
    assert ("cup", "cats") in asked


@pytest.mark.parametrize("images", [[], [[]], [[], []]], ids=["none", "one cropped away", "two"])
def test_no_images_are_empty_results(images):
    found = LensResults.of(images, 5)
    assert (
        found.share.shape
        == found.absent_share.shape
        == found.auc.shape
        == found.absent_auc.shape
        == (0, 5)
    )
    assert (found.best.shape, found.best_depth.shape, found.numbers.shape) == ((0,), (0,), (0,))
    assert found.best_total == Totals(0, 0)
    assert [each.tolist() for each in found.naming(lambda *_: True)] == [[], []]
    assert found.states == 5


@given(
    curves=arrays(
        np.int64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.integers(0, 3)
    )
)
def test_best_and_its_depth_are_what_a_search_finds(curves):
    found = LensResults.of([rows_of(curve.tolist(), tokens=3) for curve in curves], curves.shape[1])
    for image, curve in enumerate(curves.tolist()):
        assert found.best[image] == pytest.approx(max(curve) / 3)
    with_match = [curve for curve in curves.tolist() if any(curve)]
    assert len(found.best_depth) == len(with_match)
    for depth, curve in zip(found.best_depth, with_match, strict=True):
        at = [layer for layer, share in enumerate(curve) if share == max(curve)]
        assert depth == pytest.approx(sum(at) / len(at) / (len(curve) - 1))
        assert 0 <= depth <= 1
