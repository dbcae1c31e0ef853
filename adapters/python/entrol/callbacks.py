"""Watching the entropy of a run, of any trainer: alarms as they happen, a log that `entrol diagnose` reads, a picture,
and a forecast of the reward.

    history = EntropyHistory(target=0.4)
    for step in ...:
        history.observe(step, entropies.mean(), coefficient, reward)
    history.save("run.jsonl")
    history.plot("run.png")

trainer_callback(history) is the same for TRL and every other Trainer of transformers; entrol.sb3 for
Stable-Baselines3. What an alarm is, and when it is over, is the library's (include/entrol/control.h)."""

from __future__ import annotations

import json
import math
import operator
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ._control import Ceiling, Command, Controller, fit_ceiling
from ._files import whole


class EntropyWarning(UserWarning):
    """An alarm was raised. warnings.simplefilter("error", EntropyWarning) stops the run there."""


#: What to do, by alarm.
ADVICE = {
    "collapse": "To explore more: a greater entropy coefficient, or a controller that holds the entropy at a target "
    "(entrol.Controller, entrol.sb3.EntropyController); fewer updates on the same samples, a lower learning rate, or "
    "a higher upper clip of the ratio.",
    "explosion": "The policy goes towards chance: lower the entropy coefficient, or the controller's `max`, and look "
    "whether rewards and advantages still differ between samples.",
    "not finite": "Look for a NaN in the logits or in the parameters: every later step is lost.",
}


@dataclass(frozen=True)
class Observation:
    """A step of a run; in nats, NaN where something is not known. alarms: those that are raised ("collapse",
    "explosion")."""

    step: int
    entropy: float
    coefficient: float = math.nan
    target: float = math.nan
    reward: float = math.nan
    alarms: tuple[str, ...] = ()


class EntropyHistory:
    """The entropy of a run, step by step.

    target: what is aimed at, for the picture, and so that to reach it rings no alarm; nats, "0.7max" or "0.4x", as of a
    controller. collapse, explosion, reference_steps: when alarms are raised, as of entrol.Controller: by default below
    a tenth of the mean of the first 20 observations, and above twice that mean. max_entropy, n_actions: what "max" is a
    share of. warn: whether an alarm that is raised is said (EntropyWarning, once until it is raised anew).

    Errors: ArgumentError."""

    def __init__(
        self,
        *,
        target: float | str | None = None,
        collapse: float | str = "0.1x",
        explosion: float | str = "2x",
        reference_steps: int = 20,
        max_entropy: float = 0.0,
        n_actions: int = 0,
        warn: bool = True,
    ) -> None:
        watched = {"collapse": collapse, "explosion": explosion, "reference_steps": reference_steps}
        aim = {} if target is None else {"target": target}
        # A controller whose coefficient nobody uses: it knows targets and alarms.
        self._watch = Controller(
            "pi" if aim else "constant", max_entropy=max_entropy, n_actions=n_actions, **watched, **aim
        )
        self._warn = warn
        self._raised: frozenset[str] = frozenset()
        self.rows: list[Observation] = []

    def observe(
        self, step: int, entropy: float, coefficient: float | None = None, reward: float | None = None
    ) -> Observation:
        """Tells the mean entropy of a step in nats, and what else is known of it. A NaN or an infinite entropy is kept
        as it is and warned about. Error: TypeError for a step that is no whole number."""
        entropy = float(entropy)
        command = self._watch.observe(entropy) if math.isfinite(entropy) else self._watch.command
        return self._keep(step, entropy, command.target, command.alarms, coefficient, reward)

    def record(
        self, step: int, command: Command, coefficient: float | None = None, reward: float | None = None
    ) -> Observation:
        """The same of what a controller of the run's own has said: its entropy, target and alarms, and its coefficient
        where no other is given."""
        used = command.coefficient if coefficient is None else coefficient
        return self._keep(step, command.entropy, command.target, command.alarms, used, reward)

    def _keep(
        self,
        step: int,
        entropy: float,
        target: float,
        alarms: tuple[str, ...],
        coefficient: float | None,
        reward: float | None,
    ) -> Observation:
        known = [math.nan if value is None else float(value) for value in (coefficient, target, reward)]
        row = Observation(operator.index(step), entropy, *known, alarms)
        self.rows.append(row)
        self.alarm(row.step, entropy, alarms)
        return row

    def alarm(self, step: int, entropy: float, alarms: tuple[str, ...]) -> None:
        """Warns of those of the alarms that were not raised before."""
        now = frozenset(alarms) if math.isfinite(entropy) else self._raised | {"not finite"}
        new, self._raised = sorted(now - self._raised), now
        for name in new if self._warn else ():
            first = f", at first {self.rows[0].entropy:.4g}" if self.rows and name in alarms else ""
            text = f"entropy {name} at step {step}: {entropy:.4g} nats{first}. {ADVICE[name]}"
            warnings.warn(text, EntropyWarning, stacklevel=4)

    def __repr__(self) -> str:
        """How long it is, the last row, and what is raised."""
        if not self.rows:
            return "EntropyHistory(no observation)"
        last = self.rows[-1]
        alarms = f", alarms: {', '.join(sorted(self._raised))}" if self._raised else ""
        return f"EntropyHistory({len(self.rows)} observations, step {last.step}: {last.entropy:.4g} nats{alarms})"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.rows)

    def column(self, name: str) -> np.ndarray:
        """ "step", "entropy", "coefficient", "target" or "reward" of all rows, float64. Error: ValueError."""
        if name not in _NUMBERS:
            raise ValueError(f"name: expected one of {', '.join(_NUMBERS)}, got {name!r}")
        return np.array([getattr(row, name) for row in self.rows], np.float64)

    def forecast(self, at: Any = (), *, confidence: float = 0.95) -> Ceiling:
        """entrol.fit_ceiling of the rows that have an entropy and a reward: the reward that is left to reach when the
        entropy is spent, and at the entropies `at`. Errors: as there; DataError for fewer than 4 such rows."""
        entropies, rewards = self.column("entropy"), self.column("reward")
        known = np.isfinite(entropies) & np.isfinite(rewards)
        return fit_ceiling(entropies[known], rewards[known], forecast_at=at, confidence=confidence)

    def save(self, path: str | os.PathLike[str]) -> None:
        """JSON Lines, an object a row, whole or not at all: what load() and `entrol diagnose` read. What is not known
        is left out."""
        with whole(path) as part, open(part, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(_known(row)) + "\n" for row in self.rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **settings: Any) -> EntropyHistory:
        """What save() wrote, as if it had been observed: settings as of the constructor. Errors: OSError; ValueError,
        which names the line."""
        history = cls(**settings)
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = _observation(json.loads(line))
                except (ValueError, TypeError, KeyError) as error:
                    raise ValueError(
                        f"{os.fspath(path)}:{number}: expected an object with a step and an entropy: {error}"
                    ) from error
                history.rows.append(row)
                history._raised = frozenset(row.alarms)
                if math.isfinite(row.entropy):
                    history._watch.observe(row.entropy)
        return history

    def plot(self, path: str | os.PathLike[str] | None = None, *, title: str | None = None) -> Any:
        """Draws the entropy, with a band of 10 % around the target and the steps with an alarm in red, below it the
        coefficient and the reward where they are known, and writes it to `path` (.png, .svg, .pdf). Returns
        matplotlib's Figure, which a notebook shows. Errors: ImportError without matplotlib; ValueError without rows."""
        from ._plot import draw_history

        figure = draw_history(self, title)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure


