"""`polyfact verify review`: a local page on which people label the sample, one item at a time.

The page shows the first item of the language that has no label in the reviewer's file. A closed or killed page
therefore resumes where it stopped, and several reviewers can work at once. The judge's labels are not read. The page
listens on 127.0.0.1 only and serves only itself: another site in the same browser can neither send it labels
(`Origin`) nor reach it under another name (`Host`). Every text of an item is escaped: it comes from Wikidata or a
model.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError, PolyFactError
from polyfact_dataset.common.text.direction import as_html
from polyfact_dataset.schema import REVIEW_LABELS
from polyfact_dataset.verification.items import LETTERS, Item, Sample, load_sample
from polyfact_dataset.verification.journal import MAX_NAME, MAX_NOTE, Journal, Reviews, is_reviewer_name
from polyfact_dataset.verification.reviewer_texts import ReviewerTexts, texts_in
from polyfact_dataset.verification.rubric import rubric

HOST = "127.0.0.1"
# What `_view` returns: a button for each answer and seven others.
_COMPONENTS = len(REVIEW_LABELS) + 7
# The first language of the browser that the sample has; otherwise the one that is chosen.
_BROWSER_LANGUAGE = (
    "chosen => navigator.languages.map(tag => tag.split('-')[0]).find(code => %s.includes(code)) ?? chosen"
)


@dataclass(frozen=True)
class ReviewState:
    """The state of a review in one language: the next item (None when all are labelled) and the progress."""

    item: Item | None
    done: int
    total: int
    note: str = ""


class ReviewSession:
    """The sample and its reviewers' progress. `first` limits the number of items of each language."""

    def __init__(self, folder: Path, first: int | None) -> None:
        self.folder, self.first = folder, first
        self.sample: Sample = load_sample(folder)

    def _items(self, code: str) -> list[Item]:
        if code not in self.sample.languages:
            known = ", ".join(self.sample.languages)
            raise ConfigError(f"the sample in {self.folder} has no items in {code!r}; its languages are {known}")
        return self.sample.of(code, self.first)

    def _state(self, reviews: Reviews, code: str, note: str = "") -> ReviewState:
        items = self._items(code)
        left = [item for item in items if reviews.label(item) is None]
        return ReviewState(left[0] if left else None, len(items) - len(left), len(items), note)

    def current(self, reviewer: str, code: str) -> ReviewState:
        """The next item without a label."""
        return self._state(Journal(self.folder, reviewer).read(), code)

    def label(self, reviewer: str, code: str, shown: str, label: str, note: str) -> ReviewState:
        """Stores the answer for the item that was shown, unless it has one by now; returns the next item."""
        journal = Journal(self.folder, reviewer)
        with journal.locked() as reviews:
            item = next((item for item in self._items(code) if item.item == shown), None)
            if item is not None and reviews.label(item) is None:
                journal.add(item, label, note.strip())
        return self.current(reviewer, code)

    def undo(self, reviewer: str, code: str) -> ReviewState:
        """Removes the latest label in the language; returns its item with its note."""
        journal = Journal(self.folder, reviewer)
        with journal.locked() as reviews:
            last = reviews.last(code)
            if last is not None:
                journal.undo(last)
        return self._state(journal.read(), code, last.note if last else "")


# ---------------------------------------------------------------- HTML
def item_html(item: Item) -> str:
    """An item in its language's direction. Options, and names of the other direction, are isolated from their lines."""
    direction, texts = language(item.language).direction, texts_in(item.language)
    note = f'<span class="mark"><bdi lang="{texts.language}">✓ {html.escape(texts.words.marked)}</bdi></span>'
    rows = []
    for position, (letter, text) in enumerate(zip(LETTERS, item.options)):
        marked = position == item.marked
        mark = note if marked else ""
        rows.append(
            f'<li class="option{" marked" if marked else ""}"><span class="letter">{letter}</span>'
            f'<bdi class="text">{as_html(text, direction)}</bdi>{mark}</li>'
        )
    return (
        f'<div class="judged" lang="{html.escape(item.language)}" dir="{direction}">'
        f'<p class="question">{as_html(item.question, direction)}</p>'
        f'<ol class="options">{"".join(rows)}</ol></div>'
    )


