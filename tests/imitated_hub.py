"""A hub on loopback for huggingface_hub's own client: model repositories, gated and private ones, tokens, uploads.

    with imitated_hub() as hub:
        hub.repositories["owner/name"] = Repository({"config.json": b"{}"})
        subprocess.run(..., env={**os.environ, "HF_ENDPOINT": hub.address, ...})

It knows the requests that the tests cause, in the form in which huggingface_hub 2.4 makes them, and answers all else
with 404.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

LARGE = (".safetensors", ".gguf", ".pt")  # go another way, as on the hub (LFS)


@dataclass
class Repository:
    files: dict[str, bytes]
    private: bool = False
    gated: bool = False
    may_read: set = field(default_factory=set)  # tokens, of a private or gated one

    @property
    def commit(self):
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories, self.writers, self.large, self.requests = {}, set(), {}, []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    # ---- answers -----------------------------------------------------------------------------------------------

    def answer(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def readable(self, name, for_files=False):
        """The repository, or None after a refusal in the hub's words."""
        repository = self.server.repositories.get(name)
        known = repository is not None and self.token in repository.may_read
        if repository is None or (repository.private and not known):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and for_files and not known:
            self.refuse(403 if self.token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        else:
            return repository

    # ---- requests ----------------------------------------------------------------------------------------------

    def handle_request(self):
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.server.requests.append((self.command, path, self.token))
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                return action(self, *found.groups(), body=body)
        return self.answer(404, {"error": f"{self.command} {path} is not imitated"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def model(self, name, _, body):
        if (repository := self.readable(name)) is not None:
            files = [{"rfilename": path} for path in sorted(repository.files)]
            self.answer(
                200,
                {
                    "id": name,
                    "modelId": name,
                    "sha": repository.commit,
                    "private": repository.private,
                    "gated": repository.gated,
                    "siblings": files,
                    "tags": [],
                    "downloads": 0,
                },
            )

    def tree(self, name, _, body):
        if (repository := self.readable(name)) is not None:
            self.answer(
                200,
                [
                    {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for path, content in repository.files.items()
                ],
            )

    def resolve(self, name, _, path, body):
        if (repository := self.readable(name, for_files=True)) is None:
            return
        if path not in repository.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
        else:
            content = repository.files[path]
            self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=repository.commit)

    def create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if self.token not in self.server.writers:
            self.refuse(401, "Unauthorized", "Invalid username or password.")
        elif name in self.server.repositories:
            self.answer(409, {"error": "You already created this model repo", "url": f"{self.server.address}/{name}"})
        else:
            self.server.repositories[name] = Repository({}, asked.get("visibility") == "private", may_read={self.token})
            self.answer(200, {"url": f"{self.server.address}/{name}", "name": name, "id": name})

    def validate(self, body):
        text = json.loads(body)["content"]
        head = re.match(r"---\n(.*?)\n---\n", text, re.S)
        sound = head and isinstance(yaml.safe_load(head[1]), dict) and "license" in yaml.safe_load(head[1])
        errors = [] if sound else [{"message": "no sound header"}]
        self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, name, _, body):
        self.answer(
            200,
            {
                "files": [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                    }
                    for one in json.loads(body)["files"]
                ]
            },
        )

    def batch(self, name, body):
        self.answer(
            200,
            {
                "transfer": "basic",
                "objects": [
                    {**one, "actions": {"upload": {"href": f"{self.server.address}/large/{one['oid']}", "header": {}}}}
                    for one in json.loads(body)["objects"]
                ],
            },
        )

    def put(self, oid, body):
        if hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400)
        self.server.large[oid] = body
        self.answer(200)

    def commit(self, name, _, body):
        if self.token not in self.server.writers:
            return self.refuse(403, "Forbidden", "You may not write here.")
        files = self.server.repositories[name].files
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.server.large[line["value"]["oid"]]
        self.answer(
            200,
            {
                "commitUrl": f"{self.server.address}/{name}/commit/1",
                "success": True,
                "hookOutput": "",
                "commitOid": self.server.repositories[name].commit,
            },
        )


_NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (("GET", "HEAD"), rf"/api/models/{_NAME}()", Handler.model),
    (("GET",), rf"/api/models/{_NAME}/revision/(\w+)", Handler.model),
    (("GET",), rf"/api/models/{_NAME}/tree/(\w+)", Handler.tree),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/(\w+)/(.+)", Handler.resolve),
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), r"/api/validate-yaml", Handler.validate),
    (("POST",), rf"/api/models/{_NAME}/preupload/(\w+)", Handler.preupload),
    (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (("PUT",), r"/large/(\w+)", Handler.put),
    (("POST",), rf"/api/models/{_NAME}/commit/(\w+)", Handler.commit),
)


@contextmanager
def imitated_hub():
    """A Hub that answers until the end of the block."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
