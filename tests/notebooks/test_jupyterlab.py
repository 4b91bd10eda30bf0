"""The notebooks in a real JupyterLab: opened by mouse in headless Chromium, as a reader does it, and two of them run.

All five are opened. Only those of QUICK are run here, for want of time; tests/test_notebooks.py runs all five, each in
a kernel without a browser. Set PYNQ_QSNN_SCREENSHOTS to a folder to run all five here too, and to keep pictures of
each for people.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
QUICK = ("01_first_light", "03_cifar10_on_the_board")
SCREENSHOTS = os.environ.get("PYNQ_QSNN_SCREENSHOTS")
START_S, OPEN_MS, RUN_MS = 60, 60_000, 240_000
WIDTH, HEIGHT = 1280, 900
SETTINGS = {
    # All cells stay in the page: by default JupyterLab keeps only those in sight.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}
TITLE, CODE, OUTPUT = (
    f".jp-Notebook {part}" for part in (".jp-MarkdownCell h1", ".jp-CodeCell", ".jp-OutputArea-output")
)
ERRORS, WARNINGS = (f'{OUTPUT}[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr"))


@pytest.fixture(scope="module")
def browser():
    for package in ("jupyterlab", "matplotlib", "torch", "pynq"):
        pytest.importorskip(package)
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # tests may run as root
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(address, token) of a JupyterLab on copies of the notebooks, with settings of its own."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    for notebook in NOTEBOOKS:
        shutil.copy(notebook, folder)
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS))
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}"),
    ]
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data")}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api/status?token={token}", server, home / "log")
        yield address, token
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels first
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address, server, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, f"JupyterLab ended: {log.read_text()}"
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer in {START_S} s: {log.read_text()}")


@pytest.fixture
def page(browser, lab, request):
    """The notebook that the test is about, open, with a kernel that waits for cells."""
    address, token = lab
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(f"{address}/lab/tree/{request.param.name}?reset&token={token}")
    page.wait_for_selector(CODE, timeout=OPEN_MS)
    page.wait_for_selector(TITLE, timeout=OPEN_MS)
    _wait_until_idle(page, OPEN_MS)
    yield page
    page.close()


def _wait_until_idle(page, timeout):
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached", timeout=timeout)


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda path: path.stem, indirect=True)
def test_it_opens_and_runs(page, request):
    path = request.node.callspec.params["page"]
    stem, cells = path.stem, json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert page.locator(TITLE).count() == 1
    assert page.locator(CODE).count() == sum(cell["cell_type"] == "code" for cell in cells)
    assert page.locator(OUTPUT).count() == 0, "committed with outputs"
    if stem in QUICK or SCREENSHOTS:
        _run_all_cells(page)
        assert page.locator(ERRORS).all_inner_texts() == []
        assert page.locator(WARNINGS).all_inner_texts() == []
        widths = page.locator(f"{OUTPUT} img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert len(widths) >= 3 and all(width > 100 for width in widths)
    if SCREENSHOTS:
        _keep_pictures(page, Path(SCREENSHOTS), stem)
    _shut_down_kernel(page)


def _run_all_cells(page):
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells")
    last = page.locator(f"{CODE} .jp-InputPrompt").last
    page.wait_for_function(
        "prompt => /\\d/.test(prompt.textContent)", arg=last.element_handle(), timeout=RUN_MS
    )  # [*] until it has run
    _wait_until_idle(page, OPEN_MS)


def _keep_pictures(page, folder, stem):
    """STEM-00.png, STEM-01.png, ...: the notebook window by window."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = page.locator(".jp-Notebook .jp-WindowedPanel-outer")
    height, step = panel.evaluate("panel => [panel.scrollHeight, panel.clientHeight]")
    for number, top in enumerate(range(0, height, step)):
        panel.evaluate("(panel, top) => { panel.scrollTop = top }", top)
        page.wait_for_timeout(200)  # until it is drawn
        page.screenshot(path=folder / f"{stem}-{number:02d}.png")


def _shut_down_kernel(page):
    page.click("text=Kernel >> nth=0")
    page.click(".lm-Menu-itemLabel >> text=/^Shut Down Kernel$/")
