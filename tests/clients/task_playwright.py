"""A whole task with Playwright for Python, over any CDP endpoint.

Options: site, elsewhere, folder, upload, file (see tests/clients/stage.rs).
"""

import json
import re
import zipfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from report import command_line, describe_png, finish, step

cdp, options = command_line()
site, elsewhere = options["site"], options["elsewhere"]
folder, file = Path(options["folder"]), options["file"]

playwright = sync_playwright().start()
browser = playwright.chromium.connect_over_cdp(cdp)
context = browser.contexts[0]
context.set_default_timeout(10_000)
page = context.pages[0] if context.pages else context.new_page()


def heading(where):
    return where.locator("h1").text_content()


@step("log-in state")
def _():
    page.goto(f"{site}/")
    return {"title": page.title(), "who": page.text_content("#who")}


@step("navigate")
def _():
    page.click("#second")
    there = heading(page)
    page.go_back()
    return {"there": there, "back": page.text_content("#who")}


@step("form")
def _():
    page.fill("#summary", "Door 7 ✓")
    page.select_option("#state", "closed")
    page.click("#send")
    return heading(page)


@step("popup")
def _():
    page.goto(f"{site}/")
    with page.expect_popup() as opened:
        page.click("#popup")
    text = heading(opened.value)
    opened.value.close()
    return text


@step("frame")
def _():
    page.click("#add-frame")
    return heading(page.frame_locator("#frame"))


def given(content):
    page.set_input_files("#file", content)
    page.locator("#content", has_text=file["text"]).wait_for()
    return page.text_content("#content")


@step("upload")
def _():
    data = file["text"].encode()
    return given({"name": file["name"], "mimeType": "text/plain", "buffer": data})


@step("upload: by path")
def _():
    page.goto(f"{site}/")
    return given(options["upload"])


downloads = []


@step("download")
def _():
    with page.expect_download() as begun:
        page.click("#download")
    downloads.append(begun.value)
    if failure := begun.value.failure():
        raise RuntimeError(failure)
    return begun.value.suggested_filename


@step("download: content")
def _():
    downloads[0].save_as(folder / "report.csv")
    return (folder / "report.csv").read_text()


@step("screenshot")
def _():
    page.set_viewport_size({"width": 800, "height": 600})
    return describe_png(page.screenshot())


@step("two contexts")
def _():
    fresh = browser.new_context()
    inside = fresh.new_page()
    inside.goto(f"{site}/")
    who = inside.text_content("#who")
    own = inside.evaluate("() => { document.cookie = 'mine=1'; return document.cookie; }")
    other = page.evaluate("document.cookie")
    fresh.close()
    return {"inside": who, "own": own, "shared": "mine" in other}


archive = folder / "trace.zip"


@step("tracing")
def _():
    context.tracing.start(screenshots=True, snapshots=True)
    page.goto(f"{site}/")
    page.click("#second")
    heading(page)
    context.tracing.stop(path=archive)
    with zipfile.ZipFile(archive) as trace:
        events = [json.loads(line) for line in trace.read("trace.trace").splitlines()]
        requests = [json.loads(line) for line in trace.read("trace.network").splitlines()]
    return {
        "calls": [event["method"] for event in events if event["type"] == "before"],
        "pictures": any(event["type"] == "screencast-frame" for event in events),
        "requests": sorted(
            f"{request['snapshot']['response']['status']}"
            f" {request['snapshot']['request']['url'].removeprefix(site)}"
            for request in requests
        ),
    }


@step("tracing: cookies")
def _():
    found = set()
    with zipfile.ZipFile(archive) as trace:
        for name in trace.namelist():
            found.update(re.findall(rb"\w+-of-the-desk-\w+", trace.read(name)))
    return sorted(value.decode() for value in found)


@step("service worker")
def _():
    page.goto(f"{site}/")
    with context.expect_event("serviceworker") as started:
        page.click("#register")
    page.locator("#worker", has_text="worker").wait_for()
    answer = page.text_content("#worker")
    page.goto(f"{site}/made-by-worker")
    scope = started.value.evaluate("self.registration.scope")
    if scope != f"{site}/":
        raise RuntimeError(f"the worker's scope is {scope}")
    return {"answer": answer, "page": heading(page)}


@step("elsewhere")
def _():
    return page.goto(f"{elsewhere}/page").status


step("close page")(page.close)
step("disconnect")(browser.close)
playwright.stop()
finish()
