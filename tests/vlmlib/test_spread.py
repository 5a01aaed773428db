"""A model that is spread over several devices.

Fails if a value, a mask, a position or a key meets a tensor of another device, if a model says
anything else once it is spread, or if an answer is elsewhere than where it is said to be. No card
is needed: devices are planted (`tests/cards.py`), and so are faults, to see them found.
"""

import warnings
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.cards import FIRST, SECOND, language, spread, tensors_in, two_cards
from tests.families import FAMILIES
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, VLMError, integrated_gradients, logit_lens, mean_embedding
from vlmlib.cache import Branches, Slots
from vlmlib.checkpoint import AutoModelForImageTextToText
from vlmlib.decoder import Decoder
from vlmlib.engine import clean_run
from vlmlib.masks import Masks
from vlmlib.reach import Watching
from vlmlib.study.identity import checkpoint, loaded

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot share work"),
    pytest.mark.filterwarnings("ignore:The following device_map keys do not match"),
]
QUESTION = "Is there a dog in this image?"


def family(name: str) -> VLM:
    [found] = [each for each in FAMILIES if each.name == name]
    return VLM(*found.build())


MAKE: dict[str, Callable[[], VLM]] = {
    "llava": tiny_vlm,
    "qwen2-vl": lambda: tiny_qwen("eager", window=8),  # positions of three axes
    "granite-4": lambda: family("Granite 4 Vision"),  # features that enter later, and lone arms
    "paligemma-2": lambda: family("PaliGemma 2"),  # a head that does more than unembed
}


# Whose last bits depend on the order in which sums are made on the way back.
ROUNDED = ("gradients", "gradients alone")


def arms_on(vlm: VLM, stimulus: Any) -> list[list[Any]]:
    """Of every kind, and for each kind of pass."""
    visual, last, top = stimulus.visual.tolist(), stimulus.last, vlm.layers[-1]
    value = torch.linspace(-1, 1, vlm.d_model)
    lower = Ablate(visual[:3], value)
    return [
        [],
        [lower],
        [Ablate(visual[2:5], value), Block(visual[5:8], to=last, layers=vlm.layers)],
        [Ablate(visual[4:6], value, layer=top)],
        [Block(visual, to=last, layers=[top])],
        [Block(visual[:2], to=range(visual[-1] + 1, last + 1), layers=[0, top], heads=[0])],
        [lower, Ablate([last], value, layer=top)],
    ]


def everything(vlm: VLM) -> dict[str, Any]:
    """What a model says to whatever it can be asked; a refusal is what it says, too."""
    stimulus = vlm.read(picture(), QUESTION)
    other = vlm.read(picture(1, (16, 22)), "Describe")
    arms, alone = arms_on(vlm, stimulus), copy(vlm)
    alone.unshared = "it was asked not to"
    zero, every = torch.zeros(vlm.d_model), range(stimulus.last + 1)
    [clean] = vlm.describe(stimulus, [[]], 4)
    watching = Watching(vlm, stimulus, arms)
    asks: dict[str, Callable[[], Any]] = {
        "next token": lambda: vlm.next_token(stimulus, arms),
        "lone arms": lambda: alone.next_token(stimulus, arms[2:4]),
        "small passes": lambda: vlm.next_token(stimulus, arms, max_tokens=len(every)),
        "describe": lambda: vlm.describe(stimulus, arms, 4, until=clean[:3]),
        "describe alone": lambda: alone.describe(stimulus, arms[1:2], 2),
        "describe each": lambda: vlm.describe_each([stimulus, other, stimulus], 4, max_tokens=300),
        "hidden states": lambda: vlm.hidden_states(stimulus, every, arms[-1]),
        "lens": lambda: tuple(vars(logit_lens(vlm, stimulus, every, token_id=3)).values()),
        "gradients": lambda: tuple(vars(integrated_gradients(vlm, stimulus, 3, zero, 2)).values()),
        "gradients alone": lambda: integrated_gradients(alone, stimulus, 3, zero, 1).signed,
        "reach": watching.reaches,
        "first token": lambda: watching.first_token(arms),
        "mean": lambda: mean_embedding(vlm, [picture(), picture(1)]),
        "places": lambda: [stimulus.grids, stimulus.unplaced, stimulus.visual],
        "found": lambda: [vlm.unshared, vlm.injects, vlm.seen_past, vlm.head.plain, vlm.has_still],
        "closed": lambda: vlm.decoder.closed,
    }
    with warnings.catch_warnings(record=True) as slower:
        warnings.simplefilter("always")
        found = {what: told(ask) for what, ask in asks.items()}
    return found | {"warnings": [str(each.message) for each in slower]}


