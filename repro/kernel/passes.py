"""Products, and the passes over a network's layers: forward, backward, and Adam's step.

Arguments, as ``repro.training.layout`` lays them out: ``net`` (layers, columns) int64 is the layers' geometry, one
column per constant below; ``tables`` int64 holds offsets; ``params``, ``gradient``, ``first`` and ``second`` (Adam's
moments) are flat; ``running`` holds batch statistics; ``acts`` and ``grads`` hold activations and their gradients at
the same offsets; ``scratch`` holds what a pass needs in between, and ``pairs`` what a loss over pairs needs; ``ramp``
is 0, 1, 2, ... All floats have one dtype, single or double.
"""

from collections import namedtuple
from math import sqrt

import numpy as np

from repro.kernel import LANES, index, inner
from repro.kernel.vectors import apart, at_least, fused, gated, load, root, spread, store, turned

# Columns of ``net``. A layer reads TAPS slices of WIDTH numbers, INPUTS in all, at each of POSITIONS places of an
# image, and has OUTPUTS columns there, PADDED in memory. The others are offsets in the buffers.
(TAPS, WIDTH, INPUTS, OUTPUTS, PADDED, POSITIONS, NORMALISED, WEIGHT, BIAS, SCALE, RUNNING) = range(11)
(X, X_SIZE, X_ROWS, SUMMED, TAP_AT, Y, Y_ROWS, DENSE, NOWHERE, W_ROWS, Z, HAT, TURNED, CAPACITY, LEARNED) = (
    range(11, 26)
)
COLUMNS = 26

MOMENTUM, EPSILON = 0.1, 1e-5  # of batch normalisation
BETA1, BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8

Memory = namedtuple(
    "Memory",
    [
        "net",
        "tables",
        "params",
        "gradient",
        "first",
        "second",
        "running",
        "acts",
        "grads",
        "scratch",
        "pairs",
        "ramp",
    ],
)


@inner
def _tile_2(out, at, source, of, low, a, left, summed, k, b, b_at, n):
    """Four rows of two vectors: ``source``'s values plus k products in ascending order, but at least ``low``."""
    s00, s01 = load(source, of[0]), load(source, of[0] + LANES)
    s10, s11 = load(source, of[1]), load(source, of[1] + LANES)
    s20, s21 = load(source, of[2]), load(source, of[2] + LANES)
    s30, s31 = load(source, of[3]), load(source, of[3] + LANES)
    for i in range(k):
        b0, b1 = load(b, b_at), load(b, b_at + LANES)
        b_at += n
        offset = summed[index(i)]
        x = spread(a[index(left[0] + offset)])
        s00, s01 = fused(x, b0, s00), fused(x, b1, s01)
        x = spread(a[index(left[1] + offset)])
        s10, s11 = fused(x, b0, s10), fused(x, b1, s11)
        x = spread(a[index(left[2] + offset)])
        s20, s21 = fused(x, b0, s20), fused(x, b1, s21)
        x = spread(a[index(left[3] + offset)])
        s30, s31 = fused(x, b0, s30), fused(x, b1, s31)
    store(out, at[0], at_least(s00, low))
    store(out, at[0] + LANES, at_least(s01, low))
    store(out, at[1], at_least(s10, low))
    store(out, at[1] + LANES, at_least(s11, low))
    store(out, at[2], at_least(s20, low))
    store(out, at[2] + LANES, at_least(s21, low))
    store(out, at[3], at_least(s30, low))
    store(out, at[3] + LANES, at_least(s31, low))


@inner
def _tile_1(out, at, source, of, low, a, left, summed, k, b, b_at, n):
    """The same for four rows of one vector."""
    s0, s1, s2, s3 = load(source, of[0]), load(source, of[1]), load(source, of[2]), load(source, of[3])
    for i in range(k):
        b0 = load(b, b_at)
        b_at += n
        offset = summed[index(i)]
        s0 = fused(spread(a[index(left[0] + offset)]), b0, s0)
        s1 = fused(spread(a[index(left[1] + offset)]), b0, s1)
        s2 = fused(spread(a[index(left[2] + offset)]), b0, s2)
        s3 = fused(spread(a[index(left[3] + offset)]), b0, s3)
    store(out, at[0], at_least(s0, low))
    store(out, at[1], at_least(s1, low))
    store(out, at[2], at_least(s2, low))
    store(out, at[3], at_least(s3, low))


