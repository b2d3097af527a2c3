"""Every setting, one Struct per area, as `changeover.toml` spells it.

Sizes are bytes (written as such or as `"80MB"`, `"64KiB"`), times are seconds (written as such or as `"30s"`, `"5m"`,
`"1h"`). The descriptions below are the ones in the documentation, which is generated from them.
"""

from typing import Any, Literal

import msgspec

from changeover.supervisor.config.channels import Channel, Tls
from changeover.workers.channel.limits import Limits
from changeover.workers.protocol.document import Bytes
from changeover.workers.protocol.reload import Reload, read_reload
from changeover.workers.protocol.snapshot import Preloading, Route
from changeover.workers.runtime.settings import Deadlines as WorkerDeadlines
from changeover.workers.runtime.settings import DrainDeadlines, WorkerHooks

ForwardedField = Literal[
    "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded"
]


class App(msgspec.Struct, frozen=True):
    """The application behind the plugins.

    Attributes:
        target: `module:attribute` of an ASGI or WSGI application, or of a service.
        dir: The application's folder, put first on the import path; from the configuration's folder.
        include: Globs below `dir`: a change in these files is new content of the application. Modules among them are
            imported as they were committed, other files are read where they lie.
        factory: Whether `target` is called to make the application.
        interface: How the application is called: `asgi`, `wsgi`, or as its shape says.
        threads: Most requests that each worker runs a WSGI application for at the same time, each in a thread.
        root_path: Path under which a proxy mounts the application.
        preload: Whether the application is imported once, before workers are forked. Where that starts threads they
            import it after the fork; `strict` refuses instead.
        reload: When changed files are taken: `on-change`, `every 60s`, or `on-signal`.
    """

    target: str
    dir: str = "."
    include: tuple[str, ...] = ("**/*.py",)
    factory: bool = False
    interface: Literal["auto", "asgi", "wsgi"] = "auto"
    threads: int = 4
    root_path: str = ""
    preload: Preloading = True
    reload: str = "on-signal"


class Plugin(msgspec.Struct, frozen=True):
    """What the configuration says of one plugin.

    Attributes:
        mount: Path of its service, or a table of service name -> path; overrides what the manifest proposes. Empty
            text mounts nothing.
        config: Its own configuration, checked by the plugin's `Config`.
        reload: When changed content is taken: `on-change`, `every 60s`, `on-signal`, or `disabled`; by default as for
            all plugins.
        grant: Capabilities that it may use, of those that its manifest asks for.
        preflight: Whether it is rehearsed before workers load it. If not, workers are the first to
            run it, and whatever requires it.
    """

    mount: str | dict[str, str] | None = None
    config: dict[str, Any] = {}
    reload: str = ""
    grant: tuple[str, ...] = ()
    preflight: bool = True


class Plugins(msgspec.Struct, frozen=True):
    """Where plugins come from.

    Attributes:
        dir: The folder of plugins: folders with `plugin.toml`, wheels, and single files with an inline block. Empty for
            none.
        reload: When changed content, pipelines, mounts and certificates are taken: `on-change`, `every 60s`,
            `on-signal`, or `disabled`.
        entries: Plugin id -> its settings; in the file these stand beside `dir` as `[plugins.pricing]`.
        keys: Files with public Ed25519 keys (PEM); once there is one, content that none of them has signed is refused.
            Needs the extra `sign`.
    """

    dir: str = ""
    reload: str = "on-signal"
    entries: dict[str, Plugin] = {}
    keys: tuple[str, ...] = ()

    @property
    def exempt(self) -> tuple[str, ...]:
        """The ids of those that are not rehearsed."""
        return tuple(sorted(name for name, entry in self.entries.items() if not entry.preflight))


class PipelineMatch(msgspec.Struct, frozen=True):
    """Which requests a pipeline takes; the [most specific](requests.md#which-route) pipeline wins.

    Attributes:
        path: `/api` takes itself and everything below it, `/api/*` what is below it, `=/api` itself, `/` everything.
        host: Host name without port, or `*.shop.example` for every name below a domain; empty for every host.
        method: A method, or a list of them; `GET` takes HEAD too, and nothing takes every method.
        header: Table of header field -> value; each is compared whole.
        label: Of connections, as `select` of a [channel](channels.md#selecting-an-initializer) gives it.
    """

    path: str = "/"
    host: str = ""
    method: str | tuple[str, ...] = ()
    header: dict[str, str] = {}
    label: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, each once, sorted."""
        return (self.method,) if isinstance(self.method, str) else tuple(sorted(set(self.method)))

    def route(self, pipeline: str = "") -> Route:
        """The route that leads these requests to a pipeline."""
        headers = tuple(sorted((name.lower(), value) for name, value in self.header.items()))
        path = "/" if self.path == "/*" else self.path
        return Route(pipeline, path, self.host, methods=self.methods, headers=headers, label=self.label)


class Pipeline(msgspec.Struct, frozen=True):
    """Handlers in order, and what answers behind them.

    Attributes:
        match: Which requests it takes.
        handlers: In request order: `plugin:handler`, the name of a [ready-made one](handlers.md), or
            `{ use = "concurrency-limit", limit = 200 }` for one with settings.
        service: `app`, or `plugin:service`; left out, the pipeline answers 503.
        name: For people; by default what it matches (`POST shop.example/api`).
    """

    match: PipelineMatch = PipelineMatch()
    handlers: tuple[str | dict[str, Any], ...] = ()
    service: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, or where it matches."""
        return self.name or str(self.match.route())


