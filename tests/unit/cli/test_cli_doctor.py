"""``rfuav doctor``: each check finds what is wrong and says what to do. Probes are small functions that say what a machine would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.gpu_driver import DriverReading, GpuReading
from actors.presence import own_presence
from cluster.cli import app
from cluster.commands import machine_checks, software_checks
from cluster.commands.findings import Verdict
from cluster.commands.software_checks import ChildEnd
from cluster.haproxy import HaproxyMissingError
from cluster.ports import can_listen
from cluster.run_record import NodeRecord, write_node

GIB = 1 << 30
CUDA_REPORT = {"torch": "2.13.0", "torchvision": "0.28.0", "cuda": "13.0", "gpus": [""]}
ONE_GPU = DriverReading("13.0", (GpuReading(0, "Some GPU", "9.0", 24 * GIB, 0, 0, 0.0, 0.0, ()),))


def ended(**changes):
    return ChildEnd(0, json.dumps(CUDA_REPORT | changes), "")


def assert_found(finding, verdict, *words):
    assert finding.verdict is verdict, finding
    assert all(word in f"{finding.message} {finding.remedy}" for word in words), finding
    assert bool(finding.remedy) == (verdict is not Verdict.OK)


class TestSoftware:
    def test_an_old_python_fails(self):
        assert_found(software_checks.check_python((3, 10, 4)), Verdict.FAIL, "3.10.4", "3.11")
        assert_found(software_checks.check_python((3, 11, 0)), Verdict.OK)

    def test_packages_are_compared_with_the_lock(self):
        lock = "# comment\nray==2.58.0\ntorch==2.13.0\n"
        assert_found(software_checks.check_packages(lock, {"ray": "2.58.0", "torch": "2.13.0+cpu"}.get), Verdict.OK, "2 packages")
        assert_found(
            software_checks.check_packages(lock, {"ray": "2.57.0", "torch": "2.13.0"}.get),
            Verdict.WARN,
            "ray 2.57.0 instead of 2.58.0",
        )
        assert_found(software_checks.check_packages(lock, {"torch": "2.13.0"}.get), Verdict.FAIL, "ray is missing", "make setup")

    def test_a_torch_that_cannot_be_imported_is_a_finding(self):
        broken = ChildEnd(1, "", "Traceback\nOSError: libcudart.so.13: cannot open shared object file")
        assert_found(software_checks.check_torch(broken), Verdict.FAIL, "libcudart.so.13", "make setup")
        assert_found(software_checks.check_torch(ChildEnd(0, "nonsense", "")), Verdict.FAIL, "cannot be imported")
        assert_found(software_checks.check_torch(ended(cuda=None)), Verdict.OK, "CPU only")
        assert_found(software_checks.check_torch(ended()), Verdict.OK, "CUDA 13.0")

    def test_without_a_gpu_the_cpu_computes(self):
        (finding,) = software_checks.check_gpus(DriverReading(), ended(cuda=None, gpus=[]))
        assert_found(finding, Verdict.WARN, "simulate-gpus")

    @pytest.mark.parametrize(
        ("report", "verdict", "words"),
        [
            (ended(), Verdict.OK, "computes on it"),
            (ended(cuda=None, gpus=[]), Verdict.FAIL, "CPU only"),
            (ended(gpus=[]), Verdict.FAIL, "does not see it"),
            (ended(gpus=["CUDA error: no kernel image"]), Verdict.FAIL, "no kernel image"),
            (ChildEnd(1, "", "broken"), Verdict.FAIL, "CPU only"),
        ],
    )
    def test_a_gpu_that_torch_cannot_use_fails(self, report, verdict, words):
        (finding,) = software_checks.check_gpus(ONE_GPU, report)
        assert_found(finding, verdict, words)

    def test_torch_is_tried_in_a_child(self):
        report = software_checks.try_torch()
        assert report.code == 0 or report.stderr
        assert "torch" not in sys.modules or report.stdout != ""


class TestMachine:
    def test_a_port_of_another_program_fails(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            finding = machine_checks.check_http_port("127.0.0.1", port, is_ours=False, can_listen=can_listen)
            assert_found(finding, Verdict.FAIL, str(port), "--port")
            assert_found(machine_checks.check_http_port("127.0.0.1", port, is_ours=True, can_listen=can_listen), Verdict.OK)

    def test_rays_ports_are_looked_at(self):
        def only(*busy):
            return lambda _host, port: port not in busy

        def verdicts(listen, **kwargs):
            return [each.verdict for each in machine_checks.check_ray_ports(8000, is_ours=False, can_listen=listen, **kwargs)]

        assert verdicts(only()) == [Verdict.OK]
        assert verdicts(only(8001)) == [Verdict.WARN]
        assert verdicts(only(0)) == [Verdict.FAIL]
        assert verdicts(only(6379)) == [Verdict.OK, Verdict.OK]

    @pytest.mark.parametrize(("free", "verdict"), [(0.5, Verdict.FAIL), (3, Verdict.WARN), (50, Verdict.OK)])
    def test_room_on_the_disk_is_judged(self, tmp_path, free, verdict):
        finding = machine_checks.check_disk("state disk", tmp_path / "not/yet", lambda _: int(free * GIB))
        assert_found(finding, verdict, f"{free:.1f} GB")

    def test_a_disk_that_does_not_answer_fails(self, tmp_path):
        def refuse(_):
            raise OSError(5, "Input/output error")

        assert_found(machine_checks.check_disk("state disk", tmp_path, refuse), Verdict.FAIL, "Input/output error")

    @pytest.mark.parametrize(
        ("sizes", "verdict"),
        [((64 << 20, 64 << 20), Verdict.FAIL), ((GIB // 2, GIB // 2), Verdict.WARN), ((8 * GIB, GIB), Verdict.OK)],
    )
    def test_shared_memory_is_judged(self, sizes, verdict):
        assert_found(machine_checks.check_shared_memory(lambda: sizes), verdict, "/dev/shm")

    @pytest.mark.parametrize(
        ("limits", "verdict"), [((256, 256), Verdict.FAIL), ((1024, 4096), Verdict.WARN), ((1024, 65536), Verdict.OK)]
    )
    def test_the_limit_of_open_files_is_judged(self, limits, verdict):
        assert_found(machine_checks.check_open_files(lambda: limits), verdict, str(limits[0]))

    def test_the_state_folder_must_be_writable_and_is_nobody_elses(self, tmp_path):
        assert_found(machine_checks.check_state_dir(tmp_path / "new"), Verdict.OK, "will be made")
        (tmp_path / "file").touch()
        assert_found(machine_checks.check_state_dir(tmp_path / "file"), Verdict.FAIL, "no folder")
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        assert_found(machine_checks.check_state_dir(tmp_path / "open"), Verdict.WARN, "chmod")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_of_somebody_else_fails(self, tmp_path):
        (tmp_path / "shut").mkdir(mode=0o500)
        assert_found(machine_checks.check_state_dir(tmp_path / "shut" / "x"), Verdict.FAIL, "--state-dir")
        assert next(machine_checks.check_data_roots([tmp_path / "shut"])).verdict is Verdict.WARN

    def test_data_roots_must_be_there(self, tmp_path):
        good, bad = machine_checks.check_data_roots([tmp_path, tmp_path / "gone"])
        assert_found(good, Verdict.OK)
        assert_found(bad, Verdict.FAIL, "gone", "--data-root")

    def test_leftovers_are_named(self, tmp_path):
        clean = machine_checks.check_leftovers(tmp_path, has_record=False, processes=0, temp_dir=tmp_path / "none")
        assert_found(clean, Verdict.OK)
        left = machine_checks.check_leftovers(tmp_path, has_record=True, processes=3, temp_dir=tmp_path)
        assert_found(left, Verdict.WARN, "3 processes", "its record", "rfuav down --state-dir")

    @pytest.mark.parametrize(
        ("state", "verdict"),
        [
            ("down", Verdict.OK),
            ("healthy", Verdict.OK),
            ("joined", Verdict.OK),
            ("starting", Verdict.WARN),
            ("degraded", Verdict.WARN),
            ("unreachable", Verdict.FAIL),
        ],
    )
    def test_a_service_that_is_up_must_answer(self, state, verdict):
        assert_found(machine_checks.check_service(state, "http://127.0.0.1:8000/", "why"), verdict)

    def test_haproxy_must_run(self):
        def refuse():
            raise HaproxyMissingError("nodes: 'several' needs HAProxy; install it")

        assert_found(machine_checks.check_haproxy(lambda: Path("/usr/sbin/haproxy")), Verdict.OK, "/usr/sbin/haproxy")
        assert_found(machine_checks.check_haproxy(refuse), Verdict.FAIL, "install it", "--nodes several")


class TestCommand:
    @pytest.fixture(autouse=True)
    def _torch_is_quick(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(software_checks, "try_torch", lambda: ended(cuda=None, gpus=[]))

    def run(self, *args):
        return CliRunner().invoke(app, ["doctor", *map(str, args)], env={"PORT": "28123"})

    def test_each_finding_is_a_line_and_a_remedy_stands_below(self):
        result = self.run()
        lines = result.output.splitlines()
        assert all(line.split()[0] in ("ok", "warn", "fail", "->") for line in lines)
        checks = {line.split(maxsplit=1)[1].partition(":")[0] for line in lines if not line.lstrip().startswith("->")}
        expected = {"python", "packages", "torch", "gpu", "http port", "ray ports", "state disk", "temp disk", "shared memory"}
        assert expected | {"open files", "state folder", "data root", "leftovers", "service"} <= checks
        assert "\x1b" not in result.output

    def test_the_exit_code_says_whether_something_fails(self, tmp_path):
        body = json.loads(self.run("--data-root", tmp_path / "gone", "--json").output)
        assert body["ok"] is False
        assert {"check": "data root", "verdict": "fail"}.items() <= next(
            each for each in body["findings"] if each["check"] == "data root"
        ).items()
        assert self.run("--data-root", tmp_path / "gone").exit_code == 1

    def test_a_joined_node_needs_no_http_port_but_haproxy(self, tmp_path):
        state_dir = tmp_path / "node"
        write_node(state_dir, NodeRecord("h:1", "lab-2", ("cuda:1", "cpu:1"), own_presence()))
        findings = {each["check"]: each for each in json.loads(self.run("--state-dir", state_dir, "--json").output)["findings"]}
        assert findings["service"]["verdict"] == "ok"
        assert "h:1" in findings["service"]["message"]
        assert "http port" not in findings
        assert "haproxy" in findings

    def test_haproxy_is_looked_for_where_several_nodes_are_wanted(self, tmp_path):
        (tmp_path / "several.yaml").write_text("nodes: several\n")
        assert "haproxy:" in self.run("--config", tmp_path / "several.yaml").output
        assert "haproxy:" not in self.run().output

    def test_nothing_is_made_by_looking(self, tmp_path):
        self.run()
        assert list(tmp_path.iterdir()) == []


def test_the_report_of_torch_is_a_program_of_its_own():
    """Of the project it imports only what the service itself imports torchvision by: anything else could be what is broken."""
    program = Path(software_checks.__file__).with_name("torch_report.py")
    code = f"import ast; print([n.module for n in ast.walk(ast.parse(open({str(program)!r}).read())) if isinstance(n, ast.ImportFrom)])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "['actors.learning']\n"
    )
