//! execve(2).

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;

/// Runs another program in this process. Descriptors that are not close-on-exec stay open, signals
/// that are ignored stay ignored.
///
/// # Errors
/// As execve(2), and EINVAL for a NUL byte. On success it does not return.
pub fn replace(
    program: &Path,
    args: &[OsString],
    environment: &[(OsString, OsString)],
) -> io::Result<Infallible> {
    let args = args.iter().map(|arg| c_string(arg)).collect::<io::Result<Vec<_>>>()?;
    let variable = |(name, value): &(OsString, OsString)| {
        c_string(&[name.as_os_str(), value.as_os_str()].join(OsStr::new("=")))
    };
    let environment = environment.iter().map(variable).collect::<io::Result<Vec<_>>>()?;
    Ok(nix::unistd::execve(&c_string(program.as_os_str())?, &args, &environment)?)
}

/// Works in another directory, for the program to run there.
///
/// # Errors
/// Those of chdir(2), with the name of the directory.
pub fn enter(directory: &Path) -> io::Result<()> {
    std::env::set_current_dir(directory).map_err(|error| {
        let reason = Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc();
        io::Error::new(error.kind(), format!("{}: {reason}", directory.display()))
    })
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.to_owned().into_vec()).map_err(|_| Errno::EINVAL.into())
}
