"""`polyfact verify review`: a local page on which people label the sample, one item at a time.

What is shown follows from the reviewer's file alone: the first item of the language without a label. So a page that is
closed, or killed, goes on where it stopped, and several reviewers can work at once. The judge's labels are not read.
The page listens on 127.0.0.1 only, and answers its own pages alone: a site that is open in the same browser can
neither send it labels (`Origin`) nor take its address for its own (`Host`). Every text of an item is escaped: it came
from Wikidata or a model.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError, PolyFactError
from polyfact_dataset.schema import LABELS
from polyfact_dataset.verification.items import LETTERS, Item, Sample, load_sample
from polyfact_dataset.verification.journal import MAX_NOTE, Journal, Reviews
from polyfact_dataset.verification.rubric import rubric

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Shown:
    """What the page shows of a reviewer's work in a language. `item` is None when all are labelled."""

    item: Item | None
    done: int
    total: int
    note: str = ""


class Desk:
    """The sample, and where reviewers are in it. `first` limits each language to so many items."""

    def __init__(self, folder: Path, first: int | None) -> None:
        self.folder, self.first = folder, first
        self.sample: Sample = load_sample(folder)

    def _items(self, code: str) -> list[Item]:
        if code not in self.sample.languages:
            known = ", ".join(self.sample.languages)
            raise ConfigError(f"the sample in {self.folder} has no items in {code!r}; its languages are {known}")
        return self.sample.of(code, self.first)

    def _shown(self, reviews: Reviews, code: str, note: str = "") -> Shown:
        items = self._items(code)
        left = [item for item in items if reviews.label(item) is None]
        return Shown(left[0] if left else None, len(items) - len(left), len(items), note)

    def look(self, reviewer: str, code: str) -> Shown:
        """The next item without a label."""
        return self._shown(Journal(self.folder, reviewer).read(), code)

    def give(self, reviewer: str, code: str, shown: str, label: str, note: str) -> Shown:
        """Labels the item that was shown, unless it is labelled by now; then the next item."""
        journal = Journal(self.folder, reviewer)
        with journal.locked() as reviews:
            item = next((item for item in self._items(code) if item.item == shown), None)
            if item is not None and reviews.label(item) is None:
                journal.add(item, label, note.strip())
        return self.look(reviewer, code)

    def undo(self, reviewer: str, code: str) -> Shown:
        """Takes back the latest label in the language, and shows its item with its note."""
        journal = Journal(self.folder, reviewer)
        with journal.locked() as reviews:
            last = reviews.last(code)
            if last is not None:
                journal.undo(last)
        return self._shown(journal.read(), code, last.note if last else "")


# ---------------------------------------------------------------- HTML
def item_html(item: Item) -> str:
    """An item in its own direction. Options are isolated, so that mixed scripts do not re-order their neighbours."""
    rows = []
    for place, (letter, text) in enumerate(zip(LETTERS, item.options)):
        marked = place == item.marked
        mark = '<span class="mark"><bdi lang="en">✓ marked as correct</bdi></span>' if marked else ""
        rows.append(
            f'<li class="option{" marked" if marked else ""}"><span class="letter">{letter}</span>'
            f"<bdi>{html.escape(text)}</bdi>{mark}</li>"
        )
    direction = language(item.language).direction
    return (
        f'<div class="judged" lang="{html.escape(item.language)}" dir="{direction}">'
        f'<p class="question">{html.escape(item.question)}</p><ol class="options">{"".join(rows)}</ol></div>'
    )


def progress_html(shown: Shown, reviewer: str, code: str) -> str:
    """Who reviews what, and how far."""
    name = f"{language(code).name} · <bdi>{html.escape(reviewer)}</bdi>"
    width = 100 * shown.done / max(shown.total, 1)
    bar = f'<span class="bar"><span style="width: {width:.1f}%"></span></span>'
    return f'<div class="state"><span>{name}</span>{bar}<span id="count">{shown.done} of {shown.total}</span></div>'


def rubric_html() -> str:
    """The rubric with the keys."""
    entries = "".join(
        f"<dt><kbd>{key}</kbd> {label}</dt><dd>{html.escape(meaning)}</dd>"
        for key, (label, meaning) in enumerate(rubric().labels.items(), start=1)
    )
    between = "".join(f"<p>{html.escape(line)}</p>" for line in rubric().between)
    keys = "<p><kbd>u</kbd> undo · <kbd>n</kbd> write a note · <kbd>Esc</kbd> leave the note</p>"
    return f'<div class="rubric"><p>{html.escape(rubric().task)}</p><dl>{entries}</dl>{between}{keys}</div>'


def _finished(shown: Shown) -> str:
    return f'<div class="finished">All {shown.total} items are labelled. Thank you.</div>'


