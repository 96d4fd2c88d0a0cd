"""dbt in forks of a process that has read the project once: it starts in half the time.

The other half of a start is importing dbt and working out its own schemas. A fork finds
that done, reads the project anew, and runs what the command `dbt` runs.
"""

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Dbt:
    """Runs commands of dbt, one at a time; the process starts with the first."""

    def __init__(self):
        self.process = None

    def run(self, arguments, cwd, env):
        """Run `dbt ARGUMENTS` there; return its exit code and what it printed."""
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
            }
            print(json.dumps(command), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
            assert answer, "dbt's process has ended"
            return int(answer), output.read()


def execute(cli, arguments, cwd, env, output):
    """Be the command `dbt` from here on."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate((os.devnull, output, output)):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    code = 1
    try:
        cli(arguments, prog_name="dbt")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve():
    """Answer each command, a line of JSON, with the exit code of its fork."""
    from dbt.cli.main import cli, dbtRunner

    with tempfile.TemporaryDirectory() as folder:
        paths = (f"--target-path={folder}", f"--log-path={folder}")
        places = (f"--project-dir={ROOT}", f"--profiles-dir={ROOT}")
        # the static parser's threads would not outlive the fork
        command = ("--quiet", "--no-static-parser", "parse")
        read = dbtRunner().invoke([*command, *places, *paths])
        assert read.success, read.exception
    gc.freeze()  # no fork looks for garbage in what was read here
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if not child:
            execute(cli, **command)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