def progress_html(state: ReviewState, reviewer: str, code: str) -> str:
    """Language, reviewer and progress."""
    name = f"{language(code).autonym} · <bdi>{html.escape(reviewer)}</bdi>"
    width = 100 * state.done / max(state.total, 1)
    bar = f'<span class="bar"><span style="width: {width:.1f}%"></span></span>'
    return f'<div class="state"><span>{name}</span>{bar}<span id="count">{state.done} / {state.total}</span></div>'


def rubric_html(texts: ReviewerTexts) -> str:
    """The rubric in the reviewer's language, with the keyboard shortcuts."""
    shown, words = texts.rubric or rubric(), texts.words
    entries = "".join(
        f"<dt><kbd>{key}</kbd> {html.escape(texts.name(answer))}</dt><dd>{html.escape(meaning)}</dd>"
        for key, (answer, meaning) in enumerate(texts.meanings().items(), start=1)
    )
    between = "".join(f"<p>{html.escape(line)}</p>" for line in shown.between)
    named = (("u", words.undo), ("n", words.write_note), ("Esc", words.leave_note))
    keys = " · ".join(f"<kbd>{key}</kbd> {html.escape(meaning)}" for key, meaning in named)
    attributes = f'lang="{texts.language}" dir="{language(texts.language).direction}"'
    task = f"<p>{html.escape(shown.task)}</p>"
    return f'<div class="rubric" {attributes}>{task}<dl>{entries}</dl>{between}<p>{keys}</p></div>'


def _finished(state: ReviewState, code: str) -> str:
    words = texts_in(code).words
    return f'<div class="finished" dir="auto">{html.escape(words.finished.format(total=state.total))}</div>'


# ---------------------------------------------------------------- Gradio
class SameOriginOnly:
    """ASGI middleware that answers 403 to requests from other origins, or to another host name."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        same = host.partition(":")[0] in (HOST, "localhost") and origin in (None, f"http://{host}")
        if same or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"requests from other origins are refused"})


class _Handlers:
    """Event handlers for Gradio: functions of a reviewer and a language that return the components of the page."""

    def __init__(self, session: ReviewSession) -> None:
        self._session = session

    def guarded(self, work: Callable[..., ReviewState]) -> Callable[..., list[Any]]:
        """A handler that shows a `PolyFactError` above the item, and leaves the rest of the page as it is."""

        def call(name: str, chosen: str, *rest: str) -> list[Any]:
            try:
                return [*_view(work(name, chosen, *rest), name, chosen), ""]
            except PolyFactError as error:
                return _refused(str(error), "en")

        return call

    def begin(self, name: str, chosen: str) -> list[Any]:
        """Stores name and language, hides the login, shows the review panel and its components."""
        import gradio as gr

        if is_reviewer_name(name):
            parts = self.guarded(self._session.current)(name, chosen)
        else:
            parts = _refused(texts_in(chosen).words.name_needed, texts_in(chosen).language)
        is_refused = bool(parts[-1])
        return [name, chosen, gr.update(visible=is_refused), gr.update(visible=not is_refused), *parts]


def _refused(message: str, code: str) -> list[Any]:
    """The components unchanged, and a message."""
    import gradio as gr

    shown = f'<p class="message" role="alert" lang="{code}" dir="auto">{html.escape(message)}</p>'
    return [*[gr.update() for _ in range(_COMPONENTS)], shown]


def _is_rtl(code: str) -> bool:
    return language(code).direction == "rtl"


def _view(state: ReviewState, name: str, chosen: str) -> list[Any]:
    """The components: progress, item, the item's digest, note, a button per answer, undo, rubric and its heading."""
    import gradio as gr

    item, done = state.item, state.item is None
    texts = texts_in(chosen)
    return [
        progress_html(state, name, chosen),
        item_html(item) if item else _finished(state, chosen),
        item.item if item else "",
        gr.update(value=state.note, label=texts.words.note, rtl=_is_rtl(chosen), interactive=not done),
        *[gr.update(value=_button(texts, answer), interactive=not done) for answer in REVIEW_LABELS],
        gr.update(value=f"u · {texts.words.undo}", interactive=state.done > 0),
        rubric_html(texts),
        gr.update(label=texts.words.rubric),
    ]


def _login(chosen: str) -> list[Any]:
    """The login in a language: the chosen one, the labels of both fields, the button, and no message."""
    import gradio as gr

    words = texts_in(chosen).words
    name = gr.update(label=words.name, rtl=_is_rtl(chosen))
    return [gr.update(value=chosen, label=words.language), name, gr.update(value=words.begin), ""]