def told(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except VLMError as error:
        return str(error)


def apart(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """To what two models say anything else."""
    return [what for what in one if not same(one[what], other[what], what in ROUNDED)]


def same(one: Any, other: Any, rounded: bool) -> bool:
    if isinstance(one, Tensor):
        one, other = one.cpu(), other.cpu()
        return torch.allclose(one, other, atol=1e-5) if rounded else torch.equal(one, other)
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(*each, rounded) for each in pairs)
    return abs(one - other) < 1e-5 if rounded and isinstance(one, float) else one == other


def over_two_cards(plain: VLM) -> VLM:
    return VLM(spread(plain.model), plain.processor, plain.prompt)


@pytest.fixture
def cards() -> Iterator[None]:
    # on a card that is none, attention has no other kernel
    with two_cards(), sdpa_kernel(SDPBackend.MATH):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.newer] * (name == "granite-4")) for name in MAKE],
)
def test_a_model_over_two_cards_says_what_it_says_on_one_device(cards, name):
    plain = MAKE[name]()
    expected = everything(plain)
    vlm = over_two_cards(plain)
    assert vlm.devices == [FIRST, SECOND]
    found = everything(vlm)
    assert apart(expected, found) == []
    assert {each.device for each in tensors_in([*found.values()])} == {vlm.device} == {FIRST}


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_a_language_model_apart_from_its_encoder_is_where_all_is(cards, make):
    """Also what the model makes of its inputs beside the embeddings, on the first card."""
    plain = make()
    expected = plain.next_token(plain.read(picture(), QUESTION), [[]])
    vlm = VLM(spread(plain.model, language), plain.processor)
    stimulus = vlm.read(picture(), QUESTION)
    logits = vlm.next_token(stimulus, [[]])
    parts = [logits, stimulus.embeddings, stimulus.position_ids, stimulus.visual]
    assert {each.device for each in parts} == {vlm.device} == {SECOND}
    assert torch.equal(logits.cpu(), expected)


@pytest.mark.slow
def test_a_model_of_many_parts_on_one_device_says_the_same_bits():
    """The hooks that move things, where there is nothing to move."""
    plain = tiny_vlm()
    expected = everything(plain)
    parts = ("model.vision_tower", "model.multi_modal_projector", "model.language_model.layers.1")
    rest = ("embed_tokens", "layers.0", "norm", "rotary_emb")
    parts += tuple(f"model.language_model.{each}" for each in rest)
    dispatch_model(plain.model, dict.fromkeys((*parts, "lm_head"), "cpu"), force_hooks=True)
    vlm = VLM(plain.model, plain.processor)
    found = everything(vlm)
    assert (apart(expected, found), vlm.devices) == ([], [torch.device("cpu")])


@pytest.mark.slow
def test_a_report_of_a_model_over_two_cards_is_that_of_one_device(cards):
    plain = tiny_vlm()
    expected, found = plain.report(), over_two_cards(plain).report()
    assert (found.wrong, found.refused) == (expected.wrong, expected.refused) == ([], [])
    assert [each.what for each in found.findings] == [each.what for each in expected.findings]
    assert "float32 on lazy:0, lazy:1" in str(found)


def test_what_differs_between_two_models_is_seen():
    assert set(apart(everything(tiny_vlm()), everything(tiny_vlm(seed=1)))) >= {
        "next token",
        "lone arms",
        "hidden states",
        "lens",
        "gradients",
        "mean",
    }


@pytest.mark.slow
def test_keys_values_and_masks_are_where_their_layers_are(cards, monkeypatch):
    vlm = over_two_cards(tiny_vlm())
    stimulus = vlm.read(picture(), QUESTION)
    clean, _ = clean_run(vlm.decoder, stimulus, len(stimulus.embeddings))
    assert [[each.device for each in kept] for kept in clean] == [[FIRST] * 2, [SECOND] * 2]
    made: dict[int, torch.device] = {}
    own = Masks.layer

    def looked(masks: Masks, index: int, device: torch.device | None = None) -> Tensor:
        mask = own(masks, index, device)
        if device is not None:  # that of a layer
            made[index] = mask.device
        return mask

    monkeypatch.setattr(Masks, "layer", looked)
    vlm.next_token(stimulus, arms_on(vlm, stimulus))
    assert made == {0: FIRST, 1: SECOND}


@pytest.mark.slow
@pytest.mark.newer
def test_features_that_enter_later_are_where_the_model_begins(cards):
    vlm = over_two_cards(family("Granite 4 Vision"))
    stimulus = vlm.read(picture(), QUESTION)
    assert stimulus.injected
    parts = [stimulus.embeddings, stimulus.position_ids, stimulus.visual]
    parts += [*stimulus.inputs.values(), *stimulus.injected.values()]
    assert {each.device for each in parts} == {vlm.device}


