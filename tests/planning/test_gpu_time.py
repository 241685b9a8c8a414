"""The time for which a card is requested grows with the work."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.request import Request
from xcomposer_ui.planning.gpu_time import START_SEC, gpu_seconds

SMALL, LARGE = "embedded", "internlm/internlm-xcomposer2-vl-7b"
TILED = "internlm/internlm-xcomposer2d5-7b"


def asked(model: str, **changes: object) -> Request:
    given: dict[str, object] = {"file": "picture.png", "strategy": "unified", "half": "float16", "max_new_tokens": 16}
    return Request("What is this?", model=model, **given | changes)  # type: ignore[arg-type]


def seconds(request: Request) -> int:
    """For one run whose weights were placed."""
    return gpu_seconds(str(request.model), [request], placed=("float16",))


def test_it_grows_with_the_tokens_the_model_and_the_picture() -> None:
    assert START_SEC < seconds(asked(SMALL)) < seconds(asked(LARGE)) < seconds(asked(LARGE, max_new_tokens=256))
    assert seconds(asked(LARGE, file=None)) < seconds(asked(TILED))


def test_it_grows_with_the_runs_and_the_steps() -> None:
    run = asked(LARGE)
    assert gpu_seconds(LARGE, [run], placed=("float16",)) < gpu_seconds(LARGE, [run, run], placed=("float16",))
    assert gpu_seconds(SMALL, []) < gpu_seconds(SMALL, [], steps=100)


def test_weights_that_were_not_placed_take_longest() -> None:
    run = asked(LARGE)
    moved = gpu_seconds(LARGE, [run], placed_bytes=16 << 30, placed=("float16",))
    assert gpu_seconds(LARGE, [run], placed=("float16",)) < moved < gpu_seconds(LARGE, [run])
    assert gpu_seconds(LARGE, [run]) < gpu_seconds(LARGE, [replace(run, strategy="full")])


def test_a_run_of_the_published_checkpoint_fits_into_the_time_that_is_lent_by_default() -> None:
    """60 s, where a function names none."""
    runs = [asked(LARGE, max_new_tokens=256), *[asked(LARGE, max_new_tokens=2)] * 2]
    assert gpu_seconds(LARGE, runs, placed_bytes=17_300_000_000, placed=("float16",)) <= 60
