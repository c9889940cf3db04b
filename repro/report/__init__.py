"""Reports: Markdown and figures from the committed evidence and verdicts; nothing here trains or judges."""

from pathlib import Path


def write_report(root: Path, profile_name: str) -> Path:
    """Write the pages and figures below `reports/<profile>`, and `reports/README.md`; returns the first page's path.

    Reads evidence, provenance, verdicts, claims and the profile. What is missing is said in its place. The same input
    gives the same bytes. Pages and figures of an earlier report that this one has not are removed. Raises ReproError,
    before anything is written, for input that is wrong.
    """
    from repro.files import write_bytes, write_text
    from repro.report.overview import overview
    from repro.report.page import pages
    from repro.report.places import EXPERIMENTS, FIGURES, FRONT, figure_file
    from repro.report.report import Report

    report = Report.of(root, profile_name)
    texts, index = pages(report), overview(root)
    pictures = {figure_file(name): picture.content for name, picture in report.pictures.items()}
    for place, content in pictures.items():
        write_bytes(report.folder / place, content)
    for place, text in texts.items():
        write_text(report.folder / place, text)
    write_text(root / "reports" / "README.md", index)
    (report.folder / FIGURES).mkdir(exist_ok=True)  # an output of DVC's stage, even where there are none
    kept = {report.folder / place for place in (*pictures, *texts)}
    for pattern in (f"{FIGURES}/*.png", f"{EXPERIMENTS}/*.md"):
        for old in sorted(set(report.folder.glob(pattern)) - kept):
            old.unlink()
    return report.folder / FRONT
