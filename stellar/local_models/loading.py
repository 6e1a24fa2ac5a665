"""The models of this process, loaded in the background while their instances are called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from weakref import WeakValueDictionary

from stellar.local_models.files import ModelFiles
from stellar.local_models.scoring import LocalScorer
from stellar.maas.client.local import LocalScore, PublishedModel
from stellar.models.errors import InvalidModel
from stellar.models.loading import READERS, detect_kind
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

MOST_FAILED = 1000
RETRY_SECONDS = 60.0  # after which a file that could not be loaded is read again


class BackgroundModels:
    """The models of a store, each loaded once. A model that no client uses any more is dropped."""

    def __init__(self, files: ModelFiles, clock: Callable[[], float] = monotonic) -> None:
        self._files, self._clock = files, clock
        self._failed: dict[PublishedModel, float] = {}  # time of the next attempt
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._loaded: WeakValueDictionary[PublishedModel, LocalScorer] = WeakValueDictionary()
        self._waiting: set[PublishedModel] = set()
        self._queue: SimpleQueue[PublishedModel] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ready: dict[PublishedModel, LocalScorer] = {}  # until a client has them

    def find(self, published: PublishedModel) -> LocalScore | None:
        """Return a model; None while it is being loaded, and if it cannot be."""
        if (score := self._loaded.get(published)) is not None:
            self._ready.pop(published, None)
            return score
        if published not in self._waiting and self._clock() >= self._failed.get(published, 0.0):
            self._request(published)
        return None

    def _request(self, published: PublishedModel) -> None:
        with self._lock:
            if published in self._waiting:
                return
            self._waiting.add(published)
            self._queue.put(published)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="local models", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            published = self._queue.get()
            try:
                score = self._load(published)
            except Exception as error:  # noqa: BLE001 - reported; the thread must go on
                self._report(published, error)
            else:
                self._ready[published] = self._loaded[published] = score
            self._waiting.discard(published)
            with self._lock:
                if self._queue.empty():
                    self._thread = None
                    return

    def _load(self, published: PublishedModel) -> LocalScorer:
        """Return a model. Raise InvalidModel, ValueError or OSError if it cannot be read."""
        data = self._files.read(published)
        if (kind := detect_kind(data)) != published.kind:
            raise ValueError(f"expected a model of kind {published.kind}, got {kind}")
        model = READERS[kind](data)
        model.verify()
        model.compile()
        return LocalScorer(model)

    def _report(self, published: PublishedModel, error: Exception) -> None:
        if len(self._failed) >= MOST_FAILED:
            self._failed.clear()
        self._failed[published] = self._clock() + RETRY_SECONDS
        expected = isinstance(error, (InvalidModel, ValueError, OSError, ModuleNotFoundError))
        log.warning(
            "the model %s cannot be evaluated in this process, so its instances are called: %s",
            published.path,
            error,
            exc_info=None if expected else error,
        )
