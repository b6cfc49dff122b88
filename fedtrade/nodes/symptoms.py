"""What Flower's SuperNode says when something is wrong, as a sentence with the remedy."""

import re
from typing import NamedTuple

from fedtrade.nodes.settings import ClientSettings

__all__ = ["Symptom", "symptom_of"]


class Symptom(NamedTuple):
    """What is wrong.

    Attributes
    ----------
    sentence : str
    is_passing : bool
        Whether it may pass by itself.
    """

    sentence: str
    is_passing: bool = False


_KNOWN = (
    (
        r"certificate has expired",
        "{name}: the certificate of the server {superlink} has expired; its operator makes a new "
        "one with `fedtrade provision renew`.",
        True,
    ),
    (
        r"certificate is not yet valid",
        "{name}: the certificate of the server {superlink} is not valid yet; set this machine's "
        "clock.",
        True,
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|doesn't match",
        "{name}: the certificate of the server is not for {superlink}; its operator adds the name "
        "to server.hosts and runs `fedtrade provision renew`.",
        False,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "{name}: the server {superlink} shows a certificate that {root_certificates} has not "
        "signed; ask its operator for the right ca.crt, or somebody stands in between.",
        False,
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure",
        "{name}: {superlink} does not speak TLS; check superlink=HOST:PORT.",
        False,
    ),
    (
        # Flower says the same of both.
        r"code: 2004|Failed to activate SuperNode",
        "{name}: the server {superlink} refuses the key {key}: it is not registered or was taken "
        "out, another node uses it, or the server still believes in an earlier process of this "
        "node, which takes a minute.",
        True,
    ),
    (
        r"PERMISSION_DENIED|UNAUTHENTICATED|401 Unauthorized|403 Forbidden",
        "{name}: the server {superlink} does not let this node in; a clock that is minutes off "
        "does that.",
        False,
    ),
    (
        r"root-certificates` does not point to a file",
        "{name}: root_certificates={root_certificates} is no file; name the consortium's ca.crt.",
        False,
    ),
    (
        r"Giving up|[Rr]etry limit|maximum number of|max_wait_time|Connection to the .* lost",
        "{name}: the server {superlink} cannot be reached; see that it runs, and that no firewall "
        "stands in between.",
        True,
    ),
    (
        r"address already in use|Errno 98",
        "{name}: the port {port} of the node's own interface is taken; choose another with "
        "port=PORT, or 0 for a free one.",
        True,
    ),
    (
        r"No space left on device",
        "{name}: the disk of {state} is full; free some space.",
        False,
    ),
)


def symptom_of(line: str, settings: ClientSettings) -> Symptom | None:
    """What a line of a node's output complains of, if it is known."""
    for pattern, sentence, is_passing in _KNOWN:
        if re.search(pattern, line):
            return Symptom(sentence.format(**settings.to_mapping()), is_passing)
    return None
