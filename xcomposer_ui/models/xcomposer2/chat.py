"""`chat`, `chat_batch` and `stream_chat`: from a question about pictures to an answer and the extended history."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from os import PathLike
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from xcomposer_ui.core.families.xcomposer2 import IMAGE_MARK
from xcomposer_ui.models.answer import GrowingAnswer
from xcomposer_ui.models.xcomposer2.prompt import META_INSTRUCTION, History, prompt_text, with_marks
from xcomposer_ui.models.xcomposer2.tiles import HD_NUM_OF_MANY

Picture = str | PathLike[str] | Image.Image | Tensor
Pictures = Picture | Sequence[Picture] | None
ChatHistory = list[tuple[str, str]]

SAMPLING: dict[str, Any] = {
    "do_sample": True,
    "max_new_tokens": 1024,
    "temperature": 1.0,
    "top_p": 0.8,
    "repetition_penalty": 1.005,
    "num_beams": 1,
}
"""Arguments of `generate`, as the published `chat` has them by default."""


class ChatMixin:
    """The conversation methods of the model: `chat`, `chat_batch`, `stream_chat`."""

    @torch.no_grad()
    def chat(
        self,
        tokenizer: Any,
        query: str,
        image: Pictures = None,
        history: History = (),
        *,
        meta_instruction: str | None = None,
        use_meta: bool = False,
        hd_num: int | None = None,
        **generate_arguments: Any,
    ) -> tuple[str, ChatHistory]:
        """Answer `query`; returns (answer, history with this turn added).

        image: a path, a PIL picture, pixels as `preprocess` returns them, a list of those, or None for text only.
        Pixels are not cast, and the tower returns its features in their dtype.
        history: earlier (query, answer) pairs. `<ImageHere>` in a query marks a picture's place; if no query has
        one, the pictures are put in front of the first.
        meta_instruction: None for the model's own, "" for none. Tiled members only: use_meta adds the family's meta
        instruction, which they omit by default; hd_num is the most tiles of a picture, at least 1.
        Other arguments are passed to `generate`, `streamer` among them; the defaults of some are in SAMPLING.
        temperature above 0; top_p in 0..1 (both are used only with do_sample).
        Raises ValueError if marks and pictures do not match, RuntimeError if dtypes clash.
        """
        if use_meta and meta_instruction is None:
            meta_instruction = META_INSTRUCTION
        inputs = self.prompt_inputs(tokenizer, query, image, history, meta_instruction, hd_num=hd_num)
        ids, *_ = self.answer_ids(tokenizer, [inputs], **{**SAMPLING, **generate_arguments})
        answer = self.answer_text(tokenizer, ids)
        return answer, [*history, (query, answer)]

    @torch.no_grad()
    def chat_batch(
        self,
        tokenizer: Any,
        queries: Sequence[str],
        images: Sequence[Pictures],
        histories: Sequence[History] | None = None,
        *,
        meta_instruction: str | None = None,
        hd_num: int | None = None,
        **generate_arguments: Any,
    ) -> list[tuple[str, ChatHistory]]:
        """Answer several questions in one call; greedy answers in float32 are the same as those of `chat`.

        queries, images, histories: one of each per question; these and the other arguments are as `chat` takes them.
        Raises ValueError if their numbers differ or are 0, and what `chat` raises.
        """
        histories = [()] * len(queries) if histories is None else histories
        if not queries or not len(queries) == len(images) == len(histories):
            found = f"{len(queries)} queries, {len(images)} images and {len(histories)} histories"
            raise ValueError(f"a batch needs as many queries as images and histories, at least one: {found}")
        rows = [
            self.prompt_inputs(tokenizer, query, image, history, meta_instruction, hd_num=hd_num)
            for query, image, history in zip(queries, images, histories, strict=True)
        ]
        answers = self.answer_ids(tokenizer, rows, **{**SAMPLING, **generate_arguments})
        return [
            (answer := self.answer_text(tokenizer, ids), [*history, (query, answer)])
            for ids, history, query in zip(answers, histories, queries, strict=True)
        ]

    def stream_chat(
        self, tokenizer: Any, query: str, image: Pictures = None, history: History = (), **kwargs: Any
    ) -> Generator[tuple[str, ChatHistory], None, None]:
        """Answer as `chat` does, with the same arguments; yields (answer so far, history with it) after every token.

        Closing the generator stops the model after its current token. Raises what `chat` raises.
        """
        texts, stop, failed = TextQueue(self.growing_answer(tokenizer)), threading.Event(), []
        criteria = StoppingCriteriaList([*(kwargs.pop("stopping_criteria", None) or []), StopWhenSet(stop)])
        autocast = callers_autocast(self.device.type)

        def work() -> None:
            try:
                with autocast:
                    self.chat(tokenizer, query, image, history, streamer=texts, stopping_criteria=criteria, **kwargs)
            except BaseException as error:  # raised again in the caller's thread below
                failed.append(error)
            finally:
                texts.end()

        worker = threading.Thread(target=work, name="stream_chat", daemon=True)
        worker.start()
        try:
            for text in iter(texts.texts.get, None):
                yield text, [*history, (query, text)]
        finally:
            stop.set()
            worker.join()
        if failed:
            raise failed[0]

    @torch.no_grad()
    def prompt_inputs(
        self,
        tokenizer: Any,
        query: str,
        image: Pictures = None,
        history: History = (),
        meta_instruction: str | None = None,
        *,
        hd_num: int | None = None,
    ) -> dict[str, Tensor]:
        """Inputs of `generate` and `forward`: inputs_embeds (1, T, width), im_mask (1, T); input_ids for text only."""
        pictures = [] if image is None else list(image) if isinstance(image, (list, tuple)) else [image]
        if not pictures:
            (ids,) = self.prompt_parts(tokenizer, query, history, meta_instruction)
            return {"input_ids": torch.tensor([ids[: self.config.max_prompt_tokens]], device=self.text_device)}
        if self.config.tiles is not None and len(pictures) > 1:
            hd_num = HD_NUM_OF_MANY
        pixels = [p if isinstance(p, Tensor) else self.preprocess(p, hd_num) for p in pictures]
        return self.joined_inputs(self.prompt_parts(tokenizer, query, history, meta_instruction, len(pixels)), pixels)

    def prompt_parts(
        self, tokenizer: Any, query: str, history: History = (), meta_instruction: str | None = None, pictures: int = 0
    ) -> list[list[int]]:
        if not pictures:
            # The published code writes <s> into the text, and the tokenizer adds another: the prompt starts with two.
            return [tokenizer("<s>" + prompt_text(query, history, self._meta_instruction(meta_instruction))).input_ids]
        tiled = self.config.tiles is not None
        query, history = with_marks(query, history, pictures, leave_out=tiled)
        text = prompt_text(query, history, self._meta_instruction(meta_instruction))
        if tiled and IMAGE_MARK not in text:
            text = IMAGE_MARK * pictures + text  # before the first turn's start, not inside it
        parts = text.split(IMAGE_MARK)
        if tiled:  # the start token stands first, and nowhere else
            return [tokenizer(part, add_special_tokens=n == 0).input_ids for n, part in enumerate(parts)]
        return [tokenizer(part).input_ids if part else [] for part in parts]

    def _meta_instruction(self, given: str | None) -> str:
        """The first that is not None of `given`, the checkpoint's own and the family's, which tiled members omit."""
        family = META_INSTRUCTION if self.config.tiles is None else ""
        return next(text for text in (given, self.config.meta_instruction, family) if text is not None)


class TextQueue:
    """A streamer for `generate` that puts the decoded text so far into a queue, and None at the end."""

    def __init__(self, answer: GrowingAnswer) -> None:
        self.texts: queue.Queue[str | None] = queue.Queue()
        self._answer = answer
        self._ids: list[int] | None = None

    def put(self, value: Tensor) -> None:
        if self._ids is None:  # `generate` passes the prompt first
            self._ids = []
            return
        self._ids += value.flatten().tolist()
        self.texts.put(self._answer.text(self._ids))

    def end(self) -> None:
        self.texts.put(None)


class StopWhenSet(StoppingCriteria):  # type: ignore[misc]
    """Ends `generate` after the token during which `event` was set."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.event.is_set(), dtype=torch.bool, device=input_ids.device)


def callers_autocast(device_type: str) -> torch.autocast:
    """The caller's autocast, to be entered in another thread: torch keeps it per thread."""
    enabled, dtype = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    return torch.autocast(device_type, dtype, enabled=enabled, cache_enabled=torch.is_autocast_cache_enabled())
