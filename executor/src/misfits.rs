//! Jobs whose payload does not fit the type that their handler reads it as: found when an executor starts, and not at
//! two in the morning.
//!
//! A payload with templates is left out: what it will be is only known at the run. A false alarm would be worse than none.
//!
//! On failure: nothing depends on it. A store that cannot answer is asked no second time.

use std::collections::HashMap;
use std::sync::Arc;

use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::store::{HandledJob, SharedStore};
use metrics::gauge;
use tokio_util::task::AbortOnDropHandle;

use crate::handler::extract::PayloadCheck;
use crate::handler::service::Registered;
use crate::metric;

/// More definitions than anybody writes by hand; the rest is not looked at.
const LIMIT: u32 = 10_000;

/// So many are named in the log.
const NAMED: usize = 20;

type Checks = HashMap<String, Vec<PayloadCheck>>;

/// Looks for them in the background, for as long as the answer lives.
pub(crate) fn look_for(store: &SharedStore, handlers: &HashMap<String, Registered>) -> Option<AbortOnDropHandle<()>> {
    let typed = handlers.iter().filter(|(_, handler)| !handler.wants.payloads.is_empty());
    let checks: Checks = typed.map(|(name, handler)| (name.clone(), handler.wants.payloads.clone())).collect();
    let store = Arc::clone(store);
    (!checks.is_empty()).then(|| {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let names: Vec<_> = checks.keys().cloned().collect();
            match store.handled_jobs(&names, LIMIT).await {
                Ok(jobs) => report(&jobs, &checks),
                Err(error) => tracing::warn!(%error, "the payloads of jobs were not looked at"),
            }
        }))
    })
}

fn report(jobs: &[HandledJob], checks: &Checks) {
    let misfits: Vec<_> = jobs.iter().filter_map(|job| Some((job, misfit(&job.definition, checks)?))).collect();
    gauge!(metric::MISFITS).set(misfits.len() as f64);
    for (job, why) in misfits.iter().take(NAMED) {
        tracing::warn!(
            tenant.id = %job.tenant, job.name = %job.job, error = why,
            "the payload does not fit its handler: every run of this job will be dead"
        );
    }
    if misfits.len() > NAMED {
        tracing::warn!(more = misfits.len() - NAMED, "the payloads of more jobs do not fit their handlers");
    }
}

/// What is wrong with the payload of a definition; nothing, if that cannot be known here.
fn misfit(definition: &str, checks: &Checks) -> Option<String> {
    let definition: Definition = serde_json::from_str(definition).ok()?;
    let HandlerSpec::Named { name } = &definition.handler else { return None };
    if definition.templated && definition.payload.is_some() {
        return None;
    }
    let payload = definition.payload.unwrap_or_default();
    checks.get(name)?.iter().find_map(|check| check(&payload).err())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{definition, named};
    use crate::{HandlerError, Payload};

    async fn typed(_: Payload<u32>) -> Result<(), HandlerError> {
        Ok(())
    }

    fn check(payload: Option<Value>, templated: bool, handler: &str) -> Option<String> {
        let definition = Definition { payload, templated, ..definition(named(handler), Duration::from_secs(60), 3) };
        let checks = HashMap::from([("typed".to_owned(), Registered::new(typed).wants.payloads)]);
        misfit(&definition.to_json(), &checks)
    }

    #[test]
    fn only_what_is_certain_is_a_misfit() {
        assert_eq!(check(Some(json!(3)), false, "typed"), None);
        assert!(check(Some(json!("three")), false, "typed").unwrap().contains("invalid type"));
        assert!(check(None, false, "typed").is_some(), "a job without a payload has null");
        assert_eq!(check(Some(json!("{{ tenant.id }}")), true, "typed"), None, "nobody knows what it will be");
        assert_eq!(check(Some(json!("three")), false, "other"), None);
        assert_eq!(misfit("{", &HashMap::new()), None);
    }
}
