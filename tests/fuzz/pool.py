"""The parent's side of a worker: time and memory limits, and a new process where one died."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CPU_S, MEMORY = 20.0, 4 << 30
WALL_S = 300.0  # asleep for so long: a lock or a wait that never ends
START_S = 120.0  # of processor time, to import everything


class Worker:
    """Runs cases one by one. The time limit is of processor time, so that a busy machine makes no finds."""

    def __init__(self, world: Path):
        self.world = world
        self.process: subprocess.Popen | None = None

    def run(self, target: str, case: bytes) -> dict:
        """{"end": passed, refused or find, "signature", "trace", "new": lines that no case before had reached}."""
        started = self.process is None
        if self.process is None:
            self.process = self._start()
        path = self.world.parent / "case"
        path.write_bytes(case)
        process = self.process
        assert process.stdin and process.stdout
        process.stdin.write((json.dumps({"target": target, "case": str(path)}) + "\n").encode())
        process.stdin.flush()
        before, since = self._cpu(), time.monotonic()
        limit = CPU_S + (START_S if started else 0)
        while not select.select([process.stdout], [], [], 0.5)[0]:
            spent = self._cpu() - before
            if spent > limit or time.monotonic() - since > WALL_S:
                self.stop()
                what = f"slow: over {CPU_S:g} s" if spent > limit else "hangs"
                return {"end": "find", "signature": f"{target} {what}", "trace": what, "new": 0}
        if answer := process.stdout.readline():
            return json.loads(answer) | {"seconds": self._cpu() - before}
        code = process.wait()
        self.stop()
        log = (self.world.parent / "worker.log").read_text("utf-8", "replace")[-2000:]
        return {"end": "find", "signature": f"{target} died ({code})", "trace": log, "new": 0}

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None

    def _start(self) -> subprocess.Popen:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"), "1")
        words = [sys.executable, "-m", "tests.fuzz.worker", str(self.world), str(MEMORY)]
        return subprocess.Popen(
            words, cwd=ROOT, env=os.environ | one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def _cpu(self) -> float:
        """Seconds of processor time of the worker so far; many more where it is gone."""
        assert self.process is not None
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