@inner
def _tile_row(out, at, source, of, low, a, left, summed, k, b, b_at, n):
    """The same for one row of one vector."""
    s = load(source, of)
    for i in range(k):
        s = fused(spread(a[index(left + summed[index(i)])]), load(b, b_at), s)
        b_at += n
    store(out, at, at_least(s, low))


@inner
def _four(start, rows, r):
    return (
        start + rows[index(r)],
        start + rows[index(r + 1)],
        start + rows[index(r + 2)],
        start + rows[index(r + 3)],
    )


@apart
def multiply_add(
    out, out_at, out_rows, source, source_at, source_rows, low, a, a_at, a_rows, summed, m, k, b, b_at, n
):
    """out[out_at + out_rows[r] + c] = source[source_at + source_rows[r] + c] + sum over i of left * right.

    left is a[a_at + a_rows[r] + summed[i]] and right b[b_at + i * n + c], for r < m, i < k, c < n, where n is a
    multiple of LANES; results below ``low`` are raised to it.
    """
    least = spread(low)
    c = 0
    while c < n:
        wide = 2 if n - c >= 2 * LANES else 1
        r = 0
        while r + 4 <= m:
            at, of = _four(out_at + c, out_rows, r), _four(source_at + c, source_rows, r)
            left = _four(a_at, a_rows, r)
            if wide == 2:
                _tile_2(out, at, source, of, least, a, left, summed, k, b, b_at + c, n)
            else:
                _tile_1(out, at, source, of, least, a, left, summed, k, b, b_at + c, n)
            r += 4
        while r < m:
            for v in range(c, c + wide * LANES, LANES):
                at_one, of_one = out_at + out_rows[index(r)] + v, source_at + source_rows[index(r)] + v
                _tile_row(
                    out, at_one, source, of_one, least, a, a_at + a_rows[index(r)], summed, k, b, b_at + v, n
                )
            r += 1
        c += wide * LANES


@inner
def gather(memory, pool, indices):
    """Copy images of ``pool`` (n, lines, numbers) into the first layer's input, inside its border if it has one."""
    first, acts = memory.net[0], memory.acts
    _, lines, line = pool.shape
    border = first[TAPS] > 1
    pitch = line + 2 * first[WIDTH] if border else line
    start = first[X] + (pitch + first[WIDTH] if border else 0)
    for i in range(len(indices)):
        image = pool[indices[index(i)]]
        for y in range(lines):
            to = start + i * first[X_SIZE] + y * pitch
            for x in range(line):
                acts[index(to + x)] = image[index(y), index(x)]


@inner
def _normalise(memory, layer, m, training):
    """Batch normalisation and rectifier of m rows at Z; training uses their statistics and updates the running ones."""
    net, z, params, running = memory.net[layer], memory.scratch, memory.params, memory.running
    n, at, hat, stats, scale, shift, y = (
        net[PADDED],
        net[Z],
        net[HAT],
        net[RUNNING],
        net[SCALE],
        net[BIAS],
        net[Y],
    )
    y_rows, acts = memory.tables[net[Y_ROWS] :], memory.acts
    kind = params.dtype.type
    zero, one, epsilon = spread(kind(0)), spread(kind(1)), spread(kind(EPSILON))
    momentum, unbiased, share = spread(kind(MOMENTUM)), spread(kind(m / max(m - 1, 1))), spread(kind(1 / m))
    for c in range(0, n, LANES):
        old_mean, old_variance = load(running, stats + c), load(running, stats + n + c)
        if training:
            mean, variance = zero, zero
            for r in range(m):
                mean = mean + load(z, at + r * n + c)
            mean = mean * share
            for r in range(m):
                centred = load(z, at + r * n + c) - mean
                variance = fused(centred, centred, variance)
            variance = variance * share
            store(running, stats + c, fused(momentum, mean - old_mean, old_mean))
            store(running, stats + n + c, fused(momentum, variance * unbiased - old_variance, old_variance))
        else:
            mean, variance = old_mean, old_variance
        inverse = one / root(variance + epsilon)
        store(running, stats + 2 * n + c, inverse)  # for the backward pass
        factor, offset = load(params, scale + c), load(params, shift + c)
        for r in range(m):
            normal = (load(z, at + r * n + c) - mean) * inverse
            store(z, hat + r * n + c, normal)
            store(acts, y + y_rows[index(r)] + c, at_least(fused(normal, factor, offset), zero))


