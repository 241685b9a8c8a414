"""Small checkpoints with random weights, made on the spot in the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from PIL import Image

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Tokenizer as Tokenizer

VOCABULARY = 320


def tiny_config(**changes: Any) -> InternLMXComposer2Config:
    """A configuration of some 60,000 parameters that sees 56-pixel pictures as 16 tokens."""
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "img_size": 56,
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        "plora_rank": 8,
        "plora_alpha": 8,
        "initializer_range": 0.2,
        "meta_instruction": "",
        "architectures": ["InternLMXComposer2ForCausalLM"],
    }
    return InternLMXComposer2Config(**{**sizes, **changes})


def tiny_model(seed: int = 0, **changes: Any) -> InternLMXComposer2ForCausalLM:
    """A float32 model with the same random weights for the same seed."""
    torch.manual_seed(seed)
    return InternLMXComposer2ForCausalLM(tiny_config(**changes)).eval()


def write_tokenizer(folder: Path) -> None:
    """A byte-fallback sentencepiece model of 320 pieces in the family's layout, turn tokens last."""
    sentences = ["What is in the picture?", "There is a red circle.", "system user assistant", "图中有什么？"]
    turn = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"
    with (folder / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences * 20),
            model_writer=file,
            vocab_size=VOCABULARY,
            model_type="bpe",
            byte_fallback=True,
            add_dummy_prefix=False,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            hard_vocab_limit=False,
            user_defined_symbols=list(turn),
            minloglevel=2,
        )


def write_checkpoint(folder: Path, model: InternLMXComposer2ForCausalLM | None = None, **save: Any) -> Path:
    """`model` (a tiny one unless given), its configuration and a tokenizer in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    Tokenizer(str(folder / "tokenizer.model")).save_pretrained(folder)
    (model or tiny_model()).save_pretrained(folder, **save)
    return folder


def write_questions(folder: Path, count: int, *others: str) -> None:
    """A small checkpoint, model/, and questions.jsonl about a.png: `count` lines, `others` in their middle."""
    write_checkpoint(folder / "model")
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    lines = [json.dumps({"question": f"Question {n}?", "image": "a.png", "id": n}) for n in range(count)]
    half = count // 2
    (folder / "questions.jsonl").write_text("\n".join([*lines[:half], *others, *lines[half:]]), "utf-8")
