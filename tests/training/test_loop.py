from dataclasses import replace

import numpy as np
import pytest
import torch

from xcomposer_ui.core.families.xcomposer2 import IMAGE_MARK, TURN_END, TURN_START
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.models.xcomposer2.language import PLoRALinear
from xcomposer_ui.models.xcomposer2.prompt import prompt_text, with_marks
from xcomposer_ui.models.xcomposer2.tokenizer import InternLMXComposer2Tokenizer
from xcomposer_ui.training.attention_supervision import StateProbe, attention_loss, probe_loss
from xcomposer_ui.training.batching import answer_logits, length_groups, picture_cache
from xcomposer_ui.training.conversations import Conversation, ConversationEncoder, KindSampler, sample_conversations
from xcomposer_ui.training.cpu_kernels import cpu_kernels
from xcomposer_ui.training.learner import Learner
from xcomposer_ui.training.loop import train_model
from xcomposer_ui.training.optimization import Schedule
from xcomposer_ui.training.pictures import sample_batch
from xcomposer_ui.training.questions import sample_turn
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tokenizer import corpus
from xcomposer_ui.training.tower import pixel_tensor, train_tower
from xcomposer_ui.training.world import LANGUAGES

TINY = replace(
    Recipe(),
    tower_width=24, tower_layers=1, tower_mlp=32, width=32, layers=3, heads=2, key_value_heads=1, feed_forward=48,
    rank=4, tower_steps=3, tower_batch=4, steps=10, batch=3, turns=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return ConversationEncoder(EMBEDDED_PATH / "tokenizer.model")


def test_the_tokenizer_round_trips_questions_and_answers(encoder):
    for line in corpus(3, turns=400):
        assert encoder.processor.decode(encoder.encode(line)) == line


def test_unknown_characters_are_encoded_as_bytes(encoder):
    text = "Ünïcödé 龘 🙂\tand all"
    assert encoder.processor.decode(encoder.encode(text)) == text


def test_special_pieces_have_the_family_s_ids(encoder):
    size = encoder.processor.get_piece_size()
    ids = [encoder.processor.piece_to_id(p) for p in ("<unk>", "<s>", "</s>", TURN_END, TURN_START)]
    assert ids == [0, 1, 2, size - 2, size - 1]


def test_training_encodes_exactly_what_chat_sends(encoder):
    tokenizer = InternLMXComposer2Tokenizer(str(EMBEDDED_PATH / "tokenizer.model"))
    scenes = sample_batch((1, 1), 6, 126, 9).scenes
    for seed in range(6):
        for conversation in sample_conversations(np.random.default_rng(seed), encoder, scenes, KindSampler(), 4):
            history = [(t.question, t.answer) for t in conversation.turns[:-1]]
            query, marked = with_marks(conversation.turns[-1].question, history, 1)
            parts = [tokenizer(part).input_ids for part in prompt_text(query, marked).split(IMAGE_MARK)]
            assert parts == [encoder.picture_prefix(), list(conversation.ids[: conversation.spans[-1][0]])]


def test_a_shared_prefill_gives_the_logits_of_the_whole_prompt(encoder):
    learner = Learner.create(TINY)
    batch = sample_batch((1, 2), 2, TINY.side, TINY.patches)
    conversations = sample_conversations(np.random.default_rng(0), encoder, batch.scenes, KindSampler(), 4)
    with torch.no_grad():
        embeds = learner.model.encode_image(pixel_tensor(batch))
        cache = picture_cache(learner.model, encoder.picture_prefix(), embeds)
        for part in length_groups(conversations, 2):
            found = answer_logits(learner.model, part, cache)
            at = 0
            for conversation in part:
                pieces = [encoder.picture_prefix(), list(conversation.ids)]
                pixels = pixel_tensor(batch)[conversation.picture : conversation.picture + 1]
                inputs = learner.model.joined_inputs(pieces, [pixels])
                whole = learner.model(**inputs).logits[0, -len(conversation.ids) :]
                for start, end in conversation.spans:
                    torch.testing.assert_close(found.logits[at : at + end - start], whole[start - 1 : end - 1])
                    at += end - start


def test_each_attention_target_is_at_a_token_that_names_the_thing(encoder):
    rng = np.random.default_rng(8)
    checked = 0
    for scene in sample_batch((1, 4), 40, TINY.side, TINY.patches).scenes:
        for language in LANGUAGES:
            turn = sample_turn(rng, scene, "description", language)
            conversation = encoder.encode_turns(0, [turn])
            for name, thing in turn.mentions:
                targets = [at for at, noun, things in conversation.attention_targets if (noun, things) == (0, (thing,))]
                ids = [conversation.ids[at] for at in targets]
                assert name in encoder.processor.decode(ids) or name.strip("另一个") in encoder.processor.decode(ids)
                checked += 1
            start, end = conversation.spans[0]
            assert all(start <= at < end for at, _, _ in conversation.attention_targets)
    assert checked > 60


def test_the_attention_loss_is_zero_when_all_attention_is_on_the_thing():
    things = torch.tensor([[-1, 0, 0, -1]])
    conversation = Conversation(0, (), (7, 8, 9), ((2, 3),), ((2, 0, (0,)), (2, 1, ())))
    scores = torch.full((1, 2, 3, 8), -30.0)  # a first token, four patches, three tokens
    scores[0, 0, 1, 2:4] = scores[0, 1, 1, 0] = 30
    assert attention_loss([scores], [conversation], things) < 1e-6
    assert attention_loss([-scores], [conversation], things) > 10


def test_the_probe_loss_falls_when_the_states_contain_the_facts():
    scenes = sample_batch((1, 5), 12, TINY.side, TINY.patches).scenes
    picture = next(n for n, s in enumerate(scenes) if len(s.things) > 1)
    conversation = Conversation(0, (), (7, 8, 9), ((1, 3),), ((1, 0, (0,)), (2, 1, (1,)), (2, 0, ())), ((1, 3), (2, 3)))
    torch.manual_seed(0)
    probe, states = StateProbe(16), torch.randn(1, 3, 16)
    optimizer = torch.optim.Adam(probe.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        loss = probe_loss(probe, states, [conversation], [scenes[picture]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 4 and losses[-1] < 0.5


def test_the_cpu_kernels_compute_what_the_model_computes(encoder):
    learner = Learner.create(TINY)
    for block in learner.model.model.layers:
        torch.nn.init.normal_(block.attention.wqkv.Plora_B.weight)
    embeds = torch.randn(2, 5, TINY.width)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = picture_cache(learner.model, encoder.picture_prefix(), embeds)
        with cpu_kernels(learner.model):
            fast = picture_cache(learner.model, encoder.picture_prefix(), embeds)
    for one, other in zip(plain.layers, fast.layers, strict=True):
        torch.testing.assert_close(one.keys.float(), other.keys.float(), atol=0.1, rtol=0.05)  # bfloat16 inside


def test_the_cpu_kernels_change_nothing_outside_their_model_and_block(encoder):
    inside, outside = Learner.create(TINY).model, Learner.create(TINY).model
    attention, plora = torch.nn.functional.scaled_dot_product_attention, PLoRALinear.forward
    embeds = torch.randn(1, 5, TINY.width)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = picture_cache(inside, encoder.picture_prefix(), embeds).layers[-1].keys
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), cpu_kernels(inside) as recorded:
        picture_cache(inside, encoder.picture_prefix(), embeds)
        assert len(recorded) == TINY.layers
        assert torch.nn.functional.scaled_dot_product_attention is attention
        assert PLoRALinear.forward is plora and not any("forward" in vars(m) for m in outside.modules())
    assert not any("forward" in vars(module) for module in inside.modules())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(picture_cache(inside, encoder.picture_prefix(), embeds).layers[-1].keys, expected)


@pytest.mark.slow
def test_a_resumed_run_gives_the_same_weights(tmp_path, encoder):
    straight, halved = tmp_path / "straight", tmp_path / "halved"
    weights = {}
    for folder in (straight, halved):
        folder.mkdir()
        (folder / "tokenizer.model").write_bytes((EMBEDDED_PATH / "tokenizer.model").read_bytes())
        tower = train_tower(TINY, folder)
        if folder is halved:
            assert train_model(TINY, folder, tower, stop_after=5).step == 5
        learner = train_model(TINY, folder, tower)
        assert learner.step == TINY.steps
        weights[folder] = torch.cat([v.flatten() for v in learner.average.values])
    torch.testing.assert_close(weights[straight], weights[halved])


@pytest.mark.slow
def test_the_loss_falls_on_repeated_pictures(encoder):
    learner = Learner.create(replace(TINY, rate=0.1))  # the warm-up takes only a little of it
    batch, schedule = sample_batch((1, 3), 3, TINY.side, TINY.patches), Schedule(1000)
    first, *_, last = [learner.train_step(batch, encoder, schedule) for _ in range(12)]
    assert last < first - 0.5


def test_the_schedule_ends_with_the_steps_or_the_budget():
    assert Schedule(100).progress(50) == 0.5
    assert Schedule(100, budget_sec=10, spent_sec=20).progress(1) == 1
    assert Schedule(1000).rate(1000) == pytest.approx(0.02)


def test_kinds_of_low_accuracy_are_sampled_most():
    sampler = KindSampler()
    sampler.accuracy = dict.fromkeys(sampler.accuracy, 1.0)
    sampler.accuracy["place", "zh"] = 0.2
    sampled = sampler.sample(np.random.default_rng(0), 400)
    assert sampled.count(("place", "zh")) > 100
