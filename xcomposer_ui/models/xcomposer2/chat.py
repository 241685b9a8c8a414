"""`chat` and `stream_chat`: a question about pictures in, an answer and the longer history out."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from xcomposer_ui.models.xcomposer2.answer import answer_text
from xcomposer_ui.models.xcomposer2.cache import CACHE_NAME, PreallocatedCache
from xcomposer_ui.models.xcomposer2.penalty import BosRepetitionPenalty
from xcomposer_ui.models.xcomposer2.prompt import IMAGE_MARK, META_INSTRUCTION, History, prompt_text, with_marks
from xcomposer_ui.models.xcomposer2.streaming import StopWhenSet, TextQueue, thread_surroundings
from xcomposer_ui.models.xcomposer2.tiles import HD_NUM_OF_MANY
from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END
from xcomposer_ui.models.xcomposer2.vision import weights_device

Picture = str | PathLike[str] | Image.Image | Tensor
ChatHistory = list[tuple[str, str]]


class ChatMixin:
    """What users hold: `preprocess`, `chat`, `stream_chat`. The model brings the rest."""

    @torch.no_grad()
    def chat(
        self,
        tokenizer: Any,
        query: str,
        image: Picture | Sequence[Picture] | None = None,
        history: History = (),
        *,
        do_sample: bool = True,
        max_new_tokens: int = 1024,
        temperature: float = 1.0,
        top_p: float = 0.8,
        repetition_penalty: float = 1.005,
        num_beams: int = 1,
        meta_instruction: str | None = None,
        use_meta: bool = False,
        hd_num: int | None = None,
        streamer: Any | None = None,
        **generate_arguments: Any,
    ) -> tuple[str, ChatHistory]:
        """Answer `query`; returns (answer, history with this turn added).

        image: a path, a PIL picture, pixels as `preprocess` gives them, a list of those, or None for text only.
        Pixels keep the dtype they come in, and the tower hands its features on in that dtype.
        history: earlier (query, answer) pairs. `<ImageHere>` in a query marks a picture's place; where no query has
        one, pictures stand in front of the first.
        temperature above 0; top_p in 0..1 (both count only with do_sample). meta_instruction: None for the model's
        own, "" for none. Tiled members only: use_meta asks for the family's meta instruction, which they leave out;
        hd_num is the most tiles of a picture, at least 1. The rest goes to `generate`.
        Raises ValueError where marks and pictures do not match, RuntimeError where dtypes clash.
        """
        meta = self._meta_instruction(meta_instruction, use_meta)
        inputs = self.prompt_inputs(tokenizer, query, image, history, meta, hd_num=hd_num)
        ids = self.answer_ids(
            tokenizer,
            inputs,
            do_sample=do_sample,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            num_beams=num_beams,
            streamer=streamer,
            **generate_arguments,
        )
        answer = answer_text(tokenizer, ids)
        return answer, [*history, (query, answer)]

    @torch.no_grad()
    def answer_ids(self, tokenizer: Any, inputs: dict[str, Tensor], **generate_arguments: Any) -> list[int]:
        """The ids that the model generates after `inputs` (`prompt_inputs` makes them), the end token among them."""
        ids = self._generated(tokenizer, inputs, [None], **generate_arguments)
        prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0  # embeddings are not given back
        new: list[int] = ids[0, prompt:].tolist()
        return new

    def _generated(
        self,
        tokenizer: Any,
        inputs: dict[str, Tensor],
        prompts: Sequence[Tensor | None],
        *,
        do_sample: bool,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        **generate_arguments: Any,
    ) -> Tensor:
        """What `generate` gives for `inputs`, (B, new tokens), after the prompt's ids where `inputs` are ids.

        prompts: for each row the ids (1, T) that the repetition penalty sees beside the generated ones; None for none.
        """
        if do_sample:
            generate_arguments.update(temperature=temperature, top_p=top_p, top_k=0)
        processors = LogitsProcessorList(generate_arguments.pop("logits_processor", None) or [])
        if repetition_penalty != 1:
            processors.append(BosRepetitionPenalty(repetition_penalty, tokenizer.bos_token_id, prompts))
        generate_arguments.setdefault(CACHE_NAME, PreallocatedCache())
        ids: Tensor = self.generate(
            **inputs,
            do_sample=do_sample,
            max_new_tokens=max_new_tokens,
            logits_processor=processors,
            eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_END)],
            pad_token_id=tokenizer.pad_token_id,
            **generate_arguments,
        )
        return ids

    def stream_chat(
        self, tokenizer: Any, query: str, *args: Any, history: History = (), **kwargs: Any
    ) -> Generator[tuple[str, ChatHistory], None, None]:
        """Takes what `chat` takes, and yields (answer so far, history with it) after every token.

        Closing the generator stops the model after its current token. Raises what `chat` raises.
        """
        if len(args) > 1:  # (image, history) may come by position, as in `chat`
            history, args = args[1], args[:1]
        texts, stop, failed = TextQueue(tokenizer), threading.Event(), []
        criteria = StoppingCriteriaList([*(kwargs.pop("stopping_criteria", None) or []), StopWhenSet(stop)])
        surroundings = thread_surroundings(self.device.type)

        def work() -> None:
            try:
                with surroundings():
                    self.chat(
                        tokenizer, query, *args, history=history, streamer=texts, stopping_criteria=criteria, **kwargs
                    )
            except BaseException as error:  # handed to the caller's thread below
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

    def preprocess(self, image: str | PathLike[str] | Image.Image, hd_num: int | None = None) -> Tensor:
        """Normalised pixels, (1, 3, H, W) float32, on the vision tower's device.

        hd_num: the most tiles, for tiled members only: they give the resized and padded picture, not yet cut.
        Raises OSError where a path is no picture.
        """
        if not isinstance(image, Image.Image):
            with Image.open(Path(image)) as opened:
                image = opened.convert("RGB")
        return self.pixels_of(image, hd_num).to(self.vit.device)

    @torch.no_grad()
    def prompt_inputs(
        self,
        tokenizer: Any,
        query: str,
        image: Picture | Sequence[Picture] | None = None,
        history: History = (),
        meta_instruction: str | None = None,
        *,
        hd_num: int | None = None,
    ) -> dict[str, Tensor]:
        """What `generate` and the model take: inputs_embeds (1, T, width), im_mask (1, T); input_ids for text only."""
        meta_instruction = self._meta_instruction(meta_instruction)
        pictures = [] if image is None else list(image) if isinstance(image, (list, tuple)) else [image]
        if not pictures:
            # The published code writes <s> into the text, and the tokenizer adds its own: two stand in front.
            text = "<s>" + prompt_text(query, history, meta_instruction)
            ids = tokenizer(text, return_tensors="pt").input_ids[:, : self.config.max_prompt_tokens]
            return {"input_ids": ids.to(self.text_device)}
        if self.config.tiles is not None and len(pictures) > 1:
            hd_num = HD_NUM_OF_MANY
        pixels = [p if isinstance(p, Tensor) else self.preprocess(p, hd_num) for p in pictures]
        return self.joined_inputs(self.prompt_parts(tokenizer, query, history, meta_instruction, len(pixels)), pixels)

    def prompt_parts(
        self,
        tokenizer: Any,
        query: str,
        history: History = (),
        meta_instruction: str | None = None,
        pictures: int = 0,
    ) -> list[list[int]]:
        """The prompt's token ids before, between and after the pictures: one list more than pictures."""
        meta_instruction = self._meta_instruction(meta_instruction)
        tiled = self.config.tiles is not None
        query, history = with_marks(query, history, pictures, leave_out=tiled)
        text = prompt_text(query, history, meta_instruction)
        if tiled and IMAGE_MARK not in text:
            text = IMAGE_MARK * pictures + text  # before the first turn's start, not inside it
        parts = text.split(IMAGE_MARK)
        if tiled:  # the start token stands first, and nowhere else
            return [tokenizer(part, add_special_tokens=n == 0).input_ids for n, part in enumerate(parts)]
        return [tokenizer(part).input_ids if part else [] for part in parts]

    def joined_inputs(self, parts: Sequence[Sequence[int]], pixels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Token ids between pictures and the pictures' pixels to inputs_embeds (1, T, width) and im_mask (1, T).

        parts: one more than pictures; an empty one adds nothing. The prompt is cut at the model's longest.
        """
        return self.joined_embeddings(parts, [self.encode_image(picture) for picture in pixels])

    def joined_embeddings(self, parts: Sequence[Sequence[int]], pictures: Sequence[Tensor]) -> dict[str, Tensor]:
        """As `joined_inputs`, the pictures given as `encode_image` gives them, (1, image tokens, width)."""
        pieces: list[tuple[Tensor, bool]] = []
        for n, ids in enumerate(parts):
            if ids:
                pieces.append((self.model.tok_embeddings(torch.tensor([list(ids)], device=self.text_device)), False))
            if n < len(pictures):
                pieces.append((pictures[n], True))
        # Spread over several devices, text and picture come from two of them; the language model starts at the text's.
        home = next((piece.device for piece, is_image in pieces if not is_image), self.text_device)
        pieces = [(piece.to(home), is_image) for piece, is_image in pieces]
        embeds = torch.cat([piece for piece, _ in pieces], dim=1)
        mask = torch.cat([torch.full(p.shape[:2], kind, device=home) for p, kind in pieces], dim=1)
        longest = self.config.max_prompt_tokens
        return {"inputs_embeds": embeds[:, :longest], "im_mask": mask[:, :longest]}

    @property
    def text_device(self) -> torch.device:
        """Where token ids should be: with their embeddings, which may be elsewhere than the vision tower."""
        return weights_device(self.model.tok_embeddings.weight)

    def _meta_instruction(self, given: str | None, use_meta: bool = False) -> str:
        if given is not None:
            return given
        if use_meta:
            return META_INSTRUCTION
        if self.config.meta_instruction is not None:
            return str(self.config.meta_instruction)
        return META_INSTRUCTION if self.config.tiles is None else ""
