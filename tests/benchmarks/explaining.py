"""How many pastes are explained rightly, as a table by kind: `python -m tests.benchmarks.explaining`.

Over the reports in tests/explain/data and, where it lies beside the project, the collection in ../shared/field.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from xcomposer_ui.explain import explain

ROOT = Path(__file__).parents[2]
FIELD = ROOT.parent / "shared" / "field"
CHECKS = ("recognised", "dtypes", "verdicts", "place")


def right(expected: dict[str, Any]) -> dict[str, bool]:
    """Check -> whether the explanation passes it; checks that `expected` does not ask for are left out."""
    found = explain(expected["paste"])
    cures = {fix.strategy: fix.cures for fix in found.fixes}
    checks = {"recognised": found.recognised == expected["recognised"]}
    if "dtypes" in expected:
        checks["dtypes"] = list(found.dtypes) == expected["dtypes"]
    if "cures" in expected:
        checks["verdicts"] = all(cures.get(name) is cured for name, cured in expected["cures"].items())
    if "place" in expected:
        checks["place"] = expected["place"] in str(found.where or "")
    return checks


def main() -> int:
    """Print the table; the exit status is 0."""
    sets = {"public reports": json.loads((ROOT / "tests/explain/data/public_reports.json").read_text("utf-8"))}
    if FIELD.is_dir():
        sets["field pastes"] = json.loads((FIELD / "pastes.json").read_text("utf-8"))
    print(f"{'set':<16}{'pastes':>8}{'all right':>11}" + "".join(f"{check:>13}" for check in CHECKS))
    started = time.perf_counter()
    for name, pastes in sets.items():
        found = [right(paste) for paste in pastes]
        cells = [f"{sum(c.get(check, True) for c in found)}/{len(found)}" for check in CHECKS]
        whole = sum(all(checks.values()) for checks in found)
        print(f"{name:<16}{len(pastes):>8}{whole:>11}" + "".join(f"{cell:>13}" for cell in cells))
    if FIELD.is_dir():
        messages = json.loads((FIELD / "cuda_messages.json").read_text("utf-8"))
        print(f"CUDA messages recognised: {sum(explain(message).recognised for message in messages)}/{len(messages)}")
    print(f"{time.perf_counter() - started:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
