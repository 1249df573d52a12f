"""A local server that speaks `wbgetentities` and misbehaves on demand."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Entity = dict[str, Any]


@dataclass
class Wikidata:
    """What the server knows, how it will misbehave, and what it was asked.

    `script` holds the faults of the coming requests in order; when it is empty all goes well. `answered` counts, for
    each id, the requests that were answered in full.
    """

    entities: Mapping[str, Entity]
    redirects: dict[str, str] = field(default_factory=dict)
    unparsable: frozenset[str] = frozenset()
    omitted: frozenset[str] = frozenset()
    keyed_by_target: bool = False
    script: deque[str] = field(default_factory=deque)
    asked: list[list[str]] = field(default_factory=list)
    parameters: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def body(self, ids: list[str], props: list[str]) -> dict[str, Any]:
        """The answer as the API gives it (formatversion 2)."""
        bad = next((qid for qid in ids if qid in self.unparsable), None)
        if bad is not None:
            info = f'Could not find an entity with the ID "{bad}".'
            return {"error": {"code": "no-such-entity", "info": info, "id": bad}}
        entities: dict[str, Any] = {}
        for qid in ids:
            target = self.redirects.get(qid, qid)
            if qid in self.omitted:
                continue
            if target not in self.entities:
                entities[qid] = {"id": qid, "missing": True}
                continue
            entity = {name: part for name, part in self.entities[target].items() if name != "claims"}
            entity["lastrevid"] = 1000 + int(target[1:])
            if "claims" in props:
                entity["claims"] = self.entities[target]["claims"]
            if target != qid:
                entity["redirects"] = {"from": qid, "to": target}
            entities[target if self.keyed_by_target else qid] = entity
        return {"entities": entities, "success": 1}


class _Handler(BaseHTTPRequestHandler):
    wikidata: Wikidata
    # Headers and body leave together, or the kernel waits between them.
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""

    def do_GET(self) -> None:
        known = self.wikidata
        parameters = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        ids = parameters["ids"].split("|")
        known.asked.append(ids)
        known.parameters.append(parameters)
        known.headers.append(dict(self.headers))
        fault = known.script.popleft() if known.script else "ok"
        content = json.dumps(known.body(ids, parameters["props"].split("|"))).encode()
        status, headers, claimed = 200, {}, None
        if fault == "ok":
            known.answered.update(ids)
        elif fault == "hold":
            known.holding.set()
            known.release.wait(30)
            return
        elif fault == "truncated":
            content = content[: len(content) // 2]
        elif fault == "cut":
            claimed, content = len(content), content[:40]
        elif fault == "html":
            content = b"<html>upstream error</html>"
        elif fault == "list":
            content = b"[]"
        elif fault == "maxlag":
            content = b'{"error": {"code": "maxlag", "info": "Waiting for db1: 7 seconds lagged.", "lag": 7}}'
            headers["Retry-After"] = "5"
        elif fault == "not-json-entity":
            content = json.dumps({"entities": {ids[0]: {"id": ids[0], "labels": "gone"}}}).encode()
        elif fault == "params":
            content = b'{"error": {"code": "badvalue", "info": "Unrecognized value for parameter"}}'
        else:
            status, _, wait = fault.partition(" after ")
            status, content = int(status), b"try later"
            if wait == "date":
                headers["Retry-After"] = email.utils.formatdate(time.time() + 20, usegmt=True)
            elif wait:
                headers["Retry-After"] = wait
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        if claimed is not None:
            self.close_connection = True


@contextmanager
def serving(wikidata: Wikidata) -> Iterator[Wikidata]:
    """The server on a free port of this machine; `url` says where."""
    handler = type("Handler", (_Handler,), {"wikidata": wikidata, "protocol_version": "HTTP/1.1"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    wikidata.url = f"http://127.0.0.1:{server.server_address[1]}/w/api.php"
    try:
        yield wikidata
    finally:
        wikidata.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
