"""Processes for tests, forked from this one: they start at once, TensorFlow already imported."""

import os
import sys
import traceback


def forked(function):
    """Call `function`, which must not run TensorFlow, in a process of its own; its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return number


def exit_code(number):
    """Wait for a process; its exit code, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
