"""What a process of ``ktr`` imports and prints at its start, in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from keras_temporal_reg.core import startup


def run(script, **environment):
    environment = {k: v for k, v in {**os.environ, **environment}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


@pytest.mark.parametrize(
    ("argv", "orig_argv"),
    [
        (["/usr/bin/ktr", "--help"], ["python", "/usr/bin/ktr", "--help"]),
        ([r"C:\Python\Scripts\ktr.exe"], ["python.exe", r"C:\Python\Scripts\ktr.exe"]),
        ([r"C:\Python\Scripts\ktr-script.py"], ["python.exe", "ktr-script.py"]),
        (["-m", "demo"], ["python", "-m", "keras_temporal_reg", "demo"]),
        (["-m"], ["python", "-X", "importtime", "-mkeras_temporal_reg"]),
        (["-m", "--help"], ["python", "-Im", "keras_temporal_reg", "--help"]),
    ],
)
def test_the_command_is_recognised(argv, orig_argv):
    assert startup.is_command(argv, orig_argv)


@pytest.mark.parametrize(
    ("argv", "orig_argv"),
    [
        ([], ["python"]),
        ([""], ["python"]),
        (["-c"], ["python", "-c", "import keras_temporal_reg"]),
        (["train.py"], ["python", "train.py"]),
        (["ktr.py"], ["python", "ktr.py"]),
        (["/home/me/ktr/train.py"], ["python", "/home/me/ktr/train.py"]),
        (["-m", "keras_temporal_reg"], ["python", "-m", "trainer", "keras_temporal_reg"]),
        (["-m", "-q"], ["python", "-m", "pytest", "-q"]),
    ],
)
def test_a_program_of_the_user_is_not_the_command(argv, orig_argv):
    assert not startup.is_command(argv, orig_argv)


TENSORFLOW_2_21 = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795638828.816683   13971 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
I0000 00:00:1795638829.385475   13971 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.
I0000 00:00:1795638829.385475   13971 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results due to floating-point round-off errors from different computation orders. To turn them off, set the environment variable `TF_ENABLE_ONEDNN_OPTS=0`.
E0000 00:00:1795638837.119627   13971 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)
"""  # noqa: E501
TENSORFLOW_2_15 = """\
2026-11-25 20:36:59.744719: E external/local_xla/xla/stream_executor/cuda/cuda_dnn.cc:9261] Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN when one has already been registered
2026-11-25 20:37:16.042954: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could not find TensorRT
"""  # noqa: E501
ERRORS = """\
E0000 00:00:1795638837.119627   13971 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: driver versions differ
F0000 00:00:1795638837.119627   13971 cpu_feature_guard.cc:60] The TensorFlow library was compiled to use AVX instructions, but these aren't available on your machine.
Fatal Python error: Aborted
"""  # noqa: E501
WRITES = f"""
    import os, sys
    from keras_temporal_reg.core import startup
    with startup.quiet_tensorflow():
        os.write(2, {TENSORFLOW_2_21.encode()})
        os.write(2, {TENSORFLOW_2_15.encode()})
        os.write(2, {ERRORS.encode()})
        print("from Python", file=sys.stderr)
        BLOCK
"""


@pytest.fixture
def without_tensorflow(tmp_path):
    """A folder for PYTHONPATH whose `tensorflow` cannot be imported."""
    message = "ImportError('no tensorflow for this processor')"
    (tmp_path / "tensorflow.py").write_text(f"raise {message}\n")
    return str(tmp_path)


def errors_of(block, folder, level=None):
    script = textwrap.dedent(WRITES).replace("BLOCK", block)
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    return run(
        "import sys; sys.argv = ['ktr']\n" + script, PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL=level
    )


def lines(text):
    return sorted(text.splitlines())


def test_start_up_lines_are_left_out_and_errors_shown(without_tensorflow):
    done = errors_of("pass", without_tensorflow)
    assert done.returncode == 0
    assert lines(done.stderr) == lines(ERRORS + "from Python\n")


def test_errors_are_shown_where_the_import_fails(without_tensorflow):
    done = errors_of("import tensorflow", without_tensorflow)
    assert done.returncode == 1
    *shown, last = done.stderr.splitlines()
    assert last == "ImportError: no tensorflow for this processor"
    assert {*ERRORS.splitlines(), "from Python"} <= {*shown}
    assert not {*TENSORFLOW_2_21.splitlines()} & {*shown}


def test_errors_are_shown_where_the_process_aborts(without_tensorflow):
    done = errors_of("os.abort()", without_tensorflow)
    assert done.returncode != 0
    assert lines(done.stderr) == lines(ERRORS + "from Python\n")


GOES_ON = """
import subprocess, sys
from keras_temporal_reg.core import startup
with startup.quiet_tensorflow():
    child = [sys.executable, "-c", "import time; time.sleep(1000)"]
    print(subprocess.Popen(child, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid)
"""


def test_a_child_process_that_goes_on_is_not_waited_for():
    command = [sys.executable, "-c", "import sys; sys.argv = ['ktr']" + GOES_ON]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300
    )
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.returncode == 0


def test_a_user_who_asks_for_the_log_gets_all_of_it(without_tensorflow):
    done = errors_of("pass", without_tensorflow, level="0")
    assert lines(done.stderr) == lines(TENSORFLOW_2_21 + TENSORFLOW_2_15 + ERRORS + "from Python\n")


OWN_TASK = r"""
import os
import tensorflow as tf
from keras_temporal_reg.tasks import restoration as own

assert float(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(1.0))) == 2.0
os.write(2, b"E0000 a real error\n")
"""


@pytest.mark.slow
def test_a_real_command_prints_none_of_the_lines(tmp_path):
    """It imports TensorFlow, starts its devices and compiles by XLA."""
    (tmp_path / "my_task.py").write_text(OWN_TASK)
    program = "import sys; sys.argv[0] = 'ktr'; from keras_temporal_reg import cli;"
    arguments = ["process", "none.keras", "none.mp4", "out.mp4", "--task", "my_task.own"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program} sys.exit(cli.main())", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 1
    shown = done.stderr.splitlines()
    assert len(shown) == 2 and "E0000 a real error" in shown
    assert any(line.startswith("ktr: error: ") and "none.mp4" in line for line in shown)
