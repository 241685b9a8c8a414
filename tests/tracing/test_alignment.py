"""Rows side by side by name."""

from __future__ import annotations

import pytest

from xcomposer_ui.tracing.alignment import paired


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("ab", "ab", ["aa", "bb"]),
        ("ac", "abc", ["aa", "-b", "cc"]),
        ("abc", "ac", ["aa", "b-", "cc"]),
        ("ab", "abcd", ["aa", "bb", "-c", "-d"]),
        ("", "ab", ["-a", "-b"]),
        ("ab", "", ["a-", "b-"]),
        ("aab", "ab", ["aa", "a-", "bb"]),
        ("ab", "ba", ["aa", "bb"]),  # contradicting orders: the left one counts
        ("xab", "byac", ["x-", "-y", "aa", "bb", "-c"]),
    ],
)
def test_rows_of_one_name_stand_side_by_side(left: str, right: str, expected: list[str]) -> None:
    found = [f"{a or '-'}{b or '-'}" for a, b in paired(left, right, lambda name: name)]
    assert found == expected
