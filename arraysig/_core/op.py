"""The one description of a kernel-backed operation, from which every backend is derived."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Shape = tuple[int, ...]


class Spec(NamedTuple):
    """An output: its shape, and its dtype where that is not the dtype of the inputs."""

    shape: Shape
    dtype: str | None = None


class Plan(NamedTuple):
    """What follows from shapes and attributes alone.

    Attributes
    ----------
    outs : the outputs
    ints : 64-bit integers that every kernel receives before the attributes
    work : fused multiply-adds, roughly; a call that may take long is made interruptible
    """

    outs: tuple[Spec, ...]
    ints: Shape
    work: int


#: All rows by name; `arraysig._core.torch_bridge` makes an operator of each.
OPS: dict[str, Op] = {}


@dataclass(frozen=True, eq=False)
class Op:
    """A row: one operation on arrays, the same for every library and device.

    Attributes
    ----------
    name : C symbol (``as_<name>_f32``), torch operator and key of `OPS` alike
    schema : torch schema of the arguments, arrays first, the thread count last:
        ``"(Tensor path, int degree, int n_jobs)"``. CUDA kernels do not receive ``n_jobs``.
    plan : ``plan(*shapes, *attrs) -> Plan``; integer arithmetic only, so that torch may pass
        symbolic sizes. It raises ValueError where shapes disagree.
    launch : ``launch(gpu, ins, outs, plan, *attrs)``: host code of the CUDA kernels, where
        ``gpu`` is an `arraysig._core.cuda.Launcher`
    saves : the inputs that `vjp` and `jvp` need
    vjp : ``vjp(saved, grads, *attrs) -> gradients``, one per array argument, None for an
        argument without gradient. Written in other ops, never with an array library.
    jvp : ``jvp(saved, tangents, *attrs) -> tangents of the outputs``, likewise
    outputs : how many there are, the length of ``plan(...).outs``
    function : public function that errors speak of where none is being called, if it has another
        name
    """

    name: str
    schema: str
    plan: Callable[..., Plan]
    launch: Callable[..., None]
    saves: tuple[str, ...] = ()
    vjp: Callable[..., tuple[Any, ...]] | None = None
    jvp: Callable[..., tuple[Any, ...]] | None = None
    outputs: int = 1
    function: str = ""
    arrays: tuple[str, ...] = field(init=False)
    attrs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        words = [p.split() for p in self.schema.strip("()").split(",")]
        set_ = functools.partial(object.__setattr__, self)
        set_("function", self.function or self.name)
        set_("arrays", tuple(name for kind, name in words if kind == "Tensor"))
        set_("attrs", tuple(name for kind, name in words if kind != "Tensor"))
        if self.attrs[-1:] != ("n_jobs",):
            raise ValueError(f"{self.name}: the schema must end with `int n_jobs`")
        OPS[self.name] = self

    def __call__(self, *args: Any) -> Any:
        """Apply the op to arrays of one library, one dtype and one device, then attributes."""
        n = len(self.arrays)
        return _call(self, args[:n], args[n:])


from .dispatch import call as _call  # noqa: E402  (dispatch needs the classes above)
