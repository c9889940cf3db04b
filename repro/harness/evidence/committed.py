"""Code as it was committed: whether it is available, and a temporary working tree of it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.errors import ReproError

_COMMAND = "def witness("
"""What the command line of code must have for its runs to be trained beside those of other code."""
_OWN = ":(exclude,glob)reports/*/evidence/*.attested.json"


def git(root: Path, *arguments: str) -> str | None:
    """What git prints on standard output; None when it fails, or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def clean_commit(root: Path) -> str:
    """The commit of the working tree; ReproError outside a repository, or for changes other than attestations."""
    commit = git(root, "rev-parse", "HEAD")
    changed = git(root, "status", "--porcelain", "--", ".", _OWN)
    if not commit or changed is None:
        raise ReproError(
            "attest: this is not a git repository with a commit; what it compares has to be committed"
        )
    if changed:
        first = changed.splitlines()[0][2:].strip()
        raise ReproError(f"attest: {first} is not committed; commit first, since commits are attested")
    return commit


def obstacle(root: Path, commit: str | None, dirty: bool) -> str | None:
    """Why runs cannot be trained by the code of ``commit``, which made the evidence; None when they can."""
    if not commit:
        return "made outside of git"
    if dirty:
        return f"made by uncommitted changes to commit {commit[:12]}"
    if git(root, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return f"its commit {commit[:12]} is not in this repository"
    if git(root, "grep", "-q", _COMMAND, commit, "--", "repro/cli.py") is None:
        return "made before attest existed"
    return None


@contextmanager
def worktree(root: Path, commit: str) -> Iterator[Path]:
    """A working tree of a commit, outside the project; removed when the block ends, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="repro-attest-"))
    tree = folder / "tree"
    try:
        if git(root, "worktree", "add", "--detach", str(tree), commit) is None:
            raise ReproError(f"attest: git cannot make a working tree of commit {commit[:12]}")
        yield tree
    finally:
        git(root, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(folder, ignore_errors=True)
        git(root, "worktree", "prune")
