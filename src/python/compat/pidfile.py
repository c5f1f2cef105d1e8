"""Files that hold a process id. The server's own is none of these: the setting `pidfile` makes it."""

import os
import tempfile


class Pidfile:
    """A file with a process id, of a given name or of one that is made up."""

    def __init__(self, fname):
        self.fname = fname
        self.pid = None

    def create(self, pid):
        """Write the file, unless it names another process that lives."""
        other = self.validate()
        if other:
            if other == os.getpid():
                return
            raise RuntimeError(
                "Already running on PID %s (or pid file '%s' is stale)" % (other, self.fname)
            )
        self.pid = pid
        directory = os.path.dirname(self.fname)
        if directory and not os.path.isdir(directory):
            raise RuntimeError("%s doesn't exist. Can't create pidfile." % directory)
        # Written under another name first, so that nobody reads half of it.
        fd, path = tempfile.mkstemp(dir=directory)
        with os.fdopen(fd, "w") as file:
            file.write("%s\n" % pid)
        if self.fname:
            os.rename(path, self.fname)
        else:
            self.fname = path
        os.chmod(self.fname, 0o644)

    def rename(self, path):
        self.unlink()
        self.fname = path
        self.create(self.pid)

    def unlink(self):
        """Remove the file if it is still about the same process."""
        try:
            with open(self.fname) as file:
                found = int(file.read() or 0)
            if found == self.pid:
                os.unlink(self.fname)
        except Exception:
            # Whatever it is now, it is not ours.
            pass

    def validate(self):
        """The process that the file names, if there is such a process."""
        if not self.fname:
            return None
        try:
            with open(self.fname) as file:
                pid = int(file.read())
        except (FileNotFoundError, ValueError):
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            # Somebody else's.
            return pid
        return pid
