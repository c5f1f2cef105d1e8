//! Calls of the C-API that pyo3 has no safe form for, or none without a detour on the hot path.
//! The only place besides `sys/` where `unsafe` is allowed.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

/// Where a function of libpython is.
pub fn a_function() -> *const () {
    ffi::Py_GetVersion as *const ()
}

/// The version of libpython, as in `3.11.7 (main, ...`. It needs no interpreter.
pub fn version() -> &'static CStr {
    // SAFETY: a function that may be called at any time; the string is libpython's own.
    unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }
}

/// Initialises the interpreter of this process as `program` would initialise itself (PEP 587), and
/// leaves it detached. Signal handlers stay as they are. The standard library is that of `home`, if given, else the
/// one that Python finds.
///
/// # Errors
/// What Python says is wrong.
pub fn initialize(program: &CStr, home: Option<&CStr>, argv: &[CString]) -> Result<(), String> {
    let mut pointers: Vec<*const c_char> = argv.iter().map(|arg| arg.as_ptr()).collect();
    let mut config = MaybeUninit::<ffi::PyConfig>::zeroed();
    // SAFETY: the calls are in the order that PEP 587 asks for; `config` is initialised by the
    // first of them, cleared once, and the strings outlive the calls, which copy them.
    unsafe {
        let config = config.as_mut_ptr();
        ffi::PyConfig_InitPythonConfig(config);
        (*config).parse_argv = 0;
        (*config).install_signal_handlers = 0;
        // The server relies on the interpreter's lock, as the module of the wheel says.
        #[cfg(Py_GIL_DISABLED)]
        {
            (*config).enable_gil = 1;
        }
        let mut steps = || {
            let status = ffi::PyConfig_SetBytesString(
                config,
                &raw mut (*config).program_name,
                program.as_ptr(),
            );
            failure(status)?;
            if let Some(home) = home {
                failure(ffi::PyConfig_SetBytesString(
                    config,
                    &raw mut (*config).home,
                    home.as_ptr(),
                ))?;
            }
            let count = ffi::Py_ssize_t::try_from(pointers.len()).unwrap_or(0);
            failure(ffi::PyConfig_SetBytesArgv(config, count, pointers.as_mut_ptr()))?;
            failure(ffi::Py_InitializeFromConfig(config))
        };
        let result = steps();
        ffi::PyConfig_Clear(config);
        result?;
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

/// # Safety
/// `status` comes from the C-API.
unsafe fn failure(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: a status that is an exception carries a C string or null.
    unsafe {
        if ffi::PyStatus_Exception(status) == 0 {
            return Ok(());
        }
        if status.err_msg.is_null() {
            return Err(format!("exit status {}", status.exitcode));
        }
        Err(CStr::from_ptr(status.err_msg).to_string_lossy().into_owned())
    }
}

/// Ends the interpreter: waits for non-daemon threads, runs `atexit` functions, flushes streams.
/// Nothing of Python may be used afterwards, not even by dropping it: the process must leave by
/// `_exit`.
pub fn finalize(_py: Python<'_>) {
    // SAFETY: the token proves that this thread is attached.
    unsafe { ffi::Py_FinalizeEx() };
}

/// Takes the locks that must be free in a forked child.
pub fn before_fork(_py: Python<'_>) {
    // SAFETY: the token proves that this thread is attached.
    unsafe { ffi::PyOS_BeforeFork() };
}

/// Releases what [`before_fork`] took.
pub fn after_fork_parent(_py: Python<'_>) {
    // SAFETY: as above, and the caller has called `before_fork`.
    unsafe { ffi::PyOS_AfterFork_Parent() };
}

/// Makes the interpreter fit for use in a forked child.
pub fn after_fork_child(_py: Python<'_>) {
    // SAFETY: as above; this thread is the only one of the child.
    unsafe { ffi::PyOS_AfterFork_Child() };
}

/// Asks the main thread to run the Python handler of `signal` soon. Async-signal-safe.
pub fn interrupt(signal: i32) {
    // SAFETY: documented as callable without a thread state and from a signal handler.
    #[cfg(Py_3_10)]
    unsafe {
        ffi::PyErr_SetInterruptEx(signal);
    }
    // Before 3.10 only SIGINT can be simulated; its handler asks the server which signal it was.
    // SAFETY: as above.
    #[cfg(not(Py_3_10))]
    unsafe {
        let _ = signal;
        ffi::PyErr_SetInterrupt();
    }
}

/// A `str` of the Latin-1 decoded bytes, which is how PEP 3333 carries bytes.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let len = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: pointer and length are of a live slice; the result is a new `str` or null with an
    // exception set.
    unsafe {
        let object = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), len, std::ptr::null());
        Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked())
    }
}

/// The Latin-1 bytes of a `str`; `None` if it has other characters.
pub fn latin1_bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    // SAFETY: the contents of a `str` do not change while it lives, and the reference to it lives
    // as long as the slice.
    match unsafe { text.data() } {
        Ok(pyo3::types::string::PyStringData::Ucs1(bytes)) => Some(bytes),
        _ => None,
    }
}

/// `dict.setdefault`: the value found under `key`, which is `value` if there was none.
pub fn set_default<'py>(
    dict: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
    value: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: all three are live; the result is borrowed from the dictionary, which holds it while
    // the new reference is taken.
    unsafe {
        let found = ffi::PyDict_SetDefault(dict.as_ptr(), key.as_ptr(), value.as_ptr());
        if found.is_null() {
            return Err(PyErr::fetch(dict.py()));
        }
        Ok(Bound::from_borrowed_ptr(dict.py(), found))
    }
}

/// How many references to the object there are, the caller's included.
pub fn references<T>(object: &Bound<'_, T>) -> ffi::Py_ssize_t {
    // SAFETY: the object is live and the thread attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// A reference to a `bytes` object whose contents can be read without being attached.
pub struct HeldBytes {
    bytes: *const u8,
    len: usize,
    _owner: Py<PyBytes>,
}

// SAFETY: the contents of a `bytes` object are immutable and stay where they are while a reference
// is held; dropping the reference is safe from any thread (pyo3 defers it if need be).
unsafe impl Send for HeldBytes {}

impl HeldBytes {
    pub fn new(object: &Bound<'_, PyBytes>) -> Self {
        let bytes = object.as_bytes();
        Self { bytes: bytes.as_ptr(), len: bytes.len(), _owner: object.clone().unbind() }
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: see the `Send` implementation above.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}
