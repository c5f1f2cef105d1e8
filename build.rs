//! Records which Python the binary is built for, makes its libpython findable at run time, and lists the names
//! of libpython for `src/main.rs`.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    let version = config.target_abi().version();
    println!("cargo:rustc-env=RGUNICORN_PYTHON_VERSION={}.{}", version.major, version.minor);
    // The interpreter behind a virtual environment, so that the packages of the environment that
    // happened to be active during the build do not become the default of the binary.
    let script = "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)";
    let python = config.run_python_script(script).unwrap_or_default();
    println!("cargo:rustc-env=RGUNICORN_PYTHON={}", python.trim());
    // Of the command; the extension module of the wheel links no libpython.
    let script = "import sysconfig; print(sysconfig.get_config_var('INSTSONAME') or '')";
    let library = config.run_python_script(script).unwrap_or_default();
    println!("cargo:rustc-env=RGUNICORN_LIBPYTHON={}", library.trim());
    println!("cargo:rustc-env=RGUNICORN_LIBDIR={}", config.lib_dir().unwrap_or_default());
    if let Some(dir) = config.lib_dir() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
    let library = Path::new(config.lib_dir().unwrap_or_default()).join(library.trim());
    let weak = |name| format!(".weak {name}\n");
    // A libpython that is no shared library becomes a part of the program; nothing is to be left open then.
    let names: String = names(&library).unwrap_or_default().into_iter().map(weak).collect();
    let directory = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(PathBuf::from(directory).join("libpython.s"), names).expect("it can be written");
}

/// The names of Python's that a shared library has for others: its dynamic symbols (`elf(5)`).
fn names(library: &Path) -> Option<Vec<String>> {
    const SHT_DYNSYM: u64 = 11;
    let file = fs::read(library).ok()?;
    let number = |at: usize, size: usize| {
        let bytes = file.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let place = |at, size| usize::try_from(number(at, size)?).ok();
    // 64 bits, the lowest byte first.
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (sections, size, count) = (place(0x28, 8)?, place(0x3a, 2)?, place(0x3c, 2)?);
    let section = |index: usize| sections + index * size;
    let symbols = (0..count).map(section).find(|at| number(at + 4, 4) == Some(SHT_DYNSYM))?;
    let strings = place(section(place(symbols + 40, 4)?) + 24, 8)?;
    let (first, length) = (place(symbols + 24, 8)?, place(symbols + 32, 8)?);
    let mut names = Vec::new();
    for symbol in (first..first + length).step_by(24) {
        let is_defined = number(symbol + 6, 2)? != 0;
        let name = file.get(strings + place(symbol, 4)?..)?.split(|byte| *byte == 0).next()?;
        let name = std::str::from_utf8(name).ok()?;
        if is_defined && (name.starts_with("Py") || name.starts_with("_Py")) {
            names.push(name.to_owned());
        }
    }
    Some(names)
}
