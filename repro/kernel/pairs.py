"""Gradients of losses over pairs of a batch's hidden rows (``repro.losses.terms`` and ``pair_losses``).

Each loss writes its derivative with respect to every pair's squared distance or cosine into a matrix of *slopes*; one
product then turns these into the gradient at the rows. ``pairs`` holds the rows (B, size), centred or at unit length,
their transpose (size, B'), the matrix of distances or cosines, and that of slopes, (B, B') each, where B' is B padded
to LANES.
"""

from math import log, log1p, sqrt

import numpy as np

from repro.kernel import LANES, index, inner
from repro.kernel.passes import INPUTS, LEARNED, OUTPUTS, X_ROWS, X_SIZE, X, multiply_add
from repro.kernel.vectors import apart, at_least, exponential, load, root, spread, store
from repro.losses.pairs import FARTHEST, NEAREST

_SHORTEST = 1e-12  # the squared length below which a row has no direction


@inner
def _places(memory, batch):
    """B', and the offsets of the transposed rows, the matrix and its slopes."""
    size, stride = memory.net[-1, X_SIZE], -(-batch // LANES) * LANES
    turned = batch * size
    square = turned + size * stride
    return stride, turned, square, square + batch * stride


@inner
def _unit(memory, batch, inverse):
    """Store the hidden rows at unit length, or 0 if they have no direction, and their inverse lengths (B,)."""
    head, acts, pairs = memory.net[-1], memory.acts, memory.pairs
    at, size = head[X], head[X_SIZE]
    kind = acts.dtype.type
    for r in range(batch):
        squares = kind(0)
        for d in range(size):
            squares += acts[index(at + r * size + d)] ** 2
        inverse[r] = kind(1) / sqrt(squares) if squares > _SHORTEST else kind(0)
        for d in range(0, size, LANES):
            store(pairs, r * size + d, load(acts, at + r * size + d) * spread(inverse[r]))


@inner
def _products(memory, batch):
    """The matrix of the rows' products with each other, and slopes of 0."""
    head, pairs = memory.net[-1], memory.pairs
    size, rows = head[X_SIZE], memory.tables[head[X_ROWS] :]
    stride, turned, square, slopes = _places(memory, batch)
    pairs[turned : slopes + batch * stride] = 0
    for r in range(batch):
        for d in range(size):
            pairs[index(turned + d * stride + r)] = pairs[index(r * size + d)]
    low, places = pairs.dtype.type(-np.inf), memory.ramp[:batch] * stride
    multiply_add(
        pairs,
        square,
        places,
        pairs,
        square,
        places,
        low,
        pairs,
        0,
        rows,
        memory.ramp,
        batch,
        size,
        pairs,
        turned,
        stride,
    )


@inner
def _squared_distances(memory, batch):
    """Centre the rows, and compute the matrix of their squared distances, 0 where rounding alone explains them."""
    size, pairs = memory.net[-1, X_SIZE], memory.pairs
    stride, _, square, _ = _places(memory, batch)
    kind = pairs.dtype.type
    share, norms = spread(kind(1 / batch)), np.zeros(batch, pairs.dtype)
    for d in range(0, size, LANES):
        mean = spread(kind(0))
        for r in range(batch):
            mean = mean + load(pairs, r * size + d)
        mean = mean * share
        for r in range(batch):
            store(pairs, r * size + d, load(pairs, r * size + d) - mean)
    for r in range(batch):
        for d in range(size):
            norms[r] += pairs[index(r * size + d)] ** 2
    _products(memory, batch)
    rounding, two = kind(16 * np.finfo(pairs.dtype).eps), kind(2)
    for i in range(batch):
        for j in range(batch):
            at, both = index(square + i * stride + j), norms[index(i)] + norms[index(j)]
            squared = both - two * pairs[at]
            pairs[at] = squared if squared > rounding * both else kind(0)


@inner
def _distances_of_unit(memory, batch, inverse):
    """The matrix of distances between the rows at unit length; returns (B', its offset, its slopes' offset)."""
    _unit(memory, batch, inverse)
    _squared_distances(memory, batch)
    stride, _, square, slopes = _places(memory, batch)
    tiny = spread(memory.pairs.dtype.type(np.finfo(memory.pairs.dtype).tiny))
    for i in range(square, slopes, LANES):
        store(memory.pairs, i, root(at_least(load(memory.pairs, i), tiny)))
    return stride, square, slopes


@inner
def _pull(memory, batch, apart):
    """The gradient at the rows from the slopes: by squared distance if ``apart``, else by product."""
    head, grads, pairs = memory.net[-1], memory.grads, memory.pairs
    at, size, rows = head[X], head[X_SIZE], memory.tables[head[X_ROWS] :]
    stride, _, square, slopes = _places(memory, batch)
    kind = pairs.dtype.type
    factor = kind(-2) if apart else kind(1)
    for i in range(
        batch
    ):  # by squared distance, row i's gradient is the sum over j of 2 (W_ij + W_ji) (row i - row j)
        own = kind(0)
        for j in range(batch):
            both = factor * (pairs[index(slopes + i * stride + j)] + pairs[index(slopes + j * stride + i)])
            pairs[index(square + i * stride + j)] = both
            own += both
        if apart:
            pairs[index(square + i * stride + i)] -= own
    places, low = memory.ramp[:batch] * stride, kind(-np.inf)
    multiply_add(
        grads,
        at,
        rows,
        grads,
        at,
        rows,
        low,
        pairs,
        square,
        places,
        memory.ramp,
        batch,
        batch,
        pairs,
        0,
        size,
    )


@inner
def _lengthen(memory, batch, inverse):
    """The gradient at the hidden rows themselves from that at rows of unit length."""
    head, acts, grads = memory.net[-1], memory.acts, memory.grads
    at, size = head[X], head[X_SIZE]
    for r in range(batch):
        along, start = acts.dtype.type(0), at + r * size
        for d in range(size):
            along += grads[index(start + d)] * acts[index(start + d)]
        along *= inverse[r] * inverse[r]
        for d in range(size):
            straight = grads[index(start + d)] - along * acts[index(start + d)]
            grads[index(start + d)] = inverse[r] * straight


@inner
def _slope_by_distance(memory, batch, inverse):
    """Finish a loss on distances of unit rows: turn slopes by distance into slopes by squared distance."""
    pairs = memory.pairs
    _, _, square, slopes = _places(memory, batch)
    # Distance 0 is represented by the root of the smallest number: its slope must not count.
    none = pairs.dtype.type(2 * sqrt(np.finfo(pairs.dtype).tiny))
    for i in range(slopes, 2 * slopes - square):
        distance = pairs[index(i - slopes + square)]
        pairs[index(i)] = pairs[index(i)] / (distance + distance) if distance > none else pairs.dtype.type(0)
    _pull(memory, batch, True)
    _lengthen(memory, batch, inverse)


@inner
def _kinds(labels, batch):
    """How many ordered pairs share a label and how many have two labels."""
    alike = 0
    for i in range(batch):
        for j in range(batch):
            alike += i != j and labels[i] == labels[j]
    return alike, batch * (batch - 1) - alike


@apart
def contrastive(memory, batch, labels, weight, margin):
    """truong2020 eqs. 4-5, as ``losses.contrastive``."""
    head, pairs, acts = memory.net[-1], memory.pairs, memory.acts
    pairs[: batch * head[X_SIZE]] = acts[head[X] : head[X] + batch * head[X_SIZE]]
    _squared_distances(memory, batch)
    stride, _, square, slopes = _places(memory, batch)
    kind, classes = pairs.dtype.type, head[OUTPUTS]
    share = weight / kind(2 * max(batch * (batch - 1), 1))
    near, far, reach = share * kind(1 / classes), share * kind((1 - classes) / classes), margin * margin
    for i in range(batch):
        for j in range(batch):
            squared = pairs[index(square + i * stride + j)]
            slope = near if labels[index(i)] == labels[index(j)] else (far if squared < reach else kind(0))
            pairs[index(slopes + i * stride + j)] = slope / sqrt(squared) if squared > 0 else kind(0)
    _pull(memory, batch, True)


@apart
def neighbours(memory, batch, labels, weight, temperature, same):
    """truong2020 eq. 6, as ``losses.soft_nearest_neighbour``, or, if not ``same``, as it is printed."""
    head, pairs, acts = memory.net[-1], memory.pairs, memory.acts
    pairs[: batch * head[X_SIZE]] = acts[head[X] : head[X] + batch * head[X_SIZE]]
    _squared_distances(memory, batch)
    stride, _, square, slopes = _places(memory, batch)
    kind = pairs.dtype.type
    cold, anchors = spread(kind(1) / temperature), 0
    every_weight, chosen_weight = np.empty(stride, pairs.dtype), np.empty(stride, pairs.dtype)
    for i in range(batch):
        row, out, own = square + i * stride, slopes + i * stride, labels[index(i)]
        nearest, chosen = kind(np.inf), kind(np.inf)
        for j in range(batch):
            squared = pairs[index(row + j)]
            if j != i:
                nearest = min(nearest, squared)
                if (own == labels[index(j)]) == same:
                    chosen = min(chosen, squared)
        if chosen == np.inf:
            continue
        anchors += 1
        for j in range(0, stride, LANES):
            squared = load(pairs, row + j)
            store(every_weight, j, exponential((spread(nearest) - squared) * cold, kind))
            store(chosen_weight, j, exponential((spread(chosen) - squared) * cold, kind))
        every, those = kind(0), kind(0)
        for j in range(batch):
            if j != i:
                every += every_weight[index(j)]
                if (own == labels[index(j)]) == same:
                    those += chosen_weight[index(j)]
        for j in range(batch):
            if j != i:
                slope = -every_weight[index(j)] / every
                if (own == labels[index(j)]) == same:
                    slope += chosen_weight[index(j)] / those
                pairs[index(out + j)] = slope
    share = spread(weight / (temperature * kind(max(anchors, 1))))
    for i in range(slopes, slopes + batch * stride, LANES):
        store(pairs, i, load(pairs, i) * share)
    _pull(memory, batch, True)


@apart
def base_contrastive(memory, batch, labels, weight, alpha):
    """desanctis 3.1, as ``pair_losses.base_contrastive``."""
    inverse = np.empty(batch, memory.pairs.dtype)
    stride, square, slopes = _distances_of_unit(memory, batch, inverse)
    pairs = memory.pairs
    kind = pairs.dtype.type
    alike, different = _kinds(labels, batch)
    near, far = weight / kind(max(alike, 1)), weight / kind(max(different, 1))
    for i in range(batch):
        for j in range(batch):
            distance = pairs[index(square + i * stride + j)]
            if labels[i] == labels[j]:
                pairs[index(slopes + i * stride + j)] = near * distance
            elif distance < alpha:
                pairs[index(slopes + i * stride + j)] = far * (distance - alpha)
    _slope_by_distance(memory, batch, inverse)


@apart
def margin(memory, batch, labels, weight, alpha):
    """desanctis 3.1's margin loss with its learnt boundary, as ``losses.margin`` of rows at unit length."""
    inverse = np.empty(batch, memory.pairs.dtype)
    stride, square, slopes = _distances_of_unit(memory, batch, inverse)
    pairs, learned = memory.pairs, memory.net[-1, LEARNED]
    kind, beta = pairs.dtype.type, memory.params[learned]
    alike, different = _kinds(labels, batch)
    half = weight / kind(2)
    near, far, moved = half / kind(max(alike, 1)), -half / kind(max(different, 1)), kind(0)
    for i in range(batch):
        for j in range(batch):
            beyond = pairs[index(square + i * stride + j)] - beta
            if labels[i] == labels[j]:
                slope = near if i != j and alpha + beyond > 0 else kind(0)
            else:
                slope = far if alpha - beyond > 0 else kind(0)
            pairs[index(slopes + i * stride + j)] = slope
            moved -= slope
    memory.gradient[learned] += moved
    _slope_by_distance(memory, batch, inverse)


@inner
def _drawn(weights, uniform):
    """An index drawn by a number in [0, 1) with probability proportional to its weight; 0 if all weights are 0."""
    kind = weights.dtype.type
    total = kind(0)
    for j in range(len(weights)):
        total += weights[j]
    target = min(kind(uniform) * total, total * (kind(1) - kind(np.finfo(weights.dtype).eps)))
    reached = kind(0)
    for j in range(len(weights)):
        reached += weights[j]
        if reached > target:
            return j
    return 0


@inner
def _rarities(pairs, row, labels, i, width, weights):
    """The weights with which anchor i's negatives are drawn, as ``pair_losses.negative_weights``."""
    kind = weights.dtype.type
    highest = kind(-np.inf)
    for j in range(len(weights)):
        distance = pairs[index(row + j)]
        weights[j] = -np.inf
        if labels[i] != labels[j] and distance < FARTHEST:
            near = min(max(distance, kind(NEAREST)), kind(FARTHEST))
            density = kind(width - 2) * log(near) + kind((width - 3) / 2) * log1p(-near * near / kind(4))
            weights[j] = -density
            highest = max(highest, weights[j])
    for j in range(len(weights)):
        if highest == -np.inf:
            weights[j] = kind(1) if labels[i] != labels[j] else kind(0)
        else:
            weights[j] = np.exp(weights[j] - highest) if weights[j] > -np.inf else kind(0)


@apart
def margin_sampled(memory, batch, labels, weight, alpha, draws):
    """The margin loss on one positive and one negative per anchor, as ``pair_losses.margin_sampled``."""
    inverse = np.empty(batch, memory.pairs.dtype)
    stride, square, slopes = _distances_of_unit(memory, batch, inverse)
    pairs, head = memory.pairs, memory.net[-1]
    learned, width = head[LEARNED], head[INPUTS]
    kind, beta = pairs.dtype.type, memory.params[learned]
    weights, chosen = np.empty(batch, pairs.dtype), np.full((batch, 2), -1)
    for i in range(batch):
        alike = 0
        for j in range(batch):
            weights[j] = i != j and labels[i] == labels[j]
            alike += i != j and labels[i] == labels[j]
        if alike:
            chosen[i, 0] = _drawn(weights, draws[i, 0])
        if alike < batch - 1:
            _rarities(pairs, square + i * stride, labels, i, width, weights)
            chosen[i, 1] = _drawn(weights, draws[i, 1])
    moved, half = kind(0), weight / kind(2)
    for side in range(2):
        sign = kind(1 - 2 * side)
        share = sign * half / kind(max((chosen[:, side] >= 0).sum(), 1))
        for i in range(batch):
            j = chosen[i, side]
            if j >= 0 and alpha + sign * (pairs[square + i * stride + j] - beta) > 0:
                pairs[slopes + i * stride + j] += share
                moved -= share
    memory.gradient[learned] += moved
    _slope_by_distance(memory, batch, inverse)


@apart
def triplet(memory, batch, labels, weight, margin):
    """The mean over all triplets of the batch, as ``pair_losses.triplet``."""
    inverse = np.empty(batch, memory.pairs.dtype)
    stride, square, slopes = _distances_of_unit(memory, batch, inverse)
    pairs = memory.pairs
    kind, triplets = pairs.dtype.type, 0
    for i in range(batch):
        row, out = square + i * stride, slopes + i * stride
        alike = 0
        for p in range(batch):
            if p == i or labels[index(i)] != labels[index(p)]:
                continue
            alike += 1
            limit, within = pairs[index(row + p)] + margin, 0
            for n in range(batch):
                inside = labels[index(i)] != labels[index(n)] and pairs[index(row + n)] < limit
                within += inside
                pairs[index(out + n)] -= kind(1) if inside else kind(0)
            pairs[index(out + p)] += within
        different = 0
        for n in range(batch):
            different += labels[index(i)] != labels[index(n)]
        triplets += alike * different
    share = spread(weight / kind(max(triplets, 1)))
    for i in range(slopes, slopes + batch * stride, LANES):
        store(pairs, i, load(pairs, i) * share)
    _slope_by_distance(memory, batch, inverse)


@inner
def _falling(x):
    """1 - sigmoid(x)."""
    return 1 / (1 + np.exp(x)) if x < 80 else np.exp(-x)


@apart
def normalised_entropy(memory, batch, labels, weight, temperature):
    """NT-Xent of labelled pairs, as ``pair_losses.nt_xent``."""
    inverse = np.empty(batch, memory.pairs.dtype)
    _unit(memory, batch, inverse)
    _products(memory, batch)
    stride, _, square, slopes = _places(memory, batch)
    pairs = memory.pairs
    kind, against = pairs.dtype.type, np.empty(stride, pairs.dtype)
    alike, _ = _kinds(labels, batch)
    cold = kind(1) / temperature
    share = weight * cold / kind(max(alike, 1))
    for i in range(batch):
        row, out = square + i * stride, slopes + i * stride
        nearest, total = kind(-np.inf), kind(0)
        for j in range(batch):
            if labels[i] != labels[j]:
                nearest = max(nearest, pairs[index(row + j)])
        if nearest == -np.inf:
            continue
        for j in range(0, stride, LANES):
            cosines = load(pairs, row + j)
            store(against, j, exponential((cosines - spread(nearest)) * spread(cold), kind))
        for j in range(batch):
            total += against[j] if labels[i] != labels[j] else kind(0)
        level, pushed = nearest * cold + kind(log(total)), kind(0)
        for p in range(batch):
            if p != i and labels[i] == labels[p]:
                slope = share * kind(_falling(pairs[index(row + p)] * cold - level))
                pairs[index(out + p)] -= slope
                pushed += slope
        for j in range(batch):
            if labels[i] != labels[j]:
                pairs[index(out + j)] += pushed * against[j] / total
    _pull(memory, batch, False)
    _lengthen(memory, batch, inverse)


@apart
def normalised_logistic(memory, batch, labels, weight, temperature):
    """NT-Logistic of labelled pairs, as ``pair_losses.nt_logistic``."""
    inverse = np.empty(batch, memory.pairs.dtype)
    _unit(memory, batch, inverse)
    _products(memory, batch)
    stride, _, square, slopes = _places(memory, batch)
    pairs = memory.pairs
    kind, weights = pairs.dtype.type, np.empty(stride, pairs.dtype)
    alike, different = _kinds(labels, batch)
    cold = kind(1) / temperature
    near, far = weight * cold / kind(2 * max(alike, 1)), weight * cold / kind(2 * max(different, 1))
    for i in range(batch):
        row, out = square + i * stride, slopes + i * stride
        for j in range(0, stride, LANES):
            store(weights, j, exponential(load(pairs, row + j) * spread(cold), kind))
        for j in range(batch):
            if i == j:
                continue
            if labels[i] == labels[j]:
                pairs[index(out + j)] = -near / (kind(1) + weights[j])
            else:
                pairs[index(out + j)] = far * weights[j] / (kind(1) + weights[j])
    _pull(memory, batch, False)
    _lengthen(memory, batch, inverse)
