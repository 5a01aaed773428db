"""An oracle that shares nothing with the instrument: a whole model, plain forward hooks on its
decoder layers, and attention written out where edges are cut."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

Values = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Replaced:
    """At a layer's input, some positions hold a value instead.

    At layer 0 they are rid of the picture altogether: the stack is given the value, its first layer
    what the stack makes of it, and what a model adds there and between later layers is left out.
    """

    tokens: Sequence[int]
    value: Tensor
    layer: int


@dataclass(frozen=True)
class Cut:
    """In a layer, a position, or a slice of them, does not attend to some others, in some heads
    (None: in all)."""

    source: Sequence[int]
    to: int | slice
    layer: int
    heads: Sequence[int] | None = None


Edit = Replaced | Cut


@dataclass(frozen=True)
class Hooked:
    """A model on one input; `stack` is its language model, which has the layers."""

    model: PreTrainedModel
    stack: Any
    inputs: dict[str, Tensor]

    @property
    def length(self) -> int:
        return self.inputs["input_ids"].shape[1]

    def after(self, said: Sequence[int]) -> "Hooked":
        """The same model on the prompt and what was said after it, read as one."""
        words = torch.tensor([said], dtype=torch.long)
        types = [name for name in self.inputs if name.endswith("token_type_ids")]
        grown = {
            "input_ids": words,
            "attention_mask": torch.ones_like(words),
            **dict.fromkeys(types, torch.zeros_like(words)),
        }
        inputs = {
            name: torch.cat([each, grown[name].to(each)], -1) if name in grown else each
            for name, each in self.inputs.items()
        }
        return replace(self, inputs=inputs)

    @torch.no_grad()
    def logits(self, edits: Sequence[Edit] = ()) -> Tensor:
        """[position, vocab], as the model itself gives them under some edits."""
        with self.edited(edits):
            return self.model(**self.inputs, use_cache=False).logits[0]

    @torch.no_grad()
    def said(self, edits: Sequence[Edit], count: int) -> list[int]:
        """The ids that the model generates greedily after a prompt read under some edits."""
        with self.edited(edits):
            ids = self.model.generate(  # pyright: ignore
                **self.inputs, do_sample=False, max_new_tokens=count
            )
        return ids[0, self.length :].tolist()

    @torch.no_grad()
    def states(self) -> Tensor:
        """[layers + 1, position, width]: what the stack is given, what enters each later layer, and
        what leaves the last."""
        kept: list[Tensor] = []

        def keep(hidden: Tensor) -> Tensor:
            kept.append(hidden[0])
            return hidden

        with ExitStack() as hooks:
            for layer in self.stack.layers:
                hooks.enter_context(entering(layer, keep))
            hooks.enter_context(leaving(self.stack.layers[-1], keep))
            self.model(**self.inputs, use_cache=False)
        return torch.stack([self.embeddings(), *kept[1:]])

    @torch.no_grad()
    def made_alone(self, embeddings: Tensor) -> Tensor:
        """What the first layer is given of embeddings when the stack is called without a picture:
        it may multiply them, and add positions. One that does not run alone is taken to add nothing
        of a picture there."""
        kept: list[Tensor] = []

        def keep(hidden: Tensor) -> Tensor:
            kept.append(hidden[0])
            return hidden

        with entering(self.stack.layers[0], keep):
            try:
                self.stack(inputs_embeds=embeddings[None], use_cache=False)
            except RuntimeError:
                with self.handed_over(lambda _: embeddings[None]):
                    self.model(**self.inputs, use_cache=False)
        return kept[-1]

    @torch.no_grad()
    def read_out(self, hidden: Tensor) -> Tensor:
        """The logits of the model when its last layer returns these states [position, width]."""
        with leaving(self.stack.layers[-1], lambda _: hidden[None]):
            return self.model(**self.inputs, use_cache=False).logits[0]

    def gradient(self, at: Sequence[int], points: Tensor, token: int) -> Tensor:
        """Of the token's logit at the last position by what the stack is given at `at`."""
        points = points.clone().requires_grad_()

        def put(embeddings: Tensor) -> Tensor:
            embeddings = embeddings.clone()
            embeddings[0, list(at)] = points
            return embeddings

        with self.handed_over(put), torch.enable_grad():
            logit = self.model(**self.inputs, use_cache=False).logits[0, -1, token]
            [gradient] = torch.autograd.grad(logit, points)
        return gradient

    @torch.no_grad()
    def embeddings(self) -> Tensor:
        """What the stack is given."""
        kept: list[Tensor] = []

        def keep(embeddings: Tensor) -> Tensor:
            kept.append(embeddings[0])
            return embeddings

        with self.handed_over(keep):
            self.model(**self.inputs, use_cache=False)
        return kept[0]

    @contextmanager
    def handed_over(self, change: Values) -> Iterator[None]:
        """The embeddings that the stack is given pass through `change`; layer 0's where it makes
        them itself."""
        given: list[bool] = []

        def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            embeddings = kwargs.get("inputs_embeds")
            if embeddings is None:
                return args, kwargs
            given.append(True)
            return args, {**kwargs, "inputs_embeds": change(embeddings)}

        handle = self.stack.register_forward_pre_hook(hook, with_kwargs=True)
        made = self.stack.layers[0]
        try:
            with entering(made, lambda hidden: hidden if given else change(hidden)):
                yield
        finally:
            handle.remove()

    def attending(self) -> list[int]:
        """The layers in which something attends, as seen in a run."""
        seen: list[int] = []
        with ExitStack() as hooks:
            for index, layer in enumerate(self.stack.layers):
                hooks.enter_context(_attention_of(layer, _noting(seen, index), self.length))
            self.logits()
        return sorted(set(seen))

    @contextmanager
    def edited(self, edits: Sequence[Edit]) -> Iterator[None]:
        cuts: dict[int, list[Cut]] = {}
        with ExitStack() as hooks:
            for each in edits:
                match each:
                    case Replaced(layer=0):
                        change = _replacing(each, self.length)
                        made = self.made_alone(change(self.embeddings()))[list(each.tokens)]
                        hooks.enter_context(self.handed_over(change))
                        alone = _replacing(replace(each, value=made), self.length)
                        hooks.enter_context(entering(self.stack.layers[0], alone))
                        self._without_additions(each, hooks)
                    case Replaced(layer=layer):
                        change = _replacing(each, self.length)
                        hooks.enter_context(entering(self.stack.layers[layer], change))
                    case Cut():
                        cuts.setdefault(each.layer, []).append(each)
            for layer, here in cuts.items():
                change = _cutting(here)
                hooks.enter_context(_attention_of(self.stack.layers[layer], change, self.length))
            yield

    def _without_additions(self, replaced: Replaced, hooks: ExitStack) -> None:
        """At these positions each layer is given what the one before it returned."""
        before: dict[str, Tensor] = {}
        at = list(replaced.tokens)

        def keep(hidden: Tensor) -> Tensor:
            before["hidden"] = hidden
            return hidden

        def put_back(hidden: Tensor) -> Tensor:
            if hidden.shape[-2] != self.length:
                return hidden
            result = hidden.clone()
            result[..., at, :] = before["hidden"][..., at, :]
            return result

        for earlier, later in zip(self.stack.layers, self.stack.layers[1:], strict=False):
            hooks.enter_context(leaving(earlier, keep))
            hooks.enter_context(entering(later, put_back))


