//! `leasehold explain`: what a job is and why, and what becomes of it.

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::catalog::Member;
use leasehold_common::config::{Config, Setting as Layered};
use leasehold_common::definition::{OnBlackout, Timing, TimingSpec};
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::ledger::compare;
use leasehold_common::schedule::{Zone, blacked_out};
use leasehold_common::store::{JobView, Store};

use crate::apply;
use crate::cli::{Format, OutputArgs, StoreUrl};
use crate::commands::jobs;
use crate::connect::with_store;
use crate::failure::Failure;
use crate::out;
use crate::render::explain::{self, Explanation, Fire, Last};
use crate::render::schedule;
use crate::render::settings::settings;
use crate::render::style::Palette;
use crate::render::time::instant;

/// So many due times ahead are shown.
const FIRES: usize = 10;

/// The last due time is looked for so far back, the nearest first.
const BACK: [SignedDuration; 4] = [
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(24 * 31),
    SignedDuration::from_hours(24 * 400),
];

/// Say what a job is and why, when it is due, and what became of the last due time
///
/// Each setting is shown with the layer of the config that says so: the defaults, the job, the tenant's plan, the tenant,
/// or an override that is in force. Due times ahead are shown on the clocks of the schedule's zone, and those that a pause
/// or a blackout keeps from running say so.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: JobName,

    /// Whose job
    #[arg(short, long, value_name = "TENANT")]
    tenant: TenantId,

    /// Explain what this config file says, applied or not; needs no store
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the explanation.
pub(crate) async fn run(args: &ExplainArgs, url: &StoreUrl) -> Result<(), Failure> {
    let now = Timestamp::now();
    match &args.config {
        Some(file) => show(&of_file(args, &apply::load(file)?, now)?, now, args.output.output),
        None => with_store(url, |store| async move { of_store(&*store, args).await }).await,
    }
}

fn show(explanation: &Explanation, now: Timestamp, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => out::print_json(explanation),
        Format::Table => out::print(&explain::explanation(explanation, now, Palette::stdout())),
    }
}

/// What a file says of a tenant that it names.
fn of_file(args: &ExplainArgs, config: &Config, now: Timestamp) -> Result<Explanation, Failure> {
    let ExplainArgs { tenant, job, .. } = args;
    let Some(found) = config.tenants().iter().find(|found| found.id == *tenant) else {
        let live =
            if config.roster().sources.is_empty() { "" } else { "; those of live sources are in the store only" };
        return Err(Failure::NotFound(format!("the file names no tenant {tenant}{live}")));
    };
    let member = Member::from(found.clone());
    let jobs = config.jobs_for(std::slice::from_ref(&member), now).jobs;
    let layers = config.layers(&member, job, now);
    let Some(found) = jobs.into_iter().find(|found| found.name == *job) else {
        return Err(none(tenant, job, &layers));
    };
    let key = JobKey::new(tenant, job, 0);
    let schedule = found.definition.schedule.compile(key).map_err(|error| Failure::Invalid(error.to_string()))?;
    let view = JobView {
        key,
        tenant: tenant.clone(),
        job: job.clone(),
        version: 0,
        definition: serde_json::to_value(&*found.definition).map_err(|error| Failure::Invalid(error.to_string()))?,
        next_due: schedule.next_after(now),
        last_fired: None,
        paused: None,
        runs_left: found.definition.schedule.max_runs(),
    };
    Ok(Explanation { version: None, layers, ..of_job(&view, member.timezone.as_ref(), now) })
}

/// What the store has, with the layers of the config that was applied last.
async fn of_store(store: &dyn Store, args: &ExplainArgs) -> Result<(), Failure> {
    let ExplainArgs { tenant, job, .. } = args;
    let now = store.status().await?.now;
    let member = store.snapshot_of(std::slice::from_ref(tenant)).await?.tenants.into_iter().next();
    let config = store.config().await?.and_then(|force| force.text.check().config);
    let layers = match (&config, &member) {
        (Some(config), Some(member)) => config.layers(member, job, now),
        _ => Vec::new(),
    };
    let Some(view) = store.jobs(Some(tenant), Some(job), 1).await?.into_iter().next() else {
        return Err(none(tenant, job, &layers));
    };
    let own_zone = member.and_then(|member| member.tenant.timezone);
    let versions = store.job_versions(tenant, job).await?;
    let since = versions.iter().find(|version| version.version == view.version).map(|version| version.valid_from);
    let last = last(store, tenant, job, now).await?;
    let explanation = Explanation { since, last: Some(last), layers, ..of_job(&view, own_zone.as_ref(), now) };
    show(&explanation, now, args.output.output)
}

