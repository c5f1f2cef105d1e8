//! libpython, for a program whose references to it were left open when it was linked.
//!
//! Were it a needed library (`DT_NEEDED`), the loader would refuse the program where libpython is missing,
//! with a sentence that helps nobody. So the release binary is linked with weak references (`src/main.rs`), which
//! the loader leaves at zero, and with no needed library. Here libpython is opened and the references are bound:
//! what the loader does for a library at start, done a moment later (`dlopen(3)`, `elf(5)`).

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{io, ptr, slice};

use nix::errno::Errno;

/// What a dynamic section consists of (`Elf64_Dyn`).
#[repr(C)]
struct Dynamic {
    tag: u64,
    value: u64,
}

/// A place to be filled with the address of a symbol (`Elf64_Rela`).
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// The kinds of relocations that name a symbol: with addend, and two without.
#[cfg(target_arch = "x86_64")]
const KINDS: [u64; 3] = [1, 6, 7];
#[cfg(not(target_arch = "x86_64"))]
const KINDS: [u64; 3] = [257, 1025, 1026];

const DT_PLTRELSZ: u64 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_JMPREL: u64 = 23;

/// Where the program itself lies in memory.
#[derive(Default)]
struct Program {
    base: usize,
    dynamic: usize,
    /// What the loader has made read-only: start and length.
    protected: (usize, usize),
}

/// A reference to libpython that is open.
struct Open {
    name: &'static CStr,
    place: *mut usize,
    addend: isize,
}

/// Opens the library of this name as the loader would look for it, and binds the program's references to it.
/// Does nothing in a program that has none that are open.
///
/// Until it has been called, nothing of Python may be used.
///
/// # Errors
/// What `dlopen(3)` says, or the name that the library does not have.
pub fn bind(library: &str) -> Result<(), String> {
    let program = program();
    let open = open_references(&program);
    if open.is_empty() {
        return Ok(());
    }
    let library = CString::new(library).map_err(|error| error.to_string())?;
    // SAFETY: a string that ends with NUL; libpython runs no code of anybody else when it is loaded.
    let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        // SAFETY: after a failure of `dlopen` it is a string, valid until the next call.
        let reason = unsafe { CStr::from_ptr(libc::dlerror()) };
        return Err(reason.to_string_lossy().into_owned());
    }
    let mut found = Vec::with_capacity(open.len());
    for reference in &open {
        // SAFETY: a live handle and a string that ends with NUL.
        let address = unsafe { libc::dlsym(handle, reference.name.as_ptr()) };
        if address.is_null() {
            let name = reference.name.to_string_lossy();
            return Err(format!("it does not have the symbol {name}"));
        }
        found.push(address.addr().wrapping_add_signed(reference.addend));
    }
    let protect = |protection| protect(program.protected, protection);
    let cannot = |error: io::Error| format!("its symbols cannot be bound: {error}");
    protect(libc::PROT_READ | libc::PROT_WRITE).map_err(cannot)?;
    for (reference, address) in open.iter().zip(found) {
        // SAFETY: the linker made the place for this address; it is in the program's own data, which is
        // writable now. Nothing reads it before this function has returned (see above).
        unsafe { reference.place.write(address) };
    }
    protect(libc::PROT_READ).map_err(cannot)
}

/// The file that a function is in, by the path at which the loader found it.
pub fn file_of(function: *const ()) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is only compared with those of what is loaded, and all zeros are a valid `Dl_info`. A
    // name that is set is a string which lives as long as the library, and is copied.
    unsafe {
        if libc::dladdr(function.cast(), info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| OsStr::from_bytes(CStr::from_ptr(name).to_bytes()).into())
    }
}

/// Changes the protection of whole pages, as the loader does.
fn protect((start, length): (usize, usize), protection: c_int) -> io::Result<()> {
    // SAFETY: it takes a number and returns one.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (first, end) = (start / page * page, (start + length) / page * page);
    if first >= end {
        return Ok(());
    }
    // SAFETY: the pages are those of the program's relocated data, which nobody else writes to.
    let result =
        unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(first), end - first, protection) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// Asks the loader where the program lies.
