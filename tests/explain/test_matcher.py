"""The table as a whole: complete, bilingual, light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from xcomposer_ui.core.messages import Text, worded
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.rule import Rule
from xcomposer_ui.explain.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.family}: {rule.title.en}")
def test_a_rule_is_written_in_both_languages(rule: Rule) -> None:
    for text in (rule.title, rule.cause):
        assert isinstance(text, Text)
        assert text.en.strip()
        assert text.en.isascii() or "“" in text.en
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)
    assert rule.patterns or rule.whole
    assert ("{dtypes}" in rule.cause.en) == ("{dtypes}" in rule.cause.zh)
    assert all(reference.url is None or reference.url.startswith("https://") for reference in rule.references)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_strategy_gets_a_verdict_and_a_reason(language: str) -> None:
    fixes = explain("expected scalar type Float but found Half").fixes
    assert [fix.strategy for fix in fixes] == list(STRATEGIES)
    assert all(worded(fix.why, language) and not fix.tried for fix in fixes)


def test_families_are_plain_names() -> None:
    assert all(rule.family.isidentifier() and rule.family.islower() for rule in RULES)


def test_no_pattern_is_shadowed_by_rules_that_cannot_decline() -> None:
    seen: dict[str, str] = {}
    for rule in RULES:
        for pattern in rule.patterns:
            assert pattern not in seen, f"{rule.family} never sees what {seen.get(pattern)} takes"
            if rule.applies is None:
                seen[pattern] = rule.family


def test_neither_torch_nor_gradio_is_loaded() -> None:
    code = (
        "import sys; from xcomposer_ui.explain import explain; assert not explain('no such error').recognised; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    loaded = set(ast.literal_eval(printed))
    assert "xcomposer_ui" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "gradio", "numpy", "PIL", "pandas"})


@pytest.mark.parametrize(
    "text",
    [
        "a" * 60_000,
        '"a ' * 20_000,
        "\n" * 60_000,
        "FlashAttention only supports fp16 " * 1_700,
        "MPS backend out of memory (",
    ],
    ids=["a word", "quotes", "empty lines", "half a message, often", "half a message"],
)
def test_a_hostile_paste_is_read_to_its_end(text: str) -> None:
    # Patterns with unbounded repeats would not come back from these.
    assert not explain(text * 2).recognised
