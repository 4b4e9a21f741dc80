"""Tables that functions walk: made before they are needed, kept on disk, dropped."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from ._core import check, dispatch, lie, store, tables, trees
from ._core.docs import documented
from ._core.trees import chosen_key, prepare_chosen
from .branched import algebra, chosen_trees, countable
from .branched_logsignature import checked_format
from .logsignature import channels_of, checked_method
from .words import tensor_length

__all__ = [
    "clear_cache",
    "prepare_branched_log_sig",
    "prepare_branched_sig",
    "prepare_branched_sig_coef",
    "prepare_log_sig",
    "set_cache_dir",
]

_ALL = lie.COEFFICIENTS, lie.COORDINATES, lie.SOLVE, lie.EXPAND
#: The matrices of each method.
_KINDS = (), (lie.COEFFICIENTS, lie.SOLVE, lie.EXPAND), _ALL, _ALL


@documented
def prepare_log_sig(
    dimension: int,
    degree: int,
    method: int = 2,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    use_disk: bool = False,
) -> None:
    """Make the tables of log-signatures, so that the first call does not wait for them.

    Nothing needs this function: what is missing is made when it is needed.

    Parameters
    ----------
    {dimension}
    {degree}
    method : int, default 2
        The format of log-signatures: 0 has no tables, 1 those of Lyndon words and of the way back
        to signatures; 2 and 3 have all, those of method 1 among them.
    {augmented}
    {use_disk}

    Returns
    -------
    None
        The tables stay in memory.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the words.
    MemoryError
        If a table is larger than the memory of the machine.

    Warns
    -----
    RuntimeWarning
        If the file can not be written. Tables are in memory all the same.

    See Also
    --------
    set_cache_dir : where files are
    clear_cache : gives memory and files back

    Notes
    -----
    Tables are for a number of channels, after augmentation, and a degree; `log_sig`,
    `sig_to_log_sig`, `logsig_to_sig`, `log_sig_combine`, `log_sig_join` and their gradients share
    them. They stay in memory at least while no more than eight pairs are in use; `clear_cache`
    drops all. Threads that need the same table wait for the one that makes it.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.prepare_log_sig(3, 5)
    >>> arraysig.prepare_log_sig(2, 4, method=1, time_aug=True)
    """
    name = "prepare_log_sig"
    channels = channels_of(name, dimension, degree, time_aug, lead_lag)
    method = checked_method(name, method)
    use_disk = check.flag(name, "use_disk", use_disk)
    kinds = _KINDS[method] if degree else ()
    if kinds:
        check.table_bytes(name, "degree", degree, 8 * tensor_length(channels, degree))
    _report(name, lie.prepare(kinds, channels, int(degree), use_disk))


def _report(name: str, failure: OSError | None) -> None:
    """Warn of what prevented that tables are on disk."""
    if failure is not None:
        warnings.warn(
            f"{name}: tables can not be kept on disk: {failure}", RuntimeWarning, stacklevel=3
        )


@documented
def prepare_branched_sig(
    dimension: int,
    degree: int,
    *,
    use_disk: bool = False,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
) -> None:
    """Make the tables of branched signatures, so that the first call does not wait for them.

    Nothing needs this function: what is missing is made when it is needed.

    Parameters
    ----------
    {dimension}
    {degree}
    {use_disk}
    {augmented}
    {planar}

    Returns
    -------
    None
        The tables stay in memory.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the trees.
    MemoryError
        If tables are larger than the memory of the machine.

    Warns
    -----
    RuntimeWarning
        If the file can not be written. Tables are in memory all the same.

    See Also
    --------
    prepare_branched_log_sig : those of branched log-signatures, too
    clear_cache : gives memory and files back

    Notes
    -----
    They stay at least while no more than eight sizes are in use; `clear_cache` drops all.
    `branched_sig` without a correction, `branched_sig_combine`, `branched_sig_join`,
    `linear_branched_sig`, logarithms and all their gradients share them.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.prepare_branched_sig(3, 4)
    >>> arraysig.prepare_branched_sig(2, 4, time_aug=True, planar=True)
    """
    name = "prepare_branched_sig"
    of = algebra(name, dimension, degree, planar, 1, time_aug, lead_lag)
    use_disk = check.flag(name, "use_disk", use_disk)
    _report(name, trees.prepare(*of[:3], use_disk))


@documented
def prepare_branched_log_sig(
    dimension: int,
    degree: int,
    method: int | None = None,
    *,
    use_disk: bool = False,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
) -> None:
    """Make the tables of branched log-signatures, and those of branched signatures.

    Nothing needs this function: what is missing is made when it is needed.

    Parameters
    ----------
    {dimension}
    {degree}
    {branched_method}
    {use_disk}
    {augmented}
    {planar}

    Returns
    -------
    None
        The tables stay in memory.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the trees.
    MemoryError
        If tables are larger than the memory of the machine.

    Warns
    -----
    RuntimeWarning
        If a file can not be written. Tables are in memory all the same.

    See Also
    --------
    prepare_branched_sig : those of branched signatures alone

    Examples
    --------
    >>> import arraysig
    >>> arraysig.prepare_branched_log_sig(2, 4, 2, planar=True)
    """
    name = "prepare_branched_log_sig"
    of = algebra(name, dimension, degree, planar, 1, time_aug, lead_lag)
    method = checked_format(name, method, of.planar)
    use_disk = check.flag(name, "use_disk", use_disk)
    kinds = (trees.COEFFICIENTS, trees.COORDINATES, trees.EXPAND)[: (0, 1, 3)[method]]
    _report(name, trees.prepare(*of[:3], use_disk, True, kinds))


@documented
def prepare_branched_sig_coef(
    dimension: int,
    trees: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
) -> None:
    """Make the tables of chosen coefficients of branched signatures.

    Nothing needs this function: what is missing is made when it is needed.

    Parameters
    ----------
    {dimension}
    trees : tuple, None, or list of them
        One tree, or several in a list, as for `branched_sig_coef`; tables are for these in this
        order, and without a correction.
    {augmented}
    {planar}

    Returns
    -------
    None
        The tables stay in memory. They are never on disk: to read them would take longer than to
        make them.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.prepare_branched_sig_coef(2, [((0,), 1), ((0,), (1,), 0)])
    """
    name = "prepare_branched_sig_coef"
    dimension = check.positive_int(name, "dimension", dimension)
    flags = [
        check.flag(name, flag, value)
        for flag, value in {"time_aug": time_aug, "lead_lag": lead_lag, "planar": planar}.items()
    ]
    forests, channels = chosen_trees(name, trees, dimension, *flags)
    countable(name, forests, flags[-1])
    prepare_chosen(chosen_key(forests, channels, flags[-1], 1, False))


@documented
def set_cache_dir(dir: str | os.PathLike[str] | None) -> None:
    """Set where tables are kept on disk, for this process.

    Parameters
    ----------
    dir : str, os.PathLike or None
        A folder that exists. Files are in its subfolder ``arraysig``, which is made on demand. None
        is the folder of the user's caches: ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux,
        ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.

    Returns
    -------
    None
        Files that are elsewhere stay there.

    Raises
    ------
    TypeError
        If `dir` is no path.
    ValueError
        If `dir` is not a folder that exists.

    See Also
    --------
    prepare_log_sig : reads and writes the files, if asked to

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> import arraysig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     arraysig.set_cache_dir(folder)
    ...     arraysig.prepare_log_sig(2, 5, use_disk=True)
    ...     os.listdir(os.path.join(folder, "arraysig"))
    ['lyndon-2-5.v1']
    >>> arraysig.set_cache_dir(None)
    """
    if dir is None:
        store.use(None)
        return
    path: Any = None
    if isinstance(dir, str | os.PathLike):
        path = os.fspath(dir)
    if not isinstance(path, str):
        raise TypeError(f"set_cache_dir: `dir` must be a string, a path or None, got {dir!r}")
    if not os.path.isdir(path):
        raise ValueError(f"set_cache_dir: `dir` must be a folder that exists, got {dir!r}")
    store.use(Path(path).absolute())


@documented
def clear_cache(*, use_disk: bool = False) -> None:
    """Drop the tables that are in memory, and on demand the files of tables.

    What is needed later is made again.

    Parameters
    ----------
    use_disk : bool, default False
        Also delete our files in the folder that `set_cache_dir` set, and their folder if nothing
        else is in it.

    Returns
    -------
    None
        Memory is given back once calls that are under way have ended. Copies that GPUs have stay.

    Raises
    ------
    TypeError
        If `use_disk` is not a bool.
    OSError
        If a file can not be deleted.

    See Also
    --------
    prepare_log_sig : makes tables before they are needed

    Examples
    --------
    >>> import arraysig
    >>> arraysig.prepare_log_sig(2, 6)
    >>> arraysig.clear_cache()
    """
    use_disk = check.flag("clear_cache", "use_disk", use_disk)
    dispatch.planned.cache_clear()  # plans hold tables
    lie.forget()
    trees.forget()
    tables.prefixes.cache_clear()
    if use_disk:
        store.delete()
