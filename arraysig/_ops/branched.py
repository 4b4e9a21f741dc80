"""The Hopf algebras of trees: products, exponentials and logarithms of functionals.

They are given by their values on the basis without its empty element, on which signatures are 1 and
logarithms 0. All is made of sparse matrices and bilinear maps, so that it can be differentiated for
ever; arrays may be traced for gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .._core import trees
from .._core.namespace import concat, contiguous, zeros
from .._core.tape import Traced, apply
from . import tensors
from .sparse import bilinear, sparse


class Algebra(NamedTuple):
    """The algebra of trees, or plane forests, with labels below `channels` to a degree.

    Products are those of functionals: f * g at t is the sum of f(pruned) g(trunk) over the
    coproduct of t.
    """

    channels: int
    degree: int
    planar: bool
    n_jobs: int

    def of_words(self, tensor: Any) -> Any:
        """The functional of a signature, or of a logarithm, of the tensor algebra."""
        key = trees.words_key(self.channels, self.degree, self.planar)
        return apply(sparse, (tensor,), (key, self.n_jobs))

    def linear(self, displacement: Any) -> Any:
        """The signatures of segments."""
        size = self.channels, self.degree, False, self.n_jobs
        if not isinstance(displacement, Traced):
            return self.of_words(tensors.exponential(displacement, *size))
        v = displacement.value
        exponential = Traced(
            tensors.exponential(v, *size),
            (displacement,),
            lambda grad: (tensors.exponential_vjp(grad, v, *size),),
        )
        return self.of_words(exponential)

    def _on_forests(self, x: Any) -> Any:
        """What first factors are read as: multiplicative, if trees are all that is given."""
        for stage in range(0 if self.planar else trees.stages(self.degree)):
            key = trees.forests_key(self.channels, self.degree, stage)
            x = apply(bilinear, (x, x), (key, 1, 1, 1.0, self.n_jobs))
        return x

    def product(self, x: Any, y: Any) -> Any:
        """The product of 1 + x and 1 + y, less 1."""
        key = trees.product_key(self.channels, self.degree, self.planar)
        return apply(bilinear, (self._on_forests(x), y), (key, 1, 1, 1.0, self.n_jobs))

    def _series(self, x: Any, logarithm: bool) -> Any:
        # Both series are x (1 + B_1) with B_j = c_j x (1 + B_(j+1)) and B_degree = 0: c_j is
        # -j / (j + 1) for the logarithm of 1 + x, and 1 / (j + 1) for the exponential less 1. Of
        # B_j values on up to degree - j nodes are needed.
        if self.degree < 2:
            return x
        result, factor = self._shortest(x), self._on_forests(x)
        for j in range(self.degree - 1, 0, -1):
            key = trees.step_key(self.channels, self.degree, self.planar, self.degree - j + 1)
            scale = (-j if logarithm else 1) / (j + 1)
            result = apply(bilinear, (factor, result), (key, 0, 1, scale, self.n_jobs))
        return result

    def _shortest(self, x: Any) -> Any:
        """The values on trees of one node."""
        if not isinstance(x, Traced):
            return contiguous(x[..., : self.channels])
        rest = (*x.value.shape[:-1], x.value.shape[-1] - self.channels)
        return Traced(
            contiguous(x.value[..., : self.channels]),
            (x,),
            lambda grad: (concat([grad, zeros(grad, rest)]),),
        )

    def log(self, x: Any) -> Any:
        """The logarithm of 1 + x, for characters 1 + x."""
        return self._series(x, True)

    def exp(self, x: Any) -> Any:
        """The exponential of x, less 1; on plane forests."""
        return self._series(x, False)

    def to_lyndon(self, x: Any, method: int) -> Any:
        """From a logarithm on plane forests to a format: 0 as it is, 1 coefficients, 2 basis."""
        if method == 0:
            return x
        kind = trees.COEFFICIENTS if method == 1 else trees.COORDINATES
        key = trees.lie_key(kind, self.channels, self.degree)
        return apply(sparse, (x,), (key, self.n_jobs))

    def from_basis(self, x: Any) -> Any:
        """The logarithm on plane forests that has these coordinates."""
        key = trees.lie_key(trees.EXPAND, self.channels, self.degree)
        return apply(sparse, (x,), (key, self.n_jobs))
