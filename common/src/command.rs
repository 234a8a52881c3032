//! What a job with `command` starts, as it is stored.
//!
//! Everything but the arguments has a default that is not written, so that what earlier versions stored keeps its id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Exit status 75, `EX_TEMPFAIL` of sysexits.h: the program asks to be tried again.
pub const TRY_AGAIN: u8 = 75;

/// Why a text cannot be the name of a variable for a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// It is no name.
    #[error("`{0}` is not a name of an environment variable")]
    Malformed(String),
    /// The executor writes it.
    #[error("the variable `{0}` is written by the executor")]
    Reserved(String),
}

/// Checks the name of a variable that somebody wants a program to have.
pub fn check_variable(name: &str) -> Result<(), VariableError> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        return Err(VariableError::Malformed(name.to_owned()));
    }
    if name.starts_with("LEASEHOLD_") || name == "TRACEPARENT" {
        return Err(VariableError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// A program with its arguments, and what surrounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program and its arguments, each a template, never split.
    pub argv: Vec<String>,
    /// Templates by the name of the variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A template: the working directory, below the executor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Resources::is_none")]
    pub resources: Resources,
    /// Exit statuses after which another attempt is of no use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permanent_exit_codes: Vec<ExitCodes>,
}

impl CommandSpec {
    /// A program with its arguments and nothing else.
    #[must_use]
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Whether the program says by this exit status that another attempt is of no use.
    #[must_use]
    pub fn is_permanent(&self, code: u8) -> bool {
        code != TRY_AGAIN && self.permanent_exit_codes.iter().any(|codes| codes.contain(code))
    }
}

/// Limits that the kernel holds a program to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU time of each of its processes, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// The address space of each of its processes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Open files of each of its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Processes and threads of the user that the executor runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// The size of a file that it writes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

impl Resources {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Some exit statuses that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes {
    /// The first.
    pub first: u8,
    /// The last, which may be the same.
    pub last: u8,
}

impl ExitCodes {
    /// Whether the status is one of them.
    #[must_use]
    pub fn contain(self, code: u8) -> bool {
        (self.first..=self.last).contains(&code)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_not_said_is_not_stored() {
        let spec = CommandSpec::new(["./report.sh"]);
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"argv":["./report.sh"]}"#);
        let full = CommandSpec {
            env: [("A".to_owned(), "b".to_owned())].into(),
            cwd: Some("reports".to_owned()),
            resources: Resources { cpu: Some(60), memory: Some(1 << 29), ..Resources::default() },
            permanent_exit_codes: vec![ExitCodes { first: 64, last: 78 }],
            ..spec
        };
        assert_eq!(serde_json::from_str::<CommandSpec>(&serde_json::to_string(&full).unwrap()).unwrap(), full);
    }

    #[test]
    fn a_request_to_try_again_is_never_permanent() {
        let codes = vec![ExitCodes { first: 2, last: 2 }, ExitCodes { first: 64, last: 78 }];
        let spec = CommandSpec { permanent_exit_codes: codes, ..CommandSpec::default() };
        let permanent: Vec<u8> = (0..=255).filter(|code| spec.is_permanent(*code)).collect();
        assert_eq!(permanent, [vec![2], (64..=74).collect(), (76..=78).collect()].concat());
    }
}
