"""Gradients of the defences' losses at the logits and at the last hidden rows, as ``repro.losses.terms`` has them.

The losses themselves are never needed. ``labels`` (B,) are a batch's. The rows of logits lie at the last layer's Z,
where their gradients replace them; the gradients of the hidden rows are left in ``grads``.
"""

from math import sqrt

import numpy as np

from repro.kernel import LANES, index, inner
from repro.kernel.pairs import (
    base_contrastive,
    contrastive,
    margin,
    margin_sampled,
    neighbours,
    normalised_entropy,
    normalised_logistic,
    triplet,
)
from repro.kernel.passes import OUTPUTS, PADDED, X_SIZE, X, Z
from repro.kernel.vectors import apart, exponential, load, spread, store

NAMES = (
    "none",
    "weight_decay",
    "label_smoothing",
    "logit_squeezing",
    "manifold_mixup",
    "crl",
    "contrastive",
    "snnl",
    "snnl_printed",
    "base_contrastive",
    "margin",
    "margin_sampled",
    "triplet",
    "nt_xent",
    "nt_logistic",
)
"""Defences whose losses are implemented here, indexed by their code."""
(
    NONE,
    WEIGHT_DECAY,
    LABEL_SMOOTHING,
    LOGIT_SQUEEZING,
    MANIFOLD_MIXUP,
    CRL,
    CONTRASTIVE,
    SNNL,
    SNNL_PRINTED,
) = range(9)
(BASE_CONTRASTIVE, MARGIN, MARGIN_SAMPLED, TRIPLET, NT_XENT, NT_LOGISTIC) = range(9, 15)


@inner
def softmax(z, at, classes, chances):
    """The softmax of a row of logits, in the first ``classes`` entries of ``chances``, which is padded like the row."""
    kind = z.dtype.type
    largest = z[index(at)]
    for c in range(1, classes):
        largest = max(largest, z[index(at + c)])
    for c in range(0, len(chances), LANES):
        store(chances, c, exponential(load(z, at + c) - spread(largest), kind))
    total = kind(0)
    for c in range(classes):
        total += chances[c]
    for c in range(classes):
        chances[c] /= total


@inner
def _length(x, at, n):
    squares = x.dtype.type(0)
    for c in range(n):
        squares += x[index(at + c)] * x[index(at + c)]
    return sqrt(squares)


@inner
def _cross_entropy(memory, batch, labels, code, weight):
    """Cross entropy's gradient, with that of label smoothing or logit squeezing if requested."""
    head, z = memory.net[-1], memory.scratch
    at, n, classes = head[Z], head[PADDED], head[OUTPUTS]
    kind = z.dtype.type
    one, share, even = kind(1), kind(1 / batch), weight / kind(classes)
    chances = np.empty(n, z.dtype)
    for r in range(batch):
        row = at + r * n
        softmax(z, row, classes, chances)
        chances[labels[r]] -= one
        if code == LABEL_SMOOTHING:
            chances[labels[r]] += weight
            for c in range(classes):
                chances[c] -= even
        elif code == LOGIT_SQUEEZING:
            length = _length(z, row, classes)
            if length > 0:
                for c in range(classes):
                    chances[c] += weight * z[index(row + c)] / length
        for c in range(classes):
            z[index(row + c)] = chances[c] * share


@apart
def _mixup(memory, batch, labels, weight, draws, partners):
    """Manifold mixup (truong2020 eqs. 1-3) in place of a share ``weight`` of the cross entropy."""
    head, z = memory.net[-1], memory.scratch
    at, n, classes = head[Z], head[PADDED], head[OUTPUTS]
    kind = z.dtype.type
    one, share = kind(1), weight * kind(1 / batch)
    logits = z[at : at + batch * n].copy()
    mixed, chances = np.empty(n, z.dtype), np.empty(n, z.dtype)
    _cross_entropy(memory, batch, labels, MANIFOLD_MIXUP, weight)
    for i in range(at, at + batch * n):
        z[index(i)] *= one - weight
    for r in range(batch):
        own, other, gamma = r * n, partners[r] * n, kind(draws[r, 0])
        for c in range(n):
            mixed[c] = logits[index(other + c)] + gamma * (logits[index(own + c)] - logits[index(other + c)])
        softmax(mixed, 0, classes, chances)
        chances[labels[r]] -= gamma
        chances[labels[partners[r]]] -= one - gamma
        for c in range(classes):
            z[index(at + own + c)] += share * gamma * chances[c]
            z[index(at + other + c)] += share * (one - gamma) * chances[c]


@inner
def _unbound(gradient, x, at, n, bound, length):
    """Turn the gradient (n,) at x / (1 + bound |x|) into that at x, in place; x begins at ``at``."""
    kind = x.dtype.type
    scale, along = kind(1) + bound * length, kind(0)
    for c in range(n):
        along += gradient[c] * x[index(at + c)]
    along = along * bound / (length * scale * scale) if length > 0 else kind(0)
    for c in range(n):
        gradient[c] = gradient[c] / scale - along * x[index(at + c)]


