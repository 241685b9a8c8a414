"""The backend that runs models in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from xcomposer_ui.backends import batch_generation, checkpoint, divergence, generation
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.devices import (
    budget_bytes,
    choose_device,
    choose_threads,
    exempt_from_collection,
    free_bytes,
    free_models,
    free_unused,
)
from xcomposer_ui.backends.graph_decoder import GraphDecoder, decoder_for
from xcomposer_ui.backends.memory import weights_bytes
from xcomposer_ui.backends.prefix_cache import PrefixCache
from xcomposer_ui.backends.run_control import Stopped, copy_rate
from xcomposer_ui.backends.tracing.dtype_trace import traced_flow
from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.errors import UserError, out_of_memory
from xcomposer_ui.core.messages import Sentence
from xcomposer_ui.core.request import Request, tile_settings
from xcomposer_ui.runtime.backend import BatchCallResult, CallResult, Progress, Result, Work
from xcomposer_ui.tracing.dtype_flow import DtypeFlow

SMALL_PARAMETERS = 100_000_000
"""Parameters below which loading and running another strategy, or timing a few steps, takes a second or two."""


def open_local(model: str, device: str, decoder: str = "auto") -> LocalBackend:
    """A backend for `model` ("embedded", a folder, a hub id) on "auto" or one of `DEVICES`, without weights yet.

    decoder: one of `DECODERS`.
    Raises UserError if there is no such device or model.
    """
    chosen, reason = choose_device(device)
    checkpoint.locate(model)
    return LocalBackend(model, chosen, {"device": reason}, decoder_for(decoder, chosen))


class LocalBackend:
    """One checkpoint on one device. Weights are loaded on first use, once for each dtype, and kept while they fit."""

    def __init__(self, model: str, device: str, reasons: dict[str, Sentence], decoder: GraphDecoder) -> None:
        self.model = model
        self.device = device
        self.reasons = reasons
        self.revision: str | None = None
        self.decoder = decoder
        self._folder: Path | None = None
        self._models: dict[str, Any] = {}
        self._prefixes = PrefixCache()
        self._tokenizer: Any = None

    def loaded(self) -> tuple[str, ...]:
        return tuple(self._models)

    def fetch(self, progress: Progress) -> None:
        if self._folder is not None:
            return

        def report(fraction: float) -> None:
            if progress.stop.is_set():
                raise Stopped
            progress.stage, progress.fraction = "download", fraction

        self._folder, self.revision = checkpoint.fetch(self.model, report)
        progress.stage, progress.fraction = "load", None

    def load(self, dtype: str, progress: Progress) -> float | None:
        if dtype in self._models:
            return None
        self.fetch(progress)
        self._unload_unless_fits(dtype)
        started = time.perf_counter()

        def report(fraction: float) -> None:
            progress.fraction = fraction

        self._models[dtype], self._tokenizer = self._read(dtype, report)
        load_sec = time.perf_counter() - started
        exempt_from_collection()
        self._time_copies(self._models[dtype])
        if self.device == "cpu" and "threads" not in self.reasons:
            self.reasons["threads"] = choose_threads(self._models[dtype], small=self._is_small(self._models[dtype]))
        return load_sec

    def _time_copies(self, model: Any) -> None:
        copy_rate(model.device)  # measured once, and not during a run

    def _read(self, dtype: str, report: Callable[[float], None]) -> tuple[Any, Any]:
        """(model, tokenizer), read from the checkpoint."""
        return checkpoint.load(self.folder, dtype, self.device, report, self._shown)

    @property
    def folder(self) -> Path:
        """The checkpoint's, after `fetch`."""
        assert self._folder is not None
        return self._folder

    @property
    def _shown(self) -> str:
        """The model's name in errors."""
        return self.model if self.revision else self.folder.name

    @staticmethod
    def _is_small(model: Any) -> bool:
        return int(model.num_parameters()) < SMALL_PARAMETERS

    def weights(self, dtype: str) -> tuple[Any, Any]:
        """(model, tokenizer) as loaded in `dtype`. Raises KeyError if it is not loaded."""
        return self._models[dtype], self._tokenizer

    def _run(self, request: Request) -> ModelRun:
        return ModelRun.of(*self.weights(request.weights_dtype), request)

    def compute(self, work: Work[Result], progress: Progress) -> Result:
        return work.function(self, progress, *work.arguments)

    def generate(self, request: Request, progress: Progress) -> CallResult:
        run, others = self._run(request), self._other_bytes(request)
        check_prompt(run)
        result = generation.answer(run, progress, others, self.decoder, self._prefixes)
        kept_bytes = self._prefixes.nbytes + self.decoder.nbytes
        if kept_bytes and out_of_memory(result.failure_type, str(result.message)):
            self.forget()  # the run may fit without what earlier runs left
            self.decoder.clear()
            free_unused(self.device)
            result = generation.answer(run, progress, others, self.decoder, self._prefixes)
        return result

    def generate_batch(self, requests: Sequence[Request], progress: Progress) -> BatchCallResult:
        self.forget()  # leaves more memory to the batch
        runs = [self._run(request) for request in requests]
        for run in runs:
            check_prompt(run)
        return batch_generation.answer_batch(runs, progress, self._other_bytes(requests[0]), self.decoder)

    def measure_divergence(
        self, request: Request, variants: Sequence[tuple[str, str]], progress: Progress
    ) -> Divergences:
        def loaded(variant: Request) -> ModelRun:
            self.load(variant.weights_dtype, progress)
            return self._run(variant)

        return divergence.diverge(loaded, request, variants, progress)

    def try_remedy(self, request: Request, progress: Progress) -> CallResult | None:
        dtype = request.weights_dtype
        small = self._is_small(next(iter(self._models.values())))
        if not small and (dtype not in self._models or self.device == "cpu"):
            return None
        self.load(dtype, progress)
        trial = Progress(stop=progress.stop)  # does not change the run's own progress
        return generation.answer(self._run(request), trial, self._other_bytes(request), self.decoder)

    def trace_dtypes(self, request: Request, progress: Progress) -> DtypeFlow:
        run = self._run(request)
        check_prompt(run)
        return traced_flow(run, progress)

    def budget_bytes(self) -> int | None:
        return budget_bytes(self.device, sum(weights_bytes(model) for model in list(self._models.values())))

    def forget(self) -> None:
        self._prefixes.clear()

    def unload(self) -> None:
        self._tokenizer = None
        self._drop_weights()

    def _drop_weights(self) -> None:
        self._prefixes.clear()
        self.decoder.clear()
        self._models.clear()
        free_models(self.device)

    def _other_bytes(self, request: Request) -> int:
        """Bytes of the weights in memory that `request` does not use."""
        return sum(weights_bytes(model) for dtype, model in self._models.items() if dtype != request.weights_dtype)

    def _unload_unless_fits(self, dtype: str) -> None:
        """Unload the weights in other dtypes unless 1.2 times the new weights' bytes are free."""
        if not self._models:
            return
        loaded = next(iter(self._models.values()))
        needed = loaded.num_parameters() * torch.empty((), dtype=getattr(torch, dtype)).element_size()
        free = free_bytes(self.device)
        if free is not None and needed * 1.2 > free:
            self._drop_weights()


def check_prompt(run: ModelRun) -> None:
    """Raise UserError where the prompt is longer than the model reads: `chat` would cut it without a word."""
    config, request, size = run.model.config, run.question, run.question.picture_size
    parts = run.model.prompt_parts(run.tokenizer, request.text, request.history, pictures=int(size is not None))
    tokens = sum(len(ids) for ids in parts)
    if size is not None:
        tokens += config.image_tokens_of(config.pixel_size(size, **tile_settings(request)))
    if tokens > config.max_prompt_tokens:
        raise UserError("long_prompt", tokens=tokens, longest=config.max_prompt_tokens)
