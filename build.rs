//! Records which Python the binary is built for and makes its libpython findable at run time.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    let version = config.target_abi().version();
    println!("cargo:rustc-env=RGUNICORN_PYTHON_VERSION={}.{}", version.major, version.minor);
    println!(
        "cargo:rustc-env=RGUNICORN_PYTHON={}",
        config.executable().unwrap_or_default()
    );
    if let Some(dir) = config.lib_dir() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
}
