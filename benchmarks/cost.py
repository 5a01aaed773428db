"""What a run costs: passes through a model are recorded as they happen, and priced by the sizes of
another, larger model of the same layout."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from vlmlib import VLM
from vlmlib.architecture import image_side
from vlmlib.decoder import Decoder
from vlmlib.hooks import after, before
from vlmlib.lens import MAX_LOGITS
from vlmlib.roles import decoder_of

BYTES = 2  # of a number in half precision
# Of the time of a forward pass: one more for the inputs' gradients in every matrix, parameters
# being frozen; in attention five products after two, as its scores are computed again.
BACK_MATRIX, BACK_ATTENTION = 1, 2.5


@dataclass
class Pass:
    """One call of a part of a model: its "decoder", its "encoder" of images or its "unembedding".

    - `rows`, `positions`: computed, and of each row; `keys`: what each of them attends to.
    - `last`: positions that the last layer's feed-forward part computes, of all rows.
    - `held`: positions that there is room for in the cache, of all rows.
    - `masked`: whether attention was given a mask; `graded`: whether gradients follow.
    """

    part: str
    rows: int
    positions: int
    keys: int = 0
    last: int = 0
    held: int = 0
    masked: bool = False
    graded: bool = False

    @property
    def computed(self) -> int:
        return self.rows * self.positions

    @property
    def decodes(self) -> bool:
        """Whether this is a step of decoding: one new token of each row."""
        return self.part == "decoder" and self.positions == 1


@contextmanager
def recorded(vlm: VLM) -> Iterator[list[Pass]]:
    """While the context lasts, every pass through the model's parts is put on the list."""
    passes: list[Pass] = []

    def decoding(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        passes.append(_of_decoder(args[0], kwargs))
        return args, kwargs

    def at_last(output: Any) -> None:
        passes[-1].last = output.shape[:-1].numel()

    def encoding(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        passes.append(Pass("encoder", 1, args[0].shape[:-1].numel()))
        return args, kwargs

    def unembedding(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        passes.append(Pass("unembedding", args[0].shape[:-1].numel(), 1))
        return args, kwargs

    encoder, _ = image_side(vlm.model)
    with ExitStack() as hooks:
        hooks.enter_context(before(vlm.decoder.layers[0], decoding))
        assert vlm.decoder.last_mlp is not None
        hooks.enter_context(after(vlm.decoder.last_mlp, at_last))
        blocks = [each for each in encoder.modules() if isinstance(each, nn.Linear)]
        hooks.enter_context(before(blocks[0], encoding))
        hooks.enter_context(before(vlm.decoder.unembed, unembedding))
        yield passes


def _of_decoder(hidden: torch.Tensor, kwargs: dict) -> Pass:
    rows, positions = hidden.shape[:2]
    cache, is_masked = kwargs.get("past_key_values"), kwargs.get("attention_mask") is not None
    before = 0 if cache is None else cache.get_seq_length()
    keys, graded = before + positions, torch.is_grad_enabled() and hidden.requires_grad
    held = _held(cache, before, rows * keys)
    return Pass("decoder", rows, positions, keys, 0, held, is_masked, graded)


def _held(cache: Any, shared: int, filled: int) -> int:
    """Of how many positions a cache holds keys and values while a pass runs."""
    if cache is None:
        return 0
    if not cache.layers:
        return filled  # a prompt's, which comes to hold them
    layer = cache.layers[0]
    if hasattr(layer, "room"):  # for texts to come
        return layer.room[0].shape[0] * layer.room[0].shape[2]
    return shared if hasattr(layer, "shared_keys") else filled


@dataclass(frozen=True)
class Sizes:
    """What a model's passes cost, in numbers.

    - `layers`, `width` (of all heads), `kept` (keys and values of a position, in all layers),
      `groups` (heads that share keys), `d_model`, `mlp`.
    - `stack`, `last_mlp`, `unembedding`, `encoder`, `adapter`: in the matrices of these; `total`:
      all parameters.
    - `encoder_layers`, `encoder_width`, `merged` (patches that become one visual token).
    """

    layers: int
    width: int
    kept: int
    groups: int
    d_model: int
    mlp: int
    stack: int
    last_mlp: int
    unembedding: int
    encoder: int
    adapter: int
    total: int
    encoder_layers: int
    encoder_width: int
    merged: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Sizes":
        """A model's own; one on the meta device will do."""
        decoder, (encoder, adapter) = decoder_of(model), image_side(model)
        text, vision = model.config.get_text_config(), model.config.vision_config
        head = getattr(text, "head_dim", None) or decoder.d_model // decoder.heads
        in_adapter = _numbers(adapter)
        # what an encoder holds includes its adapter in one of the two families
        of_encoder = _numbers(encoder) - in_adapter * (adapter in set(encoder.modules()))
        return cls(
            layers=len(decoder.layers),
            width=decoder.heads * head,
            kept=len(decoder.layers) * 2 * text.num_key_value_heads * head,
            groups=decoder.heads // text.num_key_value_heads,
            d_model=decoder.d_model,
            mlp=text.intermediate_size,
            stack=_numbers(decoder.stack),
            last_mlp=_last_mlp(decoder),
            unembedding=_numbers(decoder.unembed),
            encoder=of_encoder,
            adapter=in_adapter,
            total=sum(weight.numel() for weight in set(model.parameters())),
            encoder_layers=getattr(vision, "depth", 0) or vision.num_hidden_layers,
            encoder_width=getattr(vision, "embed_dim", 0) or vision.hidden_size,
            merged=getattr(vision, "spatial_merge_size", 1) ** 2,
        )

    def operations(self, of: Pass) -> float:
        """Two for each number of a matrix and each position, and four for each query and key."""
        back = (1 + BACK_MATRIX, 1 + BACK_ATTENTION) if of.graded else (1, 1)
        matrices, attention = 0, 0
        if of.part == "unembedding":
            matrices = of.computed * self.unembedding
        elif of.part == "encoder":
            matrices = of.positions * (self.encoder + self.adapter // self.merged)
            attention = self.encoder_layers * self.encoder_width * of.positions**2
        else:
            matrices = of.computed * self.stack - (of.computed - of.last) * self.last_mlp
            attention = self.layers * self.width * of.computed * of.keys
        return 2 * matrices * back[0] + 4 * attention * back[1]

    def read(self, of: Pass) -> float:
        """Bytes of weights, keys and values."""
        if of.part == "unembedding":
            vocab = self.unembedding // self.d_model
            # a lens unembeds so many at a time
            calls = math.ceil(of.computed / max(1, MAX_LOGITS // vocab))
            return BYTES * calls * self.unembedding
        if of.part == "encoder":
            return BYTES * (self.encoder + self.adapter)
        # keys that heads share are written out for every head where there is a mask
        copies = 1 + 2 * self.groups if of.masked and self.groups > 1 else 1
        keys_and_values = of.rows * of.keys * self.kept * copies
        return BYTES * (self.stack * (2 if of.graded else 1) + keys_and_values)

    def held(self, of: Pass) -> float:
        """Bytes of keys and values in the cache."""
        return BYTES * of.held * self.kept

    def activations(self, of: Pass) -> float:
        """Bytes of what stands beside them at one time, as counted on the meta device.

        For the way back every layer keeps, of each position, three rows of the feed-forward part
        and queries, keys, values and their mix in half precision, and what two norms are given in
        single. Else it is one layer's, and the logits.
        """
        if of.part == "unembedding":
            vocab = self.unembedding // self.d_model
            return 4 * 3 * min(of.computed * vocab, MAX_LOGITS)
        if of.part == "encoder":
            return of.positions * self.encoder_width * BYTES * 16
        mixed = 2 * self.width + self.kept / self.layers
        layer = BYTES * (3 * self.mlp + mixed) + 8 * self.d_model
        return of.computed * layer * (self.layers if of.graded else 1)

    def peak(self, passes: Sequence[Pass]) -> tuple[float, float, float]:
        """Bytes of weights, of keys and values, and of activations, where their sum is largest."""
        beside = max(passes, key=lambda each: self.held(each) + self.activations(each))
        return BYTES * self.total, self.held(beside), self.activations(beside)


@dataclass(frozen=True)
class Card:
    """A GPU as its maker's data sheet has it: memory in bytes, dense operations a second in half
    precision (single-precision sums), bytes a second."""

    name: str
    memory: float
    operations: float
    bandwidth: float


@dataclass(frozen=True)
class Rate:
    """How fast a pass is on a card: shares of its peaks, and the seconds that launching one layer
    takes, forward."""

    of_operations: float
    of_bandwidth: float
    launch: float

    def seconds(self, passes: Sequence[Pass], sizes: Sizes, card: Card) -> float:
        """Each pass takes what is longest of computing, reading and launching."""
        return sum(self._of(each, sizes, card) for each in passes)

    def _of(self, of: Pass, sizes: Sizes, card: Card) -> float:
        layers = {"decoder": sizes.layers, "encoder": sizes.encoder_layers}.get(of.part, 0)
        return max(
            sizes.operations(of) / (card.operations * self.of_operations),
            sizes.read(of) / (card.bandwidth * self.of_bandwidth),
            layers * self.launch * (3 if of.graded else 1),
        )


def _numbers(module: nn.Module) -> int:
    """In all matrices that positions pass through; a patch of a picture goes through one, too."""
    matrices = (nn.Linear, nn.Conv2d, nn.Conv3d)
    return sum(each.weight.numel() for each in module.modules() if isinstance(each, matrices))


def _last_mlp(decoder: Decoder) -> int:
    return 0 if decoder.last_mlp is None else _numbers(decoder.last_mlp)
