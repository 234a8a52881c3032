//! The variables that a program gets.
//!
//! Invariants: nothing of the executor's own environment gets through but what is named here or by the operator; what
//! says whose run it is cannot be replaced by a job.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::handler::RunContext;
use crate::trace::traceparent;

/// What every program gets of the executor's own environment, beside PATH.
const KEPT: [&str; 3] = ["HOME", "LANG", "TZ"];

/// Where programs are looked for if the executor's own PATH has no absolute folder.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Linux takes 128 KiB for one variable, with its name and the end of the text. A longer one would keep the program from
/// starting.
const VARIABLE_MAX: usize = 128 * 1024 - 1;

const PAYLOAD: &str = "LEASEHOLD_PAYLOAD";

/// Variables by name.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// What all programs of an executor get.
#[derive(Debug)]
pub(super) struct Environment(Variables);

impl Environment {
    /// Takes it from the executor's own, of which `get` is the reader. `allowed` are names beyond the usual ones.
    pub(super) fn of(get: impl Fn(&str) -> Option<OsString>, allowed: &[String]) -> Self {
        let names = KEPT.into_iter().chain(allowed.iter().map(String::as_str));
        let mut kept: Variables = names.filter_map(|name| Some((name.into(), get(name)?))).collect();
        kept.insert("PATH".into(), absolute(&get("PATH").unwrap_or_default()));
        Self(kept)
    }

    /// The executor's own PATH.
    pub(super) fn path(&self) -> &OsStr {
        self.0.get(OsStr::new("PATH")).map_or(OsStr::new(PATH), OsString::as_os_str)
    }

    /// What the program of one run gets. A job's own variables come on top of the executor's, and what says whose run it
    /// is on top of those.
    pub(super) fn of_run(&self, own: &[(String, String)], context: &RunContext, temporary: &Path) -> Variables {
        let mut variables = self.0.clone();
        variables.insert("TMPDIR".into(), temporary.into());
        variables.extend(own.iter().map(|(name, value)| (name.into(), value.into())));
        variables.extend(identity(context).into_iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }
}

/// What says whose run this is.
fn identity(context: &RunContext) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("LEASEHOLD_TENANT", context.tenant().id.to_string()),
        ("LEASEHOLD_JOB", context.job().to_string()),
        ("LEASEHOLD_CORRELATION_ID", context.correlation_id().to_string()),
        ("LEASEHOLD_ATTEMPT", context.attempt().to_string()),
        ("LEASEHOLD_SCHEDULED_FOR", context.scheduled_for_text()),
        ("TRACEPARENT", traceparent(context.correlation_id(), context.attempt())),
    ];
    let payload = context.payload().map(ToString::to_string);
    if let Some(payload) = payload.filter(|text| PAYLOAD.len() + 1 + text.len() < VARIABLE_MAX) {
        variables.push((PAYLOAD, payload));
    }
    variables
}

/// A PATH without entries that depend on where a program stands: an empty one means the working directory.
fn absolute(path: &OsStr) -> OsString {
    let entries = path.as_bytes().split(|byte| *byte == b':').filter(|entry| entry.starts_with(b"/"));
    match entries.collect::<Vec<_>>().join(&b':') {
        none if none.is_empty() => PATH.into(),
        entries => OsString::from_vec(entries),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::handler::context::tests::context;
    use serde_json::json;
    use std::sync::Arc;

    fn outer(name: &str) -> Option<OsString> {
        let outer = [("PATH", ":/opt/bin:.:bin::/bin"), ("HOME", "/h"), ("SECRET", "s"), ("REGION", "eu")];
        outer.into_iter().find_map(|(known, value)| (known == name).then(|| value.into()))
    }

    fn of_run(allowed: &[&str], own: &[(&str, &str)]) -> Variables {
        let allowed: Vec<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let own: Vec<_> = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment::of(outer, &allowed).of_run(&own, &context(), Path::new("/tmp/x"))
    }

    #[test]
    fn nothing_gets_through_that_is_not_named() {
        let names = |variables: Variables| {
            let mut names: Vec<_> = variables.into_keys().map(|name| name.into_string().unwrap()).collect();
            names.retain(|name| !name.starts_with("LEASEHOLD_"));
            names
        };
        assert_eq!(names(of_run(&[], &[])), ["HOME", "PATH", "TMPDIR", "TRACEPARENT"]);
        assert_eq!(names(of_run(&["REGION", "ABSENT"], &[])), ["HOME", "PATH", "REGION", "TMPDIR", "TRACEPARENT"]);
    }

    #[test]
    fn a_job_has_the_last_word_but_for_whose_run_it_is() {
        let variables = of_run(&["REGION"], &[("REGION", "us"), ("TMPDIR", "/big"), ("LEASEHOLD_TENANT", "other")]);
        assert_eq!(variables[OsStr::new("REGION")], "us");
        assert_eq!(variables[OsStr::new("TMPDIR")], "/big");
        assert_eq!(variables[OsStr::new("LEASEHOLD_TENANT")], "acme");
    }

    #[test]
    fn programs_are_never_looked_for_where_one_happens_to_stand() {
        assert_eq!(of_run(&[], &[])[OsStr::new("PATH")], "/opt/bin:/bin");
        assert_eq!(absolute(OsStr::new("")), PATH);
        assert_eq!(absolute(OsStr::new(".::bin")), PATH);
    }

    #[test]
    fn a_payload_that_is_too_long_for_a_variable_is_left_to_standard_input() {
        let with = |length: usize| {
            let context = context().with_payload(Some(Arc::new(json!("x".repeat(length)))));
            identity(&context).into_iter().find(|(name, _)| *name == PAYLOAD).map(|(_, value)| value.len())
        };
        // Two quotes, the name, an equals sign and the end of the text.
        let most = 128 * 1024 - 2 - PAYLOAD.len() - 1 - 1;
        assert_eq!(with(most - 1), Some(most + 1));
        assert_eq!(with(2 * most), None);
    }
}
