"""A whole task with Playwright for Python, step by step, over any CDP endpoint.

python task_playwright.py CDP_URL '{"site": "http://…", "elsewhere": "http://…"}'
"""

import json
import sys
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright


def report(line):
    print(json.dumps(line), flush=True)


def step(name, action):
    """Does one step and reports it; an error is an outcome, not an end."""
    try:
        outcome = action()
        report({"name": name, "ok": True, "outcome": outcome})
    except Exception as error:
        report({"name": name, "ok": False, "error": str(error)})


def task(browser, site, elsewhere):
    context = browser.contexts[0]
    context.set_default_timeout(10_000)
    page = context.pages[0] if context.pages else context.new_page()

    def log_in_state():
        response = page.goto(f"{site}/")
        return {"status": response.status, "who": page.text_content("#who")}

    def navigate():
        page.goto(f"{site}/second")
        there = page.text_content("h1")
        page.go_back()
        page.go_forward()
        return {"there": there, "again": page.text_content("h1"), "url": urlsplit(page.url).path}

    def form():
        page.goto(f"{site}/form")
        page.fill("input[name=note]", "Door 7 ✓")
        page.select_option("select[name=state]", "closed")
        page.check("input[name=urgent]")
        page.click("button")
        page.wait_for_url("**/submitted")
        return page.text_content("h1")

    def popup():
        page.goto(f"{site}/")
        with page.expect_popup() as opened:
            page.click("#popup")
        text = opened.value.text_content("h1")
        opened.value.close()
        return text

    def frame():
        page.click("#add-frame")
        return page.frame_locator("#frame").locator("h1").text_content()

    def download():
        with page.expect_download() as begun:
            page.click("#download")
        return {"name": begun.value.suggested_filename, "failure": begun.value.failure()}

    def upload():
        page.goto(f"{site}/upload")
        file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello world"}
        page.set_input_files("input[type=file]", file)
        page.click("button")
        page.wait_for_url("**/uploaded")
        return page.text_content("h1")

    def service_worker():
        page.goto(f"{site}/worker")
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        return page.evaluate("async () => (await fetch('/from-worker')).text()")

    def two_contexts():
        seen = []
        for name in ["one", "two"]:
            fresh = browser.new_context()
            inside = fresh.new_page()
            inside.goto(f"{site}/")
            inside.evaluate("(value) => localStorage.setItem('name', value)", name)
            seen.append([inside.text_content("#who"), inside.evaluate("localStorage.length")])
            fresh.close()
        return seen

    step("log-in state", log_in_state)
    step("navigate", navigate)
    step("form", form)
    step("popup", popup)
    step("frame", frame)
    step("download", download)
    step("upload", upload)
    step("screenshot", lambda: page.screenshot()[1:4].decode())
    step("service worker", service_worker)
    step("two contexts", two_contexts)
    step("elsewhere", lambda: page.goto(f"{elsewhere}/page").status)
    step("disconnect", browser.close)


cdp, options = sys.argv[1], json.loads(sys.argv[2])
with sync_playwright() as playwright:
    task(playwright.chromium.connect_over_cdp(cdp), options["site"], options["elsewhere"])
report({"name": "finish", "ok": True})
