"""What a piece of code means, as a key: the code behind a value, and whatever that code uses.

A function counts by its compiled code, the values that it holds and the globals that it names, each
followed in the same way; a class by its methods and bases; an object by its class and what it
holds; a module by its syntax tree, without comments and docstrings, and by what it imports. Of what
lies in the standard library only the name counts, of other installed libraries the version. So a
helper that a design calls is in the key of the design, a module that is new is in the key of what
imports it, and nobody keeps a list.
"""

import ast
import copyreg
import dis
import functools
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch

from vlmlib.model import VLM
from vlmlib.study.store import content_key

HERE = "vlmlib"
CHECKER = "jaxtyping"  # it wraps functions to check shapes, which changes no result
PLAIN = (type(None), bool, int, float, str, bytes)
MANY = (list, tuple, dict, set, frozenset)
GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
STARS = 4 | 8  # the flags of *args and **kwargs in compiled code
GENERATED = "__create_fn__"  # what writes the methods of a dataclass
NO_MEANING = {  # of a class
    *("__doc__", "__dict__", "__weakref__", "__module__", "__annotations__"),
    *("__dataclass_fields__", "__firstlineno__", "__static_attributes__"),
}


def meaning_of(*values: Any) -> tuple[str, dict[str, str]]:
    """The key of what values mean, and the versions of the libraries that they use.

    Plain values, arrays and tensors count by their content, models by their weights, functions,
    classes and modules by their code, and objects by what they hold. What other libraries define
    counts by its name and their version.

    **Returns:** a key, and versions by the name of the library.

    !!! example

        >>> one, libraries = meaning_of({"half": 2})
        >>> one == meaning_of({"half": 3})[0]
        False
    """
    meaning = _Meaning()
    parts = [meaning.of(value) for value in values]
    followed = [meaning.followed(value) for value in meaning.waiting]  # which grows meanwhile
    code = [[name, meaning.modules[name]] for name in sorted(meaning.modules)]
    libraries = {name: version(name) for name in sorted(meaning.libraries)}
    key = content_key(parts, followed, code)
    return key, {"python": sysconfig.get_python_version(), **libraries}


class _Meaning:
    """Follows values. What has to be followed counts by its place in a queue, so that circles
    end.

    - `waiting`: the queue. `modules`: their digests by name. `libraries`: the names of those used.
    """

    def __init__(self):
        self.waiting: list[Any] = []
        self.modules: dict[str, str] = {}
        self.libraries: set[str] = set()
        self._places: dict[int, int] = {}
        self._visited: set[str] = set()

    def of(self, value: Any) -> Any:
        """A value as parts of a key."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind in MANY:
            return self._many(value)
        match value:
            case torch.Tensor():
                return _tensor(value)
            case np.ndarray() | np.generic():
                return _array(value)
            case range() | slice() | complex() | PurePath() | torch.dtype() | torch.device():
                return [kind.__name__, repr(value)]
            case CodeType():
                return self._code(value)
        return ["at", self._place(_unchecked(value))]

    def _many(self, values: Any) -> Any:
        match values:
            case dict():
                return ["dict", *([self.of(name), self.of(each)] for name, each in values.items())]
            case set() | frozenset():
                named = sorted(values, key=lambda each: getattr(each, "__qualname__", ""))
                return ["set", *sorted(content_key(self.of(each)) for each in named)]
        return [type(values).__name__, *map(self.of, values)]

    def _place(self, value: Any) -> int:
        if id(value) not in self._places:
            self._places[id(value)] = len(self.waiting)
            self.waiting.append(value)
        return self._places[id(value)]

    def followed(self, value: Any) -> Any:
        """What a value in the queue means."""
        match value:
            case ModuleType():
                return self._module(value.__name__)
            case FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
        around = _around(value)
        return self.of(around) if around else [self.of(type(value)), self._held(value)]

    def _held(self, value: Any) -> Any:
        """What an object holds, beside its class."""
        foreign = not _is_followed(type(value).__module__)
        match value:
            case VLM():
                return [self._weights(value.model), value.prompt]
            case torch.nn.Module():
                own = {} if foreign else vars(value)
                settings = {name: part for name, part in own.items() if not name.startswith("_")}
                return [self._weights(value), self.of(settings)]
            case WeakKeyDictionary() | WeakValueDictionary():  # a cache
                return []
            case Mapping() if foreign:
                return self.of(dict(value))
        if foreign and hasattr(value, "__qualname__"):
            return value.__qualname__
        return self.of(_taken_apart(value))

    def _weights(self, model: torch.nn.Module) -> str:
        self._use(type(model).__module__)
        return weights_key(model)

    def _function(self, function: FunctionType) -> Any:
        module = str(function.__globals__.get("__name__", ""))
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        held = self.of({name: cell.cell_contents for name, cell in cells if _is_filled(cell)})
        if _is_ours(module):
            return [function.__qualname__, self._module(module), held]
        if not _is_followed(module):
            return self._foreign_function(function, module, held)
        code, known = function.__code__, function.__globals__
        named = {name: known[name] for name in sorted(_globals(code)) if name in known}
        defaults = [function.__defaults__, sorted((function.__kwdefaults__ or {}).items())]
        imported = [self._module(each) for each in sorted(_imports(code, known))]
        return [held, imported, *map(self.of, [code, named, defaults, vars(function)])]

    def _foreign_function(self, function: FunctionType, module: str, held: Any) -> Any:
        """A library's function; where it was made here, by a decorator, also what it holds."""
        self._use(module)
        name = [module, function.__code__.co_qualname]
        made_here = "<locals>" in function.__qualname__ or _is_followed(str(function.__module__))
        return [name, held, self.of(vars(function))] if made_here else name

    def _code(self, code: CodeType) -> Any:
        """Compiled code: names, values and steps, but no line numbers and no docstring, which no
        step loads."""
        steps = [[step.opname, self.of(_argument(step, code))] for step in _steps(code)]
        counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
        stars = code.co_flags & STARS
        arguments = code.co_varnames[: counts[0] + counts[2] + stars.bit_count()]
        return [steps, counts, stars, list(arguments), code.co_exceptiontable]

    def _class(self, cls: type) -> Any:
        name, module = cls.__qualname__, str(cls.__module__)
        if _is_ours(module):
            return [name, self._module(module)]
        if not _is_followed(module):
            self._use(module)
            return [module, name]
        parts = {
            name: part
            for name, part in vars(cls).items()
            if name not in NO_MEANING and not _is_generated(part)
        }
        fields = [
            [each.name, each.init, each.kw_only, each.default, each.default_factory]
            for each in getattr(cls, "__dataclass_fields__", {}).values()
        ]
        return [name, *map(self.of, [parts, fields, cls.__bases__])]

    def _module(self, name: str) -> str:
        """A module counts by its syntax tree, and by those of all that it imports."""
        waiting = [name]
        while waiting:
            module = waiting.pop()
            if module in self._visited:
                continue
            self._visited.add(module)
            file = _file_of(module) if _is_followed(module) else None
            if file is None:
                self._use(module)
                continue
            source = _source(file)
            self.modules[module] = source.digest
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            for each in source.imports:
                waiting += each.modules(package)
        return name

    def _use(self, module: str) -> None:
        self.libraries |= _libraries(module)


