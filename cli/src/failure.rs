//! Why a command ends without success, and the exit code that says so to scripts.

use std::io;
use std::process::ExitCode;

use leasehold_common::store::StoreError;
use leasehold_ops::exit;

use crate::render::text::one_line;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was understood, and refused or failed.
    #[error("{0}")]
    Refused(String),
    /// What was given is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The same, and the reason has been printed already.
    #[error("invalid input")]
    InvalidTold,
    /// There is no such tenant, job or run.
    #[error("{0}")]
    NotFound(String),
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// 1 refused or failed, 2 invalid input, 3 store unreachable, 4 not found; 0 if only the reader went away.
    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => exit::FAILED,
            Self::Invalid(_) | Self::InvalidTold => exit::USAGE,
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Store(error) => exit::code_of(error),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
            Self::Output(_) => exit::FAILED,
        }
    }

    /// Says it on stderr, in one line, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let code = self.code();
        if code != 0 && !matches!(self, Self::InvalidTold) {
            leasehold_ops::say!("error: {}", one_line(&self.to_string()));
        }
        ExitCode::from(code)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_common::store::ErrorKind;

    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_exit_code() {
        let store = |kind| Failure::from(StoreError::new(kind, "read", "no"));
        let cases = [
            (Failure::Refused(String::new()), 1),
            (Failure::Invalid(String::new()), 2),
            (Failure::InvalidTold, 2),
            (store(ErrorKind::Unavailable), 3),
            (store(ErrorKind::Invalid), 2),
            (store(ErrorKind::Schema), 1),
            (store(ErrorKind::Corrupt), 1),
            (store(ErrorKind::Conflict), 1),
            (Failure::NotFound(String::new()), 4),
            (Failure::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (Failure::Output(io::ErrorKind::StorageFull.into()), 1),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