@contextmanager
def entering(layer: nn.Module, change: Values) -> Iterator[None]:
    """The hidden states that a layer is given pass through `change`."""

    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    handle = layer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def leaving(layer: nn.Module, change: Values) -> Iterator[None]:
    """The hidden states that a layer returns pass through `change`."""

    def hook(_module: nn.Module, _args: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def each_alone() -> Iterator[None]:
    """Positions attend to nothing but themselves, and convolutions and resizings take no pixel from
    their neighbours, so that a visual token shows its own patch."""

    def itself(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if query.shape[-2] != key.shape[-2]:  # queries that are learned, and no positions
            return ATTENTION(query, key, value, *args, **kwargs)
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1)

    def identity(scores: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if scores.ndim < 3 or scores.shape[-1] != scores.shape[-2]:
            return SOFTMAX(scores, *args, **kwargs)
        return torch.eye(scores.shape[-1]).expand_as(scores)

    def tiled(maps: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given = dict(zip(("bias", "stride", "padding", "dilation", "groups"), args, strict=False))
        given |= kwargs
        weight = weight.clone()
        for axis, stride in zip((-2, -1), _pair(given.get("stride", 1)), strict=True):
            padding, size = given.get("padding", 0), weight.shape[axis]
            side = (size - stride + 1) // 2 if padding == "same" else 0
            before = side if isinstance(padding, str) else _pair(padding)[axis]
            own = torch.arange(size).sub(before)
            outside = ((own < 0) | (own >= stride)).nonzero()[:, 0]
            weight.index_fill_(axis, outside, 0.0)
        return CONVOLVE(maps, weight, **given)

    def resized(maps: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Each place of a larger map has what is nearest, of a smaller one the mean of its part."""
        sized = {**dict(zip(("size", "scale_factor"), args, strict=False)), **kwargs}
        told = {name: sized[name] for name in ("size", "scale_factor") if sized.get(name)}
        nearest = INTERPOLATE(maps, **told, mode="nearest")
        smaller = nearest.shape[-1] < maps.shape[-1]
        return INTERPOLATE(maps, **told, mode="area") if smaller else nearest

    with (
        patch.object(functional, "scaled_dot_product_attention", itself),
        patch.object(functional, "softmax", identity),
        patch.object(functional, "conv2d", tiled),
        patch.object(functional, "interpolate", resized),
    ):
        yield


def _pair(side: int | Sequence[int]) -> Sequence[int]:
    return (side, side) if isinstance(side, int) else side


ATTENTION, SOFTMAX = functional.scaled_dot_product_attention, functional.softmax
CONVOLVE, INTERPOLATE = functional.conv2d, functional.interpolate


@contextmanager
def _attention_of(layer: nn.Module, change: Values, length: int) -> Iterator[None]:
    """The scores [..., head, query, key] of a layer pass through `change` before their softmax,
    whoever computes them."""

    def softmax(scores: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        is_attention = scores.ndim == 4 and scores.shape[-2] == length
        return SOFTMAX(change(scores) if is_attention else scores, *args, **kwargs)

    patches = ExitStack()

    def begin(*_: Any) -> None:
        patches.enter_context(patch.object(functional, "softmax", softmax))
        patches.enter_context(patch.object(functional, "scaled_dot_product_attention", written_out))

    def end(*_: Any) -> None:
        patches.close()

    handles = [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        yield
    finally:
        patches.close()
        for handle in handles:
            handle.remove()


def written_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> Tensor:
    """Attention, with its scores in the open."""
    key, value = (
        each.repeat_interleave(query.shape[1] // each.shape[1], 1) for each in (key, value)
    )
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        allowed = torch.ones_like(scores, dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return functional.softmax(scores, -1) @ value


def _replacing(replaced: Replaced, length: int) -> Values:
    def replace(hidden: Tensor) -> Tensor:
        if hidden.shape[-2] != length:  # a later step of a description
            return hidden
        result = hidden.clone()
        result[..., list(replaced.tokens), :] = replaced.value
        return result

    return replace


def _cutting(cuts: Sequence[Cut]) -> Values:
    def without(scores: Tensor) -> Tensor:
        result = scores.clone()
        for cut in cuts:
            for head in range(scores.shape[1]) if cut.heads is None else cut.heads:
                result[:, head, cut.to, list(cut.source)] = -torch.inf
        return result

    return without


def _noting(seen: list[int], index: int) -> Values:
    def note(scores: Tensor) -> Tensor:
        seen.append(index)
        return scores

    return note