def _button(texts: ReviewerTexts, answer: str) -> str:
    """The text of a button: its key and its name."""
    return f"{REVIEW_LABELS.index(answer) + 1} · {texts.name(answer)}"


def build_page(session: ReviewSession, reviewer: str, code: str) -> Any:
    """The page as Gradio blocks. Without a reviewer or language, it first shows a form for them."""
    import gradio as gr

    handlers, ready = _Handlers(session), bool(reviewer and code)
    first = code or session.sample.languages[0]
    texts = texts_in(first)
    with gr.Blocks(title="PolyFact review", analytics_enabled=False) as page:
        name, chosen = gr.State(reviewer), gr.State(code)
        with gr.Column(visible=not ready, elem_id="login") as login:
            choices = [(f"{language(code).autonym} ({code})", code) for code in session.sample.languages]
            ask_code = gr.Dropdown(choices, value=first, label=texts.words.language, elem_id="language")
            ask_name = gr.Textbox(value=reviewer, label=texts.words.name, max_length=MAX_NAME, elem_id="reviewer")
            start = gr.Button(texts.words.begin, variant="primary", elem_id="begin")
        message = gr.HTML(padding=False)
        with gr.Column(visible=ready) as panel:
            progress, item = gr.HTML(), gr.HTML(elem_id="item")
            shown = gr.Textbox(visible="hidden")
            with gr.Row(elem_id="answers"):
                buttons = [gr.Button(_button(texts, answer), elem_id=answer) for answer in REVIEW_LABELS]
            note = gr.Textbox(label=texts.words.note, lines=2, max_length=MAX_NOTE, elem_id="note")
            undo = gr.Button(f"u · {texts.words.undo}", size="sm", elem_id="undo")
            with gr.Accordion(texts.words.rubric, open=True) as heading:
                meanings = gr.HTML(rubric_html(texts))
        parts = [progress, item, shown, note, *buttons, undo, meanings, heading, message]
        event: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        start.click(handlers.begin, [ask_name, ask_code], [name, chosen, login, panel, *parts], **event)
        ask_name.submit(handlers.begin, [ask_name, ask_code], [name, chosen, login, panel, *parts], **event)
        for answer, button in zip(REVIEW_LABELS, buttons):

            def save(who: str, where: str, which: str, text: str, label: str = answer) -> ReviewState:
                return session.label(who, where, which, label, text)

            button.click(handlers.guarded(save), [name, chosen, shown, note], parts, **event)
        undo.click(handlers.guarded(session.undo), [name, chosen], parts, **event)
        form = [ask_code, ask_name, start, message]
        ask_code.input(_login, ask_code, form, **event)
        if ready:
            page.load(handlers.guarded(session.current), [name, chosen], parts, **event)
        else:
            own = None if code else _BROWSER_LANGUAGE % json.dumps(session.sample.languages)
            page.load(_login, ask_code, form, js=own, **event)
    return page


def serve(folder: Path, *, reviewer: str, code: str, port: int, first: int | None) -> None:
    """Serves the page until it is interrupted. Raises `ConfigError` when Gradio is missing or the port is taken."""
    page, url = launch(folder, reviewer=reviewer, code=code, port=port, first=first)
    print(f"Review at {url} (Ctrl-C stops it; every click is saved in {folder / 'reviews'})", flush=True)
    page.block_thread()


def launch(folder: Path, *, reviewer: str, code: str, port: int, first: int | None) -> tuple[Any, str]:
    """Serves the page from a thread: the page, to be closed, and its address. Raises as `serve`."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError as error:
        raise ConfigError('the review page is not installed; install it: pip install "polyfact[review]"') from error
    session = ReviewSession(folder, first)
    if reviewer:
        Journal(folder, reviewer)
    if code:
        session.current(reviewer or "nobody", code)
    texts = {
        name: files("polyfact_dataset.verification").joinpath(f"page.{name}").read_text("utf-8")
        for name in ("css", "js")
    }
    page = build_page(session, reviewer, code)
    try:
        _, url, _ = page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            footer_links=[],
            # Blocks DNS rebinding: a site whose name resolves to this machine.
            app_kwargs={"middleware": [(SameOriginOnly, (), {})]},
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=texts["css"],
            head=f"<script>{texts['js']}</script>",
        )
    except OSError as error:
        raise ConfigError(f"port {port} is taken; give another --port") from error
    return page, url