/// There is no such job; the config may say why.
fn none(tenant: &TenantId, job: &JobName, layers: &[Layered]) -> Failure {
    let why = layers.iter().find(|setting| setting.key == "enabled" && setting.value == false);
    let why = why.map_or_else(String::new, |setting| format!(": `enabled` is false by {}", setting.layer));
    Failure::NotFound(format!("tenant {tenant} has no job {job}{why}"))
}

/// All that follows from what the job is.
fn of_job(view: &JobView, own_zone: Option<&Zone>, now: Timestamp) -> Explanation {
    let definition = schedule::read(&view.definition);
    let zones: Vec<Zone> =
        definition.as_ref().map(|d| schedule::zones(&d.schedule).into_iter().cloned().collect()).unwrap_or_default();
    let clock = zones.first().or(own_zone).cloned().unwrap_or(Zone::UTC);
    let next = match timing(view) {
        Ok(timing) => fires(view, &timing, &clock, now),
        Err(_) => Vec::new(),
    };
    Explanation {
        tenant: view.tenant.clone(),
        job: view.job.clone(),
        version: Some(view.version),
        since: None,
        schedule: definition.as_ref().map_or_else(|| view.definition.to_string(), |d| schedule::schedule(&d.schedule)),
        in_words: definition.as_ref().map_or_else(unreadable, |d| schedule::in_words(&d.schedule)),
        zones: zones.iter().map(|zone| zone.name().to_owned()).collect(),
        tenant_zone: own_zone.map(|zone| zone.name().to_owned()),
        settings: definition.as_ref().map(settings).unwrap_or_default(),
        layers: Vec::new(),
        paused: view.paused.clone(),
        runs_left: view.runs_left,
        next_due: view.next_due,
        next_due_in_words: jobs::next_due(view, now),
        next,
        last: None,
    }
}

fn unreadable() -> String {
    "a newer version of Leasehold wrote it, and this one cannot read it".to_owned()
}

fn timing(view: &JobView) -> Result<Timing, String> {
    let spec: TimingSpec = serde_json::from_value(view.definition.clone()).map_err(|error| error.to_string())?;
    spec.compile(view.key).map_err(|error| error.to_string())
}

/// The due times ahead. Those up to the last one that was fanned out are queued already and no longer count towards the
/// runs that are left.
fn fires(view: &JobView, timing: &Timing, clock: &Zone, now: Timestamp) -> Vec<Fire> {
    let fire = |at: Timestamp, note| {
        let local = at.to_zoned(clock.tz().clone()).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string();
        Fire { at, local, zone: clock.name().to_owned(), note }
    };
    if timing.schedule.interval().is_some() {
        return view.next_due.map(|at| fire(at, note(view, timing, at))).into_iter().collect();
    }
    let mut left = view.runs_left;
    let mut fires = Vec::new();
    let mut at = timing.schedule.next_after(now);
    while let Some(due) = at.filter(|_| fires.len() < FIRES) {
        let is_queued = view.last_fired.is_some_and(|last| due <= last);
        let note = note(view, timing, due);
        if !is_queued && note.is_none() {
            if left == Some(0) {
                break;
            }
            left = left.map(|left| left - 1);
        }
        fires.push(fire(due, note));
        at = timing.schedule.next_after(due);
    }
    fires
}

/// What keeps a due time from running then.
fn note(view: &JobView, timing: &Timing, due: Timestamp) -> Option<String> {
    let is_paused =
        |pause: &&leasehold_common::store::PauseView| pause.since <= due && pause.until.is_none_or(|until| due < until);
    if view.paused.as_ref().filter(is_paused).is_some() {
        return Some("paused".to_owned());
    }
    let (blackout, end) = blacked_out(&timing.blackouts, due)?;
    let name = &blackout.name;
    let is_last = timing.schedule.next_after(due).is_none_or(|next| next >= end);
    Some(match timing.on_blackout {
        OnBlackout::Defer if is_last => format!("blackout {name}: runs at {}", instant(end)),
        _ => format!("blackout {name}"),
    })
}

