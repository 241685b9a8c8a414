"""The evaluation's table: shares by kind, language and wording, as the card shows them."""

from xcomposer_ui.training.evaluation import Asked, Table, as_markdown, differing
from xcomposer_ui.training.questions import Turn

RED = Turn("colour", "en", "What color is the circle?", "The circle is red.")


def table(*answers: str, words: str = "trained") -> Table:
    made = Table()
    for answer in answers:
        made.note(Asked(0, "colour", "en", words, RED, RED), 1, answer)
    return made


def test_only_the_expected_sentence_counts_as_right() -> None:
    assert table("The circle is red.", "The circle is red", "Red.").share("colour") == 1 / 3


def test_what_was_not_asked_is_a_dash() -> None:
    assert "| colour | 50.0 | — | — | — | — | 2 |" in as_markdown(table("The circle is red.", "No."))
    assert "| colour | — | — | — | 100.0 | — | 1 |" in as_markdown(table("The circle is red.", words="unseen"))


def test_refused_honest_questions_are_counted() -> None:
    refusing = table("I am a small model that only knows drawn shapes.", "The circle is red.")
    assert "refused: 50.00 % of 2" in as_markdown(refusing)


def test_two_tables_differ_where_their_answers_do() -> None:
    assert differing(table("a", "b"), table("a", "c")) == 0.5
