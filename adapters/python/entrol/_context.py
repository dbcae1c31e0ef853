"""Contexts: the threads, the instruction sets, the ranks and the matrix product that calls use."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from . import _bindings as c
from ._arguments import choice, whole
from ._arrays import over_memory
from ._library import ArgumentError, UnsupportedError, check, library

MAX_THREADS = 1024
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
"""Computes one product of float32 matrices, as entrol_gemm_operands describes it, on the calling thread: several
threads call it at once. gemm_arrays() has the matrices as arrays. What it raises, the call raises."""


def gemm_arrays(operands: c.GemmOperands) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c (m, n), a (m, k) and b (k, n) of a product, as they lie in memory, transposed where they are to be: c = a @ b,
    or where operands.add is set c += a @ b. c is written in place, and only while the product is computed.

    >>> def gemm(operands):
    ...     c, a, b = entrol.gemm_arrays(operands)
    ...     c[...] = c + a @ b if operands.add else a @ b
    """
    o = operands
    return (
        _operand(o.c, o.c_stride, o.m, o.n, 0),
        _operand(o.a, o.a_stride, *((o.k, o.m) if o.a_transposed else (o.m, o.k)), o.a_transposed),
        _operand(o.b, o.b_stride, *((o.n, o.k) if o.b_transposed else (o.k, o.n)), o.b_transposed),
    )


def _operand(data: int, stride: int, n_rows: int, n_columns: int, is_transposed: int) -> np.ndarray:
    array = over_memory(data, (n_rows, n_columns), (stride * 4, 4), "<f4")
    return array if not is_transposed else array.T


class _Here(threading.local):
    """The contexts whose calls, or callbacks of these, the thread is in."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []


_here = _Here()


class Context:
    """What calls run in (entrol_context). Calls from several Python threads wait for each other; use one each to
    avoid that. A function that a call uses (a comm, a product, the pieces of Bounds) makes its own calls in another
    one: ArgumentError in the same. It survives os.fork().

    threads: 0 for ENTROL_THREADS, else as many as this process may use. cpu: "best", "scalar", "avx2", "avx512",
    "neon". gemm: a matrix product, which the calls of an output layer need (has_gemm). Errors: ArgumentError,
    TypeError; UnsupportedError for a level that this machine lacks."""

    def __init__(self, threads: int = 0, cpu: str = "best", comm: Comm | None = None, gemm: Gemm | None = None) -> None:
        self.comm = comm
        self._asked = threads, cpu
        self._lock = threading.Lock()
        self._callbacks: list[object] = []
        self._failure: BaseException | None = None
        self._handle = ctypes.c_void_p()
        self.has_gemm = gemm is not None
        options = c.ContextOptions(n_threads=whole(threads, "threads", 0, MAX_THREADS), cpu=_level(cpu))
        if comm is not None:
            self._take_comm(options, comm)
        if gemm is not None:
            self._take_gemm(options, gemm)
        status = library.entrol_context_create(ctypes.byref(self._handle), ctypes.byref(options))
        if status == c.Status.ERROR_UNSUPPORTED:
            raise UnsupportedError(f"cpu = {cpu!r}: this machine, or this build of the library, has no such level")
        check(status)
        _contexts.add(self)

    def _take_comm(self, options: c.ContextOptions, comm: Comm) -> None:
        def all_reduce(_user: int, counts: Any, n: int) -> int:
            try:
                comm.all_reduce(np.ctypeslib.as_array(counts, (n,)))
            except BaseException as error:  # it may not pass through C: it is raised when the call has returned
                self._failure = error
                return 1
            return 0

        if not callable(getattr(comm, "all_reduce", None)):
            raise TypeError(f"comm: expected rank, size and all_reduce, got {type(comm).__name__}")
        size = whole(getattr(comm, "size", None), "comm.size", 1)
        rank = whole(getattr(comm, "rank", None), "comm.rank", 0, size - 1)
        raw = c.Comm(rank=rank, size=size, all_reduce=self._keep(_ALL_REDUCE(all_reduce)))
        self._callbacks.append(raw)
        options.comm = ctypes.pointer(raw)

    def _take_gemm(self, options: c.ContextOptions, gemm: Gemm) -> None:
        if not callable(gemm):
            raise TypeError(f"gemm: expected a function of one product's operands, got {type(gemm).__name__}")

        def product(_user: int, operands: Any) -> None:
            if self._failure is None:  # else the call's results are thrown away
                try:
                    with self._entered():
                        gemm(operands.contents)
                except BaseException as error:  # as in all_reduce
                    self._failure = error

        options.gemm = self._keep(_GEMM(product))

    def _keep(self, callback: Any) -> int | None:
        self._callbacks.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value

    def call(
        self,
        name: str,
        *arguments: object,
        diagnosis: c.Diagnosis | None = None,
        reasons: Mapping[int, str] | None = None,
        **given: object,
    ) -> None:
        """Calls entrol_NAME(context, ...) and raises what it refuses. `given`: arguments by name, for the message;
        reasons: what it says for some of the library's reasons."""
        if self in _here.contexts:
            raise ArgumentError(
                "context: its own call is waiting for this one, from a function that it uses: give one of the two a "
                "context of its own, entrol.Context()",
                "context",
            )
        with self._lock, self._entered():
            status = getattr(library, f"entrol_{name}")(self._handle, *arguments)
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        check(status, diagnosis, reasons, **given)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        contexts = _here.contexts
        contexts.append(self)
        try:
            yield
        finally:
            contexts.pop()

    @property
    def cpu(self) -> str:
        """The level in use."""
        return library.entrol_cpu_name(library.entrol_context_cpu(self._handle)).decode()

    @property
    def threads(self) -> int:
        return library.entrol_context_n_threads(self._handle)

    def __reduce__(self) -> tuple[type[Context], tuple[int, str]]:
        """Copies and pickles ask for the same threads and level. Error: TypeError for a comm or a product."""
        for name, is_there in (("comm", self.comm is not None), ("gemm", self.has_gemm)):
            if is_there:
                raise TypeError(f"{name}: a context that has one cannot be copied or pickled")
        return type(self), self._asked

    def __repr__(self) -> str:
        ranks = f", rank {self.comm.rank} of {self.comm.size}" if self.comm is not None else ""
        return f"Context(threads={self.threads}, cpu={self.cpu!r}{ranks})"

    _destroy = library.entrol_context_destroy  # `library` may be gone when the interpreter ends

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._destroy(self._handle)
            self._handle = None


def _level(cpu: str) -> int:
    return choice(cpu, "cpu", {library.entrol_cpu_name(level).decode(): level for level in c.Cpu})


_contexts: weakref.WeakSet[Context] = weakref.WeakSet()


def _after_fork() -> None:
    """A lock that another thread of the parent held is nobody's in the child, and no call of the parent waits there."""
    global _default_lock
    _here.contexts = []
    _default_lock = threading.Lock()
    for context in _contexts:
        context._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def context_of(context: Context | None) -> Context:
    """The context of a call: the one that was given, or the default one. Error: TypeError."""
    if context is None:
        return default_context()
    if not isinstance(context, Context):
        raise TypeError(f"context: expected an entrol.Context, got {type(context).__name__}")
    return context


_default: Context | None = None
_default_lock = threading.Lock()


def default_context() -> Context:
    """The context of calls that are given none: made at the first of them."""
    global _default
    if _default is None:
        with _default_lock:
            _default = _default or Context()
    return _default
