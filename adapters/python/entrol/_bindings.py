"""The C interface for ctypes: structs as they begin, enumerations, prototypes.

Written by scripts/bindings from the headers of include/entrol, which say what everything means; change those instead.
"""
import ctypes
from ctypes import (
    POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_uint, c_uint64, c_void_p,
)
from enum import IntEnum


class Structure(ctypes.Structure):
    """A struct that begins as its _INIT macro has it: `size` set, numbers at their defaults."""

    _initial: "dict[str, object]" = {}

    def __init__(self, **fields: object) -> None:
        super().__init__(**{**self._initial, **fields})


VERSION_MAJOR = 0
VERSION_MINOR = 1
VERSION_PATCH = 0
CONTROLLER_STATE_ROOM = 4096
MAX_TOP = 256
MAX_MIXTURE = 16

ALARM_COLLAPSE = 1
ALARM_EXPLOSION = 2

NEEDS_LOGPROB = 1
NEEDS_OLD_LOGPROB = 2
NEEDS_REFERENCE_LOGPROB = 4
NEEDS_ADVANTAGE = 8
NEEDS_ENTROPY = 16
NEEDS_OLD_ENTROPY = 32
NEEDS_SUPPORT_ENTROPY = 64
NEEDS_VALUE = 128
NEEDS_OLD_VALUE = 256
NEEDS_SEQUENCES = 512

STEP_GOES_ON = 0
STEP_TERMINATED = 1
STEP_TRUNCATED = 2


class Status(IntEnum):
    OK = 0
    ERROR_ARGUMENT = -1
    ERROR_MEMORY = -2
    ERROR_OVERFLOW = -3
    ERROR_UNSUPPORTED = -4
    ERROR_ENVIRONMENT = -5
    ERROR_SYSTEM = -6
    ERROR_COMMUNICATION = -7
    ERROR_READ = -8
    ERROR_DATA = -9


class Reason(IntEnum):
    NONE = 0
    NAN = 1
    INFINITE = 2
    EMPTY_SUPPORT = 3
    TARGET = 4
    NEGATIVE = 5
    SUM = 6
    GRADIENT = 7
    COLUMNS = 8
    ACTION = 9
    PARAMETER = 10
    RATIO = 11
    GROUP = 12
    DEVIATION = 13


class Dtype(IntEnum):
    F64 = 0
    F32 = 1
    F16 = 2
    BF16 = 3


class Cpu(IntEnum):
    BEST = 0
    SCALAR = 1
    AVX2 = 2
    AVX512 = 3
    NEON = 4


class ParameterType(IntEnum):
    REAL = 0
    WHOLE = 1
    CHOICE = 2
    TEXT = 3


class QuantileMethod(IntEnum):
    LINEAR = 0
    INVERTED_CDF = 1
    AVERAGED_INVERTED_CDF = 2
    CLOSEST_OBSERVATION = 3
    INTERPOLATED_INVERTED_CDF = 4
    HAZEN = 5
    WEIBULL = 6
    MEDIAN_UNBIASED = 7
    NORMAL_UNBIASED = 8
    LOWER = 9
    HIGHER = 10
    MIDPOINT = 11
    NEAREST = 12
    TORCH = 13
    TORCH_F32_RANK = 14


class NanPolicy(IntEnum):
    ERROR = 0
    IGNORE = 1
    PROPAGATE = 2


class Drive(IntEnum):
    ENTROPY_COEFFICIENT = 0
    SAMPLE_WEIGHTS = 1
    TEMPERATURE = 2
    KL_COEFFICIENT = 3
    PROMPT_COEFFICIENT = 4


class TargetKind(IntEnum):
    NATS = 0
    MAX_SHARE = 1
    FIRST_SHARE = 2


class SupportKind(IntEnum):
    ALL = 0
    TOP_P = 1
    BEFORE_P = 2
    TOP_K = 3
    DROP = 4


class Scale(IntEnum):
    PROBABILITIES = 0
    LOG_PROBABILITIES = 1


class Estimator(IntEnum):
    PLUG_IN = 0
    MILLER_MADOW = 1
    CHAO_SHEN = 2
    GRASSBERGER = 3
    JAMES_STEIN = 4
    NSB = 5


