"""Which part may import which, and which modules stay free of TensorFlow."""

import ast
import graphlib
from pathlib import Path

import pytest
from paths import REPOSITORY

PACKAGES = ("tfrecords", "glr_keras", "tuning")
# A part imports from itself and from parts listed before its own line only.
LAYERS = {
    "tfrecords": [
        ["common"],
        ["images"],
        ["splitting", "demo"],
        ["sources"],
        ["download"],
        ["records"],
        ["beam", "validation"],
        ["options"],
        ["build", "check"],
    ],
    "glr_keras": [
        ["config", "saliency"],
        ["data", "models"],
        ["features", "runs", "decoding"],
        ["calibration"],
        ["reporting"],
        ["training", "inference"],
        ["predicting", "explaining", "evaluation", "exporting"],
        ["serving"],
        ["fit", "evaluate", "predict", "explain", "report", "export", "app"],
        ["add"],
    ],
    "tuning": [
        ["space"],
        ["choice", "plan"],
        ["store"],
        ["trials", "parallel"],
        ["chief", "display", "figures", "oracles", "trial"],
        ["tuner"],
        ["analysis"],
        ["process"],
        ["search"],
    ],
}
# What a package takes from another one; a name stands for all below it.
BORROWED = {
    "tfrecords": (),
    # Photos that users hand in are read, and refused, as the build reads them.
    "glr_keras": (
        "tfrecords.common",
        "tfrecords.images",
        "tfrecords.sources.walk",
        "tfrecords.records.tfrecord_io",
    ),
    "tuning": ("tfrecords.common", "glr_keras"),
}
BUILDERS = {  # the functions that build records, and what they may import for that
    "glr_keras.fit": ("build_demo", {"tfrecords.build", "tfrecords.demo.photos"}),
    "glr_keras.add": ("build_records", {"tfrecords.build"}),
}
HEAVY = {  # these import TensorFlow Datasets when they are imported
    "tfrecords.beam.pipeline",
    "tfrecords.beam.tfds_builder",
    "tfrecords.records.schema",
}


def all_modules(root=REPOSITORY):
    """Returns module name -> syntax tree of every module of the packages below `root`."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            modules[name.removesuffix(".__init__")] = tree
    return modules


def our_imports(tree, modules):
    """Returns the names of our modules that the code in `tree` imports, wherever it stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in modules else node.module)
    return {name for name in names if name.split(".")[0] in PACKAGES}


def violations(modules):
    """Yields a line for each import that goes against the layers, and for circles."""
    graph = {}
    for name, tree in modules.items():
        imported = our_imports(tree, modules)
        if name in BUILDERS:
            imported -= BUILDERS[name][1]  # see test_only_these_functions_build_records
        graph[name] = {other for other in imported if other != name}
        for other in sorted(graph[name]):
            if not _is_allowed(name, other):
                yield f"{name} imports {other}"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield f"circle: {' -> '.join(error.args[1])}"


def _is_allowed(name, other):
    package = name.split(".")[0]
    if other.split(".")[0] != package:
        return any(f"{other}.".startswith(f"{one}.") for one in BORROWED[package])
    if package not in LAYERS or name == package:
        return True
    rank = {part: number for number, parts in enumerate(LAYERS[package]) for part in parts}
    mine, theirs = name.split(".")[1], [*other.split("."), ""][1]
    return mine == theirs or rank[theirs] < rank[mine]


def test_arrows_go_one_way():
    assert list(violations(all_modules())) == []


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        (
            "tfrecords/common/fonts.py",
            "from tfrecords.sources import tars",
            "tfrecords.common.fonts imports tfrecords.sources.tars",
        ),
        (
            "tfrecords/images/convert.py",
            "import glr_keras.config",
            "tfrecords.images.convert imports glr_keras.config",
        ),
        (
            "glr_keras/runs/run_dir.py",
            "def f():\n    from glr_keras.training.loop import fit_recognizer",
            "glr_keras.runs.run_dir imports glr_keras.training.loop",
        ),
        (
            "glr_keras/predict.py",
            "from tuning.plan import declare",
            "glr_keras.predict imports tuning.plan",
        ),
        (
            "glr_keras/data/records.py",
            "from tfrecords.download.plan import plan_fetch",
            "glr_keras.data.records imports tfrecords.download.plan",
        ),
        ("tuning/plan.py", "from tuning import store", "circle: "),
    ],
)
def test_a_violation_is_caught(path, line, expected):
    modules = all_modules()
    name = ".".join(Path(path).with_suffix("").parts)
    modules[name] = ast.parse((REPOSITORY / path).read_text(encoding="utf-8") + "\n" + line)
    found = list(violations(modules))
    assert [line for line in found if line.startswith(expected)]
    assert found[1:] == [line for line in found[1:] if line.startswith("circle: ")]


def test_every_part_has_its_place():
    for package, layers in LAYERS.items():
        parts = {path.stem for path in (REPOSITORY / package).iterdir() if path.name[0] not in "_."}
        assert parts == {part for parts in layers for part in parts}


@pytest.mark.parametrize("module", BUILDERS)
def test_only_these_functions_build_records(module):
    modules = all_modules()
    name, allowed = BUILDERS[module]
    functions = [n for n in modules[module].body if isinstance(n, ast.FunctionDef)]
    builder = next(node for node in functions if node.name == name)
    assert our_imports(builder, modules) == allowed
    rest = [node for node in modules[module].body if node is not builder]
    assert not our_imports(ast.Module(rest, []), modules) & allowed


def test_light_modules_start_neither_tensorflow_nor_keras(run_python):
    light = [name for name in all_modules() if name.startswith("tfrecords") and name not in HEAVY]
    light += [
        "glr_keras",
        "glr_keras.add",
        "glr_keras.app",
        "glr_keras.config",
        "glr_keras.evaluate",
        "glr_keras.evaluation.options",
        "glr_keras.explain",
        "glr_keras.explaining.options",
        "glr_keras.export",
        "glr_keras.features.__main__",
        "glr_keras.features.store",
        "glr_keras.features.view_files",
        "glr_keras.fit",
        "glr_keras.inference.model_dir",
        "glr_keras.inference.photo_inputs",
        "glr_keras.predict",
        "glr_keras.report",
        "glr_keras.runs.run_dir",
        "glr_keras.serving.server",
        "tuning",
        "tuning.choice",
        "tuning.parallel",
        "tuning.plan",
        "tuning.space",
        "tuning.store",
        "tuning.trials",
        "tuning.search",
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {light}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
        "print('light')"
    )
    done = run_python("-c", code)
    assert (done.stdout, done.returncode) == ("light\n", 0), done.stderr
