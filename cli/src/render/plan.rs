//! A catalog plan: what comes, changes and goes.

use leasehold_common::catalog::{CatalogPlan, Change, ChangeKind};

use super::style::{Palette, Tone};
use super::text::count;

/// So many changes are listed; the counts tell the rest.
const LISTED: usize = 50;

/// The plan as text: one line a change, then the counts.
pub(crate) fn plan(plan: &CatalogPlan, palette: Palette) -> String {
    let mut out = String::new();
    for change in plan.changes.iter().take(LISTED) {
        out.push_str(&line(change, palette));
    }
    let more = plan.changes.len().saturating_sub(LISTED);
    if more > 0 {
        out.push_str(&palette.paint(Tone::Dim, &format!("… and {}\n", count(more, "more change"))));
    }
    if let Some(recovery) = plan.recovery {
        let sign = palette.paint(Tone::Warn, "~");
        let (total, tenant) = (recovery.total, recovery.per_tenant);
        out.push_str(&format!("{sign} change recovery to {total} runs a second, {tenant} of one tenant\n"));
    }
    if plan.config.is_some() && plan.changes.is_empty() {
        let sign = palette.paint(Tone::Warn, "~");
        out.push_str(&format!("{sign} put the config into force, which changes no tenant and no job\n"));
    }
    out.push_str(&counts(plan));
    out.push('\n');
    out
}

fn line(change: &Change, palette: Palette) -> String {
    let (sign, tone) = match change.kind {
        ChangeKind::Add => ("+", Tone::Good),
        ChangeKind::Change => ("~", Tone::Warn),
        ChangeKind::Remove => ("-", Tone::Bad),
    };
    let what = match &change.job {
        Some(job) => format!("{} job {}/{job}", change.kind, change.tenant),
        None => format!("{} tenant {}", change.kind, change.tenant),
    };
    format!("{} {what}\n", palette.paint(tone, sign))
}

/// `plan: tenants 2 added, 0 changed, 0 removed; jobs 4 added, 0 changed, 1 removed`.
pub(crate) fn counts(plan: &CatalogPlan) -> String {
    let of = |kind, jobs: bool| plan.changes.iter().filter(|c| c.kind == kind && c.job.is_some() == jobs).count();
    let group = |jobs| {
        let [added, changed, removed] = [ChangeKind::Add, ChangeKind::Change, ChangeKind::Remove].map(|k| of(k, jobs));
        format!("{added} added, {changed} changed, {removed} removed")
    };
    format!("plan: tenants {}; jobs {}", group(false), group(true))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::catalog::{PlannedConfig, Recovery};
    use leasehold_common::config::ConfigText;
    use leasehold_common::id::{JobName, TenantId};

    use super::*;

    fn change(kind: ChangeKind, tenant: &str, job: Option<&str>) -> Change {
        Change { kind, tenant: TenantId::new(tenant).unwrap(), job: job.map(|job| JobName::new(job).unwrap()) }
    }

    #[test]
    fn each_change_is_a_line_and_the_counts_come_last() {
        let changes = vec![
            change(ChangeKind::Add, "acme", None),
            change(ChangeKind::Add, "acme", Some("sync")),
            change(ChangeKind::Change, "globex", Some("sync")),
            change(ChangeKind::Remove, "initech", Some("sync")),
        ];
        let recovery = Some(Recovery { total: 100, per_tenant: 5 });
        let text = plan(&CatalogPlan { changes, recovery, ..CatalogPlan::default() }, Palette::plain());
        assert_eq!(
            text,
            "+ add tenant acme\n+ add job acme/sync\n~ change job globex/sync\n- remove job initech/sync\n\
             ~ change recovery to 100 runs a second, 5 of one tenant\n\
             plan: tenants 1 added, 0 changed, 0 removed; jobs 1 added, 1 changed, 1 removed\n"
        );
    }

    #[test]
    fn another_text_alone_is_said() {
        let text = ConfigText { text: "version: 1 # new".to_owned(), ..ConfigText::default() };
        let config = Some(PlannedConfig { text, at: jiff::Timestamp::UNIX_EPOCH });
        let text = plan(&CatalogPlan { config, ..CatalogPlan::default() }, Palette::plain());
        assert!(text.starts_with("~ put the config into force, which changes no tenant and no job\nplan: "), "{text}");
    }

    #[test]
    fn a_long_plan_is_counted_and_not_listed() {
        let changes = (0..1_000).map(|n| change(ChangeKind::Add, &format!("t{n}"), None)).collect();
        let text = plan(&CatalogPlan { changes, ..CatalogPlan::default() }, Palette::plain());
        assert_eq!(text.lines().count(), LISTED + 2);
        assert!(text.contains("… and 950 more changes\nplan: tenants 1000 added"), "{text}");
    }
}
