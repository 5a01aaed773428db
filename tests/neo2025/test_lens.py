"""What the lens shows on images: is every number that of the hidden states, and of the tokens it is
said to be of?

Oracles: hidden states decoded one by one, pairs of tokens counted one by one, hand-made curves.
Fails if a share is of other tokens than the object's, if what is annotated counts as background, if
a layer is off by one, if an image without a match pulls the best layer anywhere, if a first piece
passes for a whole name, or if what ablating numbers did is held against tokens that are not free.
"""

import json
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from claimlib import Clustered
from claims.neo2025 import lens
from claims.neo2025.authors import AUTHORS
from claims.neo2025.lens import LensResults, Named, Shown
from claims.neo2025.protocol import TEXT
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, VLMError, mean_embedding, select
from vlmlib.study import Example, Finished, Object, Row, Scene
from vlmlib.study.lens_shown import area_under_curve

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


ANNOTATED = pytest.mark.parametrize(
    "annotated",
    [OBJECT, (0, 6, 24, 24), (0, 0, 4, 4)],
    ids=["the object", "more", "something else"],
)


@ANNOTATED
def test_numbers_are_those_of_background_tokens_late_and_by_layer(vlm, stimulus, mean, annotated):
    mask, also = box_mask(*OBJECT), box_mask(*annotated)
    found = shown_on(vlm, example("a", also=also), mean)
    background = ~inside(stimulus, mask) & ~inside(stimulus, mask | also)
    top = probabilities_of(vlm, stimulus).argmax(-1)
    number = np.array([[is_number(text_of(vlm, token)) for token in layer] for layer in top])
    late = number[(len(vlm.layers) + 1) // 2 :].any(0)
    assert found.numbers == np.flatnonzero(late & background).tolist()
    assert found.numbers_in == (number & background).sum(1).tolist()
    assert (late & ~background).any()  # which would be counted, were they background


@ANNOTATED
def test_the_class_is_counted_on_background_tokens_beside(vlm, stimulus, mean, annotated):
    """Those of no annotated object, layer by layer."""
    mask, also = box_mask(*OBJECT), box_mask(*annotated)
    word = said_somewhere(vlm, stimulus, box_mask(*LARGE))
    found = shown_on(vlm, example(word, "b", also=also), mean)
    background = ~inside(stimulus, mask) & ~inside(stimulus, mask | also)
    said = np.array(
        [
            [text_of(vlm, token) == text_of(vlm, vlm.first_token(stimulus, word)) for token in row]
            for row in probabilities_of(vlm, stimulus).argmax(-1)
        ]
    )
    assert found.background == background.sum()
    assert found.elsewhere == (said & background).sum(1).tolist()
    assert said.any()


def test_an_image_shown_whole_has_no_background(vlm, mean):
    found = shown_on(vlm, example("a", also=np.ones((SIZE[1], SIZE[0]), bool)), mean)
    none = [0] * (len(vlm.layers) + 1)
    assert (found.background, found.numbers) == (0, [])
    assert found.elsewhere == found.numbers_in == none


@pytest.mark.parametrize("box", [OBJECT, LARGE])
def test_the_objects_area_is_its_share_of_the_image(vlm, mean, box):
    """Whatever else is annotated, and however many tokens it has."""
    top, left, bottom, right = box
    found = shown_on(vlm, example("a", mask=box_mask(*box), also=box_mask(0, 0, 24, 24)), mean)
    assert found.area == pytest.approx((bottom - top) * (right - left) / 24**2)


@pytest.mark.parametrize(
    ("category", "whole"), [("Yes", True), ("a", True), ("Yesterday", False), ("zebra", False)]
)
def test_a_category_is_whole_where_its_first_piece_is_all_of_it(vlm, mean, category, whole):
    assert shown_on(vlm, example(category, "b"), mean).whole is whole


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


def test_cosines_are_those_of_all_pairs_and_of_the_mean_token(vlm, stimulus):
    """Each token's mean one to all of them; of these the least 2.5 % lie below."""
    mean = torch.linspace(-1, 2, vlm.d_model)
    found = shown_on(vlm, example("a"), mean).cosines
    visual = stimulus.embeddings[stimulus.visual].double().numpy()

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    pairs = [[cosine(one, other) for other in visual] for one in visual]
    to_mean = np.mean([cosine(mean.double().numpy(), other) for other in visual])
    low = np.percentile(np.mean(pairs, axis=1), 2.5)
    assert found == pytest.approx({"mean": to_mean, "low": low})


def test_a_mean_token_points_as_visual_ones_do(vlm, stimulus):
    among = stimulus.embeddings[stimulus.visual].double().mean(0).float()
    near, far = (shown_on(vlm, example("a"), sign * among).cosines for sign in (1, -1))
    assert near["mean"] > near["low"]
    assert far["mean"] == pytest.approx(-near["mean"])
    assert far["mean"] < far["low"] == near["low"]


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
        named, shown, same = lens._named(vlm, stimulus, "dog", of_object, protocol)
        assert shown.tolist() == top.tolist()
        assert same[:, of_object].sum(1).tolist() == named.matches
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
def test_ablating_numbers_is_described_and_read_beside_others(protocol):
    """Beside as many others as are free, and beside the object."""
    vlm = tiny_vlm()
    words = vlm.processor.tokenizer.get_vocab()
    vlm.model.lm_head.weight.data[[index for word, index in words.items() if word.isdigit()]] *= 2
    # a mean that says a number itself, and so little that layers make something else of some of its
    # tokens
    mean, chosen = 0.01 * vlm.model.lm_head.weight[words["0"]], [0, 3, 7, 14]
    image = example("a").knowing(numbers=chosen)
    rows = lens.without_numbers(vlm, mean, image, protocol, seed=0)
    request = "Describe this image." if protocol is AUTHORS else "Describe the image."
    stimulus = vlm.read(image.image, request)
    around = select.buffer(stimulus, protocol.object_tokens(stimulus, image), 1)
    visual = stimulus.visual.tolist()
    free = {*visual} - {*around.tolist()} - {visual[at] for at in chosen}
    assert 0 < len(free) <= len(chosen)  # so that all of them are taken
    ablate, others, region = (
        Ablate(tokens, mean) for tokens in (stimulus.visual[chosen], sorted(free), around)
    )
    texts = vlm.describe(stimulus, [[], [ablate], [others], [region]])
    names = ("clean", "numbers", "random = numbers", "+1 buffer")
    assert [(row.arm, row.answer, row.right) for row in rows] == [
        (name, text, text == texts[0]) for name, text in zip(names, texts, strict=True)
    ]
    assert rows[0].right
    assert not rows[3].right
    assert [row.tokens for row in rows] == [None, 4, len(free), None]
    places = sorted(visual.index(each) for each in free)
    says, beside = (
        np.array([[is_number(text_of(vlm, token)) for token in layer] for layer in top])
        for top in (
            protocol.lens(vlm, stimulus, 0, [ablate]).top_ids[:, chosen, 0],
            protocol.lens(vlm, stimulus, 0, [others]).top_ids[:, places, 0],
        )
    )
    assert [row.detail for row in rows] == [
        {"category": "a", "question": request},
        {"still": says[1:].any(0).sum(), "moved": True},
        {"still": beside[1:].any(0).sum()},
        None,
    ]
    assert says[0].all()
    assert 0 < says[1:].any(0).sum() < 4


def test_numbers_that_are_replaced_by_themselves_did_not_move():
    """Nor is the description another one."""
    vlm, image = tiny_vlm(), example("a").knowing(numbers=[3])
    stimulus = vlm.read(image.image, "Describe the image.")
    itself = stimulus.embeddings[stimulus.visual[3]]
    rows = lens.without_numbers(vlm, itself, image, TEXT, seed=0)
    assert rows[1].detail["moved"] is False
    assert rows[1].right


@cache
def scene_of(seed: tuple[int, int] = (0, 0)) -> Scene:
    """A scene of 16 visual tokens."""
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(3, SIZE), "Describe the image.")
    return Scene(vlm, stimulus, example("a"), stimulus.visual[:0], torch.zeros(16), seed)


