"""Reverse mode over a few ops, for gradients of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .namespace import added, copied
from .op import Op


class Traced:
    """An array, and how gradients go back from it to what it was made of.

    Attributes
    ----------
    value : the array
    sources : what it was made of
    back : from a gradient to those of the sources
    """

    def __init__(
        self,
        value: Any,
        sources: Sequence[Any] = (),
        back: Callable[[Any], Sequence[Any]] = lambda grad: (),
    ) -> None:
        self.value, self.sources, self.back = value, sources, back


def apply(op: Op, arrays: Sequence[Any], attrs: Sequence[Any]) -> Any:
    """An op of arrays, of which some may be traced; the result is then traced, too."""
    if not any(isinstance(array, Traced) for array in arrays):
        return op(*arrays, *attrs)
    values = [array.value if isinstance(array, Traced) else array for array in arrays]
    vjp: Any = op.vjp
    saved = tuple(v for v, name in zip(values, op.arrays, strict=True) if name in op.saves)
    return Traced(op(*values, *attrs), arrays, lambda grad: vjp(saved, (grad,), *attrs))


def gradients(function: Callable[..., Any], inputs: Sequence[Any], grad: Any) -> list[Any]:
    """Of <grad, function(*inputs)> with respect to all inputs."""
    traced = [Traced(x) for x in inputs]
    out = function(*traced)
    order: list[Traced] = []
    seen: set[int] = set()

    def visit(node: Any) -> None:
        if isinstance(node, Traced) and id(node) not in seen:
            seen.add(id(node))
            for source in node.sources:
                visit(source)
            order.append(node)

    visit(out)
    total = {id(out): grad}
    for node in reversed(order):
        for source, part in zip(node.sources, node.back(total[id(node)]), strict=False):
            if isinstance(source, Traced):
                old = total.get(id(source))
                total[id(source)] = part if old is None else added(old, part)
    found = [total[id(x)] for x in traced]
    return [copied(g) if g is grad else g for g in found]  # never what was given
