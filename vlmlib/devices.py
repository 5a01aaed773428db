"""Where a model runs and in which numbers: what was asked for, held against what there is."""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import nn

from vlmlib.errors import VLMError

FOUR_BIT = "4bit"
DTYPES = ("float32", "float16", "bfloat16", FOUR_BIT)
QUANTISING = ("bitsandbytes", "accelerate")  # what 4bit needs
AUTO = "auto"
SPREADING = "accelerate"  # what spreads a model over several devices, and moves what it hands on


def device_of(device: str | torch.device) -> torch.device:
    """A device that is on this machine.

    **Raises:** `VLMError` for a name that means no device, and for one that there is not.

    !!! example

        >>> device_of("cpu")
        device(type='cpu')
    """
    here = _devices()
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise VLMError(
            f"There is no device {device!r}. Expected one of this machine's: {', '.join(here)}."
        ) from error
    if str(asked) in {*here, *(each.partition(":")[0] for each in here)}:
        return asked
    lacks = "the device meta holds no numbers" if asked.type == "meta" else _why_not(asked.type)
    raise VLMError(
        f"A model cannot run on the device {str(device)!r}: {lacks}. Choose one of this machine's: "
        f"{', '.join(here)}."
    )


def devices_of(device: str | torch.device) -> list[torch.device]:
    """Where a model is to go: to one device, or for "auto" over all accelerators of this machine,
    onto the CPU where there is none.

    **Raises:** `VLMError` as `device_of`, and where there are several and what spreads a model is
    not installed.

    !!! example

        >>> devices_of("cpu")
        [device(type='cpu')]
    """
    if device != AUTO:
        return [device_of(device)]
    cpu, *accelerators = _devices()
    if len(accelerators) < 2:
        return [torch.device(each.partition(":")[0]) for each in accelerators or [cpu]]
    if find_spec(SPREADING) is None:
        raise VLMError(
            f"The device {AUTO!r} spreads a model over {', '.join(accelerators)} by {SPREADING}, "
            f"which is not installed here. Install it (pip install {SPREADING}), or choose one of "
            f"them: {accelerators[0]}."
        )
    return [torch.device(each) for each in accelerators]


def placed_on(model: nn.Module) -> list[torch.device]:
    """The devices that hold a model's weights, by their names.

    **Raises:** `VLMError` for weights that none holds: those that accelerate keeps in the CPU's
    memory or on the disk, and brings each time that they are needed.

    !!! example

        >>> placed_on(vlm.model)
        [device(type='cpu')]
    """
    weights = [*model.parameters()]
    elsewhere = sum(each.device.type == "meta" for each in weights)
    if elsewhere:
        raise VLMError(
            f"{elsewhere} of the {len(weights)} weights of {type(model).__name__} are on no "
            "device: they did not fit, and were put aside (offloaded), where nothing is measured. "
            "Choose more, larger or emptier devices, or weights of fewer bits "
            '(dtype="float16", "bfloat16" or "4bit").'
        )
    return sorted({each.device for each in weights}, key=str)


def names_of(devices: Sequence[torch.device]) -> tuple[str, ...]:
    """Devices of one model by their names: of a single one its kind.

    !!! example

        >>> names_of([torch.device("cuda:0")]), names_of([torch.device("cuda", 0)] * 2)
        (('cuda',), ('cuda:0', 'cuda:0'))
    """
    return tuple(map(str, devices)) if len(devices) > 1 else (devices[0].type,)


def dtype_of(dtype: str | torch.dtype) -> torch.dtype | None:
    """The type of weights by its name; None for "4bit", in which they are quantised while they are
    loaded.

    **Raises:** `VLMError` for a type that is none, and for "4bit" where its libraries are not
    installed.

    !!! example

        >>> dtype_of("bfloat16")
        torch.bfloat16
    """
    if dtype == FOUR_BIT:
        if lacks := [each for each in QUANTISING if find_spec(each) is None]:
            raise VLMError(
                f"4bit needs {' and '.join(lacks)}, which is not installed here. Install it (pip "
                f"install {' '.join(lacks)}), or choose another type: {', '.join(DTYPES[:-1])}."
            )
        return None
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise VLMError(
            f"Weights cannot be loaded as {name!r}. Expected one of {', '.join(DTYPES)}."
        )
    return getattr(torch, name)


def _devices() -> list[str]:
    """The devices of this machine."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    return ["cpu", *(f"{accelerator.type}:{at}" for at in range(torch.accelerator.device_count()))]


def _why_not(kind: str) -> str:
    others = [each for each in _devices() if each.partition(":")[0] == kind]
    if others:
        return f"there are {len(others)} of its kind, counted from 0"
    return f"this machine has no {kind}, or this torch ({torch.__version__}) is built without it"
