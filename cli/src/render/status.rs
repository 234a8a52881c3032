//! The status as an overview: what needs somebody first, then who leads, who works, what waits.

use leasehold_common::lease::LeaseKind;
use leasehold_common::store::{ExecutorView, Status, Unserved};

use super::roster;
use super::style::{Palette, Tone};
use super::table::{Cell, Column, table};
use super::text::{count, one_line};
use super::time::{instant_and_relative, length};

/// A due item that waits longer than this has somebody to miss it.
const OLD_MS: i64 = 10_000;

/// An executor that was not heard of for longer than this is probably gone.
const SILENT_MS: i64 = 30_000;

/// Something that needs a look, worst first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    tone: Tone,
    text: String,
}

/// What needs attention; empty if nothing does.
pub(crate) fn notices(status: &Status) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |tone, text| notices.push(Notice { tone, text });
    match &status.leader {
        None => say(Tone::Bad, "nobody leads: start a leasehold-scheduler, or `leasehold dev`".to_owned()),
        Some(leader) if leader.expires_in_ms <= 0 => {
            let ago = length(-leader.expires_in_ms);
            let who = format!("{} pid {}", one_line(&leader.host), leader.pid);
            say(Tone::Bad, format!("nobody leads: the lease of {who} expired {ago} ago"));
        }
        Some(_) => {}
    }
    let stalled = usize::try_from(status.catalog.stalled_interval_jobs).unwrap_or(0);
    if stalled > 0 {
        say(Tone::Bad, format!("{} with `every` will never run again: please report this", count(stalled, "job")));
    }
    let working = status.executors.iter().filter(|e| !e.draining && e.seen_ms_ago <= SILENT_MS).count();
    if working == 0 {
        say(Tone::Bad, "no executor works: start a leasehold-executor, or `leasehold dev`".to_owned());
    }
    if let Some(age) = status.queue.oldest_age_ms.filter(|age| *age >= OLD_MS) {
        let waiting = count(usize::try_from(status.queue.depth).unwrap_or(0), "item");
        say(Tone::Warn, format!("work is late: {waiting} due, the oldest for {}", length(age)));
    }
    for breaker in &status.breakers {
        let waiting = count(usize::try_from(breaker.waiting).unwrap_or(usize::MAX), "item");
        say(
            Tone::Bad,
            format!("{} is down; waiting for it: {waiting}. See `leasehold breakers`", one_line(&breaker.endpoint)),
        );
    }
    for unserved in &status.unserved {
        say(Tone::Bad, missing(unserved));
    }
    for source in &status.roster {
        if let Some(trouble) = roster::trouble(source) {
            say(Tone::Bad, trouble);
        } else if source.refused > 0 {
            let refused = count(usize::try_from(source.refused).unwrap_or(usize::MAX), "tenant");
            say(Tone::Warn, format!("{refused} of source {} refused: `leasehold roster`", one_line(&source.source)));
        }
    }
    for hook in &status.hooks {
        if let Some(error) = &hook.error {
            let tries = count(usize::try_from(hook.tries).unwrap_or(usize::MAX), "try");
            let name = one_line(&hook.hook);
            let text = match hook.tries {
                0 => format!("the last message of hook {name} was given up: {}", one_line(error)),
                _ => format!("hook {name} fails, after {tries}: {}", one_line(error)),
            };
            say(Tone::Bad, text);
        }
    }
    for slow in &status.slow_jobs {
        let (took, interval) = (length(slow.duration_ms), length(slow.interval_ms));
        let job = format!("{}/{}", slow.tenant, slow.job);
        let advice = "raise the interval or split the work";
        say(Tone::Warn, format!("runs of {job} take {took} on average and are due every {interval}: {advice}"));
    }
    if status.catalog.jobs == 0 {
        say(Tone::Warn, "there are no jobs: `leasehold apply leasehold.yaml` writes them".to_owned());
    }
    notices
}

