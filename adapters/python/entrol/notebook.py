"""Heat maps of texts for notebooks, in the colours of the command's report: HTML that needs no network and no script.

    >>> from entrol import notebook
    >>> notebook.show(record)                  # a record, or a line of a file of records
    >>> notebook.heat_map(["The", " cat"], [1.2, 3.4])

Nothing of a text becomes markup, and nothing invisible in it stays so. A screen reader hears a summary, then the text.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: --v0 to --v15 of cli/report/report.css, by day and by night: lightness alone carries the order.
DAY = (
    "#fbfaf7 #f8f7d9 #e0f4d3 #c4efd3 #ade6d6 #96dcd8 #86d0d6 #77c4d3 "
    "#68b8d0 #59abcd #509ec7 #4891c0 #4184b8 #3977b1 #3269aa #2c5ca3"
).split()
NIGHT = (
    "#1a1c21 #1b2639 #1c3052 #1d3d67 #204d77 #245d85 #2b6e8b #347f92 "
    "#3e8f97 #5a9d92 #73aa8c #8cb784 #a4c47c #bfd07a #dbdc77 #f6e972"
).split()
INK_DAY = {
    "page": "#fbfaf7",
    "ink": "#1d2126",
    "soft": "#5d666f",
    "line": "#e3e1da",
    "bar": "#4395b0",
    "mark": "#b4530a",
}
INK_NIGHT = {
    "page": "#14171c",
    "ink": "#e9ebee",
    "soft": "#9aa3ad",
    "line": "#2c3138",
    "bar": "#408f9d",
    "mark": "#f0a04b",
}
ON_HIGH_DAY, ON_HIGH_NIGHT = "#ffffff", "#101317"
#: From which step on the letters have the other ink.
HIGH_DAY, HIGH_NIGHT = 12, 7
#: Control, bidirectional and other invisible characters, which are shown as U+XXXX.
HIDDEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff0-\ufffb\U000e0000-\U000e00ff\ud800-\udfff]"
)
SIGNS = {"\n": "↵\n", "\t": "→\t"}
STEPS = 16
NIGHTS = ('[data-jp-theme-light="false"]', ".vscode-dark", 'html[theme="dark"]')
DAYS = ('[data-jp-theme-light="true"]', ".vscode-light", 'html[theme="light"]')
LAYOUT = """
.entrol { color: var(--ink); background: var(--v0); border: 1px solid var(--line); border-radius: 12px;
  max-width: 960px; padding: 14px 18px; margin: 4px 0;
  font: 14px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.entrol figcaption { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: center; color: var(--soft);
  font-size: 13px; }
.entrol figcaption b { color: var(--ink); font-weight: 600; }
.entrol .text { font-size: 16px; line-height: 1.86; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; tab-size: 4; max-height: 620px; overflow-y: auto; margin-top: 8px; }
.entrol .text span { border-radius: 3px; padding: 2.5px 0; }
.entrol .unknown { text-decoration: underline dotted var(--soft) 1px; text-underline-offset: 4px; }
.entrol .sign { opacity: .45; font-size: .8em; }
.entrol .escape { font: 600 .68em/1 ui-monospace, Menlo, Consolas, monospace; padding: 1px 3px;
  border: 1px solid currentColor; border-radius: 3px; margin: 0 1px; }
.entrol .ramp { display: inline-flex; border-radius: 3px; overflow: hidden; box-shadow: inset 0 0 0 1px var(--line); }
.entrol .ramp i { width: 12px; height: 14px; }
.entrol .heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.entrol svg { display: block; width: 100%; max-width: 560px; height: auto; margin-top: 8px; }
.entrol svg text { font-size: 12px; fill: var(--soft); }
.entrol .axis { stroke: var(--line); }
.entrol .curve { fill: none; stroke: var(--bar); stroke-width: 2; stroke-linejoin: round; }
.entrol .dot { fill: var(--mark); }
"""


def _variables(ramp: Sequence[str], ink: Mapping[str, str], on_high: str, high: int) -> str:
    steps = "".join(f"--v{i}:{color};--t{i}:{on_high if i >= high else ink['ink']};" for i, color in enumerate(ramp))
    return steps + "".join(f"--{name}:{color};" for name, color in ink.items())


def _style() -> str:
    day = _variables(DAY, INK_DAY, ON_HIGH_DAY, HIGH_DAY)
    night = _variables(NIGHT, INK_NIGHT, ON_HIGH_NIGHT, HIGH_NIGHT)
    steps = "".join(f".entrol .v{i}{{background:var(--v{i});color:var(--t{i})}}" for i in range(STEPS))
    return (
        f"<style>.entrol{{{day}}}@media (prefers-color-scheme:dark){{.entrol{{{night}}}}}"
        f"{','.join(f'{of} .entrol' for of in DAYS)}{{{day}}}{','.join(f'{of} .entrol' for of in NIGHTS)}{{{night}}}"
        f"{steps}{LAYOUT}</style>"
    )


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _visible(text: str) -> str:
    """As HTML: every character is either seen or named."""
    parts, at = [], 0
    for match in HIDDEN.finditer(text):
        parts.append(html.escape(text[at : match.start()]))
        sign = SIGNS.get(match[0])
        if sign is None:
            parts.append(f'<i class="escape">{_code(match[0])}</i>')
        else:
            parts.append(f'<i class="sign" aria-hidden="true">{sign[0]}</i>{sign[1]}')
        at = match.end()
    return "".join([*parts, html.escape(text[at:])])


def _plain(text: str) -> str:
    """As attributes and sentences have it: one line."""
    return HIDDEN.sub(lambda match: SIGNS[match[0]][0] if match[0] in SIGNS else f"<{_code(match[0])}>", text)


def _round_up(x: float) -> float:
    """A round number at or above x."""
    power = 10.0 ** math.floor(math.log10(x))
    return next((m * power for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if m * power >= x * 0.9999), 10 * power)


def _top_of(values: np.ndarray) -> float:
    """Where the colours end: a round number above 98 % of the values, as in the report."""
    finite = values[np.isfinite(values)]
    top = float(np.quantile(finite, 0.98)) if finite.size else 0.0
    return _round_up(top) if top > 0 else 1.0


def _in_unit(values: Any, unit: str) -> np.ndarray:
    """Nats as the unit has them; NaN for None."""
    if unit not in ("bits", "nats"):
        raise ValueError(f"unit: expected bits or nats, got {unit!r}")
    try:
        numbers = np.array([math.nan if value is None else float(value) for value in values], np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"values: expected numbers: {error}") from error
    return numbers / math.log(2) if unit == "bits" else numbers


class HeatMap:
    """A text, each piece in the colour of its value. A notebook shows it; `html` is the same as a string."""

    def __init__(self, pieces: list[str], values: np.ndarray, unit: str, title: str, top: float, n_all: int) -> None:
        self._pieces, self._values, self._unit, self._top = pieces, values, unit, top
        self._title, self._n_all = _plain(title), n_all

    def _number(self, value: float) -> str:
        return "no value" if math.isnan(value) else f"{value:.2f} {self._unit}" if math.isfinite(value) else "infinite"

    def _span(self, piece: str, value: float) -> str:
        kind = "unknown"
        if not math.isnan(value):
            kind = f"v{min(STEPS - 1, int(STEPS * min(max(value, 0.0), self._top) / self._top))}"
        name = html.escape(f"{_plain(piece)}: {self._number(value)}")
        return f'<span class="{kind}" title="{name}">{_visible(piece) or "<i class=escape>∅</i>"}</span>'

    def summary(self) -> str:
        """What the picture says, in a sentence."""
        known = self._values[np.isfinite(self._values)]
        shown = f"the first {len(self._pieces)} of {self._n_all} tokens" if self._n_all > len(self._pieces) else ""
        said = shown or f"{len(self._pieces)} token{'s' * (len(self._pieces) != 1)}"
        if not known.size:
            return f"{self._title} of {said}: no values."
        there = np.flatnonzero(~np.isnan(self._values))
        order = there[np.argsort(-self._values[there], kind="stable")[:5]]
        highest = ", ".join(
            f"“{_plain(self._pieces[i])}” {self._number(self._values[i])} (token {i + 1})" for i in order
        )
        return f"{self._title} of {said}: mean {self._number(known.mean())}, highest {highest}."

    @property
    def html(self) -> str:
        known = self._values[np.isfinite(self._values)]
        ramp = "".join(f'<i class="v{i}"></i>' for i in range(STEPS))
        mean = f"<span>mean {self._number(known.mean())}</span>" if known.size else ""
        more = (
            f"<span>the first {len(self._pieces):,} of {self._n_all:,} tokens</span>"
            if self._n_all > len(self._pieces)
            else ""
        )
        spans = "".join(self._span(piece, value) for piece, value in zip(self._pieces, self._values, strict=True))
        return (
            f'{_style()}<figure class="entrol"><figcaption><b>{html.escape(self._title)}</b>{mean}{more}'
            f'<span aria-hidden="true">0 <span class="ramp">{ramp}</span> {self._top:g} {self._unit} and more</span>'
            f'<span class="heard">{html.escape(self.summary())}</span></figcaption>'
            f'<div class="text" dir="auto">{spans}</div></figure>'
        )

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"HeatMap: {self.summary()}"


def heat_map(
    tokens: Sequence[str],
    values: Sequence[float | None] | np.ndarray,
    *,
    title: str = "Entropy",
    unit: str = "bits",
    top: float | None = None,
    limit: int = 5000,
) -> HeatMap:
    """A text of tokens as a heat map of their values.

    tokens: the pieces of the text, in their order. values: as many, in nats (entropies; -logprob, the surprisal, with
    another title), None or NaN where there is none. unit: in which they are shown, "bits" or "nats". top: the value, in
    that unit, from which on the colour is the last; default: a round one above 98 % of them. limit: so many tokens are
    shown at most. Errors: TypeError, ValueError, which name the argument."""
    if isinstance(tokens, str):
        raise TypeError("tokens: expected a sequence of strings, got one string")
    pieces = list(tokens)
    numbers = _in_unit(values, unit)
    if len(pieces) != len(numbers):
        raise ValueError(f"values: expected {len(pieces)}, as many as tokens, got {len(numbers)}")
    for i, piece in enumerate(pieces):
        if not isinstance(piece, str):
            raise TypeError(f"tokens: expected strings, got {type(piece).__name__} at {i}")
    if top is not None and not (top > 0 and math.isfinite(top)):
        raise ValueError(f"top: expected a number above 0, got {top!r}")
    if limit < 1:
        raise ValueError(f"limit: expected a number from 1, got {limit!r}")
    return HeatMap(pieces[:limit], numbers[:limit], unit, title, float(top or _top_of(numbers)), len(pieces))


def _pieces(text: str, starts: Sequence[int], ends: Sequence[int], values: np.ndarray) -> tuple[list[str], list[float]]:
    """Whole characters: tokens that share one are one piece, with the greatest of their values; what no token covers
    (a prompt) is a piece without a value."""
    whole, pieces, numbers, at = text.encode("utf-8", "surrogatepass"), [], [], 0
    end, waiting = 0, math.nan
    for start, stop, value in zip(starts, ends, values, strict=True):
        if not (at <= start <= stop <= len(whole)):
            raise ValueError(f"record: byte_start and byte_end do not fit the text at {start} to {stop}")
        if start > at and end <= at:
            pieces.append(whole[at:start].decode("utf-8", "replace"))
            numbers.append(math.nan)
            at = start
        waiting, end = (value if math.isnan(waiting) else max(waiting, value)), stop
        if stop < len(whole) and whole[stop] & 0xC0 == 0x80:  # inside a character
            continue
        pieces.append(whole[at:stop].decode("utf-8", "replace"))
        numbers.append(waiting)
        at, waiting = stop, math.nan
    if at < len(whole):
        pieces.append(whole[at:].decode("utf-8", "replace"))
        numbers.append(waiting)
    return pieces, numbers


def show(record: Mapping[str, Any] | str | bytes, by: str = "entropy", **how: Any) -> HeatMap:
    """The heat map of a record of `entrol score`, or of a row that entrol.datasets made with scored_text.

    record: the object, or the line of JSON. by: a column with a number for each token, or "surprisal" (-logprob). how:
    as in heat_map. Errors: TypeError, ValueError."""
    row = json.loads(record) if isinstance(record, (str, bytes)) else record
    if not isinstance(row, Mapping):
        raise TypeError(f"record: expected an object, or a line of one, got {type(row).__name__}")
    of = "logprob" if by == "surprisal" else by
    if row.get(of) is None:
        raise ValueError(f"by = {by!r}: the record has no column {of!r}; it has {', '.join(map(str, row))}")
    values = np.array([math.nan if value is None else float(value) for value in row[of]], np.float64)
    values = -values if by == "surprisal" else values
    how.setdefault("title", by.capitalize().replace("_", " "))
    text = row.get("scored_text", row.get("text"))
    if text is not None and row.get("byte_start") is not None:
        return heat_map(*_pieces(text, row["byte_start"], row["byte_end"], values), **how)
    if row.get("token") is None:
        raise ValueError("record: expected text with byte_start and byte_end, or token")
    return heat_map(list(row["token"]), values, **how)


class Quantiles:
    """How values are spread: what a notebook shows is their quantile function."""

    def __init__(self, values: np.ndarray, unit: str, title: str) -> None:
        self._values, self._unit, self._title = np.sort(values[np.isfinite(values)]), unit, _plain(title)

    def at(self, q: float) -> float:
        """The quantile at q, linearly interpolated; NaN where there are no values."""
        return float(np.quantile(self._values, q)) if self._values.size else math.nan

    def summary(self) -> str:
        """The quantiles in a sentence."""
        if not self._values.size:
            return f"{self._title}: no values."
        named = ", ".join(f"{100 * q:g} % below {self.at(q):.2f}" for q in (0.1, 0.5, 0.8, 0.95))
        return f"{self._title} of {len(self._values)} tokens, in {self._unit}: {named}, at most {self.at(1):.2f}."

    def _svg(self) -> str:
        top = _round_up(max(self.at(1), 1e-9))
        low = min(0.0, self.at(0))

        def y(value: float) -> float:
            return 150 - 130 * (value - low) / (top - low)

        curve = "L".join(f"{40 + 5 * i:g} {y(self.at(i / 100)):.1f}" for i in range(101))
        marks = "".join(
            f'<circle class="dot" cx="{40 + 500 * q:g}" cy="{y(self.at(q)):.1f}" r="3.5"/>'
            f'<text x="{40 + 500 * q:g}" y="{y(self.at(q)) - 9:.1f}" text-anchor="middle">{self.at(q):.2f}</text>'
            for q in (0.5, 0.8, 0.95)
        )
        ticks = "".join(
            f'<text x="{40 + 5 * p}" y="168" text-anchor="middle">{p} %</text>' for p in (0, 20, 50, 80, 95)
        )
        return (
            f'<svg viewBox="0 0 560 176" role="img" aria-label="{html.escape(self.summary())}">'
            f'<line class="axis" x1="40" x2="540" y1="150" y2="150"/>'
            f'<text x="34" y="24" text-anchor="end">{top:g}</text>'
            f'<text x="34" y="154" text-anchor="end">{low:g}</text>'
            f'<path class="curve" d="M{curve}"/>{marks}{ticks}</svg>'
        )

    def _repr_html_(self) -> str:
        drawn = self._svg() if self._values.size else ""
        title = html.escape(self._title)
        return (
            f'{_style()}<figure class="entrol"><figcaption><b>{title}</b>'
            f"<span>quantiles of {len(self._values):,} tokens, {self._unit}</span></figcaption>{drawn}</figure>"
        )

    def __repr__(self) -> str:
        return f"Quantiles: {self.summary()}"


def quantiles(values: Any, *, title: str = "Entropy", unit: str = "bits") -> Quantiles:
    """A small plot of how values (in nats; None and NaN do not count) are spread: which share of the tokens lies below
    what, and so what a rule as low:80% would cut. Errors: TypeError, ValueError."""
    return Quantiles(_in_unit(values, unit), unit, title)
