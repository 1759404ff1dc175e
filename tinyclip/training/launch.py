"""Whether a launch became the processes that were asked for.

`accelerate launch --num_processes 2` on a machine without a GPU starts one process and
says nothing; `torchrun` without a CPU flag starts two that do not know each other. Each
would write the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import UserError

SHARDING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")  # as accelerate's launcher says it
ADVICE = "Launch with: torchrun --nproc_per_node {0} -m tinyclip compress ..."


def refuse_sharding(environment: Mapping[str, str]) -> None:
    """Refuse launches that split the model among processes.

    Args:
        environment: the process's variables.

    Raises:
        UserError: accelerate's launcher was asked for that.
    """
    for name in SHARDING:
        if environment.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UserError(
                "launch",
                f"{name} is not supported yet: each process holds the whole model",
                "Launch without it; --set recompute=true and accumulate save memory",
            )


def refuse_lost_processes(
    connected: int, environment: Mapping[str, str], parent: Sequence[str] | None = None
) -> None:
    """Refuse to be one of several runs that do not know each other.

    Args:
        connected: processes that found each other.
        environment: the process's variables.
        parent: the command line of the parent process; read from the system if None.

    Raises:
        UserError: more processes were launched, or asked for.
    """
    launched = int(environment.get("WORLD_SIZE", "1"))
    if launched != connected:
        raise UserError(
            "launch",
            f"{launched} processes were launched and {connected} found each other",
            ADVICE.format(launched),
        )
    asked = asked_of_accelerate(parents_words() if parent is None else parent)
    if asked > connected:
        raise UserError(
            "launch",
            f"accelerate launch was asked for {asked} processes and started "
            f"{connected}; without GPUs it does not start more",
            ADVICE.format(asked),
        )


def asked_of_accelerate(words: Sequence[str]) -> int:
    """How many processes a command line asks `accelerate launch` for; 1 if it is none.

    Args:
        words: of the command line.
    """
    if "launch" not in words or not any("accelerate" in word for word in words[:3]):
        return 1
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name.replace("-", "_") == "__num_processes":
            value = value or (words[index + 1] if index + 1 < len(words) else "")
            return int(value) if value.isdigit() else 1
    return 1


def parents_words() -> list[str]:
    """The command line of the parent process; empty where the system hides it."""
    try:
        status = Path("/proc/self/stat").read_text()
        parent = status.rpartition(")")[2].split()[1]
        line = Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return []
    return line.decode(errors="replace").rstrip("\0").split("\0")
