"""Whether the user is logged in to wandb, found out without its server."""

from __future__ import annotations

import netrc
import os
from urllib.parse import urlparse

__all__ = ["logged_in"]


def logged_in() -> bool:
    """Whether wandb would find a key, in the environment or in `.netrc`."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
