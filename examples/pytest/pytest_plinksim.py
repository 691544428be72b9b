"""Labs of plinksim as fixtures of pytest. Copy this file beside your tests, and write

    pytest_plugins = ["pytest_plinksim"]

in conftest.py. A test that names the fixture plinksim_lab has a lab of its own, of the file
in its marker, beside the test:

    @pytest.mark.topology("shop.yaml")
    def test_the_shop_reaches_its_database(plinksim_lab):
        plinksim_lab.accept("data", "ep")
        assert plinksim_lab.get("web", "http://ep/") == "hello\\n"

The variable PLINKSIM is the program, with what goes before it: PLINKSIM="sudo bin/plinksim".
A test that fails shows what has dropped packets, and leaves capture.pcapng, status.json,
sessions.json, events.txt and explain.txt in its directory below --plinksim-artifacts.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import time

import pytest


class PlinksimError(AssertionError):
    """A command of plinksim failed; the text is what it said."""


class Lab:
    """A lab that runs for one test. Its methods raise PlinksimError where plinksim refuses."""

    def __init__(self, state, artifacts):
        self._state, self._artifacts = state, artifacts
        self._started = []

    def _up(self, topology):
        self.run("up", str(topology))
        self._artifacts.mkdir(parents=True, exist_ok=True)
        capture = self.start("capture", "-w", str(self._artifacts / "capture.pcapng"))
        while b"capturing" not in (line := capture.stderr.readline()):
            if not line:
                raise PlinksimError("plinksim capture ended")

    def _argv(self, *args):
        # sudo does not hand on variables: env does.
        program = shlex.split(os.environ.get("PLINKSIM", "plinksim"))
        return program[:-1] + ["env", f"PLINKSIM_STATE_DIR={self._state}", program[-1], *args]

    def run(self, *args, check=True, timeout=60):
        """Any command of plinksim. The result is a subprocess.CompletedProcess with text."""
        done = subprocess.run(self._argv(*args), capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise PlinksimError(f"plinksim {shlex.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def start(self, *args):
        """A command of plinksim that goes on; it is ended with the test."""
        process = subprocess.Popen(self._argv(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._started.append(process)
        return process

    def json(self, *args):
        """What a command of plinksim prints with -o json."""
        return json.loads(self.run(*args, "-o", "json").stdout)

    def accept(self, service, endpoint):
        """Let an endpoint connect, and wait until it is connected."""
        self.run("accept", service, endpoint)

    def reject(self, service, endpoint):
        """End the connection of an endpoint."""
        self.run("reject", service, endpoint)

    def name(self, reference):
        """The domain name or the address that ep, ep@zone or ep.ip stands for."""
        return self.run("name", reference).stdout.strip()

    def exec(self, instance, *argv, check=True, timeout=60):
        """Run a program of this machine on an instance."""
        return self.run("exec", instance, "--", *argv, check=check, timeout=timeout)

    def get(self, instance, url, timeout=5):
        """The body of a page, asked for on an instance. The host may be a reference."""
        scheme, host, rest = re.fullmatch(r"(\w+://)([^/:]+)(.*)", url).groups()
        known = self.run("name", host, check=False)
        if known.returncode == 0:
            host = known.stdout.strip()
        answer = self.exec(instance, "curl", "-sSf", "-m", str(timeout), scheme + host + rest, check=False)
        if answer.returncode != 0:
            raise PlinksimError(f"{instance} cannot get {url}: {answer.stderr.strip()}\n{self.drops()}")
        return answer.stdout

    def explain(self, instance, place):
        """What becomes of the first packet from an instance to a place, for example ep:80."""
        done = self.run("explain", instance, place, "-o", "json", check=False)
        return json.loads(done.stdout)

    def status(self):
        """All that there is to know, as "plinksim status -o json" prints it."""
        return self.json("status")

    def drops(self):
        """What has kept packets from passing."""
        verdicts = {v: n for v, n in self.status()["data_plane"]["verdicts"].items() if n and v not in ("Forwarded", "Held")}
        if not verdicts:
            return "nothing has dropped a packet"
        return "packets were dropped by: " + ", ".join(f"{v} {n}" for v, n in sorted(verdicts.items()))

    @contextlib.contextmanager
    def fail(self, reference):
        """Let an interface, an endpoint, a load balancer or a zone fail, inside of a with block."""
        self.run("fault", "down", reference)
        try:
            yield
        finally:
            self.run("fault", "up", reference)

    @contextlib.contextmanager
    def impair(self, endpoint, **values):
        """Degrade the connection of an endpoint: impair("ep", delay="40ms", loss="1%")."""
        self.run("fault", "set", endpoint, *(f"--{key}={value}" for key, value in values.items()))
        try:
            yield
        finally:
            self.run("fault", "clear", endpoint)

    def eventually(self, what, within=10):
        """Try until what() neither raises AssertionError nor returns False."""
        deadline = time.monotonic() + within
        while True:
            try:
                if (result := what()) is not False:
                    return result
                error = None
            except AssertionError as e:
                error = e
            if time.monotonic() > deadline:
                raise PlinksimError(f"not within {within} s: {error}\n{self.drops()}")
            time.sleep(0.05)

    def _keep(self):
        status = self.status()
        (self._artifacts / "status.json").write_text(json.dumps(status, indent=2))
        (self._artifacts / "sessions.json").write_text(self.run("sessions", "-o", "json").stdout)
        (self._artifacts / "events.txt").write_text(self.run("events").stdout)
        texts = []
        for vpc in status["vpcs"]:
            for instance in vpc["instances"]:
                for endpoint in status["endpoints"]:
                    if endpoint["vpc"] == vpc["name"]:
                        said = self.run("explain", f'{vpc["name"]}/{instance["name"]}', endpoint["name"], check=False)
                        texts.append(said.stdout + said.stderr)
        (self._artifacts / "explain.txt").write_text("\n".join(texts))
        return self.drops() + "".join("\n" + text for text in texts)

    def _down(self):
        self.run("down", check=False)
        for process in self._started:
            # They end when the lab does.
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def pytest_addoption(parser):
    parser.addoption("--plinksim-artifacts", default="plinksim-artifacts",
                     help="where tests that fail leave what happened in their labs")


def pytest_configure(config):
    config.addinivalue_line("markers", "topology(file): the topology of the fixture plinksim_lab, beside the test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    lab = getattr(item, "plinksim_lab", None)
    if lab is not None and report.when == "call" and report.failed:
        item.plinksim_failed = True
        report.sections.append(("plinksim", f"{lab._keep()}\nwhat happened is in {lab._artifacts}"))


@pytest.fixture
def plinksim_lab(request):
    """A lab of its own for a test, which is removed when the test ends."""
    marker = request.node.get_closest_marker("topology")
    if marker is None:
        pytest.fail("plinksim_lab needs the marker @pytest.mark.topology(FILE)")
    topology = request.path.parent / marker.args[0]
    artifacts = pathlib.Path(request.config.getoption("--plinksim-artifacts")).absolute()
    artifacts /= re.sub(r"[^\w.-]+", "_", request.node.nodeid)
    with tempfile.TemporaryDirectory(prefix="plinksim") as state:  # a socket's path must be short
        lab = Lab(os.path.join(state, "run"), artifacts)
        try:
            lab._up(topology)
            request.node.plinksim_lab = lab
            yield lab
        finally:
            lab._down()
            if not getattr(request.node, "plinksim_failed", False):
                shutil.rmtree(artifacts, ignore_errors=True)
            with contextlib.suppress(OSError):  # it is not empty, or not there
                artifacts.parent.rmdir()
