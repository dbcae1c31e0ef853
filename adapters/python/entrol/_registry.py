"""What can be set of an objective, a controller or a sampling rule: the typed tables of the library's registries, as
Python sees them."""

from __future__ import annotations

import difflib
import html
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _bindings as c
from ._arguments import number, text
from ._library import ArgumentError

WIDTH = 120  # of a table as text
Row = TypeVar("Row")


class Table(dict[str, Row]):
    """A dict of what is registered, which shows itself as a table: the name of each and what is said of it."""

    def __init__(self, rows: Iterable[tuple[str, Row]], show: Callable[[Row], tuple[str, ...]]) -> None:
        super().__init__(rows)
        self._show = show

    def _cells(self) -> list[tuple[str, ...]]:
        return [(name, *self._show(row)) for name, row in self.items()]

    def __repr__(self) -> str:
        return aligned(self._cells()) if self else "{}"

    def _repr_html_(self) -> str:
        rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in self._cells())
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _cut(cell: str, room: int) -> str:
    return cell if len(cell) <= room else cell[: room - 3].rstrip() + "..."


def aligned(rows: list[tuple[str, ...]], indent: str = "", fit: Callable[[str, int], str] = _cut) -> str:
    """Lines of at most WIDTH characters, if the last cell is fit into the room that the others leave."""
    widths = [max(map(len, column)) for column in list(zip(*rows))[:-1]]
    heads = [indent + "".join(f"{cell:{n}}  " for cell, n in zip(row, widths)) for row in rows]
    return "\n".join(head + fit(row[-1], max(20, WIDTH - len(head))) for head, row in zip(heads, rows))


def _wrapped(cell: str, room: int) -> str:
    """Further lines below the first."""
    return f"\n{' ' * (WIDTH - room)}".join(textwrap.wrap(cell, room)) or cell


@dataclass(frozen=True)
class Parameter:
    """A parameter: `type` is "real", "whole", "choice" or "text"; `initial` what holds where nothing is set (NaN, ""
    for none)."""

    name: str
    type: str
    initial: float | str
    low: float
    high: float
    choices: tuple[str, ...]
    says: str
    source: str | None


class Parameters(Mapping[str, Parameter]):
    """A table that is read only: rows of a registry are read once and shared, and what is set is checked by them."""

    def __init__(self, table: Table[Parameter]) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Parameter:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return repr(self._table)

    def _repr_html_(self) -> str:
        return self._table._repr_html_()


def parameters(rows: Any, n: int) -> Parameters:
    """A table of the library."""
    return Parameters(Table(((made.name, made) for made in (_parameter(rows[i]) for i in range(n))), _shown))


def _shown(parameter: Parameter) -> tuple[str, ...]:
    kind, says = parameter.type, parameter.says
    if kind in ("real", "whole"):
        kind = f"{'whole, ' if kind == 'whole' else ''}{parameter.low:g} to {parameter.high:g}"
    elif kind == "choice":
        says = f"{says}: {', '.join(parameter.choices)}"
    initial = parameter.initial if isinstance(parameter.initial, str) else f"{parameter.initial:g}"
    return initial or '""', kind, says


def described(row: Any, about: str) -> str:
    """What a row of a registry shows of itself: a line about it, what is said, and its parameters."""
    table = aligned([(name, *_shown(parameter)) for name, parameter in row.parameters.items()], "  ", _wrapped)
    head = f"{row.name}: {row.says}\n{about}" + (f"; {row.source}" if row.source else "")
    return head + (f"\nparameters:\n{table}" if table else "")


def _parameter(row: c.Parameter) -> Parameter:
    kind = c.ParameterType(row.type)
    choices: list[str] = []
    while row.choices and row.choices[len(choices)]:
        choices.append(row.choices[len(choices)].decode())
    initial: float | str = row.initial
    if kind == c.ParameterType.TEXT:
        initial = row.text.decode() if row.text else ""
    elif kind == c.ParameterType.CHOICE:
        initial = choices[int(row.initial)]
    return Parameter(
        row.name.decode(),
        kind.name.lower(),
        initial,
        row.low,
        row.high,
        tuple(choices),
        row.says.decode(),
        row.source.decode() if row.source else None,
    )


def refuse_unknown(
    given: Iterable[str], known: Collection[str], what: str, kind: str = "parameter", arrays: Collection[str] = ()
) -> None:
    """TypeError for a keyword that is none of the parameters, as Python has it: the name, which one may be meant, and
    all that there are. arrays: keywords beside the parameters."""
    for name in given:
        if name not in known:
            near = nearest(name, [*arrays, *known])
            meant = f"; did you mean {near}?" if near else ";"
            raise TypeError(f"{name}: {what} has no such {kind}{meant} it has {', '.join([*arrays, *known])}")


def nearest(name: str, known: list[str]) -> str | None:
    """Which name may be meant: by its letters, else by a word that it shares with one name alone."""
    near = difflib.get_close_matches(name.lower(), known, 1)
    if near:
        return near[0]
    words = set(name.lower().split("_"))
    shared = [one for one in known if words & set(one.split("_"))]
    return shared[0] if len(shared) == 1 or (shared and shared[0] in words) else None


def settings_of(given: Mapping[str, object], known: Mapping[str, Parameter]) -> tuple[Any, int]:
    """entrol_setting of keyword arguments that are known, and how many. Errors: TypeError, ArgumentError."""
    made = (c.Setting * max(1, len(given)))()
    for i, (name, value) in enumerate(given.items()):
        made[i].name = name.encode()
        if isinstance(value, str):
            made[i].text = text(value, name)
        elif not hasattr(value, "__float__"):
            raise TypeError(f"{name}: expected {expected(known[name])}, got {type(value).__name__}")
        elif known[name].type == "text":  # a target of so many nats
            made[i].text = repr(number(value, name)).encode()
        else:
            made[i].value = number(value, name)
    return made, len(given)


def expected(parameter: Parameter) -> str:
    """What a parameter may be, for a message."""
    if parameter.type == "choice":
        return f"one of {', '.join(parameter.choices)}"
    if parameter.type == "text":
        return parameter.says.rstrip(".")
    return f"a {'whole number' if parameter.type == 'whole' else 'number'} from {parameter.low:g} to {parameter.high:g}"


def explain(error: ArgumentError, given: Mapping[str, object], known: Mapping[str, Parameter]) -> ArgumentError:
    """The same error, which also says what a parameter may be."""
    name = error.argument
    if name not in known:
        return error
    value = f"{name} = {given[name]!r}" if name in given else name
    return ArgumentError(f"{value}: expected {expected(known[name])}", name)
