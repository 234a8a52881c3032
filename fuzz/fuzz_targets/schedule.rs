//! Schedules from any bytes: what is read, what is refused, and the due times of it.
//!
//! The laws are those that `common/tests/schedule/fuzzed.rs` holds fifty thousand seeded inputs to with a stable
//! compiler; what is found here belongs into the tables of the tests beside it.

#![no_main]

#[path = "../../common/tests/schedule/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    laws::hold(data);
});
