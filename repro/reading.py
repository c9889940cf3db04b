"""Reading what people write: YAML by the safe loader, checked by a model; what is wrong with it is said in one line."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from repro.errors import ReproError

M = TypeVar("M", bound=BaseModel)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C it is five times as fast
_MERGE = "tag:yaml.org,2002:merge"


class _UniqueKeyLoader(_LOADER):  # type: ignore[misc, valid-type]
    """The safe loader, which also refuses a key given twice (the second would silently win)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = []
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.append(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path, where: str | None = None) -> Any:
    """Plain data of a YAML file; ReproError in one line for anything else, which calls the file ``where``."""
    where = where or str(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise ReproError(f"{where}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReproError(f"{where}: cannot be read as text ({error})") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ReproError(f"{where}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ReproError(f"{where}: not YAML ({' '.join(str(error).split())})") from None


def read_mapping(path: Path, where: str | None = None) -> dict[str, Any]:
    """The mapping in a YAML file; ReproError in one line for anything else."""
    content = read_yaml(path, where)
    if not isinstance(content, dict):
        raise ReproError(f"{where or path}: a mapping is wanted, not {type(content).__name__}")
    return content


def checked(model: type[M], content: Any, where: str) -> M:
    """The content as the model has it; ReproError names ``where`` and the field."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        top = first["type"] == "extra_forbidden" and len(first["loc"]) == 1
        known = f" (known: {', '.join(model.model_fields)})" if top else ""
        raise ReproError(f"{where}: {first_problem(error)}{known}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem pydantic found, in one line: its field and what is wrong with it."""
    problem = error.errors()[0]
    field = ".".join(map(str, problem["loc"]))
    message = re.sub(r"^Value error, ", "", problem["msg"])
    return f"{field}: {message}" if field else message