fn program() -> Program {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a live entry with its table of headers, and the pointer that the call
        // below gives it. The program is the first entry.
        let (info, program) = unsafe { (&*info, &mut *data.cast::<Program>()) };
        // SAFETY: as above.
        let headers =
            unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        program.base = address(info.dlpi_addr);
        for header in headers {
            let start = program.base + address(header.p_vaddr);
            match header.p_type {
                libc::PT_DYNAMIC => program.dynamic = start,
                libc::PT_GNU_RELRO => program.protected = (start, address(header.p_memsz)),
                _ => {}
            }
        }
        1
    }
    let mut program = Program::default();
    // SAFETY: the callback takes what is passed here.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut program).cast()) };
    program
}

/// The program's references to names of Python that the loader has left open.
fn open_references(program: &Program) -> Vec<Open> {
    if program.dynamic == 0 {
        return Vec::new();
    }
    let value = |tag: u64| {
        let mut entry = ptr::with_exposed_provenance::<Dynamic>(program.dynamic);
        // SAFETY: the dynamic section of the running program; it ends with a zero tag.
        unsafe {
            while (*entry).tag != 0 {
                if (*entry).tag == tag {
                    return Some(address((*entry).value));
                }
                entry = entry.add(1);
            }
        }
        None
    };
    // Some loaders put addresses in there, some leave them as they are in the file.
    let at = |tag| value(tag).map(|at| if at < program.base { at + program.base } else { at });
    let (Some(symbols), Some(names)) = (at(DT_SYMTAB), at(DT_STRTAB)) else { return Vec::new() };
    let mut open = Vec::new();
    for (start, size) in [(DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)] {
        let (Some(start), Some(size)) = (at(start), value(size)) else { continue };
        let start = ptr::with_exposed_provenance::<Relocation>(start);
        // SAFETY: a table of the running program, of the size that the linker has noted.
        let table = unsafe { slice::from_raw_parts(start, size / size_of::<Relocation>()) };
        for relocation in table {
            let kind = relocation.info & 0xffff_ffff;
            let index = address(relocation.info >> 32);
            if index == 0 || !KINDS.contains(&kind) {
                continue;
            }
            // SAFETY: the linker has given the symbol this number, and its name this place.
            let (symbol, name) = unsafe {
                let symbol = &*ptr::with_exposed_provenance::<libc::Elf64_Sym>(symbols).add(index);
                let name = ptr::with_exposed_provenance::<c_char>(names + symbol.st_name as usize);
                (symbol, CStr::from_ptr(name))
            };
            let is_weak = symbol.st_info >> 4 == 2;
            let bytes = name.to_bytes();
            if symbol.st_shndx != 0 || !is_weak || !is_pythons(bytes) {
                continue;
            }
            let addend = if kind == KINDS[0] { relocation.addend } else { 0 };
            let place = ptr::with_exposed_provenance_mut(program.base + address(relocation.offset));
            // SAFETY: a place of the size of an address, which the loader has filled.
            if unsafe { *place } == 0 {
                open.push(Open { name, place, addend: isize::try_from(addend).unwrap_or(0) });
            }
        }
    }
    open
}

fn is_pythons(name: &[u8]) -> bool {
    name.strip_prefix(b"_").unwrap_or(name).starts_with(b"Py")
}

/// Addresses and sizes of this process fit.
fn address(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test binary has libpython as a needed library.
    #[test]
    fn nothing_is_open_in_a_program_that_the_loader_has_bound() {
        let program = program();
        assert!(program.base != 0 && program.dynamic > program.base);
        assert!(program.protected.0 > program.base && program.protected.1 > 0);
        assert!(open_references(&program).is_empty());
        assert_eq!(bind("no such library"), Ok(()));
    }

    #[test]
    fn a_function_is_found_in_its_file() {
        let file = file_of(pyo3::ffi::Py_IsInitialized as *const ()).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("libpython3."), "{name}");
        assert_eq!(file_of(std::ptr::null()), None);
    }

    #[test]
    fn names_of_python_are_known() {
        for (name, pythons) in [
            ("PyLong_Type", true),
            ("_Py_NoneStruct", true),
            ("__gmon_start__", false),
            ("py", false),
        ] {
            assert_eq!(is_pythons(name.as_bytes()), pythons, "{name}");
        }
    }
}
