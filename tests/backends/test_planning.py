"""Dry runs compared with real runs on random weights, with whole fake models, and with PyTorch's own tracker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from tests.checkpoints import VOCABULARY, tiny_config, write_tokenizer
from xcomposer_ui.backends import generation
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.graph_decoder import GraphDecoder, plain
from xcomposer_ui.backends.planning.calibration import error_of_run
from xcomposer_ui.backends.planning.card_memory import MIB, WORKSPACE_BYTES, CachingAllocator
from xcomposer_ui.backends.planning.configuration import configuration_of
from xcomposer_ui.backends.planning.dry_run import dry_run
from xcomposer_ui.backends.planning.fake_model import fake_model
from xcomposer_ui.backends.planning.kernels import kernel, scratch_bytes
from xcomposer_ui.backends.planning.planner import Planner, memory_here, plan, planned_device
from xcomposer_ui.backends.planning.recording import Recorder, peaks
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import PLANNED, STRATEGIES
from xcomposer_ui.models.xcomposer2 import (
    InternLMXComposer2Config,
    InternLMXComposer2ForCausalLM,
    InternLMXComposer2Tokenizer,
)
from xcomposer_ui.planning.plan import PlanRequest, plan_as_json
from xcomposer_ui.runtime.backend import Progress
from xcomposer_ui.training.recipe import Recipe

PICTURE = Image.radial_gradient("L").convert("RGB")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> InternLMXComposer2Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return InternLMXComposer2Tokenizer(str(folder / "tokenizer.model"))


def embedded_shape() -> InternLMXComposer2Config:
    """The embedded model's configuration, with the test tokenizer's vocabulary."""
    config = Recipe().configuration()
    config.vocab_size = VOCABULARY
    return config


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_within_one_percent_of_what_a_run_takes(
    tokenizer: InternLMXComposer2Tokenizer, strategy: str, half: str
) -> None:
    config = embedded_shape()
    chosen = STRATEGIES[strategy]
    torch.manual_seed(0)
    model = InternLMXComposer2ForCausalLM(config).to(getattr(torch, chosen.weights_dtype(half))).eval()
    for picture in (PICTURE, None):
        text = "What is there? Tell me all of it."
        question = Request(text, picture, strategy=strategy, half=half, max_new_tokens=12)
        for _ in range(2):  # kernels keep what they made in their first call
            measured = generation.answer(ModelRun.of(model, tokenizer, question), Progress()).measurement
        pair = error_of_run(config, "cpu", question, measured)
        assert pair is not None
        assert abs(pair.error) < 0.01, pair


@pytest.mark.parametrize("tokens", [12, 300])
def test_a_run_that_is_decoded_by_a_recorded_step_is_predicted_with_its_static_caches(
    tokenizer: InternLMXComposer2Tokenizer, tokens: int
) -> None:
    config = embedded_shape()
    torch.manual_seed(0)
    model = InternLMXComposer2ForCausalLM(config).eval()
    question = Request("What is there?", PICTURE, strategy="full", half="float16", max_new_tokens=tokens)
    decoder = GraphDecoder(plain, "")
    for recorded in (True, False):
        measured = generation.answer(ModelRun.of(model, tokenizer, question), Progress(), decoder=decoder).measurement
        assert (measured.decoder, measured.record_sec is not None) == ("graph", recorded)
        pair = error_of_run(config, "cpu", question, measured)
        assert pair is not None
        assert abs(pair.error) < 0.02, pair


def test_a_plan_names_what_recorded_decoding_takes_beside_the_total() -> None:
    found = plan(PlanRequest("internlm/internlm-xcomposer2-vl-7b", device="cpu"))
    by_name = {strategy.strategy: strategy.on_card for strategy in found.strategies}
    token_bytes = 32 * 2 * 8 * 128 * 2  # layers, keys and values, heads, head_dim, float16
    assert by_name["unified"].decoder_bytes == 2048 * token_bytes + WORKSPACE_BYTES
    assert by_name["full"].decoder_bytes == 2 * 2048 * token_bytes + WORKSPACE_BYTES
    assert by_name["as_is"].decoder_bytes == 0  # it fails before there is a cache
    for card in by_name.values():
        assert card.total_bytes == card.allocated_bytes + card.reserved_bytes + card.context_bytes


@pytest.mark.slow
@pytest.mark.parametrize("hd_num", [None, 2])
def test_a_tiled_run_is_predicted_with_the_tiles_it_took(
    tokenizer: InternLMXComposer2Tokenizer, hd_num: int | None
) -> None:
    config = embedded_shape()
    config.tiles = "2.5"
    config.vision_config.image_size = 8 * config.vision_config.patch_size  # neighbours are merged by twos
    torch.manual_seed(0)
    model = InternLMXComposer2ForCausalLM(config).eval()
    question = Request(
        "What is there?", PICTURE.resize((480, 480)), strategy="full", half="float16", max_new_tokens=4, hd_num=hd_num
    )
    for _ in range(2):  # kernels keep what they made in their first call
        measured = generation.answer(ModelRun.of(model, tokenizer, question), Progress()).measurement
    pair = error_of_run(config, "cpu", question, measured)
    assert pair is not None
    assert abs(pair.error) < 0.01, pair


def dry_run_of(strategy: str, config: InternLMXComposer2Config, request: PlanRequest, kept: int = 3):
    mode = FakeTensorMode()
    planned = PLANNED[strategy]
    with mode:
        fake = fake_model(config, getattr(torch, planned.weights_dtype("float16")), kept)
    return dry_run(fake, request, planned, mode)


REQUEST = PlanRequest("m", (56, 56), prompt_tokens=20, new_tokens=300)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unified", "autocast_full_weights"])
def test_three_layers_tell_what_seven_do(strategy: str) -> None:
    config = tiny_config(num_hidden_layers=7)
    short, whole = (dry_run_of(strategy, config, REQUEST, kept) for kept in (3, 7))
    assert peaks(short, scratch=False) == peaks(whole, scratch=False)
    assert short.weights_bytes == whole.weights_bytes
    assert short.kv_cache_bytes == whole.kv_cache_bytes


def test_autocast_keeps_half_copies_of_float32_weights() -> None:
    config = tiny_config()
    cached, uncached = (
        max(p.live_bytes for p in peaks(dry_run_of(name, config, REQUEST), scratch=False).values())
        for name in ("autocast_full_weights", "autocast_full_weights_uncached")
    )
    weights = dry_run_of("full", config, REQUEST).weights_bytes
    assert cached - uncached > 0.25 * weights


def test_a_plan_for_a_card_that_is_not_here_needs_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert planned_device(PlanRequest("m", device="cuda", memory_bytes=8 << 30)) == "cuda"
    assert planned_device(PlanRequest("m", memory_bytes=8 << 30)) == "cpu"
    with pytest.raises(UserError, match="No CUDA device"):
        planned_device(PlanRequest("m", device="cuda"))


def test_as_is_ends_where_the_dtypes_clash() -> None:
    config = tiny_config()
    assert dry_run_of("as_is", config, REQUEST).failed_in == "tower"
    assert dry_run_of("as_is", config, PlanRequest("m", None, prompt_tokens=20, new_tokens=4)).failed_in is None


def test_the_recorder_sees_what_pytorchs_tracker_sees() -> None:
    """Notices when a release changes the private class that the recorder builds on."""
    totals = []
    for tracker in (Recorder(), MemTracker()):
        with FakeTensorMode(), torch.no_grad():
            net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.GELU(), torch.nn.Linear(512, 64))
            x = torch.empty(128, 64)
            tracker.track_external(net, x)
            with tracker:
                net(x)
        if isinstance(tracker, Recorder):
            live = highest = 0
            for event in tracker.events:
                live += event.bytes
                highest = max(highest, live)
            totals.append(highest)
        else:
            totals.append(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])
    assert totals[0] == totals[1] > 128 * 512 * 4


def test_the_recorder_leaves_no_hook_behind() -> None:
    before = torch.UntypedStorage.resize_
    hooks = len(torch.nn.modules.module._global_forward_pre_hooks)
    with FakeTensorMode(), Recorder():
        assert len(torch.nn.modules.module._global_forward_pre_hooks) == hooks
    assert torch.UntypedStorage.resize_ is before


def test_the_allocator_cuts_small_requests_from_shared_segments() -> None:
    allocator = CachingAllocator()
    for block in range(4):
        allocator.allocate(block, 1000)
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (4 * 1024, 2 * MIB)
    allocator.allocate(9, 3 * MIB)
    assert allocator.reserved_bytes == 22 * MIB
    allocator.allocate(10, 11 * MIB)
    assert allocator.reserved_bytes == 22 * MIB  # fits what is left of the 20 MiB segment
    allocator.allocate(11, 25 * MIB + 1)
    assert allocator.reserved_bytes == 48 * MIB


def test_the_allocator_uses_freed_blocks_again() -> None:
    allocator = CachingAllocator()
    for _ in range(3):
        for block in (1, 2, 3):
            allocator.allocate(block, 5 * MIB)
        for block in (2, 1, 3):
            allocator.free(block)
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (0, 20 * MIB)


def write_config(folder: Path, **changes: object) -> str:
    tiny_config(**changes).save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_a_plan_from_config_json_alone(tmp_path: Path) -> None:
    request = PlanRequest(write_config(tmp_path), prompt_tokens=20, new_tokens=8, device="cpu", memory_bytes=1 << 30)
    planned = plan_as_json(plan(request))
    by_name = {s["strategy"]: s for s in planned["strategies"]}
    assert list(by_name) == list(PLANNED)
    assert planned["parameters"] * 2 == by_name["unified"]["weights_bytes"]
    assert by_name["full"]["weights_bytes"] == 2 * by_name["unified"]["weights_bytes"]
    for entry in by_name.values():
        peak = entry["phases"][entry["peak_phase"]]
        assert entry["total_bytes"] == entry["weights_bytes"] + peak["cache_bytes"] + peak["activation_bytes"]
        assert entry["on_card_bytes"] > entry["total_bytes"]
        assert entry["fits"]["8 GB"] is True
        assert entry["largest_hd_num"] is None
    assert by_name["unified"]["largest_batch"] > by_name["full"]["largest_batch"] > 1
    assert by_name["as_is"]["fails_in"] == "tower"


@pytest.mark.slow
def test_the_host_s_memory_is_compared_with_live_tensors_a_card_s_with_the_driver_s_count(tmp_path: Path) -> None:
    request = PlanRequest(write_config(tmp_path), new_tokens=8, device="cpu", memory_bytes=2 << 20)
    planner = Planner(configuration_of(request.model), request, "cpu", memory_here(request, "cpu"))
    for memory_of, fits in (("host", True), ("card", False)):
        planner.memory = memory_here(replace(request, memory_of=memory_of), "cpu")
        seen = [planner.dry_run(strategy, request) for strategy in PLANNED.values()]
        assert {planner.fits_memory(rehearsal) for rehearsal in seen} == {fits}


@pytest.mark.slow
def test_the_largest_batch_fits_and_one_more_does_not(tmp_path: Path) -> None:
    model = write_config(tmp_path)
    request = PlanRequest(model, prompt_tokens=20, new_tokens=8, device="cpu", memory_bytes=640 << 20)
    planner = Planner(configuration_of(model), request, "cpu", memory_here(request, "cpu"))
    unified = PLANNED["unified"]
    most = planner.planned(unified).largest_batch
    assert most is not None and most > 1
    assert planner.fits_memory(planner.dry_run(unified, replace(request, batch=most))) is True
    assert planner.fits_memory(planner.dry_run(unified, replace(request, batch=most + 1))) is False


@pytest.mark.slow
def test_tiled_members_take_more_with_more_tiles(tmp_path: Path) -> None:
    config = tiny_config(tiles="2.5")
    one, four = (config.pixel_size((200, 100), n) for n in (1, 8))
    assert one == (56, 56)
    assert four is not None and four[1] > four[0]
    assert config.pixel_size((100, 200), 8) == four[::-1]
    small, large = (
        max(peak.live_bytes for peak in peaks(dry_run_of("unified", config, request), scratch=False).values())
        for request in (PlanRequest("m", (200, 100), hd_num=n, prompt_tokens=20, new_tokens=4) for n in (1, 8))
    )
    assert large > small


def test_a_published_name_needs_no_download() -> None:
    config = configuration_of("internlm/internlm-xcomposer2d5-7b")
    assert (config.tiles, config.tower_side, config.hidden_size) == ("2.5", 560, 4096)


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", ""])
def test_a_model_that_does_not_exist_is_a_sentence(name: str) -> None:
    with pytest.raises(UserError):
        plan(PlanRequest(name))


def test_a_config_of_another_family_or_none_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError) as caught:
        configuration_of(str(tmp_path))
    assert caught.value.code == "other_family"
    file.write_text("{")
    with pytest.raises(UserError) as caught:
        configuration_of(str(file))
    assert caught.value.code == "cut_off_file"


def test_a_kernel_is_tried_with_its_mask() -> None:
    """A batch's attention takes a mask by name; what is tried out is tried on real tensors, the mask's stand-in too."""
    half = torch.empty((2, 4, 9, 32), dtype=torch.float16)
    mask = torch.empty((2, 1, 9, 9), dtype=torch.float16)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = kernel(attention, (mode.from_tensor(half),) * 3, {"attn_mask": mode.from_tensor(mask)})
    assert found is not None
    assert scratch_bytes(found) > 0
