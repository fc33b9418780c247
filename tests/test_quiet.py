"""Libraries keep their banners to themselves, and nothing else is held back."""

import os
import subprocess
import sys

import pytest

from autoreg.quiet import SETTINGS


def stderr_of(code, **env):
    clean = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean, **env},
    )
    return done.stderr


def test_the_users_own_settings_win():
    code = "import os, sys; from autoreg.quiet import *; quiet_libraries(); print(os.environ['OMP_WAIT_POLICY'], file=sys.stderr)"
    assert stderr_of(code) == "PASSIVE\n"
    assert stderr_of(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE\n"


def test_only_the_hushed_block_is_silent():
    code = (
        "import os; from autoreg.quiet import _hushed_stderr\n"
        "os.write(2, b'before ')\n"
        "with _hushed_stderr(): os.write(2, b'within ')\n"
        "os.write(2, b'after')"
    )
    assert stderr_of(code) == "before after"


def test_an_import_that_fails_says_everything():
    code = (
        "import os; from autoreg.quiet import _hushed_stderr\n"
        "with _hushed_stderr():\n"
        "    os.write(2, b'the cause\\n')\n"
        "    raise ImportError('broken')"
    )
    assert stderr_of(code).startswith("the cause\n")
    assert "ImportError: broken" in stderr_of(code)


@pytest.mark.slow
def test_tensorflow_is_imported_without_a_word():
    code = "from autoreg.quiet import quiet_libraries; quiet_libraries(); import keras, tensorflow as tf; tf.constant(1.0) + 1"
    assert stderr_of(code) == ""
    loud = code.replace("quiet_libraries();", "")
    assert stderr_of(loud, TF_CPP_MIN_LOG_LEVEL="0") != "", "TensorFlow is quiet by itself: remove the hush"