@settings(deadline=None)
@given(taken=st.sets(st.integers(0, 15), max_size=15), count=st.integers(1, 16))
def test_other_tokens_are_free_ones_as_many_as_there_are(taken, count):
    scene = scene_of()
    drawn = lens._others(scene, sorted(taken), count).tolist()
    assert len(drawn) == len({*drawn}) == min(count, 16 - len(taken))
    visual = scene.stimulus.visual.tolist()
    assert {*drawn} <= {token for at, token in enumerate(visual) if at not in taken}


@pytest.mark.slow
def test_which_other_tokens_are_drawn_hangs_on_the_image():
    drawn = [tuple(lens._others(scene_of((0, at)), [0, 1], 5).tolist()) for at in range(9)]
    assert len({*drawn}) > 4
    assert drawn[0] == tuple(lens._others(scene_of(), [0, 1], 5).tolist())


small = arrays(np.float64, (3, 6), elements=st.integers(0, 3).map(float))


@given(scores=small, of_object=arrays(bool, 6))
def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_in_order(scores, of_object):
    if of_object.any():
        assert area_under_curve(scores, of_object).tolist() == pytest.approx(
            [pairs_auc(row, of_object) for row in scores]
        )


@given(scores=small, of_object=arrays(bool, 6))
def test_the_area_turns_round_with_the_scores_and_knows_only_their_order(scores, of_object):
    if of_object.any():
        np.testing.assert_allclose(
            area_under_curve(-scores, of_object), 1 - area_under_curve(scores, of_object)
        )
        np.testing.assert_allclose(
            area_under_curve(np.exp(scores), of_object), area_under_curve(scores, of_object)
        )


