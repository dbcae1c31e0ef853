"""Sampling: from a row of logits to the next token, by rules that look at the row's entropy
(include/entrol/sample.h)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import MAX_UINT64, number, whole
from ._arguments import text as encoded
from ._arrays import Matrix, address, matrix, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, library
from ._registry import Parameters, Table, described, expected, nearest, parameters

DRAWN_DTYPE = np.dtype(c.Drawn)
MOST_DRAWN = 256  # at once, of a row
OF_A_TOKEN = ("token", "logprob", "sampled_logprob")
OF_A_ROW = ("entropy", "varentropy", "sampled_entropy", "temperature", "n_candidates", "n_passes")


@dataclass(frozen=True)
class SamplingRule:
    """A rule that a sampler can be made of: its parameters (the first is what "name=VALUE" sets), what it keeps or
    does, and where it was published, None where that is everybody's."""

    name: str
    parameters: Parameters
    says: str
    source: str | None

    def __repr__(self) -> str:
        first = next(iter(self.parameters), None)
        return described(self, f'"{self.name}=VALUE" sets {first}' if first else "has no parameters")


def _rule(row: c.SamplingRule) -> SamplingRule:
    return SamplingRule(
        row.name.decode(),
        parameters(row.parameters, row.n_parameters),
        row.says.decode(),
        row.source.decode() if row.source else None,
    )


def _shown(rule: SamplingRule) -> tuple[str, ...]:
    return (rule.says,)


@cache
def _rules() -> tuple[SamplingRule, ...]:
    """What is registered, read once."""
    rows = map(library.entrol_sampling_rule_at, range(library.entrol_sampling_rule_count()))
    return tuple(_rule(row.contents) for row in rows)


def sampling_rules() -> Table[SamplingRule]:
    """All rules by their names: a dict, which shows itself as a table."""
    return Table(((rule.name, rule) for rule in _rules()), _shown)


@dataclass(frozen=True)
class Drawn:
    """A token and what it was drawn from, in nats: p = softmax(z), before any rule, and q, which the rules left
    (entrol_drawn). Numbers for one row; for rows of shape (..., V) arrays of shape (...); of n tokens token, logprob
    and sampled_logprob have one more dimension, of n. token: -1 where there is none (left). logprob, sampled_logprob:
    ln p and ln q of it. entropy, varentropy: of p; sampled_entropy: of q. q = softmax(z / temperature) over
    n_candidates columns. n_passes: over more than 16,384 candidates, by all rules. A row in trouble has NaN, 0 and -1;
    `diagnosis` names the first."""

    token: int | np.ndarray
    logprob: float | np.ndarray
    entropy: float | np.ndarray
    varentropy: float | np.ndarray
    sampled_logprob: float | np.ndarray
    sampled_entropy: float | np.ndarray
    temperature: float | np.ndarray
    n_candidates: int | np.ndarray
    n_passes: int | np.ndarray
    diagnosis: Diagnosis = field(repr=False, compare=False)


def _drawn(raw: np.ndarray, n: int | None, diagnosis: Diagnosis) -> Drawn:
    """raw: of the rows' shape and one more dimension."""
    tokens = raw if n is not None else raw[..., 0]
    values = {name: tokens[name].copy() for name in OF_A_TOKEN} | {name: raw[name][..., 0].copy() for name in OF_A_ROW}
    return Drawn(**{k: v if v.ndim else v.item() for k, v in values.items()}, diagnosis=diagnosis)


def _add(told: c.Diagnosis, row: int, of_row: c.Diagnosis) -> None:
    """To what was in trouble, what was in a later row."""
    if of_row.n_bad and not told.n_bad:
        told.first_row, told.first_column, told.reason = row, of_row.first_column, of_row.reason
    told.n_bad += of_row.n_bad


