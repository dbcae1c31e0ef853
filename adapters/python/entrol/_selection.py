"""Which tokens or samples to keep: quantiles, rules, and the masks that they make (include/entrol/select.h)."""

from __future__ import annotations

import ctypes
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import MAX_UINT64, choice, number, whole
from ._arguments import text as encoded
from ._arrays import address, marks, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, SystemCallError, data_error, library
from ._registry import Table


@cache
def _methods() -> dict[str, c.QuantileMethod]:
    return {library.entrol_quantile_method_name(i).decode(): i for i in c.QuantileMethod}


def _quantile_options(method: str, nan: str) -> c.QuantileOptions:
    return c.QuantileOptions(method=choice(method, "method", _methods()), nan=choice(nan, "nan", c.NanPolicy))


def _values(
    values: Any, valid: Any, names: tuple[str, str] = ("values", "valid")
) -> tuple[np.ndarray, np.ndarray | None]:
    numbers = vector(values, names[0], np.float32)
    return numbers, marks(valid, names[1], numbers.shape)


def _refuse(diagnosis: c.Diagnosis, **given: np.ndarray) -> None:
    told = Diagnosis(diagnosis)
    if told:
        raise data_error(told, given)


def quantile(
    values: Any,
    q: Any,
    *,
    valid: Any = None,
    method: str = "linear",
    nan: str = "error",
    context: Context | None = None,
) -> np.ndarray:
    """The quantiles of values at q, exactly (entrol_quantile), float64 of q's shape.

    values: numbers of any shape, read as float32. valid: which of them count, of the same shape. method: NumPy's names,
    or "torch" and "torch_f32_rank" (torch.quantile's of float32). nan: "error", "ignore", "propagate". With a context
    that has a comm, of all ranks' values together. NaN where no value counts. Errors: ArgumentError; DataError for a
    NaN."""
    numbers, counts = _values(values, valid)
    at, diagnosis = vector(q, "q", np.float64), c.Diagnosis()
    result = np.empty(at.shape)
    options = _quantile_options(method, nan)
    context_of(context).call(
        "quantile",
        address(result),
        ctypes.byref(diagnosis),
        address(numbers),
        address(counts),
        numbers.size,
        address(at),
        at.size,
        ctypes.byref(options),
        diagnosis=diagnosis,
    )
    if diagnosis.reason != c.Reason.EMPTY_SUPPORT:
        _refuse(diagnosis, values=numbers)
    return result


@dataclass
class Selection:
    """What a rule did: `keep` (bool, of the values' shape), how many of those that count were kept, how many equal a
    threshold, and the thresholds: values kept lie from the low to the high one. With a comm the counts are those of all
    ranks. keep is None where what is kept was given out piece by piece, or written to a file."""

    keep: np.ndarray | None
    n_valid: int
    n_kept: int
    n_ties: int
    threshold_low: float
    threshold_high: float


def _selection(keep: np.ndarray | None, raw: c.Selection) -> Selection:
    return Selection(
        None if keep is None else keep.view(bool),
        raw.n_valid,
        raw.n_kept,
        raw.n_ties,
        raw.threshold_low,
        raw.threshold_high,
    )


class Rule(c.Rule):
    """A rule that was read, as C has it."""

    text: str = ""

    def __repr__(self) -> str:
        return f"Rule({self.text!r})"


def rule_parse(rule: str) -> Rule:
    """A rule as people write it: "low:80%", "high:1000", "high:=20%", "..2.5", "p5..p95" (entrol_rule_parse). Error:
    ArgumentError, which shows the place."""
    parsed, n_read = Rule(), ctypes.c_size_t()
    if library.entrol_rule_parse(ctypes.byref(parsed), ctypes.byref(n_read), encoded(rule, "rule")) != 0:
        raise ArgumentError(
            f"rule: cannot read {rule!r} from character {n_read.value + 1} on; "
            'rules are as "low:80%", "high:1000", "..2.5", "p5..p95"',
            "rule",
        )
    parsed.text = rule
    return parsed


def _seeded(rule: str, tie_seed: int) -> Rule:
    parsed = rule_parse(rule)
    parsed.tie_seed = whole(tie_seed, "tie_seed", 0, MAX_UINT64)
    return parsed


def recipe_of(value: Any, argument: str) -> Recipe | None:
    """The recipe of that name, None of a rule. Errors: TypeError; ArgumentError for what is neither."""
    if not isinstance(value, str):
        raise TypeError(
            f'{argument}: expected a rule, as "low:80%", or the name of a recipe, got {type(value).__name__}'
        )
    recipe = recipes().get(value)
    if recipe is None:
        try:
            rule_parse(value)
        except ArgumentError as error:
            near = difflib.get_close_matches(value, recipes(), 3, 0.5)
            names = f"nearest are {', '.join(near)}" if near else f"there are {', '.join(recipes())}"
            text = str(error).removeprefix("rule: ")
            raise ArgumentError(
                f"{argument}: {value!r} is neither a recipe ({names}) nor a rule: {text}", argument
            ) from None
    return recipe


