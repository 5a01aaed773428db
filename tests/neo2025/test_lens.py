"""What the lens shows on images: is every number that of the hidden states, and of the tokens it is
said to be of?

Oracles: hidden states decoded one by one, pairs of tokens counted one by one, hand-made curves.
Fails if a share is of other tokens than the object's, if numbers on the object or anything
annotated count as background, if a layer is off by one, or if an image without a match pulls the
best layer anywhere.
"""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from claimlib.samples import Totals
from claims.neo2025 import lens
from claims.neo2025.authors import AUTHORS
from claims.neo2025.lens import LensResults, Named, Shown
from claims.neo2025.protocol import TEXT
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, VLMError, mean_embedding, select
from vlmlib.study import Example, Finished, Object, Row

BOTH = {"text": TEXT, "authors": AUTHORS}
FAMILIES = {"llava": tiny_vlm, "qwen": lambda **more: tiny_qwen(layers=3, **more)}
SIZE = (24, 24)
MEAN_NORM = 2.5
OBJECT, LARGE = (1, 9, 7, 15), (0, 0, 13, 13)  # top, left, bottom, right
NUMBER_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


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


def text_of(vlm: VLM, token: int | torch.Tensor) -> str:
    return vlm.processor.tokenizer.decode([int(token)]).strip().casefold()


def is_number(text: str) -> bool:
    return text.isnumeric() or text in NUMBER_WORDS


