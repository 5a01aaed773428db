"""Hooks as context managers: attached on entry, gone on exit, also when the model raises."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Edit = Callable[[tuple, dict], tuple[tuple, dict]]
Look = Callable[[Any], None]
EMBEDDINGS = "inputs_embeds"  # as every stack of transformers calls them


@contextmanager
def before(module: nn.Module, edit: Edit) -> Iterator[None]:
    """While the context lasts, what this module is called with passes through `edit(args, kwargs)`
    first.

    !!! example

        >>> double = torch.nn.Identity()
        >>> with before(double, lambda args, kwargs: ((2 * args[0],), kwargs)):
        ...     print(double(3))
        6
    """

    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return edit(args, kwargs)

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While the context lasts, this module returns what `forward` does.

    !!! example

        >>> module = torch.nn.Identity()
        >>> with instead(module, lambda value: value + 1):
        ...     print(module(3))
        4
    """
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


@contextmanager
def after(module: nn.Module, look: Look) -> Iterator[None]:
    """While the context lasts, `look` is shown what this module returns.

    !!! example

        >>> module = torch.nn.Identity()
        >>> with after(module, print):
        ...     output = module(3)
        3
    """
    handle = module.register_forward_hook(lambda _module, _args, output: look(output))
    try:
        yield
    finally:
        handle.remove()


def hidden_in(args: tuple, kwargs: dict) -> Tensor:
    """The hidden states that a module is called with: embeddings, which a stack is given by name;
    else its first tensor, by place or by name.

    !!! example

        >>> hidden_in((torch.ones(1, 3, 4),), {"attention_mask": None}).shape
        torch.Size([1, 3, 4])
    """
    if kwargs.get(EMBEDDINGS) is not None:
        return kwargs[EMBEDDINGS]
    return next(each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))


def with_hidden(args: tuple, kwargs: dict, hidden: Tensor) -> tuple[tuple, dict]:
    """The same call with other hidden states (see `hidden_in`).

    !!! example

        >>> with_hidden((1,), {"hidden_states": torch.ones(2)}, torch.zeros(2))
        ((1,), {'hidden_states': tensor([0., 0.])})
    """
    if kwargs.get(EMBEDDINGS) is not None:
        return args, {**kwargs, EMBEDDINGS: hidden}
    for place, each in enumerate(args):
        if isinstance(each, Tensor):
            return (*args[:place], hidden, *args[place + 1 :]), kwargs
    name = next(name for name, each in kwargs.items() if isinstance(each, Tensor))
    return args, {**kwargs, name: hidden}
