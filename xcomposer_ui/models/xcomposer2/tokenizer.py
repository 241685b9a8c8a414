"""The family's tokenizer: a sentencepiece model with byte fallback, `<s>` in front."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sentencepiece
from transformers import SentencePieceBackend

# sentencepiece's log levels. Its level is global and cannot be read; it starts with ALL.
_ALL, _ERRORS = 0, 2
_LOADING = threading.Lock()


class InternLMXComposer2Tokenizer(SentencePieceBackend):  # type: ignore[misc]
    """Text to ids and back, as the published `tokenizer.model` has it.

    Raises FileNotFoundError where the folder holds no tokenizer.model.
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012  (transformers reads it from the class)

    def __init__(
        self,
        vocab_file: str | None = None,
        unk_token: str = "<unk>",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        pad_token: str = "</s>",
        add_bos_token: bool = True,
        **kwargs: Any,
    ) -> None:
        if vocab_file is None:
            raise FileNotFoundError("the checkpoint's folder holds no tokenizer.model")
        self.add_bos_token = add_bos_token
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        tokens = {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token, "pad_token": pad_token}
        with _errors_only():
            super().__init__(vocab_file=vocab_file, **tokens, **kwargs)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Pieces to text. Special tokens stay as they are; a leading space is text, not padding, and is kept."""
        text = ""
        run: list[str] = []
        special = set(self.all_special_tokens)  # a property that is computed at each access
        for token in tokens:
            if token in special:
                text += self._joined(run) + token
                run = []
            else:
                run.append(token)
        return text + self._joined(run)

    def _joined(self, pieces: list[str]) -> str:
        text = str(self.sp_model.decode_pieces(pieces)) if pieces else ""
        # sentencepiece takes the first piece's space for the dummy prefix that this family does not use.
        return " " + text if pieces and pieces[0].startswith("▁") and not text.startswith(" ") else text

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        start = [self.bos_token_id] if self.add_bos_token else []
        return start + token_ids_0 + (token_ids_1 or [])


@contextmanager
def _errors_only() -> Iterator[None]:
    """A context without sentencepiece's warnings.

    sentencepiece 0.2.3 warns on stderr that the published model has a piece for the null character, which changes
    nothing.
    """
    with _LOADING:
        sentencepiece.set_min_log_level(_ERRORS)
        try:
            yield
        finally:
            sentencepiece.set_min_log_level(_ALL)
