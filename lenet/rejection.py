"""Where a network's errors stand among its answers, when these are ordered by how sure the network is.

A network that may reject its least sure answers makes fewer errors on the rest (LeCun et al. 1990). The places of the
errors in that order are all that the curve of error against rejected share needs, and for a good network they are few.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lenet.variant import SURENESS


def rank_errors(scores: Tensor, labels: Tensor) -> dict[str, list[int]]:
    """For each measure of sureness, the places (from 0, least sure first) of the wrongly answered images.

    `margin`: the best score less the second best (LeCun et al. 1990). `confidence`: the softmax of the best score.
    Among equally sure images the wrong ones count as the surest, so that a tie never flatters.

    **Arguments:**

    - `scores`: (N, classes), the highest is the answer. `labels`: int64 (N,).
    """
    scores, labels = scores.detach().cpu().double(), labels.cpu()
    wrong = scores.argmax(1) != labels
    best, second = scores.topk(2, 1).values.unbind(1)
    others = scores.scatter(1, scores.argmax(1, keepdim=True), -torch.inf)
    # The log odds of the answer order images as its softmax does, and do not saturate at 1.
    sureness = {"margin": best - second, "confidence": best - torch.logsumexp(others, 1)}
    ranks = {}
    for name in SURENESS:
        right_first = torch.argsort(wrong, stable=True)
        order = right_first[torch.argsort(sureness[name][right_first], stable=True)]
        ranks[name] = wrong[order].nonzero().flatten().tolist()
    return ranks
