"""The parts of a language model, found by what they do and not by what they are called."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError

# What a part of a layer takes that reads the image beside the sequence.
CROSSING = {
    "cross_attention_states",
    "encoder_hidden_states",
    "image_hidden_states",
    "vision_hidden_states",
}


def decoder_of(model: PreTrainedModel) -> Decoder:
    """The parts of a model's language model.

    The stack is the smallest module that holds the token embedding and as many layers as the
    configuration says; its final norm is the last of its parts with one weight for each number of a
    hidden state, or with none that gives the same of a multiple; a layer's attention is the part
    that takes a mask of edges.

    **Raises:** `VLMError` that says what is missing.

    !!! example

        >>> len(decoder_of(vlm.model).attentions)
        2
    """
    text: Any = model.config.get_text_config()
    if getattr(model.config, "is_encoder_decoder", False):
        beside = (
            "it reads pictures in an encoder and answers in a decoder, and has no single sequence"
        )
        raise _refusal(model, beside)
    embed, unembed = _ends(model)
    stack = _stack(model, embed, text.num_hidden_layers)
    if stack is None:
        raise _refusal(model, _why_no_stack(model, embed, text.num_hidden_layers))
    layers = _layers(stack, text.num_hidden_layers)
    crosses = getattr(text, "add_cross_attention", True)  # many can, where their settings say so
    if crosses and (crossing := _crossing(stack, layers)):
        raise _refusal(
            model,
            f"its layers ({crossing}) read the image through cross-attention, so that its sequence "
            "has no visual tokens",
        )
    return Decoder(
        stack=stack,
        embed=embed,
        unembed=unembed,
        layers=layers,
        attentions=[_attention(layer) for layer in layers],
        norm=_norm(model, stack, text.hidden_size),
        last_mlp=getattr(layers[-1], "mlp", None),
        windows=_windows(text, len(layers)),
        heads=text.num_attention_heads,
        d_model=text.hidden_size,
    )


def _refusal(model: PreTrainedModel, reason: str) -> VLMError:
    name = f"{type(model).__name__} (model type {model.config.model_type!r})"
    return VLMError(
        f"{name} cannot be intervened on: {reason}. Use a model whose one language model reads "
        "visual tokens in its sequence."
    )


def _ends(model: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """The embedding of tokens and the unembedding: a model's own, or those of its part that has
    both, as one does that holds a whole language model."""
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            try:
                embed, unembed = part.get_input_embeddings(), part.get_output_embeddings()
            except NotImplementedError as error:
                if part is model:
                    raise _refusal(model, _why_no_embedding(model)) from error
            else:
                if embed is not None and unembed is not None:
                    return embed, unembed
    raise _refusal(model, "it has no embedding of tokens, or no unembedding")


def _why_no_embedding(model: PreTrainedModel) -> str:
    parts = [
        f"{name} ({type(part).__name__})"
        for name, part in model.named_children()
        if isinstance(part, PreTrainedModel) and part.can_generate()
    ]
    made_of = f"; wrap the part of it that reads images: {', '.join(parts)}" if parts else ""
    return f"it has no embedding of tokens that is its own{made_of}"


def _crossing(stack: nn.Module, layers: list[nn.Module]) -> str:
    """Which layers read what is beside the sequence, if any: such a part is of no use that neither
    its layer nor the stack can hand this to."""
    for at, layer in enumerate(layers):
        handed = CROSSING & (_parameters(layer) | _parameters(stack))
        if any(handed & _parameters(part) for part in _parts(layer)):
            return f"the first is layer {at}"
    others = [name for name, each in stack.named_children() if _cross(each, layers)]
    return f"those between them, {others[0]}" if others else ""


def _cross(module: nn.Module, layers: list[nn.Module]) -> bool:
    """Whether it is a list of layers that read what is beside the sequence, other than these."""
    return isinstance(module, nn.ModuleList) and any(
        CROSSING & _parameters(each) for each in module if each not in layers
    )


def _stack(model: PreTrainedModel, embed: nn.Module, count: int) -> nn.Module | None:
    """The smallest module that has the token embedding and the layers."""
    holding = [module for module in _holding(model, embed) if _layers(module, count)]
    return holding[-1] if holding else None


def _why_no_stack(model: PreTrainedModel, embed: nn.Module, count: int) -> str:
    holding = _holding(model, embed)
    lists = [each for module in holding for each in _lists(module)]
    if any(len(each) == count for each in lists):
        return (
            f"none of its {count} layers has an attention that is known as one: a part with "
            "is_causal that takes an attention_mask"
        )
    # not beside the embedding, but in a part of the model that holds both
    if any(_cross(each, []) for module in holding[1:] for each in module.modules()):
        return (
            "its layers read the image through cross-attention, so that its sequence has no visual "
            "tokens"
        )
    found = ", ".join(map(str, sorted({len(each) for each in lists}))) or "none"
    return (
        f"no part of it has a list of {count} layers, as its configuration says, beside its token "
        f"embedding (lists there: {found})"
    )


def _holding(model: PreTrainedModel, embed: nn.Module) -> list[nn.Module]:
    """The modules that have the token embedding, from the outside in."""
    return [module for module in model.modules() if any(each is embed for each in module.modules())]


def _lists(module: nn.Module) -> list[nn.ModuleList]:
    return [child for child in module.children() if isinstance(child, nn.ModuleList)]


def _layers(module: nn.Module, count: int) -> list[nn.Module]:
    """A module's own list of so many parts that attend."""
    for child in _lists(module):
        if len(child) == count and _attends(child):
            return list(child)
    return []


