"""The server's page in Debian's headless Chromium. Arguments: URL of a running `loraxs serve`, FOLDER for pictures, and
the key to enter, if one is needed. Says NOT RUN and skips (77) where playwright or chromium is missing."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHROMIUM = shutil.which("chromium")
try:
    from playwright.sync_api import Page, expect, sync_playwright
except ImportError as missing:
    print(f"NOT RUN: {missing}; pip install playwright==1.65.2")
    sys.exit(77)
if CHROMIUM is None:
    print("NOT RUN: chromium is not installed; apt install chromium")
    sys.exit(77)

URL, FOLDER = sys.argv[1].rstrip("/"), Path(sys.argv[2])
KEY = sys.argv[3] if len(sys.argv) > 3 else ""
AXE = "axe-core@4.10.3"
WIDTHS = {"narrow": 390, "wide": 1280}


def axe_source() -> str | None:
    """axe-core's script by npm, or None where it cannot be had."""
    if shutil.which("npm") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", AXE], check=False, cwd=folder, capture_output=True, timeout=120
        )
        if packed.returncode != 0:
            return None
        shutil.unpack_archive(next(Path(folder).glob("*.tgz")), folder)
        return (Path(folder) / "package/axe.min.js").read_text()


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        cls.playwright = sync_playwright().start()
        cls.addClassCleanup(cls.playwright.stop)
        cls.browser = cls.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        cls.addClassCleanup(cls.browser.close)
        cls.axe = axe_source()
        if cls.axe is None:
            print(f"NOT RUN: {AXE} could not be fetched by npm: its rules are not checked")

    def open(self, width: int = 1280, scheme: str = "light") -> Page:
        context = self.browser.new_context(viewport={"width": width, "height": 820}, color_scheme=scheme)
        self.addCleanup(context.close)
        page = context.new_page()
        self.complaints: list[str] = []
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(URL + "/")
        if KEY:
            page.get_by_label("API key").fill(KEY)
            page.get_by_label("API key").press("Enter")
            self.complaints.clear()  # the first question came without it
        expect(page.locator("#base")).not_to_be_empty()
        return page

    def check(self, page: Page, name: str) -> None:
        """The picture, nothing beyond the edge, no complaint of the browser, none of axe-core."""
        page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.assertEqual(beyond, 0, f"{name}: wider than its window")
        if self.axe is not None:
            page.evaluate(self.axe)
            found = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))")
            self.assertEqual(found, [], name)
        self.assertEqual(self.complaints, [], name)

    def need(self, page: Page, tab: str) -> None:
        if not page.get_by_role("tab", name=tab).is_visible():
            self.skipTest(f"{tab}: the base of this server is of the other kind")

    def test_chat(self) -> None:
        for scheme in ("light", "dark"):
            for size, width in WIDTHS.items():
                with self.subTest(scheme=scheme, size=size):
                    page = self.open(width, scheme)
                    self.need(page, "Chat")
                    page.get_by_text("Settings", exact=True).click()
                    page.get_by_label("Max tokens").first.fill("24")
                    for text in ("Say something.", "And once more."):
                        page.get_by_label("Message", exact=True).fill(text)
                        page.keyboard.press("Enter")
                        expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60000)
                    expect(page.locator(".message.assistant .meta")).to_have_count(2)
                    expect(page.locator(".message.assistant .text").last).not_to_be_empty()
                    self.check(page, f"chat-{size}-{scheme}")

    def test_an_unknown_model_is_told(self) -> None:
        page = self.open()
        self.need(page, "Chat")
        page.get_by_label("Model", exact=True).fill("nobody/nothing")
        page.get_by_label("Message", exact=True).fill("Hello")
        page.keyboard.press("Enter")
        expect(page.locator(".message.failed")).to_contain_text("nobody/nothing")
        self.complaints.clear()  # the browser's own line about the 404
        self.check(page, "chat-unknown-model")

    def test_escape_stops_and_what_came_stays(self) -> None:
        page = self.open()
        self.need(page, "Chat")
        page.get_by_label("Message", exact=True).fill("Count as far as you can.")
        page.keyboard.press("Enter")
        expect(page.locator(".message.assistant .text")).not_to_be_empty(timeout=60000)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.locator(".message.assistant .text")).not_to_be_empty()

    def test_compare(self) -> None:
        for scheme in ("light", "dark"):
            for size, width in WIDTHS.items():
                with self.subTest(scheme=scheme, size=size):
                    page = self.open(width, scheme)
                    self.need(page, "Compare")
                    page.get_by_role("tab", name="Chat").focus()
                    page.keyboard.press("ArrowRight")
                    page.get_by_label("One prompt, two models").fill("Say something.")
                    page.locator("#compare-tokens").fill("24")
                    page.get_by_label("Second model", exact=True).fill("base")
                    page.get_by_role("button", name="Ask both").click()
                    for side in ("left", "right"):
                        expect(page.locator(f"#compare-{side}-meta")).to_contain_text("tokens/s", timeout=60000)
                        expect(page.locator(f"#compare-{side}-out")).not_to_be_empty()
                    self.check(page, f"compare-{size}-{scheme}")

    def test_classify(self) -> None:
        for scheme in ("light", "dark"):
            for size, width in WIDTHS.items():
                with self.subTest(scheme=scheme, size=size):
                    page = self.open(width, scheme)
                    self.need(page, "Classify")
                    page.get_by_label("Text", exact=True).fill("It was a good day.")
                    boxes = page.locator("#classify-models input")
                    count = min(boxes.count(), 3)
                    self.assertGreater(count, 0)
                    for i in range(count):
                        boxes.nth(i).check()
                    page.get_by_role("button", name="Classify").click()
                    expect(page.locator(".result")).to_have_count(count, timeout=60000)
                    self.check(page, f"classify-{size}-{scheme}")

    def test_the_keyboard_reaches_everything(self) -> None:
        page = self.open()
        seen = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.id"))
            ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            if page.evaluate("document.activeElement !== document.body"):
                self.assertNotEqual(ring, "none", page.evaluate("document.activeElement.outerHTML"))
        visible = page.evaluate(
            "[...document.querySelectorAll('input, textarea, button:not([tabindex=\"-1\"])')]"
            ".filter((e) => e.checkVisibility() && e.offsetParent).map((e) => e.id)"
        )
        self.assertLessEqual({name for name in visible if name}, seen)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
