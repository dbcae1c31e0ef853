"""Entrol: the entropy of models and policies, and control by it.

The functions have the names of the C library without its prefix, take NumPy arrays and those of any DLPack producer on
the CPU (PyTorch, JAX) without a copy, and work in nats. entrol.torch has the same for tensors with gradients.

    >>> import numpy as np, entrol
    >>> entrol.measure_rows(np.zeros((1, 4), np.float32)).entropy
    array([1.3862944], dtype=float32)

entrol.torch, trl, verl, sb3, datasets, callbacks and notebook are loaded when they are first used; what they need
beside NumPy comes with extras of the same names (pip install 'entrol[torch]').
"""

from types import ModuleType

from . import _public
from ._advantage import advantage_gae, advantage_group, advantage_leave_one_out, advantage_whiten
from ._compare import Comparison, compare_rows, mixture_rows
from ._context import Comm, Context, default_context, gemm_arrays
from ._control import Ceiling, Command, Controller, ControllerKind, controllers, fit_ceiling
from ._library import (
    ArgumentError,
    CommunicationError,
    DataError,
    Diagnosis,
    Error,
    SystemCallError,
    UnsupportedError,
    __version__,
)
from ._measure import (
    EntropyInterval,
    Record,
    Support,
    entropy_bounds,
    entropy_of_counts,
    entropy_of_distributions,
    gradient_rows,
    measure_rows,
)
from ._objective import (
    Objective,
    ObjectiveResult,
    kl_estimate,
    objective_compute,
    objective_needs,
    objectives,
)
from ._output import OutputGradient, gradient_output, measure_output
from ._policy import Policy, PolicyRecord, PolicySample, policy_gradient, policy_measure, policy_sample
from ._registry import Parameter
from ._sample import Drawn, Sampler, SamplingRule, sampling_rules
from ._selection import (
    Bounds,
    Recipe,
    Selection,
    flexmatch_thresholds,
    high_entropy_mask,
    quantile,
    recipes,
    rule_parse,
    select,
    weight,
)

__all__ = [
    "ArgumentError",
    "Bounds",
    "Ceiling",
    "Comm",
    "Command",
    "CommunicationError",
    "Comparison",
    "Context",
    "Controller",
    "ControllerKind",
    "DataError",
    "Diagnosis",
    "Drawn",
    "EntropyInterval",
    "Error",
    "Objective",
    "ObjectiveResult",
    "OutputGradient",
    "Parameter",
    "Policy",
    "PolicyRecord",
    "PolicySample",
    "Recipe",
    "Record",
    "Sampler",
    "SamplingRule",
    "Selection",
    "Support",
    "SystemCallError",
    "UnsupportedError",
    "__version__",
    "advantage_gae",
    "advantage_group",
    "advantage_leave_one_out",
    "advantage_whiten",
    "compare_rows",
    "controllers",
    "default_context",
    "entropy_bounds",
    "entropy_of_counts",
    "entropy_of_distributions",
    "fit_ceiling",
    "flexmatch_thresholds",
    "gemm_arrays",
    "gradient_output",
    "gradient_rows",
    "high_entropy_mask",
    "kl_estimate",
    "measure_output",
    "measure_rows",
    "mixture_rows",
    "objective_compute",
    "objective_needs",
    "objectives",
    "policy_gradient",
    "policy_measure",
    "policy_sample",
    "quantile",
    "recipes",
    "rule_parse",
    "sampling_rules",
    "select",
    "weight",
]


_public.settle(globals())


def __getattr__(name: str) -> ModuleType:
    """The parts that are loaded when they are first asked for. Errors: AttributeError; ImportError."""
    return _public.load(name)