class Sampler:
    """Rules, applied one after another, and a place in a text.

        sampler = entrol.Sampler("min-p=0.02", "target-entropy=1.5", seed=1)
        while ...:
            drawn = sampler.draw(logits)
            sampler.accept(drawn.token)

    rules: each is "NAME", "NAME=VALUE" or either with ",PARAMETER=VALUE" behind it, of entrol.sampling_rules(); none:
    tokens are drawn from softmax(z). seed, stream: whole numbers below 2^64; of the same logits they and the place in
    the text give the same token on every machine and for any number of threads. copy.copy() is clone(). One thread at a
    time uses it. Errors: ArgumentError, which names the rule, the place in it and what was expected; TypeError."""

    def __init__(self, *rules: str, seed: int = 0, stream: int = 0, context: Context | None = None) -> None:
        self._handle = ctypes.c_void_p()
        self._context = context_of(context)
        self.rules, self.seed = rules, whole(seed, "seed", 0, MAX_UINT64)
        self._stream = whole(stream, "stream", 0, MAX_UINT64)
        texts = [encoded(rule, f"rules[{i}]") for i, rule in enumerate(rules)]
        options, diagnosis = c.SamplerOptions(seed=self.seed, stream=self._stream), c.Diagnosis()
        try:
            self._context.call(
                "sampler_create",
                ctypes.byref(self._handle),
                ctypes.byref(diagnosis),
                (ctypes.c_char_p * len(texts))(*texts),
                len(texts),
                ctypes.byref(options),
                diagnosis=diagnosis,
            )
        except ArgumentError as error:
            if error.argument == "options":
                raise
            raise _refused(
                diagnosis.first_row, texts[diagnosis.first_row], diagnosis.first_column, error.argument
            ) from None

    @property
    def stream(self) -> int:
        """Which of the texts that are drawn with this seed. Setting it draws with another from here on."""
        return self._stream

    @stream.setter
    def stream(self, value: int) -> None:
        self._stream = whole(value, "stream", 0, MAX_UINT64)
        library.entrol_sampler_set_stream(self._handle, self._stream)

    def draw(self, logits: Any, n: int | None = None, *, tokens: Any = None) -> Drawn:
        """Draws the token of the place where the text is, and moves nothing: accept() does (entrol_sampler_draw).

        logits: (V,), or (..., V), of texts at the same place after the same token: row i is drawn with stream + i.
        float64 (as the nearest float32), float32, float16 or bfloat16, of NumPy or any DLPack producer on the CPU;
        -inf is no candidate. n: this many tokens of a row (at most 256), none of them twice, of which the first is the
        one that is drawn alone. tokens: (V,), what the columns stand for, rising; by default their numbers. Errors:
        ArgumentError, ValueError and TypeError, which name the argument."""
        rows = matrix(logits, "logits")
        n_drawn = 1 if n is None else whole(n, "n", 1, MOST_DRAWN)
        names = None if tokens is None else vector(tokens, "tokens", np.int32, (rows.n_columns,))
        raw = np.zeros((rows.n_rows, n_drawn), DRAWN_DTYPE)
        raw["size"] = DRAWN_DTYPE.itemsize
        told = self._draw(rows, raw, None, names)
        return _drawn(raw.reshape(*rows.leading, n_drawn), n, Diagnosis(told))

    def logprobs(self, logits: Any) -> np.ndarray:
        """ln q of every column under the q that the rules leave, and -inf for what they leave out; moves nothing.
        logits: as draw's. float32, of their shape; a row in trouble has NaN. Errors: as draw's."""
        rows = matrix(logits, "logits")
        out = np.empty((rows.n_rows, rows.n_columns), np.float32)
        self._draw(rows, np.empty((rows.n_rows, 0), DRAWN_DTYPE), out, None)
        return out.reshape(*rows.leading, rows.n_columns)

    def _draw(
        self, rows: Matrix, drawn: np.ndarray, logprobs: np.ndarray | None, tokens: np.ndarray | None
    ) -> c.Diagnosis:
        """Each row with a stream of its own. What was in trouble."""
        told = c.Diagnosis()
        try:
            for i in range(rows.n_rows):
                library.entrol_sampler_set_stream(self._handle, (self._stream + i) & MAX_UINT64)
                to = None if logprobs is None else logprobs[i]
                _add(told, i, self._draw_row(rows, i, drawn[i], to, tokens))
        finally:
            library.entrol_sampler_set_stream(self._handle, self._stream)
        return told

    def _draw_row(
        self, rows: Matrix, i: int, drawn: np.ndarray, logprobs: np.ndarray | None, tokens: np.ndarray | None
    ) -> c.Diagnosis:
        at, n_columns = rows.data + i * rows.row_stride * rows.array.itemsize, rows.n_columns
        row = c.Matrix(data=at, dtype=rows.dtype, n_rows=1, n_columns=n_columns, row_stride=n_columns)
        to = c.Destination(data=address(logprobs), dtype=c.Dtype.F32, row_stride=n_columns)
        told = c.Diagnosis()
        self._context.call(
            "sampler_draw",
            self._handle,
            address(drawn),
            drawn.size,
            None if logprobs is None else ctypes.byref(to),
            ctypes.byref(told),
            ctypes.byref(row),
            address(tokens),
            diagnosis=told,
        )
        return told

    def accept(self, token: int) -> None:
        """Tells the token that came, drawn or not: the next draw is that of the next place. Errors: TypeError,
        ArgumentError."""
        library.entrol_sampler_accept(self._handle, whole(token, "token", 0, (1 << 31) - 1))

    def reset(self) -> None:
        """Begins a new text with the same seed and stream."""
        library.entrol_sampler_reset(self._handle)

    def clone(self, stream: int | None = None) -> Sampler:
        """Another with the same rules and state, to go on with another text; stream: another one for it."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__, _handle=ctypes.c_void_p())
        self._context.call("sampler_clone", ctypes.byref(made._handle), self._handle)
        if stream is not None:
            made.stream = stream
        return made

    def set(self, rule: int | str, parameter: str, value: float | str) -> None:
        """Another value for a parameter of a rule, as from a controller that moves the target. rule: its index in
        `rules`, or its name where one alone has it. Errors: ArgumentError, TypeError."""
        index, known = self._find(rule)
        if parameter not in known.parameters:
            raise ArgumentError(_no_parameter(known, parameter), "parameter")
        about = known.parameters[parameter]
        is_choice = about.type == "choice" and value in about.choices
        raw = float(about.choices.index(value)) if is_choice else number(value, "value")
        if library.entrol_sampler_set(self._handle, index, parameter.encode(), raw) != 0:
            raise ArgumentError(f"value = {value!r}: {parameter} of {known.name}: expected {expected(about)}", "value")

    def _find(self, rule: int | str) -> tuple[int, SamplingRule]:
        """The index of a rule in the chain, and what it is."""
        names = [_name(text) for text in self.rules]
        if isinstance(rule, str):
            if names.count(_name(rule)) != 1:
                raise ArgumentError(
                    f"rule: expected the name of one rule of {', '.join(names) or 'none'}, or an index, got {rule!r}",
                    "rule",
                )
            rule = names.index(_name(rule))
        index = whole(rule, "rule", 0, len(names) - 1)
        return index, sampling_rules()[names[index]]

    __copy__ = clone

    def __deepcopy__(self, memo: dict[int, Any]) -> Sampler:
        return self.clone()

    def __reduce__(self) -> Any:
        """Error: TypeError: what was told of the text is not kept."""
        raise TypeError(
            "Sampler: cannot be pickled: make it of its rules, seed and stream, and accept() its text again"
        )

    def __repr__(self) -> str:
        return f"Sampler({', '.join([*map(repr, self.rules), f'seed={self.seed}', f'stream={self.stream}'])})"

    _destroy = library.entrol_sampler_destroy  # `library` may be gone when the interpreter ends

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._destroy(self._context._handle, self._handle)
            self._handle = None


def _name(rule: str) -> str:
    """The name that a rule's text begins with, as the registry has it."""
    return rule.partition(",")[0].partition("=")[0].replace("-", "_")


def _refused(index: int, rule: bytes, offset: int, argument: str | None) -> ArgumentError:
    """What is wrong with a rule's text from an offset on: the value of a parameter, or "rules"."""
    text, at = rule.decode(), len(rule[:offset].decode(errors="replace"))
    part = rule[offset:].partition(b",")[0].decode(errors="replace")
    return ArgumentError(f"rules[{index}] = {text!r}: at character {at + 1}: {_wrong(text, part, argument)}", "rules")


def _wrong(text: str, part: str, argument: str | None) -> str:
    known = sampling_rules()
    rule = known.get(_name(text))
    if rule is None:
        near = nearest(_name(text), list(known))
        meant = f"did you mean {near}? " if near else ""
        return f"no rule {_name(text)!r}; {meant}there are {', '.join(known)}"
    if argument in rule.parameters:
        return f"{argument} = {part!r}: expected {expected(rule.parameters[argument])}"
    if not rule.parameters:
        return f"{rule.name} has no parameters"
    return _no_parameter(rule, _name(part)) if "=" in part else "expected PARAMETER=VALUE"


def _no_parameter(rule: SamplingRule, name: str) -> str:
    return f"{rule.name} has no parameter {name!r}; it has {', '.join(rule.parameters) or 'none'}"
