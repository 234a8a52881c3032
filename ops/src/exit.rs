//! The exit codes that scripts rely on, the same for every binary.

use std::process::ExitCode;

use leasehold_common::store::{ErrorKind, StoreError};

use crate::text::Printable;

/// It worked; warnings at most.
pub const OK: u8 = 0;
/// It was refused, or it failed.
pub const FAILED: u8 = 1;
/// Wrong usage or invalid input.
pub const USAGE: u8 = 2;
/// The store cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 4;

/// The exit code that tells what kind of failure a store's error is.
#[must_use]
pub fn code_of(error: &StoreError) -> u8 {
    match error.kind {
        ErrorKind::Unavailable => UNREACHABLE,
        ErrorKind::Invalid => USAGE,
        ErrorKind::Conflict | ErrorKind::Schema | ErrorKind::Corrupt => FAILED,
    }
}

/// Says on stderr, in one line, what is wrong with the store. Answers the exit code.
#[must_use]
pub fn store_error(error: &StoreError) -> ExitCode {
    failure(code_of(error), error)
}

/// Says on stderr, in one line, why the process ends. Answers the exit code.
#[must_use]
pub fn failure(code: u8, message: impl std::fmt::Display) -> ExitCode {
    crate::say!("error: {}", Printable(message));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_code() {
        let codes = [
            (ErrorKind::Unavailable, UNREACHABLE),
            (ErrorKind::Invalid, USAGE),
            (ErrorKind::Schema, FAILED),
            (ErrorKind::Conflict, FAILED),
            (ErrorKind::Corrupt, FAILED),
        ];
        for (kind, code) in codes {
            assert_eq!(code_of(&StoreError::new(kind, "try", "reason")), code, "{kind:?}");
        }
    }
}
