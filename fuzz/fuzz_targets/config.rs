//! Config files from any text: what is read, what is refused, and what a sound one says of its tenants and of others.
//!
//! The laws are those that `common/tests/config/bounds.rs` holds some thousand seeded texts to with a stable compiler;
//! what is found here belongs into the tables of the tests beside it.

#![no_main]

#[path = "../../common/tests/config/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|text: &str| {
    laws::hold(text);
});
