"""The operator's page in a real browser, at daemons of which one is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import chromium, need_chromium
from tests.integration.federation import Federation
from tests.integration.test_reissuance import PERIOD, Treasury, options

LIMIT_S = 30


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    need_chromium()
    path: Path = tmp_path_factory.mktemp("page")
    fed = Federation(path, "devnet", members=3, threshold=2, interval_s=1.0, http=True)
    fed._extra = options(fed.multisig.script.hex())
    with fed:
        Treasury(fed).issue(10**14)
        fed.cast.start()
        fed.wait_height(2)
        yield fed


def url(fed: Federation, member: int = 0) -> str:
    assert fed.http_ports is not None
    return f"http://127.0.0.1:{fed.http_ports[member]}/"


def text(browser: Chrome, selector: str) -> str:
    """In one call: the page may put a new element in the place of one that was found."""
    return str(browser.execute_script("return document.querySelector(arguments[0]).innerText", selector))


def wait(browser: Chrome, script: str, limit_s: float = LIMIT_S) -> object:
    """Wait until a JavaScript expression is true; returns it."""
    return WebDriverWait(browser, limit_s, poll_frequency=0.1).until(
        lambda one: one.execute_script(f"return {script}"), f"never true: {script}"
    )


def complaints(browser: Chrome) -> list[dict[str, object]]:
    return [line for line in browser.get_log("browser") if line["level"] != "INFO"]


def test_the_page_follows_the_round_and_a_killed_member_turns_red(federation: Federation) -> None:
    with chromium() as browser:
        browser.get(url(federation))
        wait(browser, "document.querySelector('#live').textContent === 'live'")
        wait(browser, "document.querySelectorAll('#ring .node.up').length === 3")
        browser.execute_script(
            "window.seen = new Set(); new MutationObserver(() => { for (const lit of "
            "document.querySelectorAll('.state.now-on')) seen.add(lit.dataset.state) }).observe("
            "document.querySelector('#diagram'), {subtree: true, attributes: true})"
        )
        wait(browser, "seen.has('Idle') && seen.size >= 2")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".state.now-on")) == 1
        counted = "[...document.querySelectorAll('.edge.taken')].map((edge) => edge.dataset.edge)"
        wait(browser, f"{counted}.includes('Idle>Propose') && {counted}.includes('Submit>Idle')")

        federation.cast.daemons[2].kill()
        killed_at = federation.height(0) + 1
        wait(browser, "document.querySelector('#ring [data-member=\"2\"]').classList.contains('down')")
        colour = browser.execute_script(
            "return getComputedStyle(document.querySelector('#ring .down circle')).stroke"
        )
        red, green, blue = map(int, colour[4:-1].split(","))
        assert red > 2 * green
        assert red > 2 * blue
        assert "member 2 is not heard any more" in text(browser, "#alarm-list")
        wait(browser, "document.querySelectorAll('#heat .absent[data-member=\"2\"]').length > 0")

        # A round of the dead member fails, and the explorer says why; by keyboard alone.
        heights = "[...document.querySelectorAll('#heat .failed button')].map((one) => one.dataset.height)"
        failed = wait(browser, f"{heights}.find((height) => height > {killed_at} && height % 3 === 2)")
        browser.execute_script("document.querySelector('#heat button[tabindex=\"0\"]').focus()")
        for _ in range(60):
            if browser.execute_script("return document.activeElement.dataset.height") == failed:
                break
            ActionChains(browser).send_keys(Keys.ARROW_LEFT).perform()
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        wait(browser, f"document.querySelector('.story')?.textContent.startsWith('Height {failed}')")
        wait(browser, "document.querySelector('.story').textContent.includes('The round failed')")
        assert "no proposal of member 2" in text(browser, ".story")
        assert text(browser, ".rounds h3").startswith("Round 0, proposer 2")
        assert complaints(browser) == []

        federation.cast.daemons[2].start()
        wait(browser, "document.querySelectorAll('#ring .node.up').length === 3")
        wait(browser, "document.querySelector('#alarms').hidden")


def test_the_page_shows_how_the_supply_of_an_asset_grows(federation: Federation) -> None:
    with chromium() as browser:
        browser.get(url(federation))
        wait(browser, "document.querySelectorAll('.supply .mark.reissuance').length > 0", 60)
        assert f"every {PERIOD} blocks" in text(browser, "#reissuance-now")
        assert "1,000,000" in text(browser, "#curves")
        assert complaints(browser) == []


def test_the_page_says_when_the_daemon_does_not_answer_and_comes_back(federation: Federation) -> None:
    with chromium() as browser:
        browser.get(url(federation, 1))
        wait(browser, "document.querySelector('#live').textContent === 'live'")
        federation.cast.daemons[1].kill()
        wait(browser, "document.querySelector('#live').textContent === 'no answer'")
        federation.cast.daemons[1].start()
        wait(browser, "document.querySelector('#live').textContent === 'live'")


def test_the_page_can_be_read_in_the_dark_and_on_a_phone(federation: Federation) -> None:
    backgrounds = {}
    for colours, width in (("light", 1280), ("dark", 1280), ("dark", 390)):
        with chromium(width, colours=colours) as browser:
            browser.get(url(federation))
            wait(browser, "document.querySelectorAll('#heat .signed').length > 0")
            shade = "getComputedStyle(document.body).backgroundColor"
            backgrounds[colours, width] = browser.execute_script(f"return {shade}")
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert browser.execute_script(f"return {overflow}") == 0, f"wider than {width} pixels"
            for _ in ("light", "dark"):
                browser.find_element(By.ID, "theme").click()
                backgrounds[text(browser, "#theme"), width] = browser.execute_script(f"return {shade}")
            assert complaints(browser) == []
            names = "performance.getEntriesByType('resource').map((one) => one.name)"
            loaded = browser.execute_script(f"return {names}")
            assert len(loaded) >= 4
            assert all(name.startswith(url(federation)) for name in loaded), "nothing comes from elsewhere"
    assert backgrounds["light", 1280] == backgrounds["Colours: light", 1280]
    assert backgrounds["dark", 1280] == backgrounds["dark", 390] == backgrounds["Colours: dark", 390]
    assert backgrounds["light", 1280] != backgrounds["dark", 1280]