def image_of(
    matches, absent=None, tokens=4, words=(), names=("dog", "cat"), **more: Any
) -> Finished:
    """What is kept of an image; the class's area grows along the layers, the absent one's falls."""
    curve, none = [each / 8 for each in range(len(matches))], [0] * len(matches)
    detail = {
        "tokens": tokens,
        "area": 0.25,
        "of_class": {"category": names[0], "matches": list(matches), "auc": curve},
        "of_absent": {"category": names[1], "matches": list(absent or none), "auc": curve[::-1]},
        "whole": True,
        "background": 8,
        "elsewhere": none,
        "words": list(words),
        "numbers": [],
        "numbers_in": none,
        "norms": {"visual": 1.0, "text": 0.5, "low": 0.5, "high": 2.0, "mean": 1.0},
        "cosines": {"mean": 0.5, "low": 0.25},
    } | more
    return Finished("1", "1", [Row("lens", tokens=tokens, answer=names[0], detail=detail)])


CROPPED = Finished("2", "2", [])
IMAGES = [
    image_of([0, 1, 4, 4, 0], words=["puppy", "grass"], elsewhere=[0, 2, 0, 0, 4]),
    CROPPED,
    image_of([0, 0, 0, 0, 0], [0, 0, 1, 0, 0], tokens=2, words=["sky"], names=("cat", "bed")),
    image_of([1, 0, 0, 0, 1], [0, 1, 0, 0, 0], tokens=10, words=["cats"], names=("cup", "cat")),
    image_of([0, 0, 3, 5, 2], tokens=5, names=("bed", "dog"), background=0),
]


@pytest.fixture(scope="module")
def found() -> LensResults:
    return LensResults.of(IMAGES)


def test_shares_are_of_each_images_own_tokens(found):
    """Images without an object are left out."""
    np.testing.assert_allclose(
        found.share.values,
        [[0, 0.25, 1, 1, 0], [0] * 5, [0.1, 0, 0, 0, 0.1], [0, 0, 0.6, 1, 0.4]],
    )
    np.testing.assert_allclose(
        found.absent_share.values, [[0] * 5, [0, 0, 0.5, 0, 0], [0, 0.1, 0, 0, 0], [0] * 5]
    )
    np.testing.assert_allclose(found.auc.values, [[0, 0.125, 0.25, 0.375, 0.5]] * 4)
    np.testing.assert_allclose(found.absent_auc.values, [[0.5, 0.375, 0.25, 0.125, 0]] * 4)
    assert found.states == 5