class ObjectiveSum(IntEnum):
    SUM_POLICY = 0
    SUM_KL = 1
    SUM_VALUE = 2
    SUM_ENTROPY = 3
    SUM_COVERED_ENTROPY = 4
    SUM_K1 = 5
    SUM_K2 = 6
    SUM_K3 = 7
    SUM_LOGPROB = 8
    SUM_ADVANTAGE = 9
    SUM_PRODUCT = 10
    SUM_ERROR = 11
    SUM_ERROR_SQUARED = 12
    SUM_RETURN = 13
    SUM_RETURN_SQUARED = 14
    OBJECTIVE_SUMS = 15


class KlEstimator(IntEnum):
    K1 = 0
    K2 = 1
    K3 = 2


class AdvantageScale(IntEnum):
    GROUP = 0
    BATCH = 1
    NONE = 2


class PolicyKind(IntEnum):
    CATEGORICAL = 0
    MULTI_DISCRETE = 1
    BERNOULLI = 2
    GAUSSIAN = 3
    FULL_GAUSSIAN = 4
    SQUASHED_GAUSSIAN = 5
    BETA = 6


class RuleKind(IntEnum):
    LOW_SHARE = 0
    HIGH_SHARE = 1
    LOW_COUNT = 2
    HIGH_COUNT = 3
    RANGE = 4
    PERCENTILES = 5
    LOW_EXACT = 6
    HIGH_EXACT = 7


class WeightingKind(IntEnum):
    SIGMOID = 0
    RISE = 1
    FALL = 2


class Diagnosis(Structure):
    _fields_ = [
        ("argument", c_char_p),
        ("n_bad", c_size_t),
        ("first_row", c_size_t),
        ("first_column", c_size_t),
        ("reason", c_int),
    ]


class Matrix(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int),
        ("n_rows", c_size_t),
        ("n_columns", c_size_t),
        ("row_stride", c_ssize_t),
    ]


class Destination(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int),
        ("row_stride", c_ssize_t),
        ("add", c_int),
    ]


class GemmOperands(Structure):
    _fields_ = [
        ("c", c_void_p),
        ("a", c_void_p),
        ("b", c_void_p),
        ("m", c_size_t),
        ("n", c_size_t),
        ("k", c_size_t),
        ("c_stride", c_size_t),
        ("a_stride", c_size_t),
        ("b_stride", c_size_t),
        ("a_transposed", c_int),
        ("b_transposed", c_int),
        ("add", c_int),
    ]


class Comm(Structure):
    _fields_ = [
        ("rank", c_size_t),
        ("size", c_size_t),
        ("all_reduce", c_void_p),
        ("user", c_void_p),
    ]


class ContextOptions(Structure):
    _initial = {"size": 88}
    _fields_ = [
        ("size", c_size_t),
        ("n_threads", c_size_t),
        ("cpu", c_int),
        ("allocate", c_void_p),
        ("release", c_void_p),
        ("allocate_user", c_void_p),
        ("parallel_for", c_void_p),
        ("parallel_user", c_void_p),
        ("gemm", c_void_p),
        ("gemm_user", c_void_p),
        ("comm", POINTER(Comm)),
    ]


class Sum(Structure):
    _fields_ = [
        ("low", c_uint64),
        ("high", c_int64),
        ("n", c_uint64),
        ("n_bad", c_uint64),
    ]


class Parameter(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("type", c_int),
        ("initial", c_double),
        ("low", c_double),
        ("high", c_double),
        ("text", c_char_p),
        ("choices", POINTER(c_char_p)),
        ("says", c_char_p),
        ("source", c_char_p),
    ]


class Setting(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("value", c_double),
        ("text", c_char_p),
    ]


class QuantileOptions(Structure):
    _initial = {"size": 16}
    _fields_ = [
        ("size", c_size_t),
        ("method", c_int),
        ("nan", c_int),
    ]


class Stream(Structure):
    _fields_ = [
        ("read", c_void_p),
        ("user", c_void_p),
    ]


