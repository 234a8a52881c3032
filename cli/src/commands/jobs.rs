//! `leasehold jobs`: which jobs there are.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leasehold_common::definition::Definition;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::store::{JobVersion, JobView, PauseView, Store};

use crate::cli::{Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::schedule;
use crate::render::settings;
use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, table};
use crate::render::time::{instant, instant_and_relative};

/// So many jobs are listed unless another number is asked for.
pub(crate) const DEFAULT_LIMIT: u32 = 1_000;

/// List jobs, or show one.
///
/// Without a subcommand, lists jobs in order of tenant and name.
#[derive(Args, Debug)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    command: Option<JobsCommand>,

    #[command(flatten)]
    list: ListArgs,

    #[command(flatten)]
    output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// List jobs; the same as no subcommand
    List(ListArgs),
    /// Show one job: when and what it runs, and its versions
    Show {
        /// The job
        #[arg(value_name = "JOB")]
        job: JobName,
        /// Whose job
        #[arg(short, long, value_name = "TENANT")]
        tenant: TenantId,
    },
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
struct ListArgs {
    /// Of this tenant
    #[arg(short, long, value_name = "TENANT")]
    tenant: Option<TenantId>,

    /// With this name
    #[arg(short, long, value_name = "JOB")]
    job: Option<JobName>,

    /// At most so many [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl JobsArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match &self.command {
            Some(JobsCommand::Show { tenant, .. }) => Some(tenant),
            Some(JobsCommand::List(list)) => list.tenant.as_ref(),
            None => self.list.tenant.as_ref(),
        }
    }
}

/// Lists or shows.
pub(crate) async fn run(store: &dyn Store, args: JobsArgs) -> Result<(), Failure> {
    let format = args.output.output;
    match args.command {
        None => list(store, &args.list, format).await,
        Some(_) if args.list != ListArgs::default() => Err(super::misplaced()),
        Some(JobsCommand::List(filter)) => list(store, &filter, format).await,
        Some(JobsCommand::Show { job, tenant }) => show(store, &tenant, &job, format).await,
    }
}

async fn list(store: &dyn Store, args: &ListArgs, format: Format) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let (jobs, more) = some(store, args.tenant.as_ref(), args.job.as_ref(), limit).await?;
    match format {
        Format::Json => out::print_json(&jobs)?,
        Format::Table if jobs.is_empty() => leasehold_ops::say!("There are no such jobs."),
        Format::Table => out::print(&rows(&jobs))?,
    }
    super::say_more(more, limit);
    Ok(())
}

/// At most `limit` jobs, and whether there are more.
pub(crate) async fn some(
    store: &dyn Store,
    tenant: Option<&TenantId>,
    job: Option<&JobName>,
    limit: u32,
) -> Result<(Vec<JobView>, bool), Failure> {
    let jobs = store.jobs(tenant, job, limit.saturating_add(1)).await?;
    Ok(super::cut(jobs, limit))
}

/// Jobs, one a line. If any is paused there is a column for it.
pub(crate) fn rows(jobs: &[JobView]) -> String {
    list_of(jobs, Palette::stdout())
}

fn list_of(jobs: &[JobView], palette: Palette) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("TENANT"),
        Column::left("JOB"),
        Column::left("SCHEDULE"),
        Column::left("NEXT DUE (UTC)"),
        Column::left("LAST DUE (UTC)"),
        Column::left("RUNS"),
    ];
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), instant);
    let any_paused = jobs.iter().any(|job| job.paused.is_some());
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let definition = schedule::read(&job.definition);
            let mut row: Vec<Cell> = vec![
                job.tenant.as_str().into(),
                job.job.as_str().into(),
                definition.as_ref().map_or_else(|| "?".to_owned(), |d| schedule::schedule(&d.schedule)).into(),
                moment(job.next_due).into(),
                moment(job.last_fired).into(),
                Cell::toned(Tone::Dim, definition.map_or_else(|| "?".to_owned(), |d| schedule::handler(&d.handler))),
            ];
            if any_paused {
                row.push(Cell::toned(Tone::Warn, job.paused.as_ref().map(paused).unwrap_or_default()));
            }
            row
        })
        .collect();
    let mut columns = COLUMNS.to_vec();
    if any_paused {
        columns.push(Column::left("PAUSED"));
    }
    table(&columns, &rows, palette)
}

/// `until 2026-11-21T06:00:00.000Z: the upstream is down`.
pub(crate) fn paused(pause: &PauseView) -> String {
    let until =
        pause.until.map_or_else(|| "until it is resumed".to_owned(), |until| format!("until {}", instant(until)));
    format!("{until}: {}", pause.reason)
}

async fn show(store: &dyn Store, tenant: &TenantId, job: &JobName, format: Format) -> Result<(), Failure> {
    let Some(view) = store.jobs(Some(tenant), Some(job), 1).await?.into_iter().next() else {
        return Err(Failure::NotFound(format!("tenant {tenant} has no job {job}")));
    };
    if format == Format::Json {
        return out::print_json(&view);
    }
    let versions = store.job_versions(tenant, job).await?;
    let now = store.status().await?.now;
    out::print(&details(&view, &versions, now, Palette::stdout()))
}

