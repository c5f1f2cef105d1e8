//! The `rgunicorn` command.

/// Has what the program uses of libpython left open when it is loaded, where it is optimised as a whole. It is for
/// `sys::libpython`, which can say what to do if libpython is not there.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[allow(unsafe_code)]
mod names {
    std::arch::global_asm!(include_str!(concat!(env!("OUT_DIR"), "/libpython.s")));
}

fn main() {
    std::process::exit(rgunicorn::cli::main());
}
