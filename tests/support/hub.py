"""A small Hugging Face Hub on 127.0.0.1 for the real clients: datasets and models, in memory, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "t" * 34
_REPO = r"(?P<repo>[\w.\-]+/[\w.\-]+)"


def blob_id(data: bytes) -> str:
    """The id git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """Commits by id: path -> (content, stored as LFS)."""

    commits: dict[str, dict[str, tuple[bytes, bool]]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False
    # Number -> title of the open pull requests.
    requests: dict[int, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        revision = unquote(revision)
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        return sha if sha in self.commits else None

    def commit(self, branch: str, files: dict[str, tuple[bytes, bool]]) -> str:
        seed = json.dumps([len(self.commits), sorted((path, blob_id(data)) for path, (data, _) in files.items())])
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha


@dataclass
class Hub:
    """The state of the server. `uploaded` lists LFS bytes that arrived, `requests` every request line.

    `after_upload` is called when LFS bytes have arrived, `before_commit` before a commit is checked against
    its parent, `before_tag` before a tag is set.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploaded: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    after_upload: Callable[[Hub], None] | None = None
    before_commit: Callable[[Hub], None] | None = None
    before_tag: Callable[[Hub], None] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reset(self) -> None:
        """An empty Hub again, at the same address."""
        with self.lock:
            for held in (self.repos, self.blobs, self.uploaded, self.requests):
                held.clear()
            self.after_upload = self.before_commit = self.before_tag = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _send(
        self, status: int, value: Any = None, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> None:
        body = data if data is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        url = urlsplit(self.path)
        body = self._body() if self.command in ("POST", "PUT") else b""
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {url.path}")
        if not self._may(url.path):
            return
        for method, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and self.command in method:
                with self.hub.lock:
                    action(
                        self, parse_qs(url.query), body, **{k: unquote(v) for k, v in match.groupdict().items() if v}
                    )
                return
        self._refuse(404, "RepoNotFound", f"no route {self.command} {url.path}")

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _may(self, path: str) -> bool:
        """Whether the token allows the request, as on the real Hub: a wrong one is always refused."""
        given = self.headers.get("Authorization")
        match = re.match(f"(?:/api)?(?:/datasets|/models)?/{_REPO}(?:\\.git)?(?:/|$)", path)
        repo = self.hub.repos.get(match["repo"].removesuffix(".git")) if match else None
        writes = self.command in ("POST", "PUT") and not path.startswith("/lfs/") and not path.endswith("validate-yaml")
        reads_openly = not writes and not (repo and repo.private)
        if given == f"Bearer {TOKEN}" or (given is None and reads_openly) or path.startswith("/lfs/"):
            return True
        self._refuse(401, "RepoNotFound" if repo and repo.private else "Unauthorized", "Invalid username or password.")
        return False

    def _repo(self, repo: str, revision: str = "main") -> tuple[Repo, str] | None:
        found = self.hub.repos.get(repo)
        if found is None:
            self._refuse(404, "RepoNotFound", f"{repo} not found")
            return None
        sha = found.resolve(revision)
        if sha is None:
            self._refuse(404, "RevisionNotFound", f"{revision} not found")
            return None
        return found, sha

    # -------------------------------------------------------------- reading
    def whoami(self, query: dict, body: bytes) -> None:
        self._send(200, {"name": "jvonrad", "type": "user", "auth": {"accessToken": {"role": "write"}}})

    def info(self, query: dict, body: bytes, repo: str, revision: str = "main") -> None:
        if found := self._repo(repo, revision):
            files = [{"rfilename": path} for path in sorted(found[0].commits[found[1]])]
            self._send(
                200,
                {
                    "id": repo,
                    "sha": found[1],
                    "siblings": files,
                    "private": found[0].private,
                    "tags": [],
                    "downloads": 0,
                },
            )

    def tree(self, query: dict, body: bytes, repo: str, revision: str, path: str = "") -> None:
        if not (found := self._repo(repo, revision)):
            return
        files = found[0].commits[found[1]]
        prefix = f"{path.strip('/')}/" if path.strip("/") else ""
        inside = {name: value for name, value in files.items() if name.startswith(prefix)}
        if prefix and not inside:
            self._refuse(404, "EntryNotFound", f"{path} not found")
            return
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries, folders = [], set()
        for name, (data, is_lfs) in sorted(inside.items()):
            rest = name[len(prefix) :]
            parents = rest.split("/")[:-1]
            for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
                folder = prefix + "/".join(parents[:depth])
                if folder not in folders:
                    folders.add(folder)
                    entries.append({"type": "directory", "path": folder, "oid": blob_id(folder.encode()), "size": 0})
            if recursive or not parents:
                entry = {"type": "file", "path": name, "oid": blob_id(data), "size": len(data)}
                if is_lfs:
                    entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                entries.append(entry)
        self._send(200, entries)

    def paths_info(self, query: dict, body: bytes, repo: str, revision: str) -> None:
        if not (found := self._repo(repo, revision)):
            return
        form = parse_qs(body.decode()) if not body.startswith(b"{") else json.loads(body)
        files, entries = found[0].commits[found[1]], []
        for path in form.get("paths", []):
            if path in files:
                data, is_lfs = files[path]
                entry = {"type": "file", "path": path, "oid": blob_id(data), "size": len(data)}
                if is_lfs:
                    entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                entries.append(entry)
            elif any(name.startswith(f"{path}/") for name in files):
                entries.append({"type": "directory", "path": path, "oid": blob_id(path.encode()), "size": 0})
        self._send(200, entries)

    def refs(self, query: dict, body: bytes, repo: str) -> None:
        if found := self.hub.repos.get(repo):
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in found.branches.items()
            ]
            tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in found.tags.items()]
            self._send(200, {"branches": branches, "converts": [], "tags": tags})
        else:
            self._refuse(404, "RepoNotFound", f"{repo} not found")

    def discussions(self, query: dict, body: bytes, repo: str) -> None:
        found = self.hub.repos[repo]
        listed = [
            {
                "title": title,
                "num": number,
                "author": {"name": "jvonrad"},
                "createdAt": "2026-01-05T00:00:00.000Z",
                "status": "open",
                "repo": {"name": repo, "type": "dataset"},
                "isPullRequest": True,
            }
            for number, title in found.requests.items()
        ]
        self._send(200, {"discussions": listed, "count": len(listed), "start": 0})

    def resolve(self, query: dict, body: bytes, repo: str, revision: str, path: str) -> None:
        if not (found := self._repo(repo, revision)):
            return
        repository, sha = found
        if path not in repository.commits[sha]:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        data, is_lfs = repository.commits[sha][path]
        etag = hashlib.sha256(data).hexdigest() if is_lfs else blob_id(data)
        headers = {
            "X-Repo-Commit": sha,
            "ETag": f'"{etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if is_lfs:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        status, wanted = 200, re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
            data, status = data[start : end + 1], 206
        headers["Content-Length"] = str(len(data))
        self._send(status, headers=headers, data=data)

    # -------------------------------------------------------------- writing
    def create(self, query: dict, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted.get('organization') or 'jvonrad'}/{wanted['name']}"
        if name in self.hub.repos:
            self._refuse(409, "Conflict", "You already created this dataset repo")
            return
        repo = self.hub.repos[name] = Repo(private=bool(wanted.get("private")) or wanted.get("visibility") == "private")
        repo.commit("main", {".gitattributes": (b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", False)})
        self._send(200, {"url": f"{self.hub.url}/datasets/{name}", "id": name, "name": name})

    def validate(self, query: dict, body: bytes) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def preupload(self, query: dict, body: bytes, repo: str, revision: str) -> None:
        if not (found := self._repo(repo, revision)):
            return
        existing, modes = found[0].commits[found[1]], []
        for entry in json.loads(body)["files"]:
            is_lfs = entry["path"].endswith((".parquet", ".png", ".safetensors"))
            old = existing.get(entry["path"])
            oid = (hashlib.sha256(old[0]).hexdigest() if is_lfs else blob_id(old[0])) if old else None
            mode = "lfs" if is_lfs else "regular"
            modes.append({"path": entry["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send(200, {"files": modes})

    def lfs_batch(self, query: dict, body: bytes, repo: str) -> None:
        objects = []
        for entry in json.loads(body)["objects"]:
            answer: dict[str, Any] = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub.blobs:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}", "header": {}}}
            objects.append(answer)
        self._send(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, query: dict, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.blobs[oid] = body
        self.hub.uploaded.append(oid)
        if self.hub.after_upload:
            self.hub.after_upload(self.hub)
        self._send(200, {})

    def commit(self, query: dict, body: bytes, repo: str, revision: str) -> None:
        if self.hub.before_commit:
            self.hub.before_commit(self.hub)
        if not (found := self._repo(repo, revision)):
            return
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, found[1]):
            self._refuse(412, "PreconditionFailed", "A commit has happened since. Please refresh and try again.")
            return
        files = dict(found[0].commits[found[1]])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = (base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                files[value["path"]] = (self.hub.blobs[value["oid"]], True)
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        branch = revision
        if query.get("create_pr", ["0"])[0] in ("1", "true"):
            number = len(found[0].requests) + 1
            found[0].requests[number], branch = header["summary"], f"refs/pr/{number}"
        sha = found[0].commit(branch, files)
        answer = {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{sha}", "commitOid": sha, "success": True}
        if branch != revision:
            answer["pullRequestUrl"] = f"{self.hub.url}/datasets/{repo}/discussions/{branch.rpartition('/')[2]}"
        self._send(200, answer)

    def tag(self, query: dict, body: bytes, repo: str, revision: str) -> None:
        if self.hub.before_tag:
            self.hub.before_tag(self.hub)
        if not (found := self._repo(repo, revision)):
            return
        name = json.loads(body)["tag"]
        if name in found[0].tags:
            self._refuse(409, "Conflict", f"tag {name} exists")
            return
        found[0].tags[name] = found[1]
        self._send(200, {})


_H = _Handler
_ROUTES: tuple[tuple[tuple[str, ...], str, Any], ...] = (
    (("GET",), "/api/whoami-v2", _H.whoami),
    (("POST",), "/api/repos/create", _H.create),
    (("POST",), "/api/validate-yaml", _H.validate),
    (("GET",), f"/api/(?:datasets|models)/{_REPO}", _H.info),
    (("GET",), f"/api/(?:datasets|models)/{_REPO}/revision/(?P<revision>[^/]+)", _H.info),
    (("GET",), f"/api/(?:datasets|models)/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", _H.tree),
    (("POST",), f"/api/(?:datasets|models)/{_REPO}/paths-info/(?P<revision>[^/]+)", _H.paths_info),
    (("GET",), f"/api/(?:datasets|models)/{_REPO}/refs", _H.refs),
    (("GET",), f"/api/(?:datasets|models)/{_REPO}/discussions", _H.discussions),
    (("POST",), f"/api/(?:datasets|models)/{_REPO}/preupload/(?P<revision>[^/]+)", _H.preupload),
    (("POST",), f"/api/(?:datasets|models)/{_REPO}/commit/(?P<revision>[^/]+)", _H.commit),
    (("POST",), f"/api/(?:datasets|models)/{_REPO}/tag/(?P<revision>[^/]+)", _H.tag),
    (("POST",), f"(?:/datasets)?/{_REPO}\\.git/info/lfs/objects/batch", _H.lfs_batch),
    (("PUT",), "/lfs/(?P<oid>[0-9a-f]{64})", _H.lfs_put),
    (("GET", "HEAD"), f"(?:/datasets)?/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.*)", _H.resolve),
)


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub that runs while the block does."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
