"""How far long work has come: a bar on a terminal, a line a minute anywhere else."""

import shutil
import sys
from typing import Any

from tqdm import tqdm

MINUTE = 60.0
PACE = "{rate_fmt}, {remaining} left{postfix}"
LINE = f"{{desc}}: image {{n_fmt}} of {{total_fmt}}, {PACE}"
BAR = f"{{desc}}: {{percentage:.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}}, {PACE}"


class Lines(tqdm):
    """What tqdm tells, in whole lines: where several write, or none redraws."""

    monitor_interval = 0  # nothing to redraw, hence no thread that does it

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if msg is None:
            print(" ".join(str(self).split()), file=self.fp, flush=True)

    def close(self) -> None:
        if not self.disable:
            self.display()
        self.leave = False  # it is said
        super().close()


def progress(label: str, total: int, done: int = 0, alone: bool = True) -> tqdm:
    """What to `update` image by image, as a context: one bar where stderr is a terminal; else a
    line at the beginning, one a minute, and one at the end.

    It says how many images of how many, the rate, the time left, and what `set_postfix_str` adds.

    **Arguments:** what is done; how many images there are, and how many of them were done before;
    whether this process writes alone: the bars of several would overwrite each other.

    !!! example

        >>> with progress("polling", total=2) as bar:
        ...     bar.update()
        >>> bar.n
        1
    """
    # an update looks at the clock, however few images it brings
    shared: dict[str, Any] = {"desc": label, "total": total, "initial": done, "miniters": 0}
    shared |= {"unit": "image", "file": sys.stderr}
    if alone and sys.stderr.isatty():
        # 80 by 24 where the terminal does not know its own, at which tqdm would show nothing
        columns, rows = shutil.get_terminal_size()
        return tqdm(**shared, bar_format=BAR, ncols=columns, nrows=rows)
    return Lines(**shared, bar_format=LINE, mininterval=MINUTE)
