from dataclasses import replace

import numpy as np
import pytest
import torch

from xcomposer_ui.models.xcomposer2.prompt import IMAGE_MARK, prompt_text, with_marks
from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END, TURN_START, InternLMXComposer2Tokenizer
from xcomposer_ui.settings import EMBEDDED_PATH
from xcomposer_ui.training.batching import answers, chunks, picture_cache
from xcomposer_ui.training.clock import Clock
from xcomposer_ui.training.conversations import Conversation, Weights, Writer, conversations_about
from xcomposer_ui.training.looking import SeeingHead, looking_loss, seeing_loss
from xcomposer_ui.training.loop import Learner, train_model
from xcomposer_ui.training.pictures import batch_sample
from xcomposer_ui.training.questions import turn_sample
from xcomposer_ui.training.quick import quick_steps
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import pixels_from, train_tower
from xcomposer_ui.training.vocabulary import corpus
from xcomposer_ui.training.world import LANGUAGES

TINY = replace(
    Recipe(),
    tower_width=24, tower_layers=1, tower_mlp=32, width=32, layers=3, heads=2, key_value_heads=1, feed_forward=48,
    rank=4, tower_steps=3, tower_batch=4, steps=10, batch=3, turns=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def writer():
    return Writer(EMBEDDED_PATH / "tokenizer.model")


def test_the_tokenizer_gives_every_answer_and_question_back(writer):
    for line in corpus(3, turns=400):
        assert writer.pieces.decode(writer.encode(line)) == line


def test_unknown_characters_are_spelt_in_bytes(writer):
    text = "Ünïcödé 龘 🙂\tand all"
    assert writer.pieces.decode(writer.encode(text)) == text


def test_special_pieces_have_the_family_s_places(writer):
    size = writer.pieces.get_piece_size()
    ids = [writer.pieces.piece_to_id(p) for p in ("<unk>", "<s>", "</s>", TURN_END, TURN_START)]
    assert ids == [0, 1, 2, size - 2, size - 1]


def test_training_sees_exactly_what_chat_sends(writer):
    tokenizer = InternLMXComposer2Tokenizer(str(EMBEDDED_PATH / "tokenizer.model"))
    scenes = batch_sample((1, 1), 6, 126, 9).scenes
    for seed in range(6):
        for told in conversations_about(np.random.default_rng(seed), writer, scenes, Weights(), 4):
            history = [(t.question, t.answer) for t in told.turns[:-1]]
            query, marked = with_marks(told.turns[-1].question, history, 1)
            parts = [tokenizer(part).input_ids for part in prompt_text(query, marked).split(IMAGE_MARK)]
            assert parts == [writer.before_picture(), list(told.ids[: told.spans[-1][0]])]


def test_the_shared_picture_gives_the_logits_that_the_whole_prompt_gives(writer):
    learner = Learner.fresh(TINY)
    batch = batch_sample((1, 2), 2, TINY.side, TINY.patches)
    asked = conversations_about(np.random.default_rng(0), writer, batch.scenes, Weights(), 4)
    with torch.no_grad():
        embeds = learner.model.encode_image(pixels_from(batch))
        cache = picture_cache(learner.model, writer.before_picture(), embeds)
        for part in chunks(asked, 2):
            found = answers(learner.model, part, cache)
            at = 0
            for told in part:
                pieces = [writer.before_picture(), list(told.ids)]
                inputs = learner.model.joined_inputs(pieces, [pixels_from(batch)[told.picture : told.picture + 1]])
                whole = learner.model(**inputs).logits[0, -len(told.ids) :]
                for start, end in told.spans:
                    torch.testing.assert_close(found.logits[at : at + end - start], whole[start - 1 : end - 1])
                    at += end - start


def test_each_look_stands_at_a_token_of_the_answer_that_names_the_thing(writer):
    rng = np.random.default_rng(8)
    seen = 0
    for scene in batch_sample((1, 4), 40, TINY.side, TINY.patches).scenes:
        for language in LANGUAGES:
            turn = turn_sample(rng, scene, "description", language)
            told = writer.conversation(0, [turn])
            for name, thing in turn.told:
                ids = [told.ids[at] for at, noun, looked in told.looks if looked == (thing,) and noun == 0]
                assert name in writer.pieces.decode(ids) or name.strip("另一个") in writer.pieces.decode(ids)
                seen += 1
            assert all(told.spans[0][0] <= at < told.spans[0][1] for at, _, _ in told.looks)
    assert seen > 60


def test_looking_costs_nothing_where_all_attention_is_on_the_thing():
    things = torch.tensor([[-1, 0, 0, -1]])
    looked = Conversation(0, (), (7, 8, 9), ((2, 3),), ((2, 0, (0,)), (2, 1, ())))
    scores = torch.full((1, 2, 3, 8), -30.0)  # a first token, four patches, three tokens
    scores[0, 0, 1, 2:4] = scores[0, 1, 1, 0] = 30
    assert looking_loss([scores], [looked], things) < 1e-6
    assert looking_loss([-scores], [looked], things) > 10


def test_seeing_falls_when_the_states_hold_what_was_looked_at():
    scene = batch_sample((1, 5), 12, TINY.side, TINY.patches).scenes
    picture = next(n for n, s in enumerate(scene) if len(s.things) > 1)
    looked = Conversation(0, (), (7, 8, 9), ((1, 3),), ((1, 0, (0,)), (2, 1, (1,)), (2, 0, ())), ((1, 3), (2, 3)))
    torch.manual_seed(0)
    head, states = SeeingHead(16), torch.randn(1, 3, 16)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        loss = seeing_loss(head, states, [looked], [scene[picture]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 4 and losses[-1] < 0.5


def test_the_quick_steps_compute_what_the_model_computes(writer):
    learner = Learner.fresh(TINY)
    for block in learner.model.model.layers:
        torch.nn.init.normal_(block.attention.wqkv.Plora_B.weight)
    embeds = torch.randn(2, 5, TINY.width)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = picture_cache(learner.model, writer.before_picture(), embeds)
        with quick_steps():
            quick = picture_cache(learner.model, writer.before_picture(), embeds)
    for one, other in zip(plain.layers, quick.layers, strict=True):
        torch.testing.assert_close(one.keys.float(), other.keys.float(), atol=0.1, rtol=0.05)  # bfloat16 inside


@pytest.mark.slow
def test_ten_steps_and_the_same_ten_steps_in_two_goes(tmp_path, writer):
    straight, halved = tmp_path / "straight", tmp_path / "halved"
    losses = {}
    for folder in (straight, halved):
        folder.mkdir()
        (folder / "tokenizer.model").write_bytes((EMBEDDED_PATH / "tokenizer.model").read_bytes())
        tower = train_tower(TINY, folder)
        if folder is halved:
            assert train_model(TINY, folder, tower, stop_after=5).step == 5
        learner = train_model(TINY, folder, tower)
        assert learner.step == TINY.steps
        losses[folder] = torch.cat([v.flatten() for v in learner.average.values])
    torch.testing.assert_close(losses[straight], losses[halved])


def test_the_loss_falls_on_pictures_seen_again(writer):
    learner = Learner.fresh(replace(TINY, rate=0.1))  # of which the first steps take little
    batch, clock = batch_sample((1, 3), 3, TINY.side, TINY.patches), Clock(1000)
    first, *_, last = [learner.learn(batch, writer, clock) for _ in range(12)]
    assert last < first - 0.5


def test_the_clock_ends_by_whichever_is_spent_first():
    assert Clock(100).progress(50) == 0.5
    assert Clock(100, budget_sec=10, spent_sec=20).progress(1) == 1
    assert Clock(1000).rate(1000) == pytest.approx(0.02)


def test_the_rarer_a_kind_is_right_the_more_it_is_asked():
    weights = Weights()
    weights.right = dict.fromkeys(weights.right, 1.0)
    weights.right["place", "zh"] = 0.2
    asked = weights.sample(np.random.default_rng(0), 400)
    assert asked.count(("place", "zh")) > 100