/// What no executor can do or serves.
fn missing(unserved: &Unserved) -> String {
    let number = |n: u64, thing| count(usize::try_from(n).unwrap_or(usize::MAX), thing);
    let (need, items) = (one_line(&unserved.need), number(unserved.waiting, "item"));
    match need.split_once(':') {
        Some(("queue", queue)) => format!("no executor serves the queue {queue}: {items} due there"),
        Some(("handler", handler)) => {
            format!("no executor has the handler {handler} of {}: {items} waiting", number(unserved.jobs, "job"))
        }
        _ => format!(
            "no executor runs commands, as {} must: {items} waiting; see --allow-commands",
            number(unserved.jobs, "job")
        ),
    }
}

/// The whole overview.
pub(crate) fn overview(status: &Status, palette: Palette) -> String {
    let mut out = String::new();
    let notices = notices(status);
    if notices.is_empty() {
        out.push_str(&format!("{}\n", palette.paint(Tone::Good, "Nothing needs attention.")));
    }
    for notice in &notices {
        out.push_str(&format!("{} {}\n", palette.paint(notice.tone, "!"), notice.text));
    }
    out.push('\n');
    let mut fact = |name: &str, value: String| {
        out.push_str(&format!("{}  {value}\n", palette.paint(Tone::Dim, &format!("{name:<9}"))));
    };
    fact("leader", leader(status));
    fact("executors", executors(&status.executors));
    fact("queue", queue(status));
    fact("next due", instant_and_relative(status.next_due, status.now));
    fact("catalog", catalog(status));
    fact("clock", format!("{:.3} (the store's)", status.now));
    if !status.executors.is_empty() {
        out.push('\n');
        out.push_str(&fleet(&status.executors, palette));
    }
    out
}

fn leader(status: &Status) -> String {
    let Some(leader) = status.leader.as_ref().filter(|leader| leader.expires_in_ms > 0) else {
        return "nobody".to_owned();
    };
    let since = length(status.now.as_millisecond() - leader.elected_at.as_millisecond());
    format!(
        "{} pid {}, term {}, for {since}; elected by {}, which runs for another {}",
        one_line(&leader.host),
        leader.pid,
        leader.term,
        match leader.kind {
            LeaseKind::Store => "the store's lease",
            LeaseKind::Redis => "a lock in Redis",
        },
        length(leader.expires_in_ms),
    )
}

fn executors(executors: &[ExecutorView]) -> String {
    if executors.is_empty() {
        return "none".to_owned();
    }
    let slots: u64 = executors.iter().map(|e| u64::from(e.slots)).sum();
    let running: u64 = executors.iter().map(|e| u64::from(e.running)).sum();
    format!("{}, {running} of {slots} slots busy", executors.len())
}

fn queue(status: &Status) -> String {
    let queue = &status.queue;
    let oldest = queue.oldest_age_ms.map(|age| format!(" (the oldest for {})", length(age))).unwrap_or_default();
    format!("{} due{oldest}, {} running, {} ahead of their time", queue.depth, queue.running, queue.waiting)
}

fn catalog(status: &Status) -> String {
    let number = |n: i64, thing| count(usize::try_from(n).unwrap_or(0), thing);
    let catalog = &status.catalog;
    let paused = if catalog.paused > 0 { format!(" ({} paused)", catalog.paused) } else { String::new() };
    format!(
        "{}, {}{paused}, revision {}",
        number(catalog.tenants, "tenant"),
        number(catalog.jobs, "job"),
        catalog.revision
    )
}