@inner
def forward(memory, batch, training):
    """Activations of ``batch`` gathered images, with logits at the last layer's Z; training updates statistics."""
    net, tables, params, acts, scratch = memory.net, memory.tables, memory.params, memory.acts, memory.scratch
    kind = params.dtype.type
    for layer in range(len(net)):
        one = net[layer]
        m, k, n, z, y = batch * one[POSITIONS], one[INPUTS], one[PADDED], one[Z], one[Y]
        x_rows, summed, dense = tables[one[X_ROWS] :], tables[one[SUMMED] :], tables[one[DENSE] :]
        nowhere, y_rows = tables[one[NOWHERE] :], tables[one[Y_ROWS] :]
        x, weight, bias, low = one[X], one[WEIGHT], one[BIAS], kind(-np.inf)
        if one[NORMALISED]:
            nothing = memory.running[one[RUNNING] + 3 * n :]
            multiply_add(
                scratch, z, dense, nothing, 0, nowhere, low, acts, x, x_rows, summed, m, k, params, weight, n
            )
            _normalise(memory, layer, m, training)
        elif layer == len(net) - 1:
            multiply_add(
                scratch,
                z,
                dense,
                params,
                bias,
                nowhere,
                low,
                acts,
                x,
                x_rows,
                summed,
                m,
                k,
                params,
                weight,
                n,
            )
        else:
            multiply_add(
                acts,
                y,
                y_rows,
                params,
                bias,
                nowhere,
                kind(0),
                acts,
                x,
                x_rows,
                summed,
                m,
                k,
                params,
                weight,
                n,
            )