def weights_key(model: torch.nn.Module) -> str:
    """The SHA-256 of a model's weights, with their names, types and shapes.

    !!! example

        >>> weights_key(vlm.model) == weights_key(vlm.model)
        True
    """
    digest = hashlib.sha256()
    for name, weight in model.state_dict().items():
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)} ".encode())
        plain = weight.detach().contiguous().cpu().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy())
    return digest.hexdigest()


def _tensor(value: torch.Tensor) -> list[Any]:
    plain = value.detach().cpu().contiguous().reshape(-1)
    content = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return [str(value.dtype), list(value.shape), content]


def _array(value: np.ndarray | np.generic) -> list[Any]:
    content = repr(value.tolist()) if value.dtype.hasobject else value.tobytes()
    return [str(value.dtype), list(value.shape), content]


def _around(value: Any) -> tuple[Any, ...]:
    """What stands around a function, such as a method or a cache, and that function."""
    match value:
        case MethodType():
            return (value.__self__, value.__func__)
        case BuiltinFunctionType():
            return (value.__self__, value.__qualname__)
        case property():
            return ("property", value.fget, value.fset)
        case classmethod() | staticmethod():
            return (type(value).__name__, value.__func__)
        case functools.cached_property():
            return ("property", value.func)
        case functools._lru_cache_wrapper():
            return ("cached", value.__wrapped__)
    return ()


def _taken_apart(value: Any) -> list[Any]:
    """What an object is made of, as `copy.copy` would take it apart; nothing where it refuses."""
    take = copyreg.dispatch_table.get(type(value), lambda each: each.__reduce_ex__(4))
    try:
        parts = take(value)
    except Exception:  # locks, files, generators: each refuses in its own way
        parts = [getattr(value, "__dict__", {})]
    parts = [parts] if isinstance(parts, str) else parts
    return [_uncached(list(each) if isinstance(each, Iterator) else each, value) for each in parts]


def _uncached(part: Any, of: Any) -> Any:
    """The state of an object, without what its cached properties have found out so far."""
    if type(part) is not dict:
        return part
    known = {name: each for cls in type(of).__mro__ for name, each in vars(cls).items()}
    cached = {name for name, each in known.items() if isinstance(each, functools.cached_property)}
    return {name: each for name, each in part.items() if name not in cached} or None


def _unchecked(value: Any) -> Any:
    """A function without the wrappers that check its shapes."""
    is_function = isinstance(value, FunctionType)
    return inspect.unwrap(value, stop=lambda each: not _checks(each)) if is_function else value


def _checks(function: Any) -> bool:
    made_by = getattr(function, "__globals__", {}).get("__name__")
    return str(made_by).partition(".")[0] == CHECKER


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that is bound only later
        return False


