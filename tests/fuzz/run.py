"""Fuzz the readers of user files, guided by coverage: run.py SECONDS [TARGET ...].

Needs ``pip install atheris``. The targets share the time equally, each in processes of its own;
after a find the next process continues. Finds are written to the folder that is printed, one file
each. Once one is fixed, copy it to ``corpus/TARGET-WHAT``, which tests/fuzz/test_fuzz.py replays.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
LIMITS = ["-timeout=20", "-rss_limit_mb=4000", "-max_len=60000"]


def fuzz(name, arguments):
    """In a child process: never returns."""
    import atheris

    with atheris.instrument_imports(include=["keras_temporal_reg", "PIL"]):
        sys.path.insert(0, str(HERE))
        import targets

    folder = pathlib.Path(tempfile.mkdtemp(prefix="ktr-fuzz-"))
    atheris.Setup(
        [f"fuzz-{name}", *arguments], lambda content: targets.check(name, content, folder)
    )
    atheris.Fuzz()


def main(seconds, names):
    sys.path.insert(0, str(HERE))
    import targets

    found = pathlib.Path(tempfile.mkdtemp(prefix="ktr-finds-"))
    print(f"finds go to {found}", flush=True)
    names = names or [*targets.SEEDS]
    for name in names:
        corpus = found / f"corpus-{name}"
        corpus.mkdir()
        for number, content in enumerate(targets.SEEDS[name]()):
            (corpus / f"seed{number}").write_bytes(content)
        end, runs = time.time() + seconds / len(names), 0
        while time.time() < end - 1:
            log = found / f"{name}.{len([*found.glob(f'{name}.*')])}.log"
            command = [sys.executable, __file__, "--child", name, str(corpus), *LIMITS]
            command += [
                f"-artifact_prefix={found}/{name}-",
                f"-max_total_time={end - time.time():.0f}",
            ]
            with log.open("wb") as out:
                subprocess.run(command, stdout=out, stderr=out, check=False)
            executed = re.findall(r"^#(\d+)\t", log.read_text(errors="replace"), re.MULTILINE)
            runs += int(executed[-1]) if executed else 0
        finds = sorted(p.name for p in found.glob(f"{name}-*"))
        print(f"{name}: {runs} inputs, {len(finds)} finds {finds}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        main(float(sys.argv[1]), sys.argv[2:])
