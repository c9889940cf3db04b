"""Which definitions of this package were executed during a ``with`` block."""

import ast
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from repro.harness.evidence.definitions import ALWAYS, PACKAGE, Reference, defined, file_of, module_of


class Trace:
    """Watches every call of a Python function within a ``with`` block, in all threads started there.

    ``sys.settrace`` without line events: it sees only calls of Python functions, whereas ``sys.setprofile`` would also
    stop at every call of a built-in function, and an eager training step mostly makes such calls.
    """

    def __init__(self) -> None:
        self._codes: dict[int, CodeType] = {}  # equal code in two files can only be told apart by identity
        self._made: set[type] = set()

    def __enter__(self) -> "Trace":
        threading.settrace(self._call)
        sys.settrace(self._call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if id(code) in self._codes:
            return
        self._codes[id(code)] = code
        if code.co_filename == "<string>" and code.co_name == "__init__":  # generated for a dataclass
            self._made.add(type(frame.f_locals.get("self")))

    def names(self) -> set[str]:
        """``module:qualified.name`` of each function and method executed, and of each dataclass instantiated."""
        found = {f"{_module(code)}:{code.co_qualname}" for code in self._codes.values() if _counts(code)}
        for made in self._made:
            found |= {f"{base.__module__}:{base.__qualname__}" for base in made.__mro__}
        return found


def _counts(code: CodeType) -> bool:
    """Whether this is the code of a function of this package; bodies of modules and classes run when imported."""
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and Path(code.co_filename).is_relative_to(PACKAGE)


def _module(code: CodeType) -> str:
    parts = Path(code.co_filename).relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["repro", *(part for part in parts if part != "__init__")])


def _compiled() -> Iterator[tuple[str, Any]]:
    """(name, dispatcher) of every function compiled by Numba in the loaded modules."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "repro" and isinstance(module, ModuleType):
            for value in list(vars(module).values()):
                function = getattr(value, "py_func", None)
                if function is not None and hasattr(value, "signatures"):
                    yield f"{function.__module__}:{function.__qualname__}", value


def executed(trace: Trace) -> set[str]:
    """``module:definition`` of everything that ran, and of the definitions it is made of.

    A function ran if it was called; a class, if one of its methods was called or it was instantiated. A definition
    without code that could be watched (a constant, a class that has only fields, statements at import) counts if a
    definition that counts names it. A compiled function, which no tracer sees, counts if it was compiled or loaded for
    a call, or if a compiled function that counts names it.
    """
    compiled = dict(_compiled())
    waiting = [name.split(".<locals>")[0] for name in trace.names()]
    waiting += [name for name, dispatcher in compiled.items() if dispatcher.signatures]
    found: set[str] = set()
    while waiting:
        module_name, _, qualified = waiting.pop().rpartition(":")
        name = qualified.partition(".")[0]
        own = f"{module_name}:{name}"
        if own in found or file_of(module_name) is None:
            continue
        module = module_of(module_name)
        if name != ALWAYS and name not in module.nodes:
            continue
        found |= {own, f"{module_name}:{ALWAYS}"}
        for reference in module.definition(name).reaches:
            target = defined(reference)
            if target is None:
                continue
            there = ":".join(target)
            if _is_silent(target) or (own in compiled and there in compiled):
                waiting.append(there)
    return found


def _is_silent(target: Reference) -> bool:
    """Whether a definition has no code that a tracer could see."""
    nodes = module_of(target[0]).nodes[target[1]]
    parts = [part for node in nodes for part in (node.body if isinstance(node, ast.ClassDef) else [node])]
    return not any(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in parts)
