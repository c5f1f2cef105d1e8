//! Records which Python the binary is built for and makes its libpython findable at run time.

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
}
