"""Kernels that are born with their imports done: forks of a process that has them.

A notebook's kernel imports for some four seconds, and ``all`` has 25. On Linux multiprocessing's fork server
imports once (``preload``), and a kernel is a fork of it, a process of its own in which nobody did anything
yet. Elsewhere forks of a process that has loaded the system's libraries are not safe; there, and where the
server's socket cannot be (below a TMPDIR of more than 100 letters), kernels are programs as usual.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running, set_forkserver_preload
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.paths import CODE
from advunlearn_lib.base.progress import style_here

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from jupyter_client.connect import KernelConnectionInfo


def begin() -> None:
    """Set what kernels inherit from this process, and begin to import for them, beside whatever follows."""
    os.environ.setdefault("ADVUNLEARN_PROGRESS", style_here())
    paths = [str(CODE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    manager()


def manager() -> type[AsyncKernelManager]:
    """Who starts kernels here; the fork server runs, where it can."""
    if sys.platform == "linux":
        with suppress(OSError):
            set_forkserver_preload(["advunlearn_lib.report.preload"])
            ensure_running()
            return ForkingManager
    return AsyncKernelManager


class ForkingManager(AsyncKernelManager):
    """Its kernel is a fork."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.kernel_id = str(uuid4())
        self.provisioner = Forking(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)


class Forking(LocalProvisioner):
    """Asks the fork server for a process where its base starts a program."""

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> KernelConnectionInfo:
        """The connection that ``cmd`` names, of a kernel that begins there."""
        words = cmd[cmd.index("ipykernel_launcher") :]
        given = (words, settings["env"], Path.cwd())
        kernel = get_context("forkserver").Process(target=run_kernel, args=given)
        kernel.start()
        self.process = Forked(kernel)  # type: ignore[assignment]  # it is a Popen's place
        self.pid = self.pgid = kernel.pid
        return self.connection_info


class Forked:
    """As much of a ``subprocess.Popen`` as jupyter_client asks for."""

    stdin = stdout = stderr = None

    def __init__(self, process: ForkServerProcess) -> None:
        self.process, self.kill, self.terminate = process, process.kill, process.terminate

    def poll(self) -> int | None:
        """How it ended, if it has."""
        return self.process.exitcode

    def wait(self) -> int | None:
        """How it ended."""
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """To it alone."""
        os.kill(self.process.pid or 0, number)


def run_kernel(words: list[str], environment: dict[str, str], folder: Path) -> None:
    """In the fork: a kernel, in a session of its own like jupyter_client's, so that Ctrl-C is not for it."""
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    launch_new_instance()