def select(
    values: Any,
    rule: str,
    *,
    valid: Any = None,
    method: str = "linear",
    nan: str = "error",
    tie_seed: int = 0,
    context: Context | None = None,
) -> Selection:
    """Keeps the values that a rule names (entrol_select). values, valid, method, nan: as in quantile. tie_seed: where a
    count ends among equal values 0 keeps the earlier ones, another number draws. Errors: ArgumentError; DataError for a
    NaN."""
    numbers, counts = _values(values, valid)
    parsed, options = _seeded(rule, tie_seed), _quantile_options(method, nan)
    keep, raw, diagnosis = np.empty(numbers.shape, np.uint8), c.Selection(), c.Diagnosis()
    context_of(context).call(
        "select",
        address(keep),
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        address(numbers),
        address(counts),
        numbers.size,
        ctypes.byref(parsed),
        ctypes.byref(options),
        diagnosis=diagnosis,
    )
    _refuse(diagnosis, values=numbers)
    return _selection(keep, raw)


_READ = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_size_t),
)


class _Stream:
    """entrol_stream over pieces, which are gone through as often as the library asks."""

    def __init__(self, pieces: Iterable[tuple[Any, Any]]) -> None:
        self._pieces, self._left, self._held = pieces, iter(()), None
        self._is_over = True
        self.failure: BaseException | None = None
        self._callback = _READ(self._read)
        self.raw = c.Stream(read=ctypes.cast(self._callback, ctypes.c_void_p))

    def _next(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        if self._is_over:
            self._left = iter(self._pieces)
        for piece in self._left:
            if not isinstance(piece, (tuple, list)) or len(piece) != 2:
                raise TypeError(f"pieces: expected pairs (values, valid), got {type(piece).__name__}")
            numbers, counts = _values(*piece)
            if numbers.size > 0:
                return numbers, counts
        return None

    def _read(self, _user: int, values: Any, valid: Any, n_values: Any) -> int:
        try:
            self._held = self._next()
        except BaseException as error:  # it may not pass through C: it is raised when the call has returned
            self.failure = error
            return 1
        self._is_over = self._held is None
        numbers, counts = self._held or (np.empty(0, np.float32), None)
        values[0], valid[0], n_values[0] = address(numbers), address(counts), numbers.size
        return 0


def _check_pieces(pieces: Any) -> None:
    try:
        ends = iter(pieces) is pieces
    except TypeError:
        ends = True
    if ends:
        kind = type(pieces).__name__
        raise TypeError(f"pieces: expected what can be gone through several times, as a list; got {kind}")


class Bounds:
    """What a rule comes to for values that lie in pieces, or not in memory at all: exactly what select does with all of
    them in one array, in two passes or a few more (entrol_bounds_of_stream).

    pieces: pairs (values, valid), valid None for all, each as in select; gone through several times, so no iterator
    that ends; what makes them calls Entrol in another context. rule, method, nan, tie_seed: as in select. Then `keep`
    marks the pieces one after the other. Errors: ArgumentError; DataError for a NaN; what going through the pieces
    raises."""

    def __init__(
        self,
        pieces: Iterable[tuple[Any, Any]],
        rule: str,
        *,
        method: str = "linear",
        nan: str = "error",
        tie_seed: int = 0,
        context: Context | None = None,
    ) -> None:
        _check_pieces(pieces)
        parsed, options, stream = _seeded(rule, tie_seed), _quantile_options(method, nan), _Stream(pieces)
        self._raw, self._counts, diagnosis = c.Bounds(), c.Selection(), c.Diagnosis()
        try:
            context_of(context).call(
                "bounds_of_stream",
                ctypes.byref(self._raw),
                ctypes.byref(diagnosis),
                ctypes.byref(stream.raw),
                ctypes.byref(parsed),
                ctypes.byref(options),
                diagnosis=diagnosis,
            )
        except SystemCallError:
            if stream.failure is not None:
                raise stream.failure from None
            raise SystemCallError("pieces: expected the same values every time they are gone through") from None
        _refuse(diagnosis, values=np.empty(0))  # it counts through the pieces
        self._ends = self._raw.low, self._raw.high

    def keep(self, values: Any, valid: Any = None) -> np.ndarray:
        """Which of the next piece's values are kept, bool of their shape. The pieces come in their order, once."""
        numbers, counts = _values(values, valid)
        keep = np.empty(numbers.shape, np.uint8)
        library.entrol_apply_bounds(
            ctypes.byref(self._raw),
            address(keep),
            ctypes.byref(self._counts),
            address(numbers),
            address(counts),
            numbers.size,
        )
        return keep.view(bool)

    @property
    def selection(self) -> Selection:
        """Of the pieces so far, and the thresholds; its `keep` is None."""
        made = _selection(None, self._counts)
        made.threshold_low, made.threshold_high = self._ends
        return made


def high_entropy_mask(
    entropies: Any,
    mask: Any = None,
    threshold: float = 0.8,
    *,
    method: str = "torch",
    nan: str = "error",
    context: Context | None = None,
) -> Selection:
    """TRL's get_high_entropy_mask (entrol_high_entropy_mask): keeps what counts and is at least the quantile
    `threshold` (1 - top_entropy_quantile) of what counts, over all ranks of the context's comm. entropies: any shape,
    read as float32; mask: of the same shape. Padding does not matter, whatever it holds. Errors: ArgumentError;
    DataError for a NaN, which silently empties TRL's."""
    numbers, counts = _values(entropies, mask, ("entropies", "mask"))
    options = _quantile_options(method, nan)
    keep, raw, diagnosis = np.empty(numbers.shape, np.uint8), c.Selection(), c.Diagnosis()
    context_of(context).call(
        "high_entropy_mask",
        address(keep),
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        address(numbers),
        address(counts),
        numbers.size,
        number(threshold, "threshold"),
        ctypes.byref(options),
        diagnosis=diagnosis,
        threshold=threshold,
    )
    _refuse(diagnosis, entropies=numbers)
    return _selection(keep, raw)


def weight(
    values: Any, weighting: str, *, valid: Any = None, method: str = "linear", context: Context | None = None
) -> np.ndarray:
    """The weight of each value, from 0 to 1 (entrol_weight): "sigmoid", "rise:A..B" or "fall:A..B", the ends numbers or
    percentiles (p5..p95) of the values that count. float32, of the values' shape; 0 for NaN. Error: ArgumentError."""
    raw, n_read = c.Weighting(), ctypes.c_size_t()
    if library.entrol_weighting_parse(ctypes.byref(raw), ctypes.byref(n_read), encoded(weighting, "weighting")) != 0:
        raise ArgumentError(
            f"weighting: cannot read {weighting!r} from character {n_read.value + 1} on; "
            'expected "sigmoid", "rise:A..B" or "fall:A..B"',
            "weighting",
        )
    numbers, counts = _values(values, valid)
    low, high = raw.range.low, raw.range.high
    if raw.kind != c.WeightingKind.SIGMOID and raw.range.kind == c.RuleKind.PERCENTILES:
        low, high = quantile(numbers, [low, high], valid=counts, method=method, nan="ignore", context=context)
    one = library.entrol_weight
    return np.fromiter(
        (one(ctypes.byref(raw), low, high, x) for x in numbers.ravel().tolist()), np.float32, numbers.size
    ).reshape(numbers.shape)


def flexmatch_thresholds(n_sure: Any, n_samples: int, cutoff: float = 0.95) -> np.ndarray:
    """FlexMatch's threshold of each class (arXiv 2110.08263; entrol_flexmatch_thresholds). n_sure: how many samples of
    each class have at least `cutoff`. Error: ArgumentError."""
    counts, total, least = vector(n_sure, "n_sure", np.uint64), whole(n_samples, "n_samples"), number(cutoff, "cutoff")
    result = np.empty(counts.shape)
    if not 0 < least <= 1:
        raise ArgumentError(f"cutoff = {least!r}: expected a number above 0, up to 1", "cutoff")
    if library.entrol_flexmatch_thresholds(address(result), address(counts), counts.size, total, least) != 0:
        raise ArgumentError(f"n_sure: expected counts of at most n_samples = {total} together", "n_sure")
    return result


@dataclass(frozen=True)
class Recipe:
    """A published rule by its name (entrol_recipe)."""

    name: str
    purpose: str
    level: str
    by: str
    rule: str
    is_mask: bool
    scope: str
    emit: str
    method: str
    weight: str | None
    says: str
    source: str


def _shown(recipe: Recipe) -> tuple[str, ...]:
    return recipe.rule, recipe.says


@cache
def _recipes() -> tuple[Recipe, ...]:
    """What is registered, read once."""
    rows = [library.entrol_recipe_at(i).contents for i in range(library.entrol_recipe_count())]
    return tuple(Recipe(**{name: _text(getattr(row, name)) for name, _ in c.Recipe._fields_}) for row in rows)


def recipes() -> Table[Recipe]:
    """All recipes by their names: a dict, which shows itself as a table."""
    return Table(((recipe.name, recipe) for recipe in _recipes()), _shown)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else bool(value) if isinstance(value, int) else value
