"""The backend of a ZeroGPU Space: a card is lent to a forked process for each piece of work.

The package `spaces`, which such a Space has, emulates a card in the page's process. Weights that are put on it before
the page is launched are kept on disk; each process that is lent a card starts with a copy of the page's process, and
the weights are moved to its card. Work and results cross between the processes as pickled data. All figures are
measured by the process that computes.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import httpx
import torch

from xcomposer_ui.backends import checkpoint
from xcomposer_ui.backends.graph_decoder import decoder_for
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.memory import weights_bytes
from xcomposer_ui.backends.run_control import Stopped
from xcomposer_ui.compare.execution import WARM_UP_TOKENS
from xcomposer_ui.core.errors import UserError, first_line
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.planning.gpu_time import gpu_seconds
from xcomposer_ui.runtime.backend import CallResult, ModelHost, Progress, ProgressSnapshot, Result, Work
from xcomposer_ui.runtime.executor import MEMORY_EVERY_SEC, TEXT_EVERY_SEC, Job

REFUSALS = {
    "ZeroGPU quota exceeded": "zero_gpu_quota",
    "ZeroGPU pending credits exceeded": "zero_gpu_quota",
    "ZeroGPU illegal duration": "zero_gpu_too_long",
    "ZeroGPU queue timeout": "zero_gpu_none_free",
    "ZeroGPU client error": "zero_gpu_none_free",
    "ZeroGPU worker error": "zero_gpu_taken_away",
}
"""Titles of the errors of `spaces` 0.51.3 -> ours. The last is also the title of a bug in the work, which is caught in
the process that computes and never gets there."""


def open_zero_gpu(model: str, device: str, decoder: str = "auto") -> ModelHost:
    """Where `model` is on a ZeroGPU Space: on the card that is lent, unless `device` is another than "auto" or "cuda".

    The first call has to come from the thread that launches the page. Raises UserError if there is no such model.
    """
    if device not in ("auto", "cuda"):
        return open_local(model, device, decoder)
    checkpoint.locate(model)
    on_card()
    return _host(model, decoder)


@dataclass(frozen=True)
class Outcome:
    """How work ended: with a result, or with what it raised for the caller; for a bug, that has its traceback."""

    result: Any = None
    raised: UserError | Stopped | RuntimeError | None = None

    def unwrapped(self) -> Any:
        """The result. Raises what the work raised."""
        if self.raised is not None:
            raise self.raised
        return self.result


def compute_here(
    model: str, decoder: str, work: Work[Any], seconds: int
) -> Generator[ProgressSnapshot | Outcome, None, None]:
    """Compute `work` on `model` in this process; yields its progress, and the outcome last.

    It yields at least every `TEXT_EVERY_SEC`, because only there does `spaces` notice that it is to be closed, which
    stops the work at the next token or block. Nothing is kept for the next call. seconds: read by `spaces` alone.
    """
    backend = _host(model, decoder).local
    backend.reasons["device"] = card_lent()
    job = Job(partial(backend.compute, work))
    thread = threading.Thread(target=job.work, args=(lambda: None,), name="worker", daemon=True)
    thread.start()
    try:
        with job:
            for n, _ in enumerate(job.poll(TEXT_EVERY_SEC)):
                yield job.progress.snapshot(whole=n % round(MEMORY_EVERY_SEC / TEXT_EVERY_SEC) == 0)
    finally:
        thread.join()
        backend.forget()
    yield _outcome(job)


def _outcome(job: Job[Any]) -> Outcome:
    try:
        return Outcome(job.result())
    except (UserError, Stopped) as raised:
        return Outcome(raised=raised)
    except Exception:
        return Outcome(raised=RuntimeError(f"the process on the card failed:\n{traceback.format_exc()}"))


def card_lent() -> Message:
    """The reason for the device, with the name of the card, or in the page's process of the one that is emulated."""
    return Message("reason.device.zero_gpu", name=torch.cuda.get_device_name(0))