class ControllerKind(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("drives", c_int),
        ("observes", c_char_p),
        ("parameters", POINTER(Parameter)),
        ("n_parameters", c_size_t),
        ("says", c_char_p),
        ("source", c_char_p),
    ]


class Target(Structure):
    _fields_ = [
        ("kind", c_int),
        ("value", c_double),
    ]


class ControllerOptions(Structure):
    _initial = {"size": 24}
    _fields_ = [
        ("size", c_size_t),
        ("max_entropy", c_double),
        ("n_actions", c_uint64),
    ]


class Command(Structure):
    _initial = {"size": 88}
    _fields_ = [
        ("size", c_size_t),
        ("coefficient", c_double),
        ("positive_weight", c_double),
        ("negative_weight", c_double),
        ("temperature", c_double),
        ("entropy", c_double),
        ("target", c_double),
        ("error", c_double),
        ("step", c_uint64),
        ("alarms", c_uint),
        ("is_limited", c_int),
        ("is_held", c_int),
    ]


class CeilingOptions(Structure):
    _initial = {"size": 16, "confidence": 0.94999999999999996}
    _fields_ = [
        ("size", c_size_t),
        ("confidence", c_double),
    ]


class Ceiling(Structure):
    _fields_ = [
        ("a", c_double),
        ("b", c_double),
        ("ceiling", c_double),
        ("low", c_double),
        ("high", c_double),
        ("deviation", c_double),
        ("autocorrelation", c_double),
        ("r_squared", c_double),
        ("n", c_uint64),
    ]


class Forecast(Structure):
    _fields_ = [
        ("entropy", c_double),
        ("reward", c_double),
        ("low", c_double),
        ("high", c_double),
    ]


class State(Structure):
    _fields_ = [
        ("m", c_double),
        ("n_top", c_double),
        ("s", c_double),
        ("t", c_double),
        ("q", c_double),
        ("m2", c_double),
        ("power", c_double),
        ("second", c_double),
        ("target", c_double),
        ("n_support", c_double),
        ("least", c_double),
    ]


class Support(Structure):
    _fields_ = [
        ("threshold", c_double),
        ("n_ties", c_double),
        ("n_columns", c_double),
        ("m", c_double),
        ("n_top", c_double),
        ("s", c_double),
        ("t", c_double),
    ]


class Record(Structure):
    _initial = {"size": 128}
    _fields_ = [
        ("size", c_size_t),
        ("entropy", c_void_p),
        ("logsumexp", c_void_p),
        ("logprob", c_void_p),
        ("varentropy", c_void_p),
        ("top_prob", c_void_p),
        ("margin", c_void_p),
        ("sum_p_squared", c_void_p),
        ("renyi", c_void_p),
        ("rank", c_void_p),
        ("top_id", c_void_p),
        ("top_logprob", c_void_p),
        ("n_top", c_size_t),
        ("state", POINTER(State)),
        ("support_entropy", c_void_p),
        ("support", POINTER(Support)),
    ]


class MeasureOptions(Structure):
    _initial = {"size": 56, "temperature": 1.0, "renyi_order": 2.0}
    _fields_ = [
        ("size", c_size_t),
        ("temperature", c_double),
        ("renyi_order", c_double),
        ("mask", c_void_p),
        ("mask_row_stride", c_ssize_t),
        ("support_kind", c_int),
        ("support_parameter", c_double),
    ]


class Pair(Structure):
    _fields_ = [
        ("m", c_double),
        ("sum", c_double),
        ("shift", c_double),
        ("mean", c_double),
    ]


class Comparison(Structure):
    _initial = {"size": 64}
    _fields_ = [
        ("size", c_size_t),
        ("kl_pq", c_void_p),
        ("kl_qp", c_void_p),
        ("jsd", c_void_p),
        ("mean_entropy", c_void_p),
        ("p_states", POINTER(State)),
        ("q_states", POINTER(State)),
        ("pairs", POINTER(Pair)),
    ]


