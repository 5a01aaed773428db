"""Modules that a test writes, and the key of what stands in them: in this process or in another."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmlib.study.meaning import meaning_of

Files = dict[str, str]


@contextlib.contextmanager
def imported(folder: Path, files: Files) -> Iterator[Any]:
    """What `design` is in the module of this name, while the files lie in the folder and can be
    imported; nothing of them stays imported."""
    for name, source in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        [module] = [name for name, source in files.items() if "design" in Path(name).stem]
        path = module.removesuffix(".py").replace("/", ".")
        yield importlib.import_module(path).design
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def key_of(folder: Path, files: Files) -> str:
    """The key of the design in these files."""
    with imported(folder, files) as design:
        return meaning_of(design)[0]


def other(files: Files, old: str = "2", new: str = "3") -> Files:
    """The same files, in which the planted text is another."""
    changed = {name: source.replace(old, new) for name, source in files.items()}
    assert changed != files
    return changed


def one(source: str) -> Files:
    return {"design.py": source}


USES = "def design(scene):\n    return scale(scene)\n"

# Where a 2 becomes a 3, the design means something else.
KINDS: dict[str, Files] = {
    "its own code": one("def design(scene):\n    return scene * 2\n"),
    "a helper beside it": one("def scale(scene):\n    return scene * 2\n\n" + USES),
    "a helper in another module": {
        "design.py": "from helper import scale\n" + USES,
        "helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a helper under another name": {
        "design.py": "from helper import times as scale\n" + USES,
        "helper.py": "def times(scene):\n    return scene * 2\n",
    },
    "a helper of a helper": {
        "design.py": "from helper import scale\n" + USES,
        "helper.py": "from deeper import factor\ndef scale(scene):\n    return scene * factor()\n",
        "deeper.py": "def factor():\n    return 2\n",
    },
    "a closure's value": one(
        "def made(factor):\n    def design(scene):\n        return scene * factor\n"
        "    return design\ndesign = made(2)\n"
    ),
    "a function in a closure": one(
        "def made(scale):\n    def design(scene):\n        return scale(scene)\n"
        "    return design\ndesign = made(lambda scene: scene * 2)\n"
    ),
    "a default argument": one(
        "FACTOR = 2\ndef made(factor):\n    def design(scene, factor=factor):\n"
        "        return scene * factor\n    return design\ndesign = made(FACTOR)\n"
    ),
    "a keyword's default": one(
        "FACTOR = 2\ndef made(factor):\n    def design(scene, *, factor=factor):\n"
        "        return scene * factor\n    return design\ndesign = made(FACTOR)\n"
    ),
    "a global constant": one("FACTOR = 2\ndef design(scene):\n    return scene * FACTOR\n"),
    "a global constant from another module": {
        "design.py": "from helper import FACTOR\ndef design(scene):\n    return scene * FACTOR\n",
        "helper.py": "FACTOR = 2\n",
    },
    "a global list that was filled later": one(
        "FACTORS = []\ndef design(scene):\n    return scene * FACTORS[0]\nFACTORS.append(2)\n"
    ),
    "a global table of functions": one(
        "TABLE = {'times': lambda scene: scene * 2}\n"
        "def design(scene):\n    return TABLE['times'](scene)\n"
    ),
    "a lambda": one("design = lambda scene: scene * 2\n"),
    "one lambda of two on a line": one(
        "design, _ = (lambda scene: scene * 2), (lambda scene: scene)\n"
    ),
    "an argument of a partial": one(
        "import functools\ndef times(factor, scene):\n    return scene * factor\n"
        "design = functools.partial(times, 2)\n"
    ),
    "a keyword of a partial": one(
        "import functools\ndef times(scene, factor):\n    return scene * factor\n"
        "design = functools.partial(times, factor=2)\n"
    ),
    "the function of a partial": one(
        "import functools\ndef times(scene, factor):\n    return scene * factor + 2\n"
        "design = functools.partial(times, factor=1)\n"
    ),
    "what a bound method's object holds": one(
        "class Times:\n    def __init__(self, factor):\n        self.factor = factor\n"
        "    def arms(self, scene):\n        return scene * self.factor\ndesign = Times(2).arms\n"
    ),
    "a bound method's code": one(
        "class Times:\n    def arms(self, scene):\n        return scene * 2\n"
        "design = Times().arms\n"
    ),
    "another method that a bound method calls": one(
        "class Times:\n    def arms(self, scene):\n        return scene * self.factor()\n"
        "    def factor(self):\n        return 2\ndesign = Times().arms\n"
    ),
    "what a callable object holds": one(
        "class Times:\n    def __init__(self, factor):\n        self.factor = factor\n"
        "    def __call__(self, scene):\n        return scene * self.factor\ndesign = Times(2)\n"
    ),
    "a callable object's code": one(
        "class Times:\n    def __call__(self, scene):\n        return scene * 2\ndesign = Times()\n"
    ),
    "what an object with slots holds": one(
        "class Times:\n    __slots__ = ('factor',)\n    def __init__(self, factor):\n"
        "        self.factor = factor\n    def __call__(self, scene):\n"
        "        return scene * self.factor\ndesign = Times(2)\n"
    ),
    "what an object holds beside a model": one(
        "import torch\nclass Times:\n    def __init__(self, factor):\n"
        "        self.model, self.factor = torch.nn.Linear(1, 1), factor\n"
        "        self.model.load_state_dict({'weight': torch.ones(1, 1), 'bias': torch.ones(1)})\n"
        "    def __call__(self, scene):\n        return scene * self.factor\ndesign = Times(2)\n"
    ),
    "an object within an object": one(
        "class Factor:\n    def __init__(self, value):\n        self.value = value\n"
        "FACTORS = [Factor(2)]\ndef design(scene):\n    return scene * FACTORS[0].value\n"
    ),
    "a class attribute": one(
        "class Times:\n    factor = 2\ndef design(scene):\n    return scene * Times.factor\n"
    ),
    "a base class in another module": {
        "design.py": "from helper import Base\nclass Times(Base):\n    pass\n"
        "def design(scene):\n    return Times().scaled(scene)\n",
        "helper.py": "class Base:\n    def scaled(self, scene):\n        return scene * 2\n",
    },
    "a static method": one(
        "class Times:\n    @staticmethod\n    def scaled(scene):\n        return scene * 2\n"
        "def design(scene):\n    return Times.scaled(scene)\n"
    ),
    "a class method": one(
        "class Times:\n    @classmethod\n    def scaled(cls, scene):\n        return scene * 2\n"
        "def design(scene):\n    return Times.scaled(scene)\n"
    ),
    "a property": one(
        "class Times:\n    @property\n    def factor(self):\n        return 2\n"
        "def design(scene):\n    return scene * Times().factor\n"
    ),
    "a cached property": one(
        "import functools\nclass Times:\n    @functools.cached_property\n"
        "    def factor(self):\n        return 2\n"
        "def design(scene):\n    return scene * Times().factor\n"
    ),
    "what a decorator does": one(
        "import functools\ndef twice(function):\n    @functools.wraps(function)\n"
        "    def wrapped(scene):\n        return function(scene) * 2\n    return wrapped\n"
        "@twice\ndef design(scene):\n    return scene\n"
    ),
    "what is decorated": one(
        "import functools\ndef twice(function):\n    @functools.wraps(function)\n"
        "    def wrapped(scene):\n        return function(scene)\n    return wrapped\n"
        "@twice\ndef design(scene):\n    return scene * 2\n"
    ),
    "an argument of a decorator": one(
        "import functools\ndef times(factor):\n    def decorated(function):\n"
        "        @functools.wraps(function)\n        def wrapped(scene):\n"
        "            return function(scene) * factor\n        return wrapped\n"
        "    return decorated\n@times(2)\ndef design(scene):\n    return scene\n"
    ),
    "a decorator that is a class": one(
        "import functools\nclass Times:\n    def __init__(self, function, factor=2):\n"
        "        functools.update_wrapper(self, function)\n"
        "        self.function, self.factor = function, factor\n"
        "    def __call__(self, scene):\n        return self.function(scene) * self.factor\n"
        "@Times\ndef design(scene):\n    return scene\n"
    ),
    "what a library's decorator decorates": one(
        "import torch\n@torch.no_grad()\ndef design(scene):\n    return scene * 2\n"
    ),
    "a function that goes by a library's name": one(
        "import functools\nimport numpy\n@functools.wraps(numpy.mean)\n"
        "def design(scene):\n    return scene * 2\n"
    ),
    "a context manager": one(
        "import contextlib\n@contextlib.contextmanager\ndef factor():\n    yield 2\n"
        "def design(scene):\n    with factor() as by:\n        return scene * by\n"
    ),
    "a cached helper": one(
        "import functools\n@functools.cache\ndef scale(scene):\n    return scene * 2\n" + USES
    ),
    "a helper of many types": one(
        "import functools\n@functools.singledispatch\ndef scale(scene):\n    return scene\n"
        "@scale.register\ndef _(scene: int):\n    return scene * 2\n" + USES
    ),
    "an import within a function": {
        "design.py": "def design(scene):\n    from helper import scale\n    return scale(scene)\n",
        "helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a module that a function imports": {
        "design.py": "def design(scene):\n    import helper\n    return helper.scale(scene)\n",
        "helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "an import within a function within a function": {
        "design.py": "def design(scene):\n    def inner():\n        import helper\n"
        "        return helper.FACTOR\n    return scene * inner()\n",
        "helper.py": "FACTOR = 2\n",
    },
    "a module that a function imports from its package": {
        "kit/__init__.py": "",
        "kit/design.py": "def design(scene):\n    from . import helper\n"
        "    return helper.scale(scene)\n",
        "kit/helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a name that a function imports from its package": {
        "kit/__init__.py": "",
        "kit/design.py": "def design(scene):\n    from .helper import scale\n"
        "    return scale(scene)\n",
        "kit/helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a module from its package": {
        "kit/__init__.py": "",
        "kit/design.py": "from . import helper\n"
        "def design(scene):\n    return helper.scale(scene)\n",
        "kit/helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a module": {
        "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
        "helper.py": "def scale(scene):\n    return scene * 2\n",
    },
    "a module that a module imports": {
        "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
        "helper.py": "from deeper import FACTOR\ndef scale(scene):\n    return scene * FACTOR\n",
        "deeper.py": "FACTOR = 2\n",
    },
    "a module that a module imports when it is needed": {
        "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
        "helper.py": "def scale(scene):\n    from deeper import FACTOR\n"
        "    return scene * FACTOR\n",
        "deeper.py": "FACTOR = 2\n",
    },
    "what a module imports from a package that has it from elsewhere": {
        "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
        "helper.py": "from kit import FACTOR as by\ndef scale(scene):\n    return scene * by\n",
        "kit/__init__.py": "from kit.deeper import BY as FACTOR\nfrom kit.other import WORD\n",
        "kit/deeper.py": "BY = 2\n",
        "kit/other.py": "WORD = 'two'\n",
    },
    "a recursion": one(
        "def design(scene):\n    return design(scene - 1) * 2 if scene else scene\n"
    ),
    "a mutual recursion": one(
        "def design(scene):\n    return other(scene) if scene else scene\n"
        "def other(scene):\n    return design(scene - 1) * 2\n"
    ),
    "a recursion in a closure": one(
        "def made():\n    def design(scene):\n"
        "        return design(scene - 1) * 2 if scene else 0\n    return design\ndesign = made()\n"
    ),
    "a dataclass's default": one(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Options:\n"
        "    factor: int = 2\ndef design(scene):\n    return scene * Options().factor\n"
    ),
    "what makes a dataclass's default": one(
        "from dataclasses import dataclass, field\n@dataclass\nclass Options:\n"
        "    factors: list = field(default_factory=lambda: [2])\n"
        "def design(scene):\n    return scene * Options().factors[0]\n"
    ),
    "a dataclass's value": one(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Options:\n"
        "    factor: int\nOPTIONS = Options(2)\ndef design(scene):\n"
        "    return scene * OPTIONS.factor\n"
    ),
    "a value of a dataclass with slots": one(
        "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\nclass Options:\n"
        "    factor: int\nOPTIONS = Options(2)\ndef design(scene):\n"
        "    return scene * OPTIONS.factor\n"
    ),
    "a dataclass's method": one(
        "from dataclasses import dataclass\n@dataclass\nclass Options:\n    factor: int = 1\n"
        "    def scaled(self, scene):\n        return scene * self.factor * 2\n"
        "def design(scene):\n    return Options().scaled(scene)\n"
    ),
    "a named tuple's default": one(
        "from typing import NamedTuple\nclass Options(NamedTuple):\n    factor: int = 2\n"
        "def design(scene):\n    return scene * Options().factor\n"
    ),
    "a named tuple's method": one(
        "from typing import NamedTuple\nclass Options(NamedTuple):\n    factor: int\n"
        "    def scaled(self, scene):\n        return scene * self.factor * 2\n"
        "OPTIONS = Options(1)\ndef design(scene):\n    return OPTIONS.scaled(scene)\n"
    ),
    "a member of an enum": one(
        "from enum import Enum\nclass Factor(Enum):\n    ONE = 1\n    OTHER = 2\n"
        "def design(scene):\n    return scene * Factor.OTHER.value\n"
    ),
    "a member of an enum that is held": one(
        "from enum import Enum\nclass Factor(Enum):\n    ONE = [1]\n    OTHER = [2]\n"
        "CHOSEN = Factor.OTHER\ndef design(scene):\n    return scene * CHOSEN.value[0]\n"
    ),
    "a method of an enum of texts": one(
        "from enum import StrEnum\nclass Factor(StrEnum):\n    ONE = 'one'\n"
        "    def times(self, scene):\n        return scene * 2\n"
        "CHOSEN = Factor.ONE\ndef design(scene):\n    return CHOSEN.times(scene)\n"
    ),
    "a method of a kind of dictionary": one(
        "class Table(dict):\n    def __missing__(self, key):\n        return 2\n"
        "TABLE = Table()\ndef design(scene):\n    return scene * TABLE['any']\n"
    ),
    "an item of a kind of dictionary": one(
        "class Table(dict):\n    pass\n"
        "TABLE = Table(any=2)\ndef design(scene):\n    return scene * TABLE['any']\n"
    ),
    "a nested function": one(
        "def design(scene):\n    def scale(value):\n        return value * 2\n"
        "    return scale(scene)\n"
    ),
    "a lambda within": one("def design(scene):\n    return (lambda value: value * 2)(scene)\n"),
    "a global that a nested function names": one(
        "FACTOR = 2\ndef design(scene):\n    def scale(value):\n        return value * FACTOR\n"
        "    return scale(scene)\n"
    ),
    "a generator": one(
        "def scaled(scene):\n    yield scene * 2\n"
        "def design(scene):\n    return list(scaled(scene))\n"
    ),
    "a comprehension": one("def design(scene):\n    return [each * 2 for each in scene]\n"),
    "an attribute of a function": one(
        "def scale(scene):\n    return scene * scale.factor\nscale.factor = 2\n" + USES
    ),
    "a constant set": one("def design(scene):\n    return scene in {'one', 2}\n"),
    "a set of functions": one(
        "def one(scene):\n    return scene\ndef two(scene):\n    return scene * 2\n"
        "ALL = {one, two}\ndef design(scene):\n    return [each(scene) for each in ALL], one, two\n"
    ),
    "a namespace": one(
        "from types import SimpleNamespace\nOPTIONS = SimpleNamespace(factor=2)\n"
        "def design(scene):\n    return scene * OPTIONS.factor\n"
    ),
    "a pattern": one(
        "import re\nPATTERN = re.compile('2')\n"
        "def design(scene):\n    return PATTERN.sub('', scene)\n"
    ),
    "a picker of items": one(
        "import operator\nPICK = operator.itemgetter(2)\n"
        "def design(scene):\n    return PICK(scene)\n"
    ),
    "a method of a dictionary": one(
        "look_up = {'factor': 2}.get\ndef design(scene):\n    return scene * look_up('factor')\n"
    ),
    "a fraction": one(
        "from fractions import Fraction\nHALF = Fraction(1, 2)\n"
        "def design(scene):\n    return scene * HALF\n"
    ),
    "a counter": one(
        "from collections import Counter\nCOUNTS = Counter(a=2)\n"
        "def design(scene):\n    return scene * COUNTS['a']\n"
    ),
    "a mapping that cannot be changed": one(
        "from types import MappingProxyType\nTABLE = MappingProxyType({'a': 2})\n"
        "def design(scene):\n    return scene * TABLE['a']\n"
    ),
    "a random generator": one(
        "import numpy\nRANDOM = numpy.random.default_rng(2)\n"
        "def design(scene):\n    return RANDOM.permutation(scene)\n"
    ),
    "a picture": one(
        "from PIL import Image\nSHOWN = Image.new('RGB', (4, 4), (2, 0, 0))\n"
        "def design(scene):\n    return scene, SHOWN\n"
    ),
    "an array": one(
        "import numpy\nFACTORS = numpy.array([1, 2])\n"
        "def design(scene):\n    return scene * FACTORS\n"
    ),
    "an array of objects": one(
        "import numpy\nFACTORS = numpy.array([1, 'a', 2], object)\n"
        "def design(scene):\n    return scene * FACTORS\n"
    ),
    "a number of numpy": one(
        "import numpy\nFACTOR = numpy.float64(2)\ndef design(scene):\n    return scene * FACTOR\n"
    ),
    "a tensor": one(
        "import torch\nFACTORS = torch.tensor([1, 2])\n"
        "def design(scene):\n    return scene * FACTORS\n"
    ),
    "a layer of a network": one(
        "import torch\nLAYER = torch.nn.Linear(1, 1)\n"
        "LAYER.load_state_dict({'weight': torch.tensor([[2.0]]), 'bias': torch.zeros(1)})\n"
        "def design(scene):\n    return LAYER(scene)\n"
    ),
    "a setting of a layer of one's own": one(
        "import torch\nclass Layer(torch.nn.Module):\n    def __init__(self, factor):\n"
        "        super().__init__()\n        self.factor = factor\n"
        "LAYER = Layer(2)\ndef design(scene):\n    return LAYER.factor * scene\n"
    ),
    "the code of a layer of one's own": one(
        "import torch\nclass Layer(torch.nn.Module):\n    def forward(self, scene):\n"
        "        return scene * 2\nLAYER = Layer()\ndef design(scene):\n    return LAYER(scene)\n"
    ),
    "a helper among the claims' own": {
        "design.py": "from helper import scale\n" + USES,
        "helper.py": "from claimlib import Verdict\nfrom claimlib.samples import neighbours\n"
        "def scale(scene):\n    return Verdict, neighbours, scene * 2\n",
    },
}

# Where one text becomes the other, the design means something else.
CHANGES: dict[str, tuple[Files, str, str]] = {
    "the names of arguments": (
        one("def scale(one, other):\n    return 5 - 1\ndef design(scene):\n    return scale\n"),
        "one, other",
        "other, one",
    ),
    "the names in a call": (
        one("def design(scene):\n    return scene(first=1)\n"),
        "first",
        "last",
    ),
    "a name of an attribute": (one("def design(scene):\n    return scene.one\n"), ".one", ".two"),
    "an argument more": (one("def design(scene):\n    return 1\n"), "(scene)", "(scene, *more)"),
    "arguments as one": (one("def design(*scene):\n    return 1\n"), "*scene", "**scene"),
    "None and its name": (
        one("VALUE = None\ndef design(scene):\n    return VALUE\n"),
        "None",
        "'None'",
    ),
    "a number and its type": (one("def design(scene):\n    return scene * 1\n"), "1", "1.0"),
    "truth and one": (one("VALUE = True\ndef design(scene):\n    return VALUE\n"), "True", "1"),
    "what an exception covers": (
        one(
            "def design(scene):\n    try:\n        made = scene()\n"
            "    except ValueError:\n        return 0\n    return made\n"
        ),
        "ValueError",
        "TypeError",
    ),
    "a docstring that is also a value": (
        one("def design(scene):\n    '''one'''\n    return 'one'\n"),
        "one",
        "two",
    ),
    "a function of a library": (
        one("import numpy\nfold = numpy.add\ndef design(scene):\n    return fold(scene, scene)\n"),
        "numpy.add",
        "numpy.multiply",
    ),
    "a function of Python's": (
        one("fold = min\ndef design(scene):\n    return fold(scene)\n"),
        "min",
        "max",
    ),
    "a type": (one("KIND = int\ndef design(scene):\n    return KIND(scene)\n"), "int", "float"),
    "the order of a dataclass's fields": (
        one(
            "from dataclasses import dataclass\n@dataclass\nclass Options:\n    one: int\n"
            "    two: int\ndef design(scene):\n    return Options(1, 2).one\n"
        ),
        "    one: int\n    two: int\n",
        "    two: int\n    one: int\n",
    ),
    "the order of a dictionary": (
        one("ARMS = {'a': 1, 'b': 1}\ndef design(scene):\n    return list(ARMS)\n"),
        "'a': 1, 'b': 1",
        "'b': 1, 'a': 1",
    ),
    "the place of a file": (
        one("from pathlib import Path\nFILE = Path('a')\ndef design(scene):\n    return FILE\n"),
        "'a'",
        "'b'",
    ),
    "a base class": (
        one(
            "class One:\n    factor = 1\nclass Two:\n    factor = 1\nclass Times(One):\n    pass\n"
            "def design(scene):\n    return Times.factor\n"
        ),
        "Times(One)",
        "Times(Two)",
    ),
    "a static method and a class's": (
        one(
            "class Times:\n    @staticmethod\n    def of(*given):\n        return given\n"
            "def design(scene):\n    return Times.of(scene)\n"
        ),
        "staticmethod",
        "classmethod",
    ),
}

# Where one text becomes the other, the design means the same.
SAME: dict[str, tuple[Files, str, str]] = {
    "a comment": (
        one("def design(scene):\n    return scene * 2\n"),
        "return scene * 2",
        "# why\n    return scene * 2  # what",
    ),
    "empty lines": (one("def design(scene):\n    return 2\n"), "def", "\n\n\ndef"),
    "layout": (
        one("def design(scene):\n    return scene * 2 + scene\n"),
        "scene * 2 + scene",
        "(\n        scene\n        * 2\n        + scene\n    )",
    ),
    "the words of a docstring": (
        one("def design(scene):\n    '''What it is.'''\n    return scene * 2\n"),
        "What it is.",
        "What it was.",
    ),
    "a docstring more": (
        one("def design(scene):\n    if scene:\n        return None\n    return 5\n"),
        "def design(scene):\n",
        "def design(scene):\n    '''What it is.'''\n",
    ),
    "a docstring of a helper's": (
        {
            "design.py": "from helper import scale\n" + USES,
            "helper.py": "def scale(scene):\n    '''What it is.'''\n    return scene\n",
        },
        "What it is.",
        "What it was.",
    ),
    "a docstring of a function within": (
        one("def design(scene):\n    def inner():\n        '''What.'''\n    return inner\n"),
        "What.",
        "That.",
    ),
    "a docstring of a class": (
        one("class Times:\n    '''What.'''\ndef design(scene):\n    return Times()\n"),
        "What.",
        "That.",
    ),
    "comments and docstrings in a module": (
        {
            "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
            "helper.py": "'''What.'''\ndef scale(scene):\n    '''What.'''\n    return scene\n",
        },
        "'''What.'''",
        "'''\n    That. '''  # and why",
    ),
    "a notation": (one("def design(scene):\n    return scene * 16\n"), "16", "0x10"),
    "a type that is only noted": (
        one("def design(scene: int) -> int:\n    return scene * 2\n"),
        "scene: int",
        "scene: float",
    ),
    "a function beside it that it does not use": (
        one("def other(scene):\n    return 5\ndef design(scene):\n    return 2\n"),
        "5",
        "6",
    ),
    "a function beside the helper": (
        {
            "design.py": "from helper import scale\n" + USES,
            "helper.py": "def scale(scene):\n    return 2\ndef unused():\n    return 5\n",
        },
        "5",
        "6",
    ),
    "a part of a package that has nothing of it": (
        {
            "design.py": "import helper\ndef design(scene):\n    return helper.scale(scene)\n",
            "helper.py": "from kit import FACTOR\ndef scale(scene):\n    return scene * FACTOR\n",
            "kit/__init__.py": "from kit.deeper import FACTOR\nfrom kit.other import WORD\n",
            "kit/deeper.py": "FACTOR = 2\n",
            "kit/other.py": "WORD = 5\n",
        },
        "5",
        "6",
    ),
    "a global of an attribute's name": (
        one("image = 5\ndef design(scene):\n    return scene.image\n"),
        "5",
        "6",
    ),
}


def keys(folder: Path) -> dict[str, str]:
    """The keys of all kinds of designs."""
    return {
        name: key_of(folder / str(number), files)
        for number, (name, files) in enumerate(KINDS.items())
    }
