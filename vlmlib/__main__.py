"""Is my model supported? Tries on small pictures all that can be asked of a model, and says what is
found, what is refused, and why."""

import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence

from vlmlib import VLM, VLMError, VLMWarning
from vlmlib.devices import DTYPES
from vlmlib.report import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report of a model, or why it cannot be loaded.

    **Arguments:** those of the command line.

    **Returns:** the exit status: 0, or 1 for a model that cannot be loaded or measured.

    !!! example

        >>> main(["path/to/no/model"])
        1
    """
    parser = ArgumentParser(prog="python -m vlmlib", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a checkpoint folder, or an id on the hub")
    parser.add_argument(
        "--device", default="cpu", help="where it runs: cpu, cuda, cuda:1, mps, auto"
    )
    parser.add_argument("--dtype", default="float32", help=f"of the weights: {', '.join(DTYPES)}")
    parser.add_argument("--revision", help="branch, tag or commit of an id on the hub")
    asked = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VLMWarning)  # the report says it
            vlm = VLM.load(asked.model, asked.device, asked.dtype, asked.revision)
            print(vlm.report())
    except VLMError as error:
        print(one_line(str(error)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
