"""Controllers: from the entropy that was observed in a step to the coefficient of the next one
(include/entrol/control.h)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import number, whole
from ._arguments import text as encoded
from ._arrays import address, marks, vector
from ._context import Context, context_of
from ._library import NOTHING_COUNTS, ArgumentError, check, library
from ._registry import Parameters, Table, described, explain, parameters, refuse_unknown, settings_of


@dataclass(frozen=True)
class ControllerKind:
    """A controller that can be made: what it drives, what it observes, its parameters, its law and where it was
    published."""

    name: str
    drives: str
    observes: str
    parameters: Parameters
    says: str
    source: str

    def __repr__(self) -> str:
        return described(self, f"drives the {self.drives}, observes the {self.observes}")


def _kind(row: c.ControllerKind) -> ControllerKind:
    return ControllerKind(
        row.name.decode(),
        library.entrol_drive_name(row.drives).decode(),
        row.observes.decode(),
        parameters(row.parameters, row.n_parameters),
        row.says.decode(),
        row.source.decode(),
    )


def _shown(kind: ControllerKind) -> tuple[str, ...]:
    return kind.drives, kind.says


@cache
def _kinds() -> tuple[ControllerKind, ...]:
    """What is registered, read once."""
    rows = map(library.entrol_controller_kind_at, range(library.entrol_controller_kind_count()))
    return tuple(_kind(row.contents) for row in rows)


def controllers() -> Table[ControllerKind]:
    """All controllers by their names: a dict, which shows itself as a table."""
    return Table(((kind.name, kind) for kind in _kinds()), _shown)


@dataclass(frozen=True)
class Command:
    """What holds for the next step (entrol_command). In nats; NaN where it is not known. alarms: of "collapse",
    "explosion"."""

    coefficient: float
    positive_weight: float
    negative_weight: float
    temperature: float
    entropy: float
    target: float
    error: float
    step: int
    alarms: tuple[str, ...]
    is_limited: bool
    is_held: bool


def _command(raw: c.Command) -> Command:
    alarms = tuple(
        name for name, bit in (("collapse", c.ALARM_COLLAPSE), ("explosion", c.ALARM_EXPLOSION)) if raw.alarms & bit
    )
    values = {name: getattr(raw, name) for name, _ in c.Command._fields_ if name != "size"}
    return Command(**{**values, "alarms": alarms, "is_limited": bool(raw.is_limited), "is_held": bool(raw.is_held)})


class Controller:
    """A controller by its name: told the entropy once a training step, it gives the coefficient of the next.

        controller = entrol.Controller("pi", target=0.4)
        for step in ...:
            loss = policy_loss - controller.coefficient * entropy.mean()
            controller.observe_tokens(entropies, mask)

    name: one of entrol.controllers(). settings: its parameters; a target is in nats, "0.7max" (a share of the greatest
    entropy, which max_entropy or n_actions tells) or "0.4x" (a share of the mean of the first observations). With a
    context that has a comm, every rank makes the same controller and every observation together, and all hold the same
    coefficient, to the bit. One thread at a time uses it. Errors: ArgumentError; TypeError for a parameter that there
    is not; CommunicationError where ranks differ."""

    def __init__(
        self,
        name: str,
        *,
        max_entropy: float = 0.0,
        n_actions: int = 0,
        context: Context | None = None,
        **given: object,
    ) -> None:
        self._handle = ctypes.c_void_p()
        self._context, self._own_context = context_of(context), context
        encoded(name, "name")
        known = controllers()
        if name not in known:
            raise ArgumentError(f"name: no controller {name!r}; there are {', '.join(known)}", "name")
        self.kind = known[name]
        most, actions = number(max_entropy, "max_entropy"), whole(n_actions, "n_actions")
        self._given = {"max_entropy": most, "n_actions": actions, **given}
        refuse_unknown(given, self.kind.parameters, name, arrays=("max_entropy", "n_actions"))
        made, n = settings_of(given, self.kind.parameters)
        options, diagnosis = c.ControllerOptions(max_entropy=most, n_actions=actions), c.Diagnosis()
        try:
            self._context.call(
                "controller_create",
                ctypes.byref(self._handle),
                ctypes.byref(diagnosis),
                name.encode(),
                made,
                n,
                ctypes.byref(options),
                diagnosis=diagnosis,
                **given,
            )
        except ArgumentError as error:
            raise self._explained(error, given) from None

    def _explained(self, error: ArgumentError, given: dict[str, object]) -> ArgumentError:
        most, actions, value = self._given["max_entropy"], self._given["n_actions"], given.get(error.argument)
        if error.argument == "options":
            return ArgumentError(
                f"max_entropy = {most!r}, n_actions = {actions!r}: expected nats above 0 and a number from 2 on, each "
                "0 where it is not known, both the same within a thousandth",
                "max_entropy",
            )
        if isinstance(value, str) and value.endswith("max") and not (most or actions):
            words = "needs n_actions= or max_entropy=, which it is a share of"
            return ArgumentError(f"{error.argument} = {value!r}: {words}", error.argument)
        return explain(error, given, self.kind.parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles: a controller of the same name, settings and state. Error: TypeError where its context has
        a comm, since every rank would have to make it together."""
        if self._context.comm is not None:
            raise TypeError("context: a controller whose context has a comm cannot be copied or pickled: save() it")
        return _restored, (type(self), self.kind.name, {**self._given, "context": self._own_context}, self.save())

    @property
    def command(self) -> Command:
        """What holds now."""
        raw = c.Command()
        check(library.entrol_controller_command(ctypes.byref(raw), self._handle))
        return _command(raw)

    @property
    def coefficient(self) -> float:
        """Of what the controller drives (kind.drives)."""
        return self.command.coefficient

    def observe(self, sum: float, count: int = 1) -> Command:
        """Tells the sum of the entropies of `count` tokens of the step that ended, in nats, or a mean. A rank without
        tokens gives 0 and 0. Errors, after which the controller is as before: DataError (NaN, infinite, no tokens at
        all), CommunicationError, ArgumentError."""
        total = number(sum, "sum")
        nothing = {c.Reason.EMPTY_SUPPORT: "count: no token counts"}
        return self._observe(
            "controller_observe", ctypes.c_double(total), whole(count, "count"), reasons=nothing, sum=np.array(total)
        )

    def observe_tokens(self, entropies: Any, mask: Any = None) -> Command:
        """The same of the tokens' entropies themselves (any shape, nats; mask of the same shape says which count),
        added exactly: however the tokens are split over ranks, the coefficient is the same."""
        numbers = vector(entropies, "entropies", np.float32)
        valid = marks(mask, "mask", numbers.shape)
        arguments = address(numbers), address(valid), numbers.size
        nothing = {c.Reason.EMPTY_SUPPORT: "entropies: no tokens"} if mask is None else NOTHING_COUNTS
        return self._observe("controller_observe_tokens", *arguments, reasons=nothing, entropies=numbers)

    def _observe(self, name: str, *arguments: object, **data: Any) -> Command:
        raw, diagnosis = c.Command(), c.Diagnosis()
        self._context.call(
            name, ctypes.byref(raw), ctypes.byref(diagnosis), self._handle, *arguments, diagnosis=diagnosis, **data
        )
        return _command(raw)

    def coefficient_of(self, accuracy: float) -> float:
        """The coefficient of one prompt whose samples are right with this share (0 to 1). Error: ArgumentError."""
        result, share = ctypes.c_double(), number(accuracy, "accuracy")
        if library.entrol_controller_coefficient_of(ctypes.byref(result), self._handle, share) != 0:
            raise ArgumentError(f"accuracy = {accuracy!r}: expected a number from 0 to 1", "accuracy")
        return result.value

    def save(self) -> str:
        """The state as text, which restore() reads, on every machine."""
        text, n = ctypes.create_string_buffer(c.CONTROLLER_STATE_ROOM), ctypes.c_size_t()
        check(library.entrol_controller_save(text, ctypes.byref(n), len(text), self._handle))
        return text.value.decode()

    def restore(self, text: str) -> None:
        """Goes on as the controller that was saved would have; this one was made with the same name and settings.
        Error: ArgumentError for any other text, which names the line; the controller is as before."""
        raw, n_read = encoded(text, "text"), ctypes.c_size_t()
        if library.entrol_controller_restore(self._handle, ctypes.byref(n_read), raw, len(raw)) != 0:
            line = raw[: n_read.value].count(b"\n")
            shown = raw.splitlines()[line].decode(errors="replace") if line < len(raw.splitlines()) else "the end"
            raise ArgumentError(
                f"text: no state of this controller with these settings: line {line + 1}, {shown!r}", "text"
            )

    def __repr__(self) -> str:
        return f"Controller({self.kind.name!r}, step={self.command.step}, coefficient={self.coefficient:g})"

    _destroy = library.entrol_controller_destroy  # `library` may be gone when the interpreter ends

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._destroy(self._context._handle, self._handle)
            self._handle = None


