"""The result of a run: the answer or the failure, and the measurement. Frozen records and their JSON.

Units are in the names: seconds and bytes. What was not measured is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.messages import Message, Sentence, worded
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.request import OPTIONAL_SETTINGS, Request


@dataclass(frozen=True)
class Fix:
    """Whether a strategy cures a failure: True, False, or None where that depends on what `why` names.

    tried: whether the verdict comes from running the strategy here, rather than from a rule.
    failed_with: the message of that run's failure; None where it answered, or was not tried.
    code: a script that applies the strategy; None for one that does not cure the failure.
    """

    strategy: str
    cures: bool | None
    why: Sentence
    tried: bool = False
    failed_with: Sentence | None = None
    code: str | None = None


@dataclass(frozen=True)
class Reference:
    """A link to further reading; url is None for a title alone."""

    title: str
    url: str | None = None


@dataclass(frozen=True)
class Explanation:
    """The meaning of an error text. `recognised` is False where no rule matched; nothing is guessed then.

    dtypes: in torch's spelling, in order of first appearance, without repeats.
    where: a sentence with the frame and the module that a pasted traceback names, or None.
    clash: whether `dtypes` are those of operands that one operation needs in one dtype.
    also: titles of other recognised errors in the same text, without repeats.
    """

    recognised: bool
    family: str | None
    title: Sentence
    cause: Sentence
    dtypes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    references: tuple[Reference, ...] = ()
    where: Sentence | None = None
    also: tuple[Sentence, ...] = ()
    clash: bool = False


@dataclass(frozen=True)
class Operand:
    """One tensor of the operation that failed.

    name: a parameter's full name, or a Message that names an activation by the module that made it.
    dtype: torch's spelling, "float16". shape: sizes, outermost first.
    origin: the operation and module that last gave it this dtype; `PARAMETER` or `BUFFER` of a weight.
    """

    name: Sentence
    dtype: str
    origin: Sentence
    shape: tuple[int, ...] = ()

    @property
    def is_weight(self) -> bool:
        """Whether it is a parameter or a buffer of the model."""
        return self.origin in (PARAMETER, BUFFER)

    @property
    def recorded_origin(self) -> str:
        """`origin` for JSON and the terminal: in English, and shorter than on the page."""
        if isinstance(self.origin, Message) and self.origin.code in _SHORT_ORIGINS:
            return _SHORT_ORIGINS[self.origin.code].format(**self.origin.facts)
        return str(self.origin)


PARAMETER, BUFFER = Message("origin.parameter"), Message("origin.buffer")
_SHORT_ORIGINS = {
    "origin.parameter": "parameter",
    "origin.buffer": "buffer",
    "origin.cast": "{dtype} since `{module}` ({operation})",
}


@dataclass(frozen=True)
class Failure:
    """An expected failure of a run.

    type: the exception's class name, or a kind of silent failure ("NonFiniteLogits").
    message: PyTorch's own text, or a Message where the lab itself detected the failure.
    module, operation, operands: where it was raised, as the run observed it; None and () where it could not.
    """

    type: str
    message: Sentence
    module: str | None
    operation: str | None
    operands: tuple[Operand, ...]
    explanation: Explanation
    traceback: str

    def line(self, language: str = "en") -> str:
        """Type and message on one line."""
        return f"{self.type}: {worded(self.message, language)}"


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one run. Times in seconds, memory in bytes.

    load_sec: loading the weights; None where they were in memory already.
    latency_sec: from the picture's pixels to the last token, loading excluded.
    time_to_first_token_sec: from the same start to the first token.
    tokens_per_sec: decoding only, (new_tokens - 1) / (last token's time - first token's time); None below two tokens.
    peak_memory_kind: "cuda_allocated" or "cpu_tensors" (see docs of `backends.memory`).
    weights_bytes: the part of the peak that is the weights of this run.
    reused_tokens: prompt tokens whose keys and values were in the prefix cache from an earlier turn.
    reused_picture: whether the picture's embeddings were cached. The first question of a conversation reuses nothing.
    batch_size: questions in this run's batch, itself included; the peak is that of the whole batch.
    decoder: how tokens after the first were computed, "eager" or "graph".
    record_sec: recording a graph and proving it, which is no part of the latency; None where that was not done.
    device_*: the same by a card's own events, from each step's embedding to its logits; None elsewhere. The rate is
    that of the median step, and the latency None where a graph was recorded.
    bandwidth_share: of what a copy moves on the card, 0..1, what decoding reads of the weights; None elsewhere.
    """

    load_sec: float | None = None
    latency_sec: float | None = None
    time_to_first_token_sec: float | None = None
    tokens_per_sec: float | None = None
    peak_memory_bytes: int | None = None
    peak_memory_kind: str | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    weights_bytes: int | None = None
    reused_tokens: int | None = None
    reused_picture: bool | None = None
    batch_size: int = 1
    decoder: str | None = None
    record_sec: float | None = None
    device_latency_sec: float | None = None
    device_time_to_first_token_sec: float | None = None
    device_tokens_per_sec: float | None = None
    bandwidth_share: float | None = None


