"""Who is told of a retune: real commands and a real socket."""

import json
import shlex
import socket
import sys
import threading

import pytest

from autoreg.notice import give_notice

RECORD = {"status": "kept", "key": "a"}


class Listener:
    """Answers one connection with what it is given."""

    def __init__(self, server):
        self.server, self.parts, self.heard, self.done = server, (), b"", threading.Event()
        self.url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        connection, _ = self.server.accept()
        with connection:
            while json.dumps(RECORD).encode() not in self.heard:
                self.heard += connection.recv(4096)
            for part in self.parts:
                connection.sendall(part)
                if self.done.wait(0.1):
                    return

    def answers(self, *parts):
        self.parts = parts
        self.thread.start()

    def ended(self):
        self.done.set()
        self.thread.join(10)
        return self.heard


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Listener(server)


def test_a_url_gets_the_record(listener):
    listener.answers(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert give_notice(listener.url, RECORD) == []
    heard = listener.ended()
    assert heard.startswith(b"POST /hook")
    assert json.loads(heard.partition(b"\r\n\r\n")[2]) == RECORD


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"HTTP/1.1 500 Oh\r\n\r\n", "HTTP Error 500"), (b"no such thing\r\n\r\n", "could not be told")],
)
def test_a_url_that_does_not_take_it(listener, answer, words):
    listener.answers(answer)
    assert words in give_notice(listener.url, RECORD)[0]
    listener.ended()


def test_a_url_that_never_ends_its_answer(listener):
    listener.answers(b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n"] * 40))
    assert "no answer within 0.5 s" in give_notice(listener.url, RECORD, 0.5)[0]
    listener.ended()


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "could not be told" in give_notice(f"http://127.0.0.1:{port}", RECORD)[0]


def test_a_command_gets_the_record(tmp_path):
    assert give_notice(f"tee {shlex.quote(str(tmp_path / 'a b'))}", RECORD) == []
    assert json.loads((tmp_path / "a b").read_text()) == RECORD


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-command-here", "could not be told"),
        ("sh -c 'exit 3'", "exit code 3"),
        ("'unclosed", "could not be told"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "did not end within 0.5 s"),
    ],
)
def test_a_command_that_does_not_take_it(command, words):
    assert words in give_notice(command, RECORD, 0.5)[0]


def test_nothing_to_tell_to():
    assert give_notice(" ", RECORD) == []


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("http://u:s3cret@127.0.0.1:9/hooks/s3cret?x=s3cret", "'http://127.0.0.1:9/...'"),
        ("http://u:a/s3cret@127.0.0.1:9/", "'http://127.0.0.1:9/...'"),
        ("http://127.0.0.1:9", "'http://127.0.0.1:9'"),
        ("http://127.0.0.1:9/s3cret with blanks", "'http://127.0.0.1:9/...'"),
        ("false --token s3cret", "'false ...'"),
        ("no-such-program s3cret", "'no-such-program ...'"),
        ("false 's3cret", "'false ...'"),
    ],
)
def test_a_warning_does_not_repeat_a_secret(place, shown):
    (warning,) = give_notice(place, RECORD)
    assert shown in warning
    assert "s3cret" not in warning
