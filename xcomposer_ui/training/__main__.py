"""`python -m xcomposer_ui.training`: train the embedded model, evaluate it, draw the example pictures."""

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

from xcomposer_ui.core.settings import ASSETS, EMBEDDED_PATH
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.continuation import Continuation, continue_training
from xcomposer_ui.training.conversations import ConversationEncoder
from xcomposer_ui.training.evaluation import AccuracyTable, as_markdown, differing_share, evaluate, held_out
from xcomposer_ui.training.examples import write_examples
from xcomposer_ui.training.held_out_drawings import brush_drawings
from xcomposer_ui.training.loop import export, train_model, write_model
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tokenizer import train_tokenizer
from xcomposer_ui.training.tower import train_tower

log = logging.getLogger("xcomposer_ui.training")

TOWER_BUDGET_SHARE = 0.25
"""Largest share of the time budget for stage one."""


def argument_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m xcomposer_ui.training", description=__doc__)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    commands = parser.add_subparsers(dest="command")
    train = commands.add_parser("train", help="train the model, or resume its training (the default)")
    further = commands.add_parser("continue", help="train an exported model's tower on sketches and large shapes")
    further.add_argument("--model", type=Path, default=EMBEDDED_PATH, help="folder of the model to continue from")
    for target in (parser, train, further):
        target.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()) / "xcomposer-training")
        target.add_argument("--budget", type=float, metavar="MINUTES", help="time limit; default: none")
        target.add_argument("--output", type=Path, default=EMBEDDED_PATH)
    test = commands.add_parser("evaluate", help="print a table of the accuracy on held-out pictures")
    test.add_argument("--model", type=Path, default=EMBEDDED_PATH)
    test.add_argument("--strategy", choices=["full", "autocast", "unified"], default="full")
    test.add_argument("--half", choices=HALF_DTYPES, default="bfloat16")
    test.add_argument("--pictures", type=int, default=2000)
    test.add_argument("--drawings", action="store_true", help="on brush drawings, by their style and size")
    test.add_argument("--compare", action="store_true", help="compare every strategy and half with float32")
    examples = commands.add_parser("examples", help="draw the page's example pictures")
    examples.add_argument("--output", type=Path, default=ASSETS / "examples")
    return parser


def main() -> None:
    """Run the command of the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit normally, so that the drawing processes end too
    args = argument_parser().parse_args()
    if args.command == "examples":
        write_examples(args.output)
    elif args.command == "evaluate":
        run_evaluation(args)
    elif args.command == "continue":
        run_continuation(args)
    else:
        run_training(args)


def run_training(args: argparse.Namespace) -> None:
    """Train the tokenizer and both stages, and export the model.

    What is already in the work folder is skipped or resumed.
    """
    recipe, work = Recipe(seed=args.seed), args.work_dir
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if not (work / "tokenizer.model").exists():
        log.info("tokenizer")
        train_tokenizer(recipe.seed, recipe.vocabulary, work / "tokenizer.model")
    budget = None if args.budget is None else args.budget * 60
    tower = train_tower(recipe, work, None if budget is None else TOWER_BUDGET_SHARE * budget)
    remaining = None if budget is None else budget - (time.monotonic() - started)
    learner = train_model(recipe, work, tower, remaining)
    export(recipe, work, args.output)
    log.info("%d steps in %.0f s; the model is in %s", learner.step, learner.spent_sec, args.output)


def run_continuation(args: argparse.Namespace) -> None:
    """Continue the training of an exported model, and export it again."""
    args.work_dir.mkdir(parents=True, exist_ok=True)
    model = InternLMXComposer2ForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    budget = None if args.budget is None else args.budget * 60
    continue_training(Continuation(), Recipe(seed=args.seed), args.work_dir, model, budget)
    write_model(model, args.model / "tokenizer.model", args.output)
    log.info("the model is in %s", args.output)


def run_evaluation(args: argparse.Namespace) -> None:
    """Print the accuracy table, with --compare also the other strategies' accuracy; the last line is JSON."""
    if not args.compare:
        table = _table(args, args.strategy, args.half)
        print(as_markdown(table))
        print(json.dumps({"strategy": args.strategy, "half": args.half, "right": table.shares()}))
        return
    reference = _table(args, "full", "float16")
    print(as_markdown(reference))
    print("\n| strategy | half | right | against float32 | answers that differ |\n| --- | --- | ---: | ---: | ---: |")
    for strategy in ("autocast", "unified"):
        for half in HALF_DTYPES:
            other = _table(args, strategy, half)
            change = 100 * (other.overall() - reference.overall())
            print(
                f"| {strategy} | {half} | {100 * other.overall():.2f} % | {change:+.2f} points "
                f"| {100 * differing_share(reference, other):.2f} % |",
                flush=True,
            )
    print(json.dumps({"strategy": "full", "right": reference.shares()}))


def _table(args: argparse.Namespace, strategy: str, half: str) -> AccuracyTable:
    chosen = STRATEGIES[strategy]
    dtype = getattr(torch, chosen.weights_dtype(half))
    model = InternLMXComposer2ForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    encoder = ConversationEncoder(args.model / "tokenizer.model")
    groups = brush_drawings if args.drawings else held_out
    return evaluate(model, encoder, chosen, half, groups(args.seed, args.pictures))


if __name__ == "__main__":
    main()
