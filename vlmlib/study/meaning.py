"""What a piece of code means, as a key: the code behind a value, and whatever that code uses.

A function counts by its compiled code, the values that it holds and the globals that it names, each
followed in the same way; a class by its methods and bases; a module by its syntax tree, without
comments and docstrings, and by what it imports. Of what lies in the standard library nothing
counts, of other installed libraries the version. So a helper that a design calls is in the key of
the design, a module that is new is in the key of what imports it, and nobody keeps a list.
"""

import ast
import dis
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from vlmlib.study.store import content_key

HERE = "vlmlib"
STANDARD, INSTALLED = ("stdlib", "platstdlib"), ("purelib", "platlib")
GENERATED = "<string>"  # the code of methods that a dataclass writes


def meaning_of(*values: Any) -> tuple[str, dict[str, str]]:
    """The key of what values mean, and the versions of the libraries that they use.

    Plain values, arrays and tensors count by their content, models by their weights, functions,
    classes and modules by their code. An object of another library counts by its type and that
    library's version.

    **Returns:** a key, and versions by the name of the library.

    !!! example

        >>> one, other = meaning_of(lambda scene: {"half": 2}), meaning_of(lambda scene: {"half": 3})
        >>> one[0] == other[0]
        False
    """
    meaning = _Meaning()
    parts = [meaning.of(value) for value in values]
    code = [[name, _digest(name)] for name in sorted(meaning.modules)]
    libraries = {name: version(name) for name in sorted(meaning.libraries)}
    return content_key(parts, code), {"python": sysconfig.get_python_version(), **libraries}


