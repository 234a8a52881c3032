//! What handlers get as their payload.

use std::sync::Arc;

use leasehold_common::definition::Definition;
use leasehold_common::id::CorrelationId;
use leasehold_common::store::Verdict;
use serde_json::{Value, json};

use super::{Running, SECOND, start};
use crate::fake::{Fake, definition, named};
use crate::{ExecutorOptions, HandlerError, RunContext};

async fn echo(context: RunContext) -> Result<Value, HandlerError> {
    Ok(context.payload().cloned().unwrap_or_default())
}

/// A run of a job that has this payload, and an executor that says what came of it.
fn run(payload: Value, templated: bool) -> (Arc<Fake>, CorrelationId, Running) {
    let fake = Fake::new();
    let mut run = fake.run(named("echo"));
    let definition = Definition { payload: Some(payload), templated, ..definition(named("echo"), 60 * SECOND, 3) };
    run.definition = definition.id();
    run.attempt = 2;
    fake.state().definitions.insert(definition.id(), definition.to_json());
    let id = fake.push(run);
    let running = start(&fake, ExecutorOptions::default(), |executor| executor.handler("echo", echo));
    (fake, id, running)
}

#[tokio::test(start_paused = true)]
async fn templates_in_a_payload_are_filled_in_for_each_attempt() {
    let payload = json!({"to": "{{ tenant.id }}/{{ job.name }}", "attempt": ["{{ run.attempt }}", 1, null], "{{ key }}": "{{{{ x }}"});
    let (fake, id, running) = run(payload, true);
    let report = fake.report_of(id).await;
    let got: Value = serde_json::from_str(report.result.as_deref().unwrap()).unwrap();
    assert_eq!(got, json!({"to": "acme/sync", "attempt": ["2", 1, null], "{{ key }}": "{{ x }}"}));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_from_before_templates_stays_as_it_was_stored() {
    let payload = json!({"mail": "Dear {{ name }}, {{ tenant.id }}"});
    let (fake, id, running) = run(payload.clone(), false);
    let report = fake.report_of(id).await;
    let got: Value = serde_json::from_str(report.result.as_deref().unwrap()).unwrap();
    assert_eq!(got, payload);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_the_tenant_has_lost_fails_the_run() {
    let (fake, id, running) = run(json!("{{ tenant.plan }}"), true);
    let report = fake.report_of(id).await;
    assert_ne!(report.verdict, Verdict::Succeeded);
    assert_eq!(report.error.as_deref(), Some("tenant acme has no plan"));
    running.stop().await;
}