@apart
def _crl(memory, batch, labels, level, options, coin, centres):  # noqa: PLR0915 - what follows needs all of it
    """Center-based relaxed learning (``repro.defences.crl``); ``centres`` (classes, padded width) are bounded."""
    bound, ceiling, centre_weight = options[0], options[1], options[2]
    centre_level, centre_bound, centre_ceiling = options[3], options[4], options[5]
    head, acts, grads, z = memory.net[-1], memory.acts, memory.grads, memory.scratch
    at, n, classes, hidden, size = head[Z], head[PADDED], head[OUTPUTS], head[X], head[X_SIZE]
    kind = z.dtype.type
    one, share, back_up = kind(1), kind(1 / batch), coin < 0.5
    plain, bounded = np.empty((batch, n), z.dtype), np.empty((batch, n), z.dtype)
    lengths, squares, norms = np.empty(batch, z.dtype), np.empty(batch, z.dtype), np.empty(batch, z.dtype)
    inputs, drawn = np.empty(n, z.dtype), np.empty(size, z.dtype)
    entropy = distance = 0.0
    for r in range(batch):
        row = at + r * n
        softmax(z, row, classes, plain[r])
        lengths[r] = _length(z, row, classes)
        for c in range(n):
            inputs[c] = z[index(row + c)] / (one + bound * lengths[r])
        softmax(inputs, 0, classes, bounded[r])
        entropy -= np.log(bounded[r, labels[r]])
        norms[r] = _length(acts, hidden + r * size, size)
        squares[r] = 0
        for d in range(size):
            x = acts[index(hidden + r * size + d)] / (one + centre_bound * norms[r])
            squares[r] += (x - centres[labels[r], d]) ** 2 / kind(2)
        distance += squares[r]
    entropy /= batch
    distance /= batch
    flat = not back_up and entropy <= level
    sign = kind(-1) if back_up and entropy < level else one
    pulling = not back_up and distance <= centre_level
    centre_sign = kind(-1) if back_up and distance < centre_level else one
    for r in range(batch):
        row, label = at + r * n, labels[r]
        confidence, at_confidence = plain[r, label], kind(0)
        if flat:
            aim = min(confidence, ceiling)
            even = (one - aim) / kind(classes - 1)
            own = others = kind(0)
            for c in range(classes):
                chance = np.log(bounded[r, c])
                own = chance if c == label else own
                others += chance if c != label else kind(0)
                inputs[c] = (bounded[r, c] - (aim if c == label else even)) * share
            if confidence <= ceiling:
                at_confidence -= share * (own - others / kind(classes - 1))
        else:
            for c in range(classes):
                inputs[c] = sign * share * (bounded[r, c] - (one if c == label else kind(0)))
        _unbound(inputs, z, row, classes, bound, lengths[r])
        force, pull = min(confidence, centre_ceiling), share * centre_weight
        scale, here = one + centre_bound * norms[r], hidden + r * size
        for d in range(size):
            x = acts[index(here + d)] / scale
            away = x - centres[label, d]
            drawn[d] = pull * (force * away + (one - force) * x if pulling else centre_sign * away)
        if pulling and confidence <= centre_ceiling:
            at_confidence += pull * (squares[r] - (norms[r] / scale) ** 2 / kind(2))
        _unbound(drawn, acts, here, size, centre_bound, norms[r])
        for d in range(size):
            grads[index(here + d)] = drawn[d]
        for c in range(classes):
            slope = confidence * ((one if c == label else kind(0)) - plain[r, c])
            z[index(row + c)] = inputs[c] + at_confidence * slope


@inner
def loss_gradient(memory, batch, labels, code, weight, options, draws, partners, centres):
    """The gradient of a defence's whole loss; ``options`` are its own in order, ``draws`` (B, DRAWS) its numbers.

    ``partners`` (B,) are the ranks of the second numbers, for mixup; ``centres`` are CRL's.
    """
    head = memory.net[-1]
    memory.grads[head[X] : head[X] + batch * head[X_SIZE]] = 0
    if code == MANIFOLD_MIXUP:
        _mixup(memory, batch, labels, weight, draws, partners)
        return
    if code == CRL:
        _crl(memory, batch, labels, weight, options, draws[0, 0], centres)
        return
    if code == CONTRASTIVE:
        contrastive(memory, batch, labels, weight, options[0])
    elif code in (SNNL, SNNL_PRINTED):
        neighbours(memory, batch, labels, weight, options[0], code == SNNL)
    elif code == BASE_CONTRASTIVE:
        base_contrastive(memory, batch, labels, weight, options[0])
    elif code == MARGIN:
        margin(memory, batch, labels, weight, options[0])
    elif code == MARGIN_SAMPLED:
        margin_sampled(memory, batch, labels, weight, options[0], draws)
    elif code == TRIPLET:
        triplet(memory, batch, labels, weight, options[0])
    elif code == NT_XENT:
        normalised_entropy(memory, batch, labels, weight, options[0])
    elif code == NT_LOGISTIC:
        normalised_logistic(memory, batch, labels, weight, options[0])
    _cross_entropy(memory, batch, labels, code, weight)