class _Meaning:
    """Follows values. What was seen before counts by its place, so that circles end."""

    def __init__(self):
        self.libraries: set[str] = set()
        self.modules: set[str] = set()
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []  # an id holds only as long as its object does

    def of(self, value: Any) -> Any:
        """A value as parts of a key."""
        match value:
            case None | bool() | int() | float() | str() | bytes():
                return value if type(value) in (bool, int, float, str, bytes) else repr(value)
            case torch.Tensor():
                return _tensor(value)
            case np.ndarray() | np.generic():
                return _array(value)
            case list() | tuple():
                return [self.of(each) for each in value]
            case Mapping():
                return [[self.of(name), self.of(each)] for name, each in value.items()]
            case set() | frozenset():
                return sorted(content_key(self.of(each)) for each in value)
            case range() | Path() | complex() | torch.dtype() | torch.device() | slice():
                return repr(value)
            case CodeType():
                return self._code(value)
        return self._once(value)

    def _once(self, value: Any) -> Any:
        place = self._places.get(id(value))
        if place is not None:
            return ["seen", place]
        self._places[id(value)] = len(self._places)
        self._alive.append(value)
        return self._followed(value)

    def _followed(self, value: Any) -> Any:
        match value:
            case ModuleType():
                return self._module(value.__name__)
            case functools.partial():
                return [
                    "partial",
                    self.of(value.func),
                    self.of(value.args),
                    self.of(value.keywords),
                ]
            case MethodType():
                return ["method", self.of(value.__self__), self.of(value.__func__)]
            case property():
                return [self.of(each) for each in (value.fget, value.fset)]
            case classmethod() | staticmethod():
                return self.of(value.__func__)
            case functools.cached_property():
                return self.of(value.func)
            case Enum():
                return [type(value).__qualname__, value.name]
        if not _is_followed(_module_of(value)):
            return self._foreign(value)
        return self._own(value)

    def _own(self, value: Any) -> Any:
        """A function, class or object of code that is followed."""
        if _module_of(value).split(".")[0] == HERE and isinstance(value, FunctionType | type):
            return [value.__qualname__, self._module(_module_of(value))]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if hasattr(value, "__wrapped__"):
            return self.of(value.__wrapped__)
        return [self.of(type(value)), *self._state(value)]

    def _state(self, value: Any) -> list[Any]:
        if isinstance(getattr(value, "model", None), torch.nn.Module):  # a handle on a model
            return [self._weights(value.model), str(getattr(value, "prompt", ""))]
        slots = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
        held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        cached = {
            name
            for each in type(value).__mro__
            for name, part in vars(each).items()
            if isinstance(part, functools.cached_property)
        }
        held |= {name: part for name, part in vars(value).items() if name not in cached}
        return [self.of(held)]

    def _foreign(self, value: Any) -> Any:
        """What other libraries define: by its name, and their version."""
        if isinstance(value, torch.nn.Module):
            return [type(value).__qualname__, self._weights(value)]
        named = value if hasattr(value, "__qualname__") else type(value)
        self._use(_module_of(named))
        return [_module_of(named), named.__qualname__]

    def _weights(self, model: torch.nn.Module) -> str:
        self._use(_module_of(type(model)))
        return weights_key(model)

    def _function(self, function: FunctionType) -> Any:
        held = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        held += [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
        documented = function.__doc__
        code = self._code(function.__code__, documented)
        known = function.__globals__
        named = [known[name] for name in sorted(_names(function.__code__)) if name in known]
        imported = [self._module(each) for each in sorted(_imports(function.__code__, known))]
        wrapped = getattr(function, "__wrapped__", None)
        return [code, *map(self.of, [held, named, wrapped]), imported]

    def _code(self, code: CodeType, documented: str | None = None) -> Any:
        constants = [each for each in code.co_consts if documented is None or each != documented]
        return [code.co_code, [self.of(each) for each in constants], list(code.co_names)]

    def _class(self, cls: type) -> Any:
        parts = {
            name: part
            for name, part in vars(cls).items()
            if not _is_generated(part) and name not in ("__doc__", "__dict__", "__weakref__")
        }
        skipped = ("__module__", "__annotations__", "__dataclass_fields__", "__firstlineno__")
        parts = {name: part for name, part in parts.items() if name not in skipped}
        fields = [each.default for each in getattr(cls, "__dataclass_fields__", {}).values()]
        bases = [each for each in cls.__mro__[1:] if _is_followed(each.__module__)]
        return [cls.__qualname__, self.of(parts), self.of(fields), self.of(bases)]

    def _module(self, name: str) -> str:
        """A module counts by its syntax tree, and by those of all that it imports."""
        own, others = _behind(name)
        self.modules |= own
        self.libraries |= others
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


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that is bound only later
        return False


def _is_generated(part: Any) -> bool:
    code = getattr(part, "__code__", None)
    return code is not None and code.co_filename == GENERATED


def _module_of(value: Any) -> str:
    if isinstance(value, BuiltinFunctionType):
        return str(value.__module__ or "builtins")
    module = getattr(value, "__module__", None)
    return str(module or type(value).__module__)


def _names(code: CodeType) -> set[str]:
    """All names in a function's code and in what is defined within."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _imports(code: CodeType, known: Mapping[str, Any]) -> set[str]:
    """The modules that a function imports when it runs."""
    found: set[str] = set()
    steps = list(dis.get_instructions(code))
    for at, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level, names = steps[at - 2].argval, steps[at - 1].argval or ()
            package = str(known.get("__package__") or "")
            found.update(_resolved(step.argval, level, package, names))
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return found.union(*(_imports(each, known) for each in inner))


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolved(alias.name, 0, package, ())
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            yield from _resolved(node.module or "", node.level, package, names)


def _resolved(module: str, level: int, package: str, names: Iterable[str]) -> Iterator[str]:
    """The modules behind an import: the one that is named, and names in it that are modules."""
    full = importlib.util.resolve_name("." * level + module, package) if level else module
    yield full
    if full.split(".")[0] not in sys.stdlib_module_names:
        yield from (f"{full}.{name}" for name in names if _file_of(f"{full}.{name}"))


@cache
def _behind(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """A module and all that it imports, directly or not: those that are followed, and libraries."""
    own: set[str] = set()
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file_of(name) if _is_followed(name) else None
        if file is None:
            libraries |= _libraries(name)
        elif name not in own:
            own.add(name)
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imported(_tree(file), package)
    return frozenset(own), frozenset(libraries)


@cache
def _is_followed(module: str) -> bool:
    """Whether a module is neither the standard library's nor another installed library's."""
    top = module.split(".")[0]
    if top == HERE:
        return True
    if top in sys.stdlib_module_names:
        return False
    file = _file_of(module)
    return file is not None and not _is_under(file, (*STANDARD, *INSTALLED))


@cache
def _libraries(module: str) -> frozenset[str]:
    """The distribution that an installed module belongs to."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top == HERE:
        return frozenset()
    return frozenset(each.lower() for each in _distributions().get(top, ()))


@cache
def _file_of(module: str) -> Path | None:
    """The source of a module, where it has one."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return None
        file = spec.origin if spec else None
    path = Path(file) if file else None
    return path.resolve() if path and path.suffix == ".py" and path.is_file() else None


def _is_under(file: Path, kinds: Iterable[str]) -> bool:
    folders = {Path(sysconfig.get_path(kind)).resolve() for kind in kinds}
    return any(folder in file.parents for folder in folders)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _tree(file: Path) -> ast.Module:
    """A module's syntax tree, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


@cache
def _digest(module: str) -> str:
    file = _file_of(module)
    return content_key(ast.dump(_tree(file))) if file else ""
