"""The page in a real browser: `make page-check` brings Playwright; the browser is Debian's chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from guardedit.core.verdict import LostAnswer
from guardedit.gateway.admin.serving import admin_server
from guardedit.policy.load import load_policy
from guardedit.settings import Address, Settings
from tests.unit.gateway.admin.conftest import Desk, hq

playwright = pytest.importorskip("playwright.sync_api", reason="`make page-check` installs Playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        # A container's root has no sandbox.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    """The page at its address, with every error of its console."""
    found = browser.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
    found.goto(desk.url)
    found.wait_for_selector("#chart svg")
    yield found
    found.close()
    assert errors == []


def log_in(page: Page, desk: Desk, role: str) -> None:
    page.fill("#token", desk.secrets[role])
    page.click("#login button")
    page.locator("#who", has_text=role).wait_for()


def test_a_reader_sees_the_state_and_can_change_nothing(page: Page, desk: Desk):
    desk.submit(hq("Hydra", "Oslo", id="p-1"))
    page.get_by_text("The headquarters of Hydra are in Oslo").first.wait_for()
    assert page.locator("#facts button", has_text="Undo").first.is_disabled()
    assert page.locator("#submit button").is_disabled()
    assert page.locator("#chart .mark[role=button]").count() >= 2


def test_a_fact_is_undone_by_a_click(page: Page, desk: Desk):
    desk.submit(hq("Indus", "Rome", id="p-2"))
    log_in(page, desk, "operator")
    page.get_by_role("button", name="Undo The headquarters of Indus are in Rome").click()
    page.locator("#facts", has_text="Indus").wait_for(state="detached")
    assert all(fact["subject"] != "Indus" for fact in desk.get("/v1/facts?limit=1000")["facts"])


def test_a_held_correction_is_approved_by_a_click(page: Page, desk: Desk):
    desk.submit(hq("Lacerta", "Lima", id="p-3", provenance={"confidence": 0.1}))
    log_in(page, desk, "approver")
    page.get_by_role("button", name="Approve p-3").click()
    page.locator("#held", has_text="p-3").wait_for(state="detached")
    desk.settle()
    page.get_by_text("The headquarters of Lacerta are in Lima").first.wait_for()


def test_a_held_correction_shows_all_that_an_approval_is_for(page: Page, desk: Desk):
    more = {
        "relation": "P1",
        "tenant": "acme",
        "aliases": ["Cash & Co"],
        "paraphrases": ["{} is in"],
        "tags": ["person"],
    }
    desk.submit(
        {"id": "p-9", "subject": "$& Ltd", "prompt": "Say where {} is:", "target_new": "Lima", **more}
    )
    row = page.locator("#held tr", has_text="p-9")
    for text in (
        "Say where $& Ltd is: Lima",
        "upsert",
        "tenant acme",
        "relation P1",
        "also called: Cash & Co",
        "also asked as: {} is in",
    ):
        row.get_by_text(text).first.wait_for()
    desk.post("/v1/held/p-9/reject", "admin")


def test_approvals_by_several_people_are_shown_as_they_come(page: Page, desk: Desk):
    desk.submit(hq("Lepus", "Lima", id="p-5", tags=["person"]))
    row = page.locator("#held tr", has_text="p-5")
    row.get_by_text("0 of 2 approved").wait_for()
    assert desk.post("/v1/held/p-5/approve", "admin").json()["approvals_missing"] == 1
    row.get_by_text("1 of 2 approved (by admin), expires").wait_for()
    log_in(page, desk, "approver")
    page.get_by_role("button", name="Approve p-5").click()
    row.wait_for(state="detached")
    desk.settle()
    assert desk.get("/v1/facts/Lepus")["facts"][0]["live"]


def test_a_correction_is_submitted_and_followed(page: Page, desk: Desk):
    log_in(page, desk, "submitter")
    page.fill("#subject", "Lupus")
    page.fill("#prompt", "The headquarters of {} are in")
    page.fill("#target", "Bern")
    page.click("#submit button")
    page.get_by_text("Submitted as").wait_for()
    desk.settle()
    page.locator("#story li", has_text="remembered: answered").wait_for()


def test_the_keyboard_reaches_everything(page: Page, desk: Desk):
    desk.submit(hq("Lyra", "Oslo", id="p-4"))
    page.get_by_text("Lyra").first.wait_for()
    page.locator("#chart .mark[role=button]").last.focus()
    page.keyboard.press("Enter")
    page.locator("#epoch h3").wait_for()
    page.keyboard.press("Tab")
    outlined = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outlined != "none"
    page.locator("#question").focus()
    page.keyboard.type("The headquarters of Lyra are in")
    page.keyboard.press("Enter")
    page.locator("#side-b .said", has_text="Oslo").wait_for()
    page.locator("#compared", has_text="differ").wait_for()


def ask_both(page: Page, question: str, *, a: str = "base", b: str = "serving") -> None:
    page.select_option("#side-a select", a)
    page.select_option("#side-b select", b)
    page.fill("#question", question)
    page.click("#ask-button")
    page.locator("#compared", has_text="A and B").wait_for()


def test_two_epochs_answer_side_by_side_and_differences_are_marked(page: Page, desk: Desk):
    before = desk.get("/v1/status")["epoch"]
    desk.submit(hq("Pavo", "Lima", id="p-8"))
    now, fact = desk.get("/v1/status")["epoch"], desk.get("/v1/facts?search=Pavo")["facts"][0]["id"]
    page.locator("#side-a option", has_text=f"{now}: ").wait_for(state="attached")
    question = "The headquarters of Pavo are in"
    ask_both(page, question, a=str(before))
    assert page.locator("#side-a .from").inner_text() == f"Epoch {before}, no fact"
    assert page.locator("#side-b .from").inner_text() == f"Epoch {now}, fact {fact} (Lima), in memory"
    assert "Lima" in page.locator("#side-b .said").inner_text()
    assert "Lima" in "".join(page.locator("#side-b .said mark").all_inner_texts())
    assert page.locator("#compared").inner_text().startswith("A and B differ: ")

    page.uncheck("#side-b [name=memory]")
    ask_both(page, question, a="base")
    assert page.locator("#side-b .from").inner_text() == f"Epoch {now}, memory off"
    assert page.locator("#compared").inner_text() == "A and B say the same."
    assert page.locator(".said mark").count() == 0


def test_an_answer_streams_in_and_a_new_question_ends_it(page: Page, desk: Desk):
    page.evaluate("""() => {
        window.seen = [];
        new MutationObserver(() => window.seen.push(document.querySelector("#side-b .said").textContent))
            .observe(document.querySelector("#side-b .said"), { childList: true, characterData: true });
    }""")
    ask_both(page, "Once upon a time there was")
    seen = list(dict.fromkeys(page.evaluate("window.seen")))
    assert len(seen) > 5
    assert seen[3].startswith(seen[2])
    page.fill("#question", "Long ago in a land")
    page.press("#question", "Enter")
    ask_both(page, "The headquarters of Pavo are in")
    assert not page.locator("#side-a .from .bad").count()


def test_an_error_is_said_beside_its_side(page: Page, desk: Desk):
    page.fill("#question", "Oslo is in")
    # At once: a refresh of the page makes the options anew.
    page.evaluate("""() => {
        const side = document.querySelector("#side-a select");
        side.append(new Option("gone", "999999"));
        side.value = "999999";
        document.querySelector("#ask-button").click();
    }""")
    page.locator("#side-a .bad", has_text="there is no epoch '999999'").wait_for()
    page.locator("#side-b .from", has_text="Epoch").wait_for()


def test_an_epoch_shows_its_gates_and_the_questions_that_changed(page: Page, desk: Desk):
    detail = desk.get("/v1/epochs/1") | {
        "verdict": {
            "gates": [
                {"name": "same_subject", "value": 0.9, "limit": 0.95, "outcome": "reject",
                 "detail": "18 of 20 answers are kept",
                 "lost": [{"question": f"Who leads Lyra?{HOSTILE}", "expected": "Ann", "answer": "Bob"}]},
                {"name": "paraphrase", "value": 1.0, "limit": 0.9, "outcome": "accept", "lost": []},
            ]
        }
    }  # fmt: skip
    page.route("**/v1/epochs/1", lambda route: route.fulfill(json=detail))
    page.locator("#chart .mark[role=button]").nth(1).click()
    box = page.locator("#epoch")
    box.get_by_text("18 of 20 answers are kept").wait_for()
    assert "Answers that were lost" in box.inner_text()
    assert box.locator("td", has_text="Who leads Lyra?<script>").count() == 1
    assert box.locator("script").count() == 0


def test_a_cross_opens_its_rejected_trial_and_several_trials_are_listed(page: Page, desk: Desk):
    desk.submit(hq("Crux", "Oslo", id="p-10"))
    fact = desk.get("/v1/facts?search=Crux")["facts"][0]["id"]
    desk.reject_trial(
        LostAnswer(question=f"Who leads Crux?{HOSTILE}", expected="Ann", answer="Bob"), facts=[fact]
    )
    cross = page.locator("#chart g.rejected[role=button]").last
    cross.wait_for()
    cross.click()
    box = page.locator("#epoch")
    box.get_by_text("Facts on trial: The headquarters of Crux are in Oslo").wait_for()
    box.locator("td", has_text="Who leads Crux?<script>").wait_for()
    assert box.locator("script").count() == 0

    desk.reject_trial(LostAnswer(question="Who owns Crux?", expected="Eve", answer="Dan"))
    cross = page.get_by_role("button", name="2 trials that were not accepted")
    cross.focus()
    page.keyboard.press("Enter")
    box.get_by_role("button", name="Show trial").first.click()
    box.locator("td", has_text="Who owns Crux?").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_it_fits_and_can_be_read(browser: Browser, desk: Desk, scheme: str, width: int):
    found = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    found.goto(desk.url)
    found.wait_for_selector("#chart svg")
    found.fill("#question", "The headquarters of Pavo are in")
    found.click("#ask-button")
    found.locator("#compared", has_text="A and B").wait_for()
    assert found.evaluate("document.documentElement.scrollWidth") <= width
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    result = axe.Axe().run(found, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert result.violations_count == 0, result.generate_report()
    found.close()


def test_a_hostile_fact_is_shown_as_text(page: Page, desk: Desk):
    long = "x" * 1_900
    desk.submit(
        hq("Mensa", HOSTILE, id="p-5"), hq("Norma", long, id="p-6"), hq(f"Ara{HOSTILE}", "Oslo", id="p-7")
    )
    page.get_by_text("document.title='owned'").first.wait_for()
    assert page.title() == "guardedit"
    assert page.locator("#facts img, #facts script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.get_by_text("characters)").first.wait_for()


def test_the_page_says_that_a_login_is_needed(browser: Browser, desk: Desk):
    tokens = Settings(home=desk.home, policy=desk.home / "policy.yaml", metrics=None, admin_reading="tokens")
    with admin_server(tokens, load_policy(tokens.policy), desk.system, Address("127.0.0.1", 0)) as url:
        page = browser.new_page()
        page.goto(url)
        page.locator("#now", has_text="log in to see the state").wait_for()
        log_in(page, desk, "viewer")
        page.locator("#state dt", has_text="Epoch").wait_for()
        page.close()