fn details(view: &JobView, versions: &[JobVersion], now: Timestamp, palette: Palette) -> String {
    let mut facts = vec![
        ("tenant", view.tenant.to_string()),
        ("job", view.job.to_string()),
        ("next due", next_due(view, now)),
        ("last due", instant_and_relative(view.last_fired, now)),
    ];
    if let Some(pause) = &view.paused {
        facts.push(("paused", paused(pause)));
    }
    if let Some(left) = view.runs_left {
        facts.push(("runs left", left.to_string()));
    }
    match schedule::read(&view.definition) {
        Some(definition) => facts.extend(definition_facts(&definition)),
        None => facts.push(("definition", view.definition.to_string())),
    }
    let lines = facts.iter().map(|(name, value)| {
        format!("{}  {}\n", palette.paint(Tone::Dim, &format!("{name:<11}")), crate::render::text::one_line(value))
    });
    let mut out: String = lines.collect();
    out.push('\n');
    out.push_str(&history(versions, palette));
    out
}

/// When it is due next, or why nobody knows.
pub(crate) fn next_due(view: &JobView, now: Timestamp) -> String {
    match (view.next_due, &view.paused) {
        // The leader looks at it when the pause is over.
        (Some(at), Some(_)) => format!("not before {}", instant_and_relative(Some(at), now)),
        (Some(at), None) => instant_and_relative(Some(at), now),
        (None, Some(_)) => "when it is resumed".to_owned(),
        (None, None) if is_delay(view) && view.runs_left != Some(0) => {
            "decided by the end of its run, which waits or is under way".to_owned()
        }
        (None, None) => "never again: its schedule has ended".to_owned(),
    }
}

/// Whether the end of each run decides when the next is due.
fn is_delay(view: &JobView) -> bool {
    schedule::read(&view.definition).is_none_or(|definition| definition.schedule.interval().is_some())
}

fn definition_facts(definition: &Definition) -> Vec<(&'static str, String)> {
    let schedule = [
        ("schedule", schedule::schedule(&definition.schedule)),
        ("in words", schedule::in_words(&definition.schedule)),
    ];
    let settings = settings::settings(definition).into_iter().map(|setting| (setting.name, setting.value));
    schedule.into_iter().chain(settings).collect()
}

fn history(versions: &[JobVersion], palette: Palette) -> String {
    const COLUMNS: [Column; 3] =
        [Column::right("VERSION"), Column::left("IN FORCE FROM (UTC)"), Column::left("UNTIL (UTC)")];
    let rows: Vec<_> = versions
        .iter()
        .map(|version| {
            vec![
                version.version.to_string().into(),
                instant(version.valid_from).into(),
                version.valid_to.map_or_else(|| "now".to_owned(), instant).into(),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, palette)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::id::JobKey;

    use super::*;

    fn view(job: &str) -> JobView {
        JobView {
            key: JobKey::from_i64(7),
            tenant: TenantId::new("acme").unwrap(),
            job: JobName::new(job).unwrap(),
            version: 3,
            definition: serde_json::from_str(settings::PLAIN).unwrap(),
            next_due: None,
            last_fired: Some("2026-11-21T01:59:30Z".parse().unwrap()),
            paused: None,
            runs_left: None,
        }
    }

    fn pause(until: Option<&str>) -> Option<PauseView> {
        Some(PauseView {
            since: "2026-11-21T02:00:00Z".parse().unwrap(),
            until: until.map(|until| until.parse().unwrap()),
            reason: "the upstream is down\x1b[2J".to_owned(),
        })
    }

    #[test]
    fn a_list_says_what_is_paused_why_and_until_when() {
        let plain = list_of(&[view("sync")], Palette::plain());
        assert!(!plain.contains("PAUSED"), "{plain}");
        let until = JobView { paused: pause(Some("2026-11-21T06:00:00Z")), ..view("report") };
        let open = JobView { paused: pause(None), ..view("sync") };
        insta::assert_snapshot!(list_of(&[view("audit"), until, open], Palette::plain()));
    }

    #[test]
    fn a_job_is_shown_with_its_pause_and_the_runs_that_it_has_left() {
        let job = JobView { paused: pause(None), runs_left: Some(4), ..view("sync") };
        let now = "2026-11-21T02:10:00Z".parse().unwrap();
        insta::assert_snapshot!(details(&job, &[], now, Palette::plain()));
    }

    #[test]
    fn a_job_that_is_not_due_says_why() {
        let now = "2026-11-21T02:10:00Z".parse().unwrap();
        let at = |json: &str| JobView {
            definition: serde_json::from_str(&settings::PLAIN.replace(r#"{"every":{"interval":"30s"}}"#, json))
                .unwrap(),
            ..view("sync")
        };
        assert!(next_due(&view("sync"), now).starts_with("decided by the end of its run"));
        let once = at(r#"{"at":{"at":"2026-11-21T02:00:00Z"}}"#);
        assert_eq!(next_due(&once, now), "never again: its schedule has ended");
        assert_eq!(next_due(&JobView { paused: pause(None), ..once }, now), "when it is resumed");
    }
}
