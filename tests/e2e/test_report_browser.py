"""The page in a real browser: no console error, no request, nothing wider than the screen, axe."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wktriage import report
from wktriage.bundle.bundle import Bundle
from wktriage.incidents import library
from wktriage.judging.verdict import judge

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
AXE = ROOT / "tests" / "e2e" / "vendor" / "axe.min.js"
PROBE = """<script>
addEventListener("load", () => setTimeout(async () => {
  const wide = document.documentElement.scrollWidth > innerWidth + 1;
  const charts = document.querySelectorAll("canvas").length;
  const asked = performance.getEntriesByType("resource").length;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const found = await axe.run({resultTypes: ["violations"]});
  const wrong = found.violations.map(v => v.id + " " + v.nodes[0].target).join("; ") || "nothing";
  const reasons = document.querySelector("details.paper");
  const before = reasons.open;
  dispatchEvent(new Event("beforeprint"));
  const printed = reasons.open;
  dispatchEvent(new Event("afterprint"));
  const seen = {wide, charts, asked, dark, reasons: [before, printed, reasons.open], axe: wrong};
  document.body.dataset.probe = Object.entries(seen).map(e => e.join("=")).join(" ");
}, 300));
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    incident = library.find_incident(ROOT / "incidents", "p01")
    bundle = Bundle.open(library.unpack(incident, out / "p01"))
    verdict = judge(bundle)
    # Those after the third are folded on the screen, and not on paper.
    verdict["reasons"] = (verdict["reasons"] * 4)[:4]
    report.write_all(bundle, verdict, out)
    return out / "report.html"


def dump(document: Path, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Return the page as the browser has it after its scripts ran, and what it logged."""
    return subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            *more,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=15000",
            "--dump-dom",
            document.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [x for x in done.stderr.splitlines() if "CONSOLE" in x or "Refused" in x]


@pytest.mark.parametrize("size", ["1280,800", "400,800"])
def test_page_draws_under_its_own_policy(page: Path, size: str, tmp_path: Path) -> None:
    done = dump(page, tmp_path, f"--window-size={size}")
    assert said(done) == []
    assert done.stdout.count("<canvas") == 5


@pytest.mark.parametrize(
    ("size", "scheme"), [("1280,800", "light"), ("1280,800", "dark"), ("400,800", "light")]
)
def test_page_asks_for_nothing_fits_and_is_accessible(
    page: Path, size: str, scheme: str, tmp_path: Path
) -> None:
    text = page.read_text()
    # Probe and axe are the test's own scripts: the page's policy would rightly refuse them.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    probed = tmp_path / "probed.html"
    scripts = f"<script>{AXE.read_text()}</script>{PROBE}"
    probed.write_text(text.replace("</body>", scripts + "</body>"))
    more = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    done = dump(probed, tmp_path / "profile", f"--window-size={size}", *more)
    assert said(done) == []
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None
    dark = str(scheme == "dark").lower()
    expected = f"wide=false charts=5 asked=0 dark={dark} reasons=false,true,false axe=nothing"
    assert found.group(1) == expected