fn fleet(executors: &[ExecutorView], palette: Palette) -> String {
    const COLUMNS: [Column; 7] = [
        Column::left("EXECUTOR"),
        Column::right("PID"),
        Column::right("BUSY"),
        Column::left("QUEUES"),
        Column::left("VERSION"),
        Column::right("HEARD OF"),
        Column::left("STATE"),
    ];
    let rows: Vec<_> = executors
        .iter()
        .map(|executor| {
            vec![
                executor.host.as_str().into(),
                executor.pid.to_string().into(),
                format!("{}/{}", executor.running, executor.slots).into(),
                executor.queues.join(",").into(),
                executor.version.as_str().into(),
                format!("{} ago", length(executor.seen_ms_ago)).into(),
                state(executor),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, palette)
}

fn state(executor: &ExecutorView) -> Cell {
    if executor.seen_ms_ago > SILENT_MS {
        Cell::toned(Tone::Bad, "silent")
    } else if executor.draining {
        Cell::toned(Tone::Warn, "draining")
    } else {
        Cell::toned(Tone::Good, "working")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::id::{JobName, TenantId};
    use leasehold_common::lease::Leader;
    use leasehold_common::store::{CatalogView, Held, QueueView, SlowJob, SourceView};

    use super::*;

    fn healthy() -> Status {
        let now = "2026-11-21T02:00:00Z".parse().unwrap();
        Status {
            now,
            leader: Some(Leader {
                holder: uuid::Uuid::nil(),
                host: "alpha".to_owned(),
                pid: 7,
                term: 3,
                expires_in_ms: 8_000,
                elected_at: "2026-11-21T01:00:00Z".parse().unwrap(),
                kind: LeaseKind::Store,
            }),
            executors: vec![ExecutorView {
                id: uuid::Uuid::nil(),
                host: "beta".to_owned(),
                pid: 8,
                version: "0.1.0".to_owned(),
                slots: 16,
                running: 2,
                queues: vec!["default".to_owned()],
                draining: false,
                seen_ms_ago: 900,
                abilities: Some(Vec::new()),
            }],
            queue: QueueView { depth: 1, oldest_age_ms: Some(20), waiting: 5, running: 2 },
            next_due: Some("2026-11-21T02:00:04Z".parse().unwrap()),
            catalog: CatalogView { revision: 2, tenants: 1, jobs: 4, stalled_interval_jobs: 0, paused: 0 },
            roster: Vec::new(),
            hooks: Vec::new(),
            slow_jobs: Vec::new(),
            unserved: Vec::new(),
            breakers: Vec::new(),
        }
    }

    #[test]
    fn all_is_well() {
        insta::assert_snapshot!(overview(&healthy(), Palette::plain()));
    }

    #[test]
    fn what_needs_attention_comes_first_and_the_worst_of_it_first() {
        let mut status = healthy();
        if let Some(leader) = &mut status.leader {
            leader.expires_in_ms = -61_000;
        }
        status.executors[0].seen_ms_ago = 90_000;
        status.queue = QueueView { depth: 340, oldest_age_ms: Some(61_000), waiting: 0, running: 0 };
        status.catalog.stalled_interval_jobs = 1;
        status.catalog.paused = 3;
        status.slow_jobs = vec![SlowJob {
            tenant: TenantId::new("acme").unwrap(),
            job: JobName::new("sync").unwrap(),
            duration_ms: 420_000,
            interval_ms: 300_000,
        }];
        status.roster = vec![
            SourceView { source: "crm".to_owned(), error: Some("no answer".to_owned()), ..SourceView::default() },
            SourceView { source: "legacy".to_owned(), held: Some(Held { gone: 9, of: 10 }), ..SourceView::default() },
            SourceView { source: "billing".to_owned(), refused: 2, ..SourceView::default() },
        ];
        insta::assert_snapshot!(overview(&status, Palette::plain()));
    }

    #[test]
    fn an_empty_store_says_what_to_do() {
        let status = Status {
            leader: None,
            executors: Vec::new(),
            queue: QueueView::default(),
            next_due: None,
            catalog: CatalogView::default(),
            ..healthy()
        };
        insta::assert_snapshot!(overview(&status, Palette::plain()));
    }
}
