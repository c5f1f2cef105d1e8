"""What /proc knows of a process tree: members, CPU time, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list:
    """`root` and all its living descendants, parents before children."""
    found, at = [root], 0
    while at < len(found):
        found += children(found[at])
        at += 1
    return found


def children(pid: int) -> list:
    """Children of every thread of `pid`; none if it is gone."""
    found = []
    for task in _entries(f"/proc/{pid}/task"):
        try:
            listed = Path(f"/proc/{pid}/task/{task}/children").read_text()
        except OSError:
            continue
        found += [int(child) for child in listed.split()]
    return found


def session(leader: int) -> list:
    """Living processes of the session that `leader` opened."""
    found = []
    for name in _entries("/proc"):
        if name.isdigit():
            fields = _stat_fields(int(name))
            if fields and int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(name))
    return found


@dataclass(frozen=True)
class Cpu:
    """CPU time of a tree at one moment.

    `threads`: nanoseconds on a CPU per living (pid, tid), from /proc/PID/task/TID/schedstat
    (the same clock as utime + stime, which only show it in ticks of 10 ms).
    `ticks`: utime + stime + cutime + cstime of all members in nanoseconds, threads and
    children that have ended included.
    """

    threads: dict
    ticks: int

    @classmethod
    def of(cls, root: int) -> "Cpu":
        threads, ticks = {}, 0
        for pid in tree(root):
            ticks += _stat_ns(pid)
            for task in _entries(f"/proc/{pid}/task"):
                try:
                    text = Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                except OSError:
                    continue
                threads[(pid, int(task))] = int(text.split()[0])
        return cls(threads, ticks)

    def since(self, before: "Cpu") -> int:
        """Nanoseconds between two moments."""
        if before.threads and before.threads.keys() <= self.threads.keys():
            return sum(self.threads.values()) - sum(before.threads.values())
        # A thread or process ended meanwhile and took its fine count along.
        return self.ticks - before.ticks


def _stat_ns(pid: int) -> int:
    return sum(int(value) for value in _stat_fields(pid)[11:15]) * 1_000_000_000 // TICKS


def _stat_fields(pid: int) -> list:
    """Fields of /proc/PID/stat from the third (state) on; none if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field, the name in parentheses, may hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def pss_kib(root: int) -> int:
    """Proportional set size of the tree in KiB: shared pages count once, split among sharers."""
    total = 0
    for pid in tree(root):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def _entries(directory: str) -> list:
    try:
        return os.listdir(directory)
    except OSError:
        return []