def test_background_shares_are_of_background_tokens(found):
    """Of an image that has none, zero."""
    expected = [[0, 0.25, 0, 0, 0.5], *[[0] * 5] * 3]
    np.testing.assert_allclose(found.background_share.values, expected)
    np.testing.assert_allclose(found.late("background_share", 0.5).values, [0.5, 0, 0, 0])


def test_images_of_one_category_form_a_cluster():
    found = LensResults.of([image_of([0, 1], names=(name, "x")) for name in ("a", "b", "a")])
    curves = [found.share, found.absent_share, found.background_share, found.auc, found.absent_auc]
    numbers = [found.best, found.late("absent_share", 0.5), found.best_depth, found.areas]
    flags = [found.early("share", 1), found.numbers("last"), found.norms_above(1)]
    for each in (*curves, *numbers, *flags, found.mean_inside, *found.whole):
        assert list(each.clusters) == ["a", "b", "a"]
        assert each.codes.tolist() == [0, 1, 0]


def test_the_best_layer_has_the_largest_share_and_is_the_mean_of_equals(found):
    """Of images that have any match."""
    assert found.best.values.tolist() == [1.0, 0.0, 0.1, 1.0]
    assert found.best_depth.values.tolist() == [2.5 / 4, 2 / 4, 3 / 4]
    assert list(found.best_depth.clusters) == ["dog", "cup", "bed"]


def test_a_class_said_of_every_token_is_no_better_than_background():
    """Planted beside one that the object's tokens alone say."""
    everywhere = LensResults.of([image_of([0, 4], elsewhere=[0, 8])])
    here = LensResults.of([image_of([0, 4])])
    for depth in (0, 0.5, 1):
        found = [each.late("background_share", depth).values for each in (everywhere, here)]
        assert found == [1, 0]
        assert everywhere.late("share", depth).values == here.late("share", depth).values == 1


def test_late_layers_begin_at_a_depth():
    """Of five states, the last three, and the last one."""
    found = LensResults.of([image_of([0, 4, 0, 2, 1]), image_of([4, 4, 1, 0, 0])])
    assert found.late("share", 0.0).values.tolist() == found.best.values.tolist() == [1.0, 1.0]
    assert found.late("share", 0.5).values.tolist() == [0.5, 0.25]
    assert found.late("share", 1.0).values.tolist() == [0.25, 0.0]


def test_early_layers_reach_up_to_a_depth():
    """Of eight states, the first quarter and its end."""
    curves = [[0] * at + [1] + [0] * (7 - at) for at in range(8)]
    found = LensResults.of([image_of(curve, curve[::-1]) for curve in curves])
    assert found.early("share", 0.25).values.tolist() == [True] * 3 + [False] * 5
    assert found.early("absent_share", 0.25).values.tolist() == [False] * 5 + [True] * 3


def test_numbers_are_early_or_late_by_the_quarter_of_their_layer():
    """The last two of nine states, and the first two: the same exposure on both sides."""
    layers = [[0] * at + [3] + [0] * (8 - at) for at in range(9)]
    found = LensResults.of([image_of([0] * 9, numbers_in=each) for each in layers])
    assert found.numbers("first").values.tolist() == [True] * 2 + [False] * 7
    assert found.numbers("last").values.tolist() == [False] * 7 + [True] * 2


def test_numbers_of_few_layers_have_one_layer_on_each_side():
    found = LensResults.of([image_of([0, 0], numbers_in=each) for each in ([1, 0], [0, 2])])
    assert found.numbers("first").values.tolist() == [True, False]
    assert found.numbers("last").values.tolist() == [False, True]


