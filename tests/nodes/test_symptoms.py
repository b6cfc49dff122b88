"""What Flower 1.41's SuperNode said in each case, word for word, and what we make of it."""

import pytest

from fedtrade.nodes.settings import ClientSettings
from fedtrade.nodes.symptoms import Course, symptom_of

SETTINGS = ClientSettings.from_mapping(
    {
        "name": "alpha",
        "number": 0,
        "superlink": "desk.example.org:8443",
        "root_certificates": "/kit/ca.crt",
        "key": "/kit/node.key",
        "state": "/kit/state",
    }
)
TLS = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("line", "words", "course"),
    [
        (
            TLS + "unable to get local issuer certificate (_ssl.c:1006)",
            "shows a certificate that /kit/ca.crt has not signed",
            "lasting",
        ),
        (TLS + "certificate has expired (_ssl.c:1006)", "has expired", "passing"),
        (TLS + "certificate is not yet valid (_ssl.c:1006)", "set this machine's clock", "passing"),
        (
            TLS + "IP address mismatch, certificate is not valid for '127.0.0.1'. (_ssl.c:1006)",
            "is not for desk.example.org:8443",
            "lasting",
        ),
        (
            TLS + "Hostname mismatch, certificate is not valid for 'desk'. (_ssl.c:1006)",
            "adds the name to server.hosts",
            "lasting",
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "desk.example.org:8443 does not speak TLS",
            "lasting",
        ),
        (
            "[code: 2004] Failed to activate SuperNode.",
            "refuses the key /kit/node.key: it is not registered or was taken out, another node",
            "passing",
        ),
        (
            "\x1b[92mINFO \x1b[0m:      SuperNode terminated gracefully.",
            "has shut this node out",
            "shut_out",
        ),
        (
            "\x1b[91mERROR \x1b[0m:     Client error '413 Request Entity Too Large' for url "
            "'https://desk.example.org:8443/v1/fleet/push-object'",
            "raises server.gateway_limits.most_call_mib",
            "passing",
        ),
        (
            "\x1b[93mWARNING \x1b[0m:   Giving up reconnection after 5.00 seconds and 7 tries.",
            "desk.example.org:8443 cannot be reached",
            "away",
        ),
        (
            "[Errno -2] Name or service not known",
            "the name in superlink=desk.example.org:8443 is not known",
            "away",
        ),
        (
            "\x1b[91mERROR \x1b[0m:     Path argument `--root-certificates` does not point to a "
            "file.",
            "root_certificates=/kit/ca.crt is no file",
            "lasting",
        ),
        (
            "[Errno 98] error while attempting to bind on address ('127.0.0.1', 9100): address "
            "already in use",
            "the port of the node's own interface is taken",
            "passing",
        ),
        (
            "OSError: [Errno 28] No space left on device: '/kit/state/runs/.1.tmp'",
            "the disk of /kit/state is full",
            "lasting",
        ),
        (
            "code=installed needs the warm executor; set code=bundle executor=stock to let the "
            "code that comes with a run answer.",
            "install the version that fedtrade is made for",
            "lasting",
        ),
    ],
)
def test_each_known_complaint_becomes_a_sentence(line: str, words: str, course: Course) -> None:
    symptom = symptom_of(line, SETTINGS)
    assert symptom is not None
    assert symptom.sentence.startswith("alpha: ")
    assert symptom.sentence.endswith(".")
    assert words in symptom.sentence
    assert symptom.course == course


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\x1b[92mINFO \x1b[0m:      Received successfully",
        "\x1b[93mWARNING \x1b[0m:   Connection attempt failed, retrying in 0.99 seconds",
        "[Errno 111] Connection refused",
    ],
)
def test_other_lines_mean_nothing(line: str) -> None:
    assert symptom_of(line, SETTINGS) is None