class Gradient(Structure):
    _initial = {"size": 80}
    _fields_ = [
        ("size", c_size_t),
        ("logprob", c_void_p),
        ("entropy", c_void_p),
        ("varentropy", c_void_p),
        ("support_entropy", c_void_p),
        ("supports", POINTER(Support)),
        ("kl_pq", c_void_p),
        ("kl_qp", c_void_p),
        ("reference", POINTER(Matrix)),
        ("pairs", POINTER(Pair)),
    ]


class OutputLayer(Structure):
    _initial = {"size": 64, "weight": Matrix(dtype=1)}
    _fields_ = [
        ("size", c_size_t),
        ("weight", Matrix),
        ("bias", c_void_p),
        ("soft_cap", c_double),
    ]


class TopLogprobs(Structure):
    _initial = {"size": 104, "error": 1.9999999999999999e-06, "relative_error": 1.9999999999999999e-06}
    _fields_ = [
        ("size", c_size_t),
        ("logprobs", Matrix),
        ("counts", c_void_p),
        ("chosen", c_void_p),
        ("caps", c_void_p),
        ("errors", c_void_p),
        ("error", c_double),
        ("relative_error", c_double),
        ("n_columns", c_uint64),
    ]


class EntropyInterval(Structure):
    _initial = {"size": 40}
    _fields_ = [
        ("size", c_size_t),
        ("lower", c_void_p),
        ("upper", c_void_p),
        ("tail_mass", c_void_p),
        ("mean_logprob", c_void_p),
    ]


class Tokens(Structure):
    _initial = {"size": 136}
    _fields_ = [
        ("size", c_size_t),
        ("n_tokens", c_size_t),
        ("logprob", c_void_p),
        ("old_logprob", c_void_p),
        ("reference_logprob", c_void_p),
        ("advantage", c_void_p),
        ("entropy", c_void_p),
        ("old_entropy", c_void_p),
        ("support_entropy", c_void_p),
        ("value", c_void_p),
        ("old_value", c_void_p),
        ("target_return", c_void_p),
        ("weight", c_void_p),
        ("mask", c_void_p),
        ("sequence_starts", c_void_p),
        ("n_sequences", c_size_t),
        ("seed", c_uint64),
    ]


class ObjectiveRecord(Structure):
    _initial = {"size": 56}
    _fields_ = [
        ("size", c_size_t),
        ("logprob", c_void_p),
        ("entropy", c_void_p),
        ("support_entropy", c_void_p),
        ("value", c_void_p),
        ("loss", c_void_p),
        ("kept", c_void_p),
    ]


class ObjectiveResult(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("loss", c_double),
        ("policy_loss", c_double),
        ("kl_loss", c_double),
        ("entropy_loss", c_double),
        ("value_loss", c_double),
        ("entropy", c_double),
        ("covered_entropy", c_double),
        ("kl_k1", c_double),
        ("kl_k2", c_double),
        ("kl_k3", c_double),
        ("reference_kl", c_double),
        ("ratio_mean", c_double),
        ("ratio_greatest", c_double),
        ("clip_low", c_double),
        ("clip_high", c_double),
        ("clip_dual", c_double),
        ("covariance", c_double),
        ("explained_variance", c_double),
        ("n_tokens", c_uint64),
        ("n_sequences", c_uint64),
        ("n_covered", c_uint64),
        ("n_kept", c_uint64),
        ("sums", Sum * 15),
    ]


class Objective(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("says", c_char_p),
        ("source", c_char_p),
        ("parameters", POINTER(Parameter)),
        ("n_parameters", c_size_t),
        ("needs", c_uint),
        ("gives", c_uint),
        ("support_kind", c_int),
        ("support_parameter", c_double),
    ]


class ObjectiveOptions(Structure):
    _initial = {"size": 32}
    _fields_ = [
        ("size", c_size_t),
        ("settings", POINTER(Setting)),
        ("n_settings", c_size_t),
        ("loss_alone", c_int),
    ]


class Trajectory(Structure):
    _initial = {"size": 64}
    _fields_ = [
        ("size", c_size_t),
        ("n_steps", c_size_t),
        ("n_environments", c_size_t),
        ("rewards", c_void_p),
        ("values", c_void_p),
        ("last_values", c_void_p),
        ("ends", c_void_p),
        ("final_values", c_void_p),
    ]


