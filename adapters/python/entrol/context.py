"""Contexts: the threads, the instruction sets, the ranks and the matrix product that calls use."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from . import _bindings as c
from ._library import check, library

_ALL_REDUCE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t)
_GEMM = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(c.GemmOperands))


class Comm(Protocol):
    """Ranks that work together. Every rank makes the same calls, in the same order."""

    rank: int
    size: int

    def all_reduce(self, counts: np.ndarray) -> None:
        """Adds up counts (uint64, one dimension, modulo 2^64) over all ranks, in place. What it raises, the call
        raises."""


Gemm = Callable[[c.GemmOperands], None]
"""Computes one product of float32 matrices, as entrol_gemm_operands describes it, on the calling thread."""


class Context:
    """What calls run in (entrol_context). Calls from several Python threads wait for each other; use one each to
    avoid that. It survives os.fork().

    threads: 0 for ENTROL_THREADS, else as many as this process may use. cpu: "best", "scalar", "avx2", "avx512",
    "neon". Errors: ArgumentError, UnsupportedError (a level that this machine lacks)."""

    def __init__(self, threads: int = 0, cpu: str = "best", comm: Comm | None = None, gemm: Gemm | None = None) -> None:
        self.comm = comm
        self._lock = threading.Lock()
        self._callbacks: list[object] = []
        self._failure: BaseException | None = None
        self._handle = ctypes.c_void_p()
        options = c.ContextOptions(n_threads=_threads(threads), cpu=_level(cpu))
        if comm is not None:
            self._take_comm(options, comm)
        if gemm is not None:
            self._take_gemm(options, gemm)
        check(
            library.entrol_context_create(ctypes.byref(self._handle), ctypes.byref(options)), n_threads=threads, cpu=cpu
        )
        _contexts.add(self)

    def _take_comm(self, options: c.ContextOptions, comm: Comm) -> None:
        def all_reduce(_user: int, counts: Any, n: int) -> int:
            try:
                comm.all_reduce(np.ctypeslib.as_array(counts, (n,)))
            except BaseException as error:  # it may not pass through C: it is raised when the call has returned
                self._failure = error
                return 1
            return 0

        raw = c.Comm(rank=comm.rank, size=comm.size, all_reduce=self._keep(_ALL_REDUCE(all_reduce)))
        self._callbacks.append(raw)
        options.comm = ctypes.pointer(raw)

    def _take_gemm(self, options: c.ContextOptions, gemm: Gemm) -> None:
        def product(_user: int, operands: Any) -> None:
            gemm(operands.contents)

        options.gemm = self._keep(_GEMM(product))

    def _keep(self, callback: Any) -> int | None:
        self._callbacks.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value

    def call(self, name: str, *arguments: object, diagnosis: c.Diagnosis | None = None, **given: object) -> None:
        """Calls entrol_NAME(context, ...) and raises what it refuses. `given`: arguments by name, for the message."""
        with self._lock:
            status = getattr(library, f"entrol_{name}")(self._handle, *arguments)
            failure, self._failure = self._failure, None
        if failure is not None and status != 0:
            raise failure
        check(status, diagnosis, **given)

    @property
    def cpu(self) -> str:
        """The level in use."""
        return library.entrol_cpu_name(library.entrol_context_cpu(self._handle)).decode()

    @property
    def threads(self) -> int:
        return library.entrol_context_n_threads(self._handle)

    def __repr__(self) -> str:
        ranks = f", rank {self.comm.rank} of {self.comm.size}" if self.comm is not None else ""
        return f"Context(threads={self.threads}, cpu={self.cpu!r}{ranks})"

    _destroy = library.entrol_context_destroy  # `library` may be gone when the interpreter ends

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._destroy(self._handle)
            self._handle = None


def _threads(threads: object) -> int:
    if not isinstance(threads, int) or not 0 <= threads < 1 << 16:
        raise ValueError(f"threads: expected a whole number from 0 to 65535, got {threads!r}")
    return threads


def _level(cpu: str) -> int:
    names = {library.entrol_cpu_name(level).decode(): level for level in c.Cpu}
    if cpu not in names:
        raise ValueError(f"cpu: expected one of {', '.join(names)}, got {cpu!r}")
    return names[cpu]


_contexts: weakref.WeakSet[Context] = weakref.WeakSet()


def _after_fork() -> None:
    """A lock that another thread of the parent held is nobody's in the child."""
    for context in _contexts:
        context._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)

_default: Context | None = None
_default_lock = threading.Lock()


def default_context() -> Context:
    """The context of calls that are given none: made at the first of them."""
    global _default
    if _default is None:
        with _default_lock:
            _default = _default or Context()
    return _default
