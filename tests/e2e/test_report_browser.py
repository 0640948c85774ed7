"""The page in a real browser: no console error, no request, nothing wider than the screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wktriage import incidents, judge, report
from wktriage.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    f"--{flag}"
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-sync",
        "disable-background-networking",
        "disable-component-update",
        "enable-logging=stderr",
        "v=0",
    )
]
PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const wide = document.documentElement.scrollWidth > innerWidth + 1;
  const charts = document.querySelectorAll("canvas").length;
  const asked = performance.getEntriesByType("resource").length;
  document.title = `wide=${wide} charts=${charts} asked=${asked}`;
}, 300));
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    found = incidents.find_incident(ROOT / "incidents", "p01")
    bundle = Bundle.open(incidents.unpack(found, out / "p01"))
    report.write_all(bundle, judge.judge(bundle), out)
    return out / "report.html"


@pytest.mark.parametrize("size", [(1280, 800), (400, 800)])
def test_page_draws_and_asks_for_nothing(page: Path, size: tuple[int, int], tmp_path: Path) -> None:
    text = page.read_text()
    # The probe is the test's own script: the page's policy would rightly refuse it.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", PROBE + "</body>"))
    for document, wanted in ((probed, "wide=false charts=5 asked=0"), (page, "")):
        done = subprocess.run(
            [
                str(CHROMIUM),
                *FLAGS,
                f"--user-data-dir={tmp_path}/profile",
                f"--window-size={size[0]},{size[1]}",
                "--virtual-time-budget=3000",
                "--dump-dom",
                document.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        said = [x for x in done.stderr.splitlines() if "CONSOLE" in x or "Refused" in x]
        assert said == []
        assert wanted in done.stdout
        assert done.stdout.count("<canvas") == 5
