"""Comparisons of many questions: from a JSONL file to a JSONL and a CSV file, line by line and resumable."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import question_as_json
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings, Runs, compare
from xcomposer_ui.compare.report import as_csv, csv_fields, csv_rows
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.files import append_whole, write_whole
from xcomposer_ui.core.jsonl import OF_ONE_LINE, Line, Pending, Recorded, ResultLines, Skipped, read_requests
from xcomposer_ui.core.request import Request
from xcomposer_ui.runtime.batches import BatchQueue
from xcomposer_ui.runtime.worker_pool import WorkerPool

BatchEvent = Skipped | ComparisonProgress | Recorded


class Results(ResultLines):
    """The two files of a batch: the JSONL with all records, and the CSV made from it.

    Raises UserError as `ResultLines` does.
    """

    def __init__(self, stem: Path, settings: dict[str, Any]) -> None:
        super().__init__(stem.with_name(stem.name + ".jsonl"), settings)
        self.csv = stem.with_name(stem.name + ".csv")
        self._fields = ("line", "id", "question", *csv_fields())
        table = as_csv(self._fields, (row for record in self.records for row in _csv_rows(record)))
        write_whole(self.csv, table)

    def add(self, line: Line, entry: dict[str, Any]) -> dict[str, Any]:
        record = super().add(line, entry)
        append_whole(self.csv, as_csv(self._fields, _csv_rows(record), heading=False))
        return record


def compare_file(
    runner: Runs, file: Path, results: Results, settings: ComparisonSettings, defaults: Mapping[str, Any]
) -> Generator[BatchEvent, None, None]:
    """Compare each line of `file`, with its progress. Closing the generator stops; finished lines are in the files.

    defaults: values of the request's fields that a line leaves out.
    Raises UserError where the file cannot be read or is empty, and for a mistake that applies to every line.
    """
    for event in read_requests(file, results, defaults):
        if not isinstance(event, Pending):
            yield event
            continue
        try:
            with closing(compare(runner, event.request, settings)) as steps:
                for step in steps:
                    yield step
        except UserError as mistake:
            if mistake.code not in OF_ONE_LINE:
                raise
            yield Skipped(event.line.number, str(mistake))
            continue
        settings = replace(settings, warm_up=False)
        yield _recorded(event, step.comparison, results)


def compare_file_in(
    pool: WorkerPool, file: Path, results: Results, settings: ComparisonSettings, defaults: Mapping[str, Any]
) -> Generator[Skipped | Recorded, None, None]:
    """`compare_file` by the workers of `pool`: the same records, in any order, with the worker of each."""
    queue = BatchQueue(file, results, defaults, size=1)
    for done in pool.completed(finished_comparison, queue.take, lambda batch: (batch[0].request, settings)):
        if isinstance(done.result, UserError):
            yield from queue.refused(done.task, done.result)
        else:
            yield _recorded(done.task[0], done.result, results, worker=done.worker_as_json)
        yield from queue.passed_over()
    yield from queue.passed_over()


def finished_comparison(runner: Runs, question: tuple[Request, ComparisonSettings]) -> Comparison:
    """The comparison of a request with its settings, computed in this process."""
    *_, last = compare(runner, *question)
    return last.comparison


def _recorded(pending: Pending, comparison: Comparison, results: Results, **facts: Any) -> Recorded:
    """Write the record of a line's comparison. facts: further fields of the record."""
    document = comparison_as_json(comparison)
    # The modules' figures of a thousand questions would be gigabytes; `compare` gives them for one question.
    for entry in [*document["divergence"], *([document["floor"]] if document["floor"] else [])]:
        del entry["layers"]
    entry = {"id": pending.id, "question": question_as_json(pending.request), **document, **facts}
    return Recorded(pending.line.number, results.add(pending.line, entry))


def _csv_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"line": record["line"], "id": record["id"], "question": record["question"]["text"]}
    return [{**head, **row} for row in csv_rows(record)]
