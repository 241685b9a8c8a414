"""One direction: the core knows no framework, the models no page, the page no tensors; the page is up before the model.

Each rule is tested twice: on what the sources say (imports inside functions too), and on what a fresh process loads.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "xcomposer_ui"
HEAVY = ("torch", "transformers", "gradio")
OUTER = ("models", "backends", "ui", "training")
FINETUNING = "xcomposer_ui.backends.finetuning"
"""The backends that may use the drawing of pictures and the batches of `training`."""

FORBIDDEN = {
    "core": {*HEAVY},
    "models": {
        "gradio",
        "xcomposer_ui.ui",
        "xcomposer_ui.backends",
        "xcomposer_ui.runtime.runner",
        "xcomposer_ui.training",
    },
    "backends": {"gradio", "xcomposer_ui.ui", "xcomposer_ui.runtime.runner", "xcomposer_ui.training"},
    "finetuning": {"gradio", "xcomposer_ui.ui", "xcomposer_ui.runtime.runner"},
    "training": {"gradio", "xcomposer_ui.ui"},
    "ui": {"torch", "transformers", "xcomposer_ui.models", "xcomposer_ui.backends", "xcomposer_ui.training"},
}
"""What no module of a ring imports anywhere in it. The core is every module that is in no other ring."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def ring_of(module: str) -> str:
    if module == FINETUNING or module.startswith(f"{FINETUNING}."):
        return "finetuning"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in OUTER else "core"


def ring(name: str) -> list[str]:
    return [module for module in MODULES if ring_of(module) == name]


def imports(nodes: list[ast.stmt] | ast.AST, package: str) -> set[str]:
    """Full names of what is imported in `nodes`: modules, and names taken from them (which may be modules too)."""
    found: set[str] = set()
    for top in nodes if isinstance(nodes, list) else [nodes]:
        for node in ast.walk(top):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{package} imports relatively, which this test does not resolve"
                assert node.module is not None
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def only_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def offences(imported: set[str], forbidden: set[str]) -> set[str]:
    return {name for name in imported if any(name == other or name.startswith(other + ".") for other in forbidden)}


def loaded_by(statement: str) -> set[str]:
    """The top-level names of what a fresh process has loaded after `statement`."""
    program = f"{statement}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_check_sees_a_forbidden_import() -> None:
    source = "def later():\n    from torch.nn import Linear\n    import xcomposer_ui.ui.layout\n"
    imported = imports(ast.parse(source), "example")
    assert offences(imported, FORBIDDEN["core"]) == {"torch.nn", "torch.nn.Linear"}
    assert offences(imported, FORBIDDEN["models"]) == {"xcomposer_ui.ui.layout"}
    assert "wave" in loaded_by("import wave")


@pytest.mark.parametrize("module", list(MODULES))
def test_no_module_imports_what_its_ring_must_not_know(module: str) -> None:
    imported = imports(ast.parse(MODULES[module].read_text(encoding="utf-8")), module)
    assert not offences(imported, FORBIDDEN[ring_of(module)])


@pytest.mark.parametrize("module", ring("core"))
def test_the_core_reaches_an_outer_ring_only_inside_a_function(module: str) -> None:
    top_level = [
        node
        for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not only_for_types(node)
    ]
    outside = {f"xcomposer_ui.{name}" for name in OUTER}
    assert not offences(imports(top_level, module), outside)


def test_the_whole_core_loads_no_framework() -> None:
    loaded = loaded_by("; ".join(f"import {module}" for module in ring("core")))
    assert "xcomposer_ui" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_importing_app_loads_no_framework() -> None:
    loaded = loaded_by("import app")
    assert "app" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.slow
def test_the_page_loads_no_model_library() -> None:
    loaded = loaded_by("; ".join(f"import {module}" for module in ring("ui")))
    assert "gradio" in loaded
    assert loaded.isdisjoint({"torch", "transformers"})


@pytest.mark.slow
def test_what_computes_does_not_load_the_page() -> None:
    modules = [module for name in ("models", "backends", "finetuning", "training") for module in ring(name)]
    loaded = loaded_by("; ".join(f"import {module}" for module in modules if not module.endswith("__main__")))
    assert "torch" in loaded
    assert "gradio" not in loaded