def _is_generated(part: Any) -> bool:
    """Whether a dataclass has written a method itself, from fields that count anyway."""
    code = getattr(inspect.unwrap(part), "__code__", None) if callable(part) else None
    return code is not None and code.co_qualname.startswith(GENERATED)


def _steps(code: CodeType) -> Iterator[dis.Instruction]:
    return (each for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG")


def _argument(step: dis.Instruction, code: CodeType) -> Any:
    if step.opcode in dis.hasconst and step.arg is not None:
        return code.co_consts[step.arg]  # `dis` does not say it of keywords in a call
    return step.argval


def _globals(code: CodeType) -> set[str]:
    """The globals that a function's code names, and what is defined within."""
    own = {step.argval for step in _steps(code) if step.opname in GLOBALS}
    return own.union(*map(_globals, _inner(code)))


def _inner(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


@dataclass(frozen=True)
class _Import:
    """`from module import name as alias`, or `import module`; `level`: the dots before it."""

    module: str
    level: int = 0
    name: str = ""
    alias: str = ""

    def modules(self, package: str) -> Iterator[str]:
        """The module behind it, as seen from a package."""
        if self.level and not package:
            return
        dotted = "." * self.level + self.module
        module = importlib.util.resolve_name(dotted, package) if self.level else self.module
        yield _home(module, self.name) if self.name else module


def _home(module: str, name: str) -> str:
    """The module behind a name that is imported from another one: that one, one within it, or the
    one from which a package has it."""
    file = _file_of(module) if _is_followed(module) else None
    if _is_followed(module) and _file_of(f"{module}.{name}"):
        return f"{module}.{name}"
    if file is not None and file.name == "__init__.py":
        for each in _source(file).imports:
            found = [*each.modules(module)] if each.alias == name else []
            if found and found[0] != module:
                return found[0]
    return module


def _imports(code: CodeType, known: Mapping[str, Any]) -> set[str]:
    """The modules that a function imports when it runs."""
    package = known.get("__package__") or str(known.get("__name__", "")).rpartition(".")[0]
    found: set[str] = set()
    steps = list(_steps(code))
    for at, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level, names = (_argument(each, code) for each in steps[at - 2 : at])
            for name in names or [""]:
                found.update(_Import(step.argval, level, name).modules(package))
    return found.union(*(_imports(each, known) for each in _inner(code)))


@dataclass(frozen=True)
class _Source:
    """What counts of a module's source: its syntax tree, and what it imports."""

    digest: str
    imports: tuple[_Import, ...]


def _source(file: Path) -> _Source:
    return _read(file, file.stat().st_mtime_ns)


@cache
def _read(file: Path, changed: int) -> _Source:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            node.body = node.body[1:] if documented else node.body
    imports = [each for node in nodes for each in _imports_of(node)]
    return _Source(content_key(ast.dump(tree)), tuple(imports))


def _imports_of(node: ast.AST) -> Iterable[_Import]:
    match node:
        case ast.Import():
            return [_Import(each.name) for each in node.names]
        case ast.ImportFrom():
            return [
                _Import(node.module or "", node.level, each.name, each.asname or each.name)
                for each in node.names
            ]
    return []


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == HERE


def _is_followed(module: str) -> bool:
    """Whether a module is neither the standard library's nor another installed library's. What has
    no file, such as a notebook's cells, is neither."""
    top = module.partition(".")[0]
    if _is_ours(module) or top in sys.stdlib_module_names:
        return _is_ours(module)
    file = _origin(module) or _origin(top)
    return file is None or not _is_installed(file)


@cache
def _is_installed(file: Path) -> bool:
    return any(map(_holds_libraries, {*file.parents, *file.resolve().parents}))


@cache
def _holds_libraries(folder: Path) -> bool:
    """Whether a folder is the standard library's, or one that an installer writes into, by its name
    or by the records that it leaves there (`pip install --target`)."""
    standard = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")}
    named = folder.name in ("site-packages", "dist-packages") or folder in standard
    return named or any(folder.glob("*.dist-info"))


@cache
def _libraries(module: str) -> frozenset[str]:
    """The distribution that an installed module belongs to."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == HERE:
        return frozenset()
    return frozenset(each.lower() for each in _distributions().get(top, ()))


def _file_of(module: str) -> Path | None:
    """The source of a module, where it has one."""
    file = _origin(module)
    return file.resolve() if file and file.suffix == ".py" and file.is_file() else None


def _origin(module: str) -> Path | None:
    """Where a module lies, found without importing anything."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded:
        return Path(loaded)
    parent, _, name = module.rpartition(".")
    try:
        if not parent:
            spec = importlib.util.find_spec(name)
        else:
            within = _origin(parent)
            if within is None or within.name != "__init__.py":  # only packages hold modules
                return None
            spec = PathFinder.find_spec(module, [str(within.parent)])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    return Path(folders[0]) / "__init__.py" if folders else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()
