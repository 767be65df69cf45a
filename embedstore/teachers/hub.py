"""Fetching weights from a hub, or failing in seconds: its own client retries for a minute and logs every try."""

import http.client
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from embedstore.errors import TeacherError, WeightsUnavailableError

_ENDPOINT = "https://huggingface.co"
_LOCAL_FORM = {"open_clip": "open_clip:ARCH@CHECKPOINT", "timm": "timm:NAME@CHECKPOINT"}
_PATIENCE = 3.0  # seconds until a hub that does not answer counts as out of reach


class HubProbe:
    """Ask, in the background, if the hub answers; so that the answer is there when the imports are done."""

    def __init__(self) -> None:
        self._answered = False
        self._deadline = time.monotonic() + _PATIENCE
        self._thread = threading.Thread(target=self._ask, daemon=True)  # a name look-up knows no time limit of its own
        self._thread.start()

    def reachable(self) -> bool:
        """Wait for the answer, until a few seconds after the question at most."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        return self._answered

    def _ask(self) -> None:
        if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
            return
        try:
            hub = urllib.request.Request(os.environ.get("HF_ENDPOINT") or _ENDPOINT, method="HEAD")  # noqa: S310
            with urllib.request.urlopen(hub, timeout=_PATIENCE):  # noqa: S310  the user's own hub
                self._answered = True
        except urllib.error.HTTPError as error:
            self._answered = error.code < 500 and error.code != 429  # a no is an answer; an outage is none
        except (OSError, ValueError, http.client.HTTPException):
            self._answered = False


@contextmanager
def quick_hub(probe: HubProbe | None, spec: str) -> Iterator[None]:
    """Load weights inside: from the local cache alone where the hub is out of reach, quietly, with one clear error.

    Args:
        probe: whether the hub answers; None if it is not to be asked.
        spec: the teacher to speak of.

    Raises:
        WeightsUnavailableError: the weights are neither cached nor to be had.
    """
    import huggingface_hub.constants as hub

    reachable = probe is not None and probe.reachable()
    was_offline = hub.HF_HUB_OFFLINE
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    hub.HF_HUB_OFFLINE = was_offline or not reachable
    try:
        yield
    except TeacherError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if probe is None:
            why = "the hub is not asked where a local file is given"
        else:
            why = f"the hub did not give them ({type(error).__name__})" if reachable else "the hub can't be reached"
        raise WeightsUnavailableError(
            f"The weights of '{spec}' are not on this machine and {why}; fetch them once where there is a network and "
            f"copy the hub's cache, or give a local file: {_LOCAL_FORM[spec.partition(':')[0]]}."
        ) from error
    finally:
        hub.HF_HUB_OFFLINE = was_offline
        logging.disable(level)
