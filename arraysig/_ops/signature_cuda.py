"""Host code of the CUDA kernels of the signature: which kernels, in which sizes.

Three families of kernels, chosen by `family`:

- sums (``signature_sums.cu``): degree 0 or 1, or one channel, where nothing but the total increment
  matters;
- tiles (``signature.cu``): small alphabets, words in registers, specialised by macros;
- levels (``signature_levels.cu``): the rest, sizes as arguments.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..words import tensor_length
from .transforms import augmented

_BLOCK = 128
_FOLD = 8  # FOLD of signature.cu
_REGISTERS = 65536  # of a multiprocessor
_THREADS = 2048
_LAUNCH = 6000.0  # cycles
_RADIX = 64  # signatures that sig_fold multiplies one after another
_GROUP = 8  # GROUP of signature_scan.cu
_SCAN_DEGREE = 8  # the most for which signature_scan.cu is worth unrolling
_FOLD_DEGREE = 6  # the most that keeps what sig_fold unrolls small


class Augmentation(NamedTuple):
    """The flags of a call and what follows from them."""

    dimension: int
    time_aug: bool
    lead_lag: bool

    @property
    def channels(self) -> int:
        """Channels after augmentation."""
        return augmented(1, self.dimension, self.time_aug, self.lead_lag)[1]

    @property
    def per_raw(self) -> int:
        """Steps that a raw increment makes."""
        return 2 if self.lead_lag else 1


class Tile(NamedTuple):
    """How ``sig_tile`` spreads the words of one signature over threads.

    Attributes
    ----------
    prefix, tile : letters in front of a thread's tile, letters of the tile
    lanes, lane_blocks : threads of one stretch in a block, blocks that share a stretch
    stretches : of a block, a power of two
    chunk : raw increments of a stretch in shared memory at a time
    width, row : numbers of a step and of a stretch there
    instructions : per step and thread, roughly
    resident : blocks that a multiprocessor runs at a time
    """

    prefix: int
    tile: int
    lanes: int
    lane_blocks: int
    stretches: int
    chunk: int
    width: int
    row: int
    instructions: int
    resident: int


def family(channels: int, degree: int, itemsize: int) -> str:
    """The kernels for an alphabet and a degree: "sums", "tiles" or "levels"."""
    if degree <= 1 or channels == 1:
        return "sums"
    return "tiles" if _split(channels, degree, itemsize) else "levels"


@functools.cache
def _split(channels: int, degree: int, itemsize: int) -> tuple[int, int, int, int] | None:
    """Prefix, tile, instructions and registers of the split of words with the least work.

    None if the alphabet or the degree is too large for unrolled code.
    """
    if channels > 32 or degree > 24:
        return None
    best = None
    for prefix in range(degree):
        for tile in range(1, channels + 1):
            own = tile * sum(channels**i for i in range(degree - prefix))
            letters = channels if prefix < degree - 1 else 0
            held = own + letters + tile * (tile < channels) + 2 * prefix
            if held * itemsize > (400 if itemsize == 4 else 448):
                break
            threads = channels**prefix * -(-channels // tile)
            work = _step_work(channels, degree, prefix, tile)
            candidate = (threads * work, prefix, tile, work, held)
            best = min(best or candidate, candidate)
    assert best is not None  # a tile of one word fits
    _, prefix, tile, work, held = best
    return prefix, tile, work, 32 + held * itemsize * 3 // 8


def _step_work(channels: int, degree: int, prefix: int, tile: int) -> int:
    """Instructions of one step of one thread: arithmetic, shared loads, the loop."""
    work = 4 + -(-channels // 4) + prefix + -(-tile // 4)
    for level in range(1, degree + 1):
        work += 2 * min(level - 1, prefix)
        if level <= prefix:
            work += 1
        else:
            behind = [tile * channels**i for i in range(level - prefix)]
            work += behind[-1] + sum(behind[:-1])
    return work + (channels if prefix < degree - 1 else 0) * (degree - prefix - 1)


@functools.cache
def tile_of(augmentation: Augmentation, degree: int, itemsize: int) -> Tile:
    """The tile for an alphabet that `family` gives to tiles (or of degree 1)."""
    channels = augmentation.channels
    split = _split(channels, degree, itemsize)
    assert split is not None
    prefix, tile, work, registers = split
    letter_tiles = -(-channels // tile)
    threads = channels**prefix * letter_tiles
    lane_blocks = -(-threads // _BLOCK)
    lanes = threads if lane_blocks == 1 else -(-threads // lane_blocks // 32) * 32
    stretches = 1 << ((_BLOCK // lanes).bit_length() - 1) if lane_blocks == 1 else 1
    read = 2 if channels <= 2 or itemsize == 8 else 4
    width = -(-max(channels, letter_tiles * tile) // read) * read
    while stretches > 1 and 4 * stretches * width * itemsize * augmentation.per_raw > 32768:
        stretches //= 2
    room = 16384 // (stretches * width * itemsize * augmentation.per_raw)
    chunk = max(4, min(32, 1 << max(room, 1).bit_length() - 1))
    row = chunk * augmentation.per_raw * width
    row += read if row // read % 2 == 0 else 0
    block = stretches * lanes
    resident = min(_REGISTERS // (registers * -(-block // 32) * 32), _THREADS // block, 16)
    return Tile(
        prefix, tile, lanes, lane_blocks, stretches, chunk, width, row, work, max(1, resident)
    )


class Stretches(NamedTuple):
    """How paths are cut.

    Attributes
    ----------
    per_path : stretches of a path
    steps : raw increments of a stretch
    run : neighbours that one block multiplies
    """

    per_path: int
    steps: int
    run: int


@functools.lru_cache(4096)
def cut(
    tile: Tile, words: int, degree: int, batch: int, increments: int, processors: int
) -> Stretches:
    """The cut of `batch` paths that keeps the chip busy for the shortest time."""
    side = tile.stretches
    fold = words * degree * degree  # instructions of a product of two signatures
    foldable = degree <= _FOLD_DEGREE
    most = max(1, increments // 4)
    many, k = [], 2
    while k < 4 * processors * tile.resident // batch + 3:
        many.append(side * k)
        k += max(1, k // 16)
    candidates = [1 << i for i in range(side.bit_length())] + many
    warps = side * tile.lanes * tile.resident / 128  # per scheduler

    def time(per_path: int) -> float:
        steps = -(-increments // per_path)
        blocks = -(-batch * per_path // side) * tile.lane_blocks
        waves = -(-blocks // (processors * tile.resident))
        busy = min(warps, max(1.0, warps * blocks / (processors * tile.resident)))
        walk = steps * max(tile.instructions * busy, tile.instructions + 60)
        walk += 400 * -(-steps // tile.chunk)  # loads
        inside = min(per_path, side) if foldable else 1
        parts = per_path // inside
        within = (side - side // inside) * fold / (side * tile.lanes) * busy
        within += 50 * (inside if inside <= 2 * _FOLD else _FOLD + inside // _FOLD)  # latency
        after = 0.0
        if parts > 1:
            rounds = 1 if parts <= _RADIX else 2
            after = rounds * _LAUNCH + batch * parts * fold / (128 * processors)
        return waves * (walk + within) + after

    per_path = min((c for c in candidates if c == 1 or c <= most), key=time)
    run = min(per_path, side) if foldable else 1
    return Stretches(per_path, max(1, -(-increments // per_path)), run)


@dataclass(frozen=True)
class Call:
    """What the kernels of one call have in common.

    Attributes
    ----------
    dt : increment of the time channel at every step
    scalar : 1 if rows of the signature begin with the empty word
    """

    gpu: Any
    batch: int
    length: int
    augmentation: Augmentation
    degree: int
    end_time: float
    scalar: int

    @property
    def dt(self) -> Any:
        """Increment of the time channel."""
        steps = (self.length - 1) * self.augmentation.per_raw
        return self.gpu.real(self.end_time / max(1, steps))

    def words(self, degree: int) -> int:
        """Words of length 1 to `degree`."""
        return tensor_length(self.augmentation.channels, degree)

    @property
    def row(self) -> int:
        """Numbers of a signature as the caller sees it."""
        return self.words(self.degree) + self.scalar


def launch(gpu: Any, ins: Any, outs: Any, plan: Any, *attrs: Any) -> None:
    """Host code of ``sig``."""
    call = _call(gpu, plan, attrs)
    forward = {"sums": _sums, "tiles": _tiles, "levels": _levels}
    forward[family(call.augmentation.channels, call.degree, gpu.itemsize)](call, *ins, *outs)


def launch_vjp(gpu: Any, ins: Any, outs: Any, plan: Any, *attrs: Any) -> None:
    """Host code of ``sig_vjp``."""
    call = _call(gpu, plan, attrs)
    if call.length == 1:
        _sums_vjp(dataclasses.replace(call, degree=0), *ins, *outs)
        return
    backward = {
        "sums": _sums_vjp,
        "tiles": _tiles_vjp,
        "stretches": _stretches_vjp,
        "levels": _levels_vjp,
    }
    backward[vjp_family(call.augmentation, call.degree, gpu)](call, *ins, *outs)


def vjp_family(augmentation: Augmentation, degree: int, gpu: Any) -> str:
    """As `family`, for the gradient; "stretches" are levels with ends of stretches from tiles."""
    forward = family(augmentation.channels, degree, gpu.itemsize)
    if forward != "tiles" or vjp_tile_of(augmentation, degree, gpu.itemsize, gpu.shared_memory):
        return forward
    return "stretches" if degree <= _SCAN_DEGREE else "levels"


def _call(gpu: Any, plan: Any, attrs: Any) -> Call:
    degree, time_aug, lead_lag, end_time, scalar, _ = attrs
    batch, length, dimension = plan.ints
    augmentation = Augmentation(dimension, time_aug, lead_lag)
    return Call(gpu, batch, length, augmentation, degree, end_time, int(scalar))


def _flat(gpu: Any, source: Any, name: str, threads: int, args: Any) -> None:
    """One thread per number."""
    gpu.launch(source, name, (-(-threads // _BLOCK),), (_BLOCK,), args)


def _at(pointer: Any, numbers: int, itemsize: int) -> Any:
    """`pointer` moved on; None stays None."""
    return pointer and pointer._replace(address=pointer.address + numbers * itemsize)


# ---- sums


def _totals(call: Call, path: Any) -> Any:
    """The sum of the increments of every path and channel."""
    gpu, batch, dimension = call.gpu, call.batch, call.augmentation.dimension
    source = gpu.source("signature_sums.cu")
    increments = call.length - 1
    wanted = 1024 * gpu.processors // (batch * dimension) + 1
    steps = max(16, -(-increments // wanted))
    per_path = max(1, -(-increments // steps))
    parts = gpu.scratch((batch, per_path, dimension))
    total = gpu.scratch((batch, dimension))
    sizes = (batch, call.length, dimension, per_path, steps)
    _flat(gpu, source, "sums_parts", batch * per_path * dimension, (path, parts, *sizes))
    sizes_of_total = (batch, dimension, per_path)
    _flat(gpu, source, "sums_total", batch * dimension, (parts, total, *sizes_of_total))
    return total


def _alphabet(call: Call) -> tuple[int, ...]:
    """Arguments of the kernels of sums."""
    augmentation = call.augmentation
    moving = augmentation.dimension * augmentation.per_raw
    sizes = (call.batch, augmentation.dimension, moving, augmentation.channels)
    return (*sizes, call.degree, call.scalar)


def _sums(call: Call, path: Any, out: Any) -> None:
    gpu = call.gpu
    total = _totals(call, path) if call.degree else None
    rise = gpu.real(call.end_time if call.length > 1 else 0.0)
    source = gpu.source("signature_sums.cu")
    _flat(gpu, source, "sums_write", call.batch, (total, out, *_alphabet(call), rise))


def _sums_vjp(call: Call, grad: Any, path: Any, dpath: Any) -> None:
    gpu, batch, dimension = call.gpu, call.batch, call.augmentation.dimension
    source = gpu.source("signature_sums.cu")
    total = _totals(call, path) if call.degree > 1 else None
    slope = gpu.scratch((batch, dimension))
    _flat(gpu, source, "sums_slope", batch * dimension, (grad, total, slope, *_alphabet(call)))
    threads = min(batch * call.length * dimension, 32 * _BLOCK * gpu.processors)
    _flat(gpu, source, "sums_vjp", threads, (slope, dpath, batch, call.length, dimension))


# ---- tiles


def _macros(augmentation: Augmentation, degree: int) -> dict[str, int]:
    return {
        "DIM": augmentation.dimension,
        "TIME_AUG": int(augmentation.time_aug),
        "LEAD_LAG": int(augmentation.lead_lag),
        "DEGREE": degree,
    }


def _vector(path: Any, dimension: int, itemsize: int) -> int:
    """Numbers of a path that one load may take: they must divide a point and be aligned."""
    return max(
        v
        for v in (1, 2, 4)
        if dimension % v == 0 and path.address % (v * itemsize) == 0 and v * itemsize <= 16
    )


def _tile_macros(call: Call, tile: Tile | VjpTile, path: Any) -> dict[str, int]:
    """The macros that tiles of both directions have."""
    return {
        "PREFIX": tile.prefix,
        "TILE": tile.tile,
        "LANES": tile.lanes,
        "STRETCHES": tile.stretches,
        "CHUNK": tile.chunk,
        "WIDTH": tile.width,
        "ROW": tile.row,
        "VECTOR": _vector(path, call.augmentation.dimension, call.gpu.itemsize),
    }


def _walk(
    call: Call, path: Any, out: Any, degree: int, stretches: Stretches, row: int, scalar: int
) -> None:
    """``sig_tile``: the signatures of runs of stretches."""
    gpu, augmentation = call.gpu, call.augmentation
    tile = tile_of(augmentation, degree, gpu.itemsize)
    source = gpu.source(
        "signature.cu", **_macros(augmentation, degree), **_tile_macros(call, tile, path)
    )
    shared = tile.stretches * tile.row
    if stretches.run > 1:
        products = tile.stretches + tile.stretches // _FOLD
        shared = max(shared, products * call.words(degree))
    blocks = -(-call.batch * stretches.per_path // tile.stretches) * tile.lane_blocks
    args = (path, out, call.batch, call.length, *stretches, row, scalar, call.dt)
    block = (tile.stretches * tile.lanes,)
    memory = tile.stretches * 16 + shared * gpu.itemsize
    gpu.launch(source, "sig_tile", (blocks,), block, args, memory)


def _tiles(call: Call, path: Any, out: Any) -> None:
    gpu, batch, degree = call.gpu, call.batch, call.degree
    words = call.words(degree)
    tile = tile_of(call.augmentation, degree, gpu.itemsize)
    stretches = cut(tile, words, degree, batch, call.length - 1, gpu.processors)
    count = stretches.per_path // stretches.run
    if count == 1:
        _walk(call, path, out, degree, stretches, call.row, call.scalar)
        return
    parts = gpu.scratch((batch, count, words))
    _walk(call, path, parts, degree, stretches, words, 0)
    if degree <= _FOLD_DEGREE:
        _fold(call, parts, out, count)
    else:
        _pairs(call, parts, out, count)


def _fold(call: Call, parts: Any, out: Any, count: int) -> None:
    """``sig_fold``: the products of `count` signatures each, at most `_RADIX` in a launch."""
    gpu, batch, words = call.gpu, call.batch, call.words(call.degree)
    source = gpu.source("signature.cu", **_macros(call.augmentation, call.degree))
    top = call.augmentation.channels**call.degree
    while True:
        radix = count if count <= _RADIX else math.isqrt(count - 1) + 1
        groups = -(-count // radix)
        to = out if groups == 1 else gpu.scratch((batch, groups, words))
        row, scalar = (call.row, call.scalar) if groups == 1 else (words, 0)
        args = (parts, to, batch, count, radix, groups, row, scalar)
        _flat(gpu, source, "sig_fold", batch * groups * top, args)
        if groups == 1:
            return
        parts, count = to, groups


class VjpTile(NamedTuple):
    """How ``vjp_tile`` spreads the words of one signature over threads; see `Tile`.

    Attributes
    ----------
    buffer, columns : steps between sums over threads, numbers that a thread gives to one
    top_shared, top_row : is the top level in shared memory, and numbers of a thread's part there
    memory : bytes of shared memory
    """

    prefix: int
    tile: int
    lanes: int
    stretches: int
    chunk: int
    width: int
    row: int
    buffer: int
    columns: int
    top_shared: int
    top_row: int
    memory: int


@functools.cache
def vjp_tile_of(
    augmentation: Augmentation, degree: int, itemsize: int, shared_memory: int
) -> VjpTile | None:
    """The tile with the least work; None if no tile fits a block and its registers."""
    channels = augmentation.channels
    best = None
    for prefix in range(min(2, degree - 1)):
        for tile in range(1, channels + 1):
            lanes = channels**prefix * -(-channels // tile)
            low = tile * sum(channels**i for i in range(degree - 1 - prefix))
            top = tile * channels ** (degree - 1 - prefix)
            held = 2 * low + 2 * channels + 2 * tile * (tile < channels)
            if lanes > 2 * _BLOCK or held * itemsize > 480 or top > 1024:
                continue
            top_shared = int((held + top) * itemsize > 480)
            columns = channels + 2 * prefix + (tile if tile < channels else 0)
            work = (2 + top_shared) * top + 6 * low + 2 * channels + (lanes > 1) * 2 * columns
            split = (prefix, tile, lanes, top, top_shared, columns)
            layout = _vjp_layout(augmentation, degree, itemsize, *split)
            if layout.memory <= min(shared_memory, 160 * 1024):
                best = min(best or (lanes * work, layout), (lanes * work, layout))
    return best[1] if best else None


def _vjp_layout(
    augmentation: Augmentation,
    degree: int,
    itemsize: int,
    prefix: int,
    tile: int,
    lanes: int,
    top: int,
    top_shared: int,
    columns: int,
) -> VjpTile:
    """Sizes in shared memory."""
    channels, per_raw = augmentation.channels, augmentation.per_raw
    stretches = max(1, 1 << (_BLOCK // lanes).bit_length() - 1) if lanes < _BLOCK else 1
    read = 2 if channels <= 2 or itemsize == 8 else 4
    width = -(-max(channels, -(-channels // tile) * tile) // read) * read
    while stretches > 1 and 4 * stretches * width * itemsize * per_raw > 32768:
        stretches //= 2
    room = 8192 // (stretches * width * itemsize * per_raw)
    chunk = max(4, min(16, 1 << max(room, 1).bit_length() - 1))
    row = chunk * per_raw * width
    row += read if row // read % 2 == 0 else 0
    columns = -(-columns // read) * read
    room = 20480 // (stretches * lanes * columns * itemsize)
    buffer = max(1, min(chunk * per_raw, 1 << max(room, 1).bit_length() - 1))
    top_row = -(-top // read) * read
    top_row += read if top_row // read % 2 == 0 else 0
    numbers = stretches * (2 * row + (2 + prefix) * width)
    numbers += stretches * lanes * buffer * columns if lanes > 1 else 0
    numbers += lanes * top_row if top_shared else 0
    memory = 16 * stretches + numbers * itemsize
    sizes = (stretches, chunk, width, row, buffer, columns, top_shared, top_row, memory)
    return VjpTile(prefix, tile, lanes, *sizes)


def vjp_cut(tile: VjpTile, batch: int, increments: int, processors: int) -> Stretches:
    """Stretches that fill the chip, at most 64 increments long: S is taken back within one."""
    threads = batch * tile.lanes
    wanted = min(-(-512 * processors // threads), -(-increments // 8))
    per_path = max(wanted, -(-increments // 64))
    steps = -(-increments // per_path)
    steps = -(-steps // tile.chunk) * tile.chunk
    return Stretches(-(-increments // steps), steps, 1)


@dataclass(frozen=True)
class _Ends:
    """S and A = dF/dS at the ends of stretches, to degree - 1 (``signature_scan.cu``).

    Attributes
    ----------
    parts, suffix : signatures of the stretches, products of those behind
    prefix, adjoint : S and A behind every stretch; None for a single one
    edges : derivatives of the first and the last raw increment of every stretch
    """

    stretches: Stretches
    parts: Any
    suffix: Any
    prefix: Any
    adjoint: Any
    edges: Any

    @classmethod
    def of(cls, call: Call, batch: int, stretches: Stretches) -> _Ends:
        """Allocate for `batch` paths."""
        shape = (batch, stretches.per_path, call.words(call.degree - 1))
        parts = call.gpu.scratch(shape)
        suffix, prefix, adjoint = (
            [call.gpu.scratch(shape) for _ in range(3)] if stretches.per_path > 1 else [None] * 3
        )
        edges = call.gpu.scratch((batch, stretches.per_path, 2, call.augmentation.dimension))
        return cls(stretches, parts, suffix, prefix, adjoint, edges)

    def find(self, call: Call, grad: Any, path: Any) -> tuple[Any, Any, int]:
        """Compute S and A; their pointers, and the row of A."""
        batch, per_path = call.batch, self.stretches.per_path
        low = call.words(call.degree - 1)
        _walk(call, path, self.parts, call.degree - 1, self.stretches, low, 0)
        if per_path == 1:
            return self.parts, grad, call.row
        prefix, suffix = self._products(call)
        longest = call.augmentation.channels ** (call.degree - 1)
        threads = batch * -(-per_path // _GROUP) * (low - longest + -(-longest // 32)) * 32
        args = (grad, suffix, self.adjoint, batch, per_path, call.row)
        _flat(call.gpu, _scan_source(call), "scan_adjoint", threads, args)
        return prefix, self.adjoint, low

    def _products(self, call: Call) -> tuple[Any, Any]:
        """Prefixes and suffixes: in one pass, or in groups where that would leave the chip idle."""
        gpu, batch, per_path = call.gpu, call.batch, self.stretches.per_path
        low, source = call.words(call.degree - 1), _scan_source(call)
        blocks = -(-(call.augmentation.channels ** (call.degree - 1)) // _BLOCK)

        def scan(arrays: tuple[Any, ...], total: int, groups: int, size: int) -> None:
            threads = 2 * batch * groups * blocks * _BLOCK
            _flat(gpu, source, "scan_products", threads, (*arrays, batch, total, groups, size))

        if per_path <= _RADIX or 2 * batch * blocks >= gpu.processors:
            scan((self.parts, self.prefix, self.suffix, None), per_path, 1, per_path)
            return self.prefix, self.suffix
        size = math.isqrt(per_path - 1) + 1
        groups = -(-per_path // size)
        totals, group_prefix, group_suffix = (gpu.scratch((batch, groups, low)) for _ in range(3))
        scan((self.parts, self.prefix, self.suffix, totals), per_path, groups, size)
        scan((totals, group_prefix, group_suffix, None), groups, 1, groups)
        # nobody reads `parts` any more
        whole = (self.parts, gpu.scratch((batch, per_path, low)))
        arrays = (self.prefix, self.suffix, group_prefix, group_suffix, *whole)
        args = (*arrays, batch, per_path, groups, size)
        _flat(gpu, source, "scan_combine", 2 * batch * per_path * low, args)
        return whole

    def write(self, call: Call, dpath: Any) -> None:
        """The points where stretches meet."""
        per_path, steps, _ = self.stretches
        dimension = call.augmentation.dimension
        args = (self.edges, dpath, call.batch, call.length, dimension, per_path, steps)
        threads = call.batch * (per_path + 1) * dimension
        _flat(call.gpu, _scan_source(call), "scan_edges", threads, args)


def _scan_source(call: Call) -> Any:
    channels = call.augmentation.channels
    return call.gpu.source("signature_scan.cu", CHANNELS=channels, DEGREE=call.degree)


def _tiles_vjp(call: Call, grad: Any, path: Any, dpath: Any) -> None:
    """``vjp_tile`` over some paths at a time.

    Scratch: `_ROUND` numbers, or what one path takes if that is more: per stretch (at most 64 raw
    increments) 4 signatures to degree - 1 and two points; half as much again for few long paths.
    """
    gpu, augmentation, degree = call.gpu, call.augmentation, call.degree
    tile = vjp_tile_of(augmentation, degree, gpu.itemsize, gpu.shared_memory)
    assert tile is not None
    stretches = vjp_cut(tile, call.batch, call.length - 1, gpu.processors)
    size = stretches.per_path * (4 * call.words(degree - 1) + 2 * augmentation.dimension)
    most = max(1, min(call.batch, _ROUND // size))
    ends = _Ends.of(call, most, stretches)
    for first in range(0, call.batch, most):
        part = dataclasses.replace(call, batch=min(most, call.batch - first))
        at = first * call.length * augmentation.dimension
        part_grad = _at(grad, first * call.row + call.scalar, gpu.itemsize)
        part_path, part_dpath = (_at(x, at, gpu.itemsize) for x in (path, dpath))
        s_and_a = ends.find(part, part_grad, part_path)
        _back(part, tile, stretches, part_path, part_grad, s_and_a, part_dpath, ends.edges)
        ends.write(part, part_dpath)


def _back(
    call: Call,
    tile: VjpTile,
    stretches: Stretches,
    path: Any,
    grad: Any,
    s_and_a: tuple[Any, Any, int],
    dpath: Any,
    edges: Any,
) -> None:
    """``vjp_tile``."""
    gpu, augmentation = call.gpu, call.augmentation
    source = gpu.source(
        "signature_vjp.cu",
        **_macros(augmentation, call.degree),
        **_tile_macros(call, tile, path),
        BUFFER=tile.buffer,
        COLUMNS=tile.columns,
        TOP_SHARED=tile.top_shared,
        TOP_ROW=tile.top_row,
    )
    batch, (per_path, steps, _) = call.batch, stretches
    prefix, adjoint, adjoint_row = s_and_a
    if tile.top_shared:
        blocks = batch * -(-per_path // tile.stretches)
    else:
        blocks = -(-batch * per_path // tile.stretches)
    arrays = (path, grad, prefix, adjoint, dpath, edges)
    args = (*arrays, batch, call.length, per_path, steps, call.row, adjoint_row, call.dt)
    block = (tile.stretches * tile.lanes,)
    gpu.launch(source, "vjp_tile", (blocks,), block, args, tile.memory)


# ---- levels


def _pairs(call: Call, parts: Any, out: Any, count: int) -> None:
    """``levels_pairs``: the products of `count` > 1 signatures each, two at a time."""
    gpu, batch, words = call.gpu, call.batch, call.words(call.degree)
    channels = call.augmentation.channels
    source = gpu.source("signature_levels.cu")
    while count > 1:
        half = -(-count // 2)
        to = out if half == 1 else gpu.scratch((batch, half, words))
        row, scalar = (call.row, call.scalar) if half == 1 else (words, 0)
        args = (parts, to, batch, count, half, words, channels, row, scalar)
        _flat(gpu, source, "levels_pairs", batch * half * words, args)
        parts, count = to, half


@dataclass(frozen=True)
class _Round:
    """Launches of the kernels of levels over some stretches.

    Attributes
    ----------
    count, first, per_path, steps : stretches: how many, from which, of a path, steps of one
    chunk : steps of a chunk
    h, e : H and E of a chunk (E is None without gradient)
    """

    call: Call
    path: Any
    count: int
    first: int
    per_path: int
    steps: int
    chunk: int
    h: Any
    e: Any

    def run(self, name: str, start: int, threads: int, *args: Any) -> None:
        """Launch for the chunk that starts at step `start`, `threads` per stretch."""
        call = self.call
        augmentation = call.augmentation
        shape = (call.length, augmentation.dimension, augmentation.channels)
        geometry = (self.path, *shape, int(augmentation.lead_lag), call.dt)
        where = (self.count, self.first, self.per_path, self.steps, start, self.chunk)
        source = call.gpu.source("signature_levels.cu")
        _flat(call.gpu, source, name, self.count * threads, (*geometry, *where, *args))

    def level(self, array: Any, level: int) -> Any:
        """H or E of a level; None for the empty word."""
        if level == 0:
            return None
        extra = 1 if array is self.e else 0
        return _at(array, _size(self.call, self.chunk, level, extra), self.call.gpu.itemsize)

    def walk(self, start: int, before: Any, before_row: int, behind: Any, behind_row: int) -> None:
        """H of the chunk, and S behind it from S before it, levels below the degree."""
        call, degree, itemsize = self.call, self.call.degree, self.call.gpu.itemsize
        for level in range(1, degree):
            words, at = call.augmentation.channels**level, call.words(level - 1)
            s = (_at(before, at, itemsize), before_row, _at(behind, at, itemsize), behind_row)
            h = (self.level(self.h, level - 1), self.level(self.h, level))
            size = _size(call, self.chunk, degree, 0)
            self.run("levels_walk", start, words, *s, *h, size, words, degree - level)

    def back(
        self, start: int, grad: Any, behind: tuple[Any, int], before: Any, dz: Any, slices: int
    ) -> None:
        """E and dz of the chunk, and dF/dS before it from dF/dS `behind` it (pointer and row)."""
        call, degree, itemsize = self.call, self.call.degree, self.call.gpu.itemsize
        channels, low = call.augmentation.channels, call.words(degree - 1)
        h_size, e_size = (_size(call, self.chunk, degree, k) for k in (0, 1))
        for level in range(degree, 0, -1):
            words, parents, planes = channels**level, channels ** (level - 1), degree - level
            at = call.words(level - 1)
            if level == degree:
                here = (_at(grad, call.scalar + at, itemsize), call.row, 0)
            else:
                here = (self.level(self.e, level), e_size, words)
                edges = (_at(behind[0], at, itemsize), behind[1], _at(before, at, itemsize), low)
                self.run("levels_suffix", start, words, *edges, here[0], e_size, words, planes)
            h_parent = self.level(self.h, level - 1)
            sums = (h_parent, h_size, parents, planes + 1, dz, slices, int(level < degree))
            self.run("levels_dz", start, slices * self.chunk * channels, *here, *sums)
            if level > 1:
                up = (self.level(self.e, level - 1), e_size, parents, planes + 1)
                self.run("levels_lift", start, (planes + 1) * self.chunk * parents, *here, *up)

    def write(self, start: int, dz: Any, slices: int, dpath: Any, edges: Any) -> None:
        """What dz of the chunk makes of dF/dx."""
        points = self.chunk // self.call.augmentation.per_raw + 1
        threads = points * self.call.augmentation.dimension
        self.run("levels_dpath", start, threads, dz, slices, points, dpath, edges)


def _size(call: Call, chunk: int, level: int, extra: int) -> int:
    """Numbers of H (of E: `extra` = 1) of a stretch below `level`."""
    channels = call.augmentation.channels
    return chunk * sum((call.degree - j + extra) * int(channels**j) for j in range(1, level))


#: Numbers of H and E of one round, unless one stretch takes more.
_ROUND = 1 << 26


def _levels(call: Call, path: Any, out: Any) -> None:
    """``levels_walk`` and ``levels_top``.

    Scratch: `_ROUND` numbers, or H of one step of one stretch if that is more; and a signature per
    stretch where paths are cut.
    """
    gpu, degree = call.gpu, call.degree
    channels = call.augmentation.channels
    total = (call.length - 1) * call.augmentation.per_raw
    wanted = 1024 * gpu.processors // (call.batch * channels ** (degree - 1)) + 1
    per_path = max(1, min(wanted, total // 64))
    steps = -(-total // per_path)
    words = call.words(degree)
    to, row = out, call.row
    if per_path > 1:
        to, row = gpu.scratch((call.batch, per_path, words)), words
    step_size = _size(call, 1, degree, 0)
    chunk = max(1, min(steps, 128, _ROUND // step_size))
    most = max(1, _ROUND // (chunk * step_size))
    stretches = call.batch * per_path
    h = gpu.scratch((min(most, stretches), chunk * step_size))
    for first in range(0, stretches, most):
        count = min(most, stretches - first)
        part = _Round(call, path, count, first, per_path, steps, chunk, h, None)
        skip = call.scalar if per_path == 1 else 0
        state = _at(to, first * row + skip, gpu.itemsize)
        top = _at(state, call.words(degree - 1), gpu.itemsize)
        for start in range(0, max(1, steps), chunk):
            part.walk(start, state if start else None, row, state, row)
            h_parent = part.level(h, degree - 1)
            size, power = chunk * step_size, channels**degree
            part.run("levels_top", start, power, top, row, h_parent, size, power)
    if per_path > 1:
        _pairs(call, to, out, per_path)
    elif call.scalar:
        _flat(
            gpu, gpu.source("signature_levels.cu"), "levels_one", call.batch, (out, call.batch, row)
        )


def _levels_vjp(call: Call, grad: Any, path: Any, dpath: Any) -> None:
    """Chunks backwards, one after another, from checkpoints of S at their starts.

    Scratch: `_ROUND` numbers for H, E, checkpoints and dz, or what one path takes with chunks of
    sqrt(steps), if that is more.
    """
    gpu, degree, itemsize = call.gpu, call.degree, call.gpu.itemsize
    per_raw = call.augmentation.per_raw
    total = (call.length - 1) * per_raw
    chunk = max(per_raw, min(max(16, math.isqrt(total) // 2 * 2), total))
    chunks = -(-total // chunk)
    low = call.words(degree - 1)
    slices = _slices(call)
    path_size = _chunk_size(call, chunk) + (chunks + 2) * low
    most = max(1, min(call.batch, _ROUND // path_size))
    scratch = _ChunkScratch.of(call, most, chunk)
    checkpoints = gpu.scratch((chunks + 1, most, low))
    adjoint = gpu.scratch((most, low))
    for first in range(0, call.batch, most):
        count = min(most, call.batch - first)
        part = _Round(call, path, count, first, 1, total, chunk, scratch.h, scratch.e)

        def walk(k: int, part: _Round = part) -> None:
            s = [_at(checkpoints, (k + i) * most * low, itemsize) for i in (0, 1)]
            part.walk(k * chunk, s[0], low, s[1], low)

        for k in range(chunks):
            walk(k)
        behind = (_at(grad, first * call.row + call.scalar, itemsize), call.row)
        for k in reversed(range(chunks)):
            if k < chunks - 1:  # H of the last chunk is still there
                walk(k)
            part.back(k * chunk, grad, behind, adjoint, scratch.dz, slices)
            part.write(k * chunk, scratch.dz, slices, dpath, None)
            behind = (adjoint, low)


def _stretches_vjp(call: Call, grad: Any, path: Any, dpath: Any) -> None:
    """All stretches side by side, from products and adjoints at their ends.

    Scratch: as `_tiles_vjp`, and `_ROUND` numbers for H, E and dz, or those of one stretch.
    """
    low, itemsize = call.words(call.degree - 1), call.gpu.itemsize
    increments = call.length - 1
    per_path = -(-increments // 32)
    steps = -(-increments // per_path)
    per_path = -(-increments // steps)
    ends = _Ends.of(call, call.batch, Stretches(per_path, steps, 1))
    prefix, adjoint, adjoint_row = ends.find(call, _at(grad, call.scalar, itemsize), path)
    chunk, slices = steps * call.augmentation.per_raw, _slices(call)
    stretches = call.batch * per_path
    most = max(1, min(stretches, _ROUND // _chunk_size(call, chunk)))
    scratch = _ChunkScratch.of(call, most, chunk)
    for first in range(0, stretches, most):
        count = min(most, stretches - first)
        part = _Round(call, path, count, first, per_path, chunk, chunk, scratch.h, scratch.e)
        before = _at(prefix, (first - 1) * low, itemsize)  # not read where a path starts
        part.walk(0, before, low, None, low)
        behind = (_at(adjoint, first * adjoint_row, itemsize), adjoint_row)
        part.back(0, grad, behind, None, scratch.dz, slices)
        part.write(0, scratch.dz, slices, dpath, ends.edges)
    ends.write(call, dpath)


def _slices(call: Call) -> int:
    """Slices in which dz is summed."""
    return min(64, -(-int(call.augmentation.channels ** (call.degree - 1)) // 64))


def _chunk_size(call: Call, chunk: int) -> int:
    """Numbers of H, E and dz of a chunk."""
    sizes = _size(call, chunk, call.degree, 0) + _size(call, chunk, call.degree, 1)
    return sizes + _slices(call) * chunk * call.augmentation.channels


class _ChunkScratch(NamedTuple):
    """H, E and dz of a chunk of some stretches."""

    h: Any
    e: Any
    dz: Any

    @classmethod
    def of(cls, call: Call, stretches: int, chunk: int) -> _ChunkScratch:
        """Allocate."""
        h, e = (call.gpu.scratch((stretches, _size(call, chunk, call.degree, k))) for k in (0, 1))
        channels = call.augmentation.channels
        return cls(h, e, call.gpu.scratch((stretches, _slices(call), chunk, channels)))
