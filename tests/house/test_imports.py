"""The import rules of the design: who may import whom, and what stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "torchvision", "timm", "open_clip", "sklearn", "scipy", "faiss", "pyarrow", "huggingface_hub"}
TOOLS = {"embedstore_cli", "distill_cli", "embedstore_inspector"}


def imported_at_import_time(path: Path) -> set[str]:
    """Return the modules that a file imports when it is imported: not in functions, not for type checking."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        waiting.extend(ast.iter_child_nodes(node))
    return found


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("embedstore"), ids=lambda path: str(path.relative_to(ROOT)))
def test_embedstore_imports_neither_distill_nor_anything_heavy(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported_at_import_time(path)}
    assert not tops & (HEAVY | {"distill", "rich", "typer", "starlette", *TOOLS})


@pytest.mark.parametrize("path", sources("embedstore"), ids=lambda path: str(path.relative_to(ROOT)))
def test_embedstore_never_mentions_distill_in_an_import(path: Path) -> None:
    every: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            every |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            every.add(node.module or "")
    assert not any(name.split(".")[0] == "distill" for name in every)


@pytest.mark.parametrize(
    "path", sources("distill/targets") + sources("distill/evaluation"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_targets_and_evaluation_are_numpy_only(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported_at_import_time(path)} & HEAVY


@pytest.mark.parametrize("folder", ["embedstore", "distill", "tools"])
def test_only_teachers_load_a_teacher(folder: str) -> None:
    for path in sources(folder):
        text = path.read_text("utf-8")
        if "embedstore/teachers" not in path.as_posix() and "tools/bench" not in path.as_posix():
            assert "open_clip.create" not in text
            assert "import open_clip" not in text


def test_importing_embedstore_and_distill_is_light() -> None:
    code = f"import sys, embedstore, distill; print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_script_is_named_like_a_package() -> None:
    scripts = {path.stem for folder in ("tools/bench", "tools/pilot") for path in sources(folder)}
    assert not scripts & (HEAVY | {"embedstore", "distill", "numpy", "lmdb", "rich", "typer"})


def test_exported_names() -> None:
    import distill
    import embedstore

    assert set(embedstore.__all__) == {
        "BuildReport", "EmbeddingStore", "EmbedstoreError", "Recipe", "Sample", "Summary", "add", "build", "create",
        "export", "import_vectors", "load_teacher", "migrate", "open", "refresh", "repair", "rollback", "thin",
        "upgrade", "verify",
    }  # fmt: skip
    assert set(distill.__all__) == {
        "Comparing", "DistillationDataset", "DistillationLoss", "Settings", "advise", "compare", "evaluate", "export",
        "gate", "predict", "train",
    }  # fmt: skip
    for module in (embedstore, distill):
        for name in module.__all__:
            assert getattr(module, name) is not None
