"""The texts: every language whole, none unused, none missing; and a further language is one file."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xcomposer_ui
from xcomposer_ui.core.errors import LONGEST_LINE, first_line
from xcomposer_ui.core.messages import LANGUAGES, LOCALES, Message, Text, language_of, sentences, text, worded

PACKAGE = Path(xcomposer_ui.__file__).parent
HAN = re.compile(r"[\u4e00-\u9fff]")

CODED = {"Message": (0, ""), "text": (0, ""), "UserError": (0, "error.")}
"""Callable -> the argument that is a key of the locales, and what is put before it."""


def keys(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((LOCALES / f"{language}.json").read_text("utf-8"))
    return found


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", sentences("en"))
def test_both_languages_say_the_same_facts(key: str) -> None:
    english, chinese = (sentences(language)[key] for language in ("en", "zh"))
    assert placeholders(english) == placeholders(chinese)
    assert english.strip() and chinese.strip()


def test_every_language_has_every_key_itself() -> None:
    assert {language: list(keys(language)) == list(keys("en")) for language in LANGUAGES} == dict.fromkeys(
        LANGUAGES, True
    )


def test_chinese_is_chinese() -> None:
    """Only names are the same in both: of a setting, of file formats, of an error's own wording, of a dtype; and
    numbers."""
    same = {key for key, english in sentences("en").items() if sentences("zh")[key] == english}
    formats = {"compare.report.md", "compare.report.json", "compare.report.csv", "compare.report.jsonl"}
    answers = {key for key in same if re.fullmatch(r"\d+|b?float16", sentences("en")[key])}
    assert same - formats - answers == {"chat.thinking", "top_p", "explain.placeholder"}


def test_chinese_stands_in_its_locale_and_beside_the_rules_alone() -> None:
    """So that a sentence is said once; what the published model was trained on and the training data are no sentences
    to people."""
    allowed = (
        "locales/zh.json",
        "explain/rules/*.py",
        "explain/verdicts.py",
        "models/xcomposer2/prompt.py",
        "training/*.py",
        "training/data/*.json",
    )
    files = (path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".json", ".j2", ".html", ".js", ".css"})
    found = {path.relative_to(PACKAGE) for path in files if HAN.search(path.read_text("utf-8"))}
    assert {str(path) for path in found if not any(path.match(pattern) for pattern in allowed)} == set()


def trees() -> Iterator[ast.AST]:
    for path in PACKAGE.rglob("*.py"):
        if path.parts[len(PACKAGE.parts)] != "training":
            yield from ast.walk(ast.parse(path.read_text("utf-8")))


def templates() -> Iterator[str]:
    yield from (path.read_text("utf-8") for path in (PACKAGE / "ui" / "templates").rglob("*.html"))


def written_keys() -> Iterator[str]:
    """Regular expressions of the keys that source and templates write out, in full or with a part that varies."""
    for template in templates():
        for key, varies in re.findall(r"""["']([\w.]+)["'](\s*~)?""", template):
            yield re.escape(key) + (r"[\w.]+" if varies else "")
    for node in trees():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.escape(node.value)
            if re.fullmatch(r"[a-z]+\.\{name\}[a-z.]*", node.value):  # filled in by `Strategy.key`
                yield re.escape(node.value).replace(r"\{name\}", r"[\w.]+")
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if any(part and re.search(r"[a-z]\.|\.[a-z]", str(part)) for part in parts):
                yield "".join(r"[\w.]+" if part is None else re.escape(str(part)) for part in parts)
    for template in PACKAGE.rglob("*.html"):  # in Jinja a part that varies is joined with "~"
        for before, key, after in re.findall(r"(~ )?[\"']([\w.]+)[\"'](?=( ~)?)", template.read_text("utf-8")):
            yield (r"[\w.]+" if before else "") + re.escape(key) + (r"[\w.]+" if after else "")


def test_no_text_is_unused() -> None:
    # Mistakes are keys of `UserError`.
    whole, patterns = set[str](), list[str]()
    for pattern in written_keys():
        literal = re.sub(r"\\(.)", r"\1", pattern)
        (whole.add(literal) if re.escape(literal) == pattern else patterns.append(pattern))
    varying = re.compile("|".join(dict.fromkeys(patterns)))
    unused = {
        key
        for key in keys("en")
        if key not in whole and key.removeprefix("error.") not in whole and not varying.fullmatch(key)
    }
    assert unused == set()


def test_no_text_is_missing() -> None:
    missing = set()
    for node in trees():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODED and node.args:
            (index, prefix), code = CODED[node.func.id], None
            if isinstance(node.args[index], ast.Constant):
                code = f"{prefix}{node.args[index].value}"  # type: ignore[attr-defined]
            if code is not None and code not in sentences("en"):
                missing.add(code)
    for template in templates():
        missing |= set(re.findall(r"""\btext\(\s*["']([\w.]+)["']\s*[,)]""", template)) - set(sentences("en"))
    assert missing == set()


def test_a_placeholder_is_filled() -> None:
    assert text("status.loading", "en", model="m", dtype="float16") == "Loading m in float16"


def test_a_fact_that_is_a_message_is_put_into_the_same_language() -> None:
    message = Message("default.strategy", strategy="x", reason=Message("reason.strategy.everywhere"))
    assert str(message) == "Suggested for this machine: x, because it works on every machine."
    assert message.in_language("zh") == "本机推荐：x。在任何机器上都能回答。"


def test_a_message_travels_and_is_a_key() -> None:
    message = Message("silent.repeated", times=16, end=["not hashable"])
    assert pickle.loads(pickle.dumps(message)) == message
    assert {message: 1}[Message("silent.repeated", times=16, end=["not hashable"])] == 1


def test_plain_text_is_the_same_in_every_language() -> None:
    assert {worded("mat1 and mat2", language) for language in LANGUAGES} == {"mat1 and mat2"}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN", "zh"), ("zh", "zh"), ("ZH-TW,en", "zh"), ("en-US,zh", "en"), ("de", "en"), ("", "en")],
)
def test_the_browser_chooses_the_language(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_the_runners_reasons_have_their_chinese() -> None:
    from xcomposer_ui.backends.devices import choose_device  # brings torch
    from xcomposer_ui.core.settings import Settings
    from xcomposer_ui.runtime.runner import Runner

    reasons = [Runner(Settings(half=half))._half(None)[1] for half in ("auto", "bfloat16")]
    reasons += [choose_device(requested)[1] for requested in ("auto", "cpu")]
    assert all(HAN.search(worded(reason, "zh")) and not HAN.search(worded(reason, "en")) for reason in reasons)
    assert Message("reason.device.found", name="NVIDIA H200").in_language("zh") == "检测到 NVIDIA H200"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (KeyError("x"), "'x'"),
        (OSError("a" * 1000), "a" * LONGEST_LINE),
    ],
)
def test_the_first_line_of_an_error(error: Exception, line: str) -> None:
    assert first_line(error) == line