@dataclass(frozen=True)
class AnswerTokens:
    """The tokens of an answer, its end token included where it has one.

    texts: of each token by itself, "" for one without a text. log_probabilities: natural logarithm of the probability
    that the model gave the token, from its logits as they were, before temperature and penalties.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    log_probabilities: tuple[float, ...]


def threads_in(reasons: Mapping[str, Sentence]) -> int | None:
    """How many of the CPU's threads compute, from the reasons of a run or of a status; None on another device."""
    reason = reasons.get("threads")
    return int(str(reason.facts["threads"])) if isinstance(reason, Message) else None


@dataclass(frozen=True)
class RunResult:
    """The result of a run: an `answer`, or a `failure` (then `answer` is None).

    request: with its model and half dtype resolved. device: that the run used.
    stopped: whether the user stopped it; `answer` is then what was generated so far.
    reasons: why each automatic choice ("device", "half", "threads", "decoder") was made.
    picture_size: (width, height) of the picture that the model was given, None without one.
    revision: the hub's commit of the weights; None for a folder.
    timeline: memory during the run, None where it was not measured.
    tokens: of a whole answer; None for a failure, a stopped answer, and an answer of a batch. Not part of the JSON.
    """

    request: Request
    device: str
    measurement: Measurement
    answer: str | None = None
    failure: Failure | None = None
    stopped: bool = False
    reasons: Mapping[str, Sentence] = field(default_factory=dict)
    picture_size: tuple[int, int] | None = None
    revision: str | None = None
    timeline: MemoryTimeline | None = None
    tokens: AnswerTokens | None = None

    @property
    def strategy(self) -> str:
        return self.request.strategy

    @property
    def half(self) -> str:
        """The run's 16-bit dtype."""
        return self.request.half_dtype

    @property
    def model(self) -> str:
        return self.request.model or ""

    @property
    def weights_dtype(self) -> str:
        return self.request.weights_dtype


def failure_as_json(failure: Failure | None) -> dict[str, Any] | None:
    """`failure` in the field names that scripts rely on."""
    if failure is None:
        return None
    return {
        **record_as_data(failure, "en"),
        "operands": operands_as_json(failure.operands),
        "explanation": explanation_as_json(failure.explanation),
    }


def operands_as_json(operands: Sequence[Operand]) -> list[dict[str, Any]]:
    """`operands` in the field names that scripts rely on."""
    return [{**record_as_data(o, "en"), "origin": o.recorded_origin} for o in operands]


def explanation_as_json(explanation: Explanation, language: str = "en") -> dict[str, Any]:
    """`explanation` in the field names that scripts rely on, its sentences in `language`."""
    data: dict[str, Any] = record_as_data(explanation, language)
    del data["clash"]
    return data


def result_as_json(result: RunResult) -> dict[str, Any]:
    """`result` in the field names that scripts rely on, flat."""
    return {
        "strategy": result.strategy,
        "half": result.half,
        "model": result.model,
        "revision": result.revision,
        "device": result.device,
        "weights_dtype": result.weights_dtype,
        "answer": result.answer,
        **vars(result.measurement),
        "seed": result.request.seed,
        **{name: getattr(result.request, name) for name in OPTIONAL_SETTINGS},
        "failure": failure_as_json(result.failure),
        "stopped": result.stopped,
        "reasons": record_as_data(result.reasons, "en"),
    }
