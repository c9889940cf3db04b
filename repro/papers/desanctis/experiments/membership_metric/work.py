"""M_mem at confidences from certainty of the true label to certainty of another (desanctis 2.3)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from repro.data import Dataset
from repro.harness.outcome import Outcome
from repro.harness.runs import Fleet
from repro.metrics.membership import membership_metric
from repro.seeds import stream


def measure_fleet(
    fleet: Fleet, dataset: Dataset | None, weights: Mapping[str, Tensor], device: torch.device
) -> Outcome:
    """One record per run: M_mem by gap, and its minimum over random logits of every scale. No model is trained."""
    records = []
    for run in fleet.runs:
        gaps = torch.tensor(run.gaps, dtype=torch.float64)
        logits = torch.zeros(len(gaps), run.classes, dtype=torch.float64)
        logits[:, 0] = gaps
        at_gaps = membership_metric(logits, torch.zeros(len(gaps), dtype=torch.long))
        generator = stream(run.seed, "membership-limits")
        least = []
        for scale in run.scales:
            drawn = torch.randn(run.draws, run.classes, dtype=torch.float64, generator=generator) * scale
            labels = torch.randint(run.classes, (run.draws,), generator=generator)
            least.append(float(membership_metric(drawn, labels).min()))
        records.append({"run": run.id, "at_gaps": at_gaps.tolist(), "least": least})
    return Outcome(records)