#: "step" first.
_NUMBERS = tuple(field.name for field in fields(Observation) if field.name != "alarms")


def _known(row: Observation) -> dict[str, Any]:
    """What is known of a row; an entropy that is a NaN stays, as it was observed."""
    said = {name: getattr(row, name) for name in _NUMBERS}
    known = {name: value for name, value in said.items() if name == "entropy" or not math.isnan(value)}
    return {**known, "alarms": list(row.alarms)} if row.alarms else known


def _observation(said: dict[str, Any]) -> Observation:
    numbers: dict[str, Any] = {name: float(said[name]) for name in _NUMBERS[1:] if name == "entropy" or name in said}
    numbers["step"] = operator.index(said["step"])
    return Observation(**numbers, alarms=tuple(map(str, said.get("alarms", ()))))


def trainer_callback(
    history: EntropyHistory, *, entropy: str = "entropy", reward: str = "reward", coefficient: str = "entropy_coef"
) -> Any:
    """A transformers.TrainerCallback that tells the history what a Trainer logs, on the first process:

        trainer = GRPOTrainer(..., callbacks=[entrol.callbacks.trainer_callback(history)])

    entropy, reward, coefficient: the names in the trainer's logs, which are TRL's own by default; logs without an
    entropy are passed over, and a training that ends without any is warned about. Error: ImportError without
    transformers."""
    from transformers import TrainerCallback

    class Logged(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero and logs and entropy in logs:
                value = math.nan if logs[entropy] is None else logs[entropy]  # as TRL logs a NaN
                history.observe(state.global_step, value, logs.get(coefficient), logs.get(reward))

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero and not len(history):
                warnings.warn(
                    f"entrol: the trainer has not logged any {entropy!r}; trainer_callback(entropy=...) names another",
                    stacklevel=2,
                )

    return Logged()