def _attends(layers: nn.ModuleList) -> bool:
    return any(_attention(layer) is not None for layer in layers)


def _attention(layer: nn.Module) -> nn.Module | None:
    """The part of a layer in which positions attend to earlier ones, by a mask of edges; None of a
    layer without such a part, as a convolution or a recurrence is."""
    return next((part for part in _parts(layer) if _takes_edges(part)), None)


def _takes_edges(module: nn.Module) -> bool:
    return hasattr(module, "is_causal") and "attention_mask" in _parameters(module)


def _parts(layer: nn.Module) -> Iterator[nn.Module]:
    """What a layer is made of, from the outside in."""
    yield from (each for each in layer.modules() if each is not layer)


def _parameters(module: nn.Module) -> set[str]:
    return {*inspect.signature(type(module).forward).parameters}


def _needed(module: nn.Module) -> list[str]:
    """What a module cannot be called without."""
    given = inspect.signature(type(module).forward).parameters.values()
    apart = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in given if each.default is each.empty and each.kind not in apart]


def _norm(model: PreTrainedModel, stack: nn.Module, width: int) -> nn.Module:
    norms = [child for child in stack.children() if _is_norm(child, width)]
    if not norms:
        raise _refusal(model, "its language model has no norm after its last layer")
    return norms[-1]


def _is_norm(module: nn.Module, width: int) -> bool:
    if len(_needed(module)) > 2:  # itself and hidden states
        return False
    weights = [tuple(each.shape) for each in module.parameters()]
    return all(each == (width,) for each in weights) if weights else _norms(module, width)


@torch.no_grad()
def _norms(module: nn.Module, width: int) -> bool:
    """Whether a module without weights makes the same of rows and of their multiples, and not of
    others."""
    rows = torch.linspace(-1, 1, 2 * width).square().reshape(1, 2, width)
    try:
        once, twice = module(rows), module(2 * rows)
    except Exception:  # it takes something else than hidden states
        return False
    return (
        isinstance(once, Tensor)
        and once.shape == rows.shape
        and torch.allclose(once, twice, atol=1e-3)
        and not torch.allclose(once[0, 0], once[0, 1], atol=1e-3)
    )


def _windows(text: Any, layers: int) -> list[int | None]:
    """For each layer how many positions, itself included, a position attends to; None for all."""
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    if not kinds:
        return [window] * layers
    return [window if kind == "sliding_attention" else None for kind in kinds]
