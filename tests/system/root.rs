//! A bare Debian, made once by debootstrap under `target/`, and layers on top of it that are thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// Mounts what a container has and becomes the command that follows the first three arguments: the layers below
/// (joined by colons), the directory of the upper one, and what else to do before that.
const ENTER: &str = r#"
lower=$1 dir=$2 extra=$3; shift 3
root=$dir/root
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
eval "$extra"
exec chroot "$root" "$@"
"#;

/// A file system that is changed without changing what it is based on.
pub struct Layer {
    below: String,
    dir: TempDir,
}

impl Layer {
    /// An unchanged Debian.
    #[track_caller]
    pub fn of_debian() -> Self {
        Self::on(debian().to_str().expect("a path in UTF-8").to_owned())
    }

    fn on(below: String) -> Self {
        // Beside what it is based on: an overlay needs both on file systems that can do it, which
        // one for temporary files may not.
        let dir = tempfile::tempdir_in(place()).expect("the target directory is writable");
        for name in ["upper", "work", "root"] {
            fs::create_dir(dir.path().join(name)).expect("the temporary directory is writable");
        }
        Self { below, dir }
    }

    /// Starts from what this one is now.
    pub fn continued(&self) -> Self {
        Self::on(format!("{}:{}", self.upper().display(), self.below))
    }

    /// What is different from the layers below.
    pub fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    /// Where a file of this layer or the ones below is.
    #[track_caller]
    pub fn find(&self, path: &str) -> PathBuf {
        let below = self.below.split(':').map(PathBuf::from);
        std::iter::once(self.upper())
            .chain(below)
            .map(|layer| layer.join(path.trim_start_matches('/')))
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// A command in it, as the first process of its own process name space. `spaces` are further options of
    /// `unshare`, `extra` is what the shell does first, with `$root` where the file system is.
    ///
    /// It is killed after ten minutes.
    pub fn enter(&self, spaces: &[&str], extra: &str) -> Command {
        let mut command = bounded("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]).args(spaces);
        command.args(["/bin/sh", "-euc", ENTER, "sh"]).arg(&self.below).arg(self.dir.path());
        command.arg(extra);
        command
    }
}

/// A program of this system that is killed after ten minutes, far more than anything here takes.
fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "600", program]);
    command
}

/// The codename of this system, and where its packages come from.
#[track_caller]
fn release() -> (String, String) {
    let text = fs::read_to_string("/etc/os-release").expect("a system says what it is");
    let codename = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("a release of Debian has a name");
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"])
        .arg("Created-By: Packages")
        .output()
        .expect("there is apt-get where this runs");
    let start = format!("{codename} main ");
    let text = String::from_utf8_lossy(&output.stdout);
    let mirror = text
        .lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_else(|| panic!("apt has no source for {codename}: {text}"));
    (codename.to_owned(), mirror.to_owned())
}

/// Where roots and environments are kept.
pub fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target has a parent");
        let place = target.join("system");
        fs::create_dir_all(&place).expect("the target directory is writable");
        place
    })
}

/// The root, made on first use. It is only read afterwards.
#[track_caller]
fn debian() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let (codename, mirror) = release();
        let lock = fs::File::create(place().join("lock")).expect("the directory is writable");
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .expect("the lock file of the root can be locked");
        let root = place().join(&codename);
        let stamp = place().join(format!("{codename}.made"));
        if stamp.exists() {
            return root;
        }
        if root.exists() {
            fs::remove_dir_all(&root).expect("an unfinished root can be removed");
        }
        let output = bounded("debootstrap")
            .args(["--variant=minbase", &codename])
            .arg(&root)
            .arg(&mirror)
            .output()
            .expect("there is timeout");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "debootstrap, which `tests/system/run` installs, has failed:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(stamp, "").expect("the directory is writable");
        root
    })
}
