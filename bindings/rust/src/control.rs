//! What a program may tell acre: options, the profile, to give memory back.

use std::ffi::{CStr, CString};
use std::io;
use std::os::raw::c_int;
use std::os::unix::io::AsRawFd;

use crate::ffi;

fn to_result(error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The version of the library that runs.
pub fn version() -> &'static str {
    // SAFETY: a constant string
    unsafe { CStr::from_ptr(ffi::acre_version()) }.to_str().unwrap_or("")
}

/// The value of an option; acre-options(7) has the list. The error is of the kind `NotFound` if there is no
/// such option.
pub fn option_get(key: &str) -> io::Result<String> {
    const ERANGE: i32 = 34;
    let key = CString::new(key)?;
    let mut value = vec![0u8; 64];
    loop {
        // SAFETY: acre writes no more than the size
        let error = unsafe { ffi::acre_option_get(key.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        if error != ERANGE {
            to_result(error)?;
            let length = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
            return Ok(String::from_utf8_lossy(&value[..length]).into_owned());
        }
        value.resize(value.len() * 2, 0);
    }
}

/// Sets an option, for what happens from now on. The error is of the kind `NotFound` if there is no such
/// option, `InvalidInput` if the value is not allowed.
pub fn option_set(key: &str, value: &str) -> io::Result<()> {
    let (key, value) = (CString::new(key)?, CString::new(value)?);
    // SAFETY: both are strings
    to_result(unsafe { ffi::acre_option_set(key.as_ptr(), value.as_ptr()) })
}

/// Sets the options of a list in the form of `ACRE_OPTIONS`. Each mistake is a line on standard error,
/// which names `source`; the other items apply.
pub fn options_parse(list: &str, source: &str) -> io::Result<()> {
    let (list, source) = (CString::new(list)?, CString::new(source)?);
    // SAFETY: both are strings
    to_result(unsafe { ffi::acre_options_parse(list.as_ptr(), source.as_ptr()) })
}

/// Writes the table of options to a file.
pub fn options_print(file: &impl AsRawFd) {
    // SAFETY: any number may be given as a file descriptor
    unsafe { ffi::acre_options_print(file.as_raw_fd()) }
}

/// What acre may hold, and holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The limit of the option `limit`, as it is now.
    pub most: Option<usize>,
    /// What is held.
    pub held: usize,
}

/// The limit on what acre holds: for a program that gives up caches of its own before it is reached.
pub fn limit() -> Limit {
    let mut held = 0;
    // SAFETY: acre writes to `held`
    let most = unsafe { ffi::acre_limit(&mut held) };
    Limit { most: Some(most).filter(|&most| most != 0), held }
}

/// Starts the heap profile, which acre-profile(1) reads from outside: about one block in `interval`
/// allocated bytes is sampled, with its stack.
pub fn profile_start(interval: usize) -> io::Result<()> {
    // SAFETY: takes any number
    to_result(unsafe { ffi::acre_profile_start(interval) })
}

/// Samples no more blocks. The error is `InvalidInput` if the profile is off.
pub fn profile_stop() -> io::Result<()> {
    // SAFETY: has no arguments
    to_result(unsafe { ffi::acre_profile_stop() })
}

/// Sets the mark: acre-profile(1) can show what was allocated after it. The error is `InvalidInput` if the
/// profile is off.
pub fn profile_mark() -> io::Result<()> {
    // SAFETY: has no arguments
    to_result(unsafe { ffi::acre_profile_mark() })
}

/// Gives idle memory of all threads back to the system; true if there was some.
pub fn trim() -> bool {
    // SAFETY: takes any number
    unsafe { ffi::malloc_trim(0) != 0 }
}

/// Gives back what the calling thread keeps at hand: for a thread that is about to sleep long.
pub fn thread_flush() {
    // SAFETY: has no arguments
    unsafe { ffi::acre_thread_flush() }
}
