//! The functions and structures of `acre/acre.h`, and malloc's family. `tests/layout.rs` compares the
//! structures with the header.

use std::os::raw::{c_char, c_int, c_void};

/// `ACRE_STATS_CLASSES`
pub const STATS_CLASSES: usize = 64;

/// `struct acre_block`
#[repr(C)]
pub struct Block {
    pub address: *mut c_void,
    pub size: usize,
    pub block_class: usize,
    pub arena: u32,
    pub state: u32,
}

/// `struct acre_error`
#[repr(C)]
pub struct Error {
    pub kind: u32,
    pub function: *const c_char,
    pub pointer: *const c_void,
    pub block: *const c_void,
    pub block_size: usize,
    pub arena: u32,
    pub depth: u32,
    pub stack: *const usize,
    pub requested: usize,
    pub offset: usize,
}

pub type HeapCallback = unsafe extern "C" fn(context: *mut c_void, block: *const Block) -> c_int;
pub type ErrorHandler = unsafe extern "C" fn(error: *const Error);

#[rustfmt::skip]
extern "C" {
    #[cfg_attr(feature = "prefixed", link_name = "acre_malloc")]
    pub fn malloc(size: usize) -> *mut u8;
    #[cfg_attr(feature = "prefixed", link_name = "acre_calloc")]
    pub fn calloc(count: usize, size: usize) -> *mut u8;
    #[cfg_attr(feature = "prefixed", link_name = "acre_realloc")]
    pub fn realloc(p: *mut u8, size: usize) -> *mut u8;
    #[cfg_attr(feature = "prefixed", link_name = "acre_aligned_alloc")]
    pub fn aligned_alloc(alignment: usize, size: usize) -> *mut u8;
    #[cfg_attr(feature = "prefixed", link_name = "acre_free_sized")]
    pub fn free_sized(p: *mut u8, size: usize);
    #[cfg_attr(feature = "prefixed", link_name = "acre_free_aligned_sized")]
    pub fn free_aligned_sized(p: *mut u8, alignment: usize, size: usize);
    #[cfg_attr(feature = "prefixed", link_name = "acre_malloc_usable_size")]
    pub fn malloc_usable_size(p: *const u8) -> usize;
    #[cfg_attr(feature = "prefixed", link_name = "acre_malloc_trim")]
    pub fn malloc_trim(pad: usize) -> c_int;

    pub fn acre_version() -> *const c_char;
    pub fn acre_good_size(size: usize) -> usize;
    pub fn acre_stats(stats: *mut crate::Stats, size: usize) -> c_int;
    pub fn acre_stats_print(fd: c_int, format: u32);
    pub fn acre_heap_walk(callback: HeapCallback, context: *mut c_void) -> c_int;
    pub fn acre_check(fd: c_int) -> usize;
    pub fn acre_set_error_handler(handler: Option<ErrorHandler>) -> Option<ErrorHandler>;
    pub fn acre_option_get(key: *const c_char, value: *mut c_char, size: usize) -> c_int;
    pub fn acre_option_set(key: *const c_char, value: *const c_char) -> c_int;
    pub fn acre_options_parse(list: *const c_char, source: *const c_char) -> c_int;
    pub fn acre_options_print(fd: c_int);
    pub fn acre_limit(held: *mut usize) -> usize;
    pub fn acre_profile_start(interval: usize) -> c_int;
    pub fn acre_profile_stop() -> c_int;
    pub fn acre_profile_mark() -> c_int;
    pub fn acre_thread_flush();
}
