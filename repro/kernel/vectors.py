"""Vectors as values inside compiled functions: LANES numbers in a register, with arithmetic of defined rounding.

Automatic vectorisation depends on what the compiler can prove; an explicit vector stays one whatever surrounds it.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from repro.kernel import LANES, inner


class Vector(types.Type):
    """LANES numbers of one dtype, in a register."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), LANES))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> tuple[Any, int]:
    """Address of the vector at an offset of a flat array, and the size of its numbers."""
    element = context.get_value_type(kind.dtype)
    start = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(element, LANES).as_pointer()
    return builder.bitcast(builder.gep(start, [at]), vector), 4 if element == ir.FloatType() else 8


@intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """The vector that begins at ``array[at]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, size = _pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=size)

    return Vector(array.dtype)(array, at), generate


@intrinsic
def store(typing: Any, array: Any, at: Any, vector: Any) -> Any:
    """Write a vector to ``array`` from ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, size = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, at, vector), generate


@intrinsic
def spread(typing: Any, number: Any) -> Any:
    """A vector of copies of one number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, lane = context.get_value_type(signature.return_type), ir.IntType(32)
        nothing = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(nothing, args[0], ir.Constant(lane, 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))

    return Vector(number)(number), generate


def _of_two(build: Callable[..., Any]) -> Any:
    """An operation on two vectors, by the instruction that ``build`` emits."""

    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        return (a(a, b), lambda context, builder, signature, args: build(builder, *args)) if a == b else None

    return operation


def _above(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), b, a)


def _where_positive(builder: Any, a: Any, b: Any) -> Any:
    zero = ir.Constant(a.type, None)
    return builder.select(builder.fcmp_ordered(">", a, zero), b, zero)


_plus, _minus = _of_two(ir.IRBuilder.fadd), _of_two(ir.IRBuilder.fsub)
_times, _over = _of_two(ir.IRBuilder.fmul), _of_two(ir.IRBuilder.fdiv)
at_least = _of_two(_above)  # the larger of each pair, or the first where the second is not a number
gated = _of_two(_where_positive)  # the second where the first is above 0, else 0


def _arithmetic(symbol: Any, operation: Any) -> None:
    @overload(symbol, strict=False)
    def of_vectors(a: Any, b: Any) -> Any:
        both = isinstance(a, Vector) and isinstance(b, Vector)
        return (lambda a, b: operation(a, b)) if both else None  # noqa: PLW0108 - Numba wants a Python function


_arithmetic(operator.add, _plus)
_arithmetic(operator.sub, _minus)
_arithmetic(operator.mul, _times)
_arithmetic(operator.truediv, _over)


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    kind = vectors[0].type
    size = 32 if kind.element == ir.FloatType() else 64
    function = ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v{LANES}f{size}"), vectors
    )


@intrinsic
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return a(a, b, c), lambda context, builder, signature, args: _call(builder, "fma", *args)


@intrinsic
def root(typing: Any, a: Any) -> Any:
    """Square roots."""
    return a(a), lambda context, builder, signature, args: _call(builder, "sqrt", *args)


@intrinsic
def turned(typing: Any, rows: Any) -> Any:
    """LANES vectors as the columns of a square, from its rows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        square, lane, half = cgutils.unpack_tuple(builder, args[0]), ir.IntType(32), LANES // 2
        # Interleaving the halves of the rows rotates the bits of an element's index; after three, rows are columns.
        for _ in range(3):
            square = [
                builder.shuffle_vector(
                    square[i],
                    square[i + half],
                    ir.Constant(
                        ir.VectorType(lane, LANES),
                        [part * half + j // 2 + j % 2 * LANES for j in range(LANES)],
                    ),
                )
                for i in range(half)
                for part in range(2)
            ]
        return context.make_tuple(builder, signature.return_type, square)

    return rows(rows), generate


@intrinsic
def _nearest(typing: Any, a: Any) -> Any:
    """Rounded to whole numbers."""
    return a(a), lambda context, builder, signature, args: _call(builder, "rint", *args)


@intrinsic
def _power_of_two(typing: Any, a: Any) -> Any:
    """Two to the power of whole numbers within the exponent's range."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        size, bits, bias = (32, 23, 127) if kind.element == ir.FloatType() else (64, 52, 1023)
        whole = ir.VectorType(ir.IntType(size), LANES)
        exponent = builder.add(builder.fptosi(args[0], whole), ir.Constant(whole, [bias] * LANES))
        return builder.bitcast(builder.shl(exponent, ir.Constant(whole, [bits] * LANES)), kind)

    return a(a), generate


@inner
def exponential(x, kind):
    """e to the power of x, in ``kind``'s dtype; within a few units in the last place, the same on every processor.

    Exponents outside the range of normal single-precision numbers (about -87 to 88) are clamped to it.
    """
    x = at_least(x, spread(kind(-87.0)))
    x = spread(kind(0)) - at_least(spread(kind(0)) - x, spread(kind(-88.0)))
    n = _nearest(x * spread(kind(1.4426950408889634)))
    # The logarithm of 2 in two parts, the first with few bits, so that its product with n is exact.
    r = fused(n, spread(kind(-0.693145751953125)), x)
    r = fused(n, spread(kind(-1.4286068203094172e-06)), r)
    total = spread(kind(1.0))
    for divisor in range(13, 0, -1):  # the series, accurate far beyond the last place of either precision
        total = fused(total * r, spread(kind(1.0 / divisor)), spread(kind(1.0)))
    return total * _power_of_two(n)


def apart(function: Callable[..., Any]) -> Any:
    """Compile a function that is never inlined: inlining it many times over would take minutes to compile."""
    target = inner(function)

    @intrinsic
    def call(typing: Any, *values: Any) -> Any:
        packed = types.StarArgTuple.from_types(values)
        kind = typing.resolve_value_type(target)
        inner = kind.get_call_type(typing, values, {})

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            result = context.get_function(kind, inner)(builder, cgutils.unpack_tuple(builder, args[0]))
            for block in builder.function.blocks:
                for instruction in block.instructions:
                    if isinstance(instruction, ir.CallInstr) and function.__name__ in instruction.callee.name:
                        instruction.attributes.add("noinline")
            return result

        return inner.return_type(packed), generate

    return call
