"""What Flower's SuperNode says when something is wrong, as a sentence with the remedy."""

import re
from typing import Final, Literal, NamedTuple

from fedtrade.nodes.settings import ClientSettings

__all__ = ["Course", "Symptom", "symptom_of"]

Course = Literal["lasting", "passing", "away", "shut_out"]
"""What becomes of it by itself: nothing; it may pass; the server may come back; or it depends on
the clock, and on whether the server still wants this node."""


class Symptom(NamedTuple):
    """What is wrong, in a sentence, and what becomes of it."""

    sentence: str
    course: Course = "lasting"


_KNOWN: Final[tuple[tuple[str, str, Course], ...]] = (
    (
        r"certificate has expired",
        "{name}: the certificate of the server {superlink} has expired; its operator makes a new "
        "one with `fedtrade provision renew`.",
        "passing",
    ),
    (
        r"certificate is not yet valid",
        "{name}: the certificate of the server {superlink} is not valid yet; set this machine's "
        "clock.",
        "passing",
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|doesn't match",
        "{name}: the certificate of the server is not for {superlink}; its operator adds the name "
        "to server.hosts and runs `fedtrade provision renew`.",
        "lasting",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "{name}: the server {superlink} shows a certificate that {root_certificates} has not "
        "signed; ask its operator for the right ca.crt, or somebody stands in between.",
        "lasting",
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure",
        "{name}: {superlink} does not speak TLS; check superlink=HOST:PORT.",
        "lasting",
    ),
    (
        # Flower says the same of both.
        r"code: 2004|Failed to activate SuperNode",
        "{name}: the server {superlink} refuses the key {key}: it is not registered or was taken "
        "out, another node uses it, or the server still believes in an earlier process of this "
        "node, which takes a minute.",
        "passing",
    ),
    (
        # All that Flower says where the server no longer accepts the node's signature.
        r"SuperNode terminated gracefully",
        "{name}: the server {superlink} has shut this node out: its key was taken out, or the "
        "clocks differ; ask its operator, or set this machine's clock.",
        "shut_out",
    ),
    (
        r"413 (Request Entity|Content) Too Large",
        "{name}: the server {superlink} takes no message as large as this node's answer; its "
        "operator raises server.gateway_limits.most_call_mib.",
        "passing",
    ),
    (
        r"code=installed needs the warm executor",
        "{name}: code=installed needs executor=warm, which does not work with this version of "
        "Flower or on this system; install the version that fedtrade is made for, or set "
        "code=bundle to let the code that comes with a run answer.",
        "lasting",
    ),
    (
        r"root-certificates` does not point to a file",
        "{name}: root_certificates={root_certificates} is no file; name the consortium's ca.crt.",
        "lasting",
    ),
    (
        r"Giving up reconnection",
        "{name}: the server {superlink} cannot be reached; see that it runs, and that no firewall "
        "stands in between.",
        "away",
    ),
    (
        r"Name or service not known|name resolution|nodename nor servname|No address associated",
        "{name}: the name in superlink={superlink} is not known; check superlink=HOST:PORT.",
        "away",
    ),
    (
        r"address already in use|Errno 98",
        "{name}: the port of the node's own interface is taken; choose another with port=PORT, or "
        "0 for a free one.",
        "passing",
    ),
    (
        r"No space left on device",
        "{name}: the disk of {state} is full; free some space.",
        "lasting",
    ),
)


def symptom_of(line: str, settings: ClientSettings) -> Symptom | None:
    """What a line of a node's output complains of, if it is known."""
    for pattern, sentence, course in _KNOWN:
        if re.search(pattern, line):
            return Symptom(sentence.format(**settings.to_mapping()), course)
    return None