class AccessLog(msgspec.Struct, frozen=True):
    """Where each request is told, once it is answered.

    Attributes:
        file: A file that workers append to, and open anew once it was moved away; `-` for stdout, empty for nowhere.
            By default stdout, where that is a terminal.
        format: `common` and `combined` as other servers write them, followed by epoch, worker, route, request id and
            milliseconds; `json` has a name for each.
    """

    file: str = "auto"
    format: Literal["common", "combined", "json"] = "common"


class Watch(msgspec.Struct, frozen=True):
    """How changes are noticed, where something is to be taken on change.

    Attributes:
        rescan: Between two looks at every file, beside what the kernel tells of changes; shorter where it tells
            nothing (network file systems, some mounts of containers).
    """

    rescan: float = 60.0


class Drain(DrainDeadlines, frozen=True):
    """How long requests may hold what was replaced, or a process that is to leave.

    Attributes:
        http: A request, in a process that is to leave.
        stream: A streaming response, in a process that is to leave.
        websocket: A WebSocket, in a process that is to leave.
        task: A task that a request left behind, in a process that is to leave.
        max_resident: Most copies of one plugin or application in a worker, the serving one included.
        address: An address that was removed is closed once no connection has waited there for so long.
    """

    max_resident: int = 8
    address: float = 5.0


class History(msgspec.Struct, frozen=True):
    """What is kept for rollback and explanation.

    Attributes:
        keep: How many committed epochs can be rolled back to.
    """

    keep: int = 10


class Preflight(msgspec.Struct, frozen=True):
    """A candidate is run in a disposable process first, beside what serves; what does not pass reaches no worker.

    Attributes:
        enabled: Whether it is.
        memory: How much memory the process may take beyond what it has when it begins.
        processes: How many processes and threads it may have at the same time.
        output: How much of what it writes is kept for the refusal.
    """

    enabled: bool = True
    memory: Bytes = 1024 * 1024 * 1024
    processes: int = 64
    output: Bytes = 64 * 1024


class Recycle(msgspec.Struct, frozen=True):
    """How much a worker does before a fresh one takes its place: that one serves first, and open connections go over.

    Attributes:
        requests: How many requests it answers; 0 = no limit.
        requests_jitter: Up to so many more, different for each worker.
        lifetime: How long it lives; 0 = no limit.
        lifetime_jitter: Up to so much longer, different for each worker.
        memory: How much resident memory it has; 0 = no limit.
        leaks: How many copies of plugins it released that are not gone; 0 = no limit.
    """

    requests: int = 0
    requests_jitter: int = 0
    lifetime: float = 0.0
    lifetime_jitter: float = 0.0
    memory: Bytes = 0
    leaks: int = 8


class Deadlines(WorkerDeadlines, frozen=True):
    """Every other wait.

    Attributes:
        hook: One hook of a plugin, or the startup of the application.
        graceful: From TERM to being gone.
        orphan: How long workers serve on without a supervisor; 0 = for ever.
        heartbeat: Between two heartbeats.
        silence: Without a heartbeat for this long, the other side counts as silent.
        preflight: The whole run of a candidate in a disposable process.
        prepare: From the request to prepare a candidate to the last worker's answer; anew for workers that are asked
            late because others crash or hang.
        preload: From starting the process that imports the application for its workers to being ready to fork them.
        boot: From forking a worker to serving.
        hung: A worker whose loop is not heard for this long is killed, its stacks written down; 0 = never.
        request: A worker that owes the response to a request for this long is replaced, its stacks written down; 0 =
            never. Streams and WebSockets have their own deadlines, in `[drain]`.
        rescue: For this long after a roll the zygote that it replaced is kept: when all new workers crash, the server
            goes back by itself, and imports nothing for it; 0 = never.
    """

    preflight: float = 60.0
    prepare: float = 60.0
    preload: float = 60.0
    boot: float = 90.0
    hung: float = 60.0
    rescue: float = 300.0


class Hooks(WorkerHooks, frozen=True):
    """Functions and commands of yours at the turns of the server's life.

    Attributes:
        after_fork: `module:function` or a command, in each new worker, which does not boot if it fails.
        worker_ready: `module:function` or a command, beside the first requests of each worker.
        worker_exit: `module:function` or a command, in a worker that was told to leave, after its requests.
        before_boot: `module:function` or a command, before anything is bound or started; if it fails nothing is.
        cutover_committed: `module:function` or a command, after each cutover that was committed, told its record.
        deadline: What each hook has.
    """

    before_boot: str = ""
    cutover_committed: str = ""


