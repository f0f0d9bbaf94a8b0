"""What the service counts, for Prometheus."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        """Register every metric."""
        self._registry = CollectorRegistry()
        self._waiting: dict[int, float] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.signals = Counter("hailong_signals_committed", "Signals committed.", registry=self._registry)
        self.repeated = Counter("hailong_entries_repeated", "Entries sent again.", registry=self._registry)
        self.quarantined = Counter(
            "hailong_entries_quarantined",
            "Entries set aside, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self.refused = Counter(
            "hailong_requests_refused", "Requests refused, by kind.", ["kind"], registry=self._registry
        )
        self.auth_failures = Counter(
            "hailong_auth_failures", "Failed authentications, by door.", ["door"], registry=self._registry
        )
        self.unavailable = Counter(
            "hailong_database_unavailable", "Requests the database could not answer.", registry=self._registry
        )
        self.batch_s = Histogram(
            "hailong_batch_seconds",
            "Time from a whole body to its commit.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self._registry,
        )
        self.edge_entries = Counter(
            "hailong_edge_log_entries", "Entries of the edges' logs taken.", registry=self._registry
        )
        self.edge_logs_forked = Gauge(
            "hailong_edge_logs_forked", "Edges whose log showed two histories.", registry=self._registry
        )
        self.log_size = Gauge(
            "hailong_log_size", "Entries under the newest checkpoint.", registry=self._registry
        )
        self.log_checkpoint_age_s = Gauge(
            "hailong_log_checkpoint_age_seconds",
            "Time since the log was last found whole and signed; -1 before.",
            registry=self._registry,
        )
        self.log_damaged = Gauge(
            "hailong_log_damaged",
            "1 while the log cannot be signed: damaged, or keys unusable.",
            registry=self._registry,
        )
        self.log_witnessed = Gauge(
            "hailong_log_witnessed", "1 while the newest checkpoint has its quorum.", registry=self._registry
        )
        self.log_witnessed_at = Gauge(
            "hailong_log_witnessed_timestamp_seconds",
            "When the quorum was last reached, by the witnesses' clocks.",
            registry=self._registry,
        )
        oldest = Gauge(
            "hailong_oldest_unwritten_seconds",
            "Age of the oldest batch received and not yet committed.",
            registry=self._registry,
        )
        oldest.set_function(self.oldest_unwritten_s)

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Count a batch as unwritten until the block ends."""
        number, begun = next(self._numbers), time.monotonic()
        with self._lock:
            self._waiting[number] = begun
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[number]
            self.batch_s.observe(time.monotonic() - begun)

    def oldest_unwritten_s(self) -> float:
        """Return the age of the oldest batch that is not committed; 0 when there is none."""
        with self._lock:
            return time.monotonic() - min(self._waiting.values()) if self._waiting else 0.0

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
