//! The `rgunicorn` command.

/// Leaves libpython to `sys::libpython`, which can say what to do if it is not there.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[allow(unsafe_code)]
mod names {
    std::arch::global_asm!(include_str!("libpython.s"));
}

fn main() {
    std::process::exit(rgunicorn::cli::main());
}
