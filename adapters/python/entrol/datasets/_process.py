"""The command `entrol score` as a long-lived process: a line of JSON in, its record out, so that a worker loads the
model once.

A process of Python has one for each command line, whoever asks; it ends with the process, since its pipe does.
"""

from __future__ import annotations

import atexit
import io
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from .._library import Error

SECONDS_TO_END = 5.0
MESSAGE_BYTES = 1 << 16  # as much of what the command says is kept for an exception
LINE = re.compile(r"^(?:stdin|standard input):(\d+): ")


class CommandError(Error, RuntimeError):
    """The command `entrol` could not be started, or failed. `row`: the row of the batch that it refused, or None;
    `exit_code`: as subprocess has it, None where it did not start."""

    def __init__(self, message: str, row: int | None = None, exit_code: int | None = None) -> None:
        super().__init__(message, row, exit_code)
        self.row, self.exit_code = row, exit_code

    def __str__(self) -> str:
        return str(self.args[0])


def path() -> str:
    """The command: what ENTROL names, else the one in the package. Error: CommandError."""
    found = os.environ.get("ENTROL") or _packaged()
    if found is None:
        raise CommandError(
            "the command entrol is not in this installation of the package: install it with the command "
            "(ENTROL_BUILD_COMMAND=ON), or name one in the environment variable ENTROL"
        )
    return found


def _packaged() -> str | None:
    try:
        from _entrol_command import command_path
    except ImportError:  # not installed: the sources alone
        return None
    return command_path()


class Process:
    """One `entrol score ... -`, fed a batch at a time, by whoever holds its lock."""

    def __init__(self, command: tuple[str, ...], version: tuple[int, ...] = ()) -> None:
        self.version = version
        self.lock = threading.Lock()
        self.is_open = True
        self._said = tempfile.TemporaryFile()  # standard error: a pipe would have to be read, too
        self._n_sent = 0
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0
            )
        except OSError as error:
            self._said.close()
            raise CommandError(f"cannot start {command[0]}: {error.strerror}") from error
        self._answers = io.BufferedReader(self._child.stdout, MESSAGE_BYTES)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        return not self.is_open or self._child.poll() is not None

    def answer(self, lines: Sequence[bytes], last: bytes | None = None) -> list[bytes]:
        """Sends lines, which end with newlines, while it reads the answers: one for each, or where some may have none,
        those before the one that begins with `last`. Error: CommandError, after which the process is no more, as after
        any other exception."""
        writer = threading.Thread(target=self._write, args=(b"".join(lines),), daemon=True)
        self._n_sent += len(lines)
        writer.start()
        answers: list[bytes] = []
        try:
            while last is not None or len(answers) < len(lines):
                answer = self._answers.readline()
                if not answer.endswith(b"\n"):
                    raise self._failure(self._n_sent - len(lines))
                if last is not None and answer.startswith(last):
                    break
                answers.append(answer)
            writer.join()
            return answers
        except BaseException:
            self._child.kill()
            writer.join(SECONDS_TO_END)
            self.close()
            raise

    def _write(self, text: bytes) -> None:
        left = memoryview(text)
        try:
            while left:
                left = left[os.write(self._child.stdin.fileno(), left) :]
        except OSError:  # it has ended, which its answers tell
            pass

    def _failure(self, n_before: int) -> CommandError:
        """Why there was no answer."""
        code = self._child.wait()
        if code < 0:
            return CommandError(f"the command entrol was ended by {signal.Signals(-code).name}", None, code)
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - MESSAGE_BYTES))
        said = self._said.read().decode(errors="replace").splitlines()
        errors = [line for line in said if line.startswith("entrol: ") and not line.startswith("entrol: warning: ")]
        message = (errors or said or ["it said nothing"])[-1].removeprefix("entrol: ")
        place = LINE.match(message)
        if place is None:
            return CommandError(f"entrol: {message}", None, code)
        row = int(place[1]) - 1 - n_before
        return CommandError(f"row {row} of the batch: {message[place.end() :]}", row, code)

    def close(self) -> None:
        """Lets it end, or ends it."""
        self.forget()
        try:
            self._child.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def forget(self) -> None:
        """Lets go of the pipes."""
        self.is_open = False
        self._child.stdin.close()
        self._answers.close()
        self._said.close()

    def leave(self) -> None:
        """In the child of a fork, lets go of the pipes without a look at locks: another thread, which the child does
        not have, may have held one for as long as it waited for an answer."""
        self.is_open = False
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (self._child.stdin, self._child.stdout):
            os.dup2(nothing, file.fileno(), inheritable=False)
        os.close(nothing)

    def end(self) -> None:
        """At once: it has nothing to save."""
        self._child.kill()
        self._child.wait()


_running: dict[tuple[str, ...], Process] = {}
_lock = threading.Lock()


def _process_of(command: tuple[str, ...], version: tuple[int, ...]) -> Process:
    """This process's own, started where there is none that runs. One of another version ends by itself, once nobody
    has it any more."""
    with _lock:
        process = _running.get(command)
        if process is None or process.has_ended or process.version != version:
            process = _running[command] = Process(command, version)
        return process


def answers(
    command: tuple[str, ...], lines: Sequence[bytes], last: bytes | None = None, version: tuple[int, ...] = ()
) -> list[bytes]:
    """Process.answer of the process of that command line. version: of the files that it has read."""
    while True:
        process = _process_of(command, version)
        with process.lock:
            if process.is_open:  # another thread may have closed it
                return process.answer(lines, last)


def close(command: tuple[str, ...]) -> None:
    """Ends the process of a command line, once nobody waits for it."""
    with _lock:
        process = _running.pop(command, None)
    if process is not None:
        with process.lock:
            if process.is_open:
                process.close()


def _end_all() -> None:
    for process in _running.values():
        process.end()


def _after_fork() -> None:
    """The parent's processes are not the child's, which would keep their pipes open."""
    global _lock
    _lock = threading.Lock()
    for process in _running.values():
        if process.is_open:
            process.leave()
    _running.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_after_fork)
