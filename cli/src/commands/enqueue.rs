//! `leasehold enqueue`: a run with a payload of its own, now or later.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use leasehold_common::duration;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::store::{Enqueue, EnqueueDue, Store};
use serde_json::Value;

use crate::failure::Failure;
use crate::instant::{instant, length};
use crate::out;

/// Run a job of a tenant once, now or later, with a payload of its own; prints the correlation id of the run.
///
/// The schedule stays as it is. Overlap, limits and required features hold as for every run of the job, and a pause does
/// not. Applications enqueue within transactions of their own: on PostgreSQL with `SELECT leasehold.enqueue(…)`.
#[derive(Args, Debug)]
pub(crate) struct EnqueueArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: JobName,

    /// Whose job
    #[arg(short, long, value_name = "TENANT")]
    tenant: TenantId,

    /// What the handler gets instead of the job's payload: JSON, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON")]
    payload: Option<String>,

    /// When it is due: RFC 3339 with its offset
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "delay")]
    at: Option<Timestamp>,

    /// How long from now it is due
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,

    /// Enqueue it only if no run of the job is known by this key; prints the id of the one that is
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Instead of the job's priority; smaller ones go first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i16>,

    /// How long after its due time running it is pointless
    #[arg(long, value_name = "DURATION", value_parser = length)]
    expires: Option<Duration>,
}

impl EnqueueArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }

    fn due(&self) -> EnqueueDue {
        match (self.at, self.delay) {
            (Some(at), _) => EnqueueDue::At(at),
            (None, Some(delay)) => EnqueueDue::In(delay),
            (None, None) => EnqueueDue::Now,
        }
    }
}

/// Prints the correlation id alone, for scripts.
pub(crate) async fn run(store: &dyn Store, args: EnqueueArgs) -> Result<(), Failure> {
    let payload = args.payload.as_deref().map(payload).transpose()?;
    let due = args.due();
    let EnqueueArgs { job, tenant, key, priority, expires, .. } = args;
    let request = Enqueue { tenant, job, payload, due, key, priority, expires };
    match store.enqueue(&request).await? {
        Some(id) => out::print(&format!("{id}\n")),
        None => Err(Failure::NotFound(format!("tenant {} has no job {}", request.tenant, request.job))),
    }
}

fn payload(text: &str) -> Result<Value, Failure> {
    let (from, text) = match (text, text.strip_prefix('@')) {
        ("-", _) => ("standard input", bounded(io::stdin(), "standard input")?),
        (_, Some(path)) => {
            let file = fs::File::open(Path::new(path))
                .map_err(|error| Failure::Invalid(format!("cannot read {path}: {error}")))?;
            (path, bounded(file, path)?)
        }
        _ => ("--payload", text.to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| Failure::Invalid(format!("{from} is not JSON: {error}")))
}

/// Spaces may be left out of what is stored: twice as much as that may be is read.
fn bounded(from: impl io::Read, name: &str) -> Result<String, Failure> {
    let most = 2 * Enqueue::PAYLOAD_MAX;
    let mut text = String::new();
    from.take(most as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Invalid(format!("cannot read {name}: {error}")))?;
    match text.len() > most {
        true => {
            Err(Failure::Invalid(format!("{name} is too large: a payload has at most {} bytes", Enqueue::PAYLOAD_MAX)))
        }
        false => Ok(text),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_is_json_here_or_in_a_file() {
        assert_eq!(payload(r#"{"a": [1]}"#).unwrap(), json!({"a": [1]}));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"order\": 17}\n").unwrap();
        assert_eq!(payload(&format!("@{}", file.path().display())).unwrap(), json!({"order": 17}));
        for (text, says) in [("{", "--payload is not JSON"), ("@does/not/exist", "cannot read does/not/exist")] {
            let error = payload(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
