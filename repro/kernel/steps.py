"""The kernel's entry points from Python: an epoch of training in one of three ways, half a step, and reading logits."""

from math import exp

import numpy as np

from repro.kernel import LANES, compiled, index, inner
from repro.kernel.losses import WEIGHT_DECAY, loss_gradient, softmax
from repro.kernel.passes import (
    BIAS,
    CAPACITY,
    INPUTS,
    OUTPUTS,
    PADDED,
    X_SIZE,
    X,
    Z,
    adam,
    backward,
    collect,
    forward,
    gather,
    propagate,
)
from repro.kernel.vectors import load, spread, store


@inner
def _decayed(memory, decay):
    """Initialise a step's gradient with ``decay`` times the parameters."""
    factor = spread(memory.params.dtype.type(decay))
    for i in range(0, len(memory.params), LANES):
        store(memory.gradient, i, factor * load(memory.params, i))


@compiled
def epoch(memory, pool, indices, labels, code, weight, options, draws, partners, centres, rate, step):
    """Train on batches ``indices`` (steps, B) into the pool with their labels, after ``step`` steps of Adam.

    The loss is that of ``losses.NAMES[code]``; its random numbers, (steps, B, ...) each, are as in ``loss_gradient``.
    """
    batch = indices.shape[1]
    decay = weight if code == WEIGHT_DECAY else memory.params.dtype.type(0)
    for s in range(indices.shape[0]):
        gather(memory, pool, indices[s])
        forward(memory, batch, True)
        _decayed(memory, decay)
        loss_gradient(memory, batch, labels[s], code, weight, options, draws[s], partners[s], centres)
        backward(memory, batch)
        adam(memory, rate, step + s + 1)


@compiled
def see(memory, pool, indices):
    """The forward half of a training step, which leaves a batch's hidden rows and logits in their places."""
    gather(memory, pool, indices)
    forward(memory, len(indices), True)


@compiled
def learn(memory, batch, rate, step):
    """The other half, Adam's step number ``step``, given the loss's gradients at logits and hidden rows."""
    _decayed(memory, 0.0)
    backward(memory, batch)
    adam(memory, rate, step)


@compiled
def logits_of(memory, pool, indices, out):
    """Write the logits of images ``indices`` (n,), computed with running statistics, to ``out`` (n, classes)."""
    head = memory.net[-1]
    for start in range(0, len(indices), head[CAPACITY]):
        part = indices[start : start + head[CAPACITY]]
        gather(memory, pool, part)
        forward(memory, len(part), False)
        for r in range(len(part)):
            for c in range(head[OUTPUTS]):
                out[start + r, c] = memory.scratch[index(head[Z] + r * head[PADDED] + c)]


@compiled
def private_epoch(memory, pool, indices, labels, starts, clip, size, noise, noise_at, rate, step):
    """DP-SGD (``repro.training.private``) of dense layers: step s draws ``indices[starts[s] : starts[s + 1]]``.

    ``noise`` (steps, parameters) is added to each step's sum of gradients clipped to ``clip``, at the offsets
    ``noise_at`` of ``params``; ``size`` is the expected number of samples drawn.
    """
    net, acts, z, gradient = memory.net, memory.acts, memory.scratch, memory.gradient
    kind = z.dtype.type
    chances, head = np.empty(net[-1, PADDED], z.dtype), net[-1]
    for s in range(len(starts) - 1):
        drawn = indices[starts[s] : starts[s + 1]]
        batch = len(drawn)
        gather(memory, pool, drawn)
        forward(memory, batch, True)
        for r in range(batch):
            row = head[Z] + r * head[PADDED]
            softmax(z, row, head[OUTPUTS], chances)
            chances[labels[starts[s] + r]] -= kind(1)
            for c in range(head[OUTPUTS]):
                z[index(row + c)] = chances[c]
        memory.grads[head[X] : head[X] + batch * head[X_SIZE]] = 0
        propagate(memory, batch, False)
        gradient[:] = 0
        squares = np.zeros(batch, z.dtype)
        for layer in range(len(net)):  # |a d'|^2 + |d|^2 is the squared norm of one example's weight and bias
            one = net[layer]
            for r in range(batch):
                inputs, outputs = kind(1), kind(0)
                for c in range(one[INPUTS]):
                    inputs += acts[index(one[X] + r * one[X_SIZE] + c)] ** 2
                for c in range(one[OUTPUTS]):
                    outputs += z[index(one[Z] + r * one[PADDED] + c)] ** 2
                squares[r] += inputs * outputs
        for r in range(batch):
            factor = clip / np.sqrt(max(squares[r], clip * clip))
            for layer in range(len(net)):
                one = net[layer]
                for c in range(one[OUTPUTS]):
                    at = index(one[Z] + r * one[PADDED] + c)
                    z[at] *= factor
                    gradient[index(one[BIAS] + c)] += z[at]
        collect(memory, batch)
        for p in range(len(noise_at)):
            gradient[index(noise_at[p])] += noise[s, p]
        gradient /= kind(size)
        adam(memory, rate, step + s + 1)


@compiled
def autoencode(encoder, decoder, pool, indices, noise, beta, rate, step):
    """An epoch of an autoencoder's two networks (``repro.training.autoencoder``), with codes drawn by ``noise``.

    ``pool`` (n, 1, pixels) is centred by a half, ``noise`` (steps, B, L); the encoder's outputs are L means and L log
    variances, the decoder's the pixels before their sigmoid.
    """
    steps, batch, latent = noise.shape
    head, last, codes = encoder.net[-1], decoder.net[-1], decoder.net[0]
    kind = pool.dtype.type
    one, half, share = kind(1), kind(0.5), kind(1 / batch)
    for s in range(steps):
        gather(encoder, pool, indices[s])
        forward(encoder, batch, True)
        for r in range(batch):
            mean = head[Z] + r * head[PADDED]
            for d in range(latent):
                spread_out = kind(exp(half * encoder.scratch[index(mean + latent + d)]))
                code = encoder.scratch[index(mean + d)] + noise[s, r, d] * spread_out
                decoder.acts[index(codes[X] + r * codes[X_SIZE] + d)] = code
        forward(decoder, batch, True)
        for r in range(batch):
            for p in range(last[OUTPUTS]):
                at = index(last[Z] + r * last[PADDED] + p)
                pixel = one / (one + kind(exp(-decoder.scratch[at])))
                missed = pixel - half - pool[indices[s, r], 0, p]
                decoder.scratch[at] = share * (missed + missed) * pixel * (one - pixel)
        for memory in (encoder, decoder):
            memory.gradient[:] = 0
            memory.grads[:] = 0
        propagate(decoder, batch, True)
        collect(decoder, batch)
        for r in range(batch):
            mean = head[Z] + r * head[PADDED]
            for d in range(latent):
                pulled = decoder.grads[index(codes[X] + r * codes[X_SIZE] + d)]
                variance = kind(exp(encoder.scratch[index(mean + latent + d)]))
                reach = half * noise[s, r, d] * np.sqrt(variance)
                encoder.scratch[index(mean + latent + d)] = pulled * reach + share * beta * half * (
                    variance - one
                )
                encoder.scratch[index(mean + d)] = pulled + share * beta * encoder.scratch[index(mean + d)]
        backward(encoder, batch)
        adam(encoder, rate, step + s + 1)
        adam(decoder, rate, step + s + 1)
