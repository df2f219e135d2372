"""The page as a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demix.report.statistics import Statistics
from tests.report.browser import Browser, chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def opened(browser: Browser, page: Path) -> Browser:
    browser.load(page)
    return browser


def test_the_page_loads_without_a_complaint_and_fetches_nothing(opened: Browser) -> None:
    assert opened.errors == []
    requests = opened.evaluate("performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 5))")
    assert set(requests) <= {"data:"}


def test_names_of_strangers_stay_text(opened: Browser) -> None:
    """The fake dataset has a title that ends the script and a file name that opens an image with a handler."""
    assert opened.evaluate("document.title") == "harbour-demo · DEMIX report"
    assert opened.evaluate("document.body.innerText.includes(\"</script><script>document.title='owned'\")")
    assert opened.evaluate("document.querySelectorAll('script').length") == 2
    assert opened.evaluate("[...document.images].every(image => image.className === 'poster')")
    assert opened.evaluate("document.querySelectorAll('[onerror]').length") == 0


def test_a_script_that_got_in_would_not_run(opened: Browser) -> None:
    opened.evaluate(
        """(() => { const script = document.createElement("script"); script.textContent = "window.owned = 1";
        document.body.append(script); document.body.insertAdjacentHTML("beforeend", "<p onclick='window.owned = 1'>");
        document.body.lastElementChild.click(); })()"""
    )
    assert opened.evaluate("window.owned ?? null") is None


def test_films_and_stems_play(opened: Browser) -> None:
    """The codecs are the browser's own, the stem sounds alone, and the picture runs beside it."""
    opened.evaluate("document.querySelector('[data-show=\"\"]').click()")
    assert opened.evaluate(
        """(async () => { const video = document.querySelector("video"); await video.play();
        await new Promise(resolve => video.addEventListener("timeupdate", resolve, {once: true}));
        return video.videoWidth > 0 && video.duration > 3 && !video.muted; })()"""
    )
    assert opened.evaluate(
        """(async () => { const stem = document.querySelector(".stem.effects"), audio = stem.querySelector("audio");
        const video = stem.closest(".card").querySelector("video");
        stem.querySelector("button").click();
        await new Promise(resolve => audio.addEventListener("timeupdate", resolve));
        return [video.muted, video.paused, audio.paused, audio.duration > 3]; })()"""
    ) == [True, False, False, True]
    assert opened.evaluate(
        """(async () => { const stems = document.querySelectorAll(".stem.effects, .stem.music");
        stems[1].querySelector("button").click(); await new Promise(resolve => setTimeout(resolve, 500));
        return [...stems].slice(0, 2).map(stem => stem.querySelector("audio").paused); })()"""
    ) == [True, False]


def test_every_playable_card_has_its_three_stems_or_was_never_demixed(opened: Browser) -> None:
    counts = opened.evaluate(
        "[...document.querySelectorAll('.card')].filter(card => card.querySelector('video'))"
        ".map(card => card.querySelectorAll('audio').length)"
    )
    assert set(counts) == {0, 3}


def test_chips_filter_the_gallery(opened: Browser) -> None:
    opened.evaluate("document.querySelector('[data-show=\"subset/visual_mood\"]').click()")
    cards = "[...document.querySelectorAll('.card')].filter(card => !card.hidden).map(card => card.dataset.groups)"
    groups = opened.evaluate(cards)
    assert groups
    assert all("subset/visual_mood" in group.split() for group in groups)


def test_a_slider_tells_what_the_statistics_count(opened: Browser, page: Path) -> None:
    statistics = Statistics.model_validate_json((page.parent / "report.json").read_text())
    score = next(score for score in statistics.scores if score.key == "demixing.levels_db.music")
    edge = 5
    told = opened.evaluate(
        f"""(() => {{ const figure = document.querySelector('[data-score="{score.key}"]');
        const slider = figure.querySelector("input"); slider.value = {edge};
        slider.dispatchEvent(new Event("input")); return figure.querySelector("output").textContent; }})()"""
    )
    passing = sum(score.histogram.kept[edge:]) + sum(score.histogram.others[edge:])
    assert f": {passing} of {score.measured} are audible, {sum(score.histogram.kept[edge:])} of the" in told


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_sideways_scrolling_and_both_colour_schemes(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.load(page, width, scheme)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    red = browser.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert red > 200 if scheme == "light" else red < 60
