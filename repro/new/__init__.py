"""A new paper of a user's own: a small one that works, written from the templates beside this file.

In a template, and in its path below ``templates``, ``PAPER`` stands for the paper's name.
"""

import keyword
import re
import shutil
import tempfile
from pathlib import Path

from repro import plugins
from repro.claims.catalogue import load_claims
from repro.errors import ReproError
from repro.files import write_text
from repro.harness import profile as profiles

_HERE = Path(__file__).parent
_TEMPLATES, _PARAMETERS = _HERE / "templates", _HERE / "params.yaml.txt"
_PLACEHOLDER, _SUFFIX = "PAPER", ".txt"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_paper(root: Path, name: str) -> list[Path]:
    """Write ``papers/<name>``, and ``params.yaml`` if the project has none; returns what was written.

    Raises ReproError, and leaves nothing behind, when the name is taken or invalid, or a file cannot be written.
    """
    _check(root, name)
    papers = root / "papers"
    kept = papers.is_dir()
    try:
        papers.mkdir(exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=papers, prefix=f".{name}."))
    except OSError as error:
        raise ReproError(f"{papers}: cannot write ({error.strerror}); nothing was changed") from error
    written = [papers / name]
    try:
        for template in sorted(_TEMPLATES.rglob(f"*{_SUFFIX}")):
            place = _filled(template.relative_to(_TEMPLATES).as_posix(), name).removesuffix(_SUFFIX)
            write_text(beside / place, _filled(template.read_text(encoding="utf-8"), name))
        beside.chmod(0o755)
        parameters = root / plugins.PARAMETERS
        if not parameters.exists():
            write_text(parameters, _filled(_PARAMETERS.read_text(encoding="utf-8"), name))
            written.append(parameters)
        beside.rename(papers / name)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        for path in written[1:]:
            path.unlink(missing_ok=True)
        if not kept:
            papers.rmdir()
        if isinstance(error, OSError):
            raise ReproError(
                f"{papers / name}: cannot write ({error.strerror}); nothing was changed"
            ) from None
        raise
    plugins.forget()
    return written


def _filled(text: str, name: str) -> str:
    return text.replace(_PLACEHOLDER, name)


def _check(root: Path, name: str) -> None:
    """Raise ReproError when the paper cannot be called that: neither its pieces nor its claims would be found."""
    if not _NAME.fullmatch(name):
        raise ReproError(
            f"{name!r}: a name of small letters, digits and underscores is wanted, a letter first"
        )
    if keyword.iskeyword(name):
        raise ReproError(f"{name!r}: a word of Python's cannot be a name")
    folder = root / "papers" / name
    taken = {
        f"papers/{name}": folder.exists() or name in plugins.names("paper"),
        f"trigger {name}_frame": f"{name}_frame" in plugins.names("trigger"),
        f"experiment {name}_rate": f"{name}_rate" in plugins.names("experiment"),
        f"profile {name}": name in profiles.names(),
        f"claim {name}-01": f"{name}-01" in load_claims(),
    }
    for what, is_taken in taken.items():
        if is_taken:
            raise ReproError(f"{name!r} is taken: there is {what} already")
