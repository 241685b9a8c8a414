"""A flow as a path: stages in their order, what happens between the modules, what is hidden inside."""

from __future__ import annotations

import json

import pytest

from xcomposer_ui.tracing.dtype_flow import Cast, DtypeFlow, ModuleCall, OutsideCast
from xcomposer_ui.tracing.dtype_path import PathStep, paired, path, paths_aligned, stage_of, step_as_json

H, S, L = ("float16",), ("float32",), ("int64",)
WIDEN, NARROW = Cast("aten._to_copy", "float16", "float32"), Cast("aten._to_copy", "float32", "float16")


def flow(*calls: tuple[object, ...], outside: tuple[OutsideCast, ...] = (), failed: str = "nothing") -> DtypeFlow:
    """From (name, depth, in, weights, out, casts...) rows."""
    made = tuple(
        ModuleCall(index, name, "", depth, given, out, weights, tuple(casts), failed=failed.startswith(name))
        for index, (name, depth, given, weights, out, *casts) in enumerate(calls)  # type: ignore[misc]
    )  # fmt: skip
    return DtypeFlow(made, outside=outside)


WHOLE = flow(
    ("model.tok_embeddings", 0, L, H, H),
    ("vit", 0, H, (), H),
    ("vit.layers.0", 1, H, H, H),
    ("vision_proj", 0, H, (), H),
    ("vision_proj.0", 1, H, H, H),
    ("Family", 0, H, (), H),
    ("model", 1, H, (), H, NARROW),
    ("model.layers.0", 2, H, (), H),
    ("model.layers.0.norm", 3, H, H, H, WIDEN, NARROW),
    ("model.layers.0.mlp", 3, H, S, H, NARROW),
    ("output", 1, H, H, H),
    outside=(OutsideCast(0, NARROW), OutsideCast(11, WIDEN)),
)


def row(step: PathStep) -> tuple[str, str, int]:
    return step.stage, step.name, step.level


def test_a_run_is_followed_from_the_pixels_to_the_choice_of_a_token() -> None:
    assert [row(step) for step in path(WHOLE)] == [
        ("text", "model.tok_embeddings", 0),
        ("pixels", "", 0),
        ("tower", "vit", 0),
        ("tower", "vit.layers.0", 1),
        ("projector", "vision_proj", 0),
        ("projector", "vision_proj.0", 1),
        ("prompt", "", 0),
        ("module", "model", 0),
        ("block", "model.layers.0", 0),
        ("block", "model.layers.0.norm", 1),
        ("block", "model.layers.0.mlp", 1),
        ("logits", "output", 0),
        ("choice", "", 0),
    ]


def test_a_picture_that_was_cast_before_the_model_saw_it_says_so() -> None:
    pixels = next(step for step in path(WHOLE) if step.stage == "pixels")
    assert (pixels.dtypes_in, pixels.dtypes_out, pixels.casts) == (S, H, (NARROW,))
    uncast = flow(("vit", 0, S, (), S))
    assert [(step.stage, step.dtypes_in, step.dtypes_out) for step in path(uncast)] == [
        ("pixels", S, S),
        ("tower", S, S),
    ]


def test_the_prompt_tells_what_met_in_it() -> None:
    mixed = flow(
        ("model.tok_embeddings", 0, L, H, H),
        ("vit", 0, S, (), S),
        ("vision_proj", 0, S, S, S),
        ("Family", 0, S, (), S),
        outside=(OutsideCast(3, Cast("aten.cat", "float16", "float32")),),
    )
    prompt = next(step for step in path(mixed) if step.stage == "prompt")
    assert (prompt.dtypes_in, prompt.dtypes_out) == (("float16", "float32"), S)
    assert prompt.casts == (Cast("aten.cat", "float16", "float32"),)


def test_the_choice_of_a_token_is_told_once_for_all_tokens() -> None:
    two = flow(("output", 0, H, H, H), ("output", 0, H, H, H), outside=(OutsideCast(1, WIDEN), OutsideCast(2, WIDEN)))
    assert [step.stage for step in path(two)] == ["logits", "choice"]


def test_a_step_tells_what_lies_inside() -> None:
    block = next(step for step in path(WHOLE) if step.stage == "block" and step.level == 0)
    assert (block.islands, block.casts_within) == (1, 1)
    assert block.dtypes_parameters == ("float16", "float32")
    norm = next(step for step in path(WHOLE) if step.name.endswith(".norm"))
    assert norm.is_island


def test_a_failed_run_ends_at_the_clash() -> None:
    failed = flow(
        ("vit", 0, S, (), S), ("vision_proj", 0, S, (), ()), ("vision_proj.0", 1, S, H, ()), failed="vision_proj.0"
    )
    steps = path(failed)
    assert [step.name for step in steps if step.failed] == ["vision_proj", "vision_proj.0"]
    assert steps[-1].name == "vision_proj.0"


def test_two_runs_stand_side_by_side_to_the_end_of_the_longer_one() -> None:
    short = flow(("vit", 0, S, (), S), ("vision_proj", 0, S, (), ()), failed="vision_proj")
    pairs = [
        (left.stage if left else None, right.stage if right else None) for left, right in paths_aligned(short, WHOLE)
    ]
    assert pairs[:4] == [(None, "text"), ("pixels", "pixels"), ("tower", "tower"), (None, "tower")]
    assert ("projector", "projector") in pairs
    assert pairs[-1] == (None, "choice")


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("vit", "tower"),
        ("model.vision_tower", "tower"),
        ("model.visual", "tower"),
        ("model.multi_modal_projector", "projector"),
        ("model.language_model.embed_tokens", "text"),
        ("model.language_model.layers.11", "block"),
        ("lm_head", "logits"),
        ("model.norm", "norm"),
        ("vit.vision_tower.vision_model.pre_layrnorm", None),
        ("model.layers.0.attention_norm", None),
        ("InternLMXComposer2ForCausalLM", None),
    ],
)
def test_a_stage_is_known_by_its_module_s_name(name: str, stage: str | None) -> None:
    assert stage_of(name) == stage


def test_the_json_has_every_step_and_survives_a_round_trip() -> None:
    document = json.loads(json.dumps([step_as_json(step) for step in path(WHOLE)]))
    assert len(document) == len(path(WHOLE))
    assert document[1] == {
        "stage": "pixels",
        "module": None,
        "level": 0,
        "dtypes_in": ["float32"],
        "dtypes_out": ["float16"],
        "dtypes_parameters": [],
        "casts": [{"operation": "aten._to_copy", "from": "float32", "to": "float16"}],
        "island": False,
        "failed": False,
        "calls": None,
    }


def test_a_flow_without_calls_has_no_steps() -> None:
    assert path(DtypeFlow(())) == ()


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
