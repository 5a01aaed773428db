"""The paper's figure: what blocking each route costs, layer by layer, a panel for each task."""

import pandas as pd
from matplotlib.ticker import PercentFormatter

from claimlib.figures import INK, Figure
from claimlib.page.look import BAND, BLUE, GREY, PURPLE, SIZE, VERMILLION, sheet, styled
from claims.zhang2025 import arms

LOOKS = {
    arms.QUESTION: {"color": BLUE, "linestyle": "-", "marker": "o"},
    arms.IMAGE: {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    arms.INTO_QUESTION: {"color": PURPLE, "linestyle": "-.", "marker": "^"},
    arms.LAST: {"color": INK, "linestyle": ":", "marker": ""},
}
TELLS = (
    "The relative change of the probability of the token that the model says first, when attention "
    "of a route is blocked in a window of layers; bands are intervals of 95 %, images as clusters."
)
ACROSS = 2  # panels in a row


@styled()
def draw(numbers: pd.DataFrame, label: str) -> Figure:
    """The figure of a model.

    **Arguments:** by task, route and layer the mean change, and its interval.
    """
    tasks = numbers["task"].unique().tolist()
    down = -(-len(tasks) // ACROSS)
    drawing = sheet(7.2, 0.9 + 2.3 * down)
    panels = drawing.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, task in zip(panels, tasks, strict=False):
        panel.axhline(0, color=GREY, linewidth=0.8)
        of_task = numbers[numbers["task"] == task]
        for route, look in LOOKS.items():
            line = of_task[of_task["route"] == route]
            panel.fill_between(
                line["layer"],
                line["low"],
                line["high"],
                color=look["color"],
                alpha=BAND,
                linewidth=0,
            )
            panel.plot(line["layer"], line["change"], label=route.replace("->", "→"), **look)
        panel.set_title(task)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    drawing.supxlabel("layer around which attention is blocked", fontsize=SIZE)
    drawing.supylabel("change of the probability (%)", fontsize=SIZE)
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper center", ncols=len(LOOKS))
    return Figure.drawn(drawing, f"Information flow, {label}", TELLS, numbers)