THIRD = """
import json
from xcomposer_ui.cli.explain import as_text
from xcomposer_ui.core.messages import LANGUAGES, Message, language_of, text, worded
from xcomposer_ui.core.result import explanation_as_json
from xcomposer_ui.core.settings import LANGUAGE_CHOICES, Settings
from xcomposer_ui.explain import explain
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.layout import build_app

explanation = explain("mat1 and mat2 must have the same dtype, but got Float and Half")
settings = Settings(language="de")
app, i18n = build_app(settings, Runner(settings))
switch = next(c for c in app.config["components"] if c["props"].get("elem_id") == "language")
print(json.dumps({
    "languages": LANGUAGES,
    "choices": LANGUAGE_CHOICES,
    "browser": language_of("de-AT,en;q=0.5"),
    "own": text("run", "de"),
    "absent": text("stop", "de"),
    "message": Message("reason.chosen").in_language("de"),
    "title": worded(explanation.title, "de"),
    "cause": explanation_as_json(explanation, "de")["cause"],
    "terminal": as_text(explanation, "de"),
    "switch": switch["props"]["choices"],
    "page": "Los!" in json.dumps(app.config, default=str),
    "i18n": i18n.translations_dict["de"]["run"],
}))
"""


@pytest.mark.slow
def test_a_further_language_is_one_file(tmp_path: Path) -> None:
    """A copy of the package with a German file beside the two: nothing else is changed."""
    shutil.copytree(PACKAGE, tmp_path / "xcomposer_ui", ignore=shutil.ignore_patterns("__pycache__", "training"))
    (tmp_path / "assets").symlink_to(PACKAGE.parent / "assets")
    german = {key: f"{sentence} (de)" for key, sentence in keys("en").items() if key != "stop"}
    german |= {"language.name": "Deutsch", "run": "Los!"}
    (tmp_path / "xcomposer_ui" / "locales" / "de.json").write_text(json.dumps(german), "utf-8")
    printed = subprocess.run(
        [sys.executable, "-c", THIRD], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout.splitlines()[-1])
    assert found["languages"] == ["en", "de", "zh"]
    assert found["choices"] == ["auto", "en", "de", "zh"]
    assert found["browser"] == "de"
    assert (found["own"], found["absent"]) == ("Los!", "Stop")
    assert found["message"] == "you asked for it (de)"
    # Rules speak English and Chinese.
    assert found["title"] == "A matrix product was given two dtypes"
    assert found["cause"].startswith("A linear layer or a matrix product got float32, float16")
    assert "cures it. (de)" in found["terminal"] and found["title"] in found["terminal"]
    assert found["switch"] == [["EN", "en"], ["Deutsch", "de"], ["中文", "zh"]]
    assert found["page"] and found["i18n"] == "Los!"


def test_a_rules_text_falls_back_to_english() -> None:
    both = Text("two", "两")
    assert [both.in_language(language) for language in ("en", "zh", "de")] == ["two", "两", "two"]
