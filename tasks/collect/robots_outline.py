"""Answers what a robots.txt says about one URL, in the program of `outline_main.py`.

Protego stores every rule of a group once for each user agent of the group: a file of 131 KB took it 27 s and
1.75 GB (measured). So it is given the rules for one user agent alone.
"""

import re
from typing import Any

from protego import Protego


def outline(text: str, url: str) -> dict[str, Any]:
    """Return whether the URL is `allowed`, and the crawl `delay` in seconds or None.

    The first line of the text is our user agent, and the rest is the robots.txt.
    """
    user_agent, _, robots = text.partition("\n")
    rules = Protego.parse(rules_for(user_agent, robots))
    return {"allowed": rules.can_fetch(url, user_agent), "delay": rules.crawl_delay(user_agent)}


def rules_for(user_agent: str, robots: str) -> str:
    """Return the rules for a user agent, as the only group of a robots.txt (RFC 9309, 2.2.1)."""
    tokens = set(re.split(r"[^a-z_-]+", user_agent.lower()))
    rules_by_agent: dict[str, list[str]] = {}
    agent, is_in_rules = "", True
    for line in robots.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        match name.strip().lower():
            case "user-agent" | "useragent" | "user agent":
                agent, is_in_rules = ("" if is_in_rules else agent), False
                product = value.strip().lower().partition("/")[0]
                # Of the names for us in one group the longest is kept, since it decides.
                if product == "*" or product.strip("*") in tokens - {""}:
                    agent = max(agent, product, key=_precedence)
            case "sitemap" | "host":
                continue
            case _ if colon:
                is_in_rules = True
                if agent:
                    rules_by_agent.setdefault(agent, []).append(line)
    best = max(rules_by_agent, key=_precedence, default="*")
    return "\n".join(["User-agent: *", *rules_by_agent.get(best, [])])


def _precedence(agent: str) -> int:
    return 1 if agent == "*" else 2 * len(agent)
