"""The peers as contenders: each with the worker's command line that its own documentation gives."""

from dataclasses import replace
from functools import partial

from bench.peers.versions import PYTHON, node_version
from bench.sides.contenders import IN_VALKEY, Contender
from bench.sides.peer_sides import (
    NodePeer,
    Peer,
    PythonPeer,
    entries,
    everything,
    fields,
    holding,
    keys,
    length,
    members,
)
from bench.tools.environments import node_environment, python_environment

TASKIQ = Peer(
    "taskiq",
    "bench.peers.taskiq_app",
    ("taskiq", "worker", "bench.peers.taskiq_app:broker", "--workers", "2", "--log-level", "WARNING"),
    everything,
    outcomes_database=1,
    variant="list",
    api="bench.peers.taskiq_api",
    waiting=length("taskiq"),
)
ARQ = Peer(
    "arq",
    "bench.peers.arq_app",
    ("arq", "bench.peers.arq_app.Worker"),
    keys("arq:result:*"),
    workers=2,
    api="bench.peers.arq_api",
    waiting=members("arq:queue"),
)
DRAMATIQ = Peer(
    "dramatiq",
    "bench.peers.dramatiq_app",
    ("dramatiq", "bench.peers.dramatiq_app", "--processes", "2", "--threads", "8"),
    everything,
    outcomes_database=1,
    waiting=length("dramatiq:default"),
)
HUEY = Peer(
    "huey",
    "bench.peers.huey_app",
    ("huey_consumer", "bench.peers.huey_app.huey", "-k", "process", "-w", "2", "-q"),
    fields("huey.results.bench"),
    waiting=length("huey.redis.bench"),
)
SAQ = Peer(
    "saq",
    "bench.peers.saq_app",
    ("saq", "bench.peers.saq_app.settings"),
    holding("saq:job:*", b'"complete"'),
    waiting=length("saq:default:queued"),
)
STREAQ = Peer(
    "streaq",
    "bench.peers.streaq_app",
    ("streaq", "run", "bench.peers.streaq_app:worker"),
    keys("streaq:*:task:results:*"),
    workers=2,
    waiting=entries("streaq:default:queues:normal"),
)
RQ = Peer(
    "rq",
    "bench.peers.rq_app",
    ("rq", "worker", "--config", "bench.peers.rq_app", "--worker-class", "rq.SimpleWorker", "--quiet"),
    members("rq:finished:default"),
    workers=2,
    waiting=length("rq:queue:default"),
)
ARDIQ = Peer(
    "ardiq",
    "bench.peers.ardiq_app",
    ("ardiq", "run", "bench.peers.ardiq_app:app", "--quiet", "--workers", "2"),
    keys("ardiq:bench:task:results:*"),
    waiting=entries("ardiq:bench:queues:default"),
)
MAYU = Peer(
    "mayu",
    "bench.peers.mayu_app",
    ("mayu", "worker", "bench.peers.mayu_app:app", "--processes", "2"),
    keys("mayu:result:*"),
    waiting=entries("mayu:{default}:stream"),
)
BULLMQ = Peer(
    "node",
    "bullmq.cjs",
    ("worker",),
    members("bull:bench:completed"),
    waiting=length("bull:bench:wait"),
)


def python_peer(label: str, peer: Peer, if_killed: str, named: int = 1) -> Contender:
    """Make a contender of a peer in Python; the first `named` packages are its versions."""
    return Contender(
        label,
        partial(PythonPeer, peer=peer),
        PYTHON[peer.environment].versions(named),
        IN_VALKEY,
        if_killed,
        partial(python_environment, peer.environment),
        is_peer=True,
    )


def node_peer(label: str, peer: Peer = BULLMQ, server: str | None = None) -> Contender:
    """Make a contender of BullMQ, behind a server where one is named."""
    names = (server, "bullmq", "ioredis") if server else ("bullmq", "ioredis")
    return Contender(
        label,
        partial(NodePeer, peer=replace(peer, api=f"{server}_api.cjs") if server else peer),
        ", ".join(node_version(name) for name in names),
        IN_VALKEY,
        "runs again after 30 s",
        node_environment,
        is_peer=True,
    )


def taskiq_on_list(label: str, *options: str) -> Contender:
    """taskiq whose messages are popped off a list; two processes where the options say nothing else."""
    return python_peer(label, replace(TASKIQ, worker=(*TASKIQ.worker, *options)), "is lost", 2)


def taskiq_on_stream(label: str) -> Contender:
    """taskiq whose messages are acknowledged when the result is saved."""
    worker = (*TASKIQ.worker, "--ack-type", "when_saved")
    peer = replace(TASKIQ, worker=worker, variant="stream", waiting=entries("taskiq"))
    return python_peer(label, peer, "runs again after 10 min", 2)


def arq(label: str, poll_delay: str | None = None, workers: int = 2) -> Contender:
    return python_peer(
        label, replace(ARQ, variant=poll_delay, workers=workers), "runs again after its time-out"
    )


def dramatiq(label: str) -> Contender:
    return python_peer(label, DRAMATIQ, "runs again after 60 s")


def huey(label: str) -> Contender:
    return python_peer(label, HUEY, "is lost")


def saq(label: str, processes: int = 2) -> Contender:
    peer = replace(SAQ, worker=(*SAQ.worker, "--workers", str(processes)))
    return python_peer(label, peer, "runs again, when swept")


def streaq(label: str, workers: int = 2) -> Contender:
    return python_peer(label, replace(STREAQ, workers=workers), "runs again after 60 s")


def rq(label: str) -> Contender:
    return python_peer(label, RQ, "is put with the failed")


def ardiq(label: str) -> Contender:
    return python_peer(label, ARDIQ, "runs again")


def mayu(label: str) -> Contender:
    return python_peer(label, MAYU, "runs again after 30 s")
