//! What holds for every text, be it a config or not. The fuzz target `config` holds texts to the same.

use jiff::Timestamp;
use leasehold_common::config::{self, Config, Severity};
use leasehold_common::definition::Definition;
use leasehold_common::id::JobKey;
use serde_json::json;

/// An environment with one variable.
fn env(name: &str) -> Option<String> {
    (name == "HOST").then(|| "hooks.internal:8443".to_owned())
}

/// Holds a text to the laws.
pub(crate) fn hold(text: &str) {
    let checked = config::check("x.yaml", text, &env);
    for diagnostic in &checked.diagnostics {
        // The places are in the text, and nothing raw is printed.
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let line = lines.split('\n').nth(diagnostic.line - 1);
        assert!(line.is_some_and(|line| diagnostic.column <= line.chars().count() + 1), "{diagnostic}");
        assert!(diagnostic.to_string().chars().all(|c| c == '\n' || !c.is_control()), "{diagnostic}");
    }
    let warnings_only = checked.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    assert_eq!(checked.config.is_some(), warnings_only);
    if let Some(config) = checked.config {
        let again = config.text().check();
        assert_eq!(again.diagnostics, checked.diagnostics, "the text that it keeps is the one that was checked");
        answers_hold(&config, Timestamp::UNIX_EPOCH);
        let changed = config.next_change(Timestamp::UNIX_EPOCH);
        if let Some(changed) = changed {
            assert!(changed > Timestamp::UNIX_EPOCH);
            answers_hold(&config, changed);
        }
    }
}

/// What a sound config says of its own tenants fits, and what it says of others is a job or a refusal.
fn answers_hold(config: &Config, now: Timestamp) {
    let desired = config.desired(now, &[]);
    assert_eq!(desired.refused, [], "what a check accepts fits every tenant that it names");
    for job in &desired.jobs {
        let json = job.definition.to_json();
        let again: Definition = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(again.to_json(), json);
        assert!(job.definition.schedule.compile(JobKey::new(&job.tenant, &job.name, 0)).is_ok(), "{json}");
    }
    for member in desired.tenants.iter().take(3) {
        for (name, _) in config.jobs() {
            let layers = config.layers(member, name, now);
            assert!(
                !layers.is_empty() || !desired.jobs.iter().any(|job| job.tenant == member.id && job.name == *name),
                "a job that a tenant has is explained"
            );
        }
    }
    let plan = desired.tenants.iter().find_map(|tenant| tenant.plan.clone());
    let own: serde_json::Map<_, _> =
        config.jobs().map(|(name, _)| (name.to_string(), json!({"priority": "1"}))).collect();
    let rows = [json!({"id": "live-1", "plan": plan}), json!({"id": 2, "timezone": "UTC", "jobs": own, "weight": 3})];
    let rows = rows.iter().filter_map(serde_json::Value::as_object);
    let members: Vec<_> = rows.filter_map(|row| config.admit("live", row).ok()).collect();
    let answer = config.jobs_for(&members, now);
    for refusal in &answer.refused {
        assert!(!refusal.reason.is_empty() && !refusal.reason.chars().any(char::is_control), "{refusal:?}");
        assert!(answer.jobs.iter().all(|job| job.tenant.as_str() != refusal.tenant), "a refused tenant has no job");
    }
}