class Policy(Structure):
    _initial = {"size": 160, "log_sigma_low": float("-inf"), "log_sigma_high": float("inf"), "low": -1.0, "high": 1.0}
    _fields_ = [
        ("size", c_size_t),
        ("kind", c_int),
        ("first", Matrix),
        ("second", Matrix),
        ("sizes", c_void_p),
        ("n_sizes", c_size_t),
        ("mask", c_void_p),
        ("mask_row_stride", c_ssize_t),
        ("log_sigma_low", c_double),
        ("log_sigma_high", c_double),
        ("low", c_double),
        ("high", c_double),
    ]


class PolicyRecord(Structure):
    _initial = {"size": 40}
    _fields_ = [
        ("size", c_size_t),
        ("entropy", c_void_p),
        ("logprob", c_void_p),
        ("kl_pq", c_void_p),
        ("kl_qp", c_void_p),
    ]


class PolicyOptions(Structure):
    _initial = {"size": 16}
    _fields_ = [
        ("size", c_size_t),
        ("actions_are_before_squash", c_int),
    ]


class PolicyGradientRecord(Structure):
    _initial = {"size": 56}
    _fields_ = [
        ("size", c_size_t),
        ("entropy", c_void_p),
        ("logprob", c_void_p),
        ("kl_pq", c_void_p),
        ("kl_qp", c_void_p),
        ("d_action", POINTER(Matrix)),
        ("is_pathwise", c_int),
    ]


class PolicySampleOptions(Structure):
    _initial = {"size": 32}
    _fields_ = [
        ("size", c_size_t),
        ("seed", c_uint64),
        ("first_row", c_uint64),
        ("is_deterministic", c_int),
    ]


class SamplingRule(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("parameters", POINTER(Parameter)),
        ("n_parameters", c_size_t),
        ("says", c_char_p),
        ("source", c_char_p),
    ]


class Candidates(Structure):
    _fields_ = [
        ("tokens", c_void_p),
        ("logits", c_void_p),
        ("n", c_size_t),
        ("chosen", c_int32),
    ]


class ExternalRule(Structure):
    _fields_ = [
        ("apply", c_void_p),
        ("accept", c_void_p),
        ("reset", c_void_p),
        ("clone", c_void_p),
        ("release", c_void_p),
        ("user", c_void_p),
    ]


class RuleSource(Structure):
    _initial = {"size": 32}
    _fields_ = [
        ("size", c_size_t),
        ("find", c_void_p),
        ("make", c_void_p),
        ("user", c_void_p),
    ]


class SamplerOptions(Structure):
    _initial = {"size": 32}
    _fields_ = [
        ("size", c_size_t),
        ("seed", c_uint64),
        ("stream", c_uint64),
        ("source", POINTER(RuleSource)),
    ]


class Drawn(Structure):
    _initial = {"size": 80}
    _fields_ = [
        ("size", c_size_t),
        ("token", c_int32),
        ("is_chosen", c_int),
        ("logprob", c_double),
        ("entropy", c_double),
        ("varentropy", c_double),
        ("sampled_logprob", c_double),
        ("sampled_entropy", c_double),
        ("temperature", c_double),
        ("n_candidates", c_uint64),
        ("n_passes", c_uint64),
    ]


class Rule(Structure):
    _fields_ = [
        ("kind", c_int),
        ("share", c_double),
        ("count", c_uint64),
        ("low", c_double),
        ("high", c_double),
        ("tie_seed", c_uint64),
    ]


class Selection(Structure):
    _fields_ = [
        ("n_valid", c_size_t),
        ("n_kept", c_size_t),
        ("n_ties", c_size_t),
        ("threshold_low", c_double),
        ("threshold_high", c_double),
    ]


class Bounds(Structure):
    _fields_ = [
        ("low", c_double),
        ("high", c_double),
        ("tie", c_double),
        ("n_of_tie", c_uint64),
        ("n_ties", c_uint64),
        ("n_drawn", c_uint64),
        ("tie_seed", c_uint64),
        ("n_valid", c_uint64),
    ]


