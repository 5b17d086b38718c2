"""``rfuav doctor``: is this machine fit for the service, and what to do where it is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cluster.commands.exits import ExitCode
from cluster.commands.findings import Finding, Verdict
from cluster.commands.output import is_terminal, say, say_json, show
from cluster.commands.settings import AsJson, ConfigFile, StateDir, read_settings

if TYPE_CHECKING:
    from configs.settings import Settings

_COLOURS: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


def doctor(
    *,
    state_dir: StateDir = None,
    data_root: Annotated[list[Path] | None, typer.Option(help="As for `rfuav up`.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check Python, packages, torch, GPUs, ports, disks and folders; each finding with its remedy. Exit code 1 where one fails."""
    settings = read_settings(config, state_dir=state_dir, data_roots=tuple(data_root) if data_root else None)
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    has_failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if as_json:
        say_json({"ok": not has_failed, "findings": [finding.as_fields() for finding in findings]})
    raise typer.Exit(ExitCode.NOT_UP if has_failed else ExitCode.OK)


def examine(settings: "Settings") -> Iterator[Finding]:
    """Check everything, one after the other."""
    yield from _examine_software()
    yield from _examine_machine(settings)


def add_to(app: typer.Typer) -> None:
    """Make this command part of the command line."""
    app.command(rich_help_panel="The service")(doctor)


def _examine_software() -> Iterator[Finding]:
    import configs  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from actors.gpu_driver import read_gpus  # noqa: PLC0415
    from cluster.commands import software_checks as checks  # noqa: PLC0415

    yield checks.check_python()
    yield checks.check_packages((Path(configs.__file__).parent / "requirements.lock").read_text(encoding="utf-8"))
    report = checks.try_torch()
    yield checks.check_torch(report)
    yield from checks.check_gpus(read_gpus(), report)


def _examine_machine(settings: "Settings") -> Iterator[Finding]:
    from cluster.commands import machine_checks as checks  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster.haproxy import require_haproxy  # noqa: PLC0415
    from cluster.ports import can_listen  # noqa: PLC0415
    from cluster.ray_head import temp_dir_of  # noqa: PLC0415
    from cluster.run_record import read_record  # noqa: PLC0415
    from cluster.status import JOINED, read_status  # noqa: PLC0415

    status = read_status(settings.state_dir)
    is_up, is_node = status.state != "down", status.state == JOINED
    temp_dir = temp_dir_of(settings.state_dir)
    if not is_node:
        yield checks.check_http_port(settings.host, settings.port, is_ours=is_up, can_listen=can_listen)
    if settings.nodes == "several" or is_node:
        yield checks.check_haproxy(require_haproxy)
    yield from checks.check_ray_ports(settings.port, is_ours=is_up, can_listen=can_listen)
    yield checks.check_disk("state disk", settings.state_dir)
    yield checks.check_disk("temp disk", temp_dir)
    yield checks.check_shared_memory()
    yield checks.check_open_files()
    yield checks.check_state_dir(settings.state_dir)
    yield from checks.check_data_roots(settings.data_roots)
    if not is_up:
        has_record = read_record(settings.state_dir) is not None
        yield checks.check_leftovers(settings.state_dir, has_record=has_record, processes=status.processes, temp_dir=temp_dir)
    yield checks.check_service(status.state, status.url, status.reason)


def _tell(finding: Finding) -> None:
    word = f"{finding.verdict.value:4}"
    if is_terminal():
        word = typer.style(word, fg=_COLOURS[finding.verdict])
    say(f"{word}  {finding.check + ':':15} {show(finding.message)}")
    if finding.remedy:
        say(f"{'':6}{'':15} -> {show(finding.remedy)}")
