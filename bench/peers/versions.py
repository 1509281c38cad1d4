"""What is installed of each peer, and where: the one place that names versions."""

from collections.abc import Mapping
from dataclasses import dataclass

_HIREDIS = "hiredis==3.5.0"
_REDIS = ("redis==8.1.0", _HIREDIS)
_UVLOOP = "uvloop==0.23.0"
_SERVER = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "pydantic==2.14.3", _UVLOOP)


@dataclass(frozen=True)
class Pins:
    """The packages of one environment, the peer's own first, and the oldest Python that they run on."""

    packages: tuple[str, ...]
    oldest_python: tuple[int, int] = (3, 11)

    def versions(self, count: int = 1) -> str:
        """Return the first packages as `name 1.2.3`."""
        return ", ".join(" ".join(_split(package)) for package in self.packages[:count])


PYTHON: Mapping[str, Pins] = {
    "taskiq": Pins(("taskiq==0.13.0", "taskiq-redis==1.2.4", *_REDIS, *_SERVER)),
    "arq": Pins(("arq==0.28.0", "redis==5.3.1", _HIREDIS, *_SERVER)),
    "dramatiq": Pins(("dramatiq[redis]==2.2.1", *_REDIS)),
    "huey": Pins(("huey==3.5.4", *_REDIS)),
    # SAQ imports typing_extensions without asking for it.
    "saq": Pins(("saq==0.26.4", "redis==7.4.1", _HIREDIS, _UVLOOP, "typing-extensions==4.16.0")),
    "streaq": Pins(("streaq==7.2.0", "coredis==6.9.0", _UVLOOP)),
    "rq": Pins(("rq==3.0.0", *_REDIS)),
    "ardiq": Pins(("ardiq==1.2.0", "msgpack==1.2.4", _UVLOOP), (3, 12)),
    "mayu": Pins(("mayu==0.2.5", "msgpack==1.2.4"), (3, 13)),
}
NODE = Pins(("bullmq@6.7.0", "ioredis@6.0.0", "express@5.3.0", "fastify@5.12.8"))


def node_version(name: str) -> str:
    """Return one Node package as `name 1.2.3`."""
    [found] = [package for package in NODE.packages if package.startswith(f"{name}@")]
    return " ".join(_split(found))


def _split(package: str) -> tuple[str, str]:
    name, _, version = package.replace("@", "==").partition("==")
    return name.partition("[")[0], version
