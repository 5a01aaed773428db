"""Hooks as context managers: attached on entry, gone on exit, also when the model raises."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Edit = Callable[[tuple, dict], tuple[tuple, dict]]
Look = Callable[[Any], None]


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