@inner
def _turn(memory, layer):
    """A layer's weights with outputs before inputs, tap by tap, as the gradient at its input needs them."""
    one, params, scratch = memory.net[layer], memory.params, memory.scratch
    n, inner, width = one[PADDED], one[WIDTH], -(-one[WIDTH] // LANES) * LANES
    zero = spread(params.dtype.type(0))
    for t in range(one[TAPS]):
        for c in range(0, inner, LANES):
            for o in range(0, n, LANES):
                row = one[WEIGHT] + (t * inner + c) * n + o
                to, left = one[TURNED] + (t * n + o) * width + c, inner - c
                square = (
                    load(params, row),
                    load(params, row + n) if left > 1 else zero,
                    load(params, row + 2 * n) if left > 2 else zero,
                    load(params, row + 3 * n) if left > 3 else zero,
                    load(params, row + 4 * n) if left > 4 else zero,
                    load(params, row + 5 * n) if left > 5 else zero,
                    load(params, row + 6 * n) if left > 6 else zero,
                    load(params, row + 7 * n) if left > 7 else zero,
                )
                columns = turned(square)
                for j in range(LANES):
                    store(scratch, to + j * width, columns[j])


@inner
def _at_preactivations(memory, layer, m):
    """Replace Z by the gradient at a layer's pre-activations, and add the gradients of bias, scale and shift."""
    one, acts, grads, z, gradient = (
        memory.net[layer],
        memory.acts,
        memory.grads,
        memory.scratch,
        memory.gradient,
    )
    n, at, y, hat, bias, scale = one[PADDED], one[Z], one[Y], one[HAT], one[BIAS], one[SCALE]
    y_rows, normalised, head = memory.tables[one[Y_ROWS] :], one[NORMALISED], layer == len(memory.net) - 1
    kind = z.dtype.type
    zero, share = spread(kind(0)), spread(kind(1 / m))
    for c in range(0, n, LANES):
        total, along = zero, zero
        for r in range(m):
            value = load(z, at + r * n + c)
            if not head:
                here = y + y_rows[index(r)] + c
                value = gated(load(acts, here), load(grads, here))
                store(z, at + r * n + c, value)
            total = total + value
            if normalised:
                along = fused(value, load(z, hat + r * n + c), along)
        store(gradient, bias + c, load(gradient, bias + c) + total)
        if normalised:
            store(gradient, scale + c, load(gradient, scale + c) + along)
            factor = load(memory.params, scale + c) * load(memory.running, one[RUNNING] + 2 * n + c)
            total, along = total * share, along * share
            for r in range(m):
                value = load(z, at + r * n + c) - total - load(z, hat + r * n + c) * along
                store(z, at + r * n + c, value * factor)


@inner
def propagate(memory, batch, inward):
    """The gradients at every layer's Z from those at the last Z and those that a loss left at the last output.

    Gradients of biases, scales and shifts are added on the way. ``inward``: also those at the input, which were 0.
    """
    net, tables, grads, scratch = memory.net, memory.tables, memory.grads, memory.scratch
    low = scratch.dtype.type(-np.inf)
    for layer in range(len(net) - 1, -1, -1):
        one = net[layer]
        m, n, x, z = batch * one[POSITIONS], one[PADDED], one[X], one[Z]
        x_rows, dense = tables[one[X_ROWS] :], tables[one[DENSE] :]
        _at_preactivations(memory, layer, m)
        if layer == 0 and not inward:
            break
        _turn(memory, layer)
        if layer < len(net) - 1:
            grads[x : x + batch * one[X_SIZE]] = 0
        width = -(-one[WIDTH] // LANES) * LANES
        for t in range(one[TAPS]):
            at, there = x + tables[one[TAP_AT] + t], one[TURNED] + t * n * width
            k, ramp = one[OUTPUTS], memory.ramp
            multiply_add(
                grads,
                at,
                x_rows,
                grads,
                at,
                x_rows,
                low,
                scratch,
                z,
                dense,
                ramp,
                m,
                k,
                scratch,
                there,
                width,
            )


@inner
def collect(memory, batch):
    """Add to ``gradient`` the weights' gradients, from the gradients at every layer's Z."""
    tables, gradient, low = memory.tables, memory.gradient, memory.scratch.dtype.type(-np.inf)
    for layer in range(len(memory.net)):
        one = memory.net[layer]
        m, k, n, weight = one[INPUTS], batch * one[POSITIONS], one[PADDED], one[WEIGHT]
        x_rows, summed, rows = tables[one[X_ROWS] :], tables[one[SUMMED] :], tables[one[W_ROWS] :]
        x, z, scratch = one[X], one[Z], memory.scratch
        multiply_add(
            gradient,
            weight,
            rows,
            gradient,
            weight,
            rows,
            low,
            memory.acts,
            x,
            summed,
            x_rows,
            m,
            k,
            scratch,
            z,
            n,
        )


@inner
def backward(memory, batch):
    """Add to ``gradient`` all parameters' gradients, from those at the last Z and those left at the last output."""
    propagate(memory, batch, False)
    collect(memory, batch)


@inner
def adam(memory, rate, step):
    """One step of Adam (Kingma and Ba 2015), its bias corrections in double precision."""
    params, gradient, first, second = memory.params, memory.gradient, memory.first, memory.second
    kind = params.dtype.type
    size, scale = spread(kind(rate / (1 - BETA1**step))), spread(kind(1 / sqrt(1 - BETA2**step)))
    keep, gain, decay = spread(kind(1 - BETA1)), spread(kind(1 - BETA2)), spread(kind(BETA2))
    epsilon = spread(kind(ADAM_EPSILON))
    for i in range(0, len(params), LANES):
        g, m = load(gradient, i), load(first, i)
        m = fused(keep, g - m, m)
        v = fused(gain * g, g, decay * load(second, i))
        store(first, i, m)
        store(second, i, v)
        store(params, i, load(params, i) - size * m / fused(root(v), scale, epsilon))