# Planted: what goes where is left out.


def stays(decoder: Decoder, normed: Tensor) -> Tensor:
    return decoder.unembed(normed)


def kept_there(branches: Branches, rows: Tensor) -> None:
    for layer in branches.branches:
        keys, values = layer.room
        layer.room = (keys[rows], values[rows])


def at_there(slots: Slots, columns: Tensor) -> None:
    for layer in slots.slots:
        layer.at = columns


def mask_there(masks: Masks, index: int, device: Any = None, own: Any = Masks.layer) -> Tensor:
    return own(masks, index)


MET = "at least two devices, lazy:0 and lazy:1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [
        (Decoder, "logits", stays),
        (Masks, "layer", mask_there),
        (Branches, "keep", kept_there),
        (Slots, "at", property(lambda slots: slots.slots[0].at, at_there)),
    ],
    ids=["logits", "masks", "rows that go on", "columns of a batch"],
)
def test_what_meets_a_tensor_of_another_card_is_seen(cards, monkeypatch, where, name, fault):
    """By an error, or by the warning that another way is taken."""
    plain = tiny_vlm("eager")
    monkeypatch.setattr(where, name, fault)
    assert MET not in texts_told(lambda: plain)
    assert MET in texts_told(lambda: over_two_cards(plain))


def texts_told(make: Callable[[], VLM]) -> str:
    """What is told while a model is wrapped, and asked for texts that end one by one."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            vlm = make()
            stimulus = vlm.read(picture(), QUESTION)
            [clean] = vlm.describe(stimulus, [[]], 6)
            vlm.describe(stimulus, arms_on(vlm, stimulus), 6, until=clean[:3])
            vlm.describe_each([stimulus], 6)
        except (VLMError, RuntimeError) as error:
            return str(error)
    return " ".join(str(each.message) for each in found)


# What no device holds.


OFFLOADED = r"weights of Llava.* are on no device: .*\(offloaded\).*4bit"


def test_a_live_model_that_did_not_fit_is_refused():
    vlm = tiny_vlm()
    cpu_offload(vlm.model, torch.device("cpu"))
    with pytest.raises(VLMError, match=OFFLOADED):
        VLM(vlm.model, vlm.processor)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    """Part of it is left on the disk, or the memory of a card runs out."""
    folder = saved(tiny_vlm(), tmp_path)
    # a weight that is part of no part has an entry of its own
    found = {"model": "cpu", "model.image_newline": "cpu", "lm_head": "disk"}
    with_two_gpus(monkeypatch, found)
    with pytest.raises(VLMError, match=OFFLOADED):
        VLM.load(folder, device="auto")

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", full)
    with pytest.raises(VLMError, match=r"take 0\.0 GB as float32, .* 'cuda:0, cuda:1' has no room"):
        VLM.load(folder, device="auto")


def saved(vlm: VLM, folder: Path) -> Path:
    vlm.model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return folder


def with_two_gpus(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> list[dict]:
    """A machine with two cards, for whose "auto" a map is planted: with what loading was asked."""
    accelerator, asked = torch.device("cuda"), list[dict]()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: accelerator)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    own = AutoModelForImageTextToText.from_pretrained

    def loading(folder: Any, **settings: Any) -> Any:
        asked.append(settings)
        return own(folder, **{**settings, "device_map": found})

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", loading)
    return asked


@pytest.mark.slow
def test_auto_is_handed_to_transformers_where_there_are_several_gpus(tmp_path, monkeypatch):
    folder = saved(tiny_vlm(), tmp_path)
    asked = with_two_gpus(monkeypatch, {"": "cpu"})
    vlm = VLM.load(folder, device="auto")
    assert [each["device_map"] for each in asked] == ["auto"]
    stimulus = vlm.read(picture(), QUESTION)
    own = vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0]
    assert torch.equal(vlm.next_token(stimulus, [[]]), own)


@pytest.mark.slow
def test_auto_is_the_processor_where_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    assert VLM.load(saved(tiny_vlm(), tmp_path), device="auto").devices == [torch.device("cpu")]


# By which name rows are known.


@pytest.mark.slow
def test_rows_of_a_model_over_several_cards_name_them_all(cards, tmp_path, monkeypatch):
    assert loaded(over_two_cards(tiny_vlm())).device == "auto: lazy:0, lazy:1"
    with_two_gpus(monkeypatch, {})
    assert checkpoint(str(tmp_path), device="auto").device == "auto: cuda:0, cuda:1"
    assert checkpoint(str(tmp_path), device="cuda:1").device == "cuda:1"
