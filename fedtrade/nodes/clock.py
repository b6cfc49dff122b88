"""How this machine's clock stands to the server's."""

import ssl
import time
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path

__all__ = ["clock_lead_s"]

TIMEOUT_S = 3.0


def clock_lead_s(address: str, authority: Path) -> float | None:
    """How many seconds this machine's clock is ahead of the server's, to within a second or two.

    Parameters
    ----------
    address : str
        HOST:PORT of the server.
    authority : Path
        The certificate by which it is known.

    Returns
    -------
    float or None
        Negative if it is behind; None if the server does not tell.
    """
    try:
        context = ssl.create_default_context(cafile=str(authority))
        url = f"https://{address}/health"
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as answer:
            moment = parsedate_to_datetime(answer.headers["Date"])
    except (OSError, TypeError, ValueError):
        return None
    return time.time() - moment.timestamp()
