"""The evaluation's table: accuracy by kind, language and wording, as the model card shows it."""

from xcomposer_ui.training.evaluation import AccuracyTable, EvaluationItem, as_markdown, differing_share
from xcomposer_ui.training.questions import Turn

RED = Turn("colour", "en", "What color is the circle?", "The circle is red.")


def table(*answers: str, wordings: str = "training") -> AccuracyTable:
    result = AccuracyTable()
    for answer in answers:
        result.add(EvaluationItem(0, "colour", "en", wordings, RED, RED), 1, answer)
    return result


def test_only_the_exact_sentence_is_correct() -> None:
    assert table("The circle is red.", "The circle is red", "Red.").share("colour") == 1 / 3


def test_a_column_without_answers_is_a_dash() -> None:
    assert "| colour | 50.0 | — | — | — | — | 2 |" in as_markdown(table("The circle is red.", "No."))
    assert "| colour | — | — | — | 100.0 | — | 1 |" in as_markdown(table("The circle is red.", wordings="held_out"))


def test_refused_answerable_questions_are_counted() -> None:
    refused = table("I am a small model that only knows drawn shapes.", "The circle is red.")
    assert "refused: 50.00 % of 2" in as_markdown(refused)


def test_the_differing_share_counts_different_answers() -> None:
    assert differing_share(table("a", "b"), table("a", "c")) == 0.5
