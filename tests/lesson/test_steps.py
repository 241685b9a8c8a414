"""The steps as data, their texts, their predictions; and every step run for real on the embedded model."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from xcomposer_ui.core.messages import LANGUAGES, sentences
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.lesson.experiments import EXPERIMENTS, Findings, Lab, experiment
from xcomposer_ui.lesson.step import Prediction, Step, lesson
from xcomposer_ui.planning.fit import FitChecker
from xcomposer_ui.planning.planner_process import PlannerProcess, plan_request, predict_shape
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.views.evidence import evidence_view, facts_of

NAMES = [step.name for step in lesson()]


class InThisProcess:
    """Plans without the process of its own, whose low priority a busy machine starves."""

    plan = staticmethod(plan_request)
    predict = staticmethod(predict_shape)


@pytest.fixture(scope="module")
def lab() -> Lab:
    runner = Runner(Settings())
    return Lab(runner, InThisProcess(), FitChecker(PlannerProcess(), runner.memory_budget))


@pytest.fixture(scope="module")
def found(lab: Lab) -> dict[str, Findings]:
    """The findings of the steps that were run already."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("step", lesson(), ids=NAMES)
def test_the_run_shows_the_expected_answer(step: Step, lab: Lab, found: dict[str, Findings]) -> None:
    findings = found[step.name] = experiment(lab, step)
    assert step.right(findings.figures) == step.expected
    facts = facts_of(findings.figures)
    for language in LANGUAGES:
        for part in ("showed", "why", *(f"tempting.{name}" for name in step.choices if name != step.expected)):
            needed = placeholders(sentences(language)[f"lesson.{step.name}.{part}"])
            assert needed <= set(facts)
            assert not [name for name in needed if facts[name] == "—"]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def texts_of(step: Step) -> Iterator[str]:
    yield from ("title", "before", "question", "showed", "why")
    for choice in step.choices:
        yield f"choice.{choice}"
        if choice != step.expected:
            yield f"tempting.{choice}"


@pytest.mark.parametrize("step", lesson(), ids=NAMES)
def test_a_step_has_all_its_texts(step: Step) -> None:
    assert [part for part in texts_of(step) if f"lesson.{step.name}.{part}" not in sentences("en")] == []
    assert step.experiment in EXPERIMENTS
    assert 3 <= len(step.choices) <= 4


@pytest.mark.parametrize("step", lesson(), ids=NAMES)
def test_why_is_three_sentences_at_most(step: Step) -> None:
    why = sentences("zh")[f"lesson.{step.name}.why"]
    assert why.count("。") <= 3


def test_no_text_belongs_to_a_step_that_is_not_there() -> None:
    known = {f"lesson.{step.name}.{part}" for step in lesson() for part in texts_of(step)}
    parts = ("title", "before", "question", "showed", "why", "choice", "tempting")
    written = {key for key in sentences("en") if key.startswith("lesson.") and key.split(".")[2:3] and
               key.split(".")[2] in parts}  # fmt: skip
    assert {key for key in written - known if key.split(".")[1] not in ("sheet",)} == set()


@pytest.mark.parametrize(
    ("test", "value", "measured", "holds"),
    [
        ("equals", True, True, True),
        ("equals", None, None, True),
        ("equals", 0, None, False),
        ("at_least", 2, 2, True),
        ("at_least", 2, None, False),
        ("at_most", 0.5, 0.6, False),
        ("starts_with", "vit", "vit.layer", True),
        ("starts_with", "vit", None, False),
    ],
)
def test_predictions(test: str, value: object, measured: object, holds: bool) -> None:
    prediction = Prediction("figure", test, value)  # type: ignore[arg-type]
    assert prediction.holds({"figure": measured}) is holds  # type: ignore[dict-item]


def test_the_right_answer_follows_from_the_figures() -> None:
    step = next(step for step in lesson() if step.name == "distance")
    assert step.right({"closest": "bfloat16"}) == "bfloat16"
    assert step.right({}) is None


def write(folder: Path, text: str, name: str = "01_new.json") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_malformed_step_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"01_new.json.*choices"):
        lesson(write(tmp_path, '{"experiment": "runs", "expected": "a", "opens": "ask"}'))
    with pytest.raises(ValueError, match="'b' is no choice"):
        lesson(write(tmp_path, '{"experiment": "runs", "choices": {"a": []}, "expected": "b", "opens": "ask"}'))


def test_a_step_is_one_file(tmp_path: Path) -> None:
    (step,) = lesson(
        write(
            tmp_path,
            '{"experiment": "arithmetic", "parameters": {"sum": ["1", "+", "1"]}, "opens": "floats", "expected": "two",'
            ' "choices": {"two": [{"figure": "sum_float16", "equals": 2}], "one": []}}',
        )
    )
    findings = EXPERIMENTS[step.experiment](None, step.parameters)  # type: ignore[arg-type]
    assert (step.name, step.right(findings.figures)) == ("new", "two")


@pytest.mark.slow
def test_the_evidence_has_the_figures_that_the_sentence_says(found: dict[str, Findings]) -> None:
    from datetime import datetime

    from xcomposer_ui.lesson.kept_results import StepResult

    if set(found) != set(NAMES):
        pytest.skip("needs the runs of every step, which this session left out")
    for step in lesson():
        shown = evidence_view(StepResult(step, found[step.name], datetime.now(), 1.0), "en")
        assert shown.count("<") > 5, step.name