class ZeroGpuBackend(LocalBackend):
    """The model in a process: of the page, where its weights are placed, or of the card, where it computes."""

    placing = False

    def __init__(self, model: str, decoder: str) -> None:
        reasons: dict[str, Sentence] = {"device": card_lent(), "kept": Message("reason.kept.zero_gpu")}
        super().__init__(model, "cuda", reasons, decoder_for(decoder, "cuda"))
        self._warm: set[tuple[str, str]] = set()

    def generate(self, request: Request, progress: Progress) -> CallResult:
        # A fresh process loads CUDA's libraries and kernels at their first use, which is no part of a run's figures.
        if (way := (request.strategy, request.half_dtype)) not in self._warm:
            self._warm.add(way)
            super().generate(replace(request, max_new_tokens=WARM_UP_TOKENS), Progress(stop=progress.stop))
            self.forget()
        return super().generate(request, progress)

    def place(self, dtype: str, progress: Progress) -> None:
        """Put the weights in `dtype` on the emulated card; for a small model those in float32 too."""
        self.placing = True
        try:
            super().load(dtype, progress)
            if self._is_small(self._models[dtype]):
                super().load("float32", progress)
        finally:
            self.placing = False

    def _time_copies(self, model: Any) -> None:
        if not self.placing:  # an emulated card copies nothing
            super()._time_copies(model)

    def loaded_bytes(self) -> int:
        """Bytes of the weights in memory."""
        return sum(weights_bytes(model) for model in self._models.values())

    def _other_bytes(self, request: Request) -> int:
        # Every model's placed weights are on the card.
        elsewhere = sum(host.local.loaded_bytes() for host in _HOSTS.values() if host.local is not self)
        return super()._other_bytes(request) + elsewhere

    def _read(self, dtype: str, report: Any) -> tuple[Any, Any]:
        if not self.placing:
            return super()._read(dtype, report)
        # transformers would read on threads of its own, for which no card is emulated. Mapped files are not used: once
        # it has its copy, `spaces` deletes them from the hub's cache.
        model, tokenizer = checkpoint.load(self.folder, dtype, "cpu", report, self._shown, mapped=False)
        return model.to(self.device), tokenizer


class ZeroGpuHost:
    """A model on the cards that are lent, as the page's process sees it."""

    def __init__(self, model: str, decoder: str) -> None:
        self.local, self._decoder = ZeroGpuBackend(model, decoder), decoder
        self.model, self.device, self.reasons = model, self.local.device, self.local.reasons
        self.revision: str | None = None
        self._placed_bytes = 0
        self._emulated_in = None if _HOSTS else threading.get_ident()

    def loaded(self) -> tuple[str, ...]:
        return self.local.loaded()

    def fetch(self, progress: Progress) -> None:
        self.local.fetch(progress)
        self.revision = self.local.revision

    def load(self, dtype: str, progress: Progress) -> float | None:
        """Download the checkpoint; the first model's weights are placed too, in the thread for which `spaces` emulates
        the card. Others are read where they are used."""
        self.fetch(progress)
        if self._emulated_in == threading.get_ident() and dtype not in self.loaded():
            self.local.place(dtype, progress)
            self._placed_bytes = self.local.loaded_bytes()
        return None

    def compute(self, work: Work[Result], progress: Progress) -> Result:
        """The result of `work`, computed by a process with a card. Raises UserError where none is lent, or it is taken
        away before the work has ended."""
        self.fetch(progress)
        progress.stage, progress.fraction = "card", None
        placed = self.loaded()
        seconds = gpu_seconds(self.model, work.runs, work.steps, placed_bytes=self._placed_bytes, placed=placed)
        outcome: Outcome | None = None
        with _refusals(seconds), closing(on_card()(self.model, self._decoder, work, seconds)) as updates:
            for update in updates:
                if isinstance(update, Outcome):
                    outcome = update
                elif progress.stop.is_set():
                    raise Stopped
                else:
                    progress.show(update)
        if outcome is None:
            raise RuntimeError("the process on the card ended without an outcome")
        result: Result = outcome.unwrapped()
        return result

    def budget_bytes(self) -> int | None:
        """All of the card's memory, as `spaces` knows it: nothing else is on it."""
        return int(torch.cuda.get_device_properties(0).total_memory)

    def forget(self) -> None:
        """Nothing to drop: no prefix is kept from one piece of work to the next."""

    def unload(self) -> None:
        """Nothing to drop: placed weights take no memory in this process."""


_HOSTS: dict[str, ZeroGpuHost] = {}
"""By model. A process with a card starts with a copy of what was placed."""


def _host(model: str, decoder: str) -> ZeroGpuHost:
    if model not in _HOSTS:
        _HOSTS[model] = ZeroGpuHost(model, decoder)
    return _HOSTS[model]


@cache
def on_card() -> Any:
    """`compute_here`, but by a process that `spaces` lends a card to; the arguments and what it yields are pickled.

    Raises UserError where `spaces` is not installed.
    """
    try:
        import spaces
    except ImportError as error:
        raise UserError("no_spaces") from error
    return spaces.GPU(duration=lambda model, decoder, work, seconds: seconds)(compute_here)


@contextmanager
def _refusals(seconds: int) -> Iterator[None]:
    """A context in which refusals of ZeroGPU become UserErrors. seconds: that were requested."""
    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:  # of `spaces.zero.client`: the service cannot be reached
        raise UserError("zero_gpu_unreachable", what=first_line(error)) from error
    except Exception as error:  # gradio.Error; this ring does not know Gradio
        code = REFUSALS.get(str(getattr(error, "title", "")))
        if code is None:
            raise
        what = str(getattr(error, "message", error)).strip().rstrip(".")
        raise UserError(code, seconds=seconds, what=what) from error