class Weighting(Structure):
    _fields_ = [
        ("kind", c_int),
        ("range", Rule),
    ]


class Recipe(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("purpose", c_char_p),
        ("level", c_char_p),
        ("by", c_char_p),
        ("rule", c_char_p),
        ("is_mask", c_int),
        ("scope", c_char_p),
        ("emit", c_char_p),
        ("method", c_char_p),
        ("weight", c_char_p),
        ("says", c_char_p),
        ("source", c_char_p),
    ]


# The size of every struct, as the headers' compiler has it.
SIZES = {
    Diagnosis: 40,
    Matrix: 40,
    Destination: 32,
    GemmOperands: 88,
    Comm: 32,
    ContextOptions: 88,
    Sum: 32,
    Parameter: 72,
    Setting: 24,
    QuantileOptions: 16,
    Stream: 16,
    ControllerKind: 56,
    Target: 16,
    ControllerOptions: 24,
    Command: 88,
    CeilingOptions: 16,
    Ceiling: 72,
    Forecast: 32,
    State: 88,
    Support: 56,
    Record: 128,
    MeasureOptions: 56,
    Pair: 32,
    Comparison: 64,
    Gradient: 80,
    OutputLayer: 64,
    TopLogprobs: 104,
    EntropyInterval: 40,
    Tokens: 136,
    ObjectiveRecord: 56,
    ObjectiveResult: 664,
    Objective: 64,
    ObjectiveOptions: 32,
    Trajectory: 64,
    Policy: 160,
    PolicyRecord: 40,
    PolicyOptions: 16,
    PolicyGradientRecord: 56,
    PolicySampleOptions: 32,
    SamplingRule: 40,
    Candidates: 32,
    ExternalRule: 48,
    RuleSource: 32,
    SamplerOptions: 32,
    Drawn: 80,
    Rule: 48,
    Selection: 40,
    Bounds: 64,
    Weighting: 56,
    Recipe: 96,
}

