"""The family's tokenizer: a sentencepiece model with byte fallback, `<s>` in front."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import sentencepiece
from transformers import PreTrainedTokenizer

# sentencepiece's log levels. Its level is global and cannot be read; it starts with ALL.
_ALL, _ERRORS = 0, 2
_LOADING = threading.Lock()


class InternLMXComposer2Tokenizer(PreTrainedTokenizer):  # type: ignore[misc]
    """Text to ids and back, as the published `tokenizer.model` has it.

    Raises FileNotFoundError where the folder holds no tokenizer.model.
    """

    vocab_files_names = {"vocab_file": "tokenizer.model"}  # noqa: RUF012  (transformers reads it from the class)
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

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
        self.vocab_file = vocab_file
        self.add_bos_token = add_bos_token
        self.sp_model = _pieces(vocab_file)
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        super().__init__(unk_token=unk_token, bos_token=bos_token, eos_token=eos_token, pad_token=pad_token, **kwargs)

    @property
    def vocab_size(self) -> int:
        return int(self.sp_model.get_piece_size())

    def get_vocab(self) -> dict[str, int]:
        pieces = {self.sp_model.id_to_piece(i): i for i in range(self.vocab_size)}
        return {**pieces, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(self.sp_model.encode(text, out_type=str))

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.sp_model.piece_to_id(token))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.sp_model.id_to_piece(index))

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

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        name = (f"{filename_prefix}-" if filename_prefix else "") + self.vocab_files_names["vocab_file"]
        target = Path(save_directory) / name
        if Path(self.vocab_file).resolve() != target.resolve():
            shutil.copyfile(self.vocab_file, target)
        return (str(target),)


def _pieces(file: str) -> sentencepiece.SentencePieceProcessor:
    """The sentencepiece model in `file`.

    sentencepiece 0.2.3 warns on stderr that the published model has a piece for the null character, which changes
    nothing, so warnings are off while the file is read.
    """
    with _LOADING:
        sentencepiece.set_min_log_level(_ERRORS)
        try:
            return sentencepiece.SentencePieceProcessor(model_file=file)
        finally:
            sentencepiece.set_min_log_level(_ALL)