class Settings(msgspec.Struct, frozen=True):
    """All of `changeover.toml`.

    Attributes:
        name: Names the service in titles, logs and directories; by default the configuration's folder.
        bind: Addresses to listen on: `host:port`, `:port` (every IPv4 address), `[v6]:port`, `unix:/path`, `fd://3` and
            `fd://name`. Sockets that a service manager passes (`LISTEN_FDS`) are taken where nothing else is said.
        workers: How many worker processes; `"auto"` for one per core.
        backlog: Connections that the kernel queues per listening socket.
        max_connections: Most open client connections of one worker; 0 = as many as descriptors allow.
        epoch_header: Whether responses say which epoch and worker made them.
        boot: What a cold start serves: what is on `disk`, the `last` committed content, or `auto`: the disk unless
            it is held or refused, then the last.
        on_silent_worker: When a worker lets the prepare deadline pass, `abort` changes nothing anywhere, `kill` goes on
            without it.
        user: Name or number of the user that workers run as, for a supervisor that is root; by default its own.
        group: Name or number of their group; by default the user's own.
        umask: Permissions that files made by workers lack, in octal (`"027"`); by default as inherited.
        rlimits: Limits that the kernel keeps for each worker: `nofile=65536`, `as=2GiB`, `core=0:unlimited` (soft and
            hard).
        no_new_privs: Whether workers gain nothing by executing setuid files, or files with capabilities.
        python: Interpreter that workers run on, or the folder of a virtual environment; by default the supervisor's
            own. Only new processes take another.
        landlock: Whether workers, and all that they start, may write only below `writable`, to the runtime directory
            and to temporary files, whatever their user may.
        writable: Folders that workers may write below in spite of `landlock`; from the configuration's folder.
        runtime_dir: Folder for sockets and the commit cell; by default below `$XDG_RUNTIME_DIR`.
        state_dir: Folder for journal and artifacts; by default below `$XDG_STATE_HOME`.
        proxies: Networks whose PROXY header (version 1 or 2) is expected before everything else, and believed.
        forwarded: Networks of proxies whose word is taken for who the client is, and by what scheme and name it asked.
            From everybody else `Forwarded` and `X-Forwarded-*` are dropped; when this is empty nothing is read or
            dropped.
        forwarded_headers: Which fields those proxies write, and so are believed: `x-forwarded-for`, `-proto`, `-host`,
            `-port`, `-prefix`, or `forwarded`. A proxy passes on what its client says in all others.
        tls: How TLS is spoken at every TCP address.
        channels: What differs at single addresses.
        app: The application.
        plugins: The plugins.
        pipelines: What requests pass through, beside the default ones.
        watch: How changes are noticed.
        drain: How long what was replaced may be held.
        history: What is kept.
        preflight: How a candidate is tried first.
        access_log: Where requests are told.
        limits: What clients may send.
        recycle: When a worker is replaced by a fresh one.
        deadlines: Every other wait.
        hooks: Functions and commands of yours.
    """

    name: str = ""
    bind: tuple[str, ...] = ("127.0.0.1:8000",)
    workers: int | Literal["auto"] = 1
    backlog: int = 2048
    max_connections: int = 0
    epoch_header: bool = False
    boot: Literal["auto", "last", "disk"] = "auto"
    on_silent_worker: Literal["abort", "kill"] = "abort"
    user: str = ""
    group: str = ""
    umask: str = ""
    rlimits: tuple[str, ...] = ()
    no_new_privs: bool = True
    python: str = ""
    landlock: bool = False
    writable: tuple[str, ...] = ()
    runtime_dir: str = ""
    state_dir: str = ""
    proxies: tuple[str, ...] = ()
    forwarded: tuple[str, ...] = ()
    forwarded_headers: tuple[ForwardedField, ...] = ("x-forwarded-for", "x-forwarded-proto")
    tls: Tls = Tls()
    channels: tuple[Channel, ...] = ()
    app: App | None = None
    plugins: Plugins = Plugins()
    pipelines: tuple[Pipeline, ...] = ()
    watch: Watch = Watch()
    drain: Drain = Drain()
    history: History = History()
    preflight: Preflight = Preflight()
    access_log: AccessLog = AccessLog()
    limits: Limits = Limits()
    recycle: Recycle = Recycle()
    deadlines: Deadlines = Deadlines()
    hooks: Hooks = Hooks()

    def slots(self, cores: int) -> int:
        """How many slots `workers` asks for on a machine with `cores` cores."""
        return max(1, cores) if self.workers == "auto" else self.workers

    def policy(self, plugin: str) -> Reload:
        """When changed content of `plugin` is taken."""
        entry = self.plugins.entries.get(plugin)
        return read_reload(entry.reload if entry and entry.reload else self.plugins.reload)

    def policies(self) -> frozenset[Reload]:
        """Everything that decides when something is taken."""
        written = {self.plugins.reload, *(entry.reload for entry in self.plugins.entries.values() if entry.reload)}
        application = {self.app.reload} if self.app else set()
        return frozenset(map(read_reload, written | application))