def test_a_first_piece_is_left_out_of_whole_names():
    """In the first layer, and in any; beside the absent class in any."""
    images = [
        image_of([2, 0, 0], names=("book", "x")),
        image_of([0, 0, 1], [0, 1, 0], names=("dog", "x")),
        image_of([0, 0, 0], [3, 0, 0], names=("cat", "x")),
        image_of([4, 4, 4], [4, 4, 4], names=("skis", "x"), whole=False),
    ]
    first, in_any, absent = LensResults.of(images).whole
    assert first.values.tolist() == [True, False, False]
    assert in_any.values.tolist() == [True, True, False]
    assert absent.values.tolist() == [False, True, True]
    assert list(first.clusters) == ["book", "dog", "cat"]


def test_areas_are_each_images_own():
    found = LensResults.of([image_of([0], area=area) for area in (0.5, 0.125)]).areas
    assert found.values.tolist() == [0.5, 0.125]


def test_norms_are_above_where_the_median_is_so_many_times_the_texts():
    norms = [{"visual": visual, "text": 1.0} for visual in (1.5, 2.0, 2.5)]
    found = LensResults.of([image_of([0], norms=each) for each in norms])
    assert found.norms_above(2.0).values.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("norm", "cosine", "within"),
    [
        (1.0, 0.5, True),
        (0.5, 0.25, True),  # at both ends
        (2.0, 0.25, True),
        (0.4, 0.5, False),
        (2.1, 0.5, False),
        (1.0, 0.2, False),
        (1.0, -0.5, False),
    ],
)
def test_the_mean_token_is_inside_by_its_norm_and_its_direction(norm, cosine, within):
    norms = {"low": 0.5, "high": 2.0, "mean": norm}
    image = image_of([0], norms=norms, cosines={"low": 0.25, "mean": cosine})
    assert LensResults.of([image]).mean_inside.values.tolist() == [within]


def test_naming_says_on_which_images_a_word_names_the_category(found):
    """And on which the absent one."""
    asked = []

    def names(category: str, word: str) -> bool:
        asked.append((category, word))
        return (category, word) in {("dog", "puppy"), ("cat", "cats"), ("cat", "grass")}

    present, absent = found.naming(names)
    assert present.values.tolist() == [True, False, False, False]
    assert absent.values.tolist() == [True, False, True, False]
    assert present.values.dtype == absent.values.dtype == bool
    assert list(present.clusters) == list(absent.clusters) == ["dog", "cat", "cup", "bed"]
    assert ("bed", "cats") not in asked
    assert ("cup", "cats") in asked


@pytest.mark.parametrize(
    "images", [[], [CROPPED], [CROPPED, CROPPED]], ids=["none", "one cropped away", "two"]
)
def test_no_images_are_empty_results(images):
    """Of one state, since nothing says how many there are."""
    found = LensResults.of(images)
    curves = [found.share, found.absent_share, found.background_share, found.auc, found.absent_auc]
    assert {each.values.shape for each in curves} == {(0, 1)}
    for each in (found.best, found.late("share", 0.5), found.best_depth):
        assert each.values.shape == (0,)
    flags: list[Clustered] = [found.early("share", 0.5), found.numbers("last"), found.mean_inside]
    flags += [found.norms_above(2), found.areas, *found.whole, *found.naming(lambda *_: True)]
    assert {each.values.shape for each in flags} == {(0,)}
    assert found.states == 1


@given(
    curves=arrays(
        np.int64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.integers(0, 3)
    )
)
def test_best_and_its_depth_are_what_a_search_finds(curves):
    found = LensResults.of([image_of(curve.tolist(), tokens=3) for curve in curves])
    for image, curve in enumerate(curves.tolist()):
        assert found.best.values[image] == pytest.approx(max(curve) / 3)
    with_match = [curve for curve in curves.tolist() if any(curve)]
    assert len(found.best_depth) == len(with_match)
    for depth, curve in zip(found.best_depth.values, with_match, strict=True):
        at = [layer for layer, share in enumerate(curve) if share == max(curve)]
        assert depth == pytest.approx(sum(at) / len(at) / (len(curve) - 1))
        assert 0 <= depth <= 1
