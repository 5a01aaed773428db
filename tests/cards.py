"""Two cards that are none: devices whose numbers the processor holds, over which a model is spread
where there is no card, and on which whatever meets a tensor of another device is seen.

A tensor says on which device it is, an operation on tensors of two raises what it would on cards,
and only a copy goes from one to another.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from accelerate import dispatch_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from vlmlib.decoder import Decoder
from vlmlib.roles import decoder_of

CPU = torch.device("cpu")
# of a kind of which torch has no code, so that all that runs there comes by here
FIRST, SECOND = torch.device("lazy:0"), torch.device("lazy:1")
COPIES = ("_to_copy", "copy_")  # what may be given tensors of two devices
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")  # what the processor may index


class OnCard(Tensor):
    """A tensor on a card. `held`: its numbers."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device):
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


@contextmanager
def two_cards() -> Iterator[None]:
    """While the context lasts, there are two cards."""
    own = torch.tensor

    def tensor(numbers: Any, **settings: Any) -> Tensor:
        return own(_mapped(_held, numbers), **settings)  # of single ones that are on cards, too

    # else torch makes tensors of Python's numbers on a card by itself
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        # of which kinds it casts by itself, torch knows its own alone
        casts = patch.object(torch, "is_autocast_enabled", lambda *_: False)
        with patch.object(torch, "tensor", tensor), casts, _Computing():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


class _Computing(TorchDispatchMode):
    """Operations without a tensor, which may be asked for one on a card."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None):
        return computed(func, args, kwargs or {})


def computed(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What an operation gives, on the device on which it runs or for which it is asked."""
    here = device_of(func, args, kwargs)
    there = kwargs.get("device") or here
    if kwargs.get("device"):
        kwargs = {**kwargs, "device": CPU}
    kwargs = {name: _mapped(_held, each) for name, each in kwargs.items()}
    found = func(*_mapped(_held, args), **kwargs)
    if func._schema.is_mutable:
        return args[0]
    return found if there == CPU else _mapped(lambda each: OnCard(each, there), found)


def device_of(func: Any, args: tuple, kwargs: dict[str, Any]) -> torch.device:
    """Where an operation runs: where all are that it is given, but for single numbers and indices
    of the processor.

    **Raises:** `RuntimeError`, as torch does, where they are on several.
    """
    name = func._schema.name.partition("::")[2]
    given = list(tensors_in(args[:1] if name in COPIES else (*args, *kwargs.values())))
    indices = {id(each) for each in args[1]} if name in INDEXED else set()
    devices = {
        each.device
        for each in given
        if isinstance(each, OnCard) or (each.ndim and id(each) not in indices)
    }
    if len(devices) > 1:
        found = " and ".join(sorted(map(str, devices)))
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"{found}! (when checking the arguments of {name})"
        )
    return next(iter(devices), CPU)


def upper_layers(decoder: Decoder) -> list[nn.Module]:
    """All layers but the first, the final norm, and the unembedding unless it is tied."""
    found = [*decoder.layers[1:], decoder.norm]
    return found if decoder.unembed.weight is decoder.embed.weight else [*found, decoder.unembed]


def language(decoder: Decoder) -> list[nn.Module]:
    """The whole language model."""
    return [decoder.stack, decoder.unembed]


def spread(
    model: PreTrainedModel, second: Callable[[Decoder], list[nn.Module]] = upper_layers
) -> PreTrainedModel:
    """The same model by accelerate, within `two_cards`: some parts of it on the second card, all
    else on the first one, which is also that of the whole."""
    dispatch_model(
        model,
        dict(_placed(model, second(decoder_of(model)))),
        main_device=FIRST,
        skip_keys="past_key_values",  # as transformers has it
    )
    return model


def _placed(
    module: nn.Module, second: Sequence[nn.Module], name: str = ""
) -> Iterator[tuple[str, torch.device]]:
    """By their paths the largest parts that go to one card."""
    if any(module is each for each in second):
        yield name, SECOND
    elif not any(each is one for each in module.modules() for one in second):
        yield name, FIRST
    else:
        for child, weight in [*module.named_parameters(recurse=False)]:
            # which accelerate leaves to whoever loads them
            setattr(module, child, nn.Parameter(weight.to(FIRST), requires_grad=False))
            yield f"{name}.{child}".lstrip("."), FIRST
        for child, part in module.named_children():
            yield from _placed(part, second, f"{name}.{child}".lstrip("."))


def _held(each: Tensor) -> Tensor:
    return each.held if isinstance(each, OnCard) else each


def _mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """What an operation is given or gives, with other tensors."""
    if isinstance(value, list | tuple):
        return type(value)(_mapped(change, each) for each in value)
    return change(value) if isinstance(value, Tensor) else value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of what an operation is given or gives, however deep in lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
