"""One process that runs cases, told on stdin and answered on a pipe: killed and replaced by tests.fuzz.pool when it hangs.

python -m tests.fuzz.worker WORLD MEMORY_BYTES
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType

ROOT = str(Path(__file__).parents[2])
OURS = tuple(f"{ROOT}/{room}/" for room in ("analysis", "features", "figures", "finetune", "heads", "paper", "probe"))


class Coverage:
    """Lines of our own code that were reached, by sys.settrace: slow, but everywhere."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int]] = set()

    def __enter__(self) -> "Coverage":
        self.before = len(self.seen)
        threading.settrace(self._call)
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.new = len(self.seen) - self.before

    def _call(self, frame: FrameType, event: str, argument: object):
        return self._line if frame.f_code.co_filename.startswith(OURS) else None

    def _line(self, frame: FrameType, event: str, argument: object):
        if event == "line":
            self.seen.add((frame.f_code, frame.f_lineno))
        return self._line


def limit_memory(size: int) -> None:
    """`size` bytes more than what is mapped by now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def signature(error: BaseException) -> str:
    """What tells one fault from another: the kind of exception and the last line of ours that it went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith((*OURS, f"{ROOT}/tests/"))]
    last = next((f for f in reversed(frames) if f.filename.startswith(OURS)), frames[-1] if frames else None)
    place = f"{Path(last.filename).relative_to(ROOT)}:{last.name}:{last.lineno}" if last else "nowhere"
    what = str(error).split("\n")[0][:60] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} at {place} {what}".strip()


def run(name: str, case: bytes, world: Path) -> dict:
    """{"end": passed, refused or find; "signature", "trace"}."""
    from birdprobe.features import InputError
    from tests.fuzz.targets import TARGETS

    folder = Path(tempfile.mkdtemp(prefix="case-", dir=world.parent))
    try:
        TARGETS[name].run(case, world, folder)
        return {"end": "passed"}
    except InputError as error:
        if "\n" in str(error) or not str(error):
            return {"end": "find", "signature": "not one line", "trace": str(error)}
        return {"end": "refused"}
    except BaseException as error:
        return {"end": "find", "signature": signature(error), "trace": traceback.format_exc()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    world, memory = Path(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    quiet = os.open(world.parent / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    warnings.simplefilter("ignore")
    import torch

    for room in ("finetune.predictor", "heads.training.train", "probe.sweep.sweep"):
        import_module(f"birdprobe.{room}")  # before the limit of memory is set

    torch.set_num_threads(1)
    limit_memory(memory)
    coverage = Coverage()
    for line in sys.stdin:
        asked = json.loads(line)
        os.ftruncate(quiet, 0)
        with coverage:
            found = run(asked["target"], Path(asked["case"]).read_bytes(), world)
        answers.write(json.dumps(found | {"new": coverage.new, "lines": len(coverage.seen)}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