/// What became of the last due time, if there was one.
async fn last(store: &dyn Store, tenant: &TenantId, job: &JobName, now: Timestamp) -> Result<Option<Last>, Failure> {
    for back in BACK {
        let from = now.checked_sub(back).unwrap_or(Timestamp::MIN);
        let Some(history) = store.history(tenant, job, from, Timestamp::MAX).await? else { return Ok(None) };
        let ledger = compare(&history, from, Timestamp::MAX);
        if let Some(entry) = ledger.entries.iter().rfind(|entry| !entry.unexpected) {
            let of = |report: &&leasehold_common::run::Report| {
                let first = report.scheduled_from.unwrap_or(report.scheduled_for);
                first <= entry.to && entry.to <= report.scheduled_for && entry.outcome.is(report.outcome)
            };
            let report = history.reports.iter().filter(of).min_by_key(|report| report.count);
            return Ok(Some(Last { due: entry.to, because: explain::because(entry, report) }));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::store::PauseView;

    use super::*;
    use crate::render::settings::PLAIN;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn view(schedule: &str, rest: &str) -> JobView {
        let json = PLAIN.replace(r#"{"every":{"interval":"30s"}}"#, schedule);
        let json = json.trim_end().strip_suffix('}').unwrap().to_owned() + rest + "}";
        JobView {
            key: JobKey::from_i64(7),
            tenant: TenantId::new("acme").unwrap(),
            job: JobName::new("report").unwrap(),
            version: 3,
            definition: serde_json::from_str(&json).unwrap(),
            next_due: Some(at("2026-03-28T01:30:00Z")),
            last_fired: None,
            paused: None,
            runs_left: None,
        }
    }

    const BERLIN: &str = r#"{"cron":{"expr":"30 2 * * *","zone":"Europe/Berlin"}}"#;

    fn times(view: &JobView) -> Vec<(String, Option<String>)> {
        let explained = of_job(view, None, at("2026-03-28T00:00:00Z"));
        explained.next.into_iter().map(|fire| (fire.at.to_string(), fire.note)).collect()
    }

    #[test]
    fn the_whole_of_a_job() {
        let mut job = view(
            BERLIN,
            r#","blackouts":[{"name":"move","once":{"from":"2026-03-30T00:00:00Z","to":"2026-04-01T00:00:00Z"}}]"#,
        );
        job.paused = Some(PauseView {
            since: at("2026-03-27T12:00:00Z"),
            until: Some(at("2026-03-29T00:00:00Z")),
            reason: "the upstream is down\x1b[2J".to_owned(),
        });
        let now = at("2026-03-28T00:00:00Z");
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let mut explained = of_job(&job, Some(&berlin), now);
        explained.since = Some(at("2026-03-01T00:00:00Z"));
        explained.last =
            Some(Some(Last { due: at("2026-03-27T01:30:00Z"), because: "ran and succeeded\x1b[2J".to_owned() }));
        insta::assert_snapshot!(explain::explanation(&explained, now, Palette::plain()));
        insta::assert_json_snapshot!(explained);
    }

    #[test]
    fn runs_that_are_left_end_the_list_and_what_does_not_run_is_no_run() {
        let mut job = view(
            r#"{"within":{"schedule":{"cron":{"expr":"0 * * * *","zone":"UTC"}},"max_runs":5}}"#,
            r#","on_blackout":"defer","blackouts":[{"name":"night","daily":{"window":"01:30-03:30","zone":"UTC"}}]"#,
        );
        job.runs_left = Some(1);
        job.last_fired = Some(at("2026-03-28T01:00:00Z"));
        let expected = [
            ("2026-03-28T01:00:00Z", None),
            ("2026-03-28T02:00:00Z", Some("blackout night")),
            ("2026-03-28T03:00:00Z", Some("blackout night: runs at 2026-03-28T03:30:00.000Z")),
            ("2026-03-28T04:00:00Z", None),
        ];
        assert_eq!(times(&job), expected.map(|(at, note)| (at.to_owned(), note.map(str::to_owned))));
    }

    #[test]
    fn of_a_fixed_delay_only_the_next_due_time_is_known() {
        let mut job = view(r#"{"every":{"interval":"30s"}}"#, "");
        assert_eq!(times(&job), [("2026-03-28T01:30:00Z".to_owned(), None)]);
        job.next_due = None;
        assert_eq!(times(&job), []);
        let explained = of_job(&job, None, at("2026-03-28T00:00:00Z"));
        assert!(explained.next_due_in_words.starts_with("decided by the end of its run"));
    }

    #[test]
    fn a_definition_that_cannot_be_read_is_shown_as_it_is() {
        let mut job = view(BERLIN, "");
        job.definition = serde_json::json!({"schedule": {"lunar": {}}});
        let explained = of_job(&job, None, at("2026-03-28T00:00:00Z"));
        assert_eq!((explained.schedule.as_str(), explained.next.len()), (r#"{"schedule":{"lunar":{}}}"#, 0));
    }
}