# The result and the arguments of every function.
PROTOTYPES = {
    "entrol_version": (c_char_p, []),
    "entrol_status_string": (c_char_p, [c_int]),
    "entrol_reason_string": (c_char_p, [c_int]),
    "entrol_dtype_size": (c_size_t, [c_int]),
    "entrol_dtype_name": (c_char_p, [c_int]),
    "entrol_cpu_name": (c_char_p, [c_int]),
    "entrol_cpu_available": (c_int, [c_int]),
    "entrol_context_create": (c_int, [c_void_p, c_void_p]),
    "entrol_context_destroy": (None, [c_void_p]),
    "entrol_context_cpu": (c_int, [c_void_p]),
    "entrol_context_n_threads": (c_size_t, [c_void_p]),
    "entrol_sum_add": (None, [c_void_p, c_double]),
    "entrol_sum_merge": (None, [c_void_p, c_void_p]),
    "entrol_sum_value": (c_double, [c_void_p]),
    "entrol_parameter_expected": (c_size_t, [c_char_p, c_size_t, c_void_p, c_size_t, c_char_p]),
    "entrol_quantile_method_name": (c_char_p, [c_int]),
    "entrol_quantile_method_parse": (c_int, [c_void_p, c_char_p]),
    "entrol_quantile": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t,
        c_void_p]),
    "entrol_quantile_of_stream": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "entrol_drive_name": (c_char_p, [c_int]),
    "entrol_controller_kind_count": (c_size_t, []),
    "entrol_controller_kind_at": (POINTER(ControllerKind), [c_size_t]),
    "entrol_controller_kind_find": (POINTER(ControllerKind), [c_char_p]),
    "entrol_target_parse": (c_int, [c_void_p, c_void_p, c_char_p]),
    "entrol_controller_create": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "entrol_controller_destroy": (None, [c_void_p, c_void_p]),
    "entrol_controller_kind_of": (POINTER(ControllerKind), [c_void_p]),
    "entrol_controller_command": (c_int, [c_void_p, c_void_p]),
    "entrol_controller_observe": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_double, c_uint64]),
    "entrol_controller_observe_tokens": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_controller_coefficient_of": (c_int, [c_void_p, c_void_p, c_double]),
    "entrol_controller_save": (c_int, [c_char_p, c_void_p, c_size_t, c_void_p]),
    "entrol_controller_restore": (c_int, [c_void_p, c_void_p, c_char_p, c_size_t]),
    "entrol_fit_ceiling": (c_int, [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p, c_size_t,
        c_void_p]),
    "entrol_measure_rows": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_compare_rows": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_mixture_rows": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "entrol_gradient_rows": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_measure_and_gradient_rows": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        c_void_p, c_void_p, c_void_p]),
    "entrol_output_workspace_size": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_measure_output": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p,
        c_void_p]),
    "entrol_gradient_output": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p,
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_state_merge": (c_int, [c_void_p, c_void_p, c_void_p]),
    "entrol_measure_states": (c_int, [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "entrol_entropy_of_distributions": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_double]),
    "entrol_entropy_bounds": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_estimator_name": (c_char_p, [c_int]),
    "entrol_estimator_parse": (c_int, [c_void_p, c_char_p]),
    "entrol_entropy_of_counts": (c_int, [c_void_p, c_void_p, c_void_p, c_size_t, c_int]),
    "entrol_objective_count": (c_size_t, []),
    "entrol_objective_at": (POINTER(Objective), [c_size_t]),
    "entrol_objective_find": (POINTER(Objective), [c_char_p]),
    "entrol_objective_needs": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_objective_compute": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_kl_estimator_name": (c_char_p, [c_int]),
    "entrol_kl_estimate": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t,
        c_int]),
    "entrol_advantage_gae": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_double, c_double]),
    "entrol_advantage_group": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_int, c_double]),
    "entrol_advantage_leave_one_out": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_advantage_whiten": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_double]),
    "entrol_advantage_repeat": (c_int, [c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_policy_kind_name": (c_char_p, [c_int]),
    "entrol_policy_kind_parse": (c_int, [c_void_p, c_char_p]),
    "entrol_policy_measure": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_policy_gradient": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        c_void_p]),
    "entrol_policy_sample": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_gaussian_entropy": (c_int, [c_void_p, c_void_p, c_size_t]),
    "entrol_sampling_rule_count": (c_size_t, []),
    "entrol_sampling_rule_at": (POINTER(SamplingRule), [c_size_t]),
    "entrol_sampling_rule_find": (POINTER(SamplingRule), [c_char_p]),
    "entrol_sampling_rule_of": (POINTER(SamplingRule), [c_char_p, c_void_p]),
    "entrol_sampler_create": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "entrol_sampler_destroy": (None, [c_void_p, c_void_p]),
    "entrol_sampler_clone": (c_int, [c_void_p, c_void_p, c_void_p]),
    "entrol_sampler_reset": (None, [c_void_p]),
    "entrol_sampler_set_stream": (None, [c_void_p, c_uint64]),
    "entrol_sampler_accept": (None, [c_void_p, c_int32]),
    "entrol_sampler_read": (None, [c_void_p, c_int32]),
    "entrol_sampler_set": (c_int, [c_void_p, c_size_t, c_char_p, c_double]),
    "entrol_sampler_draw": (c_int, [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_sampler_candidates": (c_size_t, [c_void_p, c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_rule_parse": (c_int, [c_void_p, c_void_p, c_char_p]),
    "entrol_select": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p,
        c_void_p]),
    "entrol_bounds_of_stream": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "entrol_apply_bounds": (None, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t]),
    "entrol_high_entropy_mask": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_double,
        c_void_p]),
    "entrol_weighting_parse": (c_int, [c_void_p, c_void_p, c_char_p]),
    "entrol_weight": (c_float, [c_void_p, c_double, c_double, c_float]),
    "entrol_flexmatch_thresholds": (c_int, [c_void_p, c_void_p, c_size_t, c_uint64, c_double]),
    "entrol_recipe_count": (c_size_t, []),
    "entrol_recipe_at": (POINTER(Recipe), [c_size_t]),
    "entrol_recipe_find": (POINTER(Recipe), [c_char_p]),
}
