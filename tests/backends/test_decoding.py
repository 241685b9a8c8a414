"""Decoding by a recorded step, as far as a CPU shows it: there the step is run plainly, on the same static cache."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.checkpoints import tiny_config, tiny_model, write_checkpoint
from tests.models.original import CASES, DATA, greedy_ids
from tests.requests import under
from xcomposer_ui.backends import decoding, graph_decoder
from xcomposer_ui.backends.graph_decoder import EAGER, GRAPH, GraphDecoder, Step, decoder_for, plain
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.torch_private import TorchDispatchMode
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import EMBEDDED
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models import cache as caches
from xcomposer_ui.models.cache import CACHE_NAME, DecodingCache, PreallocatedCache, StaticCache
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.training.evaluation import held_out

ROUND = Image.radial_gradient("L").convert("RGB")
STRIPED = Image.linear_gradient("L").convert("RGB")
GREEDY = Request("What is there?", ROUND, max_new_tokens=40)
SAMPLED = Request("What is there?", ROUND, max_new_tokens=40, temperature=1.0, repetition_penalty=1.3, seed=7)
VARIANTS = [("full", "float16"), *((s, half) for s in ("autocast", "unified") for half in ("float16", "bfloat16"))]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny_model(seed=4))


@pytest.fixture
def eager(checkpoint: Path) -> LocalBackend:
    return open_local(str(checkpoint), "cpu")


@pytest.fixture
def backend(checkpoint: Path) -> LocalBackend:
    """The same model, decoding on a static cache."""
    return with_decoder(open_local(str(checkpoint), "cpu"))


def with_decoder(backend: LocalBackend, record: Callable[[Step, Tensor], Step] = plain) -> LocalBackend:
    backend.decoder = GraphDecoder(record, "")
    return backend


def ask(backend: LocalBackend, question: Request, strategy: str = "full", half: str = "float16") -> CallResult:
    request = under(question, strategy, half)
    backend.load(request.weights_dtype, Progress())
    return backend.generate(request, Progress())


def way(result: CallResult) -> tuple[str | None, str]:
    """How the run was decoded, and the code of the reason."""
    return result.measurement.decoder, result.reasons["decoder"].code  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "question", [GREEDY, SAMPLED, Request("Hello", max_new_tokens=40)], ids=("greedy", "sampled", "text only")
)
def test_tokens_in_float32_are_those_of_eager_decoding(
    eager: LocalBackend, backend: LocalBackend, question: Request
) -> None:
    expected = ask(eager, question)
    assert expected.measurement.decoder == EAGER
    for reason in ("reason.decoder.graph", "reason.decoder.kept"):
        found = ask(backend, question)
        assert (found.answer, found.failure_type) == (expected.answer, expected.failure_type)
        assert found.measurement.new_tokens == expected.measurement.new_tokens
        assert way(found) == (GRAPH, reason)


@pytest.mark.parametrize(("strategy", "half"), VARIANTS)
def test_every_strategy_proves_its_step(backend: LocalBackend, strategy: str, half: str) -> None:
    assert way(ask(backend, GREEDY, strategy, half)) == (GRAPH, "reason.decoder.graph")


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_original_codes_greedy_ids_are_decoded_in_place(name: str) -> None:
    expected: dict[str, Any] = json.loads((DATA / name / "expected.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(DATA / name, dtype=torch.float32).eval()
    inputs = model.joined_inputs(
        expected["token_id_parts"], [model.preprocess(DATA / name / "image.png", hd_num=expected["hd_num"])]
    )
    run, logits = decoding_of(model), list[Tensor]()
    hook = model.get_output_embeddings().register_forward_hook(lambda _module, _inputs, out: logits.append(out[:, -1]))
    ids = greedy_ids(model, inputs, expected, **{CACHE_NAME: run.cache})
    hook.remove()
    assert run.way == GRAPH
    assert [1, *ids] == expected["greedy_ids"]
    cache = PreallocatedCache()
    eager = [model(**inputs, cache=cache, logits_to_keep=1).logits[:, -1]]
    eager += [model(input_ids=torch.tensor([[token]]), cache=cache).logits[:, -1] for token in ids[:-1]]
    torch.testing.assert_close(torch.cat(logits), torch.cat(eager), atol=1e-4, rtol=0)


def decoding_of(model: Any, record: Callable[[Step, Tensor], Step] = plain, batch: int = 1) -> decoding.Decoding:
    key = ("full", "float16", 0), batch
    return decoding.Decoding(GraphDecoder(record, ""), model, key, PreallocatedCache(), nullcontext)


class Operations(TorchDispatchMode):
    """The operations with the shapes of their operands; one that makes the host wait for a value is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        assert not any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select", "unique")), name
        self.seen.append((name, *(tuple(a.shape) if isinstance(a, Tensor) else None for a in args)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("strategy", "half"), VARIANTS)
@torch.no_grad()
def test_a_step_is_the_same_operations_on_the_same_tensors_at_every_position(strategy: str, half: str) -> None:
    chosen = STRATEGIES[strategy]
    model = tiny_model().to(getattr(torch, chosen.weights_dtype(half)))
    source = PreallocatedCache()
    with torch.autocast("cpu", getattr(torch, half), enabled=chosen.autocast):
        model(input_ids=torch.tensor([[1, 5, 6, 7]]), cache=source)
        static = StaticCache(source, 32)
        keys, values = [layer.keys for layer in source.layers], [layer.values for layer in source.layers]
        static.load(keys, values, 4, torch.zeros(1, 1, dtype=torch.long))
        places = [t.data_ptr() for t in (*static.keys, *static.values, static.position, static.starts)]
        embeds = model.get_input_embeddings()(torch.tensor([[9]]))
        steps = []
        for position in (4, 19, 31):
            static.position.fill_(position)
            with Operations() as operations:
                model.hidden_states(embeds, None, None, static)
            steps.append(operations.seen)
    assert steps[0] and steps[0] == steps[1] == steps[2]
    assert places == [t.data_ptr() for t in (*static.keys, *static.values, static.position, static.starts)]


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Static caches of 32, 64, 128, … tokens."""
    monkeypatch.setattr(caches, "SMALLEST", 32)
    monkeypatch.setattr(caches, "GROWTH", 2)


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_cache_that_is_full_is_followed_by_a_larger_one(
    eager: LocalBackend, backend: LocalBackend, temperature: float
) -> None:
    question = under(GREEDY, "full", max_new_tokens=150, temperature=temperature, top_p=0.5, seed=3)
    expected = ask(eager, question)
    assert expected.answer and expected.measurement.new_tokens == 150
    for _ in range(2):
        found = ask(backend, question)
        assert found.answer == expected.answer
        assert found.measurement.decoder == GRAPH
    capacities = {capacity for _, capacity in backend.decoder._steps}
    assert len(capacities) >= 2


@pytest.mark.usefixtures("small_sizes")
def test_where_no_larger_cache_is_to_be_had_the_answer_goes_on_eagerly(
    eager: LocalBackend, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = under(GREEDY, "full", max_new_tokens=150)
    free = iter((1 << 30, 0))
    monkeypatch.setattr(decoding, "free_bytes", lambda device: next(free))
    found = ask(backend, question)
    assert found.answer == ask(eager, question).answer
    assert way(found) == (EAGER, "reason.decoder.memory")


def test_beyond_the_trained_length_decoding_is_eager(tmp_path: Path) -> None:
    long = "What is in the picture? " * 5
    folder = write_checkpoint(tmp_path, tiny_model(max_position_embeddings=60))
    expected = ask(open_local(str(folder), "cpu"), Request(long, max_new_tokens=9))
    found = ask(with_decoder(open_local(str(folder), "cpu")), Request(long, max_new_tokens=9))
    assert (expected.measurement.prompt_tokens or 0) > 60
    assert found.answer == expected.answer
    assert way(found) == (EAGER, "reason.decoder.long")


def test_a_batch_is_decoded_in_place_with_the_answers_that_each_gets_alone(
    eager: LocalBackend, backend: LocalBackend
) -> None:
    texts = (("What is there?", ROUND), ("And here, in this longer question?", STRIPED), ("Hello", None))
    questions = [under(Request(text, picture, max_new_tokens=20), "full") for text, picture in texts]
    for each in (eager, backend):
        each.load("float32", Progress())
    for _ in range(2):
        found = backend.generate_batch(questions, Progress())
        assert [one.answer for one in found.results] == [ask(eager, one).answer for one in questions]
        assert [one.measurement.decoder for one in found.results] == [GRAPH] * 3


@pytest.mark.parametrize(("strategy", "half"), VARIANTS)
def test_the_turns_of_a_conversation_reuse_what_came_before(backend: LocalBackend, strategy: str, half: str) -> None:
    history: list[tuple[str, str]] = []
    for text in ("What is there?", "And what color is it?", "Is it large?"):
        turn = Request(text, ROUND, tuple(history), max_new_tokens=9)
        kept = ask(backend, turn, strategy, half)
        backend.forget()
        whole = ask(backend, turn, strategy, half)
        assert kept.answer == whole.answer
        assert bool(kept.measurement.reused_tokens) == bool(history)
        assert not whole.measurement.reused_tokens
        assert kept.measurement.decoder == GRAPH
        history.append((text, str(kept.answer)))


def test_a_stop_comes_between_two_tokens_and_the_text_grows_meanwhile(backend: LocalBackend) -> None:
    ask(backend, GREEDY)
    progress, seen = Progress(), list[str]()
    model, _ = backend.weights("float32")

    def look(*_: object) -> None:
        seen.append(progress.text() if progress.text else "")
        if len(seen) == 6:
            progress.stop.set()

    hook = model.get_output_embeddings().register_forward_hook(look)
    stopped = backend.generate(under(GREEDY, "full"), progress)
    hook.remove()
    assert (stopped.stopped, stopped.measurement.new_tokens, stopped.measurement.decoder) == (True, 6, GRAPH)
    assert [len(text) for text in seen] == sorted(len(text) for text in seen)
    assert len(set(seen)) > 2
    assert ask(backend, GREEDY).measurement.new_tokens == 40


def failing_at(step_number: int, change: Callable[[Tensor], Tensor]) -> Callable[[Step, Tensor], Step]:
    """A runner whose steps are right until the one of that number, counted from the proof on."""

    def record(step: Step, embeds: Tensor) -> Step:
        count = iter(range(1000))

        def run(embeds: Tensor) -> Tensor:
            hidden = step(embeds)
            return change(hidden) if next(count) >= step_number else hidden

        return run

    return record


def test_logits_that_are_not_finite_are_seen_in_a_recorded_step(backend: LocalBackend) -> None:
    backend = with_decoder(backend, failing_at(3, lambda hidden: hidden * torch.nan))
    assert ask(backend, GREEDY).failure_type == "NonFiniteLogits"


def test_a_graph_that_deviates_is_not_used(eager: LocalBackend, backend: LocalBackend) -> None:
    backend = with_decoder(backend, failing_at(0, lambda hidden: hidden * 1.01))
    found, again = ask(backend, GREEDY), ask(backend, GREEDY)
    assert found.answer == again.answer == ask(eager, GREEDY).answer
    assert way(found) == way(again) == (EAGER, "reason.decoder.deviates")
    assert not backend.decoder.nbytes


@pytest.mark.parametrize(
    ("error", "tries"),
    [(RuntimeError("operation not permitted when stream is capturing"), 1), (torch.OutOfMemoryError("CUDA"), 2)],
)
def test_a_recording_that_fails_leaves_decoding_eager(
    eager: LocalBackend, backend: LocalBackend, error: Exception, tries: int
) -> None:
    tried = []

    def record(step: Step, embeds: Tensor) -> Step:
        tried.append(step)
        raise error

    backend = with_decoder(backend, record)
    found, again = ask(backend, GREEDY), ask(backend, GREEDY)
    assert found.answer == again.answer == ask(eager, GREEDY).answer
    assert way(found) == way(again) == (EAGER, "reason.decoder.failed")
    assert len(tried) == tries  # memory may be free again in the next run; what cannot be recorded never can
    assert str(error).splitlines()[0] in str(found.reasons["decoder"])


def test_what_does_not_fit_is_decoded_eagerly_unless_it_was_chosen(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "free_bytes", lambda device: 1000)
    found = ask(backend, GREEDY)
    assert way(found) == (EAGER, "reason.decoder.memory")
    assert "1000 B" in str(found.reasons["decoder"])
    backend.decoder.checks_memory = False
    assert way(ask(backend, GREEDY)) == (GRAPH, "reason.decoder.graph")


def test_a_finished_run_keeps_no_cache_alive(backend: LocalBackend) -> None:
    progress = Progress()
    request = under(GREEDY, "full")
    backend.load("float32", progress)
    backend.generate(request, progress)
    ((_, step),) = backend.decoder._steps.items()
    static = weakref.ref(step.cache)
    del step
    backend.unload()
    gc.collect()
    assert static() is None
    assert progress.memory is not None
    assert progress.memory() is not None  # the timeline can be read on


def test_stress_of_the_range_has_a_step_of_its_own(eager: LocalBackend, backend: LocalBackend) -> None:
    for exponent in (None, 8, None, 8):
        question = under(GREEDY, "full", stress_exponent=exponent)
        assert ask(backend, question).answer == ask(eager, question).answer
    assert sorted(exponent for ((_, _, exponent), _), _ in backend.decoder._steps) == [0, 8]


def test_an_overflow_is_reported_as_in_eager_decoding() -> None:
    backend = with_decoder(open_local(EMBEDDED, "cpu"))
    assert ask(backend, under(GREEDY, "unified", stress_exponent=16), "unified").failure_type == "NonFiniteLogits"


def test_memory_counts_the_static_cache_once(eager: LocalBackend, backend: LocalBackend) -> None:
    expected = ask(eager, GREEDY).measurement.peak_memory_bytes
    first, later = (ask(backend, GREEDY).measurement.peak_memory_bytes for _ in range(2))
    assert expected is not None and first is not None and later is not None
    own = backend.decoder.nbytes
    assert own > 0
    assert expected <= first <= expected + 2 * own  # recording needs the prompt's copy and some activations
    assert expected < later <= expected + own + 100_000


def test_steps_are_dropped_with_the_weights_and_beyond_their_number(backend: LocalBackend) -> None:
    for strategy, half in VARIANTS:
        ask(backend, GREEDY, strategy, half)
    assert len(backend.decoder._steps) == graph_decoder.MOST_RECORDED
    backend.unload()
    assert backend.decoder.nbytes == 0


@pytest.fixture
def toy() -> Iterator[Any]:
    model = tiny_model()
    type(model).decodes_in_place = False
    yield model
    type(model).decodes_in_place = True


def test_a_family_without_such_a_step_is_decoded_eagerly(toy: Any) -> None:
    run = decoding_of(toy)
    assert not isinstance(run.cache, DecodingCache)
    assert (run.way, run.reason.code) == (EAGER, "reason.decoder.family")  # type: ignore[union-attr]


class Card:
    """PyTorch's graphs as far as a recording calls them, with what happens in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.replayed: Callable[[], object] = lambda: None
        card = self

        class Stream:
            def __init__(self, device: torch.device) -> None:
                card.events.append("stream")

            def wait_stream(self, other: object) -> None:
                card.events.append("wait")

        class Graph:
            def replay(self) -> None:
                card.replayed()

        @contextmanager
        def recording(graph: Graph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
            assert capture_error_mode == "thread_local"
            card.events.append("record")
            yield
            card.events.append("end")

        current = Stream(torch.device("cpu"))
        self.events.clear()
        graph_decoder._stream.cache_clear()
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", recording)


def test_a_recording_warms_up_first_and_is_replayed_on_the_tensor_that_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    card, read = Card(monkeypatch), list[Tensor]()

    def step(embeds: Tensor) -> Tensor:
        card.events.append("step")
        read.append(embeds)
        return embeds * 2

    example = torch.ones(1, 1, 3)
    run = graph_decoder.recorded(step, example)
    assert card.events == ["stream", "wait", "step", "wait", "record", "step", "end"]
    card.replayed = lambda: card.events.append(f"replay of {read[-1].flatten().tolist()}")
    assert run(torch.full((1, 1, 3), 7.0)) is not None
    assert card.events[-1] == "replay of [7.0, 7.0, 7.0]"
    assert read[0] is read[1] is not example  # whose memory others use again
    graph_decoder.recorded(step, example)
    assert card.events.count("stream") == 1
    graph_decoder._stream.cache_clear()


def test_the_choice_and_the_device_decide() -> None:
    assert decoder_for("eager", "cuda").record is None
    assert decoder_for("graph", "cpu").record is None
    assert "CUDA" in str(decoder_for("auto", "cpu").reason)
    assert decoder_for("auto", "cuda").checks_memory
    assert not decoder_for("graph", "cuda").checks_memory


def test_sizes_double_and_end_at_the_trained_length() -> None:
    found = [caches.capacity_for(tokens, 4096) for tokens in (1, 256, 257, 1322, 4000, 4096)]
    assert found == [512, 512, 1024, 2048, 4096, None]
    assert tiny_config().max_position_embeddings >= 4096


def test_sizes_that_follow_one_another_in_a_run() -> None:
    found = [caches.capacities_for(*sizes, 4096) for sizes in ((1322, 256), (200, 1), (200, 313), (200, 314))]
    assert found == [(2048,), (), (512,), (512, 1024)]
    assert caches.capacities_for(4000, 500, 4096) == (4096,)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unified", "autocast"])
def test_greedy_texts_on_200_pictures_in_half_are_those_of_eager_decoding(strategy: str) -> None:
    eager, backend = open_local(EMBEDDED, "cpu"), with_decoder(open_local(EMBEDDED, "cpu"))
    ((images, items),) = held_out(seed=14, pictures=200)
    asked = {item.picture: item.turn.question for item in items}  # one of each picture's questions
    differing = []
    for n, picture in enumerate(images):
        text, question = asked[n], Request(asked[n], picture)
        expected, found = (ask(each, question, strategy) for each in (eager, backend))
        assert found.measurement.decoder == (GRAPH if (found.measurement.new_tokens or 0) > 1 else EAGER)
        if found.answer != expected.answer:
            differing.append((text, expected.answer, found.answer))
    assert not differing
