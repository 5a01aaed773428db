"""The same over many images: examples, data sets, tasks, and a store of what was measured.

from vlmlib.study import Store, coco, measure, polling

data = coco.read("fixtures/emoji_coco")
table = measure(vlm, data.examples, polling, design, Store(Path(".vlm_store")), mean)
table.lost("polling", "object")
"""

from vlmlib.study import coco
from vlmlib.study.example import Example, Object
from vlmlib.study.frame import frame
from vlmlib.study.identity import Handle, checkpoint, loaded
from vlmlib.study.lens_page import lens_page
from vlmlib.study.measure import Bench, MeanOf, measure
from vlmlib.study.recording import Recording
from vlmlib.study.row import Row
from vlmlib.study.run import is_right
from vlmlib.study.scene import Design, Scene
from vlmlib.study.sound import Picture
from vlmlib.study.steps import Step
from vlmlib.study.store import Finished, Store
from vlmlib.study.table import Table
from vlmlib.study.task import Asking, Task, generative, polling, vqa

__all__ = [
    "Asking",
    "Bench",
    "Design",
    "Example",
    "Finished",
    "Handle",
    "MeanOf",
    "Object",
    "Picture",
    "Recording",
    "Row",
    "Scene",
    "Step",
    "Store",
    "Table",
    "Task",
    "checkpoint",
    "coco",
    "frame",
    "generative",
    "is_right",
    "lens_page",
    "loaded",
    "measure",
    "polling",
    "vqa",
]
