"""dbt in forks of a process that has read the project once: it starts in half the time.

The other half of a start is importing dbt and working out its own schemas. A fork
finds that done, and what scripts/quick_dbt.py keeps, reads the project anew, and runs
what the command `dbt` runs. A command that `knows` the project takes it as it was read
here, with its default variables.
"""

import atexit
import gc
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from quick_dbt import hurry, prepare  # noqa: E402


class Dbt:
    """Runs commands of dbt, one at a time; the process starts with the first."""

    def __init__(self):
        self.process = None
        self.processor_seconds = 0.0  # that the last command took

    def run(self, arguments, cwd, env, dies=None, knows=False, script=None):
        """Run `dbt ARGUMENTS` there; return its exit code and what it printed.

        Or a script of the project with these arguments.

        It `knows` the project if that is a copy of this one, and no variable that it is
        given decides which models, inputs or tests there are.
        With dies = (pattern, n, after) it is killed before or after the n-th statement
        that the regular expression finds.
        """
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            atexit.register(self.process.stdin.close)
        with tempfile.NamedTemporaryFile("r", prefix="dbt_") as output:
            command = {
                "arguments": [str(part) for part in arguments],
                "cwd": str(cwd),
                "env": env,
                "output": output.name,
                "dies": dies,
                "knows": knows,
                "script": script,
            }
            print(json.dumps(command), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
            assert answer, "dbt's process has ended"
            code, seconds = answer.split()
            self.processor_seconds = float(seconds)
            return int(code), output.read()


def die_at(pattern, number, after):
    """Kill this process at a statement that it sends, as a machine that stops does."""
    from dbt.adapters.bigquery import BigQueryConnectionManager
    from dbt.adapters.sql import SQLConnectionManager

    found = []

    def watched(plain):
        def send(self, sql, *arguments, **options):
            is_it = re.search(pattern, sql, re.IGNORECASE) is not None
            found.extend([sql] * is_it)
            if is_it and len(found) == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = plain(self, sql, *arguments, **options)
            if is_it and len(found) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return send

    for manager, name in (
        (SQLConnectionManager, "add_query"),
        (BigQueryConnectionManager, "execute"),
    ):
        setattr(manager, name, watched(getattr(manager, name)))


def execute(main, manifest, arguments, cwd, env, output, dies, knows, script):
    """Be the command `dbt`, or a script, from here on."""
    if dies:
        die_at(*dies)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate((os.devnull, output, output)):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    code = 1
    try:
        if script:
            sys.argv, code = [script, *arguments], 0
            runpy.run_path(script, run_name="__main__")
        elif knows:
            code = int(not main.dbtRunner(manifest).invoke(arguments).success)
        else:
            main.cli(arguments, prog_name="dbt")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            close_warehouse()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def close_warehouse():
    """Have DuckDB write its log into the file, which every reader would replay."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    if DuckDBConnectionManager._ENV:
        DuckDBConnectionManager._ENV.close()


def serve():
    """Answer each command, a line of JSON, with the exit code of its fork."""
    from dbt.cli import main

    hurry()
    with tempfile.TemporaryDirectory() as folder:
        paths = (f"--target-path={folder}", f"--log-path={folder}")
        places = (f"--project-dir={ROOT}", f"--profiles-dir={ROOT}")
        # the static parser's threads would not outlive the fork
        command = ("--quiet", "--no-static-parser", "parse")
        read = main.dbtRunner().invoke([*command, *places, *paths])
        assert read.success, read.exception
    prepare(read.result)
    gc.freeze()  # no fork looks for garbage in what was read here
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if not child:
            execute(main, read.result, **command)
        _, status, used = os.wait4(child, 0)
        seconds = used.ru_utime + used.ru_stime
        print(os.waitstatus_to_exitcode(status), seconds, flush=True)


if __name__ == "__main__":
    serve()
