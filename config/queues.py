"""The queues of this application, besides `default`."""

from jobyard import Queue, QueueKind

QUEUES = (
    Queue("email", "mail: waits for a server, seldom computes"),
    Queue("images", "pictures: computes, and may take a lot of memory", QueueKind.PREFORK),
    Queue("collect", "pages from other people's servers: waits, sometimes long"),
)
