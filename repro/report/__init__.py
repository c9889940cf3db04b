"""Reports: Markdown and figures from the committed evidence and verdicts; nothing here trains or judges."""

from pathlib import Path


def write_report(root: Path, profile_name: str) -> Path:
    """Write `reports/<profile>/README.md` with its figures, and `reports/README.md`; returns the former's path.

    Reads evidence, provenance, verdicts, claims and the profile. What is missing is said in its place. The same input
    gives the same bytes. Raises ReproError, before anything is written, for input that is wrong.
    """
    from repro.files import write_bytes, write_text
    from repro.report.overview import overview
    from repro.report.page import page
    from repro.report.report import Report

    report = Report.of(root, profile_name)
    text, front = page(report), overview(root)
    figures = report.folder / "figures"
    for picture in report.pictures.values():
        write_bytes(figures / picture.file, picture.content)
    for old in sorted(figures.glob("*.png")):
        if old.stem not in report.pictures:
            old.unlink()
    path = report.folder / "README.md"
    write_text(path, text)
    write_text(root / "reports" / "README.md", front)
    return path
