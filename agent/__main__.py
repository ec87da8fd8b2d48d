"""`tidegauge agent`: this machine's metrics, and those of Prometheus endpoints, to metrics.raw."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from threading import Event

import psutil
from pydantic import ValidationError

from agent.clock import now_ms
from agent.delivery import Delivery
from agent.outbox import Outbox, Record
from agent.rounds import Rounds, aligned, begun, following
from agent.settings import Settings
from schemas import topics
from schemas.batch import Batch
from schemas.setting import faults

log = logging.getLogger("tidegauge.agent")

_STATUS_MS = 60_000


class Agent:
    """Ties rounds, outbox and delivery together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.outbox = Outbox(settings.agent_buffer_batches, settings.agent_buffer_bytes)
        self.delivery = Delivery(self.outbox, settings.kafka, topics.RAW)
        self.rounds = Rounds(settings, self._accounts)
        self._process = psutil.Process()
        self._overflowed = 0
        self._full = False

    def run(self, stopping: Event) -> int:
        """Run until `stopping`; returns the exit code: 1 if something could not be sent in the time for that."""
        interval = self.settings.agent_interval_s * 1000
        self.delivery.start()
        at = aligned(now_ms(), interval)
        while not stopping.is_set():
            if not self.delivery.is_alive():
                log.error("TG-agent-delivery: the sending thread ended; ending, so that a supervisor starts anew")
                return 1
            self._round(at)
            self._tell()
            if at % _STATUS_MS < interval:
                log.info("%s", self._status())
            due = following(at, now_ms(), interval)
            self.rounds.skipped += max(0, (due - at) // interval - 1)
            stopping.wait(max(0, due - now_ms()) / 1000)
            at = begun(due, now_ms(), interval)
        return self._stop()

    def _round(self, at: int) -> None:
        try:
            for batch in self.rounds.batches(at, now_ms()):
                self.outbox.put(_record(batch))
        except Exception:  # no descriptor left, say: what waits for the broker must not be lost with the process
            log.exception("TG-agent-round: a round could not be made; what it had until then is sent")
            self.rounds.skipped += 1

    def _tell(self) -> None:
        """Say when batches begin to be dropped for want of room, and when that is over."""
        more = self.outbox.overflowed - self._overflowed
        self._overflowed += more
        if self._full != (more > 0):
            self._full = more > 0
            if self._full:
                log.error(
                    "TG-agent-buffer: %d batches of %d bytes wait, the oldest are dropped and counted; "
                    "TIDEGAUGE_AGENT_BUFFER_BATCHES (%d) and _BYTES (%d) are the limits",
                    len(self.outbox),
                    self.outbox.bytes,
                    self.outbox.max_batches,
                    self.outbox.max_bytes,
                )
            else:
                log.info("nothing is dropped any more, %d batches were", self._overflowed)

    def _stop(self) -> int:
        self.rounds.close()
        self.delivery.stop()
        self.delivery.join(self.settings.agent_stop_s)
        log.info("stopped: %s", self._status())
        return 1 if self.delivery.is_alive() or len(self.outbox) else 0

    def _accounts(self) -> dict[str, float]:
        times = self._process.cpu_times()
        return {
            "agent_batches_sent_total": float(self.delivery.sent_batches),
            "agent_samples_sent_total": float(self.delivery.sent_samples),
            "agent_sent_bytes_total": float(self.delivery.sent_bytes),
            "agent_send_failures_total": float(self.delivery.failures),
            "agent_batches_dropped_total": float(self.outbox.dropped_batches),
            "agent_samples_dropped_total": float(self.outbox.dropped_samples),
            "agent_buffer_batches": float(len(self.outbox)),
            "agent_buffer_bytes": float(self.outbox.bytes),
            "process_cpu_seconds_total": times.user + times.system,
            "process_resident_memory_bytes": float(self._process.memory_info().rss),
        }

    def _status(self) -> str:
        up = sum(scraper.up is True for scraper in self.rounds.scrapers)
        off = self.delivery.clock.text()
        return (
            f"sent {self.delivery.sent_samples} samples in {self.delivery.sent_batches} batches, "
            f"{self.outbox.dropped_batches} batches dropped, {len(self.outbox)} waiting, "
            f"{up} of {len(self.rounds.scrapers)} targets up, {self._usage()}"
            + (f", the clock is {off} the broker's (TG-agent-clock)" if off else "")
        )

    def _usage(self) -> str:
        try:
            times, memory = self._process.cpu_times(), self._process.memory_info()
        except (OSError, psutil.Error) as error:
            return f"its own use could not be read: {error}"
        return f"cpu {times.user + times.system:.1f} s, memory {memory.rss / 1e6:.0f} MB"


def _record(batch: Batch) -> Record:
    index, _, _ = batch.points()
    return Record(batch.source.encode(), batch.encode(), len(index))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tidegauge agent", description=__doc__)
    parser.add_argument("--settings", action="store_true", help="print the settings and what they mean, then end")
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    # kafka-python logs every attempt; delivery.py says once that the broker is away, and once that it is back.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        settings = Settings()
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr)
        return 2
    if options.settings:
        for field, about in Settings.model_fields.items():
            print(f"TIDEGAUGE_{field.upper()}={getattr(settings, field)}\n    {about.description}")
        return 0
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    targets = ", ".join(f"{target.job}={target.url}" for target in settings.agent_scrape) or "none"
    log.info("agent of %s for tenant %s, targets: %s", settings.agent_source, settings.agent_tenant, targets)
    return Agent(settings).run(stopping)


if __name__ == "__main__":
    sys.exit(main())
