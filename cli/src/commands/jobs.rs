//! `leasehold jobs`: which jobs there are.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leasehold_common::definition::{Definition, Overlap};
use leasehold_common::duration;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::store::{JobVersion, JobView, Store};

use crate::cli::{Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::schedule;
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

/// Jobs, one a line.
pub(crate) fn rows(jobs: &[JobView]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("TENANT"),
        Column::left("JOB"),
        Column::left("SCHEDULE"),
        Column::left("NEXT DUE (UTC)"),
        Column::left("LAST DUE (UTC)"),
        Column::left("RUNS"),
    ];
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), instant);
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let definition = schedule::read(&job.definition);
            vec![
                job.tenant.as_str().into(),
                job.job.as_str().into(),
                definition.as_ref().map_or_else(|| "?".to_owned(), |d| schedule::schedule(&d.schedule)).into(),
                moment(job.next_due).into(),
                moment(job.last_fired).into(),
                Cell::toned(Tone::Dim, definition.map_or_else(|| "?".to_owned(), |d| schedule::handler(&d.handler))),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, Palette::stdout())
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
        (
            "next due",
            view.next_due.map_or_else(
                || "decided by the end of its run, which waits or is under way".to_owned(),
                |at| instant_and_relative(Some(at), now),
            ),
        ),
        ("last due", instant_and_relative(view.last_fired, now)),
    ];
    match schedule::read(&view.definition) {
        Some(definition) => facts.extend(settings(&definition)),
        None => facts.push(("definition", view.definition.to_string())),
    }
    let lines = facts.iter().map(|(name, value)| {
        format!("{}  {}\n", palette.paint(Tone::Dim, &format!("{name:<9}")), crate::render::text::one_line(value))
    });
    let mut out: String = lines.collect();
    out.push('\n');
    out.push_str(&history(versions, palette));
    out
}

fn settings(definition: &Definition) -> Vec<(&'static str, String)> {
    let retry = &definition.retry;
    let backoff = &retry.backoff;
    let overlap = match definition.overlap {
        Overlap::Skip => "skip: a due time ends as overlapped while a run is under way",
        Overlap::Allow => "allow: runs may run side by side",
    };
    vec![
        ("schedule", schedule::schedule(&definition.schedule)),
        ("in words", schedule::in_words(&definition.schedule)),
        ("runs", schedule::handler(&definition.handler)),
        ("timeout", duration::format(definition.timeout)),
        (
            "retry",
            format!(
                "{} attempts, waits from {} to {}, times {}",
                retry.attempts,
                duration::format(backoff.initial),
                duration::format(backoff.max),
                backoff.factor
            ),
        ),
        ("overlap", overlap.to_owned()),
        ("queue", format!("{}, priority {}", definition.queue, definition.priority)),
    ]
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
