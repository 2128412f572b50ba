"""A JupyterLab on loopback with nothing of the user's settings, whose kernel is this Python; and its page,
driven.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / ".venvs/jupyter/bin/jupyter-lab"
_PATIENCE = 60
"""Seconds that the server may take to begin."""
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "completer-extension/manager": {"providerTimeout": 30000},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class Lab:
    """A running JupyterLab over a folder."""

    def __init__(self, home):
        self.folder, self.token = home / "notebooks", uuid.uuid4().hex
        self.folder.mkdir(parents=True)
        for name, values in _SETTINGS.items():
            place = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(values))
        kernel = home / "data/kernels/python3/kernel.json"
        kernel.parent.mkdir(parents=True)
        started = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": started, "display_name": "Python 3", "language": "python"}))
        places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime", "PATH": "data"}
        env = {f"JUPYTER_{name}": str(home / folder) for name, folder in places.items()}
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython")}
        self._log = (home / "log").open("w+")
        self._process = subprocess.Popen(
            [
                str(PROGRAM),
                *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
                *("--LabApp.expose_app_in_browser=True", f"--IdentityProvider.token={self.token}"),
                f"--ServerApp.root_dir={self.folder}",
            ],
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._runtime = home / "runtime"

    def __enter__(self):
        file = self._runtime / f"jpserver-{self._process.pid}.json"
        until = time.monotonic() + _PATIENCE
        while not (file.exists() and file.read_bytes().endswith(b"}")):
            if self._process.poll() is not None or time.monotonic() > until:
                self._log.seek(0)
                raise RuntimeError(f"JupyterLab did not begin: {self._log.read()[-2000:]}")
            time.sleep(0.05)
        self.url = json.loads(file.read_text())["url"]
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def put(self, notebook):
        """A notebook's copy in the folder, without what it shows; the url of its page."""
        tree = json.loads(Path(notebook).read_text(encoding="utf-8"))
        for cell in tree["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        (self.folder / notebook.name).write_text(json.dumps(tree))
        return f"{self.url}doc/tree/{notebook.name}?token={self.token}"


def until(browser, condition, *, seconds=120):
    """Wait, in the page, for a JavaScript expression to be true; its value. TimeoutError with what the page
    shows.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = browser.ask(
            f"""new Promise((resolve) => {{
              const began = Date.now();
              const look = () => {{
                let found = null;
                try {{ found = {condition}; }} catch (error) {{ /* not there yet */ }}
                if (found || Date.now() - began > 5000) resolve(found || null); else setTimeout(look, 20);
              }};
              look();
            }})"""
        )
        if found:
            return found
    raise TimeoutError(f"{condition}\n{browser.ask('document.body.innerText')[-3000:]}")
