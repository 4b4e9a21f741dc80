"""Every op as a differentiable Torch function. The only file that imports torch.

Two registrations, from one row, because no single one serves every mode of Torch:

* an operator ``torch.ops.arraysig.<name>`` with a fake kernel, opaque to compilers. Its Autograd
  key holds a guard: what would lose a gradient there (the operator alone has no derivative) raises;
* two ``autograd.Function`` classes: the eager one calls the kernels directly and knows forward
  mode; the compiled one calls the operator, and has no ``jvp``, which Dynamo refuses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses import FakeTensor
from torch.autograd import forward_ad

from .dispatch import HOST_BYTES, Memory, called, execute
from .op import OPS, Op

_LIBRARY = torch.library.Library("arraysig", "DEF")
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_KINDS = (torch.Tensor, torch.nn.Parameter)
_is_batched = torch._C._functorch.is_legacy_batchedtensor
_modes = torch._C._len_torch_dispatch_stack
_TRACING = (torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE)


def call(op: Op, arrays: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """Apply `op` to tensors of one dtype and device, differentiably."""
    if torch.compiler.is_compiling():
        return _COMPILED[op.name].apply(*_distinct(arrays), *attrs)
    if torch._C._is_tracing():
        raise NotImplementedError(
            f"{called(op.function)}: torch.jit.trace does not see what is computed here; "
            "use torch.compile or torch.export"
        )
    # Fake tensors, subclasses, what torch.autograd batches (is_grads_batched); tracing modes.
    if any([type(a) not in _KINDS or _is_batched(a) for a in arrays]) or _modes():
        return _COMPILED[op.name].apply(*arrays, *attrs)
    if transforming():
        return _EAGER[op.name].apply(*arrays, *attrs)
    if torch.is_grad_enabled() and any([a.requires_grad for a in arrays]):
        return _PLAIN[op.name](*arrays, *attrs)
    return _run(op, arrays, attrs)


def hides_values(arrays: Sequence[torch.Tensor]) -> bool:
    """Whether numbers in tensors can not be looked at."""
    if torch.compiler.is_compiling():
        return True
    if any([torch._C._get_dispatch_mode(key) is not None for key in _TRACING]):
        return True
    for array in arrays:
        while torch._C._functorch.is_functorch_wrapped_tensor(array):
            if torch._C._functorch.is_batchedtensor(array):
                return True
            array = torch._C._functorch.get_unwrapped(array)
        if array.device.type == "meta" or isinstance(array, FakeTensor):
            return True
    return False


def _distinct(arrays: tuple[Any, ...]) -> list[Any]:
    """No tensor twice, which Dynamo refuses."""
    found: list[Any] = []
    for array in arrays:
        found.append(array.clone() if any([array is other for other in found]) else array)
    return found


def _run(op: Op, arrays: Sequence[torch.Tensor], attrs: tuple[Any, ...]) -> Any:
    """Run the kernels: plain tensors, no autograd."""
    first = arrays[0]
    # A clone has what a tensor may lack: its order, its sign, and memory (zero tangents).
    ins = [
        a
        if a.is_contiguous() and not a.is_neg() and not a._is_zerotensor()
        else a.detach().clone(memory_format=torch.contiguous_format)
        for a in arrays
    ]
    if first.device.type == "cpu":
        memory = _HOST
    elif first.device.type == "cuda":
        memory = _cuda_memory(op, first.device)
    elif first.device.type == "meta":
        return _fake(op, arrays, attrs)
    else:
        raise ValueError(
            f"{called(op.function)}: `{op.arrays[0]}` must be on a CPU or CUDA device, "
            f"got {first.device}"
        )
    return execute(op, ins, attrs, memory, _NAMES[first.dtype])


_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def _empty_on_host(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.empty(shape, dtype=_DTYPES[dtype], device="cpu")  # not the default device


_HOST = Memory(_empty_on_host, None, None, HOST_BYTES)


def _cuda_memory(op: Op, device: torch.device) -> Memory:
    from .cuda import cupy_device

    # Torch's allocator and Torch's current stream: memory is recycled in the order of the stream.
    def empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        return torch.empty(shape, dtype=_DTYPES[dtype], device=device)

    ordinal = torch.cuda.current_device() if device.index is None else device.index
    available = cupy_device(op.function, ordinal).memory
    return Memory(empty, ordinal, torch.cuda.current_stream(device).cuda_stream, available)


def _fake(op: Op, arrays: Sequence[torch.Tensor], attrs: tuple[Any, ...]) -> Any:
    plan = op.plan(*(tuple(a.shape) for a in arrays), *attrs)
    outs = tuple(
        arrays[0].new_empty(s.shape, dtype=_DTYPES[s.dtype] if s.dtype else None) for s in plan.outs
    )
    return outs[0] if len(outs) == 1 else outs


def _refusing(op: Op, what: str) -> Callable[..., Any]:
    name = op.name

    def refuse(*args: Any) -> Any:
        raise NotImplementedError(f"arraysig: {name} has no {what}")

    return refuse


def _batch_first(
    info: Any, in_dims: tuple[int | None, ...], arrays: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """All leading axes of an op are batch: an axis that is mapped becomes the first of them."""
    return [
        t.unsqueeze(0).expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
        for t, d in zip(arrays, in_dims, strict=True)
    ]


def _register(op: Op) -> tuple[Any, Any]:
    """Define the operator of `op`; return its eager and its compiled Function."""
    n = len(op.arrays)
    result = "Tensor" if op.outputs == 1 else f"({', '.join(['Tensor'] * op.outputs)})"
    _LIBRARY.define(f"{op.name}{op.schema} -> {result}", tags=(torch.Tag.pt2_compliant_tag,))
    packet = getattr(torch.ops.arraysig, op.name).default

    # The dispatcher makes lists of the tuples among attributes, which plans need as keys.
    def kernel(*args: Any) -> Any:
        return _run(op, args[:n], tuple(tuple(a) if type(a) is list else a for a in args[n:]))

    def fake(*args: Any) -> Any:
        return _fake(op, args[:n], args[n:])

    refuse = _refusing(op, "derivative of this kind as a raw operator; use the public functions")

    def guard(*args: Any) -> Any:
        for tensor in args[:n]:
            if torch.is_grad_enabled() and tensor.requires_grad:
                refuse()
            if (
                forward_ad._current_level >= 0
                and forward_ad.unpack_dual(tensor).tangent is not None
            ):
                refuse()
        with torch._C._AutoDispatchBelowAutograd():
            return packet(*args)

    _LIBRARY.impl(op.name, kernel, "CPU")
    _LIBRARY.impl(op.name, kernel, "CUDA")
    _LIBRARY.impl(op.name, guard, "Autograd")
    torch.library.register_fake(f"arraysig::{op.name}", fake, lib=_LIBRARY)

    # Dynamo traces the two functions below: they close over plain values, not over the row.
    out_dims = 0 if op.outputs == 1 else (0,) * op.outputs
    saved = tuple(i for i, name in enumerate(op.arrays) if name in op.saves)
    vjp = op.vjp or _refusing(op, "derivative")
    jvp_rule = op.jvp or _refusing(op, "forward-mode derivative")

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*[inputs[i] for i in saved])
        ctx.attrs = inputs[n:]

    def backward(ctx: Any, *grads: Any) -> Any:
        return (*vjp(ctx.saved_tensors, grads, *ctx.attrs), *[None] * len(ctx.attrs))

    def setup_context_eager(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        setup_context(ctx, inputs, output)
        ctx.save_for_forward(*[inputs[i] for i in saved])

    # Torch runs this with forward mode off, where derivatives in forward mode of what it returns
    # would be 0 (pytorch/pytorch#197867). Primals have no tangent of this level.
    def jvp(ctx: Any, *tangents: Any) -> Any:
        with forward_ad._set_fwd_grad_enabled(True):
            primals = [forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors]
            out = jvp_rule(primals, tangents[:n], *ctx.attrs)
        return out[0] if len(out) == 1 else out

    def vmap(function: Any) -> Any:
        def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
            moved = _batch_first(info, in_dims[:n], args[:n])
            return function().apply(*moved, *args[n:]), out_dims

        return staticmethod(rule)

    compiled: Any = type(
        f"{op.name}_compiled",
        (torch.autograd.Function,),
        {
            "forward": staticmethod(lambda *args: packet(*args)),
            "setup_context": staticmethod(setup_context),
            "backward": staticmethod(backward),
            "vmap": vmap(lambda: _COMPILED[op.name]),
        },
    )
    eager: Any = type(
        f"{op.name}_eager",
        (torch.autograd.Function,),
        {
            "forward": staticmethod(kernel),
            "setup_context": staticmethod(setup_context_eager),
            "backward": staticmethod(backward),
            "jvp": staticmethod(jvp),
            "vmap": vmap(lambda: _EAGER[op.name]),
        },
    )
    # Torch inspects the signature at every call (finding it here halves the cost), and Dynamo
    # counts its parameters to see whether `forward` takes a context.
    names = (*op.arrays, *op.attrs)
    signature = inspect.Signature([inspect.Parameter(name, _POSITIONAL) for name in names])
    for function in (compiled, eager):
        function.forward.__signature__ = signature
    return eager, compiled


_YOURS = "a signature kernel with a static kernel of your own"


class _Python(torch.autograd.Function):
    @staticmethod
    def forward(run: Any, gradients: Any, *arrays: Any) -> Any:
        return run(*arrays)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.gradients = inputs[1]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, *ctx.gradients(ctx.needs_input_grad[2:], *grads, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError(f"arraysig: {_YOURS} has no forward-mode derivative")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], run: Any, gradients: Any, *arrays: Any) -> Any:
        moved = _batch_first(info, in_dims[2:], arrays)
        out = _DIFFERENTIABLE.apply(run, gradients, *moved)
        if isinstance(out, tuple):
            return out, tuple(None if o is None else 0 for o in out)
        return out, 0


_DIFFERENTIABLE: Any = _Python


def transforming() -> bool:
    """Whether functions are transformed, or have derivatives in forward mode."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def depends(run: Any, *arrays: Any) -> tuple[Any, bool]:
    """``run(*arrays)`` of constants, and whether it has a derivative all the same."""
    with torch.enable_grad():
        result = run(*[a.detach() for a in arrays])
    if not isinstance(result, torch.Tensor):
        return result, False
    dual = forward_ad._current_level >= 0 and forward_ad.unpack_dual(result).tangent is not None
    return result, result.requires_grad or dual


@torch.compiler.disable  # type: ignore[untyped-decorator]
def differentiable(run: Any, gradients: Any, *arrays: Any) -> Any:
    """Code in Python that has a derivative, but no second one: ``run(*arrays)``."""

    def refuse(*args: Any) -> Any:
        raise NotImplementedError(f"arraysig: {_YOURS} has no second derivative")

    def derivative(wanted: Any, *args: Any) -> Any:
        return _DIFFERENTIABLE.apply(lambda *a: gradients(wanted, *a), refuse, *args)

    return _DIFFERENTIABLE.apply(run, derivative, *arrays)


_EAGER: dict[str, Any] = {}
_COMPILED: dict[str, Any] = {}
#: `apply` of the eager functions without what it does for transforms of functions, which binds
#: arguments to a signature at every call.
_PLAIN: dict[str, Any] = {}
for _name, _op in OPS.items():
    _EAGER[_name], _COMPILED[_name] = _register(_op)
    _PLAIN[_name] = super(torch.autograd.Function, _EAGER[_name]).apply
