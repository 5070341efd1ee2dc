"""What lies in examples/ works: the notebook from top to bottom, the page in a real browser."""

import functools
import http.server
import json
import shutil
import subprocess
import threading

import numpy as np
import pytest
from paths import REPOSITORY
from PIL import Image

from glr_keras.data.records import open_records
from glr_keras.exporting.files import export_files

EXAMPLES = REPOSITORY / "examples"
MAX_BYTES = 100_000  # of the notebook: outputs are small
pytestmark = pytest.mark.slow


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    path = EXAMPLES / "quickstart.ipynb"
    assert path.stat().st_size < MAX_BYTES
    text = path.read_text(encoding="utf-8").replace('WEIGHTS = \\"imagenet', 'WEIGHTS = \\"random')
    assert "random\\"  # 9 MB" in text
    notebook = nbformat.reads(text, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert (tmp_path / "quickstart" / "run" / "report.html").is_file()
    assert "Written: " in json.dumps(notebook.cells)
    assert len(nbformat.writes(notebook)) < MAX_BYTES


@pytest.fixture
def site(small_run, small_model, demo_data, tmp_path):
    """The page with an export and the runtime of the npm registry beside it, over HTTP."""
    pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path / "site"
    packed = subprocess.run(
        ["npm", "pack", "--silent", "onnxruntime-web"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if packed.returncode:
        pytest.skip("needs the npm registry")
    package = folder / "node_modules" / "onnxruntime-web"
    shutil.unpack_archive(tmp_path / packed.stdout.split()[-1], tmp_path)
    package.parent.mkdir(parents=True)
    (tmp_path / "package").rename(package)
    shutil.copy(EXAMPLES / "onnx_in_browser.html", folder)
    export_files(
        small_model.recognizer,
        small_run,
        folder / "export",
        open_records(demo_data),
        "onnx",
        4,
        False,
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_names_a_photo_in_a_browser_as_keras_does(browser, site, small_model, tmp_path):
    # So smooth that it does not matter how it is scaled.
    rows, columns = np.mgrid[:256, :300]
    pixels = np.stack([rows, columns * 255 // 299, 255 - rows], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = small_model.predict(tmp_path / "photo.png")
    with browser.new_page() as page:
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{site}/onnx_in_browser.html")
        page.wait_for_selector("#photo:enabled", timeout=120_000)
        page.set_input_files("#photo", tmp_path / "photo.png")
        page.wait_for_selector("#answer li", timeout=120_000)
        shown = page.locator("#answer li").all_inner_texts()
        assert shown[0].startswith(f"{expected.landmarks[0]}: ")
        scores = [float(text.rpartition(": ")[2].removesuffix(" %")) / 100 for text in shown]
        np.testing.assert_allclose(scores, expected.scores, atol=0.02)
        assert page.locator("#slider").is_visible()
        (tmp_path / "no photo.png").write_text("no photo")
        page.set_input_files("#photo", tmp_path / "no photo.png")
        page.wait_for_selector("#error:not(:empty)")
    assert complaints == []
