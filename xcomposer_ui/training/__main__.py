"""`python -m xcomposer_ui.training`: make the embedded model, evaluate it, draw the example pictures."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.settings import ASSETS, EMBEDDED_PATH
from xcomposer_ui.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.training.conversations import Writer
from xcomposer_ui.training.evaluation import Table, as_markdown, differing, evaluate
from xcomposer_ui.training.examples import write_examples
from xcomposer_ui.training.export import export
from xcomposer_ui.training.loop import train_model
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import train_tower
from xcomposer_ui.training.vocabulary import train_vocabulary

log = logging.getLogger("xcomposer_ui.training")

TOWER_SHARE = 0.25
"""How much of the time budget stage one gets at most."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m xcomposer_ui.training", description=__doc__)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    commands = parser.add_subparsers(dest="command")
    train = commands.add_parser("train", help="make the model from nothing, or go on where it was left (the default)")
    for target in (parser, train):
        target.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()) / "xcomposer-training")
        target.add_argument("--budget", type=float, metavar="MINUTES", help="most time to spend; default: no limit")
        target.add_argument("--output", type=Path, default=EMBEDDED_PATH)
    test = commands.add_parser("evaluate", help="held-out pictures, as a table")
    test.add_argument("--model", type=Path, default=EMBEDDED_PATH)
    test.add_argument("--strategy", choices=["full", "autocast", "unified"], default="full")
    test.add_argument("--half", choices=HALF_DTYPES, default="bfloat16")
    test.add_argument("--pictures", type=int, default=2000)
    test.add_argument("--compare", action="store_true", help="every strategy and half beside float32")
    examples = commands.add_parser("examples", help="draw the example pictures of the page")
    examples.add_argument("--output", type=Path, default=ASSETS / "examples")
    return parser


def main() -> None:
    """Run one command."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the drawing processes end with this one
    given = arguments().parse_args()
    if given.command == "examples":
        write_examples(given.output)
    elif given.command == "evaluate":
        run_evaluation(given)
    else:
        run_training(given)


def run_training(given: argparse.Namespace) -> None:
    """Tokenizer, stage one, stage two, export; each is skipped where its result lies in the working folder."""
    recipe, work = Recipe(seed=given.seed), given.work_dir
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if not (work / "tokenizer.model").exists():
        log.info("tokenizer")
        train_vocabulary(recipe.seed, recipe.vocabulary, work / "tokenizer.model")
    budget = None if given.budget is None else given.budget * 60
    tower = train_tower(recipe, work, None if budget is None else TOWER_SHARE * budget)
    left = None if budget is None else budget - (time.monotonic() - started)
    learner = train_model(recipe, work, tower, left)
    export(recipe, work, given.output)
    log.info("%d steps in %.0f s; the model is in %s", learner.step, learner.spent_sec, given.output)


def run_evaluation(given: argparse.Namespace) -> None:
    """Print the table, and with --compare what the other strategies do to it; one JSON line last."""
    if not given.compare:
        table = _table(given, given.strategy, given.half)
        print(as_markdown(table))
        print(json.dumps({"strategy": given.strategy, "half": given.half, "right": table.shares()}))
        return
    exact = _table(given, "full", "float16")
    print(as_markdown(exact))
    print("\n| strategy | half | right | against float32 | answers that differ |\n| --- | --- | ---: | ---: | ---: |")
    for strategy in ("autocast", "unified"):
        for half in HALF_DTYPES:
            other = _table(given, strategy, half)
            change = 100 * (other.overall() - exact.overall())
            print(
                f"| {strategy} | {half} | {100 * other.overall():.2f} % | {change:+.2f} points "
                f"| {100 * differing(exact, other):.2f} % |",
                flush=True,
            )
    print(json.dumps({"strategy": "full", "right": exact.shares()}))


def _table(given: argparse.Namespace, strategy: str, half: str) -> Table:
    chosen = STRATEGIES[strategy]
    dtype = getattr(torch, chosen.weights_dtype(half))
    model = InternLMXComposer2ForCausalLM.from_pretrained(given.model, dtype=dtype).eval()
    writer = Writer(given.model / "tokenizer.model")
    return evaluate(model, writer, chosen, half, seed=given.seed, pictures=given.pictures)


if __name__ == "__main__":
    main()
