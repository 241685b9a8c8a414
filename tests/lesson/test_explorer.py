"""The explorer: what each format makes of a calculation, in exact figures; mistakes; bits back to a number."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.lesson.explorer import LONGEST_NUMBER, Calculation, Held, explored, held, number_of
from xcomposer_ui.lesson.formats import FORMATS, format_named


def in_format(name: str, *calculation: str) -> Held:
    return held(Calculation(*calculation), format_named(name))


def test_a_tenth_is_in_no_format() -> None:
    for one in explored(Calculation("0.1")):
        assert one.state == "rounded"
        assert one.error == Fraction(one.value) - Fraction(1, 10) != 0
        assert one.below is not None and one.above is not None and one.below < one.value < one.above


@pytest.mark.parametrize(
    ("name", "calculation", "value", "state"),
    [
        ("float16", ("2048", "+", "1"), 2048, "rounded"),
        ("float32", ("2048", "+", "1"), 2049, "exact"),
        ("tfloat32", ("2048", "+", "1"), 2049, "exact"),
        ("bfloat16", ("256", "+", "1"), 256, "rounded"),
        ("float16", ("256", "+", "1"), 257, "exact"),
        ("float16", ("70000",), math.inf, "overflow"),
        ("bfloat16", ("70000",), 70144, "rounded"),
        ("float16", ("1e-8",), 0, "underflow"),
        ("float16", ("1e-6",), 1.0132789611816406e-06, "subnormal"),
        ("float8_e4m3fn", ("449",), 448, "rounded"),
        ("float8_e5m2", ("300", "×", "300"), math.inf, "overflow"),
    ],
)
def test_known_calculations(name: str, calculation: tuple[str, ...], value: float, state: str) -> None:
    found = in_format(name, *calculation)
    assert (found.value, found.state) == (value, state)


def test_e4m3_has_no_infinity_and_stops_at_its_largest_value() -> None:
    for text in ("70000", "inf", "-inf"):
        found = in_format("float8_e4m3fn", text)
        assert (abs(found.value), found.state) == (448, "overflow")


def test_infinity_and_nan_can_be_typed() -> None:
    assert {one.state for one in explored(Calculation("nan"))} == {"nan"}
    assert in_format("float16", "-inf").value == -math.inf


def test_full_width_characters_are_read() -> None:
    assert in_format("float32", "－１２．５ｅ１").value == -125
    assert math.copysign(1, in_format("float16", "−0").value) == -1


def test_spacing_doubles_with_each_power_of_two() -> None:
    assert in_format("float16", "1").spacing == 2**-10
    assert in_format("float16", "2").spacing == 2**-9
    assert in_format("float16", "-2").spacing == 2**-9
    assert in_format("float16", "70000").spacing is None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_bits_and_numbers_are_each_others(form: object) -> None:
    name = form.name  # type: ignore[attr-defined]
    for text in ("0.1", "-3.5", "1e-5", "240", "0"):
        shown = in_format(name, text)
        assert in_format(name, number_of(name, shown.bits)).bits == shown.bits


def test_a_flipped_sign_bit_negates() -> None:
    assert number_of("bfloat16", "1" + in_format("bfloat16", "2").bits[1:]) == "-2.0"


@pytest.mark.parametrize(
    "text", ["", "abc", "1,5", "1e999999999", "0x10", "9" * (LONGEST_NUMBER + 1), "sNaN", "1e-401"]
)
def test_what_is_not_a_number_is_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError):
        Calculation(text)


@pytest.mark.parametrize("sent", [("float16", "01"), ("float16", "2" * 16), ("float9", "0"), ("float16", "")])
def test_what_is_not_bits_is_the_users_mistake(sent: tuple[str, str]) -> None:
    with pytest.raises(UserError):
        number_of(*sent)
    with pytest.raises(UserError):
        Calculation("1", "/", "2")
