"""Which file may import which, and which stay free of TensorFlow."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("tfrecords", "glr_keras", "tuning")
# A module imports from layers listed before its own only.
LAYERS = [
    ["arrays", "config", "feature_files", "figures", "metrics", "photo_files"],
    ["augment", "backbones", "distribution", "features", "optimizers", "run"],
    ["checkpoint", "data", "decoding", "model_dir", "models", "precision"],
    ["explain", "extraction", "finetuning", "random_access", "recognizers"],
    ["batches", "report", "serving"],
    ["saved_model", "training"],
    ["export_check", "fit", "recognition"],
    ["export", "predict"],
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Photos that users hand in are read as the build reads them, and refused for the same reasons.
READ_PHOTOS = ("photo_files", "recognition", "predict")
HEAVY = {"beam", "builder"}  # of tfrecords: these import TensorFlow Datasets when they are imported
LIGHT = [
    *sorted(
        f"tfrecords.{path.stem}"
        for path in (REPOSITORY / "tfrecords").glob("*.py")
        if path.stem not in HEAVY
    ),
    "glr_keras",
    "glr_keras.config",
    "glr_keras.feature_files",
    "glr_keras.features",
    "glr_keras.fit",
    "glr_keras.run",
    "glr_keras.photo_files",
    "glr_keras.model_dir",
    "glr_keras.export",
    "glr_keras.predict",
    "tuning",
    "tuning.search",
    "tuning.space",
    "tuning.workers",
]


def modules_of(package):
    paths = sorted((REPOSITORY / package).glob("*.py"))
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def our_imports(tree):
    """Names of our modules that the code in `tree` imports, as "package.module"."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            is_package = node.module in PACKAGES
            names |= {f"{node.module}.{a.name}" if is_package else node.module for a in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}


GLR_KERAS = modules_of("glr_keras")
TFRECORDS = modules_of("tfrecords")
TUNING = modules_of("tuning")
# As RANKS, for tuning.
TUNING_RANKS = {
    "intervals": 0,
    "space": 0,
    "directory": 1,
    "trials": 2,
    "workers": 2,
    "board": 2,
    "figures": 3,
    "grid": 3,
    "hypermodel": 3,
    "oracles": 3,
    "progress": 3,
    "chief": 3,
    "tuner": 4,
    "confirm": 5,
    "process": 6,
    "search": 7,
}


def test_imports_are_seen_wherever_they_stand():
    code = "import glr_keras.run\ndef f():\n from tfrecords import index, photos\n import csv"
    assert our_imports(ast.parse(code)) == {
        "glr_keras.run",
        "tfrecords.index",
        "tfrecords.photos",
    }


@pytest.mark.parametrize("module", TFRECORDS)
def test_tfrecords_knows_no_other_package(module):
    assert {name.split(".")[0] for name in our_imports(TFRECORDS[module])} <= {"tfrecords"}


@pytest.mark.parametrize("module", GLR_KERAS)
def test_glr_keras_takes_little_but_the_console_from_tfrecords(module):
    more = {"fit": {"tfrecords.build", "tfrecords.demo"}, "random_access": {"tfrecords.frames"}}
    more["figures"] = {"tfrecords.fonts"}
    more |= {name: {"tfrecords.index", "tfrecords.photos"} for name in READ_PHOTOS}
    allowed = {"tfrecords.console"} | more.get(module, set())
    others = {name for name in our_imports(GLR_KERAS[module]) if name.split(".")[0] != "glr_keras"}
    assert others <= allowed


def test_only_build_demo_builds_records():
    functions = [node for node in GLR_KERAS["fit"].body if isinstance(node, ast.FunctionDef)]
    build_demo = next(node for node in functions if node.name == "build_demo")
    assert our_imports(build_demo) == {"tfrecords.build", "tfrecords.demo"}
    rest = [node for node in GLR_KERAS["fit"].body if node is not build_demo]
    assert not our_imports(ast.Module(rest, [])) & {"tfrecords.build", "tfrecords.demo"}


def test_every_module_of_glr_keras_has_a_rank():
    assert set(GLR_KERAS) - {"__init__"} == set(RANKS)


@pytest.mark.parametrize("module", RANKS)
def test_arrows_go_one_way(module):
    ours = [n for n in our_imports(GLR_KERAS[module]) if n.startswith("glr_keras.")]
    imported = [name.split(".")[1] for name in ours]
    assert [name for name in imported if RANKS[name] >= RANKS[module]] == []


@pytest.mark.parametrize("module", [*TFRECORDS, *GLR_KERAS])
def test_nothing_imports_tuning(module):
    imported = our_imports((TFRECORDS | GLR_KERAS)[module])
    assert [name for name in imported if name.split(".")[0] == "tuning"] == []


def test_every_module_of_tuning_has_a_rank():
    assert set(TUNING) - {"__init__"} == set(TUNING_RANKS)


@pytest.mark.parametrize("module", TUNING_RANKS)
def test_arrows_of_tuning_go_one_way(module):
    ours = [n for n in our_imports(TUNING[module]) if n.startswith("tuning.")]
    imported = [name.split(".")[1] for name in ours]
    assert [name for name in imported if TUNING_RANKS[name] >= TUNING_RANKS[module]] == []


@pytest.mark.parametrize("module", TUNING)
def test_tuning_takes_only_the_console_from_tfrecords(module):
    others = [n for n in our_imports(TUNING[module]) if n.startswith("tfrecords")]
    assert set(others) <= {"tfrecords.console"}


def test_light_modules_start_neither_tensorflow_nor_keras(run_python):
    code = (
        "import importlib, sys\n"
        f"for name in {LIGHT}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
        "print('light')"
    )
    done = run_python("-c", code)
    assert (done.stdout, done.returncode) == ("light\n", 0), done.stderr
