"""Loads libentrol, and turns what its calls return into exceptions."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Mapping

import numpy as np

from . import _bindings as c

#: Arguments that have another name in Python than in C.
PYTHON_NAMES = {"lambda": "lambda_", "forecasts": "forecast_at"}

#: What is said where a mask leaves nothing, by the library's reason.
NOTHING_COUNTS = {c.Reason.EMPTY_SUPPORT: "mask: no token counts"}

#: What an argument has to be, by its name in C: said where a call refuses it.
EXPECTED = {
    "temperature": "a number from 1e-6 to 1e6",
    "renyi_order": "0, infinity, or a number from 1e-6 to 1e6",
    "threshold": "a number from 0 to 1",
    "q": "numbers from 0 to 1",
    "n_top": f"a number from 0 to {c.MAX_TOP}",
    "support_parameter": "p or f from 0 to 1, or k, a whole number from 1",
    "gamma": "a number from 0 to 1",
    "forecast_at": "entropies below 350 nats",
    "lambda_": "a number from 0 to 1",
    "epsilon": "a number that is not negative",
    "tolerance": "a number from 0 to below 1",
    "soft_cap": "0 for none, or a number from 1e-6 to 1e6",
    "settings": "names of the parameters that there are",
    "n_columns": "at least one column",
    "low": "finite bounds of the actions, the low one below the high one",
    "log_sigma_low": "bounds of ln sigma, the low one not above the high one",
    "actions_are_before_squash": "a policy of the kind squashed-gaussian",
    "counts": "numbers of at most the columns that were recorded",
    "final_values": "an array, for the episodes that were truncated",
    "sequence_starts": "numbers that rise from 0 to the number of tokens",
    "tokens": "numbers that rise from 0 or later, no two the same",
    "n_threads": "a number of threads from 0 (as many as there are processors)",
}


class Error(Exception):
    """What libentrol could not do. Its subclasses are also Python's own exceptions of that kind."""


class ArgumentError(Error, ValueError):
    """An argument is out of its domain; `argument` is its name."""

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class DataError(Error, ValueError):
    """A value makes the one result of the call meaningless; `diagnosis` names its row."""

    def __init__(self, message: str, diagnosis: Diagnosis) -> None:
        super().__init__(message)
        self.diagnosis = diagnosis

    def __reduce__(self) -> tuple[type[DataError], tuple[str, Diagnosis]]:
        """An error of another process is raised again from its arguments."""
        return type(self), (str(self), self.diagnosis)


class UnsupportedError(Error, NotImplementedError):
    """This build, this machine or this context cannot do it."""


class CommunicationError(Error, RuntimeError):
    """The ranks could not be reached, or another rank's call failed."""


class SystemCallError(Error, OSError):
    """The operating system refused a thread, or a stream could not be read."""


class Diagnosis:
    """Which rows were in trouble: `n_bad` of them, the first `first_row` at `first_column`, because of `reason`
    (as "NaN"), all 0 and None where none was."""

    def __init__(self, raw: c.Diagnosis) -> None:
        self.n_bad: int = raw.n_bad
        self.first_row: int = raw.first_row
        self.first_column: int = raw.first_column
        self.code: c.Reason = c.Reason(raw.reason)
        self.reason: str | None = library.entrol_reason_string(raw.reason).decode() if raw.n_bad else None

    def __bool__(self) -> bool:
        return self.n_bad > 0

    def __repr__(self) -> str:
        if not self:
            return "Diagnosis(no row in trouble)"
        return (
            f"Diagnosis({self.n_bad} in trouble, first row {self.first_row}, column {self.first_column}: {self.reason})"
        )


def _path() -> str:
    named = os.environ.get("ENTROL_LIBRARY")
    if named:
        return named
    # Of an editable install the package is two folders: the sources, and what was built from them.
    paths = [os.path.join(folder, "lib", "libentrol.so") for folder in sys.modules[__package__].__path__]
    return next(filter(os.path.exists, paths), paths[0])


def _load() -> ctypes.CDLL:
    path = _path()
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"entrol: cannot load its library {path}: {error}. `pip install .` in Entrol's folder builds it; "
            "ENTROL_LIBRARY names another one"
        ) from error
    for name, (result, arguments) in c.PROTOTYPES.items():
        try:
            function = getattr(loaded, name)
        except AttributeError as error:
            raise ImportError(f"entrol: {path} has no {name}: it is of another version than the package") from error
        function.restype, function.argtypes = result, arguments
    return loaded


library = _load()
__version__: str = library.entrol_version().decode()
if __version__.split(".")[:2] != [str(c.VERSION_MAJOR), str(c.VERSION_MINOR)]:
    raise ImportError(f"entrol: {_path()} is version {__version__}, the package {c.VERSION_MAJOR}.{c.VERSION_MINOR}")


def raise_error(
    status: int, diagnosis: c.Diagnosis | None, given: Mapping[str, object], reasons: Mapping[int, str]
) -> None:
    """Raises what a negative status stands for. `given`: arguments by name, for what is said: numbers that C may
    refuse, arrays that may hold what is in trouble. reasons: what to say for some reasons instead."""
    words = library.entrol_status_string(status).decode()
    if status == c.Status.ERROR_ARGUMENT:
        # Of an options struct it is as "options.temperature".
        name = diagnosis.argument.decode().rsplit(".", 1)[-1] if diagnosis is not None and diagnosis.argument else None
        name = PYTHON_NAMES.get(name, name)
        raise ArgumentError(_about(name, words, given), name)
    if status == c.Status.ERROR_DATA and diagnosis is not None:
        raise data_error(Diagnosis(diagnosis), given, reasons)
    kinds = {
        c.Status.ERROR_MEMORY: MemoryError,
        c.Status.ERROR_OVERFLOW: OverflowError,
        c.Status.ERROR_UNSUPPORTED: UnsupportedError,
        c.Status.ERROR_COMMUNICATION: CommunicationError,
        c.Status.ERROR_ENVIRONMENT: ArgumentError,
        c.Status.ERROR_SYSTEM: SystemCallError,
        c.Status.ERROR_READ: SystemCallError,
    }
    raise kinds.get(c.Status(status), Error)(words)


def data_error(told: Diagnosis, given: Mapping[str, object], reasons: Mapping[int, str] | None = None) -> DataError:
    """Names the arrays that are not finite at the place of the trouble, else all, and the place by its index in their
    shape."""
    if reasons and told.code in reasons:
        message = reasons[told.code]
        told.reason = message.partition(": ")[2]
        return DataError(message, told)
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    at = told.first_row
    blamed = [name for name, array in arrays.items() if at < array.size and not np.isfinite(array.flat[at])]
    names = f"{', '.join(blamed or arrays)}: " if arrays else ""
    shape = arrays[(blamed or list(arrays))[0]].shape if arrays else ()
    is_inside = shape and at < math.prod(shape)
    place = [int(i) for i in np.unravel_index(at, shape)] if is_inside else at
    return DataError(f"{names}{told.reason} at {place} ({told.n_bad} in trouble)", told)


def _about(name: str | None, words: str, given: Mapping[str, object]) -> str:
    if name is None:
        return words
    value = f" = {given[name]!r}" if name in given and isinstance(given[name], (int, float, str)) else ""
    expected = f": expected {EXPECTED[name]}" if name in EXPECTED else " is out of its domain"
    return f"{name}{value}{expected}"


def check(
    status: int,
    diagnosis: c.Diagnosis | None = None,
    reasons: Mapping[int, str] | None = None,
    **given: object,
) -> None:
    """Raises unless the status is OK."""
    if status != 0:
        raise_error(status, diagnosis, given, reasons or {})