def _restored(kind: type[Controller], name: str, given: dict[str, Any], state: str) -> Controller:
    made = kind(name, **given)
    made.restore(state)
    return made


@dataclass(frozen=True)
class Ceiling:
    """R = b - a exp(H) (arXiv 2505.22617), fitted (entrol_ceiling). forecasts: rows of entropy, reward, low, high."""

    a: float
    b: float
    ceiling: float
    low: float
    high: float
    deviation: float
    autocorrelation: float
    r_squared: float
    n: int
    forecasts: np.ndarray


def fit_ceiling(
    entropies: Any, rewards: Any, *, forecast_at: Any = (), confidence: float = 0.95, context: Context | None = None
) -> Ceiling:
    """Fits the law to the pairs of a run, in the order of its steps (entrol_fit_ceiling). Errors: ArgumentError;
    DataError for a NaN, fewer than 4 pairs, or entropies that do not differ."""
    first = vector(entropies, "entropies", np.float64).ravel()
    second = vector(rewards, "rewards", np.float64, first.shape)
    at = vector(forecast_at, "forecast_at", np.float64).ravel()
    share = number(confidence, "confidence")
    if not 0 < share <= 0.9999:
        raise ArgumentError(f"confidence = {share!r}: expected a number above 0, up to 0.9999", "confidence")
    forecasts, raw, diagnosis = np.zeros((at.size, 4)), c.Ceiling(), c.Diagnosis()
    forecasts[:, 0] = at
    context_of(context).call(
        "fit_ceiling",
        ctypes.byref(raw),
        address(forecasts),
        at.size,
        ctypes.byref(diagnosis),
        address(first),
        address(second),
        first.size,
        ctypes.byref(c.CeilingOptions(confidence=share)),
        diagnosis=diagnosis,
        reasons={c.Reason.GROUP: f"entropies, rewards: expected at least 4 pairs, got {first.size}"},
        entropies=first,
        rewards=second,
    )
    return Ceiling(**{name: getattr(raw, name) for name, _ in c.Ceiling._fields_}, forecasts=forecasts)
