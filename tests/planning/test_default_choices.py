"""The check kept, and the choices that follow from it."""

from __future__ import annotations

import pytest

from tests.planning.machines import A100, facts
from xcomposer_ui.planning.default_choices import Machine, half_for, strategy_for, verdict_on
from xcomposer_ui.planning.hardware import Check, Gpu, checked

SLOW_CPU = checked(facts())
NATIVE_CPU = checked(facts(cpu_flags=frozenset({"avx512_fp16"})))
BFLOAT_CPU = checked(facts(cpu_flags=frozenset({"avx512_bf16"})))
WITH_A100 = checked(facts(gpu=A100, cuda="12.4"))
WITH_APPLE = checked(facts(apple_gpu="Apple M2"))
WITH_P40 = checked(facts(gpu=Gpu("P40", (6, 1), 24 << 30, 23 << 30, "1", ("sm_60",)), cuda="12.4"))


def test_the_check_is_made_once() -> None:
    made: list[Check] = []

    def look() -> Check:
        made.append(SLOW_CPU)
        return SLOW_CPU

    machine = Machine(look)
    assert machine.known is None
    assert machine.check() is machine.check() is machine.known
    assert len(made) == 1


@pytest.mark.parametrize(
    ("device", "check", "why"),
    [
        ("cpu", None, "every device computes it"),
        ("cpu", SLOW_CPU, "no 16-bit type is native on this CPU"),
        ("cpu", NATIVE_CPU, "native on this CPU"),
        ("cpu", BFLOAT_CPU, "only bfloat16 is native"),
        ("cuda", WITH_A100, "native on this GPU"),
        ("cuda", WITH_P40, "no 16-bit type is native on this GPU"),
        ("mps", WITH_APPLE, "every device computes it"),
    ],
)
def test_the_half_type_says_what_the_machine_makes_of_it(device: str, check: Check | None, why: str) -> None:
    half, reason = half_for(device, check)
    assert half == "float16"
    assert why in str(reason)
    assert why not in reason.in_language("zh")


@pytest.mark.parametrize(
    ("device", "check", "full_fits", "strategy"),
    [
        ("cpu", None, True, "autocast"),
        ("cpu", SLOW_CPU, True, "full"),
        ("cpu", SLOW_CPU, False, "autocast"),
        ("cpu", NATIVE_CPU, True, "autocast"),
        ("cuda", WITH_A100, True, "autocast"),
        ("cuda", WITH_P40, True, "full"),
    ],
)
def test_the_strategy_to_begin_with_follows_from_the_check(
    device: str, check: Check | None, full_fits: bool, strategy: str
) -> None:
    chosen, reason = strategy_for("float16", device, check, full_fits=full_fits)
    assert chosen == strategy
    assert str(reason) != reason.in_language("zh")


def test_what_the_check_does_not_say_is_unknown() -> None:
    assert verdict_on("float16", "cuda", SLOW_CPU) == "unknown"