def probabilities_of(vlm: VLM, stimulus, arm=()) -> torch.Tensor:
    """[layer, token, vocab] at the visual tokens: what enters each layer and what leaves the last,
    normed once."""
    hidden = vlm.hidden_states(stimulus, stimulus.visual, arm)
    norm: Any = vlm.decoder.norm
    scale = (hidden.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
    normed = norm.weight * hidden / scale
    return (normed @ vlm.model.lm_head.weight.T).softmax(-1).double()


def box_mask(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[top:bottom, left:right] = True
    return mask


def example(
    category: str, absent: str = "a", mask: np.ndarray | None = None, also: np.ndarray | None = None
) -> Example:
    """Noise of its mask's size, in which an object is annotated, and perhaps something else."""
    mask = box_mask(*OBJECT) if mask is None else mask
    masks = {category: mask} if also is None else {category: mask, "something else": also}
    objects = [Object(name, each, each.shape) for name, each in masks.items()]
    image = picture(3, mask.shape[::-1])
    return Example("1", image, objects, category, known={"absent": absent})


@pytest.fixture(scope="module")
def mean(vlm) -> torch.Tensor:
    return mean_embedding(vlm, [picture(1, SIZE)])


@pytest.fixture(scope="module")
def stimulus(vlm):
    return vlm.read(picture(3, SIZE), "Describe the image.")


def shown_on(vlm: VLM, image: Example, mean: torch.Tensor, protocol=TEXT) -> Shown:
    [row] = lens.shown(vlm, mean, image, protocol)
    return Shown.of(row)


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


def test_class_and_absent_class_are_counted_on_the_objects_tokens(vlm, stimulus, mean):
    """Layer by layer."""
    mask = box_mask(*LARGE)
    of_object = inside(stimulus, mask)
    word = said_somewhere(vlm, stimulus, mask)
    found = shown_on(vlm, example(word, "b", mask), mean)
    probabilities = probabilities_of(vlm, stimulus)
    assert 0 < of_object.sum() < len(of_object)
    for named, name in ((found.of_class, word), (found.of_absent, "b")):
        token = vlm.first_token(stimulus, name)
        said = [
            [text_of(vlm, each) == text_of(vlm, token) for each in layer]
            for layer in probabilities.argmax(-1)
        ]
        assert named.category == name
        assert named.matches == [int(np.sum(np.array(row) & of_object)) for row in said]
        auc = [pairs_auc(scores, of_object) for scores in probabilities[..., token].float().numpy()]
        assert named.auc == pytest.approx(auc, abs=0.02)  # where rounding makes or breaks a tie
    assert found.tokens == of_object.sum()
    assert sum(found.of_class.matches) > 0
    assert len(found.of_class.matches) == len(vlm.layers) + 1


def test_words_are_what_the_objects_tokens_decode_to_in_late_states(vlm, stimulus, mean):
    """In the later half of them."""
    mask = box_mask(*LARGE)
    top = probabilities_of(vlm, stimulus).argmax(-1)[:, inside(stimulus, mask)]
    late = top[(len(vlm.layers) + 1) // 2 :].flatten()
    expected = {vlm.processor.tokenizer.decode([int(token)]) for token in late}
    assert shown_on(vlm, example("a", mask=mask), mean).words == sorted(expected)


@pytest.mark.parametrize(
    "annotated",
    [OBJECT, (0, 6, 24, 24), (0, 0, 4, 4)],
    ids=["the object", "more", "something else"],
)
def test_numbers_are_those_of_background_tokens_late_and_first(vlm, stimulus, mean, annotated):
    mask, also = box_mask(*OBJECT), box_mask(*annotated)
    found = shown_on(vlm, example("a", also=also), mean)
    background = ~inside(stimulus, mask) & ~inside(stimulus, mask | also)
    top = probabilities_of(vlm, stimulus).argmax(-1)
    number = np.array([[is_number(text_of(vlm, token)) for token in layer] for layer in top])
    late = number[(len(vlm.layers) + 1) // 2 :].any(0)
    assert found.numbers == np.flatnonzero(late & background).tolist()
    assert found.first_numbers == np.flatnonzero(number[0] & background).tolist()
    assert (late & ~background).any()  # which would be counted, were they background


def test_an_image_shown_whole_has_no_background(vlm, mean):
    found = shown_on(vlm, example("a", also=np.ones((SIZE[1], SIZE[0]), bool)), mean)
    assert (found.numbers, found.first_numbers) == ([], [])


def test_some_background_token_says_a_number(vlm, mean):
    assert shown_on(vlm, example("a"), mean).numbers


def test_norms_are_medians_of_visual_and_text_tokens_and_a_range(vlm, stimulus):
    """The range is that of the visual ones."""
    mean = torch.zeros(vlm.d_model)
    mean[1] = MEAN_NORM
    found = shown_on(vlm, example("a"), mean).norms
    norms = np.linalg.norm(stimulus.embeddings.double().numpy(), axis=1)
    at = stimulus.visual.tolist()
    text = [norm for position, norm in enumerate(norms) if position not in at]
    low, high = np.percentile(norms[at], [2.5, 97.5])
    expected = {"low": low, "high": high, "mean": MEAN_NORM}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    for name, of in (("visual", norms[at]), ("text", text)):
        # of an even number either, or what lies between
        middle = sorted(of)[(len(of) - 1) // 2 : len(of) // 2 + 1]
        assert middle[0] - 1e-9 <= found[name] <= middle[-1] + 1e-9
    assert set(found) == {*expected, "visual", "text"}


def test_what_is_shown_can_be_stored_and_read_back(vlm, mean):
    [row] = lens.shown(vlm, mean, example("a", "b"), TEXT)
    stored = json.loads(json.dumps(row.detail, allow_nan=False))
    assert stored == row.detail
    found = Shown.of(Row("lens", detail=stored))
    assert (row.arm, row.tokens, row.answer) == ("lens", found.tokens, "a")
    assert (found.of_class.category, found.of_absent.category) == ("a", "b")
    assert isinstance(found.of_class, Named)


@pytest.mark.parametrize("protocol", BOTH.values(), ids=BOTH)
def test_an_image_whose_object_was_cropped_away_is_not_read(protocol):
    vlm, wide = tiny_vlm(), np.zeros((16, 40), bool)
    wide[3:6, :5] = True
    assert lens.shown(vlm, torch.zeros(16), example("dog", "cat", wide), protocol) == []


def test_an_image_that_shows_every_category_is_named(vlm, mean):
    with pytest.raises(VLMError, match=r"Image 1 shows every category .*more categories"):
        lens.shown(vlm, mean, example("a", absent=""), TEXT)


def test_the_protocols_own_tokens_and_lens_are_read():
    vlm = tiny_vlm()
    norm: Any = vlm.decoder.norm
    norm.weight.data.copy_(torch.linspace(0.5, 2, 16))
    mask = np.zeros((22, 22), bool)
    mask[:11] = True  # half of the rows; the code's third row of patches begins at pixel 10
    image = example("a", mask=mask)
    text, authors = (shown_on(vlm, image, torch.zeros(16), each) for each in BOTH.values())
    assert (text.tokens, authors.tokens) == (8, 12)
    stimulus = vlm.read(image.image, "Describe the image.")
    token = vlm.first_token(stimulus, "a")
    for protocol, found in zip(BOTH.values(), (text, authors), strict=True):
        of_object = torch.isin(stimulus.visual, protocol.object_tokens(stimulus, image)).numpy()
        scores = protocol.lens(vlm, stimulus, token).probability
        assert scores is not None
        auc = [pairs_auc(layer, of_object) for layer in scores.numpy()]
        assert found.of_class.auc == pytest.approx(auc)


class Scripted:
    """A tokenizer whose tokens have these texts."""

    def __init__(self, *texts: str):
        self.texts = texts

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.texts[token] for token in tokens)


def saying(*texts: str) -> Any:
    """A model of which no more than its vocabulary is known."""
    processor = SimpleNamespace(tokenizer=Scripted(*texts))
    return SimpleNamespace(processor=processor, decoder=SimpleNamespace(vocab=len(texts)))


def test_numbers_are_digits_of_any_script_and_the_words_one_to_ten():
    texts = ["7", "42", "½", "四", "two", "ten", "", "a", "eleven", "4x", "tw", "-", "3.5", "٣"]
    found = lens._numbers(saying(*texts), np.arange(len(texts))[None])[0]
    numbers = [text for text, number in zip(texts, found, strict=True) if number]
    assert numbers == ["7", "42", "½", "四", "two", "ten", "٣"]


def test_tokens_of_one_text_are_the_same_but_for_empty_ones():
    """A match is a token of the class's first piece, whatever its number; here of the last three
    tokens."""
    vlm = saying("dog", "dogs", " Dog", "", " ")
    top = torch.tensor([[0, 0, 1, 2], [0, 3, 4, 2]])
    read = SimpleNamespace(top_ids=top[..., None], probability=torch.zeros(2, 4))
    protocol: Any = SimpleNamespace(lens=lambda *_: read)
    of_object = np.array([False, True, True, True])

    def matches(token: int) -> list[int]:
        vlm.first_token = lambda *_: token
        stimulus: Any = None
        named, shown = lens._named(vlm, stimulus, "dog", of_object, protocol)
        assert shown.tolist() == top.tolist()
        return named.matches

    assert matches(0) == matches(2) == [2, 1]
    assert matches(1) == [1, 0]
    assert matches(3) == matches(4) == [0, 0]


def test_the_vocabulary_is_read_without_spaces_and_case(vlm):
    tokenizer = vlm.processor.tokenizer
    texts, words = lens.vocabulary(tokenizer, vlm.decoder.vocab), tokenizer.get_vocab()
    assert len(texts) == vlm.decoder.vocab
    spaced = "▁Yes" if "▁Yes" in words else "\u0120Yes"
    assert {texts[words[word]] for word in ("yes", spaced)} == {"yes"}


@pytest.mark.parametrize("protocol", BOTH.values(), ids=BOTH)
def test_ablating_numbers_is_described_and_read_beside_the_object(protocol):
    vlm = tiny_vlm()
    words = vlm.processor.tokenizer.get_vocab()
    vlm.model.lm_head.weight.data[[index for word, index in words.items() if word.isdigit()]] *= 2
    # a mean that says a number itself, and so little that layers make something else of some of its
    # tokens
    mean, chosen = 0.01 * vlm.model.lm_head.weight[words["0"]], [0, 3, 7, 14]
    image = example("a").knowing(numbers=chosen)
    rows = lens.without_numbers(vlm, mean, image, protocol)
    request = "Describe this image." if protocol is AUTHORS else "Describe the image."
    stimulus = vlm.read(image.image, request)
    ablate = Ablate(stimulus.visual[chosen], mean)
    region = Ablate(select.buffer(stimulus, protocol.object_tokens(stimulus, image), 1), mean)
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
        assert lens._auc(scores, of_object).tolist() == pytest.approx(
            [pairs_auc(row, of_object) for row in scores]
        )


@given(scores=small, of_object=arrays(bool, 6))
def test_the_area_turns_round_with_the_scores_and_knows_only_their_order(scores, of_object):
    if of_object.any():
        np.testing.assert_allclose(lens._auc(-scores, of_object), 1 - lens._auc(scores, of_object))
        np.testing.assert_allclose(
            lens._auc(np.exp(scores), of_object), lens._auc(scores, of_object)
        )


def image_of(
    matches, absent=None, tokens=4, words=(), late=(), first=(), names=("dog", "cat"), norm=1.0
) -> Finished:
    """What is kept of an image; the class's area grows along the layers, the absent one's falls."""
    curve = [each / 8 for each in range(len(matches))]
    absent = [0] * len(matches) if absent is None else absent
    detail = {
        "tokens": tokens,
        "of_class": {"category": names[0], "matches": list(matches), "auc": curve},
        "of_absent": {"category": names[1], "matches": list(absent), "auc": curve[::-1]},
        "words": list(words),
        "numbers": list(late),
        "first_numbers": list(first),
        "norms": {"visual": norm, "text": norm / 2},
    }
    return Finished("1", "1", [Row("lens", tokens=tokens, answer=names[0], detail=detail)])


CROPPED = Finished("2", "2", [])
IMAGES = [
    image_of([0, 1, 4, 4, 0], words=["puppy", "grass"], late=[3, 5], first=[5], norm=3.0),
    CROPPED,
    image_of([0, 0, 0, 0, 0], [0, 0, 1, 0, 0], tokens=2, words=["sky"], names=("cat", "bed")),
    image_of(
        [1, 0, 0, 0, 1],
        [0, 1, 0, 0, 0],
        tokens=10,
        words=["cats"],
        late=[0],
        names=("cup", "cat"),
        norm=2.0,
    ),
    image_of([0, 0, 3, 5, 2], tokens=5, names=("bed", "dog")),
]


@pytest.fixture(scope="module")
def found() -> LensResults:
    return LensResults.of(IMAGES)


def test_shares_are_of_each_images_own_tokens(found):
    """Images without an object are left out."""
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


def test_the_best_layer_has_the_largest_share_and_is_the_middle_of_equals(found):
    """Of images that have any match."""
    assert found.best.tolist() == [1.0, 0.0, 0.1, 1.0]
    assert found.absent_best.tolist() == [0.0, 0.5, 0.1, 0.0]
    assert found.best_depth.tolist() == [2.5 / 4, 2 / 4, 3 / 4]


def test_the_total_counts_each_image_as_one_draw(found):
    assert found.best_total == Totals(2, 4)  # of a sum of 2.1
    assert LensResults.of([image_of([0, 3])] * 7).best_total == Totals(5, 7)  # of 5.25


def test_naming_says_on_which_images_a_word_names_the_category(found):
    """And on which the absent one."""
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


@pytest.mark.parametrize(
    "images", [[], [CROPPED], [CROPPED, CROPPED]], ids=["none", "one cropped away", "two"]
)
def test_no_images_are_empty_results(images):
    """Of one state, since nothing says how many there are."""
    found = LensResults.of(images)
    for curves in (found.share, found.absent_share, found.auc, found.absent_auc):
        assert curves.shape == (0, 1)
    assert (found.best.shape, found.best_depth.shape, found.numbers.shape) == ((0,), (0,), (0,))
    assert set(found.norms) == {"visual", "text", "low", "high", "mean"}
    assert {each.shape for each in found.norms.values()} == {(0,)}
    assert found.best_total == Totals(0, 0)
    assert [each.tolist() for each in found.naming(lambda *_: True)] == [[], []]
    assert found.states == 1


@given(
    curves=arrays(
        np.int64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.integers(0, 3)
    )
)
def test_best_and_its_depth_are_what_a_search_finds(curves):
    found = LensResults.of([image_of(curve.tolist(), tokens=3) for curve in curves])
    for image, curve in enumerate(curves.tolist()):
        assert found.best[image] == pytest.approx(max(curve) / 3)
    with_match = [curve for curve in curves.tolist() if any(curve)]
    assert len(found.best_depth) == len(with_match)
    for depth, curve in zip(found.best_depth, with_match, strict=True):
        at = [layer for layer, share in enumerate(curve) if share == max(curve)]
        assert depth == pytest.approx(sum(at) / len(at) / (len(curve) - 1))
        assert 0 <= depth <= 1
