"""A real SLURM of two nodes on one host, in a folder of its own, for tests of the sweep.

    python tests/cluster/slurm.py FOLDER [--accounting]     # until interrupted

Needs the programs of SLURM and munge (Debian: slurm-wlm, munge; with accounting also slurmdbd, mariadb-server), to be
root, and a machine that is in no cluster: /etc/slurm/slurm.conf is a link to the folder meanwhile, since the plugin
takes SLURM_CONF from its jobs. Two partitions share the nodes: jobs in `urgent` preempt those in `main`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
LINK = Path("/etc/slurm/slurm.conf")
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}  # daemons are not on every PATH

SLURM_CONF = """\
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=requeue_delay=1
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=15
MinJobAge=300
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{accounting}
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=10000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=10000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE PriorityTier=10
"""
ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ports[3]}
AccountingStoragePass={folder}/munge.socket
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={ports[3]}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[4]}
StorageUser=slurm
StorageLoc=slurm_acct_db
"""


def obstacle(accounting: bool = False) -> str:
    """Why there can be no such SLURM here; empty if it can."""
    names = (*PROGRAMS, *(ACCOUNTING_PROGRAMS if accounting else ()))
    if absent := [name for name in names if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]:
        return f"not installed: {', '.join(absent)}"
    if os.getuid() != 0:
        return "needs to be root"
    return f"{LINK} exists: of a SLURM here, or of a test that was killed" if os.path.lexists(LINK) else ""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} seconds in vain for {what}.")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Slurm:
    """Its daemons."""

    folder: Path
    accounting: bool = False
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Slurm:
        for name in (".", "state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        values = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "ports": free_ports(5),
        }
        accounting = "AccountingStorageType=accounting_storage/none"
        if self.accounting:
            accounting = ACCOUNTING_CONF.format(**values)
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(accounting=accounting, **values))
        if reason := obstacle(self.accounting):
            raise RuntimeError(reason)
        LINK.parent.mkdir(exist_ok=True)
        LINK.symlink_to(self.folder / "slurm.conf")
        try:
            self._start_munge()
            if self.accounting:
                self._start_accounting(values)
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            wait_for(lambda: self.states() == dict.fromkeys(NODES, "idle"), "two idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in NODES:
            self.kill_node(node)
        for name in reversed(self.daemons):
            self.stop(name)
        LINK.unlink()

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self.start("munged", "--foreground", "--force", f"--seed-file={self.folder / 'munge.seed'}", *options)
        wait_for((self.folder / "munge.socket").exists, "munge")

    def _start_accounting(self, values: dict[str, Any]) -> None:
        data, port = self.folder / "mariadb", values["ports"][4]
        data.mkdir()
        common = ["--no-defaults", f"--datadir={data}", "--user=root"]
        self.call("mariadb-install-db", *common, "--auth-root-authentication-method=socket")
        own = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={data}/socket", f"--pid-file={data}/pid"]
        self.start("mariadbd", *common, *own)
        wait_for((data / "socket").exists, "MariaDB")
        statements = "CREATE DATABASE slurm_acct_db; CREATE USER slurm@localhost, slurm@'127.0.0.1';"
        for host in ("localhost", "127.0.0.1"):
            statements += f" GRANT ALL ON slurm_acct_db.* TO slurm@'{host}';"
        self.call("mariadb", "--no-defaults", f"--socket={data}/socket", "-e", statements)
        settings = self.folder / "slurmdbd.conf"
        settings.write_text(SLURMDBD_CONF.format(**values))
        settings.chmod(0o600)
        self.start("slurmdbd", "-D", SLURM_CONF=str(self.folder / "slurm.conf"))  # its own file is looked for beside it
        wait_for(lambda: self.call("sacctmgr", "-n", "show", "cluster", check=False).returncode == 0, "slurmdbd")
        self.call("sacctmgr", "-i", "add", "cluster", "tiny")

    def start(self, program: str, *arguments: str, name: str = "", **variables: str) -> None:
        with (self.folder / f"{name or program}.out").open("ab") as out:
            self.daemons[name or program] = subprocess.Popen(
                [program, *arguments],
                env={**ENVIRONMENT, **variables},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        daemon = self.daemons[name]
        if daemon.poll() is None:
            daemon.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()

    def start_controller(self) -> None:
        self.start("slurmctld", "-D")
        wait_for(lambda: self.call("scontrol", "ping", check=False).returncode == 0, "slurmctld")

    def start_node(self, node: str) -> None:
        self.start("slurmd", "-D", "-N", node, name=node)

    def kill_node(self, node: str) -> None:
        """End its daemon, its steps and all processes of theirs at once, as when the machine is gone."""
        if node not in self.daemons:
            return
        steps = [pid for pid, command in commands() if command.startswith("slurmstepd") and self._is_of(pid, node)]
        doomed = [self.daemons[node].pid, *(pid for step in steps for pid in family(step))]
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons[node].wait()

    @staticmethod
    def _is_of(pid: int, node: str) -> bool:
        """Whether a slurmstepd is of this node, which only the environment of its children says."""
        for child in family(pid)[1:]:
            with contextlib.suppress(OSError):
                if f"SLURMD_NODENAME={node}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                    return True
        return False

    def call(self, *command: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=check, timeout=timeout)

    def states(self) -> dict[str, str]:
        lines = self.call("sinfo", "-hN", "-p", "main", "-o", "%N %T", check=False).stdout.splitlines()
        return dict(line.split() for line in lines)

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """Jobs in the queue, or those in the given states, finished ones included, in the order of their numbers."""
        chosen = ["-t", ",".join(states)] if states else []
        names = ("id", "state", "node", "restarts", "comment")
        listed = self.call("squeue", "-h", "-S", "i", *chosen, "-o", "%i|%T|%N|%r|%k").stdout.splitlines()
        return [dict(zip(names, line.split("|"), strict=True)) for line in listed]

    def submitted(self) -> int:
        """How many jobs there have been."""
        shown = self.call("scontrol", "show", "config").stdout
        return next(int(line.split("=")[1]) for line in shown.splitlines() if line.startswith("NEXT_JOB_ID")) - 1


def commands() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(path.name), (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def family(pid: int) -> list[int]:
    """A process and all its descendants; each thread has children of its own."""
    members = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            members += [member for child in path.read_text().split() for member in family(int(child))]
    return members


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd, so that sacct answers")
    options = parser.parse_args()
    if reason := obstacle(options.accounting):
        parser.error(reason)
    with Slurm(options.folder.resolve(), options.accounting):
        print("sinfo, sbatch and squeue answer now; Ctrl-C here ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