# ---------------------------------------------------------------- Gradio
class OwnPagesOnly:
    """ASGI middleware that answers 403 to what is not asked by the page itself, at this computer's own address."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        own = host.partition(":")[0] in (HOST, "localhost") and origin in (None, f"http://{host}")
        if own or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"this page answers only itself"})


class _Steps:
    """What the reviewer does, as functions for Gradio: from a name and a language to the parts of the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def guarded(self, work: Callable[..., Shown]) -> Callable[..., list[Any]]:
        """The parts after a step of the desk; an error of ours becomes a message on the page."""
        import gradio as gr

        def call(name: str, chosen: str, *rest: str) -> list[Any]:
            try:
                return _view(work(name, chosen, *rest), name, chosen)
            except PolyFactError as error:
                raise gr.Error(str(error)) from error

        return call

    def begin(self, name: str, chosen: str) -> list[Any]:
        """Name, language, door shut, room open, and the parts."""
        import gradio as gr

        parts = self.guarded(self._desk.look)(name, chosen)
        return [name, chosen, gr.update(visible=False), gr.update(visible=True), *parts]


def _view(shown: Shown, name: str, chosen: str) -> list[Any]:
    """Progress, item, the item's name, note, a button per label, undo."""
    import gradio as gr

    item, done = shown.item, shown.item is None
    return [
        progress_html(shown, name, chosen),
        item_html(item) if item else _finished(shown),
        item.item if item else "",
        gr.update(value=shown.note, interactive=not done),
        *[gr.update(interactive=not done)] * len(LABELS),
        gr.update(interactive=shown.done > 0),
    ]


def build_page(desk: Desk, reviewer: str, code: str) -> Any:
    """The page as Gradio blocks. Where reviewer or language is not given, it asks for them first."""
    import gradio as gr

    steps, ready = _Steps(desk), bool(reviewer and code)
    with gr.Blocks(title="PolyFact review", analytics_enabled=False) as page:
        name, chosen = gr.State(reviewer), gr.State(code)
        with gr.Column(visible=not ready) as door:
            choices = [(f"{language(own).autonym} ({own})", own) for own in desk.sample.languages]
            ask_name = gr.Textbox(
                label="Your name, or any word that stands for you", value=reviewer, elem_id="reviewer"
            )
            ask_code = gr.Dropdown(choices, value=code or choices[0][1], label="Language", elem_id="language")
            start = gr.Button("Begin, or go on", variant="primary", elem_id="begin")
        with gr.Column(visible=ready) as room:
            progress, item = gr.HTML(), gr.HTML(elem_id="item")
            shown = gr.Textbox(visible="hidden")
            with gr.Row():
                labels = [
                    gr.Button(f"{place} · {label}", elem_id=label, variant="secondary")
                    for place, label in enumerate(LABELS, start=1)
                ]
            note = gr.Textbox(label="Note (optional)", lines=2, max_length=MAX_NOTE, elem_id="note")
            undo = gr.Button("u · undo", size="sm", elem_id="undo")
            with gr.Accordion("Rubric and keys", open=True):
                gr.HTML(rubric_html())
        parts = [progress, item, shown, note, *labels, undo]
        event: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        start.click(steps.begin, [ask_name, ask_code], [name, chosen, door, room, *parts], **event)
        ask_name.submit(steps.begin, [ask_name, ask_code], [name, chosen, door, room, *parts], **event)
        for label, button in zip(LABELS, labels):

            def give(who: str, where: str, which: str, said: str, own: str = label) -> Shown:
                return desk.give(who, where, which, own, said)

            button.click(steps.guarded(give), [name, chosen, shown, note], parts, **event)
        undo.click(steps.guarded(desk.undo), [name, chosen], parts, **event)
        if ready:
            page.load(steps.guarded(desk.look), [name, chosen], parts, **event)
    return page


def serve(folder: Path, *, reviewer: str, code: str, port: int, first: int | None) -> None:
    """Serves the page until it is interrupted. Raises `ConfigError` when Gradio is missing or the port is taken."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError as error:
        raise ConfigError('the review page is not installed; install it: pip install "polyfact[review]"') from error
    desk = Desk(folder, first)
    if reviewer:
        Journal(folder, reviewer)
    if code:
        desk.look(reviewer or "nobody", code)
    texts = {
        name: files("polyfact_dataset.verification").joinpath(f"page.{name}").read_text("utf-8")
        for name in ("css", "js")
    }
    page = build_page(desk, reviewer, code)
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
            # A page of the web that makes its own name lead to this machine does not get in.
            app_kwargs={"middleware": [(OwnPagesOnly, (), {})]},
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=texts["css"],
            head=f"<script>{texts['js']}</script>",
        )
    except OSError as error:
        raise ConfigError(f"port {port} is taken; give another --port") from error
    print(f"Review at {url} (Ctrl-C ends it; every click is kept in {folder / 'reviews'})", flush=True)
    page.block_thread()
